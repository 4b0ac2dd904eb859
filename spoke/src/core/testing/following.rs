//! What is watched and what is listed: never more watches than the limit, none
//! begun anew because another place came; and what is listed is kept as well as
//! what is watched, only later.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rimward_proto::plan::{Plan, PlanBundle};
use rimward_proto::report::{DriftType, ListsReport, State as Status};
use serde_json::{Value, json};

use super::fleet::{App, app, config, config_key, key_of};
use super::health::{available, deployment, state};
use super::world::World;
use crate::core::effect::WatchSpec;
use crate::core::event::{Following, Unlisted};
use crate::core::lists::{AT_ONCE, LISTS_A_SECOND};
use crate::core::{Event, Outcome, Work};

const EVERY: SignedDuration = SignedDuration::from_secs(30);

fn world(max_watches: usize) -> World {
    World::following(Following { max_watches, list_every: EVERY })
}

/// A ConfigMap `a` in each namespace.
fn places(namespaces: &[&str]) -> Vec<App> {
    vec![app("shop/web", namespaces.iter().map(|namespace| config(namespace, "a", "1")).collect())]
}

fn publish(world: &mut World, apps: &[App], change: impl Fn(&mut PlanBundle)) -> Plan {
    let mut plan = world.fleet.plan(apps, &[]);
    plan.bundles.iter_mut().for_each(change);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(8));
    plan
}

fn make(world: &mut World, namespaces: &[&str]) {
    world.api.namespaces.extend(namespaces.iter().map(|&name| name.to_owned()));
}

fn watched(world: &World) -> Vec<String> {
    world.watches.iter().map(|spec| spec.namespace.clone()).collect()
}

fn value(world: &World, namespace: &str) -> Option<Value> {
    world.api.value(&config_key(namespace, "a"), &["data", "value"])
}

fn edit(world: &mut World, namespace: &str) {
    world.api.edit(&config_key(namespace, "a"), "kubectl-edit", &[(&["data", "value"], "9".into())]);
}

fn lists(world: &World) -> Option<ListsReport> {
    world.reports.last().and_then(|report| report.lists.as_deref().cloned())
}

const FOUR: [&str; 4] = ["shop", "shop-a", "shop-b", "shop-c"];

/// Four places and two watches.
fn four() -> World {
    let mut world = world(2);
    make(&mut world, &FOUR);
    publish(&mut world, &places(&FOUR), |_| {});
    assert_eq!(watched(&world), ["shop", "shop-a"]);
    world
}

#[test]
fn what_is_beyond_the_watches_is_kept_within_the_interval() {
    let mut world = four();
    for namespace in FOUR {
        assert_eq!(value(&world, namespace), Some(json!("1")), "{namespace}");
        edit(&mut world, namespace);
    }
    assert!(world.run());
    assert_eq!(["shop", "shop-a"].map(|of| value(&world, of)), [Some(json!("1")), Some(json!("1"))]);
    assert_eq!(value(&world, "shop-c"), Some(json!("9")), "nobody has looked yet");
    world.pass(EVERY);
    assert_eq!(["shop-b", "shop-c"].map(|of| value(&world, of)), [Some(json!("1")), Some(json!("1"))]);
    let uid = world.api.objects[&config_key("shop-c", "a")].uid.clone();
    world.api.remove(&config_key("shop-c", "a"));
    world.pass(EVERY);
    assert_eq!(value(&world, "shop-c"), Some(json!("1")));
    assert_ne!(world.api.objects[&config_key("shop-c", "a")].uid, uid);
    let drifts: Vec<_> = world.reports.iter().flat_map(|report| report.drift.clone()).collect();
    assert_eq!(drifts.len(), 5);
    assert_eq!(drifts[4].kind, DriftType::Deleted);
}

