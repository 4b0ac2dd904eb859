//! Pruning and its budget: what goes, what is held, what an approval lets go,
//! and what no approval reaches.

use jiff::SignedDuration;
use rimward_proto::Digest;
use rimward_proto::report::{HoldReport, State as Status};
use serde_json::json;

use super::api::forbidden;
use super::fleet::{App, app, config, config_key, key_of};
use super::world::{Fault, World};
use crate::core::ledger::Latch;
use crate::core::{Event, Work};

fn web(names: std::ops::Range<usize>) -> App {
    app("shop/web", names.map(|i| config("shop", &format!("c{i}"), "1")).collect())
}

fn publish(world: &mut World, apps: &[App], removed: &[&str]) {
    let plan = world.fleet.plan(apps, removed);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
}

fn left(world: &World) -> usize {
    world.api.objects.len()
}

fn holds(world: &World) -> Vec<HoldReport> {
    world.reports.last().unwrap().holds.clone()
}

#[test]
fn over_budget_is_held_and_everything_else_goes_on() {
    let mut world = World::new();
    publish(&mut world, &[web(0..30)], &[]);
    publish(&mut world, &[web(25..32)], &[]);
    assert_eq!(left(&world), 32, "25 deletions are over 20: none goes; two new ones came");
    let hold = holds(&world).pop().unwrap();
    assert_eq!((hold.reason.as_str(), hold.objects.len()), ("OverBudget", 25));
    assert_eq!(hold.digest, rimward_proto::report::hold_digest(&hold.objects));
    assert_eq!(world.reports.last().unwrap().apps.last().unwrap().state, Status::Held);
}

#[test]
fn an_approval_lets_exactly_that_list_go() {
    let mut world = World::new();
    publish(&mut world, &[web(0..30)], &[]);
    publish(&mut world, &[web(25..30)], &[]);
    world.fleet.deletes = vec![Digest::of(b"something else")];
    publish(&mut world, &[web(25..30)], &[]);
    assert_eq!(left(&world), 30);
    world.fleet.deletes = vec![holds(&world)[0].digest];
    publish(&mut world, &[web(25..30)], &[]);
    assert_eq!(left(&world), 5);
    assert!(holds(&world).is_empty());
}

#[test]
fn a_held_deletion_stays_held_under_another_plan_and_after_a_restart() {
    let mut world = World::new();
    publish(&mut world, &[web(0..30), app("shop/api", vec![])], &[]);
    publish(&mut world, &[web(25..30), app("shop/api", vec![])], &[]);
    publish(&mut world, &[web(25..30), app("shop/api", vec![config("shop", "x", "1")])], &[]);
    assert_eq!(left(&world), 31);
    world.restart();
    world.connect();
    world.pass(SignedDuration::from_secs(5));
    assert_eq!((left(&world), holds(&world)[0].objects.len()), (31, 25));
}

#[test]
fn what_was_inside_one_budget_is_counted_again_under_a_smaller_one() {
    let mut world = World::new();
    let within = |names, max| App { max_per_plan: max, ..web(names) };
    publish(&mut world, &[within(0..8, 20)], &[]);
    // Five may go, and cannot: their watch fails.
    world.pass(SignedDuration::from_secs(10));
    world.broken = world.watches.clone();
    for watch in world.watches.clone() {
        world.send(Event::WatchFailed { watch, why: forbidden() });
    }
    publish(&mut world, &[within(5..8, 20)], &[]);
    let latches = |world: &World, latch| {
        world.ledger.as_ref().unwrap().entries.values().filter(|entry| entry.latch == latch).count()
    };
    assert_eq!((left(&world), latches(&world, Latch::Budgeted)), (8, 5));
    publish(&mut world, &[within(5..8, 2)], &[]);
    world.broken.clear();
    world.watches.clone().iter().for_each(|spec| world.list(spec));
    world.pass(SignedDuration::from_mins(1));
    assert_eq!((left(&world), latches(&world, Latch::OverBudget)), (8, 5));
    assert_eq!((holds(&world)[0].reason.as_str(), holds(&world)[0].objects.len()), ("OverBudget", 5));
    // What was held once is held under a larger one too.
    publish(&mut world, &[within(5..8, 20)], &[]);
    assert_eq!(left(&world), 8);
    world.fleet.deletes = vec![holds(&world)[0].digest];
    publish(&mut world, &[within(5..8, 2)], &[]);
    assert_eq!((left(&world), holds(&world)), (3, vec![]));
}

