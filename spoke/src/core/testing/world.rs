//! The driver: plays the core's effects against the model, in order or not,
//! with faults or without, across crashes; and checks at every single effect
//! what must never happen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rimward_proto::Digest;
use rimward_proto::report::Report;
use rimward_proto::session::{Ack, AckKind, Offer, SpokeMessage};
use serde_json::Value;

use super::api::{Api, forbidden};
use super::fleet::Fleet;
use super::losing_property::Loss;
use crate::core::effect::WatchSpec;
use crate::core::event::{Baseline, Following, StoredPlan, StoredTrust, TenantReady, Unlisted};
use crate::core::health::explain::sum_up;
use crate::core::{
    ApiError, Discovery, Effect, EffectId, ErrorKind, Event, Ledger, Outcome, Settings, Started, State, Work,
    decorate, step,
};

/// How a piece of work goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It is not done, and says so.
    Fails,
    /// It is done, and the answer says that it failed.
    AnswerLost,
}

/// Everything around one core.
pub struct World {
    pub fleet: Fleet,
    pub now: Timestamp,
    pub api: Api,
    pub state: State,
    pub settings: Settings,
    pub boots: u32,
    pub trust: StoredTrust,
    pub ledger: Option<Ledger>,
    pub plan: Option<StoredPlan>,
    pub baselines: Vec<Baseline>,
    pub store: BTreeMap<Digest, Vec<u8>>,
    pub discovery: Discovery,
    pub connected: bool,
    pub work: Vec<(EffectId, Work)>,
    pub events: Vec<Event>,
    pub watches: BTreeSet<WatchSpec>,
    pub broken: BTreeSet<WatchSpec>,
    pub wake: Option<Timestamp>,
    pub acks: Vec<Ack>,
    pub reports: Vec<Report>,
    pub roots_asked: Vec<u64>,
    /// Ledger writes, fetched digests, trust writes, reads: what cost is measured by.
    pub counts: BTreeMap<&'static str, usize>,
    /// UIDs deleted without an approval, by plan and seq.
    pub deletions: BTreeMap<(Digest, u64), BTreeSet<String>>,
    /// Namespaces in which no tenant can be made ready.
    pub broken_namespaces: BTreeMap<String, ApiError>,
    /// When something was deleted.
    pub deleted: Vec<Timestamp>,
    pub loss: Loss,
}

impl World {
    pub fn new() -> Self {
        Self::following(Following::default())
    }

    pub fn following(following: Following) -> Self {
        let fleet = Fleet { following, ..Fleet::new() };
        let mut discovery = Discovery::default();
        for (group, kind, namespaced) in [
            ("", "ConfigMap", true),
            ("", "Secret", true),
            ("", "Namespace", false),
            ("apps", "Deployment", true),
            ("apiextensions.k8s.io", "CustomResourceDefinition", false),
            ("example.com", "Cluster", false),
        ] {
            discovery.insert(group, kind, namespaced, &["v1"]);
        }
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let settings = Settings::default();
        let started = fleet.started(0, &settings, &discovery, fleet.enrolled());
        let (state, effects) = State::start(started, now).unwrap();
        let trust = fleet.enrolled();
        let mut world = Self {
            fleet,
            now,
            api: Api::default(),
            state,
            settings,
            boots: 0,
            trust,
            ledger: None,
            plan: None,
            baselines: vec![],
            store: BTreeMap::new(),
            discovery,
            connected: false,
            work: vec![],
            events: vec![],
            watches: BTreeSet::new(),
            broken: BTreeSet::new(),
            wake: None,
            acks: vec![],
            reports: vec![],
            roots_asked: vec![],
            counts: BTreeMap::new(),
            deletions: BTreeMap::new(),
            broken_namespaces: BTreeMap::new(),
            deleted: vec![],
            loss: Loss::default(),
        };
        world.take(effects);
        world.connect();
        world
    }

    /// The spoke dies and starts again; what is in flight is lost.
    pub fn restart(&mut self) {
        self.boots += 1;
        self.work.clear();
        self.events.clear();
        self.watches.clear();
        self.api.changes.clear();
        (self.connected, self.wake) = (false, None);
        let started = Started {
            ledger: self.ledger.clone(),
            plan: self.plan.clone(),
            baselines: self.baselines.clone(),
            ..self.fleet.started(self.boots, &self.settings, &self.discovery, self.trust.clone())
        };
        let (state, effects) = State::start(started, self.now).unwrap();
        self.state = state;
        self.take(effects);
    }

