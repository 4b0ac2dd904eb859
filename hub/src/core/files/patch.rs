//! One patch, as people write it: which objects it is for, and what it does to
//! them, written inline or in a file of the same source.

use std::collections::BTreeMap;
use std::sync::Arc;

use json_patch::PatchOperation;
use rimward_proto::ids::is_dns_label;
use serde_json::Value as Json;

use super::changes::FileNames;
use super::check::{Check, Shape};
use crate::core::changes::{Edit, LabelRule, Patch, Target};
use crate::core::codes;
use crate::core::model::SourceTree;
use crate::core::yaml::{self, Mark, Node, Value};

const PATCH: Shape = Shape { known: &["target", "patch", "path"], later: &["options"] };
const TARGET: Shape = Shape {
    known: &["group", "version", "kind", "name", "namespace", "labelSelector"],
    later: &["annotationSelector"],
};
const OPERATION: Shape = Shape { known: &["op", "path", "from", "value"], later: &[] };

/// Bytes of one patch: it is meant to be shorter than what it changes.
const PATCH_BYTES: usize = 256 << 10;
/// Operations of one patch: what a person would rather write as another manifest.
const OPERATIONS: usize = 1_000;

/// The files that patches of one App are read from.
pub(super) struct PatchFiles<'t> {
    tree: &'t SourceTree,
    /// The App's folder.
    root: &'t str,
    /// What was read, so that a file that many patches name is held once. None: it is wrong, which was said.
    read: BTreeMap<String, Option<Arc<Read>>>,
}

/// A patch without its target.
struct Read {
    edit: Arc<Edit>,
    /// The object that it says it is for.
    names: Target,
}

impl<'t> PatchFiles<'t> {
    /// The files of a source, as an App in the folder `root` sees them.
    pub fn new(tree: &'t SourceTree, root: &'t str) -> Self {
        Self { tree, root, read: BTreeMap::new() }
    }

    /// The files that were read.
    pub fn used(&self) -> FileNames {
        self.read.keys().cloned().collect()
    }
}

/// Reads one entry of `patches`.
pub(super) fn patch(check: &mut Check<'_>, node: &Node, files: &mut PatchFiles<'_>) -> Option<Patch> {
    let node = check.mapping(node, "a patch", &PATCH)?;
    let written = node.get("target").map(|target| (target, self::target(check, target)));
    let read = match (node.get("patch"), node.get("path")) {
        (Some(inline), None) => {
            let text = check.text(inline, "`patch`")?;
            Arc::new(read(check, text.as_bytes(), inline.at, None)?)
        }
        (None, Some(path)) => from_file(check, path, files)?,
        _ => {
            check.error(codes::MISSING, node.at, "a patch needs `patch` or `path`, and not both").help =
                "write the patch as text under `patch: |`, or name its file with `path`".to_owned();
            return None;
        }
    };
    let (target, named) = match written {
        Some((at, target)) => {
            let target = target?;
            if target == Target::default() {
                check.error(codes::MISSING, at.at, "the target of a patch names nothing").help =
                    "say at least its `kind`; `kind` and `name` are usual".to_owned();
                return None;
            }
            (target, false)
        }
        None if read.names.kind.is_some() && read.names.name.is_some() => (read.names.clone(), true),
        None => {
            check.error(codes::MISSING, node.at, "a patch needs a `target`").help =
                "write one, as in `target: {kind: Deployment, name: web}`; only a merge patch with apiVersion, kind and \
                 metadata.name does without"
                    .to_owned();
            return None;
        }
    };
    Some(Patch { target, named, edit: read.edit.clone(), at: check.at(node.at) })
}

fn from_file(check: &mut Check<'_>, node: &Node, files: &mut PatchFiles<'_>) -> Option<Arc<Read>> {
    let text = check.text(node, "`path`")?;
    let Some(path) = within(files.root, text) else {
        check.error(codes::VALUE, node.at, "`path` of a patch leads out of the source").help =
            "name a file of the same source".to_owned();
        return None;
    };
    if let Some(read) = files.read.get(&path) {
        if read.is_none() {
            check.error(codes::UNREADABLE, node.at, format!("{path} is wrong, see above")).help =
                yaml::HELP.to_owned();
        }
        return read.clone();
    }
    let Some(bytes) = files.tree.files.get(&path) else {
        let message = format!("there is no file {path:?} in the source");
        check.error(codes::MISSING, node.at, message).help =
            "commit it, or correct `path`: it begins at the App's folder, and ends in .yaml, .yml or .json"
                .to_owned();
        return None;
    };
    let found = read(check, bytes, node.at, Some(&path)).map(Arc::new);
    files.read.insert(path, found.clone());
    found
}