#[test]
fn what_one_plan_let_go_is_not_counted_by_the_next() {
    let mut world = World::new();
    let within = |names| App { max_per_plan: 2, ..web(names) };
    publish(&mut world, &[within(0..6)], &[]);
    for i in 0..2 {
        world.api.objects.get_mut(&config_key("shop", &format!("c{i}"))).unwrap().finalizer = true;
    }
    publish(&mut world, &[within(2..6)], &[]);
    assert_eq!(world.reports.last().unwrap().apps[0].reason, "Terminating");
    publish(&mut world, &[within(4..6)], &[]);
    assert_eq!((left(&world), holds(&world)), (4, vec![]), "two are going, two more are inside the budget");
}

#[test]
fn the_budget_counts_all_apps_of_a_plan_together() {
    let mut world = World::new();
    let apps = |count: usize| -> Vec<App> {
        let objects =
            |prefix: &str| (0..count).map(|i| config("shop", &format!("{prefix}{i}"), "1")).collect();
        vec![app("shop/one", objects("a")), app("shop/two", objects("b"))]
    };
    publish(&mut world, &apps(15), &[]);
    publish(&mut world, &apps(0), &[]);
    assert_eq!(left(&world), 30, "15 and 15 are over 20 together");
    assert_eq!(holds(&world).len(), 2);
}

#[test]
fn deletions_stay_pending_until_gone_and_are_counted_once() {
    let mut world = World::new();
    publish(&mut world, &[web(0..2)], &[]);
    let key = config_key("shop", "c1");
    world.api.objects.get_mut(&key).unwrap().finalizer = true;
    publish(&mut world, &[web(0..1)], &[]);
    assert_eq!(world.reports.last().unwrap().apps[0].reason, "Terminating");
    world.restart();
    world.connect();
    publish(&mut world, &[web(0..1)], &[]);
    world.pass(SignedDuration::from_mins(2));
    let deletes = world.api.writes.iter().filter(|write| write.starts_with("delete")).count();
    assert_eq!(deletes, 1);
    assert!(world.ledger.as_ref().unwrap().entries.contains_key(&key));
    world.api.objects.get_mut(&key).unwrap().finalizer = false;
    world.api.remove(&key);
    world.pass(SignedDuration::from_mins(1));
    assert!(!world.ledger.as_ref().unwrap().entries.contains_key(&key));
}

#[test]
fn what_a_controller_owns_is_never_pruned() {
    let mut world = World::new();
    publish(&mut world, &[web(0..2)], &[]);
    let key = config_key("shop", "c1");
    world.api.objects.get_mut(&key).unwrap().controlled = true;
    publish(&mut world, &[web(0..1)], &[]);
    world.pass(SignedDuration::from_mins(2));
    assert!(world.api.objects.contains_key(&key));
}

#[test]
fn a_foreign_namesake_of_a_pruned_object_is_left() {
    let mut world = World::new();
    publish(&mut world, &[web(0..2)], &[]);
    let key = config_key("shop", "c1");
    world.api.remove(&key);
    world.api.changes.clear();
    world.api.edit(&key, "kubectl-create", &[(&["data", "value"], "theirs".into())]);
    publish(&mut world, &[web(0..1)], &[]);
    assert!(world.api.objects.contains_key(&key));
    assert!(!world.ledger.as_ref().unwrap().entries.contains_key(&key));
}