    /// A crash in the middle of everything: what was in flight was done or not, as the bits of `seed` say, and nobody was told.
    pub fn crash(&mut self, seed: u8) {
        for (n, (_, work)) in std::mem::take(&mut self.work).iter().enumerate() {
            if seed >> (n % 8) & 1 == 1 {
                self.do_work(work);
            }
        }
        self.restart();
    }

    pub fn connect(&mut self) {
        self.connected = true;
        self.send(Event::Connected);
    }

    pub fn disconnect(&mut self) {
        self.connected = false;
        self.send(Event::Disconnected);
    }

    /// One event into the core, its effects taken up.
    pub fn send(&mut self, event: Event) {
        let effects = step(&mut self.state, event, self.now);
        self.prove();
        self.take(effects);
    }

    pub fn offer(&mut self, offer: Offer) {
        self.note_offer(&offer);
        self.send(Event::Offer(Box::new(offer)));
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(_) if !self.connected => {}
                Effect::Send(SpokeMessage::Ack(ack)) => self.acks.push(ack),
                Effect::Send(SpokeMessage::Report(report)) => {
                    self.check_cleared(&report.cleared);
                    self.reports.push(report);
                }
                Effect::Send(SpokeMessage::NeedRoots { after }) => self.roots_asked.push(after),
                Effect::Send(SpokeMessage::Hello(_)) => panic!("Hello is the session's"),
                Effect::WakeAt(at) => self.wake = Some(at),
                Effect::SetWatches(specs) => self.set_watches(specs),
                Effect::KeepContent(keep) => self.store.retain(|digest, _| keep.contains(digest)),
                Effect::Do(id, work) => {
                    if let Work::Delete(delete) = &work {
                        self.check_delete(delete);
                    }
                    self.work.push((id, work));
                }
            }
        }
    }

    /// Plays everything in order until nothing is left but time; false if it does not come to rest.
    pub fn run(&mut self) -> bool {
        for _ in 0..20_000 {
            self.tell_watches();
            if !self.events.is_empty() {
                let event = self.events.remove(0);
                self.send(event);
            } else if !self.work.is_empty() {
                let (id, work) = self.work.remove(0);
                self.perform(id, &work, Fault::None);
            } else {
                return true;
            }
        }
        false
    }

    /// Lets time pass, with everything that becomes due on the way.
    pub fn pass(&mut self, time: SignedDuration) {
        let end = self.now + time;
        for _ in 0..5_000 {
            assert!(self.run(), "never comes to rest");
            match self.wake.filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.wake = None;
                    self.send(Event::Tick);
                }
                None => break,
            }
        }
        self.now = end;
        self.send(Event::Tick);
        assert!(self.run());
    }

    /// Does a piece of work and tells how it went.
    pub fn perform(&mut self, id: EffectId, work: &Work, fault: Fault) {
        let failed = || ApiError::new(ErrorKind::Transient, "connection reset");
        let done = if fault == Fault::Fails { None } else { Some(self.do_work(work)) };
        let outcome = match (fault, done) {
            (Fault::None, Some(outcome)) => outcome,
            _ => match work {
                Work::CheckContent(_) => Outcome::Missing(Err("io".into())),
                Work::LoadIndex(_) => Outcome::Loaded(Err("io".into())),
                Work::Fetch(_) => {
                    Outcome::Fetched { stored: vec![], corrupt: vec![], error: Some("io".into()) }
                }
                Work::Discover => Outcome::Discovered(Err("io".into())),
                Work::EnsureTenant(_) => Outcome::Tenant(Err(failed())),
                Work::Get(_) => Outcome::Got { live: Err(failed()), wanted: None },
                Work::Apply(_) | Work::Fold(_) => Outcome::Applied(Err(failed())),
                Work::Delete(_) => Outcome::Deleted(Err(failed())),
                Work::Explain(_) => Outcome::Explained(None),
                Work::ListNamespaces => Outcome::Namespaces(Err(failed())),
                Work::ListLabelled(_) => Outcome::Labelled(Err(failed())),
                Work::List(_) => Outcome::Listed(Err(Unlisted::default())),
                _ => Outcome::Written(Err("io".into())),
            },
        };
        self.send(Event::Done(id, outcome));
    }

    /// Does a piece of work as the edge would, without telling.
    pub fn do_work(&mut self, work: &Work) -> Outcome {
        let count =
            |counts: &mut BTreeMap<&'static str, usize>, what, n| *counts.entry(what).or_default() += n;
        match work {
            Work::WriteTrust(trust) => {
                count(&mut self.counts, "trust", 1);
                self.trust = (**trust).clone();
                Outcome::Written(Ok(()))
            }
            Work::WriteLedger(ledger) => {
                count(&mut self.counts, "ledger", 1);
                self.ledger = Some((**ledger).clone());
                Outcome::Written(Ok(()))
            }
            Work::StorePlan(plan) => {
                self.plan = Some((**plan).clone());
                Outcome::Written(Ok(()))
            }
            Work::StoreBaselines(baselines) => {
                self.baselines.clone_from(baselines);
                Outcome::Written(Ok(()))
            }
            Work::StoreContent(items) => {
                self.store.extend(items.iter().map(|item| (item.digest, item.bytes.clone())));
                Outcome::Written(Ok(()))
            }
            Work::CheckContent(asked) => {
                let missing = asked.iter().filter(|digest| !self.store.contains_key(digest));
                Outcome::Missing(Ok(missing.copied().collect()))
            }
            Work::LoadIndex(digest) => Outcome::Loaded(Ok(self.store.get(digest).cloned())),
            Work::Fetch(asked) => {
                count(&mut self.counts, "fetched", asked.len());
                let here = asked
                    .iter()
                    .filter_map(|digest| Some((*digest, self.fleet.content.get(digest)?.clone())));
                let here: Vec<_> = here.filter(|_| self.connected).collect();
                let (good, bad): (Vec<_>, Vec<_>) =
                    here.into_iter().partition(|(digest, bytes)| Digest::of(bytes) == *digest);
                let stored = good.iter().map(|(digest, _)| *digest).collect();
                self.store.extend(good);
                Outcome::Fetched {
                    stored,
                    corrupt: bad.iter().map(|(digest, _)| *digest).collect(),
                    error: None,
                }
            }
            Work::Discover => Outcome::Discovered(Ok(self.discovery.clone())),
            Work::EnsureTenant(setup) => {
                self.api.namespaces.extend(setup.create.iter().cloned());
                let missing = setup.used.iter().filter(|name| !self.api.namespaces.contains(*name)).cloned();
                let missing = missing.collect();
                let was_there = !self.api.accounts.insert(setup.service_account.clone());
                Outcome::Tenant(Ok(TenantReady {
                    missing,
                    broken: self.broken_namespaces.clone(),
                    was_there,
                }))
            }
            Work::Get(get) => {
                count(&mut self.counts, "get", 1);
                let live = Ok(self.api.live(&get.target.key, &get.target.judge).map(Box::new));
                let wanted = get.wanted.as_ref().and_then(|body| self.body(body.digest, &body.app));
                Outcome::Got { live, wanted }
            }
            Work::Apply(apply) => {
                self.check_apply(apply);
                count(&mut self.counts, if apply.dry_run { "dry-run" } else { "apply" }, 1);
                match self.body(apply.body.digest, &apply.body.app) {
                    Some(body) => {
                        let lay = |body, overlay: &Box<_>| crate::core::ignore::lay(body, overlay);
                        let body = apply.overlay.iter().fold(body, lay);
                        Outcome::Applied(self.api.apply(apply, &body).map(Box::new))
                    }
                    None => Outcome::Applied(Err(ApiError::new(ErrorKind::Incomplete, ""))),
                }
            }
            Work::Fold(fold) => Outcome::Applied(self.api.fold(&fold.target, &fold.patch).map(Box::new)),
            Work::Delete(delete) => {
                self.check_counted();
                Outcome::Deleted(self.api.delete(delete))
            }
            Work::List(spec) => {
                count(&mut self.counts, "list", 1);
                let may = !self.broken.contains(spec);
                Outcome::Listed(may.then(|| self.api.list(spec)).ok_or_else(forbidden))
            }
            Work::Explain(explain) => {
                count(&mut self.counts, "explain", 1);
                Outcome::Explained(self.api.said.as_ref().map(|events| sum_up(explain, events, &[])))
            }
            Work::ListNamespaces => Outcome::Namespaces(self.api.list_namespaces()),
            Work::ListLabelled(list) => {
                count(&mut self.counts, "list", 1);
                Outcome::Labelled(self.api.list_labelled(list))
            }
        }
    }

    fn body(&self, digest: Digest, app: &rimward_proto::AppId) -> Option<Value> {
        let bytes = self.store.get(&digest)?;
        Some(decorate(serde_json::from_slice(bytes).unwrap(), app))
    }

    pub fn has_acked(&self, kind: AckKind, seq: u64) -> bool {
        self.acks.iter().any(|ack| ack.kind == kind && ack.seq == seq)
    }

    pub fn count(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or(0)
    }
}
