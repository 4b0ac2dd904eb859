//! Notes on files of this machine, as the compiler of a language prints them.

use std::path::Path;

use rimward_hub::core::model::SourceTree;
use rimward_hub::core::note::{Note, Severity};
use serde_json::{Value, json};

use super::quote::quote;
use super::text::clean;

/// Bold, in the colour of the severity.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

/// The files that a note is about.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// Where they are.
    pub dir: &'a Path,
    /// What is in them.
    pub tree: &'a SourceTree,
}

impl Files<'_> {
    /// A file, as it can be opened from here.
    pub fn path(&self, file: &str) -> String {
        match (self.dir == Path::new("."), file) {
            (true, "") => ".".to_owned(),
            (true, file) => file.to_owned(),
            (false, "") => self.dir.display().to_string(),
            (false, file) => self.dir.join(file).display().to_string(),
        }
    }
}

/// The word for a severity.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// A note for people, with the line it is about.
pub fn text(note: &Note, files: Files<'_>, color: bool) -> String {
    let paint = |code: &str, text: &str| match color {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let severity_color = match note.severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Info => GREEN,
    };
    let head = format!("{}[{}]", severity(note.severity), note.code);
    let message = clean(&note.message);
    let mut out = format!("{}{}\n", paint(severity_color, &head), paint(BOLD, &format!(": {message}")));
    let quoted = quote(files.tree, &note.at);
    let number = if quoted.is_some() { note.at.line.to_string() } else { String::new() };
    let margin = " ".repeat(number.len());
    if note.at != Default::default() {
        let mut at = note.at.clone();
        at.file = files.path(&at.file);
        out.push_str(&format!("{margin}{} {}\n", paint(BLUE, "-->"), clean(&at.to_string())));
    }
    if let Some(quoted) = quoted {
        let bar = paint(BLUE, "|");
        out.push_str(&format!("{margin} {bar}\n"));
        out.push_str(&format!("{} {bar} {}\n", paint(BLUE, &number), quoted.line));
        if let Some(start) = quoted.start {
            let carets = paint(severity_color, &"^".repeat(quoted.length.max(1)));
            out.push_str(&format!("{margin} {bar} {}{carets}\n", " ".repeat(start)));
        }
    }
    if !note.help.is_empty() {
        out.push_str(&format!("{margin} {} help: {}\n", paint(BLUE, "="), clean(&note.help)));
    }
    out
}

/// A note as the API has it.
pub fn value(note: &Note) -> Value {
    json!({
        "severity": note.severity,
        "code": note.code,
        "file": note.at.file,
        "line": note.at.line,
        "column": note.at.column,
        "message": note.message,
        "help": note.help,
    })
}

/// `1 error`, `2 errors`.
pub fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}