#[test]
fn a_list_is_no_proof_of_absence() {
    let mut world = four();
    let (writes, gets) = (world.api.writes.len(), world.count("get"));
    let place = |world: &World| {
        let is = |work: &Work| matches!(work, Work::List(spec) if spec.namespace == "shop-c");
        world.work.iter().position(|(_, work)| is(work))
    };
    // Until it is listed again: answered with nothing, as by a server that was restored from nothing.
    let id = loop {
        match place(&world) {
            Some(at) => break world.work.remove(at).0,
            None => {
                let at = world.wake.take().expect("something is due");
                world.now = world.now.max(at);
                world.send(Event::Tick);
            }
        }
    };
    world.send(Event::Done(id, Outcome::Listed(Ok(vec![]))));
    assert!(world.run());
    assert_eq!((world.api.writes.len(), world.count("get")), (writes, gets + 1), "looked for, and there");
}

#[test]
fn at_rest_a_place_is_listed_once_an_interval_and_nothing_else_is_asked() {
    let mut world = four();
    world.pass(SignedDuration::from_mins(5));
    let (before, reports) = (world.counts.clone(), world.reports.len());
    let rounds = 20;
    world.pass(EVERY * rounds);
    let made = world.count("list") - before["list"];
    let least = 2 * rounds as usize;
    assert!((least..=least * 5 / 4 + 2).contains(&made), "{made} lists of two places in {rounds} intervals");
    let mut rest = world.counts.clone();
    rest.insert("list", before["list"]);
    assert_eq!(rest, before, "no look, no write");
    let said = world.reports.len() - reports;
    assert!((1..=rounds as usize).contains(&said), "{said} reports, to say how old it is");
    let lists = lists(&world).unwrap();
    assert_eq!((lists.places, lists.interval_seconds), (2, 30));
    let age = world.reports.last().unwrap().as_of.duration_since(lists.as_of.unwrap());
    assert!(age <= EVERY, "{age:?}");
}

#[test]
fn what_cannot_be_listed_is_unknown_and_nothing_is_made_or_pruned_there() {
    let mut world = four();
    let spec = WatchSpec { namespace: "shop-c".into(), ..world.watches.first().unwrap().clone() };
    world.broken.insert(spec);
    world.pass(EVERY);
    let web = |world: &World| {
        let mut all = world.reports.iter().rev().flat_map(|report| &report.apps);
        all.find(|app| app.id.to_string() == "shop/web").unwrap().clone()
    };
    let told = web(&world);
    assert_eq!((told.reason.as_str(), told.exceptions.len()), ("Unknown", 1));
    let listed = told.exceptions[0].listed.unwrap();
    assert_eq!(listed.interval_seconds, 30);
    assert!(listed.as_of.unwrap() < world.now);
    let other = vec![app("shop/web", vec![config("shop", "a", "1"), config("shop-c", "b", "1")])];
    let plan = publish(&mut world, &other, |_| {});
    world.pass(EVERY * 4);
    assert!(world.api.objects.contains_key(&config_key("shop-c", "a")), "pruned blindly");
    assert!(!world.api.objects.contains_key(&config_key("shop-c", "b")), "made blindly");
    world.broken.clear();
    let renewed = world.fleet.offer(&plan, world.fleet.seq, world.now);
    world.offer(renewed);
    world.pass(EVERY * 2);
    assert!(world.api.objects.contains_key(&config_key("shop-c", "b")));
}

#[test]
fn a_watch_stays_where_it_is_when_places_come_and_gets_free_when_they_go() {
    let mut world = four();
    let before = world.watches.clone();
    let more = ["shop", "shop-0", "shop-00", "shop-a", "shop-b"];
    make(&mut world, &more);
    publish(&mut world, &places(&more), |_| {});
    assert_eq!(world.watches, before, "a new place that sorts first takes nobody's watch");
    publish(&mut world, &places(&["shop-00", "shop-a", "shop-b"]), |_| {});
    assert_eq!(watched(&world), ["shop-00", "shop-a"]);
    assert_eq!(lists(&world).unwrap().places, 1);
    publish(&mut world, &places(&["shop-00", "shop-a"]), |_| {});
    world.pass(EVERY);
    assert_eq!(lists(&world), None, "all is watched");
    let made = world.count("list");
    world.pass(EVERY * 4);
    assert_eq!(world.count("list"), made);
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let mut world = four();
    let mut asked = None;
    for _ in 0..100 {
        let is = |work: &Work| matches!(work, Work::List(_));
        if let Some(at) = world.work.iter().position(|(_, work)| is(work)) {
            asked = Some(world.work.remove(at).0);
            break;
        }
        world.now = world.now.max(world.wake.take().expect("something is due"));
        world.send(Event::Tick);
    }
    let why = Unlisted { retry_after: Some(Duration::from_secs(20)), ..Unlisted::default() };
    world.send(Event::Done(asked.expect("it lists"), Outcome::Listed(Err(why))));
    let made = world.count("list");
    world.pass(SignedDuration::from_secs(19));
    assert_eq!(world.count("list"), made, "neither this place nor another");
    world.pass(SignedDuration::from_secs(40));
    assert!(world.count("list") >= made + 2);
}

