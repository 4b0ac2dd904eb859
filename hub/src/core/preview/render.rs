//! Changes → what is told of them, up to the limits. Changes that read the same
//! are one, although each cluster has values of its own elsewhere in the object.
//! What is too much to be told is counted, and what is dangerous comes first.

use std::collections::BTreeMap;

use serde_json::Value;

use super::changes::{Change, Changes, Object};
use super::{Action, Content, Group, Limits, ObjectChange, diff, lines, redact};
use rimward_proto::{ClusterName, Digest};

/// Objects compared for one preview, to find changes that read the same: some seconds of work. Beyond it those that are
/// not the same to the byte stand apart.
const COMPARED: usize = 100_000;

/// What may still be told.
struct Left {
    objects: usize,
    diffs: usize,
}

/// What is not told.
#[derive(Default)]
struct Untold {
    changes: usize,
    objects: usize,
    diffs: usize,
}

/// All groups, the deletions of all of them first in line for what may be told.
pub(super) fn groups(
    changes: Changes,
    content: &Content<'_>,
    limits: Limits,
    cut: &mut Vec<String>,
) -> Vec<Group> {
    let mut left = Left { objects: limits.objects, diffs: limits.diffs };
    let (mut work, mut untold) = (COMPARED, Untold::default());
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
    for (change, clusters) in changes.groups {
        let (id, objects) = (change.id.clone(), change.objects.len());
        if work < objects && left.objects == 0 {
            untold.changes += 1;
            untold.objects += objects;
            continue;
        }
        work = work.saturating_sub(objects);
        let (whole, all) = group(change, content, limits);
        let name = Digest::of(&serde_json::to_vec(&whole).unwrap_or_default());
        // What is not read to its end may end in another way.
        if let Some(at) = known.get(&name).filter(|_| all) {
            groups[*at].clusters.extend(clusters);
        } else if left.objects == 0 {
            untold.changes += 1;
            untold.objects += objects;
        } else {
            known.extend(all.then_some((name, groups.len())));
            groups.push(within(whole, clusters, &mut left, &mut untold));
            let beyond = objects - groups[groups.len() - 1].objects.len();
            if beyond > 0 {
                cut.push(format!("{beyond} more objects of {id}"));
            }
        }
    }
    groups.iter_mut().for_each(|group| group.clusters.sort());
    if untold.changes > 0 {
        cut.push(format!("{} more changes of Apps, with {} objects", untold.changes, untold.objects));
    }
    if untold.diffs > 0 {
        cut.push(format!("the diffs of {} objects", untold.diffs));
    }
    groups
}

/// As much of a group as may still be told.
fn within(mut group: Group, clusters: Vec<ClusterName>, left: &mut Left, untold: &mut Untold) -> Group {
    group.clusters = clusters;
    group.objects.truncate(left.objects);
    // An App that only changes how it is run takes a place, too.
    left.objects = left.objects.saturating_sub(group.objects.len().max(1));
    for object in &mut group.objects {
        if object.diff.len() > left.diffs {
            object.diff = String::new();
            untold.diffs += 1;
        }
        left.diffs -= object.diff.len();
    }
    group
}

/// A change in words, on no cluster yet, and whether that is all of it.
fn group(change: Change, content: &Content<'_>, limits: Limits) -> (Group, bool) {
    let Change { id, action, from, settings, unknown, objects } = change;
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let settings = settings.map(|(before, after)| {
        diff::unified(&lines::lines(&parse(&before)), &lines::lines(&parse(&after)), limits.diff)
    });
    let unknown = unknown.map(|_| "its objects are not known: its bundle is not at hand".to_owned());
    let settings = settings.unwrap_or_default();
    let (mut bytes, mut all) = (limits.diffs, objects.len() <= limits.objects && !settings.cut);
    let told = objects.into_iter().take(limits.objects).map(|object| {
        let (told, whole) = told_of(object, content, limits.diff.min(bytes));
        bytes = bytes.saturating_sub(told.diff.len());
        all &= whole;
        told
    });
    let objects = told.collect();
    let group = Group {
        tenant: id.tenant,
        app: id.app,
        action,
        from: from.map(|from| from.to_string()).unwrap_or_default(),
        clusters: Vec::new(),
        stages: Vec::new(),
        settings: settings.text,
        unknown: unknown.unwrap_or_default(),
        objects,
    };
    (group, all)
}

fn told_of(object: Object, content: &Content<'_>, bytes: usize) -> (ObjectChange, bool) {
    let wants_diff = match object.action {
        Action::Create | Action::Change => true,
        Action::Move => object.before != object.after,
        Action::Delete | Action::Keep => false,
    };
    let diff = if wants_diff { compare(&object, content, bytes) } else { diff::Diff::default() };
    let told = ObjectChange {
        key: object.key.to_string(),
        action: object.action,
        protected: object.protected,
        held: object.held.to_owned(),
        from: object.from.map(|from| from.to_string()).unwrap_or_default(),
        diff: diff.text,
    };
    (told, !diff.cut)
}

fn compare(object: &Object, content: &Content<'_>, bytes: usize) -> diff::Diff {
    /// One side: it is not there, it is not at hand, or it is this.
    fn side(digest: Option<Digest>, content: &Content<'_>) -> Result<Option<Value>, String> {
        let Some(digest) = digest else { return Ok(None) };
        let value = content(&digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // The digest is not told: it would be a hash of what may be a Secret.
        value.map(Some).ok_or_else(|| "(its content is not at hand)\n".to_owned())
    }
    let sides = side(object.before, content).and_then(|before| Ok((before, side(object.after, content)?)));
    let (before, after) = match sides {
        Ok(sides) => sides,
        Err(missing) => return diff::Diff { text: missing, cut: true },
    };
    let (before, after) = redact::shown(&object.key, before, after);
    let lines = |side: Option<Value>| side.map(|value| lines::lines(&value)).unwrap_or_default();
    diff::unified(&lines(before), &lines(after), bytes)
}
