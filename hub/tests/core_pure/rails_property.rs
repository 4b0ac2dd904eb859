//! A further policy never widens, and no order of files makes a difference.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rimward_proto::Digest;

use super::rails::guardrail;
use super::world::{FLEET, World, app, config_map};

const RULES: [&str; 7] = [
    "object.data.value != '2'",
    "cluster.name == 'eu-1' || object.data.value == '1'",
    "cluster.labels.region == 'us'",
    "object.metadata.labels.a == 'b'",
    "app.name != 'job'",
    "object.data.all(k, object.data[k] < '3')",
    "true",
];
const SCOPES: [&str; 4] = [
    "tenants: {}",
    "clusters: {names: [us-1]}",
    "tenants: {names: [other]}",
    "clusters: {matchLabels: {region: eu}}",
];
const QUOTAS: [&str; 4] = ["{}", "{objects: 2}", "{objects: 3}", "{bytes: 1Ki}"];

/// A guardrail: rule, scope, and whether it denies.
type Rail = (usize, usize, bool);

fn rail() -> impl Strategy<Value = Rail> {
    (0..RULES.len(), 0..SCOPES.len(), any::<bool>())
}

fn text(number: usize, (rule, scope, deny): &Rail) -> String {
    guardrail(&format!("g{number}"), SCOPES[*scope], RULES[*rule], if *deny { "deny" } else { "warn" })
}

/// What is in a plan that was not before: (cluster, App, bundle).
fn news(world: &mut World) -> BTreeSet<(String, String, Digest)> {
    let step = world.step();
    let all = |plans: &std::collections::BTreeMap<_, std::sync::Arc<rimward_proto::plan::Plan>>| {
        let entries = plans.iter().flat_map(|(cluster, plan): (&rimward_proto::ClusterName, _)| {
            plan.bundles.iter().map(move |b| (cluster.to_string(), b.id().to_string(), b.digest))
        });
        entries.collect::<BTreeSet<_>>()
    };
    all(&step.output.plans).difference(&all(&step.before)).cloned().collect()
}

/// A fleet in which much would change, with these guardrails in force.
fn changing(rails: &[Rail], quota: usize, values: &[u8; 3]) -> World {
    let mut world = World::started();
    world.fleet("fleet.yaml", &format!("{FLEET}  quota: {}\n", QUOTAS[quota]));
    for (number, rail) in rails.iter().enumerate() {
        world.fleet(&format!("g{number}.yaml"), &text(number, rail));
    }
    for (name, value) in ["web", "db", "job"].into_iter().zip(values) {
        world.file(&format!("{name}/rimward.yaml"), &app(name, "{}"));
        world.file(&format!("{name}/cm.yaml"), &config_map(name, &value.to_string()));
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Nothing comes to a cluster with a further guardrail that would not come without it; and what was decided once is
    /// decided again.
    #[test]
    fn a_further_guardrail_never_widens(
        rails in prop::collection::vec(rail(), 0..3),
        more in rail(),
        values in prop::array::uniform3(1..4_u8),
    ) {
        let before = news(&mut changing(&rails, 0, &values));
        let all: Vec<Rail> = rails.iter().copied().chain([more]).collect();
        let mut world = changing(&all, 0, &values);
        let after = news(&mut world);
        prop_assert!(after.is_subset(&before), "{after:?} and not in {before:?}");
        prop_assert!(news(&mut world).is_empty(), "a further planning changes nothing");
    }

    /// Neither where documents stand nor in which order makes a difference.
    #[test]
    fn any_order_of_files_gives_the_same_bytes(
        rails in prop::collection::vec(rail(), 1..4),
        quota in 0..QUOTAS.len(),
        values in prop::array::uniform3(1..4_u8),
        reverse in any::<bool>(),
    ) {
        let mut apart = changing(&rails, quota, &values);
        let mut together = changing(&[], quota, &values);
        let mut texts: Vec<String> = rails.iter().enumerate().map(|(n, rail)| text(n, rail)).collect();
        if reverse {
            texts.reverse();
        }
        together.fleet("a.yaml", &texts.join("---\n"));
        let (one, two) = (apart.step(), together.step());
        prop_assert_eq!(&one.output.plans, &two.output.plans);
        prop_assert!(apart.step().unchanged());
    }
}
