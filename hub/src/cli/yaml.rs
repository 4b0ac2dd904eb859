//! JSON as YAML that every reader takes for the same values: block style, and
//! every string quoted that any version of YAML could read as something else.

use rimward_hub::core::yaml::quoted;
use serde_json::Value;

/// The document, ending with a line break.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) => block(value, 0, &mut out),
        scalar => out = scalar_text(scalar),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(&pad);
                }
                out.push_str(&quoted(key));
                out.push(':');
                if nested(value) {
                    // A list may stand as deep as its key.
                    let deeper = if value.is_array() { indent } else { indent + 2 };
                    out.push('\n');
                    out.push_str(&" ".repeat(deeper));
                    block(value, deeper, out);
                } else {
                    out.push(' ');
                    out.push_str(&scalar_text(value));
                    out.push('\n');
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                if nested(item) {
                    block(item, indent + 2, out);
                } else {
                    out.push_str(&scalar_text(item));
                    out.push('\n');
                }
            }
        }
        scalar => out.push_str(&scalar_text(scalar)),
    }
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        // null, true, numbers, {} and [] are the same in both.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn looks_as_people_write_it() {
        let value = json!({"kind": "ClusterList", "items": [{"name": "eu-1", "labels": {"payments": "yes"}, "n": 1},
            {"name": "1e3", "list": [[1, 2], []], "none": null}], "continue": "", "empty": {}});
        let expected = concat!(
            "continue: \"\"\nempty: {}\nitems:\n- labels:\n    payments: \"yes\"\n  \"n\": 1\n  name: eu-1\n",
            "- list:\n  - - 1\n    - 2\n  - []\n  name: \"1e3\"\n  none: null\nkind: ClusterList\n"
        );
        assert_eq!(to_string(&value), expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "(yes|no|0x1f|0644|1_000|1:30|~|null|- a|a: b|#c|true|2026-01-01|é|\\t|x y )"
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z:# -]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn another_reader_reads_the_same(value in any_json()) {
            let text = to_string(&value);
            let read: Value = serde_yaml::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
