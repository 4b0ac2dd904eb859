//! Any plans with objects that cannot be changed, in any order, with any
//! faults: nothing is deleted that may not be, and nothing more often.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;
use rimward_proto::object::{FIELD_MANAGER, PRUNE_ANNOTATION, REPLACE_ANNOTATION};
use serde_json::Value;

use super::fleet::{App, app, config, config_key};
use super::property::work;
use super::replacing::{fixed, replaced};
use super::world::World;
use crate::core::Event;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// The delete budget of a plan: less than there is to replace.
const BUDGET: u64 = 1;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// A new plan: of each name none, a mutable one, a fixed one, one that may be replaced, one that is kept.
    Publish([u8; 4], u8),
    Work(Vec<(u8, u8)>),
    Events,
    /// It is gone, and somebody else's is there.
    Foreign(usize),
    Delete(usize),
    Annotate(usize),
    Crash(u8),
    Wait(u16),
    /// Everything that is under way ends.
    Rest,
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => (proptest::array::uniform4(0..8u8), any::<u8>()).prop_map(|(kinds, value)| Act::Publish(kinds, value)),
        6 => proptest::collection::vec((any::<u8>(), 0..12u8), 1..40).prop_map(Act::Work),
        3 => Just(Act::Events),
        1 => name.clone().prop_map(Act::Foreign),
        1 => name.clone().prop_map(Act::Delete),
        1 => name.prop_map(Act::Annotate),
        1 => any::<u8>().prop_map(Act::Crash),
        2 => (0..20_000u16).prop_map(Act::Wait),
        3 => Just(Act::Rest),
    ]
}

fn objects(kinds: [u8; 4], value: u8) -> Vec<Value> {
    let value = value.to_string();
    let make = |(name, kind): (&&str, u8)| match kind {
        0 => None,
        1 => Some(config("shop", name, &value)),
        2 => Some(fixed(name, &value, &[])),
        3 => Some(fixed(name, &value, &[(PRUNE_ANNOTATION, "false"), (REPLACE_ANNOTATION, "true")])),
        _ => Some(replaced(name, &value)),
    };
    NAMES.iter().zip(kinds).filter_map(make).collect()
}

fn happen(world: &mut World, act: &Act) {
    match act {
        Act::Publish(kinds, value) => {
            let web = App { max_per_plan: BUDGET, ..app("shop/web", objects(*kinds, *value)) };
            let plan = world.fleet.plan(&[web], &[]);
            let offer = world.fleet.publish(&plan, world.now);
            world.fleet.last_plan = plan;
            world.offer(offer);
        }
        Act::Work(list) => list.iter().for_each(|(which, fault)| work(world, *which, *fault)),
        Act::Events => {
            world.tell_watches();
            for event in std::mem::take(&mut world.events) {
                world.send(event);
            }
        }
        Act::Foreign(i) if world.api.namespaces.contains("shop") => {
            let key = config_key("shop", NAMES[*i]);
            world.api.remove(&key);
            world.api.edit(
                &key,
                "somebody",
                &[(&["data", "value"], "theirs".into()), (&["immutable"], true.into())],
            );
        }
        Act::Delete(i) => world.api.remove(&config_key("shop", NAMES[*i])),
        Act::Annotate(i) if world.api.objects.contains_key(&config_key("shop", NAMES[*i])) => {
            let at = ["metadata", "annotations", PRUNE_ANNOTATION];
            world.api.edit(&config_key("shop", NAMES[*i]), "kubectl-annotate", &[(&at, "false".into())]);
        }
        Act::Crash(seed) => {
            world.crash(*seed);
            world.connect();
        }
        Act::Wait(millis) => {
            world.now += SignedDuration::from_millis(i64::from(*millis));
            world.send(Event::Tick);
        }
        Act::Rest => world.pass(SignedDuration::from_secs(1)),
        Act::Foreign(_) | Act::Annotate(_) => {}
    }
    for (plan, uids) in &world.deletions {
        assert!(uids.len() as u64 <= BUDGET, "{plan:?}: {} deletions", uids.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    // What must never be deleted, and how often, is checked at each deletion: see `checks` and `api`.
    #[test]
    fn nothing_is_replaced_or_pruned_that_may_not_be(acts in proptest::collection::vec(act(), 0..40)) {
        let mut world = World::new();
        for act in &acts {
            happen(&mut world, act);
        }
        world.watches.clone().iter().for_each(|spec| world.list(spec));
        // Long after the head has expired nothing is deleted, so a new one comes first.
        let renewed = world.fleet.offer(&world.fleet.last_plan.clone(), world.fleet.seq, world.now);
        if world.fleet.seq > 0 {
            world.offer(renewed);
        }
        world.pass(SignedDuration::from_mins(11));
        let foreign: BTreeSet<_> =
            world.api.objects.values().filter(|stored| stored.creator != FIELD_MANAGER).map(|stored| &stored.uid).collect();
        let ledger = world.ledger.clone().unwrap_or_default();
        prop_assert!(ledger.entries.values().all(|entry| entry.uid.as_ref().is_none_or(|uid| !foreign.contains(uid))));
        // Whoever is not as he shall be is told of.
        let told: BTreeSet<_> = match world.reports.iter().rev().flat_map(|report| &report.apps).next() {
            Some(app) => app.exceptions.iter().map(|object| object.key.name.clone()).collect(),
            None => BTreeSet::new(),
        };
        let wanted = world.state.objects.iter().filter(|(_, managed)| managed.want.is_some());
        for (key, managed) in wanted {
            prop_assert!(managed.is_applied() || told.contains(&key.name), "{key}: {managed:?}");
        }
    }
}
