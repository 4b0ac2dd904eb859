//! A preview for a terminal: one heading for all clusters on which the same
//! happens, what is deleted first. Whoever prints it makes hidden characters
//! visible.

use std::collections::BTreeMap;

use super::{Action, Group, ObjectChange, Preview};
use crate::core::note::Note;
use crate::core::status::name_some;

/// Clusters named in a heading; of more, the first few and how many there are.
const NAMED: usize = 8;

/// The preview as text. `full`: what is new is shown as a whole, too.
pub fn text(preview: &Preview, full: bool) -> String {
    let mut out = String::new();
    // In the order of the first group of each set of clusters.
    let mut sections: Vec<(&[rimward_proto::ClusterName], Vec<&Group>)> = Vec::new();
    for group in &preview.groups {
        match sections.iter_mut().find(|(clusters, _)| *clusters == group.clusters.as_slice()) {
            Some((_, groups)) => groups.push(group),
            None => sections.push((&group.clusters, vec![group])),
        }
    }
    let apps: std::collections::BTreeSet<_> =
        preview.groups.iter().map(|group| (&group.tenant, &group.app)).collect();
    for (_, groups) in sections {
        heading(&groups, &mut out);
        for group in groups {
            self::group(group, apps.len() > 1, full, &mut out);
        }
    }
    if preview.groups.is_empty() {
        out.push_str("no changes\n");
    }
    for hold in &preview.holds {
        let what = name_some(&hold.apps);
        let message = line(&hold.message);
        out.push_str(&format!(
            "held: {}: {} ({what}); nothing of it happens until it is approved\n",
            hold.reason, message
        ));
    }
    for note in &preview.notes {
        let Note { severity, code, at, message, help } = &note.note;
        let said = Note::new(*severity, code, at.clone(), line(message)).help(line(help));
        out.push_str(&format!("{}: {said}\n", note.source));
    }
    for cut in &preview.cut {
        out.push_str(&format!("not shown: {cut} (--full)\n"));
    }
    out
}

fn heading(groups: &[&Group], out: &mut String) {
    let clusters = &groups[0].clusters;
    let names: Vec<&str> = clusters.iter().take(NAMED).map(rimward_proto::ClusterName::as_str).collect();
    let more = match clusters.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what =
        if clusters.len() == 1 { "1 cluster".to_owned() } else { format!("{} clusters", clusters.len()) };
    let same = if clusters.len() == 1 { "" } else { ", same change" };
    out.push_str(&format!("{what} ({}{more}){same}: {}\n", names.join(" "), counts(groups)));
}

/// `~1 +0 -1`, and what else there is.
pub(super) fn counts(groups: &[&Group]) -> String {
    let mut count: BTreeMap<Action, usize> = BTreeMap::new();
    groups
        .iter()
        .flat_map(|group| &group.objects)
        .for_each(|object| *count.entry(object.action).or_default() += 1);
    let of = |action| count.get(&action).copied().unwrap_or(0);
    let mut text = format!("~{} +{} -{}", of(Action::Change), of(Action::Create), of(Action::Delete));
    for (action, sign) in [(Action::Move, '>'), (Action::Keep, '=')] {
        if of(action) > 0 {
            text.push_str(&format!(" {sign}{}", of(action)));
        }
    }
    text
}

fn group(group: &Group, named: bool, full: bool, out: &mut String) {
    if named || group.action != Action::Change {
        out.push_str(&format!("  {}\n", app(group)));
    }
    if !group.unknown.is_empty() {
        out.push_str(&format!("  ? {}\n", line(&group.unknown)));
    }
    if !group.settings.is_empty() {
        out.push_str("  ~ how it is run\n");
        indented(&group.settings, out);
    }
    for object in &group.objects {
        out.push_str(&format!("  {}\n", self::object(object)));
        if full || object.action != Action::Create {
            indented(&object.diff, out);
        }
    }
}

/// An App and what becomes of it.
pub(super) fn app(group: &Group) -> String {
    let id = format!("app/{}/{}", group.tenant, group.app);
    match (group.action, group.from.as_str()) {
        (Action::Create, _) => format!("{id}   NEW"),
        (Action::Delete, "") => format!("{id}   REMOVED"),
        (Action::Delete, heir) => format!("{id}   is {heir} now; this does not go with it:"),
        (Action::Move, former) => format!("{id}   was {former}; what it has goes with it"),
        (Action::Change | Action::Keep, _) => id,
    }
}

/// An object and what becomes of it, on one line.
pub(super) fn object(object: &ObjectChange) -> String {
    let (key, from) = (line(&object.key), line(&object.from));
    match (object.action, object.held.as_str()) {
        (Action::Delete, "Protected") => format!("- {key}   DELETE (protected: will hold)"),
        (Action::Delete, "OverBudget") => format!("- {key}   DELETE (over the delete budget: will hold)"),
        (Action::Delete, _) => format!("- {key}   DELETE"),
        (Action::Keep, _) => format!("= {key}   not wanted any more; stays (rimward.dev/prune: \"false\")"),
        (Action::Move, _) => format!("> {key}   from {from}"),
        (Action::Change, _) => format!("~ {key}"),
        (Action::Create, _) => format!("+ {key}"),
    }
}

/// A text on one line: what is in a name does not begin a line of its own.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn indented(diff: &str, out: &mut String) {
    diff.lines().for_each(|line| out.push_str(&format!("      {line}\n")));
}
