//! Any plans, in any order, with any faults, and ledgers that are lost on the
//! way: nothing is deleted that is not proved to be ours since, nothing is
//! forgotten, and nothing is said to be gone that is there.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;
use rimward_proto::head::Assignment;
use rimward_proto::object::{APP_LABEL, FIELD_MANAGER, TENANT_LABEL};
use rimward_proto::session::Offer;
use rimward_proto::{AppId, Digest};
use serde_json::{Value, json};

use super::fleet::{App, app, config, config_key};
use super::property::work;
use super::world::World;
use crate::core::Event;
use crate::core::effect::DeleteWork;
use crate::core::ledger::Latch;

/// What a test remembers of a loss.
#[derive(Debug, Clone, Default)]
pub struct Loss {
    /// It was lost at all: what is kept by an annotation or on its way to an heir is another matter.
    happened: bool,
    /// UIDs of what was there, and no plan has wanted since.
    unproved: BTreeSet<String>,
    /// Plans offered since.
    offered: BTreeSet<Digest>,
}

impl World {
    /// The spoke dies, and its ledger is gone when it starts again.
    pub fn lose_ledger(&mut self) {
        let ours = self.api.objects.values().filter(|stored| stored.creator == FIELD_MANAGER);
        self.loss.unproved = ours.map(|stored| stored.uid.clone()).collect();
        self.loss.happened = true;
        self.loss.offered.clear();
        // What a day and a plan have seen deleted is forgotten with it.
        self.deleted.clear();
        self.ledger = None;
        self.restart();
    }

    /// What a plan that was offered since the loss wants is proved to be ours.
    pub fn prove(&mut self) {
        let active = self.state.active.as_ref().filter(|active| self.loss.offered.contains(&active.digest));
        if self.loss.unproved.is_empty() || active.is_none() {
            return;
        }
        for (key, stored) in &self.api.objects {
            let want = self.state.objects.get(key).and_then(|managed| managed.want.as_ref());
            if want.is_some_and(|want| !want.bundle.carried) {
                self.loss.unproved.remove(&stored.uid);
            }
        }
    }

    /// A plan is offered.
    pub fn note_offer(&mut self, offer: &Offer) {
        self.loss.offered.extend(Assignment::parse(&offer.assignment).map(|assignment| assignment.plan));
    }

    /// What must hold of every delete after a loss.
    pub fn check_proved(&self, delete: &DeleteWork) {
        let entry = &self.state.ledger.entries[&delete.target.key];
        let approved = entry.latch == Latch::Approved;
        assert!(approved || !entry.found, "deleted {}, which was only found", delete.target.key);
        let unproved = self.loss.unproved.contains(&delete.uid);
        assert!(approved || !unproved, "deleted {} after the ledger was lost", delete.target.key);
    }

    /// Nothing of an App that is said to be gone is there, but for what another has by now.
    pub fn check_cleared(&self, cleared: &[AppId]) {
        for (key, stored) in self.api.objects.iter().filter(|_| self.loss.happened) {
            let label = |name: &str| self.api.value(key, &["metadata", "labels", name]);
            let of = |app: &AppId| {
                label(TENANT_LABEL) == Some(json!(app.tenant)) && label(APP_LABEL) == Some(json!(app.app))
            };
            let ours = stored.creator == FIELD_MANAGER && !self.is_wanted(key);
            assert!(!ours || !cleared.iter().any(of), "{key} is there, and its App is said to be gone");
        }
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// A new plan: each name belongs to one of two Apps, or to none; and what becomes of an App that has none: it is
    /// there without objects, it has a tombstone, or nobody speaks of it.
    Publish([u8; 4], u8),
    Work(Vec<(u8, u8)>),
    Events,
    Crash(u8),
    /// The ledger is lost, and the disk with it or not.
    Lose(bool),
    /// Whether the kinds may be listed.
    List(bool),
    Delete(usize),
    Wait(u16),
    Rest,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (proptest::array::uniform4(0..3u8), 0..3u8).prop_map(|(owners, rest)| Act::Publish(owners, rest)),
        6 => proptest::collection::vec((any::<u8>(), 0..12u8), 1..40).prop_map(Act::Work),
        3 => Just(Act::Events),
        1 => any::<u8>().prop_map(Act::Crash),
        2 => any::<bool>().prop_map(Act::Lose),
        1 => any::<bool>().prop_map(Act::List),
        1 => (0..NAMES.len()).prop_map(Act::Delete),
        2 => (0..20_000u16).prop_map(Act::Wait),
        3 => Just(Act::Rest),
    ]
}

