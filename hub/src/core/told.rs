//! What a spoke tells → what the hub keeps of it. A spoke is enrolled and not
//! trusted: whatever it says costs a bounded amount of memory, and no other
//! cluster's news. What is cut is only ever shown to people; digests, which
//! decide, are of a fixed size.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use rimward_proto::plan::Plan;
use rimward_proto::report::{AppReport, DriftReport, EventReport, FieldDrift, ObjectReport, TakenReport};
use rimward_proto::{AppId, ClusterName, KeyParts, ObjectKey};

use super::world::{ClusterStatus, Event, RECENT, World};

/// Drifts, and events, kept of one cluster: twice what a spoke keeps for a hub that was away, and a tenth of what is kept
/// of all, so that one cluster's noise leaves room for the others'.
pub const QUOTA: usize = RECENT / 10;
/// Bytes of everything an App's reports say of single objects, a cluster: thousands of objects with a reason each. Beyond
/// it Apps keep their counts and their own reason.
pub const DETAIL_BYTES: usize = 2 << 20;
/// Apps kept of those that a spoke says it has and the plan does not account for: each is a hold that a person looks at.
/// The others show once these are decided.
pub const UNACCOUNTED: usize = 1_000;
/// Bytes of a word: versions, codes, reasons, names of people's tools. Kubernetes' own names have at most 253.
const WORD: usize = 256;
/// Bytes of a sentence, a path or a value: what fits a terminal some times over.
const SENTENCE: usize = 1 << 10;
/// Bytes of an event's text: two envelopes as evidence fit.
const EVENT: usize = 16 << 10;
/// Field managers kept of one object: the latest writers, which come first.
const MANAGERS: usize = 20;

/// The beginning of a text, at most `bytes` of it.
pub fn clip(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        // What was long shall not stay long in memory.
        text.shrink_to_fit();
    }
}

/// A word as it is kept.
pub fn word(text: &str) -> String {
    let mut text = text.to_owned();
    clip(&mut text, WORD);
    text
}

/// A sentence as it is kept.
pub fn sentence(text: &str) -> String {
    let mut text = text.to_owned();
    clip(&mut text, SENTENCE);
    text
}

/// Takes over what a report says of Apps: of those the plan published for the cluster wants or removes, and of those the
/// spoke says it has besides. Others it cannot have.
pub fn apps(
    status: &mut ClusterStatus,
    reports: Vec<AppReport>,
    full: bool,
    as_of: Timestamp,
    plan: Option<&Plan>,
) {
    status.unaccounted.truncate(UNACCOUNTED);
    let bundles = plan.into_iter().flat_map(|plan| &plan.bundles).map(|bundle| bundle.id());
    let removed = plan.into_iter().flat_map(|plan| &plan.removed).map(|removed| removed.id());
    let there: BTreeSet<AppId> = bundles.chain(removed).chain(status.unaccounted.iter().cloned()).collect();
    let mut before = std::mem::take(&mut status.apps);
    let mut detail = 0;
    for mut report in reports.into_iter().filter(|report| there.contains(&report.id)) {
        let since = before.remove(&report.id).filter(|(old, _)| old.state == report.state);
        app(&mut report);
        detail += weight(&report);
        if detail > DETAIL_BYTES {
            (report.exceptions, report.taken) = (Vec::new(), Vec::new());
        }
        status.apps.insert(report.id.clone(), (report, since.map_or(as_of, |(_, since)| since)));
    }
    for (id, (mut report, since)) in before.into_iter().filter(|(id, _)| !full && there.contains(id)) {
        if status.apps.contains_key(&id) {
            continue;
        }
        detail += weight(&report);
        if detail > DETAIL_BYTES {
            (report.exceptions, report.taken) = (Vec::new(), Vec::new());
        }
        status.apps.insert(id, (report, since));
    }
}

fn app(report: &mut AppReport) {
    clip(&mut report.reason, WORD);
    clip(&mut report.message, SENTENCE);
    for ObjectReport { key, reason, message, managers, fields, listed: _ } in &mut report.exceptions {
        object_key(key);
        clip(reason, WORD);
        clip(message, SENTENCE);
        names(managers);
        fields.iter_mut().for_each(field);
    }
    for TakenReport { key, managers } in &mut report.taken {
        object_key(key);
        names(managers);
    }
}

/// About what the details of a report cost.
fn weight(report: &AppReport) -> usize {
    let text = |texts: &[String]| texts.iter().map(|text| text.len() + 24).sum::<usize>();
    let field = |field: &FieldDrift| 80 + field.path.len() + field.wanted.len() + field.found.len();
    let key = |key: &ObjectKey| 96 + key.group.len() + key.kind.len() + key.namespace.len() + key.name.len();
    let object = |object: &ObjectReport| {
        let said = object.reason.len() + object.message.len();
        96 + key(&object.key) + said + text(&object.managers) + object.fields.iter().map(field).sum::<usize>()
    };
    let taken = |taken: &TakenReport| key(&taken.key) + text(&taken.managers);
    report.exceptions.iter().map(object).sum::<usize>() + report.taken.iter().map(taken).sum::<usize>()
}

fn names(names: &mut Vec<String>) {
    names.truncate(MANAGERS);
    names.iter_mut().for_each(|name| clip(name, WORD));
}

