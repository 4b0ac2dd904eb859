//! The App files of one source: which Apps are there, which are there but
//! wrong, and where any App could be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::nearest::closest;
use rimward_proto::{AppId, AppName};

use super::app::{Context, Read, app};
use super::check::Check;
use super::{API_VERSION, APP_FILE, APP_FILE_BYTES, header};
use crate::core::codes;
use crate::core::model::{App, LeftOut, Policy, SourceId, SourceSpec, SourceTree, Tenant};
use crate::core::note::{Note, Notes, PER_SOURCE, Position};
use crate::core::select::ClusterIndex;
use crate::core::yaml::{self, Mark, Node};

/// What [`load_apps`] found in one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppsLoad {
    /// Apps whose file is right.
    pub apps: BTreeMap<AppId, Arc<App>>,
    /// Apps whose name is known but whose file is wrong: they are there, and do not change. With their file and the
    /// first error.
    pub stuck: BTreeMap<AppId, (String, Note)>,
    /// What each App, right or wrong, says that it was called.
    pub former: BTreeMap<AppId, BTreeSet<AppName>>,
    /// App files that do not even say which App they are, and what is not read at all and may hold one: any App may be
    /// in them.
    pub broken: BTreeSet<String>,
    /// Every App file that is read and counts for no App, with the first thing that is wrong. Its folder is an App of
    /// its own all the same.
    pub wrong: BTreeMap<String, Note>,
    /// What is wrong with the files.
    pub notes: Vec<Note>,
}

/// Reads the App files of one source of a tenant.
pub fn load_apps(
    id: &SourceId,
    spec: &SourceSpec,
    tenant: &Tenant,
    policy: &Policy,
    tree: &SourceTree,
) -> AppsLoad {
    let clusters = ClusterIndex::new(&policy.clusters);
    load_with_index(&Context { source: id, spec, tenant, clusters: &clusters, tree })
}

/// [`load_apps`] for a caller that has the index already.
pub(in crate::core) fn load_apps_indexed(
    source: &SourceId,
    spec: &SourceSpec,
    tenant: &Tenant,
    clusters: &ClusterIndex,
    tree: &SourceTree,
) -> AppsLoad {
    load_with_index(&Context { source, spec, tenant, clusters, tree })
}

fn load_with_index(context: &Context<'_>) -> AppsLoad {
    let tree = context.tree;
    let (mut load, mut notes) = (AppsLoad::default(), Notes::new(PER_SOURCE));
    for (path, bytes) in &tree.files {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name == APP_FILE {
            one_file(&mut load, &mut notes, path, bytes, context);
        } else if meant_as_app(name) {
            let note =
                Note::error(codes::NEAR_MISS, Position::file(path), "not read: not the name of an App file")
                    .help(format!(
                        "call it {APP_FILE}; while it is there, nothing of this source is removed"
                    ));
            notes.push(note);
            load.broken.insert(path.clone());
        }
    }
    left_out(&mut load, &mut notes, tree);
    load.notes = notes.into_vec();
    load
}

/// True of the name of an App file, and of names that people give one.
pub(super) fn meant_as_app(name: &str) -> bool {
    ["rimward.yaml", "rimward.yml", "rimward.json"].iter().any(|app| name.eq_ignore_ascii_case(app))
}

/// What is not read may hold an App file, so Apps that are not found are not known to be gone.
fn left_out(load: &mut AppsLoad, notes: &mut Notes, tree: &SourceTree) {
    let is_app = |path: &str| meant_as_app(path.rsplit(['/', '\\']).next().unwrap_or(path));
    let (mut files, mut folders): (Vec<(&String, LeftOut)>, Vec<_>) = (Vec::new(), Vec::new());
    for (path, what) in &tree.left_out {
        if is_app(path) {
            files.push((path, *what));
        } else if what.may_be_folder() {
            folders.push((path, *what));
        }
    }
    load.broken.extend(files.iter().chain(&folders).map(|(path, _)| (*path).clone()));
    let all = |path: &str, what: LeftOut, more: usize| {
        let more = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
        (Position::file(path), format!("not read: {}{more}", what.describe()))
    };
    if let [(path, what), more @ ..] = files.as_slice() {
        let (at, message) = all(path, *what, more.len());
        let help = "commit the App file itself in its place; until then nothing of this source is removed";
        notes.push(Note::error(codes::LEFT_OUT, at, message).help(help));
    }
    if let [(path, what), more @ ..] = folders.as_slice() {
        let (at, message) = all(path, *what, more.len());
        let help = "it may hold App files, so nothing of this source is removed while it is there: take it out, or \
                    commit a regular folder in its place";
        notes.push(Note::warning(codes::LEFT_OUT, at, message).help(help));
    }
}

