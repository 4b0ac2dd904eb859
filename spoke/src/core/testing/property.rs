//! Any plans, any order, any faults: what must hold always holds at each step
//! (see [`super::world`]), and when the faults stop everything comes to rest as
//! the last plan says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use rimward_proto::object::FIELD_MANAGER;
use rimward_proto::session::AckKind;
use serde_json::json;

use super::fleet::{App, app, config, config_key};
use super::world::{Fault, World};
use crate::core::event::Following;
use crate::core::{Event, Work};

/// Names of the tenant's ConfigMaps; few, so that Apps fight over them.
const NAMES: usize = 6;
/// The delete budget of each App in these tests.
const BUDGET: u64 = 3;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// A new plan: each name belongs to App 0 or 1, or to none; with this value.
    Publish([u8; NAMES], u8),
    /// Some work is done, in any order, each with its fault.
    Work(Vec<(u8, u8)>),
    /// Watch events reach the core.
    Events,
    /// All watches break off and list again; what happened meanwhile is only in the list.
    Relist,
    /// Somebody edits, deletes, or creates an object.
    Edit(u8),
    /// A change that no manager's entry tells of.
    Slip(u8),
    Delete(u8),
    Foreign(u8),
    Unlabel(u8),
    /// The spoke dies; of what was in flight, some was done.
    Crash(u8),
    LoseBaselines,
    /// Everything is compared.
    Audit,
    Disconnect,
    Connect,
    Wait(u16),
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES as u8;
    prop_oneof![
        3 => (proptest::array::uniform6(0..3u8), any::<u8>()).prop_map(|(owners, value)| Act::Publish(owners, value)),
        6 => proptest::collection::vec((any::<u8>(), 0..12u8), 1..40).prop_map(Act::Work),
        4 => Just(Act::Events),
        1 => Just(Act::Relist),
        2 => name.clone().prop_map(Act::Edit),
        1 => name.clone().prop_map(Act::Slip),
        1 => name.clone().prop_map(Act::Delete),
        1 => name.clone().prop_map(Act::Foreign),
        1 => name.prop_map(Act::Unlabel),
        1 => any::<u8>().prop_map(Act::Crash),
        1 => Just(Act::LoseBaselines),
        1 => Just(Act::Audit),
        1 => Just(Act::Disconnect),
        1 => Just(Act::Connect),
        3 => (0..2_000u16).prop_map(Act::Wait),
    ]
}

/// True if the durable ledger has its UID. Before that, an object of ours that loses its label is by the rule not ours
/// any more, and a conflict for ever.
fn is_known(world: &World, key: &rimward_proto::ObjectKey) -> bool {
    let entry = world.ledger.as_ref().and_then(|ledger| ledger.entries.get(key));
    entry
        .zip(world.api.objects.get(key))
        .is_some_and(|(entry, stored)| entry.uid.as_ref() == Some(&stored.uid))
}

fn name(i: usize) -> String {
    format!("c{i}")
}

fn key(i: u8) -> rimward_proto::ObjectKey {
    config_key("shop", &name(usize::from(i)))
}

fn apps(owners: [u8; NAMES], value: u8) -> Vec<App> {
    let objects = |owner: u8| {
        let mine = owners.iter().enumerate().filter(move |(_, of)| **of == owner);
        mine.map(|(i, _)| config("shop", &name(i), &value.to_string())).collect()
    };
    let make = |id: &str, owner| App { max_per_plan: BUDGET, ..app(id, objects(owner)) };
    vec![make("shop/one", 0), make("shop/two", 1)]
}

/// The last plan published: the names it wants, and their value.
type Wanted = BTreeMap<rimward_proto::ObjectKey, String>;