fn object_key(key: &mut ObjectKey) {
    let longest = |key: &KeyParts| [&key.group, &key.kind, &key.namespace, &key.name].map(String::len);
    if longest(key).into_iter().all(|length| length <= WORD) {
        return;
    }
    let mut parts = (**key).clone();
    for part in [&mut parts.group, &mut parts.kind, &mut parts.namespace, &mut parts.name] {
        clip(part, WORD);
    }
    *key = parts.into();
}

fn field(field: &mut FieldDrift) {
    for text in [&mut field.path, &mut field.wanted, &mut field.found] {
        clip(text, SENTENCE);
    }
}

/// Keeps drift and events of a cluster. What is known by its id is the same again: drift then perhaps with its repair.
pub fn news(world: &mut World, cluster: &ClusterName, drift: Vec<DriftReport>, events: Vec<EventReport>) {
    let mut known: HashMap<String, usize> = HashMap::new();
    if !drift.is_empty() {
        let mine = world.drift.iter().enumerate().filter(|(_, (of, _))| of == cluster);
        known.extend(mine.map(|(at, (_, drift))| (drift.id.clone(), at)));
    }
    let mut new: Vec<(ClusterName, DriftReport)> = Vec::new();
    let mut placed: HashMap<String, usize> = HashMap::new();
    for mut one in drift {
        drifted(&mut one);
        match (known.get(&one.id), placed.get(&one.id)) {
            (Some(at), _) => world.drift[*at].1 = one,
            (None, Some(at)) => new[*at].1 = one,
            (None, None) => {
                placed.insert(one.id.clone(), new.len());
                new.push((cluster.clone(), one));
            }
        }
    }
    keep(&mut world.drift, |(of, _)| of == cluster, new);
    let mut known: HashSet<String> = HashSet::new();
    if !events.is_empty() {
        let mine = world.events.iter().filter(|event| event.cluster.as_ref() == Some(cluster));
        known.extend(mine.map(|event| event.what.id.clone()));
    }
    let mut new = Vec::new();
    for mut what in events {
        told(&mut what);
        if known.insert(what.id.clone()) {
            let cluster = Some(cluster.clone());
            new.push(Event { time: what.time, cluster, what, actor: String::new() });
        }
    }
    keep(&mut world.events, |event| event.cluster.as_ref() == Some(cluster), new);
}

fn drifted(drift: &mut DriftReport) {
    clip(&mut drift.id, WORD);
    clip(&mut drift.version, WORD);
    clip(&mut drift.manager, WORD);
    object_key(&mut drift.key);
    drift.fields.iter_mut().for_each(field);
}

fn told(event: &mut EventReport) {
    clip(&mut event.id, WORD);
    clip(&mut event.kind, WORD);
    clip(&mut event.message, EVENT);
    event.key.iter_mut().for_each(object_key);
}

/// Keeps an event of the hub's own.
pub fn event(world: &mut World, mut event: Event) {
    told(&mut event.what);
    match event.cluster.clone() {
        // What a spoke makes the hub say is the spoke's share.
        Some(cluster) => keep(&mut world.events, |old| old.cluster.as_ref() == Some(&cluster), vec![event]),
        None => keep(&mut world.events, |_| false, vec![event]),
    }
}

/// Puts `new` behind what is kept; those `mine` marks give way to it beyond [`QUOTA`], then the oldest of all.
fn keep<T>(kept: &mut VecDeque<T>, mine: impl Fn(&T) -> bool, mut new: Vec<T>) {
    if new.is_empty() {
        return;
    }
    new.drain(..new.len().saturating_sub(QUOTA));
    let count = kept.iter().filter(|old| mine(old)).count();
    let mut over = (count + new.len()).saturating_sub(QUOTA).min(count);
    if over > 0 {
        kept.retain(|old| {
            let goes = over > 0 && mine(old);
            over -= usize::from(goes);
            !goes
        });
    }
    kept.drain(..(kept.len() + new.len()).saturating_sub(RECENT).min(kept.len()));
    kept.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gives_way_to_itself_before_it_pushes_out_others() {
        let mut kept: VecDeque<(u8, usize)> = VecDeque::new();
        keep(&mut kept, |(of, _)| *of == 1, vec![(1, 0)]);
        for n in 0..3 * RECENT {
            keep(&mut kept, |(of, _)| *of == 2, vec![(2, n)]);
        }
        assert_eq!((kept.len(), kept[0], kept[1]), (QUOTA + 1, (1, 0), (2, 3 * RECENT - QUOTA)));
        keep(&mut kept, |(of, _)| *of == 3, (0..2 * RECENT).map(|n| (3, n)).collect());
        assert_eq!((kept.len(), kept.back()), (2 * QUOTA + 1, Some(&(3, 2 * RECENT - 1))));
        for of in 4..20 {
            keep(&mut kept, |(mine, _)| *mine == of, (0..QUOTA).map(|n| (of, n)).collect());
        }
        assert_eq!(kept.len(), RECENT);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = "aä".repeat(10);
        clip(&mut text, 5);
        assert_eq!(text, "aäa");
        assert!(text.capacity() < 10);
    }
}