fn one_file(load: &mut AppsLoad, notes: &mut Notes, path: &str, bytes: &[u8], context: &Context<'_>) {
    let mut check = Check::new(path);
    let node = document(&mut check, bytes);
    let read = node.as_ref().map(|node| app(&mut check, node, context)).unwrap_or_default();
    let Read { id, former, app: found } = read;
    let error = check.first_error().cloned();
    notes.extend(check.notes.into_vec());
    if let Some(id) = id.as_ref().filter(|_| !former.is_empty()) {
        load.former.entry(id.clone()).or_default().extend(former);
    }
    if let Some(error) = &error {
        load.wrong.insert(path.to_owned(), error.clone());
    }
    match (id, found, error) {
        (Some(id), Some(app), None) => add(load, notes, id, app),
        (Some(id), _, Some(error)) => {
            if let Some(other) = load.apps.remove(&id) {
                load.wrong.insert(other.at.file.clone(), twice(&id, &other.at, &error.at));
            }
            load.stuck.entry(id).or_insert((path.to_owned(), error));
        }
        _ => {
            load.broken.insert(path.to_owned());
        }
    }
}

/// The one App document of a file.
fn document(check: &mut Check<'_>, bytes: &[u8]) -> Option<Node> {
    let start = Mark { line: 1, column: 1 };
    if bytes.len() > APP_FILE_BYTES {
        check.error(codes::UNREADABLE, start, format!("an App file may have {APP_FILE_BYTES} bytes")).help =
            "make it shorter: manifests belong into files of their own".to_owned();
        return None;
    }
    let documents = match yaml::parse(bytes) {
        Ok(documents) => documents,
        Err(error) => {
            check.error(codes::UNREADABLE, error.at, error.message).help = yaml::HELP.to_owned();
            return None;
        }
    };
    let [node]: [Node; 1] = match documents.try_into() {
        Ok(one) => one,
        Err(several) => {
            let at = several.get(1).map_or(start, |node: &Node| node.at);
            let message = format!("{} documents in an App file, there must be one", several.len());
            check.error(codes::KIND, at, message).help = "one App a file, one file a folder".to_owned();
            return None;
        }
    };
    let found = header(&node);
    if (found.version, found.kind) == (API_VERSION, "App") {
        return Some(node);
    }
    let mut help = format!("an App begins with `apiVersion: {API_VERSION}` and `kind: App`");
    if found.version == API_VERSION && closest(found.kind, &["Tenant", "Cluster", "Fleet"]).is_some() {
        help = "this document belongs into the fleet repo".to_owned();
    }
    check.error(codes::KIND, node.at, "not an App document").help = help;
    None
}

fn add(load: &mut AppsLoad, notes: &mut Notes, id: AppId, app: App) {
    let good = load.apps.remove(&id).map(|app| app.at.clone());
    let Some(other) = good.clone().or_else(|| Some(load.stuck.get(&id)?.1.at.clone())) else {
        load.apps.insert(id, Arc::new(app));
        return;
    };
    if let Some(good) = good {
        load.wrong.insert(good.file.clone(), twice(&id, &good, &app.at));
    }
    let note = twice(&id, &app.at, &other);
    notes.push(note.clone());
    load.wrong.insert(app.at.file.clone(), note.clone());
    load.stuck.entry(id).or_insert((app.at.file.clone(), note));
}

fn twice(id: &AppId, at: &Position, other: &Position) -> Note {
    Note::error(codes::DUPLICATE, at.clone(), format!("App {id} is also at {other}"))
        .help("rename one of them; until then neither is updated")
}
