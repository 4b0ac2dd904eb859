//! Changes → what is told of them, up to the limits. What is too much to be told
//! is counted, and what is dangerous comes first.

use serde_json::Value;

use super::changes::{Change, Changes, Object};
use super::{Action, Content, Group, Limits, ObjectChange, diff, lines, redact};
use rimward_proto::{ClusterName, Digest};

/// What may still be told.
struct Left {
    objects: usize,
    diffs: usize,
    no_diff: usize,
}

/// All groups, the deletions of all of them first in line for what may be told.
pub(super) fn groups(
    changes: Changes,
    content: &Content<'_>,
    limits: Limits,
    cut: &mut Vec<String>,
) -> Vec<Group> {
    let mut left = Left { objects: limits.objects, diffs: limits.diffs, no_diff: 0 };
    let (mut groups, mut untold, mut more) = (Vec::new(), 0, 0);
    for (change, clusters) in changes.groups {
        // An App that only changes how it is run takes a place, too.
        if left.objects == 0 {
            untold += 1;
            more += change.objects.len();
            continue;
        }
        left.objects = left.objects.saturating_sub(usize::from(change.objects.is_empty()));
        let told = change.objects.len().min(left.objects);
        let beyond = change.objects.len() - told;
        if beyond > 0 {
            cut.push(format!("{beyond} more objects of {}", change.id));
        }
        left.objects -= told;
        groups.push(group(change, told, clusters, content, limits, &mut left));
    }
    if untold > 0 {
        cut.push(format!("{untold} more changes of Apps, with {more} objects"));
    }
    if left.no_diff > 0 {
        cut.push(format!("the diffs of {} objects", left.no_diff));
    }
    groups
}

fn group(
    change: Change,
    told: usize,
    clusters: Vec<ClusterName>,
    content: &Content<'_>,
    limits: Limits,
    left: &mut Left,
) -> Group {
    let Change { id, action, from, settings, unknown, objects } = change;
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let settings = settings.map(|(before, after)| {
        diff::unified(&lines::lines(&parse(&before)), &lines::lines(&parse(&after)), limits.diff)
    });
    let unknown = unknown.map(|digest| format!("its objects are not known: {digest} is not at hand"));
    let objects = objects.into_iter().take(told);
    Group {
        tenant: id.tenant,
        app: id.app,
        action,
        from: from.map(|from| from.to_string()).unwrap_or_default(),
        clusters,
        stages: Vec::new(),
        settings: settings.unwrap_or_default(),
        unknown: unknown.unwrap_or_default(),
        objects: objects.map(|object| told_of(object, content, limits, left)).collect(),
    }
}

fn told_of(object: Object, content: &Content<'_>, limits: Limits, left: &mut Left) -> ObjectChange {
    let wants_diff = match object.action {
        Action::Create | Action::Change => true,
        Action::Move => object.before != object.after,
        Action::Delete | Action::Keep => false,
    };
    let mut diff = String::new();
    if wants_diff && left.diffs == 0 {
        left.no_diff += 1;
    } else if wants_diff {
        diff = compare(&object, content, limits.diff.min(left.diffs));
        left.diffs = left.diffs.saturating_sub(diff.len());
    }
    ObjectChange {
        key: object.key.to_string(),
        action: object.action,
        protected: object.protected,
        held: object.held.to_owned(),
        from: object.from.map(|from| from.to_string()).unwrap_or_default(),
        diff,
    }
}

fn compare(object: &Object, content: &Content<'_>, bytes: usize) -> String {
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
        Err(missing) => return missing,
    };
    let (before, after) = redact::shown(&object.key, before, after);
    let lines = |side: Option<Value>| side.map(|value| lines::lines(&value)).unwrap_or_default();
    diff::unified(&lines(before), &lines(after), bytes)
}