/// `path` seen from the folder `base`; none if it leads out of the top.
fn within(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Reads the text of a patch, which stands inline at `at` or in `file`.
fn read(check: &mut Check<'_>, bytes: &[u8], at: Mark, file: Option<&str>) -> Option<Read> {
    let place = |mark: Mark| match file {
        Some(file) => format!("{file}:{}:{}: ", mark.line, mark.column),
        None => format!("in line {} of the patch: ", mark.line),
    };
    if bytes.len() > PATCH_BYTES {
        let message = format!("a patch of {} bytes, it may have {PATCH_BYTES}", bytes.len());
        check.error(codes::TOO_LARGE, at, message).help = "make it shorter".to_owned();
        return None;
    }
    let documents = match yaml::parse(bytes) {
        Ok(documents) => documents,
        Err(error) => {
            check.error(codes::UNREADABLE, at, place(error.at) + &error.message).help = yaml::HELP.to_owned();
            return None;
        }
    };
    let mut documents = documents.into_iter().filter(|node| node.value != Value::Null);
    let (Some(node), None) = (documents.next(), documents.next()) else {
        check.error(codes::PATCH, at, "a patch must be one document").help =
            "write one entry of `patches` for each".to_owned();
        return None;
    };
    match &node.value {
        Value::List(items) => {
            let edit = Arc::new(Edit::Operations(operations(check, items, at, &place)?));
            Some(Read { edit, names: Target::default() })
        }
        Value::Map(_) => {
            if let Some(key) = directive(&node) {
                let message = format!("`{key}` is of strategic merge patches, which are not built yet");
                check.error(codes::NOT_BUILT, at, message).help =
                    "write a list of operations (JSON 6902), or a plain merge patch".to_owned();
                return None;
            }
            let names = names(&node);
            Some(Read { edit: Arc::new(Edit::Merge(anonymous(node.to_json()))), names })
        }
        _ => {
            let message = format!("a patch must be a list of operations or a mapping, not {}", node.kind());
            check.error(codes::PATCH, at, message).help =
                "write operations as in `- {op: replace, path: /spec/replicas, value: 3}`".to_owned();
            None
        }
    }
}

fn operations(
    check: &mut Check<'_>,
    items: &[Node],
    at: Mark,
    place: &dyn Fn(Mark) -> String,
) -> Option<Vec<PatchOperation>> {
    if items.len() > OPERATIONS {
        let message = format!("a patch of {} operations, it may have {OPERATIONS}", items.len());
        check.error(codes::TOO_LARGE, at, message).help = "make it shorter".to_owned();
        return None;
    }
    let mut found = Vec::new();
    for item in items {
        if let Value::Map(entries) = &item.value
            && let Some(entry) = entries.iter().find(|entry| !OPERATION.known.contains(&entry.key.as_str()))
        {
            let message = format!("{}unknown field `{}` of an operation", place(entry.at), entry.key);
            check.error(codes::UNKNOWN_FIELD, at, message).help =
                format!("fields of an operation: {}", OPERATION.known.join(", "));
            return None;
        }
        // `add`, `replace` and `test` without a value would otherwise be about null, which is seldom meant.
        let needs = matches!(item.get("op").and_then(Node::text), Some("add" | "replace" | "test"));
        let operation = serde_json::from_value::<PatchOperation>(item.to_json());
        let (Ok(operation), false) = (operation, needs && item.get("value").is_none()) else {
            let message = format!("{}not an operation of a JSON patch", place(item.at));
            check.error(codes::PATCH, at, message).help =
                "`op` is add, remove, replace, move, copy or test; `path` and `from` begin with `/`; add, replace and \
                 test need `value`, move and copy `from`"
                    .to_owned();
            return None;
        };
        found.push(operation);
    }
    Some(found)
}

/// A key that only a strategic merge patch has.
fn directive(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Map(entries) => entries.iter().find_map(|entry| match entry.key.starts_with('$') {
            true => Some(entry.key.as_str()),
            false => directive(&entry.node),
        }),
        Value::List(items) => items.iter().find_map(directive),
        _ => None,
    }
}

