//! What the hub is told: the state of each App as observed now, with the
//! objects that are not as they should be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::bundle::IndexEntry;
use rimward_proto::limits::{REPORT_BYTES, REPORT_EXCEPTIONS};
use rimward_proto::report::{AppReport, HoldReport, ObjectReport, Report, State as Status, TakenReport};
use rimward_proto::session::SpokeMessage;
use rimward_proto::{AppId, ObjectKey};
use serde::Serialize;

use super::ascending::Ascending;
use super::depends::DEPENDS_ON;
use super::effect::Effect;
use super::health::Standing;
use super::lost::left_over;
use super::managed::{ActiveBundle, Foreign, Managed, Prune};
use super::order::{Rank, apply_rank};
use super::outbox::{COALESCE, PROGRESS};
use super::state::{Active, State};

/// Of a report, for holds: they are told in every one.
const HOLDS_SHARE: usize = REPORT_BYTES / 2;
/// Of a report, for Apps; what does not fit goes into another.
const APPS_SHARE: usize = REPORT_BYTES / 4;
/// Of a report, for drift, and as much for events; what does not fit waits for the next.
const NEWS_SHARE: usize = REPORT_BYTES / 16;

/// How bad one object is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Ready,
    Progressing,
    Unknown,
    Failed,
}

struct Verdict {
    grade: Grade,
    reason: String,
    message: String,
    /// What is there in its place and not ours.
    foreign: Option<Box<Foreign>>,
}

fn verdict(grade: Grade, reason: &str, message: &str) -> Verdict {
    Verdict { grade, reason: reason.to_owned(), message: message.to_owned(), foreign: None }
}

impl State {
    /// Sends a report if there is something to say and it is time.
    pub(crate) fn advance_report(&mut self, now: Timestamp) {
        if !self.connected || !self.outbox.has_something() {
            self.outbox.next = None;
            return;
        }
        let busy = !self.queue.is_empty() || self.queue.flying() > 0;
        let gap = if busy { PROGRESS } else { COALESCE };
        if let Some(last) = self.outbox.last
            && now < last + gap
        {
            self.outbox.next = Some(last + gap);
            return;
        }
        (self.outbox.last, self.outbox.next) = (Some(now), None);
        self.send_reports(now);
    }

    fn send_reports(&mut self, now: Timestamp) {
        let full = std::mem::take(&mut self.outbox.full);
        let apps = self.changed_apps(full, now);
        if apps.is_empty() && !full && !std::mem::take(&mut self.outbox.news) {
            return;
        }
        self.outbox.news = false;
        let mut chunks = chunks(apps);
        let first = chunks.pop_front().unwrap_or_default();
        // A full report that does not fit is told as what it is: several partial ones.
        let full = full && chunks.is_empty();
        self.send_report(full, first, now);
        for apps in chunks {
            self.send_report(false, apps, now);
        }
    }

    fn send_report(&mut self, full: bool, apps: Vec<AppReport>, now: Timestamp) {
        self.outbox.counter += 1;
        let counter = self.outbox.counter;
        let drift =
            take_unsent(self.outbox.drift.iter_mut().map(|kept| (&kept.item, &mut kept.sent)), counter);
        let events =
            take_unsent(self.outbox.events.iter_mut().map(|kept| (&kept.item, &mut kept.sent)), counter);
        let left = |kept: Option<u64>| kept.is_none();
        self.outbox.news |= self.outbox.drift.iter().any(|kept| left(kept.sent))
            || self.outbox.events.iter().any(|kept| left(kept.sent));
        let (cleared, unaccounted) = self.cleared_and_unaccounted();
        let report = Report {
            boot_id: self.outbox.boot_id().to_owned(),
            counter,
            as_of: now,
            plan: self.active.as_ref().map(|active| active.digest),
            full,
            apps,
            cleared,
            unaccounted,
            holds: fitting(&self.outbox.holds, HOLDS_SHARE),
            drift,
            events,
            lists: self.watches.lists.report().map(Box::new),
        };
        self.out.push(Effect::Send(SpokeMessage::Report(report)));
    }

