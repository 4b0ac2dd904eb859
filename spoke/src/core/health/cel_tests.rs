//! Conditions: what they may say, what they say of an object, and that none of
//! them costs more than it may or ends the spoke.

use proptest::prelude::*;
use rimward_proto::limits::EXPRESSION_BYTES;
use serde_json::{Value, json};

use super::cel::{Expression, Subject};

fn thing() -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "a", "generation": 3, "labels": {"app.kubernetes.io/name": "thing"},
            "managedFields": [{"manager": "m"}]},
        "spec": {"size": 3, "weight": 1.5, "names": ["a", "b"]},
        "status": {"phase": "Running", "size": 3, "nothing": null, "conditions": [
            {"type": "Synced", "status": "True"}, {"type": "Healthy", "status": "False", "reason": "Slow"}]}
    })
}

fn says(text: &str) -> Result<bool, String> {
    Expression::compile(text)?.holds(&Subject::new(&thing())?)
}

#[test]
fn conditions_of_a_status() {
    for text in [
        "object.status.phase == 'Running'",
        "self.status.phase == object.status.phase",
        "object.status.size == object.spec.size && object.spec.weight > 1.0",
        "object.status.size + 1 == 4 && object.status.size < 4",
        "object.status.conditions.exists(c, c.type == 'Synced' && c.status == 'True')",
        "object.status.conditions.filter(c, c.status == 'True').map(c, c.type) == ['Synced']",
        "object.status.conditions.all(c, has(c.status))",
        "!has(object.status.error) && size(object.status.conditions) == 2",
        "object.metadata.labels['app.kubernetes.io/name'].startsWith('th')",
        "'a' in object.spec.names && object.status.phase in ['Running', 'Idle']",
        "object.status.phase == 'Running' ? object.status.nothing == null : false",
        "string(object.status.size) == '3' && int('3') == object.status.size && 'bcd'.contains('cd')",
        "size('äö') == 2 && 'x.yaml'.endsWith('.yaml')",
        "object.spec.names.exists(n, object.status.conditions.exists(c, c.reason == 'Slow' || n == 'a'))",
    ] {
        assert_eq!(says(text), Ok(true), "{text}");
    }
    assert_eq!(
        says("object.status.conditions.exists(c, c.type == 'Healthy' && c.status == 'True')"),
        Ok(false)
    );
}

#[test]
fn what_cannot_be_evaluated_says_why_and_is_neither_true_nor_false() {
    for (text, why) in [
        ("object.status.phases == 'Running'", "there is no \"phases\""),
        ("has(object.state.phase)", "there is no \"state\""),
        // The interpreter itself says false for these, and true for their negation.
        ("!object.status.phase.deep", "does not fit the types"),
        ("!object.status.conditions.ready", "Unexpected type"),
        ("!object.status.conditions.contains('Ready')", "Unexpected type"),
        ("!object.status.size.startsWith('3')", "Unexpected type"),
        ("object.status.size", "is int, neither true nor false"),
        ("object.status.size == 3 && object.status.phase", "does not fit the types"),
        ("object.status.phase < 3", ""),
        ("object.metadata.managedFields == []", "there is no \"managedFields\""),
        ("object.status.size / 0 == 1", "ivision by zero"),
    ] {
        let error = says(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn what_is_not_allowed_is_refused_before_anything_runs() {
    let long = format!("true || '{}' == ''", "x".repeat(EXPRESSION_BYTES));
    let nested = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    let loops = "[1].all(a, [1].all(b, [1].all(c, true)))";
    let sums = format!("{}1 == 1", "1+".repeat(20));
    for (text, why) in [
        (long.as_str(), "at most 1024"),
        (&nested, ""),
        (loops, "more than 2 loops"),
        (&sums, "more than 16 additions"),
        (&format!("object{} == 1", ".a".repeat(100)), "nested deeper"),
        ("oldSelf.status.phase == 'x'", "there is no \"oldSelf\""),
        ("c.type == 'x' || [1].all(c, true)", "there is no \"c\""),
        ("object.status.phase.matches('R.*')", "no function \"matches\""),
        ("now() > object.status.time", "no function \"now\""),
        ("example.Thing{name: 'a'}.name == 'a'", ""),
        ("object.status.phase = 'Running'", ""),
        ("", ""),
    ] {
        let error = Expression::compile(text).expect_err(text);
        assert!(error.contains(why) && error.len() <= 400, "{text}: {error}");
    }
}

#[test]
fn what_it_costs_is_bounded() {
    let long: Vec<Value> = (0..3_000).map(|i| json!({"type": format!("t{i}"), "status": "True"})).collect();
    let object = json!({"metadata": {}, "status": {"conditions": long, "text": "x".repeat(100_000)}});
    let subject = Subject::new(&object).unwrap();
    for text in [
        "object.status.conditions.all(a, object.status.conditions.all(b, a.type == b.type || a != b))",
        "object.status.conditions.map(a, object.status.conditions) == []",
        "object.status.conditions.all(a, object == object && object == object && object == object)",
        "object.status.conditions.exists(a, false) || object.status.conditions.exists(b, b.type == 'x')",
    ] {
        let said = Expression::compile(text).unwrap().holds(&subject);
        assert!(said.as_ref().is_err_and(|error| error.contains("costs too much")), "{text}: {said:?}");
    }
    let few =
        "object.status.conditions.size() == 3000 && size(object.status.text + object.status.text) == 200000";
    assert_eq!(Expression::compile(few).unwrap().holds(&subject), Ok(true));
    let big = json!({"status": (0..30_000).collect::<Vec<_>>()});
    assert!(Subject::new(&big).unwrap_err().contains("20000 values"));
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert!(Subject::new(&deep).unwrap_err().contains("deeper than 64"));
}

/// What grows fastest on the stack, as large as it may be.
#[test]
fn the_deepest_expressions_do_not_overflow() {
    let texts = [
        format!("object{}", ".a".repeat(60)),
        format!("object{}", "['a']".repeat(60)),
        format!("{}true{}", "(".repeat(23), ")".repeat(23)),
        format!("{}1{} == []", "[".repeat(23), "]".repeat(23)),
        format!("{}true", "!".repeat(1_000)),
        format!("{}1 < 0", "-".repeat(1_000)),
        format!("{}true", "true && ".repeat(120)),
        format!("{}true", "true || ".repeat(120)),
        format!("{}true", "true ? true : ".repeat(70)),
        format!("1{} == 1", " * 1".repeat(250)),
        format!("{}1{}", "size(".repeat(20), ")".repeat(20)),
        "(".repeat(1_000),
        "[".repeat(1_000),
        "{'a':".repeat(200),
        "a?".repeat(500),
    ];
    let subject = Subject::new(&thing()).unwrap();
    // Less than any thread has left.
    stacker::grow(256 << 10, || {
        for text in texts {
            if let Ok(expression) = Expression::compile(&text) {
                let _ = expression.holds(&subject);
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_ends_the_spoke(tokens in proptest::collection::vec(proptest::sample::select(vec![
        "object", "self", ".", "status", "phase", "conditions", "(", ")", "[", "]", "{", "}", ",", ":", "?", "!", "-",
        "&&", "||", "==", "<", "+", "*", "/", "%", "in", "has", ".all", ".exists", ".map", "c", "c.type", "'x'", "1",
        "0", "1.5", "2u", "null", "true", "size", "string", "int", "b'x'", "\"", "\\", "é", " ",
    ]), 0..24)) {
        let text: String = tokens.concat();
        if let Ok(expression) = Expression::compile(&text) {
            let _ = expression.holds(&Subject::new(&thing()).unwrap());
        }
    }
}
