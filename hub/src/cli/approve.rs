//! `rimward approve`: says exactly what an approval lets go, asks, and approves
//! that and nothing else: the digest of what was shown goes along.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::{Value, json};

use super::args::{ApproveArgs, Global};
use super::client::{Client, percent};
use super::columns::{self, text};
use super::exit::{Exit, Failure};
use super::output;
use super::text::{clean, clean_lines};

/// Fewest hex digits that may stand for a digest.
const DIGITS: usize = 8;

/// Runs the command.
pub async fn run(client: &Client, global: &Global, args: &ApproveArgs) -> Result<Exit, Failure> {
    if args.stage.is_some() {
        return Err(Failure::not_built("--stage: stages of rollouts"));
    }
    let list = client.list("/holds", &[]).await?;
    let hold = find(&list, &args.hold)?;
    output::say(global, explain(hold));
    if hold["approved"] == true {
        return Err(Failure::new(
            Exit::Conflict,
            "it is approved already; the cluster has not carried it out yet",
        ));
    }
    confirm(global)?;
    let body = json!({"digest": hold["digest"], "decision": "approve", "reason": args.reason});
    let path = format!("/holds/{}/decisions", percent(&text(&hold["id"])));
    client.post(&path, Some(&body)).await?;
    output::print(&(clean(&format!("{} approved", text(&hold["digest"]))) + "\n"))?;
    Ok(Exit::Yes)
}

/// The hold that is meant; two that could be meant are none.
fn find<'a>(list: &'a Value, wanted: &str) -> Result<&'a Value, Failure> {
    let hex = wanted.strip_prefix("hold/").unwrap_or(wanted);
    let hex = hex.strip_prefix("sha256:").unwrap_or(hex);
    let means = |hold: &&Value| {
        let digest = hold["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        hold["id"] == hex || (hex.len() >= DIGITS && digest.is_some_and(|digest| digest.starts_with(hex)))
    };
    let found: Vec<&Value> = list["items"].as_array().into_iter().flatten().filter(means).collect();
    match found.as_slice() {
        [] => Err(Failure::new(Exit::NotFound, format!("no hold {wanted}; rimward get holds"))),
        [one] => Ok(one),
        many => {
            let digests: Vec<String> = many.iter().map(|hold| text(&hold["digest"])).collect();
            Err(Failure::usage(format!("{wanted} could be any of {}", digests.join(", "))))
        }
    }
}

/// What will be deleted.
fn explain(hold: &Value) -> String {
    let list = |name: &str| hold[name].as_array().cloned().unwrap_or_default();
    let clusters: Vec<String> = list("clusters").iter().map(text).collect();
    let mut lines = vec![format!("{}: {}", text(&hold["reason"]), text(&hold["message"]))];
    let objects = list("objects");
    if objects.is_empty() {
        lines.push(format!("approving lets these go from {}, with all their objects:", clusters.join(" ")));
        lines.extend(list("apps").iter().map(|app| format!("  App {}", columns::app(app))));
    } else {
        lines.push(format!("approving deletes, on {}:", clusters.join(" ")));
        let object =
            |held: &Value| format!("  {} (uid {})", columns::object(&held["object"]), text(&held["uid"]));
        lines.extend(objects.iter().map(object));
    }
    lines.iter().map(|line| clean(line)).collect::<Vec<_>>().join("\n")
}

fn confirm(global: &Global) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("this deletes; without a terminal to ask on, say --yes"));
    }
    eprint!("{}", clean_lines("approve? [y/N] "));
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::usage(format!("cannot read the answer: {error}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::No, "not approved")),
    }
}