    fn cleared_and_unaccounted(&self) -> (Vec<AppId>, Vec<AppId>) {
        let Some(active) = &self.active else { return (Vec::new(), Vec::new()) };
        let ours = self.ledger.apps();
        let removed = active.plan.removed.iter().map(|removed| removed.id());
        let gone = |app: &AppId| !ours.contains(app) && self.is_known_whole(&app.tenant);
        let cleared = removed.filter(gone).collect();
        let unaccounted = ours.into_iter().filter(|app| active.is_unaccounted(app)).cloned().collect();
        (cleared, unaccounted)
    }

    fn changed_apps(&mut self, full: bool, now: Timestamp) -> Vec<AppReport> {
        let dirty = std::mem::take(&mut self.outbox.dirty);
        let mut left = BTreeMap::<AppId, Vec<ObjectKey>>::new();
        for (key, _) in self.objects.iter().filter(|(_, managed)| managed.want.is_none()) {
            if let Some(entry) = self.ledger.entries.get(key) {
                left.entry(entry.app.clone()).or_default().push(key.clone());
            }
        }
        let apps: BTreeSet<AppId> = if full {
            let active = self.active.iter().flat_map(|active| active.bundles.keys());
            let removed = self.active.iter().flat_map(|active| &active.plan.removed);
            active.chain(left.keys()).cloned().chain(removed.map(|removed| removed.id())).collect()
        } else {
            dirty
        };
        let none = Vec::new();
        let reports = apps.iter().filter_map(|app| self.app_report(app, left.get(app).unwrap_or(&none), now));
        let mut reports: Vec<AppReport> = reports.collect();
        let there: BTreeSet<&AppId> = reports.iter().map(|report| &report.id).collect();
        for app in apps.iter().filter(|app| !there.contains(app)) {
            self.outbox.news |= self.outbox.told.remove(app).is_some();
        }
        reports.retain(|report| {
            let news = full || self.outbox.told.get(&report.id) != Some(report);
            if news {
                self.outbox.told.insert(report.id.clone(), report.clone());
            }
            news
        });
        reports
    }

    /// The state of one App; none if the plan in force does not have it and nothing of it is left.
    fn app_report(&self, app: &AppId, left: &[ObjectKey], now: Timestamp) -> Option<AppReport> {
        let active = self.active.as_ref()?;
        let bundle = active.bundles.get(app);
        if bundle.is_none() && left.is_empty() {
            return self.unknown_report(active, app);
        }
        let mut tally = Tally::default();
        let entries =
            bundle.and_then(|bundle| bundle.index.as_ref()).map(|index| index.entries()).unwrap_or_default();
        if let Some(bundle) = bundle {
            let mut objects = Ascending::new(&self.objects);
            for entry in entries {
                let managed = objects.get(&entry.key).map(|(_, managed)| managed.as_ref());
                tally.add(&entry.key, self.wanted_verdict(active, bundle, &entry.key, managed, now));
            }
        }
        let ready = tally.ready;
        left.iter().for_each(|key| tally.add(key, self.unwanted_verdict(key)));
        if active.is_unaccounted(app) {
            let found = |key: &&ObjectKey| self.ledger.entries.get(*key).is_some_and(|entry| entry.found);
            let room = REPORT_EXCEPTIONS.saturating_sub(tally.exceptions.len());
            tally.exceptions.extend(left.iter().filter(found).take(room).map(left_over));
        }
        for object in &mut tally.exceptions {
            let entry = self.ledger.entries.get(&object.key);
            object.listed =
                entry.and_then(|entry| self.watches.lists.of(&entry.service_account, &object.key));
        }
        let hold = self.outbox.holds.iter().find(|hold| hold.id == *app);
        let (state, reason, message) = tally.state(bundle, active, app, hold);
        Some(AppReport {
            id: app.clone(),
            bundle: bundle.map(|bundle| bundle.plan.digest),
            state,
            reason,
            message,
            objects: entries.len() as u64,
            ready,
            exceptions: tally.exceptions,
            taken: self.taken_over(entries),
        })
    }