fn happen(world: &mut World, act: &Act, wanted: &mut Wanted) {
    match act {
        Act::Publish(owners, value) => {
            let plan = world.fleet.plan(&apps(*owners, *value), &[]);
            let offer = world.fleet.publish(&plan, world.now);
            *wanted =
                (0..NAMES).filter(|i| owners[*i] < 2).map(|i| (key(i as u8), value.to_string())).collect();
            if world.connected {
                world.offer(offer);
            }
        }
        Act::Work(list) => list.iter().for_each(|(which, fault)| work(world, *which, *fault)),
        Act::Events => {
            world.tell_watches();
            for event in std::mem::take(&mut world.events) {
                world.send(event);
            }
        }
        Act::Relist => {
            world.api.changes.clear();
            world.events.clear();
            world.watches.clone().iter().for_each(|spec| world.list(spec));
        }
        Act::Edit(i) if world.api.objects.contains_key(&key(*i)) => {
            world.api.edit(&key(*i), "kubectl-edit", &[(&["data", "value"], "edited".into())]);
        }
        Act::Slip(i) => world.api.slip(&key(*i), &["data", "value"], "slipped".into()),
        Act::Audit => world.send(Event::Reconcile),
        Act::Delete(i) => world.api.remove(&key(*i)),
        Act::Foreign(i)
            if !world.api.objects.contains_key(&key(*i)) && world.api.namespaces.contains("shop") =>
        {
            world.api.edit(&key(*i), "somebody", &[(&["data", "value"], "foreign".into())]);
        }
        Act::Unlabel(i) if is_known(world, &key(*i)) => {
            world.api.unset(&key(*i), &["metadata", "labels", "rimward.dev/tenant"])
        }
        Act::Crash(seed) => {
            world.crash(*seed);
        }
        Act::LoseBaselines => world.baselines.clear(),
        Act::Disconnect if world.connected => world.disconnect(),
        Act::Connect if !world.connected => world.connect(),
        Act::Wait(millis) => {
            world.now += SignedDuration::from_millis(i64::from(*millis));
            world.send(Event::Tick);
        }
        Act::Edit(_) | Act::Foreign(_) | Act::Unlabel(_) | Act::Disconnect | Act::Connect => {}
    }
    check_budget(world);
}

pub(super) fn work(world: &mut World, which: u8, fault: u8) {
    if world.work.is_empty() {
        return;
    }
    let at = usize::from(which) % world.work.len();
    let (id, work) = world.work.remove(at);
    let fault = match fault {
        0 => Fault::Fails,
        // A lost answer to a write of ours is the write done and not known of.
        1 if !matches!(work, Work::Fetch(_)) => Fault::AnswerLost,
        _ => Fault::None,
    };
    world.perform(id, &work, fault);
}

fn check_budget(world: &World) {
    for (plan, uids) in &world.deletions {
        assert!(uids.len() as u64 <= BUDGET, "{plan:?}: {} deletions", uids.len());
    }
}

fn settle(world: &mut World, wanted: &Wanted) -> Result<(), TestCaseError> {
    if !world.connected {
        world.connect();
    }
    let rest = |world: &mut World| world.pass(SignedDuration::from_mins(11));
    // Foreign objects are given up, or the plan could never be whole.
    let foreign = world.api.objects.iter().filter(|(_, stored)| stored.creator != FIELD_MANAGER);
    let foreign: Vec<_> = foreign.map(|(key, _)| key.clone()).collect();
    foreign.iter().for_each(|key| world.api.remove(key));
    world.watches.clone().iter().for_each(|spec| world.list(spec));
    world.fleet.seq += 1;
    let last = world.last_offer(wanted);
    world.offer(last);
    rest(world);
    let hold =
        world.reports.iter().rev().find(|report| !report.holds.is_empty()).map(|report| report.holds.clone());
    if let Some(holds) = hold {
        world.fleet.deletes = holds.iter().map(|hold| hold.digest).collect();
        world.fleet.seq += 1;
        let approved = world.last_offer(wanted);
        world.offer(approved);
        rest(world);
    }
    world.send(Event::Reconcile);
    rest(world);
    let found: Wanted = world
        .api
        .objects
        .keys()
        .map(|key| (key.clone(), world.api.value(key, &["data", "value"]).unwrap_or(json!(null))))
        .map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()))
        .collect();
    prop_assert_eq!(&found, wanted, "does not converge: {:?}", world.state.objects);
    // An assignment that says what is in force already is no new plan, and is not acknowledged again.
    let active = world.state.active.as_ref().unwrap();
    let offered = world.fleet.assignment(&world.fleet.last_plan).plan;
    prop_assert_eq!(active.digest, offered);
    prop_assert!(active.applied, "not applied: {:?}", world.unapplied());
    prop_assert!(world.has_acked(AckKind::Applied, active.seq));
    let ledger: BTreeSet<_> = world.ledger.clone().unwrap_or_default().entries.keys().cloned().collect();
    prop_assert_eq!(ledger, wanted.keys().cloned().collect::<BTreeSet<_>>());
    let durable = world.ledger.clone().unwrap_or_default();
    let uids = durable.entries.values();
    prop_assert!(
        uids.into_iter().all(|entry| entry.uid.as_ref() == Some(&world.api.objects[&entry.key].uid))
    );
    Ok(())
}

