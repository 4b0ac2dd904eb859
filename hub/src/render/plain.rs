//! Plain YAML: every manifest below an App's path, as kubectl would read it.
//! Parsed file by file and remembered by content, so that a commit costs the
//! files it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::bundle::{BundleIndex, IndexEntry};
use rimward_proto::{Digest, ObjectKey};
use serde_json::Value as Json;

use super::manifest::{Manifest, manifest};
use super::part::Part;
use super::variables::{CLUSTER_LABELS, CLUSTER_NAME};
use super::{Defined, RenderedObject};
use crate::core::codes;
use crate::core::model::{App, SourceTree};
use crate::core::note::{Note, Notes, PER_APP, PER_FILE, Position};
use crate::core::scope::{CrdScopes, built_in, scope};
use crate::core::yaml::{self, Entry, Node, Value};

/// One manifest file, read.
#[derive(Debug)]
pub struct File {
    bytes: Arc<[u8]>,
    namespace: Option<String>,
    /// True if the documents themselves are kept, for what changes them.
    raw: bool,
    /// True if there is something in it that looks like a built-in variable.
    built_in: bool,
    items: Vec<Item>,
    notes: Vec<Note>,
}

#[derive(Debug)]
struct Item {
    what: What,
    /// The document as it was written.
    raw: Option<Arc<Json>>,
}

#[derive(Debug)]
enum What {
    /// Of a built-in kind: all that can be known is known.
    Done(Arc<RenderedObject>),
    /// Waits for the CRDs of the fleet.
    Unscoped(Box<Manifest>),
}

/// All files of an App, read.
#[derive(Debug, Default)]
pub struct Parsed {
    files: BTreeMap<String, Arc<File>>,
    /// Notes that are not of one file.
    notes: Vec<Note>,
}

/// An App's objects, or why there are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The objects by key; meaningless if `notes` has an error.
    pub objects: BTreeMap<ObjectKey, Arc<RenderedObject>>,
    /// The documents they come from, if the App changes them.
    pub raw: BTreeMap<ObjectKey, Arc<Json>>,
    /// The bundle; none if `notes` has an error.
    pub bundle: Option<Bundle>,
    /// What is wrong.
    pub notes: Vec<Note>,
}

/// The index of an App's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Digest of `index`: the bundle's name.
    pub digest: Digest,
    /// Canonical bytes of the index.
    pub index: Arc<[u8]>,
    /// Sum of the objects' bytes.
    pub bytes: u64,
    /// Number of objects.
    pub objects: u64,
}

/// Reads the files of `app`, taking over from `before` those that have not changed. `parsed` counts the others; `roots`
/// are the [`app_roots`](super::part::app_roots) of the tree.
pub fn parse(
    app: &App,
    tree: &SourceTree,
    roots: &BTreeSet<String>,
    before: Option<&Parsed>,
    parsed: &mut u64,
) -> Parsed {
    let (mut result, mut notes) = (Parsed::default(), Notes::new(PER_APP));
    let (mut wrong, mut unread, raw) = (0, 0, !app.changes.is_empty());
    for (path, bytes) in manifests(app, tree, roots, &mut notes) {
        if wrong >= PER_APP {
            unread += 1;
            continue;
        }
        let same = before.and_then(|before| before.files.get(path)).filter(|file| {
            (file.raw, &file.namespace) == (raw, &app.namespace)
                && (Arc::ptr_eq(&file.bytes, bytes) || file.bytes == *bytes)
        });
        let file = same.cloned().unwrap_or_else(|| {
            *parsed += 1;
            Arc::new(read(path, bytes, app.namespace.as_deref(), raw))
        });
        wrong += file.notes.len();
        result.files.insert(path.clone(), file);
    }
    left_out(app, tree, roots, &mut notes);
    let not_replaced = result.files.iter().find(|(_, file)| file.built_in && app.changes.variables.is_none());
    if let Some((path, _)) = not_replaced {
        let message =
            format!("${{{CLUSTER_NAME}}} and the like are not replaced: {} has no `variables`", app.id);
        let note = Note::warning(codes::VARIABLE, Position::file(path.clone()), message);
        notes.push(
            note.help("write `variables: {}` into the App if they are meant for Rimward; else nothing"),
        );
    }
    if unread > 0 {
        let message = format!("{unread} more files are not looked at before these are right");
        notes.push(Note::error(codes::UNREADABLE, app.at.clone(), message).help("mend the errors above"));
    }
    if result.files.is_empty() && notes.is_empty() {
        let note =
            Note::warning(codes::MANIFEST, app.at.clone(), format!("no manifest below {:?}", app.path));
        notes.push(note.help("check the App's `path`"));
    }
    result.notes = notes.into_vec();
    result
}