    /// The objects among these that were there before and were taken over.
    fn taken_over(&self, entries: &[IndexEntry]) -> Vec<TakenReport> {
        let mut ledger = Ascending::new(&self.ledger.entries);
        let taken = entries.iter().filter_map(|entry| {
            let managers = &ledger.get(&entry.key)?.1.taken_from;
            let theirs = !managers.is_empty();
            theirs.then(|| TakenReport { key: entry.key.clone(), managers: managers.clone() })
        });
        taken.take(REPORT_EXCEPTIONS).collect()
    }

    fn wanted_verdict(
        &self,
        active: &Active,
        bundle: &ActiveBundle,
        key: &ObjectKey,
        managed: Option<&Managed>,
        now: Timestamp,
    ) -> Verdict {
        let clash =
            active.clashes.get(&bundle.id).and_then(|list| list.iter().find(|(clash, _)| clash == key));
        if let Some((_, other)) = clash {
            return verdict(Grade::Failed, "Conflict", &format!("{other} wants it too"));
        }
        let progressing = || verdict(Grade::Progressing, "Progressing", "not applied yet");
        let Some(managed) = managed else { return progressing() };
        if let Some(problem) = &managed.problem {
            let grade = match problem.reason {
                "Unknown" | DEPENDS_ON => Grade::Unknown,
                _ if problem.passing => Grade::Progressing,
                _ => Grade::Failed,
            };
            let foreign = managed.foreign.clone();
            return Verdict { foreign, ..verdict(grade, problem.reason, &problem.message) };
        }
        if self.watches.has_failed(&bundle.plan.service_account, key) {
            return verdict(Grade::Unknown, "Unknown", "its watch fails; what is there is not known");
        }
        if !managed.is_applied() {
            return progressing();
        }
        self.health_verdict(managed, now)
    }

    /// True if an object of the plan is applied and healthy.
    pub(crate) fn is_object_ready(
        &self,
        active: &Active,
        bundle: &ActiveBundle,
        key: &ObjectKey,
        now: Timestamp,
    ) -> bool {
        let managed = self.objects.get(key).map(AsRef::as_ref);
        self.wanted_verdict(active, bundle, key, managed, now).grade == Grade::Ready
    }

    fn health_verdict(&self, managed: &Managed, now: Timestamp) -> Verdict {
        match managed.standing(now) {
            Standing::Ready => verdict(Grade::Ready, "", ""),
            Standing::Progressing(message) => verdict(Grade::Progressing, "Progressing", &message),
            Standing::TimedOut(message) => verdict(Grade::Failed, "HealthTimeout", &message),
            Standing::Failed(message) => verdict(Grade::Failed, "Unhealthy", &message),
        }
    }

    fn unwanted_verdict(&self, key: &ObjectKey) -> Verdict {
        let Some(managed) = self.objects.get(key) else { return verdict(Grade::Ready, "", "") };
        match (&managed.problem, &managed.prune) {
            (Some(problem), _) if problem.passing => {
                verdict(Grade::Progressing, problem.reason, &problem.message)
            }
            (Some(problem), _) => verdict(Grade::Failed, problem.reason, &problem.message),
            // Held, and listed there; or kept because nothing says that it may go.
            (None, Prune::Found(_) | Prune::Controlled | Prune::Keep) => verdict(Grade::Ready, "", ""),
            (None, _) => verdict(Grade::Progressing, "Pruning", "being deleted"),
        }
    }
}

#[derive(Default)]
struct Tally {
    ready: u64,
    /// Of the worst, the first in the order in which things are applied: later ones may only wait for it.
    worst: Option<(Verdict, Rank)>,
    exceptions: Vec<ObjectReport>,
}

