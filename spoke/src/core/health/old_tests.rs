//! A status speaks of the generation it names. Whatever an older one says, or
//! one that should name it and does not, the object is on its way.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Health, Judge};

fn assess(group: &str, kind: &str, generation: i64, replicas: i64, status: Value) -> Health {
    let object = json!({"metadata": {"name": "a", "generation": generation}, "spec": {"replicas": replicas},
        "status": status});
    Judge::built_in(group, kind, true).judge(group, kind, None, &object).health
}

/// The first five always name it.
const KINDS: [(&str, &str); 9] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("policy", "PodDisruptionBudget"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("", "Pod"),
    ("example.com", "Thing"),
    ("gateway.networking.k8s.io", "Gateway"),
];

/// Values of a status, of which any may be there.
fn status() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let count = 0..4_i64;
    let field = prop_oneof![
        "(replicas|readyReplicas|availableReplicas|updatedReplicas|desiredNumberScheduled|currentNumberScheduled)",
        "(updatedNumberScheduled|numberAvailable|numberReady|expectedPods|desiredHealthy|currentHealthy)",
    ];
    let condition = ("(Ready|Available|Progressing|Stalled|Reconciling)", "(True|False|Unknown)", 0..9_i64).prop_map(
        |(kind, status, observed)| json!({"type": kind, "status": status, "observedGeneration": observed}),
    );
    let counts = proptest::collection::vec((field, count), 0..8);
    let conditions = proptest::collection::vec(condition, 0..4);
    (counts, conditions, proptest::option::of("(Running|Succeeded|Failed|Pending)")).prop_map(
        |(counts, conditions, phase)| {
            let counts = counts.into_iter().map(|(field, count)| (field, json!(count)));
            let mut status: serde_json::Map<_, _> = counts.collect();
            status.insert("conditions".into(), json!(conditions));
            status.extend(phase.map(|phase| ("phase".to_owned(), json!(phase))));
            status
        },
    )
}

proptest! {
    /// Whatever an old status says, it is neither ready nor failed: it speaks of what was there before.
    #[test]
    fn an_old_status_proves_nothing(
        status in status(), which in 0..KINDS.len(), replicas in 0..3_i64, generation in 2..9_i64, behind in 1..9_i64,
    ) {
        let (group, kind) = KINDS[which];
        let mut status = status;
        status.insert("observedGeneration".into(), json!((generation - behind).max(-1)));
        let health = assess(group, kind, generation, replicas, Value::Object(status));
        prop_assert!(matches!(health, Health::Progressing(_)), "{kind}: {health:?}");
    }

    /// Of a custom resource that names no generation, `Ready` of an older one is none.
    #[test]
    fn an_old_condition_proves_nothing(generation in 2..9_i64, behind in 1..9_i64) {
        let condition = json!({"type": "Ready", "status": "True", "observedGeneration": generation - behind});
        let health = assess("example.com", "Thing", generation, 0, json!({"conditions": [condition]}));
        prop_assert!(matches!(health, Health::Progressing(_)), "{health:?}");
    }

    /// Kinds that always name the generation they speak of say nothing while they do not.
    #[test]
    fn silence_is_old(status in status(), which in 0..5_usize) {
        let (group, kind) = KINDS[which];
        let health = assess(group, kind, 1, 0, Value::Object(status));
        prop_assert!(matches!(health, Health::Progressing(_)), "{kind}: {health:?}");
    }
}
