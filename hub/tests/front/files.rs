//! Documents in memory, as the pure half reads them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rimward_hub::core::files::API_VERSION;
use rimward_hub::core::model::SourceTree;
use rimward_hub::core::note::{Note, Severity};
use rimward_hub::core::validate;
use rimward_hub::core::yaml;
use serde_json::Value;

/// Files in memory.
pub fn tree(files: &[(&str, &str)]) -> Arc<SourceTree> {
    let file = |(path, text): &(&str, &str)| ((*path).to_owned(), Arc::from(text.as_bytes()));
    let files: BTreeMap<String, Arc<[u8]>> = files.iter().map(file).collect();
    Arc::new(SourceTree { files, ..SourceTree::default() })
}

/// A file beside the App that examples name as a patch, and what is in it.
const PATCH: (&str, &str) = ("patches/config.yaml", "[{op: add, path: /metadata/labels, value: {a: b}}]\n");

/// What the reader says of one document, in its place.
pub fn read(kind: &str, text: &str) -> Vec<Note> {
    let validated = match kind {
        "App" => validate::tenant_alone(tree(&[("web/rimward.yaml", text), PATCH])),
        _ => validate::fleet(&tree(&[("fleet.yaml", text)])).0,
    };
    validated.notes.into_iter().map(|(_, note)| note).collect()
}

/// Those that are errors.
pub fn errors(notes: Vec<Note>) -> Vec<Note> {
    notes.into_iter().filter(|note| note.severity == Severity::Error).collect()
}

/// The documents of a text.
pub fn documents(text: &str) -> Vec<Value> {
    let nodes =
        yaml::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error} at {:?}: {text}", error.at));
    nodes.iter().map(yaml::Node::to_json).collect()
}

/// The kind of a document, if it is one of the files.
pub fn kind(document: &Value) -> Option<&str> {
    let kind = document["kind"].as_str().filter(|_| document["apiVersion"] == API_VERSION)?;
    // Configuration of the daemons is no file of a repository.
    (!kind.ends_with("Config")).then_some(kind)
}

/// A file of this repository.
pub fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