/// The object that a merge patch says it is for.
fn names(node: &Node) -> Target {
    let text = |node: &Node, key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
    let metadata = node.get("metadata");
    let api = text(node, "apiVersion");
    let split = api.as_deref().map(|api| api.rsplit_once('/').unwrap_or(("", api)));
    Target {
        group: split.map(|(group, _)| group.to_owned()),
        version: split.map(|(_, version)| version.to_owned()),
        kind: text(node, "kind"),
        name: metadata.and_then(|metadata| text(metadata, "name")),
        namespace: metadata.and_then(|metadata| text(metadata, "namespace")),
        labels: Vec::new(),
    }
}

/// A merge patch without what only says which object is meant.
fn anonymous(mut patch: Json) -> Json {
    if let Json::Object(map) = &mut patch {
        map.remove("apiVersion");
        map.remove("kind");
        if let Some(Json::Object(metadata)) = map.get_mut("metadata") {
            metadata.remove("name");
            metadata.remove("namespace");
        }
    }
    patch
}

fn target(check: &mut Check<'_>, node: &Node) -> Option<Target> {
    let node = check.mapping(node, "the target of a patch", &TARGET)?;
    let mut good = true;
    let mut text = |key: &str| {
        let (text, at) = check.optional_text(node, key)?;
        // Kustomize reads these as regular expressions, of which the dot is the only one that names have too.
        if text.contains(['*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\']) {
            let message = format!("`{key}: {text}` is a pattern, which is not built yet");
            check.error(codes::NOT_BUILT, at, message).help =
                "write the whole name, or leave the field out and use a labelSelector".to_owned();
            good = false;
        }
        Some(text.to_owned())
    };
    let (group, version, kind) = (text("group"), text("version"), text("kind"));
    let (name, namespace) = (text("name"), text("namespace"));
    let labels = match check.optional_text(node, "labelSelector") {
        Some((text, at)) => label_rules(check, text, at)?,
        None => Vec::new(),
    };
    good.then_some(Target { group, version, kind, name, namespace, labels })
}

fn label_rules(check: &mut Check<'_>, text: &str, at: Mark) -> Option<Vec<LabelRule>> {
    if text.contains(['(', ')']) || text.contains(" in ") || text.contains(" notin ") {
        let message = "`in` and `notin` of a labelSelector are not built yet";
        check.error(codes::NOT_BUILT, at, message).help =
            "write key=value, key!=value, key or !key, separated by commas".to_owned();
        return None;
    }
    let rules: Option<Vec<LabelRule>> = text.split(',').map(|rule| label_rule(rule.trim())).collect();
    if rules.is_none() {
        check.error(codes::VALUE, at, format!("{text:?} is no label selector")).help =
            "write key=value, key!=value, key or !key, separated by commas".to_owned();
    }
    rules
}

fn label_rule(text: &str) -> Option<LabelRule> {
    let key = |text: &str| is_label(text.trim()).then(|| text.trim().to_owned());
    let value = |text: &str| (!text.contains(['=', '!'])).then(|| text.trim().to_owned());
    if let Some((left, right)) = text.split_once("!=") {
        return Some(LabelRule::IsNot(key(left)?, value(right)?));
    }
    if let Some((left, right)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(LabelRule::Is(key(left)?, value(right)?));
    }
    match text.strip_prefix('!') {
        Some(rest) => Some(LabelRule::HasNot(key(rest)?)),
        None => Some(LabelRule::Has(key(text)?)),
    }
}

fn is_label(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    prefix.split('.').all(|part| is_dns_label(part, 63))
        && !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_source() {
        assert_eq!(within("a/b", "../p.yaml"), Some("a/p.yaml".to_owned()));
        assert_eq!(within("a", "./b/../p.yaml"), Some("a/p.yaml".to_owned()));
        assert_eq!(within("", "p.yaml"), Some("p.yaml".to_owned()));
        for bad in ["/p.yaml", "../p.yaml", "a/../../p.yaml"] {
            assert_eq!(within("", bad), None, "{bad}");
        }
    }

    #[test]
    fn label_selectors() {
        let of = |text: &str| label_rule(text);
        assert_eq!(of("a=b"), Some(LabelRule::Is("a".into(), "b".into())));
        assert_eq!(of("a == b"), Some(LabelRule::Is("a".into(), "b".into())));
        assert_eq!(of("x.io/a!="), Some(LabelRule::IsNot("x.io/a".into(), String::new())));
        assert_eq!(of("!a"), Some(LabelRule::HasNot("a".into())));
        assert_eq!(of("a"), Some(LabelRule::Has("a".into())));
        for bad in ["", "=", "a=b=c", "a b", "!", "a/b/c", "a!=b!"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
