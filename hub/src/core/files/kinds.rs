//! Lists of kinds, as people write them. A kind that is misspelt allows, denies
//! or protects nothing, which nobody notices before it matters: what Kubernetes
//! itself has is known and held against the list, and what only a
//! CustomResourceDefinition can bring is said.

use std::collections::BTreeSet;

use rimward_proto::ids::is_dns_label;
use rimward_proto::nearest::closest;

use super::check::Check;
use crate::core::codes;
use crate::core::note::Note;
use crate::core::scope::{built_in, built_in_groups, built_in_kinds};
use crate::core::yaml::{Mark, Node};

/// How a kind is written.
const FORM: &str = "write Kind.group, as in Deployment.apps, or Kind alone, as in Secret";

/// The list of kinds at `key`, sorted; empty if there is none.
pub(super) fn kinds(check: &mut Check<'_>, node: &Node, key: &str) -> Vec<String> {
    read(check, node, key, true)
}

/// The same of a list that is mostly about kinds of CustomResourceDefinitions: they are not worth a word.
pub(super) fn custom_kinds(check: &mut Check<'_>, node: &Node, key: &str) -> Vec<String> {
    read(check, node, key, false)
}

fn read(check: &mut Check<'_>, node: &Node, key: &str, say_custom: bool) -> Vec<String> {
    let written = check.texts(node, key);
    let known = written.into_iter().filter(|(text, at)| kind(check, text, *at, say_custom));
    known.map(|(text, _)| text).collect::<BTreeSet<String>>().into_iter().collect()
}

/// True if `text` can mean a kind; says so if it can not, or if it is not known to.
fn kind(check: &mut Check<'_>, text: &str, at: Mark, say_custom: bool) -> bool {
    if text == "*" {
        return true;
    }
    let (name, group) = text.split_once('.').map_or((text, None), |(name, group)| (name, Some(group)));
    let proper =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if !proper || group.is_some_and(|group| !group.split('.').all(|part| is_dns_label(part, 63))) {
        // `deployments`, `deployment`: a resource's name, or a kind in small letters.
        let (meant, _) = text.split_once(['.', '/']).unwrap_or((text, ""));
        let near = closest(meant, &built_in_kinds(None).collect::<Vec<_>>()).map(|near| with_group(near, ""));
        check.error(codes::VALUE, at, format!("{text:?} is not a kind")).help = suggest(near, FORM);
        return false;
    }
    match group {
        None if built_in_groups().any(|group| built_in(group, name).is_some()) => true,
        Some(group) if built_in(group, name).is_some() => true,
        None => match closest(name, &built_in_kinds(None).collect::<Vec<_>>()) {
            Some(near) => misspelt(check, text, at, with_group(near, "")),
            None => unknown(check, text, at, "if a CustomResourceDefinition brings it, write Kind.group"),
        },
        Some(group) if built_in_groups().any(|known| known == group) => {
            let elsewhere = || built_in_groups().find(|group| built_in(group, name).is_some());
            let here: Vec<&str> = built_in_kinds(Some(group)).collect();
            let near = closest(name, &here).map(|near| with_group(near, group));
            let near = near.or_else(|| Some(with_group(name, elsewhere()?)));
            let message = format!("{text:?} is not a kind of Kubernetes' own group {group}");
            check.error(codes::VALUE, at, message).help = suggest(near, FORM);
            false
        }
        Some(group) => {
            let groups: Vec<&str> = built_in_groups().filter(|group| !group.is_empty()).collect();
            let near = closest(group, &groups).filter(|near| built_in(near, name).is_some());
            match near.map(|near| format!("did you mean `{}`?", with_group(name, near))) {
                Some(help) => unknown(check, text, at, &help),
                None if !say_custom => true,
                None => {
                    let help = "nothing to do if a CustomResourceDefinition brings it; else correct it";
                    unknown(check, text, at, help)
                }
            }
        }
    }
}

fn with_group(name: &str, group: &str) -> String {
    rimward_proto::object::group_kind(group, name)
}

fn suggest(near: Option<String>, form: &str) -> String {
    near.map_or_else(|| form.to_owned(), |near| format!("did you mean `{near}`? ({form})"))
}

fn misspelt(check: &mut Check<'_>, text: &str, at: Mark, near: String) -> bool {
    check.error(codes::VALUE, at, format!("{text:?} is not a kind that is known")).help =
        format!("did you mean `{near}`? A kind of a CustomResourceDefinition is written Kind.group");
    false
}

/// It may be right: it is used, and said.
fn unknown(check: &mut Check<'_>, text: &str, at: Mark, help: &str) -> bool {
    let note = Note::warning(
        codes::UNKNOWN_KIND,
        check.at(at),
        format!("{text:?} is not a kind of Kubernetes' own"),
    );
    check.notes.push(note.help(help));
    true
}
