//! A JSON value as lines of YAML, made for comparing: every value has lines of
//! its own that no other value has, and a text of several lines stands in
//! several, so that one changed line of it is one changed line here.

use serde_json::Value;

use crate::core::yaml::{hidden, quoted};

/// The lines of a value.
pub(super) fn lines(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    put(value, "", 0, &mut out);
    out
}

/// Writes a value behind `lead`, which stands on its first line; what follows is indented.
fn put(value: &Value, lead: &str, indent: usize, out: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut lead = lead.to_owned();
            for (key, value) in map {
                let key = format!("{lead}{}:", quoted(key));
                lead = " ".repeat(indent);
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        out.push(key);
                        put(value, &" ".repeat(indent + 2), indent + 2, out);
                    }
                    // A list may stand as deep as its key.
                    Value::Array(items) if !items.is_empty() => {
                        out.push(key);
                        put(value, &lead, indent, out);
                    }
                    scalar => leaf(scalar, &format!("{key} "), indent + 2, out),
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let mut lead = lead.to_owned();
            for item in items {
                put(item, &format!("{lead}- "), indent + 2, out);
                lead = " ".repeat(indent);
            }
        }
        scalar => leaf(scalar, lead, indent, out),
    }
}

fn leaf(value: &Value, lead: &str, indent: usize, out: &mut Vec<String>) {
    match value {
        // A text that is all there is has nothing to be indented against.
        Value::String(text) if indent > 0 && text.trim_end_matches('\n').contains('\n') => {
            several(text, lead, indent, out);
        }
        Value::String(text) => out.push(format!("{lead}{}", quoted(text))),
        // null, true, numbers, {} and [] are the same in both.
        other => out.push(format!("{lead}{other}")),
    }
}

/// A text of several lines: as it is if all of it can be seen, else each line quoted.
fn several(text: &str, lead: &str, indent: usize, out: &mut Vec<String>) {
    let pad = " ".repeat(indent);
    if text.chars().any(|c| c != '\n' && hidden(c)) {
        out.push(lead.trim_end().to_owned());
        out.extend(text.split_inclusive('\n').map(|line| format!("{pad}{}", always_quoted(line))));
        return;
    }
    let end = match text.trim_end_matches('\n').len() {
        whole if whole == text.len() => "-",
        whole if whole + 1 == text.len() => "",
        _ => "+",
    };
    // Says where a first line that itself begins with a space begins.
    let deep = if text.starts_with([' ', '\n']) { "2" } else { "" };
    out.push(format!("{lead}|{deep}{end}"));
    let text = text.strip_suffix('\n').unwrap_or(text);
    out.extend(
        text.split('\n').map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") }),
    );
}

fn always_quoted(text: &str) -> String {
    let quoted = quoted(text);
    if quoted.starts_with('"') { quoted } else { format!("\"{quoted}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn reads_as_people_write_it() {
        let value = json!({"kind": "ConfigMap", "data": {"app.conf": "a = 1\nb = 2\n", "n": "1", "tabs": "a:\n\tb\n"},
            "list": [{"name": "x", "ports": [80, 81]}, [], ["y"]]});
        let expected = [
            "data:",
            "  app.conf: |",
            "    a = 1",
            "    b = 2",
            "  \"n\": \"1\"",
            "  tabs:",
            "    \"a:\\n\"",
            "    \"\\U00000009b\\n\"",
            "kind: ConfigMap",
            "list:",
            "- name: x",
            "  ports:",
            "  - 80",
            "  - 81",
            "- []",
            "- - \"y\"",
        ];
        assert_eq!(lines(&value), expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[a1 \n:\\-|\t]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ab:\n -]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What differs is seen: a reader of YAML gets the value back, so no two values have the same lines.
        #[test]
        fn another_reader_reads_the_same(value in any_json()) {
            // Texts in quoted pieces are ours alone.
            prop_assume!(!value.to_string().contains("\\t"));
            let text = lines(&value).join("\n") + "\n";
            let read: Value = serde_yaml::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }

        /// Nothing hidden is in a line.
        #[test]
        fn nothing_is_hidden(value in any_json()) {
            prop_assert!(lines(&value).iter().all(|line| !line.chars().any(hidden)));
        }
    }
}