fn plan_of(owners: [u8; 4], rest: u8) -> (Vec<App>, Vec<&'static str>) {
    let (mut apps, mut removed) = (Vec::new(), Vec::new());
    for (id, owner) in [("shop/one", 0), ("shop/two", 1)] {
        let mine = NAMES.iter().zip(owners).filter(|(_, of)| *of == owner);
        let objects: Vec<Value> = mine.map(|(name, _)| config("shop", name, "1")).collect();
        match rest {
            _ if !objects.is_empty() => apps.push(app(id, objects)),
            0 => apps.push(app(id, objects)),
            1 => removed.push(id),
            _ => {}
        }
    }
    (apps, removed)
}

fn happen(world: &mut World, act: &Act) {
    match act {
        Act::Publish(owners, rest) => {
            let (apps, removed) = plan_of(*owners, *rest);
            world.fleet.last_plan = world.fleet.plan(&apps, &removed);
            let offer = world.fleet.publish(&world.fleet.last_plan.clone(), world.now);
            world.offer(offer);
        }
        Act::Work(list) => list.iter().for_each(|(which, fault)| work(world, *which, *fault)),
        Act::Events => {
            world.tell_watches();
            for event in std::mem::take(&mut world.events) {
                world.send(event);
            }
        }
        Act::Crash(seed) => {
            world.crash(*seed);
            world.connect();
        }
        Act::Lose(disk) => {
            if *disk {
                world.plan = None;
                world.baselines.clear();
            }
            world.lose_ledger();
            world.connect();
        }
        Act::List(may) => {
            let place = ("ConfigMap".to_owned(), "shop".to_owned());
            if *may {
                world.api.unlisted.remove(&place)
            } else {
                world.api.unlisted.insert(place)
            };
        }
        Act::Delete(i) => world.api.remove(&config_key("shop", NAMES[*i])),
        Act::Wait(millis) => {
            world.now += SignedDuration::from_millis(i64::from(*millis));
            world.send(Event::Tick);
        }
        Act::Rest => world.pass(SignedDuration::from_secs(8)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    // At each deletion it is checked that it is of something proved to be ours since the loss, and at each report that
    // nothing is left of an App that is said to be gone; at the end nothing of ours is forgotten.
    #[test]
    fn nothing_goes_unproved_and_nothing_is_forgotten(acts in proptest::collection::vec(act(), 0..40)) {
        let mut world = World::new();
        for act in &acts {
            happen(&mut world, act);
        }
        world.api.unlisted.clear();
        world.watches.clone().iter().for_each(|spec| world.list(spec));
        if world.fleet.seq == 0 {
            return Ok(());
        }
        let renewed = world.fleet.publish(&world.fleet.last_plan.clone(), world.now);
        world.offer(renewed);
        world.pass(SignedDuration::from_mins(11));
        let ledger = world.ledger.clone().unwrap_or_default();
        let searched = ledger.lost.is_none();
        for (key, stored) in &world.api.objects {
            // A tenant of which the plan has no App is not looked for.
            let known = ledger.entries.get(key).is_some_and(|entry| entry.uid.as_ref() == Some(&stored.uid));
            prop_assert!(known || !searched, "{key} is forgotten: {:?}", ledger);
        }
        let bundles = !world.fleet.last_plan.bundles.is_empty();
        prop_assert!(searched || !bundles, "never rebuilt: {:?}", world.state.search);
    }
}
