//! What is deleted and made again gets another UID; a crash right after that
//! must not make the ledger take it for somebody else's.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::fleet::{App, app, config, config_key};
use super::replacing::replaced;
use super::world::{Fault, World};
use crate::core::effect::ApplyMode;
use crate::core::{Event, Work};

fn web(names: &[&str]) -> App {
    app("shop/web", names.iter().map(|name| config("shop", name, "1")).collect())
}

fn offer(world: &mut World, app: App) {
    let plan = world.fleet.plan(&[app], &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
}

/// Plays on until something of this kind is to be done, and has it done without the spoke hearing of it.
fn until_unheard(world: &mut World, last: impl Fn(&Work) -> bool) {
    loop {
        world.tell_watches();
        if !world.events.is_empty() {
            let event = world.events.remove(0);
            world.send(event);
            continue;
        }
        assert!(!world.work.is_empty(), "it is never done");
        let (id, work) = world.work.remove(0);
        if last(&work) {
            world.do_work(&work);
            return;
        }
        world.perform(id, &work, Fault::None);
    }
}

/// With it goes the plan of before, which would have what was made again looked at in time.
fn lose_disk(world: &mut World) {
    world.plan = None;
    world.baselines.clear();
}

fn is_create(work: &Work) -> bool {
    matches!(work, Work::Apply(apply) if !apply.dry_run && apply.mode == ApplyMode::Create)
}

#[test]
fn what_is_made_again_right_before_a_crash_is_pruned_when_the_next_plan_has_it_not() {
    let mut world = World::new();
    offer(&mut world, web(&["a", "b"]));
    world.pass(SignedDuration::from_secs(2));
    world.api.remove(&config_key("shop", "a"));
    until_unheard(&mut world, is_create);
    assert!(world.api.objects.contains_key(&config_key("shop", "a")), "it was made again");
    lose_disk(&mut world);
    world.restart();
    world.connect();
    offer(&mut world, web(&["b"]));
    world.pass(SignedDuration::from_secs(5));
    assert!(!world.api.objects.contains_key(&config_key("shop", "a")));
}

#[test]
fn what_is_replaced_right_before_a_crash_is_pruned_when_the_next_plan_has_it_not() {
    let mut world = World::new();
    let with = |value: Option<&str>| {
        let fixed = value.map(|value| replaced("a", value));
        app("shop/web", fixed.into_iter().chain([config("shop", "b", "1")]).collect())
    };
    offer(&mut world, with(Some("1")));
    world.pass(SignedDuration::from_secs(2));
    offer(&mut world, with(Some("2")));
    until_unheard(&mut world, |work| matches!(work, Work::Delete(_)));
    // The deletion was not heard of either: begun again, and this time to its end.
    world.restart();
    world.connect();
    until_unheard(&mut world, is_create);
    assert!(world.api.objects.contains_key(&config_key("shop", "a")), "it was made again");
    lose_disk(&mut world);
    world.restart();
    world.connect();
    offer(&mut world, with(None));
    world.pass(SignedDuration::from_secs(5));
    assert!(!world.api.objects.contains_key(&config_key("shop", "a")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    // Somebody deletes things, the spoke dies in the middle of making them again, and Git wants them no more.
    #[test]
    fn nothing_made_again_is_forgotten(
        deleted in proptest::array::uniform4(any::<bool>()),
        dropped in proptest::array::uniform4(any::<bool>()),
        work in 0..24usize,
        crash in any::<u8>(),
        disk in any::<bool>(),
    ) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let mut world = World::new();
        offer(&mut world, web(&NAMES));
        world.pass(SignedDuration::from_secs(2));
        for (name, _) in NAMES.iter().zip(deleted).filter(|(_, deleted)| *deleted) {
            world.api.remove(&config_key("shop", name));
        }
        for _ in 0..work {
            world.tell_watches();
            for event in std::mem::take(&mut world.events) {
                world.send(event);
            }
            if !world.work.is_empty() {
                let (id, work) = world.work.remove(0);
                world.perform(id, &work, Fault::None);
            }
        }
        world.crash(crash);
        if disk {
            lose_disk(&mut world);
            world.restart();
        }
        let kept: Vec<&str> = NAMES.iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(name, _)| *name).collect();
        world.connect();
        offer(&mut world, web(&kept));
        world.send(Event::Reconcile);
        world.pass(SignedDuration::from_mins(11));
        let left: Vec<&str> = world.api.objects.keys().map(|key| key.name.as_str()).collect();
        prop_assert_eq!(left, kept);
    }
}