/// The manifest files of an App, and a note for each that is for a tool.
fn manifests<'t>(
    app: &App,
    tree: &'t SourceTree,
    roots: &BTreeSet<String>,
    notes: &mut Notes,
) -> Vec<(&'t String, &'t Arc<[u8]>)> {
    let mut found = Vec::new();
    for (path, bytes) in Part::of(app).manifests(tree, roots) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if matches!(name, "kustomization.yaml" | "kustomization.yml" | "Chart.yaml") {
            let tool = if name == "Chart.yaml" { "Helm" } else { "Kustomize" };
            let message = format!("{tool} is not built yet");
            let note = Note::error(codes::NOT_BUILT, Position::file(path.clone()), message);
            notes.push(note.help("use plain YAML for now"));
            continue;
        }
        if !app.changes.files.contains(path) {
            found.push((path, bytes));
        }
    }
    found
}

/// What is not read where an App's manifests are: rendered without it, the App would look complete, and what it holds
/// would be pruned.
fn left_out(app: &App, tree: &SourceTree, roots: &BTreeSet<String>, notes: &mut Notes) {
    let mut found = Part::of(app).left_out(tree, roots);
    let Some((path, what)) = found.next() else { return };
    let more = match found.count() {
        0 => String::new(),
        more => format!(" (and {more} more like it)"),
    };
    let message =
        format!("not read: {}{more}; it may hold manifests, so the App stays as it is", what.describe());
    let help = "commit a regular file or folder in its place, or move it into a dot-folder or out of the App's `path`";
    notes.push(Note::error(codes::LEFT_OUT, Position::file(path.clone()), message).help(help));
}

