//! The fleet repo as a whole: which file counts in which version, and what to
//! do about two documents of one name.
//!
//! The unit that stays when something is wrong is the file: a file with an error
//! is replaced by its last good content, so that no mixture of old and new
//! documents comes about that nobody wrote. A document that is not found while
//! anything is wrong may be what is wrong, moved: it stays too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::nearest::closest;

use super::check::Check;
use super::{API_VERSION, cases, fleet, guardrail, header, tenant, unknown_cluster};
use crate::core::codes;
use crate::core::model::{Cluster, Fleet, Guardrail, LeftOut, Policy, Selector, SourceTree, Tenant};
use crate::core::note::{Note, Position};
use crate::core::select::ClusterIndex;
use crate::core::yaml::{self, Node};

/// What [`load_fleet`] found.
#[derive(Debug, Clone)]
pub struct FleetLoad {
    /// The policy to go by.
    pub policy: Policy,
    /// What is wrong with the files.
    pub notes: Vec<Note>,
    /// Content of each file when it was last right, and of files that documents which stay were last right in: remember
    /// it durably and pass it to the next load.
    pub good: BTreeMap<String, Arc<[u8]>>,
}

/// Kinds of our own documents.
pub(super) const KINDS: [&str; 8] =
    ["Fleet", "Cluster", "Tenant", "App", "RolloutStrategy", "Guardrail", "Test", "Notifier"];

enum Doc {
    Fleet(Fleet),
    Cluster(Cluster),
    Tenant(Box<Tenant>),
    Guardrail(Box<Guardrail>),
}

/// Kind and name: what must be unique in the fleet. There is one Fleet, whatever its name.
type DocKey = (&'static str, String);

impl Doc {
    fn key(&self) -> DocKey {
        match self {
            Doc::Fleet(_) => ("Fleet", String::new()),
            Doc::Cluster(cluster) => ("Cluster", cluster.name.to_string()),
            Doc::Tenant(tenant) => ("Tenant", tenant.name.to_string()),
            Doc::Guardrail(guardrail) => ("Guardrail", guardrail.name.clone()),
        }
    }
}

/// One file in the version that counts.
struct File {
    docs: Vec<(Doc, Position)>,
    /// False if the current content is wrong.
    good: bool,
}

/// Reads the fleet repo. `last_good` is what the previous load returned as `good`.
///
/// A file with an error is not used: its last good content is (with none, its documents that are right). While any file
/// is wrong, a document that was there and is not found stays as it was. Of two
/// documents with one kind and name, the one that was there before stays and the file of the other counts as wrong;
/// if that does not tell them apart, the first in the order of files and lines stays.
pub fn load_fleet(tree: &SourceTree, last_good: &BTreeMap<String, Arc<[u8]>>) -> FleetLoad {
    let mut notes = Vec::new();
    let mut files: BTreeMap<&str, File> = BTreeMap::new();
    left_out(tree, last_good, &mut files, &mut notes);
    for (path, bytes) in tree.files.iter().filter(|(path, _)| is_yaml(path)) {
        let (docs, found) = read(path, bytes);
        let good = !found.iter().any(is_error);
        notes.extend(found);
        let mut file = File { docs, good };
        if !good {
            fall_back(path, &mut file, last_good, &mut notes);
        }
        files.insert(path, file);
    }
    resolve_duplicates(&mut files, last_good, &mut notes);
    let bytes = |path: &str, file: &File| match file.good {
        true => tree.files.get(path).cloned(),
        false => last_good.get(path).cloned(),
    };
    let good = files.iter().filter_map(|(path, file)| Some(((*path).to_owned(), bytes(path, file)?)));
    let mut good: BTreeMap<String, Arc<[u8]>> = good.collect();
    let wrong = files.values().any(|file| !file.good) || tree.left_out.iter().any(may_hold_documents);
    let kept = if wrong { keep(&files, last_good, &mut notes) } else { Vec::new() };
    good.extend(kept.iter().map(|kept| (kept.name.clone(), kept.bytes.clone())));
    let docs = files.into_values().flat_map(|file| file.docs).map(|(doc, _)| doc);
    let policy = assemble(&tree.commit, docs.chain(kept.into_iter().map(|kept| kept.doc)));
    check_names(&policy, &mut notes);
    FleetLoad { policy, notes, good }
}

/// Files that were right and are now behind something that is not read: nobody can say that they are gone.
fn left_out<'f>(
    tree: &'f SourceTree,
    last_good: &'f BTreeMap<String, Arc<[u8]>>,
    files: &mut BTreeMap<&'f str, File>,
    notes: &mut Vec<Note>,
) {
    for (left, what) in tree.left_out.iter().filter(|(_, what)| **what != LeftOut::LinkToFolder) {
        let behind = last_good.range(left.clone()..).take_while(|(path, _)| path.starts_with(left));
        let behind = behind.filter(|(path, _)| {
            path.len() == left.len() || (path.as_bytes()[left.len()] == b'/' && what.may_be_folder())
        });
        let mut any = false;
        for (path, bytes) in behind {
            any = true;
            files.insert(path, File { docs: read(path, bytes).0, good: false });
        }
        if any {
            let message = format!("not read: {}; the last good content stays in force", what.describe());
            let note = Note::error(codes::LEFT_OUT, Position::file(left), message);
            notes.push(note.help("commit a regular file or folder in its place"));
        }
    }
}

