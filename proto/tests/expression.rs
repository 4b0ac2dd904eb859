//! Expressions: what they may say, what they say of an object, and that none of
//! them costs more than it may, depends on anything but its subject, or ends the
//! process.

use proptest::prelude::*;
use rimward_proto::expression::{Bounds, Expression, Fault, HEALTH, Subject, Vocabulary, together};
use rimward_proto::limits::EXPRESSION_BYTES;
use serde_json::{Value, json};

const BOUNDS: Bounds = Bounds { values: 20_000, cost: 20_000 };
const TWO: Vocabulary = Vocabulary { variables: &["object", "cluster"], aliases: &[] };

fn compile(text: &str) -> Result<Expression, String> {
    Expression::compile(text, &HEALTH)
}

fn about(object: &Value) -> Result<Subject, Fault> {
    let mut subject = Subject::new(BOUNDS);
    subject.set("object", object)?;
    Ok(subject)
}

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
    compile(text)?.holds(&about(&thing()).unwrap()).map_err(|fault| fault.to_string())
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
        ("!object.status.conditions.ready", "does not fit the types"),
        ("!object.status.conditions.contains('Ready')", "does not fit the types"),
        ("!object.status.size.startsWith('3')", "does not fit the types"),
        ("object.status.size", "is int, neither true nor false"),
        ("object.status.size == 3 && object.status.phase", "does not fit the types"),
        ("object.status.phase < 3", ""),
        ("object.metadata.managedFields == []", "there is no \"managedFields\""),
        ("object.status.size / 0 == 1", "arithmetic has no result"),
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
        let error = compile(text).expect_err(text);
        assert!(error.contains(why) && error.len() <= 1_500, "{text}: {error}");
    }
}

