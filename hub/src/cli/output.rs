//! Printing: tables without borders, and the API's answers as they are.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::args::{Color, Global, Output};
use super::exit::{Exit, Failure};
use super::text;

/// Writes to stdout. A reader that has gone away (`| head`) has seen enough: that is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            std::process::exit(Exit::Yes.code().into())
        }
        written => written.map_err(|error| Failure::new(Exit::No, format!("cannot write: {error}"))),
    }
}

/// Says something on stderr, unless told to be quiet.
pub fn say(global: &Global, text: impl AsRef<str>) {
    if !global.quiet {
        eprintln!("{}", text::clean_lines(text.as_ref()));
    }
}

/// The API's answer as JSON or YAML; none for the formats made for people.
pub fn document(format: Output, value: &Value) -> Option<String> {
    match format {
        Output::Json => Some(text::clean_json(&format!("{value:#}\n"))),
        Output::Yaml => Some(super::yaml::to_string(value)),
        _ => None,
    }
}

/// True if states are to be coloured.
pub fn colored(global: &Global) -> bool {
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    }
}

/// A table: columns padded to their widest cell, two spaces apart, no space at the end of a line.
pub fn table(header: &[&str], rows: &[Vec<String>], color: bool) -> String {
    let cleaned: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| text::clean(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = cleaned.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    let names: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    push_row(&mut out, &names, &widths, header, false);
    for row in &cleaned {
        push_row(&mut out, row, &widths, header, color);
    }
    out
}

fn push_row(out: &mut String, row: &[String], widths: &[usize], header: &[&str], color: bool) {
    let mut line = String::new();
    for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
        if i > 0 {
            line.push_str("  ");
        }
        let pad = " ".repeat(width - cell.chars().count());
        let paint = (color && header.get(i) == Some(&"STATE")).then(|| paint(cell)).flatten();
        match paint {
            Some(code) => line.push_str(&format!("\u{1b}[{code}m{cell}\u{1b}[0m{pad}")),
            None => line.push_str(&format!("{cell}{pad}")),
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Green is for Ready alone.
fn paint(state: &str) -> Option<u8> {
    Some(match state {
        "Ready" => 32,
        "Failed" | "Offline" | "Revoked" => 31,
        "Held" | "Stale" | "Waiting" | "Paused" => 33,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let rows = vec![
            vec!["eu-1".into(), "Ready".into(), "".into()],
            vec!["us-west-1".into(), "Offline".into(), "x\u{1b}y".into()],
        ];
        let expected = "NAME       STATE    MESSAGE\neu-1       Ready\nus-west-1  Offline  x\\u{1b}y\n";
        assert_eq!(table(&["NAME", "STATE", "MESSAGE"], &rows, false), expected);
        let colored = table(&["NAME", "STATE", "MESSAGE"], &rows, true);
        assert!(colored.contains("eu-1       \u{1b}[32mReady\u{1b}[0m\n"), "{colored}");
    }
}
