//! Objects as they may be shown. A Secret's field names stay, and of its values
//! only whether they change: neither a value nor a hash of one, nor its length,
//! from which a short one could be guessed.

use rimward_proto::ObjectKey;
use serde_json::{Map, Value};

/// What stands for a value that is not shown.
const HIDDEN: &str = "(not shown)";
/// What stands for one that is not as it was.
const CHANGED: &str = "(not shown, changed)";

/// Both sides of an object, as they may be shown.
pub(super) fn shown(
    key: &ObjectKey,
    before: Option<Value>,
    after: Option<Value>,
) -> (Option<Value>, Option<Value>) {
    if !is_secret(key) {
        return (before, after);
    }
    let hidden_before = before.as_ref().map(|value| secret(value, None));
    let hidden_after = after.as_ref().map(|value| secret(value, before.as_ref()));
    (hidden_before, hidden_after)
}

/// True of Secrets, and of whatever is called so in another group or case: to hide too much is no harm.
pub(super) fn is_secret(key: &ObjectKey) -> bool {
    key.kind.eq_ignore_ascii_case("Secret") || key.kind.eq_ignore_ascii_case("SecretList")
}

fn secret(value: &Value, other: Option<&Value>) -> Value {
    let Value::Object(fields) = value else { return mark(value, other, other.is_some()) };
    let compare = other.is_some();
    let shown = fields.iter().map(|(name, field)| {
        let other = other.and_then(|other| other.get(name));
        let plain = match name.as_str() {
            "apiVersion" | "kind" | "type" => field.is_string(),
            "immutable" => field.is_boolean(),
            _ => false,
        };
        let shown = match name.as_str() {
            _ if plain => field.clone(),
            "metadata" => metadata(field, other, compare),
            "data" | "stringData" => values(field, other, compare),
            _ => mark(field, other, compare),
        };
        (name.clone(), shown)
    });
    Value::Object(shown.collect())
}

fn metadata(value: &Value, other: Option<&Value>, compare: bool) -> Value {
    let Value::Object(fields) = value else { return mark(value, other, compare) };
    let shown = fields.iter().map(|(name, field)| {
        let other = other.and_then(|other| other.get(name));
        let shown = match name.as_str() {
            "name" | "namespace" if field.is_string() => field.clone(),
            "labels" => labels(field, other, compare),
            _ => values(field, other, compare),
        };
        (name.clone(), shown)
    });
    Value::Object(shown.collect())
}

/// Labels select; whoever keeps a secret in one shows it to everybody already.
fn labels(value: &Value, other: Option<&Value>, compare: bool) -> Value {
    let strings = |labels: &Map<String, Value>| labels.values().all(Value::is_string);
    if value.as_object().is_some_and(strings) { value.clone() } else { mark(value, other, compare) }
}

/// A mapping without its values; anything else whole.
fn values(value: &Value, other: Option<&Value>, compare: bool) -> Value {
    let Value::Object(fields) = value else { return mark(value, other, compare) };
    let other = |name: &String| other.and_then(|other| other.get(name));
    Value::Object(
        fields.iter().map(|(name, field)| (name.clone(), mark(field, other(name), compare))).collect(),
    )
}

/// One value. Of one that is new nothing is said but that it is there: its line is new.
fn mark(value: &Value, other: Option<&Value>, compare: bool) -> Value {
    let changed = compare && other.is_some_and(|other| other != value);
    Value::from(if changed { CHANGED } else { HIDDEN })
}
