//! JSON → [`Node`]s. JSON is read by a JSON parser, because YAML does not know
//! all of its escapes; duplicate keys are refused as in YAML.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{Budget, DEPTH, Entry, Mark, Node, Value, YamlError};

/// The JSON values in `text`, one after the other; `None` if it is not JSON. The values know only where their document
/// begins.
pub(super) fn parse(text: &str) -> Result<Option<Vec<Node>>, YamlError> {
    documents(text, &mut Place::new(text))
}

fn documents(text: &str, place: &mut Place<'_>) -> Result<Option<Vec<Node>>, YamlError> {
    let mut documents = Vec::new();
    let budget = RefCell::new(Budget::new());
    let mut rest = text;
    loop {
        let skipped = rest.len() - rest.trim_start().len();
        rest = &rest[skipped..];
        if rest.is_empty() {
            return Ok(Some(documents));
        }
        let at = place.go(text.len() - rest.len());
        budget.borrow_mut().document().map_err(|message| YamlError { at, message })?;
        let mut json = serde_json::Deserializer::from_str(rest);
        match (Seed { at, depth: 1, budget: &budget }).deserialize(&mut json) {
            Ok(node) => documents.push(node),
            Err(error) if error.is_data() => {
                let line = at.line + u32::try_from(error.line()).unwrap_or(1).saturating_sub(1);
                let column = u32::try_from(error.column()).unwrap_or(0);
                let message = reason(&error.to_string());
                return Err(YamlError { at: Mark { line, column }, message });
            }
            Err(_) => return Ok(None),
        }
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        stream.next();
        rest = &rest[stream.byte_offset()..];
    }
}

/// Our own words without serde_json's ` at line 1 column 2`.
fn reason(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// A place in a text that only goes forward, so that finding the places of all documents reads the text once.
struct Place<'t> {
    text: &'t str,
    offset: usize,
    at: Mark,
    /// Bytes looked at so far.
    looked: usize,
}

impl<'t> Place<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, offset: 0, at: Mark { line: 1, column: 1 }, looked: 0 }
    }

    /// Goes on to `offset`.
    fn go(&mut self, offset: usize) -> Mark {
        let passed = &self.text[self.offset..offset];
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let lines = passed.matches('\n').count();
        let rest = passed.rsplit('\n').next().unwrap_or("");
        let columns = number(rest.chars().count());
        let before = if lines == 0 { self.at.column } else { 1 };
        self.at =
            Mark { line: self.at.line.saturating_add(number(lines)), column: before.saturating_add(columns) };
        self.looked += passed.len();
        self.offset = offset;
        self.at
    }
}

#[derive(Clone, Copy)]
struct Seed<'b> {
    at: Mark,
    depth: usize,
    budget: &'b RefCell<Budget>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > DEPTH {
            return Err(serde::de::Error::custom(format!("nested deeper than {DEPTH}")));
        }
        self.budget.borrow_mut().nodes(1).map_err(serde::de::Error::custom)?;
        let value = deserializer.deserialize_any(self)?;
        Ok(Node { at: self.at, value })
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let seed = Seed { depth: self.depth + 1, ..self };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let seed = Seed { depth: self.depth + 1, ..self };
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if !seen.insert(key.clone()) {
                return Err(serde::de::Error::custom(format!("key `{key}` is there twice")));
            }
            let node = map.next_value_seed(seed)?;
            entries.push(Entry { key, at: self.at, node });
        }
        Ok(Value::Map(entries))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_where_they_begin_and_the_text_is_read_once() {
        let text = "{}\n {\"ä\":\n1}{}\n".repeat(1_000);
        let mut place = Place::new(&text);
        let documents = documents(&text, &mut place).unwrap().unwrap();
        let marks: Vec<_> = documents[..4].iter().map(|node| (node.at.line, node.at.column)).collect();
        assert_eq!(marks, [(1, 1), (2, 2), (3, 3), (4, 1)]);
        let last = documents.last().unwrap().at;
        assert_eq!((last.line, last.column), (3_000, 3));
        assert!(place.looked <= text.len(), "{} of {}", place.looked, text.len());
    }
}