fn may_hold_documents((path, what): (&String, &LeftOut)) -> bool {
    what.may_be_folder() || (matches!(what, LeftOut::LinkToFile | LeftOut::OddFile) && is_yaml(path))
}

/// A document that is not found and stays.
struct Kept {
    doc: Doc,
    /// What its content is remembered under.
    name: String,
    bytes: Arc<[u8]>,
}

/// Begins the names that content is remembered under for the sake of one document; no path in a repository does.
const KEPT: &str = "/kept/";

/// The documents that were there when last all was right, and are not found now.
fn keep(
    files: &BTreeMap<&str, File>,
    last_good: &BTreeMap<String, Arc<[u8]>>,
    notes: &mut Vec<Note>,
) -> Vec<Kept> {
    let mut found: BTreeSet<DocKey> =
        files.values().flat_map(|file| &file.docs).map(|(doc, _)| doc.key()).collect();
    let mut kept = Vec::new();
    // What is remembered for one document is older than what a file said since.
    let (alone, whole): (Vec<_>, Vec<_>) = last_good.iter().partition(|(name, _)| name.starts_with(KEPT));
    for (name, bytes) in whole.into_iter().chain(alone) {
        let (only, path) = match name.strip_prefix(KEPT).map(|rest| rest.splitn(3, '/').collect::<Vec<_>>()) {
            Some(parts) => match parts.as_slice() {
                [kind, of, path] => (Some(((*kind).to_owned(), (*of).to_owned())), *path),
                _ => continue,
            },
            None => (None, name.as_str()),
        };
        for (doc, at) in read(path, bytes).0 {
            let (kind, of) = doc.key();
            let wanted = only.as_ref().is_none_or(|(a, b)| (a.as_str(), b) == (kind, &of));
            if !wanted || !found.insert((kind, of.clone())) {
                continue;
            }
            let what = if of.is_empty() { format!("the {kind} document") } else { format!("{kind} `{of}`") };
            let message = format!("{what} is not found, and may be in what is wrong: it stays as it was");
            let note = Note::warning(codes::LAST_GOOD, at, message);
            notes.push(note.help("mend the errors in the fleet repo; if it is gone then, it goes"));
            kept.push(Kept { doc, name: format!("{KEPT}{kind}/{of}/{path}"), bytes: bytes.clone() });
        }
    }
    kept
}

pub(super) fn is_yaml(path: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending))
}

fn is_error(note: &Note) -> bool {
    note.severity == crate::core::note::Severity::Error
}

