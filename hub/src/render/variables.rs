//! Variables in objects: `${name}` in parsed strings, and nowhere else. Only
//! names that the App declares, and built-in ones, mean anything; every other `$`
//! stays where it is, so that scripts survive.

use std::collections::BTreeSet;

use rimward_proto::limits;
use rimward_proto::object::is_secret;
use serde_json::Value as Json;

use crate::core::changes::{Scalar, Variable};
use std::collections::BTreeMap;

/// The built-in variable that is the cluster's name.
pub const CLUSTER_NAME: &str = "cluster.name";
/// What the names of the built-in variables begin with that are the cluster's labels.
pub const CLUSTER_LABELS: &str = "cluster.labels.";
/// Bytes of the longest name looked for: `cluster.labels.` and a label's key of 253 + 1 + 63.
const LONGEST: usize = CLUSTER_LABELS.len() + 317;

/// The names that mean something in an App.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a>(pub &'a BTreeMap<String, Variable>);

impl Known<'_> {
    fn has(self, name: &str) -> bool {
        let label = || name.strip_prefix(CLUSTER_LABELS).is_some_and(|key| !key.is_empty());
        self.0.contains_key(name) || name == CLUSTER_NAME || label()
    }
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    /// As it is.
    Text(&'t str),
    /// The name of a variable to be put in.
    Name(&'t str),
}

/// The parts of a text. `$${name}` is the text `${name}`: of the dollars before a known name in braces, the last is
/// taken out, and no other.
fn pieces<'t>(text: &'t str, known: Known<'_>) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = text[from..].find("${").map(|at| from + at) {
        let rest = &text.as_bytes()[open + 2..];
        let close = rest.iter().take(LONGEST + 1).position(|b| *b == b'}').map(|at| open + 2 + at);
        from = open + 2;
        let Some(close) = close else { continue };
        // Both ends are ASCII, so what is between them is text.
        let name = &text[open + 2..close];
        if !known.has(name) {
            continue;
        }
        let escaped = open > start && text.as_bytes()[open - 1] == b'$';
        let end = if escaped { open - 1 } else { open };
        pieces.push(Piece::Text(&text[start..end]));
        if escaped {
            pieces.push(Piece::Text(&text[open..=close]));
        } else {
            pieces.push(Piece::Name(name));
        }
        (start, from) = (close + 1, close + 1);
    }
    pieces.push(Piece::Text(&text[start..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// What of an object has to do with variables.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Names that are read.
    pub reads: BTreeSet<String>,
    /// True if anything is to be done, be it only to take an escaping dollar out.
    pub any: bool,
}

/// Looks for variables in an object.
pub fn find(object: &Json, known: Known<'_>) -> Found {
    let mut found = Found::default();
    visit(object, &mut |text| {
        if text.contains("${") {
            note(&mut found, &pieces(text, known), text);
        }
    });
    found
}

fn note(found: &mut Found, pieces: &[Piece<'_>], text: &str) {
    for piece in pieces {
        if let Piece::Name(name) = piece {
            found.reads.insert((*name).to_owned());
        }
    }
    found.any |= !matches!(pieces, [Piece::Text(all)] if *all == text) && !text.is_empty();
}

fn visit(value: &Json, see: &mut dyn FnMut(&str)) {
    match value {
        Json::String(text) => see(text),
        Json::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Json::Object(map) => map.values().for_each(|value| visit(value, see)),
        _ => {}
    }
}

/// A variable in what says which object it is: its kind, name or namespace. None may be there: an App has the same
/// objects in all its forms, and what guardrails and owners go by is in its files.
pub fn in_identity(object: &Json, known: Known<'_>) -> Option<(&'static str, String)> {
    let metadata = object.get("metadata");
    let fields = [
        ("apiVersion", object.get("apiVersion")),
        ("kind", object.get("kind")),
        ("metadata.name", metadata.and_then(|metadata| metadata.get("name"))),
        ("metadata.namespace", metadata.and_then(|metadata| metadata.get("namespace"))),
    ];
    fields.into_iter().find_map(|(field, value)| {
        let name = find(value?, known).reads.into_iter().next()?;
        Some((field, name))
    })
}

/// Why variables cannot be put into an object. Names variables, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// Puts values into an object. `value` gives the value of each name that [`find`] found.
pub fn substitute<'v>(
    object: &Json,
    known: Known<'_>,
    value: &dyn Fn(&str) -> Option<&'v Scalar>,
) -> Result<Json, Refused> {
    let text = |key: &str| object.get(key).and_then(Json::as_str).unwrap_or("");
    let core = !text("apiVersion").contains('/');
    let strings = core && (text("kind") == "ConfigMap" || is_secret("", text("kind")));
    let budget = usize::try_from(limits::OBJECT_BYTES).unwrap_or(usize::MAX);
    let mut put = Put { known, value, budget };
    put.value(object, if strings { Place::Data } else { Place::Top })
}

/// Where in an object something stands, as far as it says that only strings can be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The top of an object whose `data` has nothing but strings.
    Data,
    /// The top of any other object.
    Top,
    /// `metadata`, of the object or of a template in it.
    Metadata,
    /// A mapping of strings.
    Strings,
    /// The environment of a container.
    Env,
    /// Anywhere else.
    Any,
}

impl Place {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Place::Strings, _) => Place::Strings,
            (Place::Data, "data" | "stringData")
            | (Place::Metadata, "labels" | "annotations")
            | (Place::Env, "value")
            | (_, "matchLabels" | "nodeSelector") => Place::Strings,
            (_, "metadata") => Place::Metadata,
            (_, "env") => Place::Env,
            _ => Place::Any,
        }
    }
}

