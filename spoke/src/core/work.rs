//! The queue: which object is due, in which order, and which request comes
//! next for it. What is next always follows from what is known now, never from
//! what was planned when the object was queued.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::ObjectKey;

use super::depends;
use super::effect::{ApplyMode, ApplyWork, Body, DeleteWork, FoldWork, GetWork, Overlay, Target, Work};
use super::errors::{ApiError, ErrorKind};
use super::flight::{FAST_FIRST, FAST_MAX, Flight, RETRY_AFTER_MAX, SLOW_FIRST, SLOW_MAX, retry_in};
use super::glob;
use super::ignore;
use super::lanes::Place;
use super::managed::{Must, Problem, Prune, Step, Task, Want};
use super::order::{apply_rank, prune_rank};
use super::scope;
use super::state::State;
use super::tenants::Gate;

/// What is next for an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// Nothing, although it is not as it should be: the App says to leave it so.
    Left,
    /// Something else has to come first, and will touch it.
    Blocked,
    /// No request may be made.
    Refused(Problem),
    /// This request.
    Go(Step, Place),
}

impl State {
    /// Queues an object if something is due for it.
    pub(crate) fn touch(&mut self, key: &ObjectKey, now: Timestamp) {
        let Some(managed) = self.objects.get(key) else { return };
        let old = match &managed.task {
            Task::Flying(_) => return,
            Task::Waiting(until) if *until > now => return,
            Task::Queued(place) => Some(place.clone()),
            Task::Idle | Task::Waiting(_) => None,
        };
        if let Some(place) = old {
            self.queue.remove(&place, key);
        }
        let next = self.next(key);
        let task = match next {
            Next::Go(_, place) => {
                self.queue.push(&place, key.clone());
                Task::Queued(place)
            }
            Next::Refused(problem) => {
                self.refuse_object(key, problem);
                Task::Idle
            }
            Next::Nothing => {
                self.clear_refusal(key);
                Task::Idle
            }
            Next::Blocked | Next::Left => Task::Idle,
        };
        if let Some(managed) = self.objects.get_mut(key) {
            managed.task = task;
        }
    }

    /// Forgets the wait of an object and touches it.
    pub(crate) fn kick(&mut self, key: &ObjectKey, now: Timestamp) {
        if let Some(managed) = self.objects.get_mut(key)
            && matches!(managed.task, Task::Waiting(_))
        {
            managed.task = Task::Idle;
        }
        self.touch(key, now);
    }