#[test]
fn few_at_once_however_many_there_are_and_the_interval_grows_with_them() {
    let names: Vec<String> = (0..500).map(|n| format!("shop-{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = world(0);
    make(&mut world, &names);
    let plan = world.fleet.plan(&places(&names), &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    let mut most = 0;
    while let Some((id, work)) = (!world.work.is_empty()).then(|| world.work.remove(0)) {
        world.perform(id, &work, super::world::Fault::None);
        most = most.max(world.work.iter().filter(|(_, work)| matches!(work, Work::List(_))).count());
    }
    assert_eq!(most, AT_ONCE);
    world.pass(SignedDuration::from_mins(4));
    let seconds = lists(&world).unwrap().interval_seconds;
    assert_eq!(seconds, names.len() as u64 / LISTS_A_SECOND as u64);
    let made = world.count("list");
    world.pass(SignedDuration::from_mins(6));
    let each = (world.count("list") - made) as f64 / names.len() as f64;
    let due = 360.0 / seconds as f64;
    assert!((due..due * 1.3).contains(&each), "each place {each} times in six minutes, every {seconds} s");
}

#[test]
fn of_new_places_those_come_first_whose_objects_change_by_themselves() {
    let mut world = world(1);
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1"), deployment("1")])], |_| {});
    let kinds: Vec<_> = world.watches.iter().map(|spec| spec.kind.as_str()).collect();
    assert_eq!(kinds, ["Deployment"]);
}

#[test]
fn a_place_where_something_is_not_healthy_is_listed_sooner() {
    let mut world = world(0);
    publish(&mut world, &[app("shop/web", vec![deployment("1")])], |_| {});
    assert_eq!(state(&mut world, "shop/web").0, Status::Progressing);
    world.pass(EVERY * 4);
    world.api.set_status(&key_of(&deployment("1")), &available(1));
    world.pass(EVERY / 4);
    assert_eq!(state(&mut world, "shop/web").0, Status::Ready);
    let made = world.count("list");
    world.pass(EVERY * 4);
    assert!((4..=6).contains(&(world.count("list") - made)), "and then as others");
}

/// The tenant's account is its own, and may have any right.
fn itself(bundle: &mut PlanBundle) {
    bundle.role = None;
}

#[test]
fn an_account_that_may_sees_all_namespaces_in_one_watch() {
    let mut world = world(2);
    make(&mut world, &FOUR);
    publish(&mut world, &places(&FOUR), itself);
    assert_eq!(watched(&world), [""], "one for all");
    edit(&mut world, "shop-c");
    world.api.remove(&config_key("shop-b", "a"));
    assert!(world.run());
    assert_eq!(["shop-b", "shop-c"].map(|of| value(&world, of)), [Some(json!("1")), Some(json!("1"))]);
    let before = world.watches.clone();
    publish(&mut world, &places(&["shop"]), itself);
    assert_eq!(world.watches, before, "it goes on, also when one namespace is left");
    assert!(!world.api.objects.contains_key(&config_key("shop-b", "a")), "and what left Git is pruned");
}

#[test]
fn an_account_that_may_not_sees_its_namespaces_one_by_one() {
    let mut world = world(8);
    make(&mut world, &FOUR);
    let spec = |namespace: &str| WatchSpec {
        service_account: "rimward-tenants/shop".into(),
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: namespace.into(),
        version: "v1".into(),
        judge: Default::default(),
    };
    world.broken.insert(spec(""));
    publish(&mut world, &places(&FOUR), itself);
    assert_eq!(watched(&world), FOUR);
    edit(&mut world, "shop-c");
    assert!(world.run());
    assert_eq!(value(&world, "shop-c"), Some(json!("1")));
    let unknown = |world: &World| {
        let apps = world.reports.iter().flat_map(|report| &report.apps);
        apps.filter(|app| app.reason == "Unknown").count()
    };
    assert_eq!(unknown(&world), 0, "to be refused is an answer");
    world.broken.clear();
    world.send(Event::Reconcile);
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(watched(&world), [""], "somebody asked, and the right is there now");
    // Taken away again, with all others.
    world.broken.extend(FOUR.map(spec).into_iter().chain([spec("")]));
    world.list(&spec(""));
    world.pass(SignedDuration::from_secs(5));
    assert_eq!(watched(&world), FOUR);
    assert!(unknown(&world) > 0);
    world.broken.clear();
    FOUR.map(spec).iter().for_each(|spec| world.list(spec));
    world.pass(SignedDuration::from_secs(5));
    let last = world.reports.iter().rev().flat_map(|report| &report.apps).next().unwrap();
    assert_eq!((last.reason.as_str(), last.ready), ("", 4));
}

#[test]
fn a_tenants_account_that_we_bind_is_not_asked_for_more() {
    let mut world = world(8);
    make(&mut world, &FOUR);
    publish(&mut world, &places(&FOUR), |_| {});
    assert_eq!(watched(&world), FOUR);
}

#[test]
fn what_another_account_made_is_not_judged() {
    let mut world = world(8);
    make(&mut world, &["ops", "ops-a", "shop"]);
    let theirs = app("ops/all", vec![config("ops", "a", "1"), config("ops-a", "a", "1")]);
    let apps = [theirs, app("shop/web", vec![config("shop", "a", "1")])];
    publish(&mut world, &apps, |bundle| {
        if bundle.tenant.as_str() == "ops" {
            itself(bundle);
        }
    });
    assert_eq!(watched(&world), ["", "shop"]);
    let gets = world.count("get");
    let all = world.watches.iter().next().unwrap().clone();
    world.send(Event::WatchSynced { watch: all, objects: vec![] });
    assert!(world.run());
    assert_eq!(world.count("get"), gets + 2, "its own two are looked for, and not the other's");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any places that come and go: as many are watched as may be, the rest is listed, and who has a watch keeps it.
    #[test]
    fn watches_are_full_and_stay(limit in 0..6usize, plans in prop::collection::vec(any::<u8>(), 1..8)) {
        let names: Vec<String> = (0..8).map(|n| format!("shop-{n}")).collect();
        let mut world = world(limit);
        make(&mut world, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut before: BTreeSet<String> = BTreeSet::new();
        for plan in plans {
            // One stays, so that there is always something to prune for.
            let wanted: Vec<&str> =
                names.iter().enumerate().filter(|(n, _)| *n == 0 || plan >> n & 1 == 1).map(|(_, name)| name.as_str()).collect();
            publish(&mut world, &places(&wanted), |bundle| bundle.deletion.max_per_plan = 100);
            world.pass(EVERY * 2);
            let there: BTreeSet<String> = wanted.iter().map(|&name| name.to_owned()).collect();
            let watched: BTreeSet<String> = watched(&world).into_iter().collect();
            prop_assert_eq!(watched.len(), there.len().min(limit));
            prop_assert!(watched.is_subset(&there));
            let kept: BTreeSet<String> = before.intersection(&there).cloned().collect();
            prop_assert!(kept.is_subset(&watched), "{:?} lost a watch: {:?}", kept, watched);
            prop_assert_eq!(lists(&world).map_or(0, |lists| lists.places as usize), there.len() - watched.len());
            before = watched;
        }
        let now: Timestamp = world.now;
        prop_assert!(world.wake.is_none_or(|at| at >= now), "it does not spin");
    }
}
