//! JSON → [`Node`]s. JSON is read by a JSON parser, because YAML does not know
//! all of its escapes; duplicate keys are refused as in YAML.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{DEPTH, Entry, Mark, Node, Value, YamlError};

/// The JSON values in `text`, one after the other; `None` if it is not JSON. The values know only where their document
/// begins.
pub(super) fn parse(text: &str) -> Result<Option<Vec<Node>>, YamlError> {
    let mut documents = Vec::new();
    let mut rest = text;
    loop {
        let skipped = rest.len() - rest.trim_start().len();
        rest = &rest[skipped..];
        if rest.is_empty() {
            return Ok(Some(documents));
        }
        let at = mark(text, text.len() - rest.len());
        let mut json = serde_json::Deserializer::from_str(rest);
        match (Seed { at, depth: 1 }).deserialize(&mut json) {
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

fn mark(text: &str, offset: usize) -> Mark {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Mark { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}

#[derive(Clone, Copy)]
struct Seed {
    at: Mark,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > DEPTH {
            return Err(serde::de::Error::custom(format!("nested deeper than {DEPTH}")));
        }
        let value = deserializer.deserialize_any(self)?;
        Ok(Node { at: self.at, value })
    }
}

impl<'de> Visitor<'de> for Seed {
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
        let seed = Seed { at: self.at, depth: self.depth + 1 };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let seed = Seed { at: self.at, depth: self.depth + 1 };
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