impl World {
    fn unapplied(&self) -> Vec<String> {
        let bad = self.state.objects.iter().filter(|(_, managed)| !managed.is_applied());
        bad.map(|(key, managed)| format!("{key}: {managed:?} {:?}", self.watches)).collect()
    }

    fn last_offer(&mut self, wanted: &Wanted) -> rimward_proto::session::Offer {
        let objects = wanted.iter().map(|(key, value)| config("shop", &key.name, value)).collect();
        let apps = [App { max_per_plan: BUDGET, ..app("shop/one", objects) }, app("shop/two", vec![])];
        self.fleet.last_plan = self.fleet.plan(&apps, &[]);
        self.fleet.offer(&self.fleet.last_plan, self.fleet.seq, self.now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn converges_whatever_happened_and_a_rerun_writes_nothing(
        acts in proptest::collection::vec(act(), 0..40),
        watched in any::<bool>(),
    ) {
        // Without a watch everything is listed from time to time, and it comes to the same.
        let max_watches = if watched { 512 } else { 0 };
        let mut world = World::following(Following { max_watches, ..Following::default() });
        let mut wanted = Wanted::new();
        for act in &acts {
            happen(&mut world, act, &mut wanted);
        }
        settle(&mut world, &wanted)?;
        let before = (world.api.objects.clone(), world.api.writes.len(), world.count("ledger"));
        world.restart();
        world.pass(SignedDuration::from_secs(30));
        world.baselines.clear();
        world.restart();
        world.pass(SignedDuration::from_secs(30));
        prop_assert_eq!(world.api.writes.len(), before.1, "{:?}", &world.api.writes[before.1..]);
        prop_assert_eq!(world.count("ledger"), before.2);
        prop_assert!(world.api.objects == before.0);
    }

    #[test]
    fn the_order_of_completions_decides_nothing(owners in proptest::array::uniform6(0..3u8), order in proptest::collection::vec(any::<u8>(), 60)) {
        let mut results = Vec::new();
        for shuffled in [false, true] {
            let mut world = World::new();
            for (owners, value) in [([0; NAMES], 1), (owners, 2)] {
                let plan = world.fleet.plan(&apps(owners, value), &[]);
                let offer = world.fleet.publish(&plan, world.now);
                world.offer(offer);
                for which in order.iter().filter(|_| shuffled) {
                    self::work(&mut world, *which, 9);
                }
                world.pass(SignedDuration::from_secs(2));
            }
            let values: Vec<_> = (0..NAMES as u8).map(|i| world.api.value(&key(i), &["data", "value"])).collect();
            let holds = world.reports.last().map(|report| report.holds.len());
            results.push((values, holds, world.api.writes.len(), world.count("ledger")));
        }
        prop_assert_eq!(&results[0], &results[1]);
    }
}