#[test]
fn no_approval_reaches_a_locally_protected_kind() {
    let mut world = World::new();
    world.settings.protect = vec!["ConfigMap".into()];
    world.send(Event::Config(world.settings.clone()));
    publish(&mut world, &[web(0..2)], &[]);
    publish(&mut world, &[web(0..1)], &[]);
    let hold = holds(&world).pop().unwrap();
    assert_eq!(hold.reason, "CeilingProtected");
    world.fleet.deletes = vec![hold.digest];
    publish(&mut world, &[web(0..1)], &[]);
    assert_eq!(left(&world), 2);
}

#[test]
fn a_deletion_that_a_crash_cuts_short_is_counted_once() {
    let mut world = World::new();
    world.settings.deletes_per_day = 2;
    world.send(Event::Config(world.settings.clone()));
    publish(&mut world, &[web(0..3)], &[]);
    for _ in 0..4 {
        let plan = world.fleet.plan(&[web(2..3)], &[]);
        let offer = world.fleet.publish(&plan, world.now);
        world.offer(offer);
        // Up to the moment before the first deletion, which is counted by then.
        while !matches!(world.work.first(), Some((_, Work::Delete(_)))) {
            world.tell_watches();
            if !world.events.is_empty() {
                let event = world.events.remove(0);
                world.send(event);
            } else {
                assert!(!world.work.is_empty(), "nothing is deleted");
                let (id, work) = world.work.remove(0);
                world.perform(id, &work, Fault::None);
            }
        }
        assert_eq!(world.ledger.as_ref().unwrap().deleted_in_a_day(world.now), 2);
        world.restart();
        world.connect();
    }
    world.pass(SignedDuration::from_secs(2));
    assert_eq!((left(&world), holds(&world).len()), (1, 0));
    // What is wanted again and removed again is another deletion.
    publish(&mut world, &[web(1..3)], &[]);
    publish(&mut world, &[web(2..3)], &[]);
    assert_eq!((left(&world), holds(&world)[0].reason.as_str()), (2, "CeilingDeletesPerDay"));
}

#[test]
fn the_days_ceiling_spreads_deletions_over_days() {
    let mut world = World::new();
    world.settings.deletes_per_day = 3;
    world.send(Event::Config(world.settings.clone()));
    publish(&mut world, &[web(0..8)], &[]);
    publish(&mut world, &[web(0..0)], &[]);
    assert_eq!(left(&world), 5);
    assert_eq!(holds(&world)[0].reason, "CeilingDeletesPerDay");
    world.restart();
    world.connect();
    world.pass(SignedDuration::from_mins(5));
    assert_eq!(left(&world), 5, "a restart forgets nothing");
    for _ in 0..50 {
        let plan = world.fleet.plan(&[web(0..0)], &[]);
        let renewed = world.fleet.offer(&plan, world.fleet.seq, world.now);
        world.offer(renewed);
        world.pass(SignedDuration::from_mins(14));
        world.pass(SignedDuration::from_mins(46));
    }
    assert_eq!(left(&world), 0);
}

#[test]
fn a_namespace_is_never_deleted_without_an_approval() {
    let mut world = World::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop-eu"}});
    let mut ns = app("shop/ns", vec![namespace.clone()]);
    ns.allow = vec!["Namespace".into()];
    publish(&mut world, &[ns], &[]);
    let key = key_of(&namespace);
    assert!(world.api.objects.contains_key(&key));
    publish(&mut world, &[], &["shop/ns"]);
    assert!(world.api.objects.contains_key(&key));
    let hold = holds(&world).pop().unwrap();
    assert_eq!(hold.reason, "Protected");
    world.fleet.deletes = vec![hold.digest];
    publish(&mut world, &[], &["shop/ns"]);
    assert!(!world.api.objects.contains_key(&key));
}

#[test]
fn what_is_wanted_again_is_not_pruned() {
    let mut world = World::new();
    publish(&mut world, &[web(0..30)], &[]);
    publish(&mut world, &[web(0..2)], &[]);
    publish(&mut world, &[web(0..30)], &[]);
    assert_eq!((left(&world), holds(&world)), (30, vec![]));
    publish(&mut world, &[web(0..15)], &[]);
    assert_eq!(left(&world), 15, "a new decision, inside the budget");
}

