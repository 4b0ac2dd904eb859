//! The decision code is pure: synchronous, no input or output, no clock, no
//! randomness. What it needs to know comes in as values, so that it can be
//! tested without a machine around it.

use crate::files::{Files, code, rust};

/// Where decisions are made.
const PURE: [&str; 3] = ["hub/src/core", "spoke/src/core", "proto/src/"];

/// Crates that have no business there. Their names are also words, so they
/// count where a path begins or in a `use`.
const CRATES: [&str; 12] = [
    "axum",
    "getrandom",
    "gix",
    "hyper",
    "kube",
    "rand",
    "reqwest",
    "sled",
    "tokio",
    "tokio_stream",
    "tokio_util",
    TONIC,
];

/// The one crate of these that the wire may name.
const TONIC: &str = "tonic";

/// What else has no business there, wherever it stands.
const NAMES: [&str; 14] = [
    "Instant::now",
    "SystemRandom",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "async fn",
    "aws_lc_rs::rand",
    "new_v4",
    "now_v7",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// What `use std::{...}` must not list.
const FORBIDDEN_STD: [&str; 5] = ["fs", "env", "net", "process", "thread"];

/// How the generated code comes into the contract: wherever that is written,
/// it is the wire.
const INCLUDE: &str = "tonic::include_proto!";

/// Where the generated code and its conversion may name tonic.
const WIRE: [&str; 3] = ["proto/src/convert", "proto/src/generated", "proto/src/wire"];

/// Impure lines of pure files.
pub fn purity(files: &Files) -> Vec<String> {
    let pure = |path: &str| PURE.iter().any(|folder| path.starts_with(folder));
    rust(files).filter(|(path, _)| pure(path)).flat_map(|(path, text)| impure(path, text)).collect()
}

fn impure(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let crates = CRATES.iter().filter(|name| names_crate(line, name));
        let crates = crates.filter(|name| **name != TONIC || !is_wire(path, line));
        let names = NAMES.iter().filter(|name| words(line, name).count() > 0);
        let report = |name| format!("{path}:{}: uses {name}", number + 1);
        found.extend(crates.chain(names).map(report));
    }
    let listed = grouped(&code).into_iter();
    found.extend(listed.map(|name| format!("{path}: uses std::{name}")));
    found
}

fn is_wire(path: &str, line: &str) -> bool {
    let included = path.starts_with("proto/") && line.trim().starts_with(INCLUDE);
    included || WIRE.iter().any(|wire| path.starts_with(wire))
}

fn names_crate(line: &str, name: &str) -> bool {
    words(line, name).any(|(before, after)| {
        let imported = before.trim_end().ends_with("use");
        let begins = !before.ends_with("::") && after.starts_with("::");
        imported || begins
    })
}

/// What stands before and after each occurrence of `word` as a whole word.
fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .map(move |(at, _)| (&line[..at], &line[at + word.len()..]))
        .filter(move |(before, after)| !before.ends_with(is_part) && !after.starts_with(is_part))
}

/// Forbidden names in `use std::{...}`, over as many lines as it takes.
fn grouped(code: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (at, open) in code.match_indices("std::{") {
        let list = &code[at + open.len()..];
        let list = list.split(';').next().unwrap_or(list);
        let mut depth = 0_i32;
        let mut top = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                c if depth == 0 => top.push(c),
                _ => {}
            }
        }
        let names: Vec<&str> = top.split(',').map(first_segment).collect();
        found.extend(FORBIDDEN_STD.iter().filter(|name| names.contains(name)));
    }
    found
}

fn first_segment(path: &str) -> &str {
    let path = path.trim();
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    &path[..end.unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fake;

    fn found(path: &str, text: &str) -> usize {
        purity(&fake(&[(path, text)])).len()
    }

    #[test]
    fn impure_code_is_found() {
        for line in [
            "use tokio::time;",
            "use kube::Api;",
            "use gix;",
            "let t = std::time::SystemTime::now();",
            "let t = Instant::now();",
            "let t = jiff::Timestamp::now();",
            "std::fs::read(path)?;",
            "use std::{collections::BTreeMap, fs};",
            "use std::{\n    env::var,\n    fmt,\n};",
            "let id = Uuid::now_v7();",
            "pub async fn decide() {}",
            "fn f() -> tonic::Status {}",
        ] {
            for folder in ["hub/src/core", "spoke/src/core/apply", "proto/src"] {
                assert_eq!(found(&format!("{folder}/x.rs"), line), 1, "{line}");
            }
            assert_eq!(found("hub/src/source/x.rs", line), 0);
        }
    }

    #[test]
    fn pure_code_is_not() {
        for line in [
            "// tokio::time is not used",
            "let kube = \"std::fs::read\"; // tokio::spawn",
            "let operand = rand_like::thing();",
            "fn plan(now: Timestamp) {}",
            "use std::{collections::{BTreeMap, BTreeSet}, fmt};",
            "let env = labels.get(&env);",
        ] {
            assert_eq!(found("hub/src/core/x.rs", line), 0, "{line}");
        }
    }

    #[test]
    fn only_the_wire_names_tonic() {
        let line = "tonic::include_proto!(\"x\");";
        assert_eq!(found("proto/src/convert/head.rs", line), 0);
        assert_eq!(found("proto/src/convert/head.rs", "tokio::spawn(x);"), 1);
        assert_eq!(found("proto/src/lib.rs", line), 0);
        assert_eq!(found("hub/src/core/x.rs", line), 1);
        assert_eq!(found("proto/src/lib.rs", "tonic::Status::ok(x);"), 1);
    }
}