struct Put<'a, 'v> {
    known: Known<'a>,
    value: &'a dyn Fn(&str) -> Option<&'v Scalar>,
    /// Bytes that may still be put together.
    budget: usize,
}

impl Put<'_, '_> {
    fn value(&mut self, value: &Json, place: Place) -> Result<Json, Refused> {
        Ok(match value {
            Json::String(text) if text.contains("${") => self.text(text, place == Place::Strings)?,
            Json::Array(items) => {
                let items = items.iter().map(|item| self.value(item, place));
                Json::Array(items.collect::<Result<_, _>>()?)
            }
            Json::Object(map) => {
                let pairs =
                    map.iter().map(|(key, value)| Ok((key.clone(), self.value(value, place.below(key))?)));
                Json::Object(pairs.collect::<Result<_, _>>()?)
            }
            other => other.clone(),
        })
    }

    fn text(&mut self, text: &str, string: bool) -> Result<Json, Refused> {
        let pieces = pieces(text, self.known);
        if let [Piece::Name(name)] = pieces.as_slice()
            && !string
        {
            return Ok(self.of(name)?.to_json());
        }
        let alone = pieces.len() == 1;
        let mut whole = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Name(name) => whole.push_str(&self.in_text(name, alone)?),
            }
            if whole.len() > self.budget {
                let most = limits::OBJECT_BYTES;
                return Err(Refused(format!("with its variables it has more than {most} bytes")));
            }
        }
        self.budget -= whole.len();
        Ok(Json::String(whole))
    }

    fn of(&self, name: &str) -> Result<&Scalar, Refused> {
        (self.value)(name).ok_or_else(|| Refused(format!("variable `{name}` has no value")))
    }

    fn in_text(&self, name: &str, alone: bool) -> Result<String, Refused> {
        let what = if alone { "where only a string can be" } else { "within a longer text" };
        self.of(name)?.to_text().ok_or_else(|| {
            Refused(format!("variable `{name}` is a number with a fraction, {what}: put its value in quotes"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(names: &[&str]) -> BTreeMap<String, Variable> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), Variable { value: None, at: Default::default() }))
            .collect()
    }

    fn shown(text: &str) -> String {
        let declared = declared(&["x", "a-b"]);
        let show = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => format!("[{text}]"),
            Piece::Name(name) => format!("<{name}>"),
        };
        pieces(text, Known(&declared)).iter().map(show).collect()
    }

    #[test]
    fn what_is_a_variable_and_what_is_not() {
        for (text, wanted) in [
            ("${x}", "<x>"),
            ("a${x}b", "[a]<x>[b]"),
            ("${x}${a-b}", "<x><a-b>"),
            ("$${x}", "[${x}]"),
            ("$$${x}", "[$][${x}]"),
            ("$$$${x}", "[$$][${x}]"),
            ("${x}$${x}", "<x>[${x}]"),
            ("$x $(x) $$ ${y} ${x:-1} ${ x } ${x", "[$x $(x) $$ ${y} ${x:-1} ${ x } ${x]"),
            ("$${y} $$", "[$${y} $$]"),
            ("${${x}}", "[${]<x>[}]"),
            ("${cluster.name}", "<cluster.name>"),
            ("${cluster.labels.example.com/t-r_x}", "<cluster.labels.example.com/t-r_x>"),
            ("${cluster.labels.}${cluster.region}", "[${cluster.labels.}${cluster.region}]"),
            ("ä${x}ö${ü}", "[ä]<x>[ö${ü}]"),
            ("", ""),
            ("}${", "[}${]"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn many_openings_are_read_once_each() {
        let text = "${".repeat(500_000);
        assert_eq!(shown(&text), format!("[{text}]"));
    }
}
