//! Reading a status: the parts that kinds have in common.

use serde_json::Value;

use super::Health;
use super::text::{Clip, HEALTH_BYTES};

/// A number of the status, 0 if it is not there: the API leaves zeros out.
pub fn count(object: &Value, field: &str) -> i64 {
    number(object, &format!("/status/{field}")).unwrap_or(0)
}

/// A number anywhere.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// A text anywhere.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// A condition of the status.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a>(&'a Value);

impl<'a> Condition<'a> {
    /// The condition of this type.
    pub fn of(object: &'a Value, name: &str) -> Option<Self> {
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let found = conditions.iter().find(|condition| text(condition, "/type") == Some(name));
        found.map(Self)
    }

    /// `True`, `False` or `Unknown`.
    pub fn is(self, status: &str) -> bool {
        text(self.0, "/status") == Some(status)
    }

    /// Its reason, empty if it gives none.
    pub fn reason(self) -> &'a str {
        text(self.0, "/reason").unwrap_or_default()
    }

    /// What it says, for people: reason and message, as far as given.
    pub fn says(self) -> String {
        let message = text(self.0, "/message").unwrap_or_default();
        let said = match (self.reason(), message) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        };
        said.clip(HEALTH_BYTES)
    }

    /// True if it says that it speaks of an older generation of the object.
    pub fn is_stale(self, object: &Value) -> bool {
        let seen = number(self.0, "/observedGeneration");
        seen.zip(number(object, "/metadata/generation")).is_some_and(|(seen, now)| seen < now)
    }
}

/// True if the status says that it speaks of an older generation; `must_say`: it is of a kind that always says, so
/// that silence is old too.
pub fn is_stale(object: &Value, must_say: bool) -> bool {
    let Some(generation) = number(object, "/metadata/generation") else { return false };
    match number(object, "/status/observedGeneration") {
        Some(observed) => observed < generation,
        None => must_say,
    }
}

/// What is said while the status is old.
pub fn stale() -> Health {
    Health::Progressing("its controller has not seen this generation yet".to_owned())
}

/// Progressing if one of the counts is short of what is wanted.
pub fn at_least(wanted: i64, found: &[(&str, i64)]) -> Option<String> {
    let (what, count) = found.iter().find(|(_, count)| *count < wanted)?;
    Some(format!("{count} of {wanted} {what}"))
}
