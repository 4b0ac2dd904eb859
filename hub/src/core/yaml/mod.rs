//! YAML and JSON → values that know where they were written. One reader for
//! manifests and for our own files: kubectl's reading of YAML 1.1 (`yes` is
//! true, `0644` is 420), strict where kubectl is lax (duplicate keys, unknown
//! tags), and bounded whatever comes in.
//!
//! The events are those of serde-saphyr's parser; the scalars are resolved here
//! because only the rules of kubectl's own library give kubectl's own values.

mod json;
mod parse;
mod quote;
mod scalar;

use serde_json::{Map, Number, Value as Json};

pub use parse::parse;
pub use quote::{hidden, quoted};

/// What to do about a text that cannot be read.
pub const HELP: &str = "mend the file at this place; until then what was there before stays";
/// Bytes of one text. The bundles of CustomResourceDefinitions that people commit as one file have 2 or 3 MiB, and a fleet
/// of 10,000 clusters in one file has 2.
pub const BYTES: usize = 4 << 20;
/// Documents of one text: a fleet of 10,000 clusters in one file, some times over; each costs at least a note if it is
/// nothing.
pub const DOCUMENTS: usize = 50_000;
/// Values and keys of one text, repeated ones counted as often as they are held: manifests of [`BYTES`] have a third of
/// this, and in memory it is about 100 MiB.
pub const NODES: usize = 1_000_000;
/// Deepest nesting read: kubectl manifests stay below 30; a bomb does not.
pub const DEPTH: usize = 64;
/// All aliases together may expand to this many times the input: sharing a block is fine, a "billion laughs" is not.
pub const EXPANSION: usize = 10;

/// A place in a text, both from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// What may still be read of a text.
#[derive(Debug)]
struct Budget {
    documents: usize,
    nodes: usize,
}

impl Budget {
    fn new() -> Self {
        Self { documents: DOCUMENTS, nodes: NODES }
    }

    fn document(&mut self) -> Result<(), String> {
        let rest = self.documents.checked_sub(1);
        self.documents = rest.ok_or_else(|| format!("more than {DOCUMENTS} documents in one file"))?;
        Ok(())
    }

    fn nodes(&mut self, count: usize) -> Result<(), String> {
        let rest = self.nodes.checked_sub(count);
        self.nodes = rest.ok_or_else(|| format!("more than {NODES} values in one file"))?;
        Ok(())
    }
}

/// Why a text cannot be read. Never quotes a value: it may be a Secret's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// Where.
    pub at: Mark,
    /// Why.
    pub message: String,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Mark,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number; integers are exact.
    Number(Number),
    /// A string.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order it was written, without duplicates.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: Mark,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of `key`, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
                Json::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }
}