fn read(path: &str, bytes: &Arc<[u8]>, namespace: Option<&str>, raw: bool) -> File {
    let (mut items, mut notes) = (Vec::new(), Notes::new(PER_FILE));
    match yaml::parse(bytes) {
        Ok(documents) => {
            for node in documents.into_iter().flat_map(expand_list) {
                let what = item(path, &node, namespace, &mut notes);
                items.extend(what.map(|what| Item { what, raw: raw.then(|| Arc::new(node.to_json())) }));
            }
        }
        Err(error) => {
            let at = Position { file: path.to_owned(), line: error.at.line, column: error.at.column };
            notes.push(Note::error(codes::UNREADABLE, at, error.message).help(yaml::HELP));
        }
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let built_in = [CLUSTER_NAME, CLUSTER_LABELS].iter().any(|name| text.contains(&format!("${{{name}")));
    let (bytes, namespace) = (bytes.clone(), namespace.map(str::to_owned));
    File { bytes, namespace, raw, built_in, items, notes: notes.into_vec() }
}

fn item(path: &str, node: &Node, namespace: Option<&str>, notes: &mut Notes) -> Option<What> {
    let manifest = manifest(path, node, notes)?;
    let Some(scope) = built_in(&manifest.group, &manifest.kind) else {
        return Some(What::Unscoped(Box::new(manifest)));
    };
    match manifest.finish(scope, namespace) {
        Ok(object) => Some(What::Done(Arc::new(object))),
        Err(note) => {
            notes.push(note);
            None
        }
    }
}

/// The items of a `List`, or of a typed list such as `ConfigMapList`, whose items need not say what they are. They are
/// moved out of it: lists within lists would otherwise be copied at each level.
pub(super) fn expand_list(mut node: Node) -> Vec<Node> {
    let kind = node.get("kind").and_then(Node::text).unwrap_or("").to_owned();
    let version = node.get("apiVersion").and_then(Node::text).unwrap_or("").to_owned();
    let (Some(item_kind), Value::Map(entries)) = (kind.strip_suffix("List"), &mut node.value) else {
        return vec![node];
    };
    let items = entries.iter_mut().find(|entry| entry.key == "items").map(|entry| &mut entry.node.value);
    let Some(Value::List(items)) = items else { return vec![node] };
    let mut items = std::mem::take(items);
    for item in &mut items {
        let at = item.at;
        if let Value::Map(entries) = &mut item.value
            && !item_kind.is_empty()
            && !entries.iter().any(|entry| entry.key == "kind" || entry.key == "apiVersion")
        {
            for (key, text) in [("apiVersion", version.as_str()), ("kind", item_kind)] {
                let node = Node { at, value: Value::Text(text.to_owned()) };
                entries.push(Entry { key: key.to_owned(), at, node });
            }
        }
    }
    items.into_iter().flat_map(expand_list).collect()
}

impl Parsed {
    /// The kinds that the App's CustomResourceDefinitions bring.
    pub fn defines(&self) -> impl Iterator<Item = &Defined> {
        self.files.values().flat_map(|file| &file.items).filter_map(|item| match &item.what {
            What::Done(object) => object.defines.as_ref(),
            What::Unscoped(manifest) => manifest.defines(),
        })
    }

    /// True if both read the same files, so that they render to the same.
    pub fn same(&self, other: &Self) -> bool {
        self.notes == other.notes
            && self.files.len() == other.files.len()
            && self
                .files
                .iter()
                .zip(&other.files)
                .all(|((path, one), (other_path, other))| path == other_path && Arc::ptr_eq(one, other))
    }

    /// (group, kind) of everything that waits for a CRD.
    pub fn custom_kinds(&self) -> BTreeSet<(&str, &str)> {
        self.files
            .values()
            .flat_map(|file| &file.items)
            .filter_map(|item| match &item.what {
                What::Done(_) => None,
                What::Unscoped(manifest) => Some((manifest.group.as_str(), manifest.kind.as_str())),
            })
            .collect()
    }

    /// The App's objects, with the scopes of custom kinds.
    pub fn finish(&self, app: &App, crds: &CrdScopes) -> Rendered {
        let (mut rendered, mut notes) = (Rendered::default(), Notes::new(PER_APP));
        notes.extend(self.notes.iter().cloned());
        for file in self.files.values() {
            notes.extend(file.notes.iter().cloned());
            for item in &file.items {
                let object = match &item.what {
                    What::Done(object) => Ok(object.clone()),
                    What::Unscoped(manifest) => match scope(&manifest.group, &manifest.kind, crds) {
                        None => Err(unknown_scope(manifest)),
                        Some(scope) => manifest.finish(scope, app.namespace.as_deref()).map(Arc::new),
                    },
                };
                if let Err(note) = object.and_then(|object| rendered.add(object, item.raw.as_ref())) {
                    notes.push(note);
                }
            }
        }
        rendered.notes = notes.into_vec();
        if !rendered.failed() {
            rendered.index(app);
        }
        rendered
    }
}

fn unknown_scope(manifest: &Manifest) -> Note {
    let kind = rimward_proto::object::group_kind(&manifest.group, &manifest.kind);
    let message = format!("{kind}: not known whether it is namespaced, so its App waits");
    Note::error(codes::UNKNOWN_SCOPE, manifest.at.clone(), message)
        .help("let an App of the fleet install its CustomResourceDefinition")
}

impl Rendered {
    /// True if anything is wrong with it.
    pub fn failed(&self) -> bool {
        self.first_error().is_some()
    }

    /// The first thing that is wrong.
    pub fn first_error(&self) -> Option<&Note> {
        self.notes.iter().find(|note| note.severity == crate::core::note::Severity::Error)
    }

    fn add(&mut self, object: Arc<RenderedObject>, raw: Option<&Arc<Json>>) -> Result<(), Note> {
        if let Some(first) = self.objects.get(&object.key) {
            let message = format!("{} is also at {}", object.key, first.at);
            return Err(Note::error(codes::OBJECT_TWICE, object.at.clone(), message).help("remove one"));
        }
        if let Some(raw) = raw {
            self.raw.insert(object.key.clone(), raw.clone());
        }
        self.objects.insert(object.key.clone(), object);
        Ok(())
    }

    fn index(&mut self, app: &App) {
        match Bundle::of(self.objects.values().map(Arc::as_ref)) {
            Ok(bundle) => self.bundle = Some(bundle),
            Err(reason) => {
                let note = Note::error(codes::TOO_LARGE, app.at.clone(), format!("{}: {reason}", app.id));
                self.notes.push(note.help("split the App"));
            }
        }
    }
}

impl Bundle {
    /// The bundle of these objects, or why there is none.
    pub fn of<'o>(objects: impl Iterator<Item = &'o RenderedObject>) -> Result<Self, String> {
        let entry = |object: &RenderedObject| IndexEntry {
            key: object.key.clone(),
            version: object.version.clone(),
            sha256: object.sha256,
            bytes: object.bytes.len() as u64,
        };
        let index = BundleIndex::new(objects.map(entry).collect()).map_err(|error| error.to_string())?;
        let bytes = index.to_bytes().map_err(|error| error.to_string())?;
        if bytes.len() as u64 > rimward_proto::limits::INDEX_BYTES {
            return Err("its index is too long".to_owned());
        }
        Ok(Self {
            digest: Digest::of(&bytes),
            index: Arc::from(bytes),
            bytes: index.total_bytes(),
            objects: index.entries().len() as u64,
        })
    }
}
