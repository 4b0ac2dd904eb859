//! `rimward status` and `rimward version`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Global, Output};
use super::client::Client;
use super::columns::text;
use super::exit::{Exit, Failure};
use super::output;
use super::text::{age, clean, until};

/// Version of this command.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `rimward version`.
pub fn version(global: &Global) -> Result<Exit, Failure> {
    let value = json!({"version": VERSION});
    let format = global.output.unwrap_or(Output::Table);
    output::print(&output::document(format, &value).unwrap_or_else(|| format!("rimward {VERSION}\n")))?;
    Ok(Exit::Yes)
}

/// `rimward status`.
pub async fn run(client: &Client, global: &Global) -> Result<Exit, Failure> {
    let status = client.get("/status").await?;
    let format = global.output.unwrap_or(Output::Table);
    let shown = match output::document(format, &status) {
        Some(document) => document,
        None if format == Output::Name => format!("fleet/{}\n", clean(&text(&status["name"]))),
        None => people(&status, Timestamp::now()),
    };
    output::print(&shown)?;
    Ok(Exit::Yes)
}

fn people(status: &Value, now: Timestamp) -> String {
    let named = status["name"].as_str().filter(|name| !name.is_empty());
    let name = named.or_else(|| status["trustDomain"].as_str().filter(|name| !name.is_empty()));
    let mut lines = vec![format!("{}  {}", name.unwrap_or("fleet"), text(&status["state"]))];
    if let Some(message) = status["message"].as_str().filter(|message| !message.is_empty()) {
        lines.push(format!("  {message}"));
    }
    for what in ["clusters", "apps", "sources"] {
        let states = status[what]["states"].as_object().into_iter().flatten();
        let states: Vec<String> = states.map(|(state, n)| format!("{n} {state}")).collect();
        let states = if states.is_empty() { String::new() } else { format!("  ({})", states.join(", ")) };
        lines.push(format!("{what:12}{}{states}", text(&status[what]["total"])));
    }
    for what in ["tenants", "holds", "drift"] {
        lines.push(format!("{what:12}{}", text(&status[what])));
    }
    lines.push(format!("published   {}", publication(&status["publication"], now)));
    lines.push(format!("planned     {}", ago(&status["planned"], now)));
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        let (task, since) = (text(&trouble["task"]), age(trouble["since"].as_str(), now));
        lines.push(format!("{task:12}failing for {since}: {}", text(&trouble["message"])));
    }
    lines.push(format!("hub         {} at {}", text(&status["version"]), text(&status["address"])));
    lines.iter().map(|line| clean(line).trim_end().to_owned() + "\n").collect()
}

fn publication(publication: &Value, now: Timestamp) -> String {
    if publication.is_null() {
        return "nothing yet".to_owned();
    }
    let (epoch, seq) = (text(&publication["epoch"]), text(&publication["seq"]));
    let (signed, expires) = (ago(&publication["issued"], now), until(publication["expires"].as_str(), now));
    let expires = if expires == "expired" { expires } else { format!("expires in {expires}") };
    format!("{seq} (epoch {epoch}), signed {signed}, {expires}")
}

fn ago(at: &Value, now: Timestamp) -> String {
    match age(at.as_str(), now).as_str() {
        "-" => "never".to_owned(),
        age => format!("{age} ago"),
    }
}
