//! Canonical JSON (RFC 8785), so that equal meaning is equal bytes and a digest
//! names a meaning. Integers keep all their digits, also beyond 2^53, because
//! Kubernetes objects carry 64-bit integers; the libraries that implement the
//! RFC to the letter turn them into doubles, which is why this writer exists.

use serde::Serialize;
use serde_json::{Number, Value};

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The value cannot be written as JSON (a non-string map key, a float that is not finite).
    #[error("value cannot be written as canonical JSON")]
    Serialize(#[source] serde_json::Error),
}

/// The canonical bytes of `value`.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(CanonicalError::Serialize)?;
    Ok(value_to_bytes(&value))
}

/// The canonical bytes of a JSON value, which always has some.
pub fn value_to_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    match number.as_f64().filter(|_| number.is_f64()) {
        // RFC 8785 §3.2.2.3: doubles as ECMAScript prints them.
        Some(double) => out.extend_from_slice(ryu_js::Buffer::new().format(double).as_bytes()),
        None => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // serde_json escapes exactly what RFC 8785 §3.2.2.2 asks for.
    serde_json::to_writer(out, text).expect("a string can be written to memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sorts_keys_by_utf16_and_keeps_integers() {
        let value = json!({"b": 1, "a": {"z": [3, 2], "é": null}, "big": 9007199254740993_u64, "neg": -9223372036854775808_i64, "f": 1.50, "whole": 1000.0});
        let text = String::from_utf8(to_bytes(&value).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"a":{"z":[3,2],"é":null},"b":1,"big":9007199254740993,"f":1.5,"neg":-9223372036854775808,"whole":1000}"#
        );
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let keys = json!({"\u{20ac}": "Euro", "\r": "CR", "\u{fb33}": "Hebrew", "1": "One", "\u{1f600}": "Smiley", "\u{80}": "Control", "\u{f6}": "Latin"});
        let text = String::from_utf8(to_bytes(&keys).unwrap()).unwrap();
        let order: Vec<_> = ["CR", "One", "Control", "Latin", "Euro", "Smiley", "Hebrew"]
            .iter()
            .map(|name| text.find(name).unwrap())
            .collect();
        assert!(order.is_sorted(), "{text}");
        let numbers: Value =
            serde_json::from_str(r#"[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]"#)
                .unwrap();
        assert_eq!(to_bytes(&numbers).unwrap(), b"[333333333.3333333,1e+30,4.5,0.002,1e-27]");
        let text = json!("\u{20ac}$\u{f}\nA'B\"\\\\\"/");
        assert_eq!(to_bytes(&text).unwrap(), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"".as_bytes());
    }
}
