//! SARIF 2.1.0: what code scanning reads, so that a pull request shows each note
//! at its line.

use std::collections::BTreeMap;

use rimward_hub::core::note::{Note, Severity};
use serde_json::{Value, json};

use super::notes::Files;
use super::text::clean;

/// Where the format is defined.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A log of these notes.
pub fn log<'n>(notes: impl Iterator<Item = (Files<'n>, &'n Note)>) -> Value {
    let notes: Vec<_> = notes.collect();
    let mut codes: BTreeMap<&str, usize> = notes.iter().map(|(_, note)| (note.code.as_str(), 0)).collect();
    codes.values_mut().enumerate().for_each(|(index, code)| *code = index);
    let rules: Vec<Value> = codes.keys().map(|code| json!({"id": code, "name": code})).collect();
    let results: Vec<Value> =
        notes.iter().map(|(files, note)| result(*files, note, codes[&*note.code])).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "rimward", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules}},
            // What our columns count.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(files: Files<'_>, note: &Note, rule: usize) -> Value {
    let level = match note.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let help = if note.help.is_empty() { String::new() } else { format!("\nhelp: {}", clean(&note.help)) };
    let mut location = json!({"artifactLocation": {"uri": uri(&files.path(&note.at.file))}});
    if note.at.line > 0 {
        let mut region = json!({"startLine": note.at.line});
        if note.at.column > 0 {
            region["startColumn"] = note.at.column.into();
        }
        location["region"] = region;
    }
    json!({
        "ruleId": note.code,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": format!("{}{help}", clean(&note.message))},
        "locations": [{"physicalLocation": location}],
    })
}

/// A path as a URI reference: relative to where the command runs, unless it is absolute.
fn uri(path: &str) -> String {
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("a b/ü:1.yaml"), "a%20b/%C3%BC%3A1.yaml");
        assert_eq!(uri("/x/y.yaml"), "file:///x/y.yaml");
    }
}
