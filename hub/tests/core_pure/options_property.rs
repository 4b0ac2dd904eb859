//! Properties of how Apps are run: whatever Apps, tenants and the fleet say, the
//! plan is within every limit, does not depend on the order of anything, holds
//! no circle and no App beside the one that was called so. (The world checks the
//! plans after each step.)

use proptest::prelude::*;

use super::rails::{RAILS, some_rail};
use super::world::{FLEET, World, app, config_map, id};

const APPS: [&str; 5] = ["web", "db", "job", "api", "web2"];
const DRIFT: [&str; 3] = ["revert", "report", "none"];
const TAKEOVER: [&str; 3] = ["refuse", "if-identical", "always"];

/// What one App's file says; none if there is no file.
#[derive(Debug, Clone)]
struct Said {
    clusters: usize,
    depends_on: Vec<usize>,
    formerly: Vec<usize>,
    drift: Option<usize>,
    takeover: Option<usize>,
    max: Option<u64>,
    broken: bool,
}

fn said() -> impl Strategy<Value = Option<Said>> {
    let some = (
        0..3_usize,
        prop::collection::vec(0..APPS.len(), 0..3),
        prop::collection::vec(0..APPS.len(), 0..2),
        prop::option::weighted(0.3, 0..3_usize),
        prop::option::weighted(0.3, 0..3_usize),
        prop::option::of(0..40_u64),
        prop::bool::weighted(0.1),
    );
    let some = some.prop_map(|(clusters, depends_on, formerly, drift, takeover, max, broken)| Said {
        clusters,
        depends_on,
        formerly,
        drift,
        takeover,
        max,
        broken,
    });
    prop::option::weighted(0.7, some)
}

/// The limits of the tenant and the fleet's defaults.
#[derive(Debug, Clone)]
struct Policy {
    drift: Vec<usize>,
    takeover: Vec<usize>,
    default_drift: usize,
    default_takeover: usize,
    max: Option<u64>,
    rail: usize,
    quota: u64,
}

fn policy() -> impl Strategy<Value = Policy> {
    let list = || prop::collection::vec(0..3_usize, 1..4);
    let rails = (prop_oneof![2 => Just(0), 1 => 0..RAILS], prop_oneof![2 => Just(99), 1 => 1..6_u64]);
    (list(), list(), 0..3_usize, 0..3_usize, prop::option::of(0..40_u64), rails).prop_map(
        |(drift, takeover, default_drift, default_takeover, max, (rail, quota))| Policy {
            drift,
            takeover,
            default_drift,
            default_takeover,
            max,
            rail,
            quota,
        },
    )
}

fn words(all: &[&str], chosen: &[usize]) -> String {
    chosen.iter().map(|n| all[*n]).collect::<Vec<_>>().join(", ")
}

fn fleet(policy: &Policy) -> String {
    let deletion = policy.max.map(|max| format!(", deletion: {{maxPerPlan: {max}}}")).unwrap_or_default();
    format!(
        "{FLEET}  limits: {{drift: [{}], takeover: [{}]{deletion}}}\n  quota: {{objects: {}}}\n---\napiVersion: rimward.dev/v1alpha1\nkind: Fleet\n\
         metadata: {{name: a}}\nspec: {{defaults: {{drift: {{mode: {}}}, takeover: {}}}}}\n",
        words(&DRIFT, &policy.drift),
        words(&TAKEOVER, &policy.takeover),
        policy.quota,
        DRIFT[policy.default_drift],
        TAKEOVER[policy.default_takeover]
    )
}

