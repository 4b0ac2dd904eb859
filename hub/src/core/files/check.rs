//! Reading a document strictly: every field is known or is an error with the
//! nearest known name, and one wrong field does not hide the next.

use rimward_proto::ids::IdError;
use rimward_proto::nearest::closest;

use crate::core::codes;
use crate::core::note::{Note, Notes, PER_FILE, Position, Severity};
use crate::core::yaml::{Mark, Node, Value};

/// The fields a mapping may have.
pub(super) struct Shape {
    /// Fields that are read.
    pub known: &'static [&'static str],
    /// Fields that are specified but not built yet.
    pub later: &'static [&'static str],
}

/// Collects what is wrong with one file.
pub(super) struct Check<'f> {
    pub file: &'f str,
    pub notes: Notes,
}

impl<'f> Check<'f> {
    pub fn new(file: &'f str) -> Self {
        Self { file, notes: Notes::new(PER_FILE) }
    }

    pub fn at(&self, mark: Mark) -> Position {
        Position { file: self.file.to_owned(), line: mark.line, column: mark.column }
    }

    pub fn error(&mut self, code: &str, mark: Mark, message: impl Into<String>) -> &mut Note {
        let note = Note::error(code, self.at(mark), message);
        self.notes.push(note)
    }

    pub fn failed(&self) -> bool {
        self.first_error().is_some()
    }

    pub fn first_error(&self) -> Option<&Note> {
        self.notes.iter().find(|note| note.severity == Severity::Error)
    }

    /// `node` as a mapping with these fields; says so of every other field.
    pub fn mapping<'n>(&mut self, node: &'n Node, what: &str, shape: &Shape) -> Option<&'n Node> {
        let Value::Map(entries) = &node.value else {
            self.error(codes::VALUE, node.at, format!("{what} must be a mapping, not {}", node.kind()))
                .help = "write its fields as `name: value`, or {} for none".to_owned();
            return None;
        };
        for entry in entries {
            let key = entry.key.as_str();
            if shape.later.contains(&key) {
                self.error(codes::NOT_BUILT, entry.at, format!("{what}: `{key}` is not built yet")).help =
                    "take it out for now".to_owned();
            } else if !shape.known.contains(&key) {
                let message = match closest(key, shape.known.iter().chain(shape.later)) {
                    Some(near) => format!("unknown field `{key}`, did you mean `{near}`?"),
                    None => format!("unknown field `{key}`"),
                };
                self.error(codes::UNKNOWN_FIELD, entry.at, message).help =
                    format!("fields of {what}: {}", shape.known.join(", "));
            }
        }
        Some(node)
    }

    pub fn required<'n>(&mut self, node: &'n Node, key: &str, what: &str) -> Option<&'n Node> {
        let found = node.get(key);
        if found.is_none() {
            let help = match key {
                "clusters" => "add it: `clusters: {}` means all of them, and must be said".to_owned(),
                key => format!("add `{key}`"),
            };
            self.error(codes::MISSING, node.at, format!("{what} needs `{key}`")).help = help;
        }
        found
    }

    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let found = node.text();
        if found.is_none() {
            let note =
                self.error(codes::VALUE, node.at, format!("{what} must be a string, not {}", node.kind()));
            note.help = match node.value {
                Value::Bool(_) | Value::Number(_) => "put it in quotes",
                _ => "write one text, as in `name: text`",
            }
            .to_owned();
        }
        found
    }

    /// The string at `key`, if there is one.
    pub fn optional_text<'n>(&mut self, node: &'n Node, key: &str) -> Option<(&'n str, Mark)> {
        let found = node.get(key)?;
        Some((self.text(found, &format!("`{key}`"))?, found.at))
    }

    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ => {
                self.error(codes::VALUE, node.at, format!("{what} must be a list, not {}", node.kind()))
                    .help = "write it as a list, as in [one, two]".to_owned();
                &[]
            }
        }
    }

    /// The list of strings at `key`; empty if there is none.
    pub fn texts(&mut self, node: &Node, key: &str) -> Vec<(String, Mark)> {
        let Some(found) = node.get(key) else { return Vec::new() };
        let what = format!("`{key}`");
        let items = self.list(found, &what);
        items.iter().filter_map(|item| Some((self.text(item, &what)?.to_owned(), item.at))).collect()
    }

    pub fn id<T>(&mut self, mark: Mark, id: Result<T, IdError>) -> Option<T> {
        let said = id.map_err(|error| {
            self.error(codes::VALUE, mark, error.to_string()).help =
                "use a-z, 0-9 and `-`, with a letter or digit at both ends".to_owned();
        });
        said.ok()
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, node: &Node, key: &str) -> Option<u64> {
        let found = node.get(key)?;
        match &found.value {
            Value::Number(number) if number.is_u64() => number.as_u64(),
            _ => {
                let message = format!("`{key}` must be a whole number, not {}", found.kind());
                self.error(codes::VALUE, found.at, message).help =
                    "write digits and nothing else, as in 20".to_owned();
                None
            }
        }
    }

    /// A duration such as `30s`, `5m`, `1h`, `7d`, in seconds, at least one.
    pub fn seconds(&mut self, node: &Node, key: &str) -> Option<u64> {
        let (text, at) = self.optional_text(node, key)?;
        let parsed = duration(text).filter(|seconds| *seconds > 0);
        if parsed.is_none() {
            self.error(codes::VALUE, at, format!("`{key}` is not a duration: {text:?}")).help =
                "write it like 30s, 5m, 1h or 7d".to_owned();
        }
        parsed
    }

    /// A size such as `512Ki`, `4Mi`, `1Gi`, in bytes.
    pub fn bytes(&mut self, node: &Node, key: &str) -> Option<u64> {
        let (text, at) = self.optional_text(node, key)?;
        let parsed = size(text);
        if parsed.is_none() {
            self.error(codes::VALUE, at, format!("`{key}` is not a size: {text:?}")).help =
                "write it like 512Ki, 4Mi or 1Gi".to_owned();
        }
        parsed
    }
}

/// A size such as `512Ki`, `4Mi`, `1Gi`, in bytes.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let unit = match unit {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    number.checked_mul(unit)
}

fn duration(text: &str) -> Option<u64> {
    let unit = match text.bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            (size("512Ki"), size("4Mi"), size("1Gi")),
            (Some(512 << 10), Some(4 << 20), Some(1 << 30))
        );
        for bad in ["", "Ki", "4", "4M", "4MB", "-4Mi", "1.5Gi", "+4Mi", "4 Mi", "9999999999999Gi", "4ä"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Some(30));
        assert_eq!(duration("7d"), Some(604_800));
        for bad in ["", "s", "5", "-5m", "1.5h", "5M", "99999999999999999999d", "+5s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
