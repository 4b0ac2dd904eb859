//! The line that a note is about, as a compiler would quote it. A Secret's value
//! is never quoted, nor is anything of a file in which one may be.

use rimward_hub::core::model::SourceTree;
use rimward_hub::core::note::Position;
use rimward_hub::core::yaml::{self, Node, Value};

use super::text::hidden;

/// Characters of a line that are shown: what fits beside a line number on most terminals.
const WIDTH: usize = 120;
/// Characters shown before the place when a line does not fit.
const BEFORE: usize = 40;

/// A line and the part of it that is meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Quote {
    /// The line, or the part of it around the place; each character takes one place of a terminal's line, as far as
    /// characters do.
    pub line: String,
    /// Characters before the part that is meant; none for the whole line.
    pub start: Option<usize>,
    /// Characters of the part.
    pub length: usize,
}

/// Quotes the place; none if there is nothing to quote, or nothing that may be.
pub fn quote(tree: &SourceTree, at: &Position) -> Option<Quote> {
    let bytes = tree.files.get(&at.file).filter(|bytes| may_quote(bytes))?;
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let number = usize::try_from(at.line).ok()?.checked_sub(1)?;
    let line = text.lines().nth(number)?.trim_end();
    let plain = |c: char| if hidden(c) { '\u{fffd}' } else { c };
    let chars: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { plain(c) }).collect();
    let Some(start) = usize::try_from(at.column).ok()?.checked_sub(1).filter(|start| *start < chars.len())
    else {
        return Some(Quote { line: chars.iter().take(WIDTH).collect(), start: None, length: 0 });
    };
    let first = if chars.len() <= WIDTH { 0 } else { start.saturating_sub(BEFORE) };
    let shown = &chars[first..chars.len().min(first + WIDTH)];
    let start = start - first;
    let length = word(&shown[start..]);
    Some(Quote { line: shown.iter().collect(), start: Some(start), length })
}

/// Characters of the word that a text begins with.
fn word(text: &[char]) -> usize {
    let Some(first) = text.first() else { return 1 };
    if matches!(first, '"' | '\'') {
        return text.iter().skip(1).position(|c| c == first).map_or(text.len(), |end| end + 2);
    }
    let ends = |i: usize| match text[i] {
        ' ' | ',' | '[' | ']' | '{' | '}' => true,
        ':' => text.get(i + 1).is_none_or(|next| *next == ' '),
        _ => false,
    };
    (1..text.len()).find(|i| ends(*i)).unwrap_or(text.len())
}

/// True unless a Secret is, or may be, in the file.
fn may_quote(bytes: &[u8]) -> bool {
    let word = b"secret";
    // Letters may be written as escapes, so what has any is looked at closely too.
    if !bytes.contains(&b'\\') && !bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)) {
        return true;
    }
    yaml::parse(bytes).is_ok_and(|nodes| !nodes.iter().any(has_secret))
}

/// True of a Secret, also within a list of objects.
fn has_secret(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => {
            let kind = node.get("kind").and_then(Node::text);
            kind == Some("Secret") || entries.iter().any(|entry| has_secret(&entry.node))
        }
        Value::List(items) => items.iter().any(has_secret),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn quoted(text: &str, line: u32, column: u32) -> Option<(String, String)> {
        let files = [("f.yaml".to_owned(), Arc::from(text.as_bytes()))].into();
        let tree = SourceTree { files, ..SourceTree::default() };
        let quote = quote(&tree, &Position { file: "f.yaml".into(), line, column })?;
        let meant = quote.start.map(|start| quote.line.chars().skip(start).take(quote.length).collect());
        Some((quote.line, meant.unwrap_or_default()))
    }

    #[test]
    fn the_word_at_the_place_is_meant() {
        let text = "a: {b: [one, two]}\r\n  namespce: x # y\nurl: \"a b\" x\nä: 'x\nhttp://x: 1\n";
        for (line, column, meant) in [
            (1, 1, "a"),
            (1, 4, "{b"),
            (1, 9, "one"),
            (1, 14, "two"),
            (2, 3, "namespce"),
            (3, 6, "\"a b\""),
            (4, 4, "'x"),
            (5, 1, "http://x"),
            (1, 0, ""),
            (1, 99, ""),
        ] {
            assert_eq!(quoted(text, line, column).unwrap().1, meant, "{line}:{column}");
        }
        assert_eq!(quoted(text, 9, 1), None);
        assert_eq!(quoted(text, 0, 0), None);
        assert_eq!(quoted("\u{feff}a\u{1b}[31m: b", 1, 1).unwrap().0, "a\u{fffd}[31m: b");
    }

    #[test]
    fn a_long_line_is_quoted_around_the_place() {
        let text = format!("{}, here, {}", "x".repeat(500), "y".repeat(500));
        let (line, meant) = quoted(&text, 1, 503).unwrap();
        assert_eq!((line.chars().count(), meant.as_str()), (WIDTH, "here"));
    }

    #[test]
    fn what_may_be_a_secret_is_not_quoted() {
        let secret = "kind: Secret\ndata: {password: aHVudGVyMg==}\n";
        for text in [
            secret.to_owned(),
            format!("kind: List\nitems:\n- {{{}}}\n", secret.trim().replace('\n', ", ")),
            format!("kind: ConfigMap\n---\n{secret}"),
            secret.replace("Secret", "\"S\\u0065cret\""),
            format!("{secret}broken: [\n"),
            format!("{}broken: [\n", secret.replace("Secret", "secret")),
        ] {
            assert_eq!(quoted(&text, 2, 1), None, "{text}");
        }
        let policy = "kind: Fleet\nspec: {deletion: {protect: [Secret], maxPerPlan: x}}\n";
        assert_eq!(quoted(policy, 2, 1).unwrap().1, "spec");
    }
}