impl Tally {
    fn add(&mut self, key: &ObjectKey, mut found: Verdict) {
        if found.grade == Grade::Ready {
            self.ready += 1;
            return;
        }
        let message = if key.is_secret() { String::new() } else { found.message.clone() };
        // What is only on its way needs no line of its own unless there is something to say.
        let telling =
            found.grade > Grade::Progressing || found.reason != "Progressing" || message != "not applied yet";
        if telling && self.exceptions.len() < REPORT_EXCEPTIONS {
            let Foreign { managers, fields } =
                found.foreign.take().map(|foreign| *foreign).unwrap_or_default();
            self.exceptions.push(ObjectReport {
                key: key.clone(),
                reason: found.reason.clone(),
                message: message.clone(),
                managers,
                fields,
                listed: None,
            });
        }
        let rank = apply_rank(key);
        let place = |(verdict, rank): &(Verdict, Rank)| (verdict.grade, Reverse(*rank));
        if self.worst.as_ref().is_none_or(|worst| (found.grade, Reverse(rank)) > place(worst)) {
            let message = if message.is_empty() { key.to_string() } else { format!("{key}: {message}") };
            self.worst = Some((Verdict { message, ..found }, rank));
        }
    }

    fn state(
        &self,
        bundle: Option<&std::sync::Arc<ActiveBundle>>,
        active: &Active,
        app: &AppId,
        hold: Option<&HoldReport>,
    ) -> (Status, String, String) {
        let said = |status, found: &Verdict| (status, found.reason.clone(), found.message.clone());
        if bundle.is_some_and(|bundle| bundle.index.is_none()) {
            return (Status::Waiting, "Incomplete".into(), "its content is being fetched".into());
        }
        match self.worst.as_ref().map(|(worst, _)| worst) {
            Some(worst) if worst.grade == Grade::Failed => return said(Status::Failed, worst),
            Some(worst) if worst.grade == Grade::Unknown => return said(Status::Waiting, worst),
            Some(worst) => return said(Status::Progressing, worst),
            None => {}
        }
        if let Some(hold) = hold {
            let message = format!("{} deletions wait", hold.objects.len());
            return (Status::Held, hold.reason.clone(), message);
        }
        if active.is_unaccounted(app) && bundle.is_none() {
            let message = "the plan neither wants nor removes it, and its last content is lost".to_owned();
            return (Status::Waiting, "Unaccounted".into(), message);
        }
        if bundle.is_none() {
            return (Status::Progressing, "Pruning".into(), "being removed".into());
        }
        (Status::Ready, String::new(), String::new())
    }
}

fn size<T: Serialize>(item: &T) -> usize {
    serde_json::to_vec(item).map_or(0, |bytes| bytes.len())
}

/// As many of the items, from the front, as fit.
fn fitting<T: Serialize + Clone>(items: &[T], bytes: usize) -> Vec<T> {
    let mut left = bytes;
    let fits = |item: &&T| {
        let size = size(*item);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    items.iter().take_while(fits).cloned().collect()
}

fn take_unsent<'a, T: Serialize + Clone + 'a>(
    items: impl Iterator<Item = (&'a T, &'a mut Option<u64>)>,
    counter: u64,
) -> Vec<T> {
    let mut left = NEWS_SHARE;
    let mut taken = Vec::new();
    for (item, sent) in items.filter(|(_, sent)| sent.is_none()) {
        let size = size(item);
        if size > left && !taken.is_empty() {
            break;
        }
        left = left.saturating_sub(size);
        *sent = Some(counter);
        taken.push(item.clone());
    }
    taken
}

fn chunks(apps: Vec<AppReport>) -> std::collections::VecDeque<Vec<AppReport>> {
    let mut chunks = std::collections::VecDeque::new();
    let (mut chunk, mut left) = (Vec::new(), APPS_SHARE);
    for app in apps {
        let size = size(&app);
        if size > left && !chunk.is_empty() {
            chunks.push_back(std::mem::take(&mut chunk));
            left = APPS_SHARE;
        }
        left = left.saturating_sub(size);
        chunk.push(app);
    }
    chunks.push_back(chunk);
    chunks
}