/// Uses the last good content of a file that is wrong, if there is any.
fn fall_back(
    path: &str,
    file: &mut File,
    last_good: &BTreeMap<String, Arc<[u8]>>,
    notes: &mut Vec<Note>,
) -> bool {
    let before = last_good.get(path).map(|bytes| read(path, bytes).0);
    let message = match before {
        Some(_) => "the last good content of this file stays in force",
        None => "only the documents of this file that are right are used",
    };
    notes.push(Note::warning(codes::LAST_GOOD, Position::file(path), message).help("mend the errors above"));
    file.good = false;
    let there = before.is_some();
    file.docs = before.unwrap_or_else(|| std::mem::take(&mut file.docs));
    there
}

fn read(path: &str, bytes: &[u8]) -> (Vec<(Doc, Position)>, Vec<Note>) {
    let mut check = Check::new(path);
    let mut docs: Vec<(Doc, Position)> = Vec::new();
    let mut seen: BTreeMap<DocKey, Position> = BTreeMap::new();
    match yaml::parse(bytes) {
        Err(error) => {
            check.error(codes::UNREADABLE, error.at, error.message).help = yaml::HELP.to_owned();
        }
        Ok(nodes) => {
            for node in &nodes {
                let mut one = Check::new(path);
                let doc = document(&mut one, node).filter(|_| !one.failed());
                check.notes.append(&mut one.notes);
                let Some(doc) = doc else { continue };
                let at = check.at(node.at);
                match seen.get(&doc.key()) {
                    Some(first) => {
                        check.notes.push(duplicate(&doc.key(), at, first));
                    }
                    None => {
                        seen.insert(doc.key(), at.clone());
                        docs.push((doc, at));
                    }
                }
            }
        }
    }
    (docs, check.notes.into_vec())
}

fn document(check: &mut Check<'_>, node: &Node) -> Option<Doc> {
    let found = header(node);
    if found.version != API_VERSION {
        if let Some(note) = near_miss(check, node) {
            check.notes.push(note);
        }
        return None;
    }
    match found.kind {
        "Fleet" => fleet::fleet(check, node).map(Doc::Fleet),
        "Cluster" => fleet::cluster(check, node).map(Doc::Cluster),
        "Tenant" => tenant::tenant(check, node).map(|tenant| Doc::Tenant(Box::new(tenant))),
        "Guardrail" => guardrail::guardrail(check, node).map(|found| Doc::Guardrail(Box::new(found))),
        "App" => {
            check.error(codes::KIND, node.at, "an App has no place in the fleet repo").help =
                "put it into a source of its tenant".to_owned();
            None
        }
        cases::KIND => {
            check.notes.append(&mut cases::warnings(check.file, node));
            None
        }
        kind if KINDS.contains(&kind) => {
            check.error(codes::NOT_BUILT, node.at, format!("kind {kind} is not built yet")).help =
                "take it out for now".to_owned();
            None
        }
        kind => {
            let message = format!("unknown kind `{kind}`");
            check.error(codes::KIND, node.at, message).help = match closest(kind, &KINDS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}", KINDS.join(", ")),
            };
            None
        }
    }
}

/// A document that is not ours, but looks as if it were meant to be.
fn near_miss(check: &Check<'_>, node: &Node) -> Option<Note> {
    let found = header(node);
    let ours = found.version.contains("rimward") || closest(found.version, &[API_VERSION]).is_some();
    let bare = found.version.is_empty() && KINDS.contains(&found.kind);
    (ours || bare).then(|| {
        let at = check.at(node.entry("apiVersion").map_or(node.at, |entry| entry.node.at));
        let message = format!("this document is not used: its apiVersion is {:?}", found.version);
        Note::warning(codes::NEAR_MISS, at, message).help(format!("write `apiVersion: {API_VERSION}`"))
    })
}

fn duplicate((kind, name): &DocKey, at: Position, first: &Position) -> Note {
    let message = match *kind {
        "Fleet" => format!("there can be one Fleet; another is at {first}"),
        kind => format!("{kind} `{name}` is also at {first}"),
    };
    Note::error(codes::DUPLICATE, at, message).help("rename or remove one of them")
}

