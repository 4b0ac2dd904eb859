//! What a scalar means: the rules of go-yaml v2 `resolve.go`, which kubectl
//! reads manifests with. YAML 1.1 with Go's number syntax, no base 60, and
//! timestamps stay strings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Number;

use super::Value;

/// Resolves an untagged plain scalar. `Err` for what JSON cannot say.
pub(super) fn plain(text: &str) -> Result<Value, &'static str> {
    Ok(match text.bytes().next() {
        None => Value::Null,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => word(text),
        Some(b'.') if not_finite(text) => return Err(NOT_FINITE),
        Some(b'.') => float(&separated(text)).unwrap_or_else(|| Value::Text(text.to_owned())),
        Some(b'+' | b'-') if matches!(&text[1..], ".inf" | ".Inf" | ".INF") => return Err(NOT_FINITE),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits)).unwrap_or_else(|| Value::Text(text.to_owned()))
        }
        Some(_) => Value::Text(text.to_owned()),
    })
}

const NOT_FINITE: &str = "infinity and NaN have no place in a Kubernetes object";

/// Resolves a scalar with an explicit tag of the YAML namespace.
pub(super) fn tagged(suffix: &str, text: &str) -> Result<Value, &'static str> {
    let resolved = || plain(text);
    match (suffix, resolved()) {
        ("str" | "timestamp", _) => Ok(Value::Text(text.to_owned())),
        ("binary", _) => binary(text),
        ("null", Ok(Value::Null)) => Ok(Value::Null),
        ("bool", Ok(value @ Value::Bool(_))) => Ok(value),
        ("int", Ok(Value::Number(number))) if !number.is_f64() => Ok(Value::Number(number)),
        ("float", Ok(value @ Value::Number(_))) => Ok(value),
        ("null" | "bool" | "int" | "float", _) => Err("the value is not what its tag says"),
        _ => Err("unknown tag"),
    }
}

fn binary(text: &str) -> Result<Value, &'static str> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| "!!binary is not base64")?;
    let text = String::from_utf8(bytes);
    text.map(Value::Text).map_err(|_| "!!binary that is not UTF-8 has no place in a Kubernetes object")
}

fn word(text: &str) -> Value {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Value::Null,
        _ => Value::Text(text.to_owned()),
    }
}

fn not_finite(text: &str) -> bool {
    matches!(text, ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF")
}

/// Without the underscores between digits, which Go's `strconv.ParseFloat` skips.
fn separated(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let inner = |at: usize| digit(at.checked_sub(1)) && digit(at.checked_add(1));
    text.char_indices().filter(|(at, c)| *c != '_' || !inner(*at)).map(|(_, c)| c).collect()
}

/// Go's `strconv.ParseInt` and `ParseUint` with base 0.
fn integer(text: &str) -> Option<Value> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    // Rust would take another sign here. Go does not, but go-yaml tries again for binary without one in front.
    if let Some(signed) = text.strip_prefix("0b").filter(|rest| rest.starts_with(['+', '-'])) {
        return i64::from_str_radix(signed, 2).ok().map(|value| Value::Number(value.into()));
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    let number = if negative {
        Number::from(0_i64.checked_sub_unsigned(magnitude)?)
    } else if text.starts_with('+') {
        Number::from(i64::try_from(magnitude).ok()?)
    } else {
        Number::from(magnitude)
    };
    Some(Value::Number(number))
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, and within the range of a double.
fn float(text: &str) -> Option<Value> {
    let shape = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let value: f64 = text.parse().ok().filter(|_| shape)?;
    Number::from_f64(value).map(Value::Number)
}

/// The text of a scalar used as a key, as `sigs.k8s.io/yaml` converts it for JSON.
pub(super) fn key(value: Value) -> Result<String, &'static str> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) if number.is_i64() => Ok(number.to_string()),
        _ => Err("a key must be a string, a boolean or an integer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> serde_json::Value {
        super::super::Node { at: Default::default(), value: plain(text).unwrap() }.to_json()
    }

    #[test]
    fn reads_what_kubectl_reads() {
        for (text, wanted) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nULL", json!("nULL")),
            ("y", json!(true)),
            ("no", json!(false)),
            ("Off", json!(false)),
            ("oN", json!("oN")),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("-0644", json!(-420)),
            ("08", json!(8.0)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("_1", json!("_1")),
            ("+5", json!(5)),
            ("--5", json!("--5")),
            ("0x", json!("0x")),
            ("0x-1", json!("0x-1")),
            ("9223372036854775807", json!(9223372036854775807_i64)),
            ("-9223372036854775808", json!(-9223372036854775808_i64)),
            ("18446744073709551615", json!(18446744073709551615_u64)),
            ("18446744073709551616", json!(18446744073709551616.0)),
            ("1e3", json!(1000.0)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            (".", json!(".")),
            ("-", json!("-")),
            ("1e999", json!("1e999")),
            ("1:30", json!("1:30")),
            ("2001-12-14", json!("2001-12-14")),
            ("2001-12-14T21:59:43Z", json!("2001-12-14T21:59:43Z")),
            ("1.2.3", json!("1.2.3")),
            ("10Mi", json!("10Mi")),
            (".0_7", json!(0.07)),
            ("._7", json!("._7")),
            ("0b-11", json!(-3)),
            ("0x-11", json!("0x-11")),
            ("-.NaN", json!("-.NaN")),
            ("infinity", json!("infinity")),
            ("nan", json!("nan")),
            ("=", json!("=")),
        ] {
            assert_eq!(read(text), wanted, "{text:?}");
        }
        assert!(plain(".inf").is_err() && plain("-.Inf").is_err() && plain(".NaN").is_err());
    }

    #[test]
    fn tags_are_obeyed_or_refused() {
        assert_eq!(tagged("str", "yes"), Ok(Value::Text("yes".into())));
        assert_eq!(tagged("binary", "aGVs\n bG8="), Ok(Value::Text("hello".into())));
        assert!(tagged("binary", "/w==").is_err());
        assert!(tagged("int", "x").is_err());
        assert!(tagged("set", "x").is_err());
    }
}