    /// Tries again what failed for one of these reasons.
    pub(crate) fn kick_problems(&mut self, reasons: &[&str], now: Timestamp) {
        let due = |problem: &Option<Problem>| problem.as_ref().is_some_and(|p| reasons.contains(&p.reason));
        let keys: Vec<ObjectKey> =
            self.objects.iter().filter(|(_, m)| due(&m.problem)).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.kick(key, now));
    }

    /// Somebody asks to look again: everything that has a problem is tried again now.
    pub(crate) fn look_again(&mut self, now: Timestamp) {
        self.kinds.want_now();
        self.tenants.recheck_all();
        self.content.retry.kick();
        self.settle = true;
        let keys: Vec<ObjectKey> =
            self.objects.iter().filter(|(_, m)| m.problem.is_some()).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(managed) = self.objects.get_mut(&key) {
                managed.fails = 0;
            }
            self.kick(&key, now);
        }
    }

    /// The ground under an object's account was made, or could not be.
    pub(crate) fn tenant_news(&mut self, key: &ObjectKey, now: Timestamp) {
        self.mark(key);
        self.kick(key, now);
    }

    /// Alarms whose time has come.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.alarms.first()
            && *at <= now
        {
            let Some((_, key)) = self.alarms.pop_first() else { return };
            self.mark(&key);
            self.touch(&key, now);
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }

    /// Starts as many requests as may be in flight.
    pub(crate) fn advance_objects(&mut self) {
        while self.queue.flying() < self.settings.concurrency.max(1) && self.paused_until.is_none() {
            let Some(key) = self.queue.pop() else { return };
            let next = self.next(&key);
            let Some(managed) = self.objects.get_mut(&key) else { continue };
            managed.task = Task::Idle;
            match next {
                Next::Go(step, place) => self.issue(key, step, place),
                Next::Refused(problem) => self.refuse_object(&key, problem),
                Next::Nothing | Next::Blocked | Next::Left => {}
            }
        }
    }

    fn next(&self, key: &ObjectKey) -> Next {
        let Some(managed) = self.objects.get(key) else { return Next::Nothing };
        match &managed.want {
            Some(want) => self.next_wanted(key, want),
            None => self.next_unwanted(key),
        }
    }

    fn next_wanted(&self, key: &ObjectKey, want: &Want) -> Next {
        let Some(managed) = self.objects.get(key) else { return Next::Nothing };
        let bundle = &want.bundle;
        if let Some(problem) = scope::refusal(key, &want.version, &bundle.plan, &self.kinds, &self.settings) {
            return Next::Refused(self.expected(key, problem));
        }
        match self.tenants.gate(bundle) {
            Gate::Open => {}
            Gate::Shut => return Next::Blocked,
            Gate::Broken(problem) => return Next::Refused(problem.clone()),
        }
        if let Some(problem) = self.tenants.obstacle(bundle, &key.namespace) {
            return Next::Refused(problem);
        }
        let uid = self.ledger.entries.get(key).and_then(|entry| entry.uid.as_ref());
        let place = || Place { app: Some(bundle.id.clone()), rank: apply_rank(key) };
        let write = |overlay: Option<&Overlay>| {
            if let Some(app) = self.needs.unmet(bundle).filter(|_| depends::is_new(managed)) {
                return Next::Refused(depends::waiting(app));
            }
            if uid.is_none() && self.watches.has_failed(&bundle.plan.service_account, key) {
                return Next::Refused(Problem::passing(
                    "Unknown",
                    "its watch fails; nothing is created blindly",
                ));
            }
            if !self.is_ahead() || self.ahead_of.contains_key(key) {
                return Next::Blocked;
            }
            // What others decide is sent as it is now, so that has to be known first.
            let ignores = !ignore::paths(&bundle.plan.drift, key).is_empty();
            if overlay.is_none() && uid.is_some() && ignores {
                return Next::Go(Step::Look, place());
            }
            Next::Go(Step::Write(want.digest), place())
        };
        if managed.over && managed.must == Must::Nothing {
            return Next::Nothing;
        }
        match (&managed.must, uid, &managed.base) {
            (Must::Look, _, _) | (Must::Replace(_), None, _) => Next::Go(Step::Look, place()),
            (Must::Verify(_), Some(_), _) if managed.audit => Next::Blocked,
            (Must::Verify(seen), Some(_), _) => Next::Go(Step::Verify(want.digest, seen.clone()), place()),
            (Must::Weigh(live), _, _) => Next::Go(Step::Weigh(want.digest, live.clone()), place()),
            (Must::Fold(_), _, _) => Next::Go(Step::Fold, place()),
            (Must::Replace(_), Some(_), _) => self.next_replace(key, want),
            (Must::Write(overlay), _, _) => write(overlay.as_deref()),
            (Must::Verify(_), _, _) | (Must::Nothing, None, _) => write(None),
            (Must::Nothing, Some(uid), Some(base)) if base.uid == *uid => {
                if base.digest != want.digest {
                    write(None)
                } else if managed.left {
                    Next::Left
                } else {
                    Next::Nothing
                }
            }
            (Must::Nothing, Some(_), _) => Next::Go(Step::Look, place()),
        }
    }

    fn next_unwanted(&self, key: &ObjectKey) -> Next {
        let (Some(managed), Some(entry)) = (self.objects.get(key), self.ledger.entries.get(key)) else {
            return Next::Nothing;
        };
        let step = match managed.prune {
            Prune::Keep | Prune::Found(_) | Prune::Controlled => return Next::Nothing,
            Prune::Probe => Step::Probe,
            Prune::Delete(_) => Step::Delete,
            Prune::Confirm => Step::Confirm,
        };
        if self.kinds.kind(key).is_none() {
            let message = format!("{} is not served now", key.group_kind());
            return Next::Refused(Problem::passing("Unknown", message));
        }
        let namespace = if key.namespace.is_empty() { None } else { Some(&key.namespace) };
        if step == Step::Delete
            && namespace.is_some_and(|name| !glob::any_matches(&self.settings.namespaces, name))
        {
            let message = "its namespace is beyond ceilings.namespaces";
            return Next::Refused(Problem::error(ErrorKind::ScopeMismatch, message));
        }
        // What was decided and counted is written down before it is done.
        if step == Step::Delete && !self.is_ahead() {
            return Next::Blocked;
        }
        let blind = step == Step::Delete && self.watches.has_failed(&entry.service_account, key);
        if blind {
            return Next::Refused(Problem::passing("Unknown", "its watch fails; nothing is pruned blindly"));
        }
        Next::Go(step, Place { app: None, rank: prune_rank(key) })
    }

    /// True if the ledger that the plan in force needs is durable.
    pub(crate) fn is_ahead(&self) -> bool {
        self.active.as_ref().is_some_and(|active| self.ledger_writer.durable >= active.ledger)
    }

    /// A wanted object that needs nothing has no problem either: what refused it has passed.
    fn clear_refusal(&mut self, key: &ObjectKey) {
        let Some(managed) = self.objects.get_mut(key) else { return };
        if managed.want.is_some() && managed.problem.take().is_some() {
            self.mark(key);
            self.settle = true;
        }
    }

    fn refuse_object(&mut self, key: &ObjectKey, problem: Problem) {
        if problem.reason == ErrorKind::UnknownKind.as_str() || problem.reason == "Unknown" {
            self.kinds.want();
        }
        let Some(managed) = self.objects.get_mut(key) else { return };
        if managed.problem.as_ref() != Some(&problem) {
            managed.problem = Some(problem);
            self.mark(key);
            self.settle = true;
        }
    }

    fn issue(&mut self, key: ObjectKey, step: Step, place: Place) {
        let Some(work) = self.work(&key, &step) else { return };
        if let Some(managed) = self.objects.get_mut(&key) {
            managed.task = Task::Flying(step);
        }
        self.queue.start(&place);
        self.start_work(Flight::Object(key, place), work);
    }

    pub(crate) fn work(&self, key: &ObjectKey, step: &Step) -> Option<Work> {
        let managed = self.objects.get(key)?;
        let entry = self.ledger.entries.get(key)?;
        let target = |version: &str, account: &str| Target {
            key: key.clone(),
            version: version.to_owned(),
            service_account: account.to_owned(),
            judge: managed.judge.clone(),
        };
        let wanted = |want: &Want| target(&want.version, &want.bundle.plan.service_account);
        let body = |want: &Want| Body { digest: want.body, app: want.bundle.id.clone() };
        let mode = || match managed.taking.as_ref().or(entry.uid.as_ref()) {
            Some(uid) => ApplyMode::Update { uid: uid.clone() },
            None => ApplyMode::Create,
        };
        let apply = |want: &Want, mode, dry_run, return_body, overlay| {
            let (target, body) = (wanted(want), body(want));
            Work::Apply(Box::new(ApplyWork { target, body, mode, dry_run, return_body, overlay }))
        };
        let want = managed.want.as_ref();
        let recorded = || {
            let served = self.kinds.kind(key).map(|kind| kind.versions.as_slice()).unwrap_or_default();
            let version = served.iter().find(|version| **version == entry.version).or(served.first());
            target(version.unwrap_or(&entry.version), &entry.service_account)
        };
        Some(match step {
            Step::Look => {
                let want = want?;
                Work::Get(Box::new(GetWork { target: wanted(want), wanted: Some(body(want)) }))
            }
            Step::Write(_) => {
                let overlay = match &managed.must {
                    Must::Write(overlay) => overlay.clone(),
                    _ => None,
                };
                apply(want?, mode(), false, managed.case.is_some(), overlay)
            }
            Step::Verify(_, seen) => apply(want?, mode(), true, true, seen.overlay.clone()),
            Step::Weigh(_, live) => {
                apply(want?, ApplyMode::Update { uid: live.observed.uid.clone() }, true, true, None)
            }
            Step::Fold => {
                let Must::Fold(patch) = &managed.must else { return None };
                Work::Fold(Box::new(FoldWork { target: wanted(want?), patch: (**patch).clone() }))
            }
            Step::Probe | Step::Confirm => Work::Get(Box::new(GetWork { target: recorded(), wanted: None })),
            Step::Delete | Step::Replace => {
                let resource_version = match (&managed.prune, &managed.must) {
                    (Prune::Delete(at), _) | (_, Must::Replace(at)) => at.clone(),
                    _ => return None,
                };
                let uid = entry.uid.clone()?;
                Work::Delete(Box::new(DeleteWork { target: recorded(), uid, resource_version }))
            }
        })
    }

    /// A request about an object failed: its status, and when it is tried again.
    pub(crate) fn failed(&mut self, key: &ObjectKey, error: ApiError, now: Timestamp) {
        let account =
            self.ledger.entries.get(key).map(|entry| entry.service_account.clone()).unwrap_or_default();
        let settling = self.tenants.is_settling(&account, now);
        let Some(managed) = self.objects.get_mut(key) else { return };
        managed.fails += 1;
        let (first, max) = match error.kind {
            ErrorKind::Transient | ErrorKind::Exists | ErrorKind::Replaced => (FAST_FIRST, FAST_MAX),
            ErrorKind::Forbidden | ErrorKind::NamespaceMissing if settling => (FAST_FIRST, FAST_MAX),
            ErrorKind::UnknownKind => (FAST_FIRST, SLOW_MAX),
            _ => (SLOW_FIRST, SLOW_MAX),
        };
        let asked = error.retry_after.map(|after| after.min(RETRY_AFTER_MAX)).unwrap_or(Duration::ZERO);
        let asked = SignedDuration::try_from(asked).unwrap_or(SignedDuration::ZERO);
        let until = now + retry_in(first, max, managed.fails, asked);
        if error.kind == ErrorKind::Incomplete
            && let Some(want) = &managed.want
        {
            self.content.lost.insert(want.body);
        }
        let problem = Some(self.expected(key, Problem::error(error.kind, error.told_of(key))));
        if let Some(managed) = self.objects.get_mut(key) {
            managed.problem = problem;
        }
        self.wait(key, until);
        if !asked.is_zero() {
            // A server that asks one request to wait means all of them.
            self.paused_until = self.paused_until.max(Some(now + asked));
        }
        match error.kind {
            ErrorKind::UnknownKind => self.kinds.want(),
            ErrorKind::Forbidden | ErrorKind::NamespaceMissing => self.tenants.recheck(&account, now),
            _ => {}
        }
        self.mark(key);
        self.settle = true;
    }

    /// Leaves an object alone until then, or until there is news of it.
    pub(crate) fn wait(&mut self, key: &ObjectKey, until: Timestamp) {
        if let Some(managed) = self.objects.get_mut(key) {
            managed.task = Task::Waiting(until);
            self.alarms.insert((until, key.clone()));
        }
    }

    /// The App of an object has something new to report.
    pub(crate) fn mark(&mut self, key: &ObjectKey) {
        if let Some(entry) = self.ledger.entries.get(key) {
            self.outbox.mark(&entry.app);
            self.needs.mark(&entry.app);
        }
    }
}