#[test]
fn what_it_costs_is_bounded() {
    let long: Vec<Value> = (0..3_000).map(|i| json!({"type": format!("t{i}"), "status": "True"})).collect();
    let object = json!({"metadata": {}, "status": {"conditions": long, "text": "x".repeat(100_000)}});
    let subject = about(&object).unwrap();
    for text in [
        "object.status.conditions.all(a, object.status.conditions.all(b, a.type == b.type || a != b))",
        "object.status.conditions.map(a, object.status.conditions) == []",
        "object.status.conditions.all(a, object == object && object == object && object == object)",
        "object.status.conditions.exists(a, false) || object.status.conditions.exists(b, b.type == 'x')",
    ] {
        let said = compile(text).unwrap().holds(&subject);
        assert!(said == Err(Fault::Cost), "{text}: {said:?}");
    }
    let few =
        "object.status.conditions.size() == 3000 && size(object.status.text + object.status.text) == 200000";
    assert_eq!(compile(few).unwrap().holds(&subject), Ok(true));
    let big = json!({"status": (0..30_000).collect::<Vec<_>>()});
    assert!(about(&big).unwrap_err().to_string().contains("20000 values"));
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert!(about(&deep).unwrap_err().to_string().contains("deeper than 64"));
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
    let subject = about(&thing()).unwrap();
    // Less than any thread has left.
    stacker::grow(256 << 10, || {
        for text in texts {
            if let Ok(expression) = compile(&text) {
                let _ = expression.holds(&subject);
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_ends_the_process(tokens in proptest::collection::vec(proptest::sample::select(vec![
        "object", "self", ".", "status", "phase", "conditions", "(", ")", "[", "]", "{", "}", ",", ":", "?", "!", "-",
        "&&", "||", "==", "<", "+", "*", "/", "%", "in", "has", ".all", ".exists", ".map", "c", "c.type", "'x'", "1",
        "0", "1.5", "2u", "null", "true", "size", "string", "int", "b'x'", "\"", "\\", "é", " ",
    ]), 0..24)) {
        let text: String = tokens.concat();
        if let Ok(expression) = compile(&text) {
            let _ = expression.holds(&about(&thing()).unwrap());
        }
    }
}

#[test]
fn what_it_says_is_told_where_it_cannot_be_read() {
    for bad in
        ["", " ", "object.", "a ==", "(object", "object && ", "'open", "a b", "object.status[", "1 +", "{"]
    {
        let why = compile(bad).unwrap_err();
        assert!(why.starts_with("is no CEL expression: ") && !why.contains('\n'), "{why}");
    }
    let why = compile("object.a\n  == == 1").unwrap_err();
    assert!(why.contains("(line 2, column "), "{why}");
}

/// Whatever is nested, chained or repeated up to the limit.
#[test]
fn nothing_overflows_the_stack() {
    let chains = ["(", "[", "{1:", "!", "-", "a.", "a?", "a[", "f(", "a&&", "a||", "1+", "a.b(", "a==", "~"];
    let shapes = chains.iter().flat_map(|piece| {
        let many = piece.repeat(EXPRESSION_BYTES / piece.len() - 1);
        [many.clone(), format!("{many}a")]
    });
    let nested = ["()", "[]"].map(|pair| {
        let (open, close) = pair.split_at(1);
        format!("{}a{}", open.repeat(500), close.repeat(500))
    });
    let loops = "a.all(x, ".repeat(60) + "x" + &")".repeat(60);
    let texts: Vec<String> = shapes.chain(nested).chain([loops]).collect();
    // Less than any thread of the hub has.
    stacker::grow(256 << 10, || texts.iter().for_each(|text| drop(compile(text))));
    let deep = format!("object{}", ".a".repeat(60));
    let deep = compile(&deep).unwrap();
    let subject = about(&thing()).unwrap();
    stacker::grow(256 << 10, || {
        together(|| (0..100).for_each(|_| drop(deep.holds(&subject))));
    });
}

/// A library's maps have no order of their own: what is found first must not depend on it.
#[test]
fn maps_are_gone_through_in_order() {
    let data: serde_json::Map<String, Value> = (0..200).map(|n| (format!("k{n:03}"), json!(n))).collect();
    let object = json!({"data": data});
    for _ in 0..20 {
        let mut subject = Subject::new(Bounds { cost: 100_000, ..BOUNDS });
        subject.set("object", &object).unwrap();
        for text in [
            "object.data.filter(k, k.endsWith('7'))[0] == 'k007'",
            "object.data.map(k, k)[199] == 'k199'",
            "object.data.map(k, object.data[k] > 197, k) == ['k198', 'k199']",
        ] {
            assert_eq!(compile(text).unwrap().holds(&subject), Ok(true), "{text}");
        }
    }
}

#[test]
fn what_an_expression_reads_is_known() {
    let reads = |text: &str, variable: &str| -> Option<Vec<String>> {
        let expression = Expression::compile(text, &TWO).unwrap();
        Some(expression.reads(variable)?.iter().map(|path| path.join("/")).collect())
    };
    for (text, object, cluster) in [
        ("true", None, None),
        ("object.a.b == 1", Some(vec!["a/b"]), None),
        ("has(object.a.b) && cluster.labels['x.y/z'] == 'a'", Some(vec!["a/b"]), Some(vec!["labels/x.y/z"])),
        ("cluster.name == cluster.labels.env", None, Some(vec!["labels/env", "name"])),
        ("'env' in cluster.labels", None, Some(vec!["labels"])),
        ("cluster[object.a] == 1", Some(vec!["a"]), Some(vec![""])),
        ("object.list.all(cluster, cluster.name == 'a')", Some(vec!["list"]), None),
        ("object.list.all(c, c.x == cluster.labels[c.y])", Some(vec!["list"]), Some(vec!["labels"])),
        ("size(cluster) > 0 && cluster.labels.a.startsWith('b')", None, Some(vec!["", "labels/a"])),
    ] {
        assert_eq!(
            reads(text, "object").as_deref(),
            object.map(|o| o.iter().map(|p| p.to_string()).collect::<Vec<_>>()).as_deref(),
            "{text}"
        );
        assert_eq!(
            reads(text, "cluster").as_deref(),
            cluster.map(|o| o.iter().map(|p| p.to_string()).collect::<Vec<_>>()).as_deref(),
            "{text}"
        );
    }
    assert!(Expression::compile("self.a == 1", &TWO).unwrap_err().contains("there are `object`, `cluster`"));
}

#[test]
fn a_fault_says_nothing_of_what_a_field_holds() {
    let secret = json!({"kind": "Secret", "data": {"password": "Y2FuYXJ5"}, "list": ["canary"]});
    let subject = about(&secret).unwrap();
    for text in [
        "object.data[object.data.password] == 1",
        "object.data.password",
        "object.data.password + 1 == 2",
        "object.data.password < 1",
        "int(object.data.password) == 1",
        "double(object.list[0]) == 1.0",
        "object.list[object.data.password] == 1",
        "object.data[object.list] == 1",
        "object.list[7] == 1",
        "-object.data.password == 1",
        "size(object.data.password / 2) == 1",
        "9223372036854775807 + size(object.list) == 1",
    ] {
        let fault = compile(text).unwrap().holds(&subject).unwrap_err();
        assert!(!fault.kind().contains("anary") && !fault.kind().contains("Y2Fu"), "{fault}");
        // Only the name of what is not there may be text that the expression found.
        let named = matches!(&fault, Fault::Missing(_)) || !fault.to_string().contains("Y2Fu");
        assert!(named && !fault.to_string().contains("canary"), "{text}: {fault}");
    }
}

#[test]
fn steps_are_counted_and_do_not_depend_on_what_was_before() {
    let long: Vec<Value> = (0..500).map(|n| json!({"n": n})).collect();
    let object = json!({"list": long});
    let loops = compile("object.list.all(x, x.n >= 0)").unwrap();
    let mut both = about(&object).unwrap();
    let cost = |subject: &Subject| {
        let before = subject.spent();
        loops.holds(subject).unwrap();
        subject.spent() - before
    };
    let first = cost(&both);
    assert!(first > 500, "{first}");
    assert_eq!(cost(&both), first);
    both.set("object", &json!({"list": []})).unwrap();
    assert!(cost(&both) < first);
    both.set("object", &object).unwrap();
    assert_eq!(cost(&both), first);
}
