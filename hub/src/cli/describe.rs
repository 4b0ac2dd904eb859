//! `rimward describe`: one thing with what is said about it.

use jiff::Timestamp;
use serde_json::Value;

use super::args::{Global, Kind, Output};
use super::client::Client;
use super::columns::{self, text};
use super::exit::{Exit, Failure};
use super::output;
use super::reference::Reference;
use super::text::clean;

/// Runs the command.
pub async fn run(client: &Client, global: &Global, reference: &Reference) -> Result<Exit, Failure> {
    let item = client.get(&reference.path()).await?;
    let format = global.output.unwrap_or(Output::Table);
    let text = match output::document(format, &item) {
        Some(document) => document,
        None if format == Output::Name => format!("{reference}\n"),
        None => people(reference, &item, format == Output::Wide),
    };
    output::print(&text)?;
    Ok(Exit::Yes)
}

/// Sections that are printed after the fields.
const SECTIONS: [&str; 8] =
    ["notes", "events", "firstNotReady", "objects", "taken", "apiVersion", "kind", "name"];

fn people(reference: &Reference, item: &Value, wide: bool) -> String {
    let mut out = format!("{reference}\n");
    let mut fields = Vec::new();
    for first in ["state", "reason", "message"] {
        fields.push((first.to_owned(), text(&item[first])));
    }
    // What the state comes from, before anything else.
    if item["firstNotReady"].is_object() {
        fields.push(("firstNotReady".to_owned(), columns::problem(&item["firstNotReady"])));
    }
    for (name, value) in item.as_object().into_iter().flatten() {
        let shown = fields.iter().any(|(first, _)| first == name) || SECTIONS.contains(&name.as_str());
        if !shown {
            flatten(name, value, &mut fields);
        }
    }
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields {
        out.push_str(format!("  {name:width$}  {}", clean(&value)).trim_end());
        out.push('\n');
    }
    let list = |name: &str| item[name].as_array().cloned().unwrap_or_default();
    section(&mut out, "notes", list("notes").iter().map(note));
    let objects = list("objects");
    let object = |item: &Value| {
        let more = columns::foreign(item, wide).into_iter().chain(columns::listed(item));
        let more = more.map(|line| format!("  {line}"));
        std::iter::once(columns::problem(item)).chain(more).collect::<Vec<_>>()
    };
    section(&mut out, "objects not as they should be", objects.iter().flat_map(object));
    section(&mut out, "taken over", list("taken").iter().map(columns::taken));
    let (header, now) = (columns::header(Kind::Events, false), Timestamp::now());
    let events = list("events");
    let row = |event: &Value| columns::row(Kind::Events, event, &header, now).join("  ");
    section(&mut out, "events", events.iter().map(row));
    out
}

/// A field, or the fields in it, as `name.inner`.
fn flatten(name: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (inner, value) in map {
                flatten(&format!("{name}.{inner}"), value, fields);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            fields.push((name.to_owned(), if items.is_empty() { "-".to_owned() } else { items.join(", ") }));
        }
        other => fields.push((name.to_owned(), text(other))),
    }
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    out.push_str(&format!("{title}:\n"));
    for line in lines {
        out.push_str(&format!("  {}\n", clean(&line)));
    }
}

/// A note as the compiler of a language would print it.
pub fn note(note: &Value) -> String {
    let part = |name: &str| note[name].as_str().unwrap_or_default();
    let at = match (note["line"].as_u64().unwrap_or(0), note["column"].as_u64().unwrap_or(0)) {
        (0, _) => part("file").to_owned(),
        (line, 0) => format!("{}:{line}", part("file")),
        (line, column) => format!("{}:{line}:{column}", part("file")),
    };
    let help = if part("help").is_empty() { String::new() } else { format!(" (help: {})", part("help")) };
    format!("{}[{}]: {} --> {at}{help}", part("severity"), part("code"), part("message"))
}