/// Makes every document unique. Each round settles at least one file or one document, so it ends.
fn resolve_duplicates(
    files: &mut BTreeMap<&str, File>,
    last_good: &BTreeMap<String, Arc<[u8]>>,
    notes: &mut Vec<Note>,
) {
    while let Some((key, paths)) = first_duplicate(files) {
        let declared: BTreeSet<&String> = paths
            .iter()
            .filter(|path| {
                let before = last_good.get(*path).map(|bytes| read(path, bytes).0);
                before.is_some_and(|docs| docs.iter().any(|(doc, _)| doc.key() == key))
            })
            .collect();
        let keeper = declared.first().copied().unwrap_or(&paths[0]).clone();
        let first = position(&files[keeper.as_str()], &key);
        for path in paths.iter().filter(|path| **path != keeper) {
            let file = files.get_mut(path.as_str()).expect("paths are keys of files");
            notes.push(duplicate(&key, position(file, &key), &first));
            let fresh = file.good;
            if !(fresh && fall_back(path, file, last_good, notes)) {
                file.good = false;
                file.docs.retain(|(doc, _)| doc.key() != key);
            }
        }
    }
}

fn first_duplicate(files: &BTreeMap<&str, File>) -> Option<(DocKey, Vec<String>)> {
    let mut seen: BTreeMap<DocKey, Vec<String>> = BTreeMap::new();
    for (path, file) in files {
        for (doc, _) in &file.docs {
            seen.entry(doc.key()).or_default().push((*path).to_owned());
        }
    }
    seen.into_iter().find(|(_, paths)| paths.len() > 1)
}

fn position(file: &File, key: &DocKey) -> Position {
    let found = file.docs.iter().find(|(doc, _)| doc.key() == *key);
    found.map(|(_, at)| at.clone()).unwrap_or_default()
}

fn assemble(commit: &str, docs: impl Iterator<Item = Doc>) -> Policy {
    let mut policy = Policy {
        commit: commit.to_owned(),
        fleet: fleet::default_fleet(),
        clusters: BTreeMap::new(),
        tenants: BTreeMap::new(),
        guardrails: BTreeMap::new(),
    };
    for doc in docs {
        match doc {
            Doc::Fleet(fleet) => policy.fleet = fleet,
            Doc::Cluster(cluster) => drop(policy.clusters.insert(cluster.name.clone(), cluster)),
            Doc::Tenant(tenant) => drop(policy.tenants.insert(tenant.name.clone(), *tenant)),
            Doc::Guardrail(found) => drop(policy.guardrails.insert(found.name.clone(), *found)),
        }
    }
    policy
}

/// Names in selectors of the fleet repo. They are said, and change nothing: bounds intersect anyway.
fn check_names(policy: &Policy, notes: &mut Vec<Note>) {
    let index = ClusterIndex::new(&policy.clusters);
    for guardrail in policy.guardrails.values() {
        notes.extend(guardrail::unknown_tenants(guardrail, policy));
        for name in unknown(&guardrail.clusters, &index) {
            notes.push(unknown_cluster(guardrail.clusters_at.clone(), name, &index));
        }
    }
    for tenant in policy.tenants.values() {
        let bound = index.select(&tenant.clusters);
        for name in unknown(&tenant.clusters, &index) {
            notes.push(unknown_cluster(tenant.clusters_at.clone(), name, &index));
        }
        for source in tenant.sources.values() {
            for name in unknown(&source.clusters, &index) {
                notes.push(unknown_cluster(source.at.clone(), name, &index));
            }
            for name in source.clusters.names.iter().flatten() {
                if index.position(name).is_some_and(|position| !bound.contains(position)) {
                    let message =
                        format!("cluster {name} is outside the tenant's bound at {}", tenant.clusters_at);
                    let note = Note::error(codes::OUT_OF_BOUND, source.at.clone(), message);
                    notes.push(note.help("take the name out, or widen the tenant's `clusters`"));
                }
            }
        }
    }
}

fn unknown<'s>(
    selector: &'s Selector,
    index: &'s ClusterIndex,
) -> impl Iterator<Item = &'s rimward_proto::ClusterName> {
    selector.names.iter().flatten().filter(|name| index.position(name).is_none())
}
