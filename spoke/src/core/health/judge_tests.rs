//! Conditions on top of gates: both have to hold, and nothing is judged by
//! another App's.

use rimward_proto::AppId;
use rimward_proto::plan::HealthCel;
use serde_json::{Value, json};

use super::super::effect::WatchSpec;
use super::{Compiled, Health, Judge};

fn app(text: &str) -> AppId {
    text.parse().unwrap()
}

/// How `shop/web` judges a kind by conditions (`ready`, `failed`).
fn judge(kind: &str, has_status: bool, conditions: &[(&str, &str)]) -> Judge {
    let cel = conditions.iter().map(|(ready, failed)| HealthCel {
        kinds: vec![kind.to_owned()],
        ready: (*ready).to_owned(),
        failed: (*failed).to_owned(),
    });
    let cel: Vec<HealthCel> = cel.collect();
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let conditions = Compiled::default().conditions(&cel, group, kind).unwrap();
    Judge::new(group, kind, has_status, [(app("shop/web"), conditions)].into(), Default::default())
}

fn thing(status: Value) -> Value {
    json!({"metadata": {"name": "a", "generation": 2}, "status": status})
}

fn of(judge: &Judge, kind: &str, object: &Value) -> Health {
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    judge.judge(group, kind, Some(&app("shop/web")), object).health
}

fn progressing(health: &Health, words: &str) -> bool {
    matches!(health, Health::Progressing(text) if text.contains(words))
}

#[test]
fn both_the_gate_and_the_conditions_have_to_hold() {
    let judge = judge(
        "Thing.example.com",
        true,
        &[("object.status.phase == 'Live'", "object.status.phase == 'Dead'")],
    );
    let ready = |status: &str, phase: &str| {
        thing(
            json!({"phase": phase, "conditions": [{"type": "Ready", "status": status, "message": "waits"}]}),
        )
    };
    let of = |object: &Value| of(&judge, "Thing.example.com", object);
    assert_eq!(of(&ready("True", "Live")), Health::Ready);
    assert!(progressing(&of(&ready("True", "Starting")), "waits for object.status.phase == 'Live'"));
    assert!(progressing(&of(&ready("False", "Live")), "waits"));
    assert!(matches!(of(&ready("True", "Dead")), Health::Failed(_)));
    assert!(matches!(of(&ready("False", "Dead")), Health::Failed(_)), "a failure of either is one");
    assert!(progressing(
        &of(&thing(json!({"other": 1}))),
        "condition `failed` cannot be evaluated: there is no \"phase\""
    ));
}

#[test]
fn an_old_status_is_not_looked_into() {
    let judge = judge("Thing.example.com", true, &[("true", "object.status.phase == 'Dead'")]);
    let object = thing(json!({"observedGeneration": 1, "phase": "Dead"}));
    assert!(progressing(&of(&judge, "Thing.example.com", &object), "this generation"));
}

#[test]
fn an_empty_status_waits_also_with_conditions() {
    let judge_by = |text: &str| {
        of(&judge("Thing.example.com", true, &[(text, "")]), "Thing.example.com", &thing(json!({})))
    };
    assert_eq!(judge_by("object.metadata.name == 'a'"), Health::Unwritten(None));
    assert!(progressing(&judge_by("object.status.phase == 'Live'"), "there is no \"phase\""));
}

#[test]
fn several_conditions_all_hold_and_the_first_that_does_not_is_told() {
    let judge = judge(
        "Ingress.networking.k8s.io",
        true,
        &[
            ("has(object.status.loadBalancer)", ""),
            ("object.status.a == 1", ""),
            ("object.status.b == 1", ""),
        ],
    );
    assert!(judge.is_whole(), "a kind that a condition names is seen whole");
    let of = |status| of(&judge, "Ingress.networking.k8s.io", &thing(status));
    assert_eq!(of(json!({"loadBalancer": {}, "a": 1, "b": 1})), Health::Ready);
    assert!(progressing(&of(json!({"loadBalancer": {}, "a": 2, "b": 2})), "object.status.a == 1"));
}

#[test]
fn only_a_failure_may_be_named() {
    let judge = judge("Thing.example.com", true, &[("", "object.status.phase == 'Dead'")]);
    assert_eq!(of(&judge, "Thing.example.com", &thing(json!({"phase": "x"}))), Health::Ready);
    assert!(matches!(of(&judge, "Thing.example.com", &thing(json!({"phase": "Dead"}))), Health::Failed(_)));
}

#[test]
fn what_does_not_compile_is_told_and_never_ready() {
    let judge = judge("Thing.example.com", true, &[("object.status.phase.matches('x')", "")]);
    let health = of(&judge, "Thing.example.com", &thing(json!({"phase": "x"})));
    assert!(progressing(&health, "condition `ready` cannot be evaluated: there is no function \"matches\""));
}

#[test]
fn content_of_secrets_and_config_maps_is_not_looked_into() {
    for kind in ["Secret", "ConfigMap"] {
        let judge = judge(kind, false, &[("object.data.a == 'b'", "")]);
        assert!(!judge.is_whole(), "{kind}");
        assert!(progressing(
            &of(&judge, kind, &json!({"metadata": {}, "data": {"a": "b"}})),
            "cannot look into"
        ));
    }
}

#[test]
fn another_apps_conditions_are_not_mine() {
    let judge = judge("Thing.example.com", true, &[("false", "")]);
    let object = thing(json!({"phase": "x"}));
    let other = judge.judge("example.com", "Thing", Some(&app("shop/api")), &object);
    assert_eq!((other.health, other.by), (Health::Ready, 0));
    let mine = judge.judge("example.com", "Thing", Some(&app("shop/web")), &object);
    assert_eq!(mine.by, judge.conditions_of(&app("shop/web")));
    assert!(mine.by != 0 && mine.health != Health::Ready);
    assert_eq!(judge.judge("example.com", "Thing", None, &object).by, 0);
}

#[test]
fn the_same_rules_are_the_same_judge_and_the_same_watch() {
    let of = |text: &str| judge("Thing.example.com", true, &[(text, "")]);
    assert_eq!(of("true"), of("true"));
    assert_ne!(of("true"), of("false"));
    assert_ne!(of("true"), Judge::built_in("example.com", "Thing", true));
    let spec = |judge| WatchSpec {
        service_account: "a/b".into(),
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Thing".into(),
        namespace: "shop".into(),
        judge,
    };
    let (one, two) = (spec(of("true")), spec(of("false")));
    assert!(one != two && one.is_same_place(&two));
    let elsewhere = WatchSpec { namespace: "other".into(), ..one.clone() };
    assert!(!one.is_same_place(&elsewhere));
}

#[test]
fn messages_are_bounded() {
    let long = "ä".repeat(10_000);
    let object = thing(json!({"conditions": [{"type": "Ready", "status": "False", "message": long}]}));
    let health = of(&Judge::built_in("example.com", "Thing", true), "Thing.example.com", &object);
    assert!(matches!(health, Health::Progressing(text) if text.len() <= 300));
    let judge = judge("Thing.example.com", true, &[(&format!("'{}' == ''", "y".repeat(900)), "")]);
    let health = of(&judge, "Thing.example.com", &thing(json!({"a": 1})));
    assert!(matches!(health, Health::Progressing(text) if text.len() <= 300));
}