fn file(name: &str, said: &Said, reversed: bool) -> String {
    let clusters = ["{}", "{names: [eu-1]}", "{matchLabels: {region: us}}"][said.clusters];
    let order = |list: &[usize]| {
        let mut list = list.to_vec();
        if reversed {
            list.reverse();
        }
        list
    };
    let on = order(&said.depends_on).into_iter().map(|n| format!("{{app: {}}}", APPS[n])).collect::<Vec<_>>();
    let mut text = app(name, clusters);
    text += &format!(
        "  dependsOn: [{}]\n  formerly: [{}]\n",
        on.join(", "),
        words(&APPS, &order(&said.formerly))
    );
    let drift = said.drift.map(|n| format!("  drift: {{mode: {}}}\n", DRIFT[n]));
    let takeover = said.takeover.map(|n| format!("  takeover: {}\n", TAKEOVER[n]));
    let max = said.max.map(|max| format!("  deletion: {{maxPerPlan: {max}}}\n"));
    text.extend([drift, takeover, max].into_iter().flatten());
    if said.broken { text + "  nope: 1\n" } else { text }
}

/// Writes what is said as the whole of the fleet.
fn write(world: &mut World, policy: &Policy, all: &[Option<Said>], reversed: bool) {
    world.fleet("fleet.yaml", &fleet(policy));
    world.fleet("rails.yaml", &some_rail(policy.rail));
    world.sources.clear();
    world.file("always/rimward.yaml", &app("always", "{}"));
    world.file("always/cm.yaml", &config_map("always", "1"));
    for (name, said) in APPS.iter().zip(all) {
        if let Some(said) = said {
            // web2 has what web has: to be there together is a quarrel, to come after it is a rename.
            let object = name.trim_end_matches('2');
            world.file(&format!("{name}/rimward.yaml"), &file(name, said, reversed));
            world.file(&format!("{name}/cm.yaml"), &config_map(object, "1"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is said, one after the other: the world's checks hold after each step, and a further look changes nothing.
    #[test]
    fn any_history_stays_within_the_limits(
        steps in prop::collection::vec((policy(), prop::collection::vec(said(), APPS.len())), 1..5),
    ) {
        let mut world = World::started();
        for (policy, all) in &steps {
            write(&mut world, policy, all, false);
            world.step();
            prop_assert!(world.step().unchanged());
        }
    }

    /// The order within lists makes no difference to any plan.
    #[test]
    fn the_order_of_lists_means_nothing(policy in policy(), all in prop::collection::vec(said(), APPS.len())) {
        let plans = [false, true].map(|reversed| {
            let mut world = World::started();
            write(&mut world, &policy, &all, reversed);
            let step = world.step();
            step.output.plans
        });
        prop_assert_eq!(&plans[0], &plans[1]);
    }

    /// A smaller limit never makes anything wider: less is deleted at once, and nothing more is taken over.
    #[test]
    fn a_narrower_limit_never_widens(policy in policy(), said in said(), fewer in 1..4_usize, max in 0..40_u64) {
        let Some(said) = said else { return Ok(()) };
        // What is not updated says nothing about limits.
        let policy = Policy { rail: 0, quota: 99, ..policy };
        let entry = |policy: &Policy| {
            let mut world = World::started();
            let said = Said { depends_on: vec![], formerly: vec![], broken: false, ..said.clone() };
            write(&mut world, policy, &[Some(Said { takeover: None, drift: None, ..said }), None, None, None, None], false);
            let step = world.step();
            let on = if step.apps("eu-1").iter().any(|app| app.starts_with("payments/web@")) { "eu-1" } else { "us-1" };
            step.entry(on, "payments/web").clone()
        };
        let narrower = Policy {
            takeover: policy.takeover.iter().copied().take(fewer).collect(),
            max: policy.max.map(|wide| wide.min(max)),
            ..policy.clone()
        };
        let (wide, narrow) = (entry(&policy), entry(&narrower));
        prop_assert_eq!(wide.id(), id("payments/web"));
        prop_assert!(narrow.deletion.max_per_plan <= wide.deletion.max_per_plan);
        prop_assert!(narrower.takeover.iter().any(|n| TAKEOVER[*n] == serde_json::to_value(narrow.takeover).unwrap()));
        prop_assert!(said.max.is_none_or(|max| narrow.deletion.max_per_plan <= max));
    }
}