#[test]
fn a_wave_waits_until_the_one_before_is_gone_but_not_for_ever() {
    let operator = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "operator", "namespace": "shop"}, "spec": {"replicas": 0}});
    let settings = config("shop", "settings", "1");
    let (operator_key, settings_key) = (key_of(&operator), key_of(&settings));
    for patience in [false, true] {
        let mut world = World::new();
        let apps =
            [app("shop/operator", vec![operator.clone()]), app("shop/settings", vec![settings.clone()])];
        publish(&mut world, &apps, &[]);
        world.api.objects.get_mut(&operator_key).unwrap().finalizer = true;
        publish(&mut world, &[], &["shop/operator", "shop/settings"]);
        world.pass(SignedDuration::from_mins(2));
        assert!(world.api.objects.contains_key(&settings_key), "the operator is not gone yet");
        assert_eq!(holds(&world), []);
        if patience {
            world.pass(SignedDuration::from_mins(4));
            assert!(world.api.objects.contains_key(&operator_key));
        } else {
            world.api.objects.get_mut(&operator_key).unwrap().finalizer = false;
            world.api.remove(&operator_key);
            world.pass(SignedDuration::from_mins(1));
        }
        assert!(!world.api.objects.contains_key(&settings_key));
    }
}

#[test]
fn a_deletion_that_fails_lets_nothing_of_a_later_wave_go_before_it() {
    let operator = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "operator", "namespace": "shop"}, "spec": {"replicas": 0}});
    let settings = config("shop", "settings", "1");
    for (fails, read) in [(true, true), (true, false), (false, false)] {
        let mut world = World::new();
        publish(&mut world, &[app("shop/web", vec![operator.clone(), settings.clone()])], &[]);
        let plan = world.fleet.plan(&[], &["shop/web"]);
        let offer = world.fleet.publish(&plan, world.now);
        world.offer(offer);
        let mut left = usize::from(fails);
        loop {
            world.tell_watches();
            if !world.events.is_empty() {
                let event = world.events.remove(0);
                world.send(event);
            } else if !world.work.is_empty() {
                let (id, work) = world.work.remove(0);
                let this = match &work {
                    Work::Get(get) => read && get.target.key.kind == "Deployment",
                    work => !read && matches!(work, Work::Delete(_)),
                };
                let fault = if this && left > 0 { Fault::Fails } else { Fault::None };
                left -= usize::from(fault == Fault::Fails);
                world.perform(id, &work, fault);
            } else {
                break;
            }
        }
        assert_eq!(left, 0);
        assert_eq!(world.api.objects.contains_key(&key_of(&settings)), fails, "{read}");
        world.pass(SignedDuration::from_mins(1));
        assert!(world.api.objects.is_empty());
        let deletes: Vec<_> = world.api.writes.iter().filter(|write| write.starts_with("delete")).collect();
        assert!(deletes[0].contains("Deployment") && deletes[1].contains("ConfigMap"), "{deletes:?}");
    }
}

#[test]
fn a_deletion_that_may_not_be_made_holds_up_the_others_for_a_while_only() {
    let operator = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "operator", "namespace": "shop"}, "spec": {"replicas": 0}});
    let settings = config("shop", "settings", "1");
    let mut world = World::new();
    publish(&mut world, &[app("shop/web", vec![operator.clone(), settings.clone()])], &[]);
    // Right after a setup a refusal may be the server's own lag.
    world.pass(SignedDuration::from_secs(10));
    world.broken = world.watches.iter().filter(|spec| spec.kind == "Deployment").cloned().collect();
    let broken: Vec<_> = world.broken.iter().cloned().collect();
    for watch in broken {
        world.send(Event::WatchFailed { watch, why: forbidden() });
    }
    publish(&mut world, &[], &["shop/web"]);
    assert!(world.api.objects.contains_key(&key_of(&settings)));
    world.pass(SignedDuration::from_mins(6));
    assert!(!world.api.objects.contains_key(&key_of(&settings)));
    assert!(world.api.objects.contains_key(&key_of(&operator)), "nothing is pruned blindly");
}
