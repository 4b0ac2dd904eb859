//! Rules about the text of files.

use crate::files::{Files, rust};

/// What fits in one head, and in one review.
const LINES: usize = 400;

/// Lists written by tools, which nobody reads.
const GENERATED: [&str; 2] = ["Cargo.lock", "go.sum"];

/// Paths of one machine, and of material that is not in the repository. In
/// pieces, or this file would find itself.
const PLACES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("../sha", "red"), concat!("/root", "/wt"), concat!("/root", "/.cache")];

/// Rust files that are too long.
pub fn length(files: &Files) -> Vec<String> {
    rust(files)
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {LINES}"))
        .collect()
}

/// Rust files that do not begin by saying why they exist.
pub fn module_docs(files: &Files) -> Vec<String> {
    let documented = |text: &str| {
        let line = text.lines().find(|line| !line.trim().is_empty());
        line.and_then(|line| line.strip_prefix("//!")).is_some_and(|words| !words.trim().is_empty())
    };
    rust(files)
        .filter(|(_, text)| !documented(text))
        .map(|(path, _)| format!("{path}: does not begin with `//! why it exists`"))
        .collect()
}

/// Lines that name a place of one machine.
pub fn places(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let name = path.rsplit('/').next().unwrap_or(path);
        if GENERATED.contains(&name) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for place in PLACES.iter().filter(|place| names(line, place)) {
                found.push(format!("{path}:{}: names {place}", number + 1));
            }
        }
    }
    found
}

/// Whether the place stands for itself there; in the middle of another path
/// or URL it is nobody's machine.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fake;

    #[test]
    fn a_long_file_is_found() {
        let long = "x\n".repeat(LINES + 1);
        let fits = "x\n".repeat(LINES);
        let files = fake(&[("a.rs", &long), ("b.rs", &fits), ("c.md", &long)]);
        assert_eq!(length(&files), ["a.rs: 401 lines, at most 400"]);
    }

    #[test]
    fn a_module_without_a_reason_is_found() {
        let files = fake(&[
            ("none.rs", "fn main() {}\n"),
            ("outer.rs", "/// of the item\nfn main() {}\n"),
            ("empty.rs", "//!\nfn main() {}\n"),
            ("good.rs", "\n//! Why.\n"),
        ]);
        let found = module_docs(&files).join("\n");
        assert_eq!(found.lines().count(), 3);
        assert!(!found.contains("good.rs"), "{found}");
    }

    #[test]
    fn a_place_is_found_wherever_it_stands() {
        for place in PLACES {
            let text = format!("fine\nsee `{place}x`\n");
            assert_eq!(places(&fake(&[("a.md", &text)])).len(), 1, "{place}");
            assert!(places(&fake(&[("go.sum", &text)])).is_empty());
        }
        let inside = format!("docs{}x", PLACES[0]);
        assert!(places(&fake(&[("a.md", &inside)])).is_empty());
    }
}
