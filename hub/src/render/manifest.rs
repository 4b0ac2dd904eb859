//! One document of a manifest file → one object: what must be there, what must
//! not, and what is put in order on the way. Messages name keys and objects,
//! never values: they may be a Secret's.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_proto::object::{PRUNE_ANNOTATION, REPLACE_ANNOTATION, group_kind, is_secret};
use rimward_proto::{Digest, ObjectKey, canonical, ids::is_dns_label, limits};
use serde_json::{Map, Value as Json};

use super::{Defined, RenderedObject, listkeys};
use crate::core::codes;
use crate::core::note::{Note, Notes, Position};
use crate::core::scope::Scope;
use crate::core::yaml::{Entry, Node, Value};

/// Prefix of labels and annotations that are ours to set.
const OURS: &str = "rimward.dev/";
/// Annotations of ours that people set; each is `"true"` or `"false"`, and spokes obey them.
const ASKED: [&str; 2] = [PRUNE_ANNOTATION, REPLACE_ANNOTATION];
/// Metadata that only an API server or a controller sets: to apply it would adopt, lock or orphan objects.
const FOREIGN: [&str; 9] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "ownerReferences",
    "generateName",
    "selfLink",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// A document that is a proper object, before its scope is known.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: Option<String>,
    pub at: Position,
    json: Map<String, Json>,
    secret_type: Option<String>,
    defines: Option<Defined>,
}

/// Reads one document; `notes` get what is wrong with it, and none is returned if anything is.
pub(super) fn manifest(file: &str, node: &Node, notes: &mut Notes) -> Option<Manifest> {
    let mut reader = Reader { file, notes, failed: false };
    let found = reader.manifest(node);
    found.filter(|_| !reader.failed)
}

struct Reader<'r> {
    file: &'r str,
    notes: &'r mut Notes,
    failed: bool,
}

impl Reader<'_> {
    fn at(&self, node: &Node) -> Position {
        Position { file: self.file.to_owned(), line: node.at.line, column: node.at.column }
    }

    fn error(&mut self, code: &str, node: &Node, message: impl Into<String>) -> &mut Note {
        self.failed = true;
        let note = Note::error(code, self.at(node), message);
        self.notes.push(note)
    }

    fn manifest(&mut self, node: &Node) -> Option<Manifest> {
        let (group, version, kind) = self.identity(node)?;
        let Some(metadata) = node.get("metadata").filter(|node| matches!(node.value, Value::Map(_))) else {
            self.error(codes::MANIFEST, node, format!("{kind} without metadata")).help =
                "add `metadata` with a `name`".to_owned();
            return None;
        };
        let name = metadata.get("name").and_then(Node::text).unwrap_or("").to_owned();
        let path_safe = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '%']);
        if !path_safe(&name) || name.len() > 253 {
            let at = metadata.get("name").unwrap_or(metadata);
            self.error(codes::MANIFEST, at, format!("{kind} without a proper metadata.name")).help =
                "give it a name of at most 253 characters, in quotes if it looks like something else"
                    .to_owned();
            return None;
        }
        let namespace = self.namespace(metadata);
        self.metadata(metadata);
        if node.get("sops").is_some() {
            let message = "files encrypted with sops are not built yet";
            self.error(codes::NOT_BUILT, node, message).help =
                "keep the file out of the App's `path` for now".to_owned();
        }
        for (item, list) in listkeys::duplicates(&group, &kind, node) {
            let message = format!("{kind} {name}: an entry of `{list}` has the key of another");
            self.error(codes::LIST_KEY, item, message).help =
                "remove one of them: the API server would refuse the whole object".to_owned();
        }
        let secret = is_secret(&group, &kind);
        let mut json = object(node);
        if secret {
            self.merge_string_data(node, &mut json);
        }
        Some(Manifest {
            defines: defined(&group, &kind, node),
            secret_type: node.get("type").and_then(Node::text).filter(|_| secret).map(str::to_owned),
            at: self.at(node),
            group,
            version,
            kind,
            name,
            namespace,
            json,
        })
    }

    fn identity(&mut self, node: &Node) -> Option<(String, String, String)> {
        if !matches!(node.value, Value::Map(_)) {
            let message = format!("a manifest must be a mapping, not {}", node.kind());
            self.error(codes::MANIFEST, node, message).help =
                "every document below an App's path must be a Kubernetes object; move others elsewhere"
                    .to_owned();
            return None;
        }
        let text = |key| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
        let (Some(api), Some(kind)) = (text("apiVersion"), text("kind")) else {
            let note = self.error(codes::MANIFEST, node, "a document without apiVersion and kind");
            note.help = "every document below an App's path must be a Kubernetes object: add them, or move it elsewhere"
                .to_owned();
            return None;
        };
        let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
        let alphanumeric = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        let group_ok = group.split('.').all(|part| is_dns_label(part, 63)) || !api.contains('/');
        if !group_ok || !is_dns_label(version, 63) || !alphanumeric(kind) {
            self.error(codes::MANIFEST, node, "apiVersion or kind is malformed").help =
                "write them as in `apiVersion: apps/v1` and `kind: Deployment`".to_owned();
            return None;
        }
        Some((group.to_owned(), version.to_owned(), kind.to_owned()))
    }

    fn namespace(&mut self, metadata: &Node) -> Option<String> {
        let found = metadata.get("namespace")?;
        match &found.value {
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) if is_dns_label(text, 63) => Some(text.clone()),
            Value::Null => None,
            _ => {
                self.error(codes::MANIFEST, found, "metadata.namespace is not a namespace's name").help =
                    "write a name of a-z, 0-9 and `-`, or leave it to the App's `namespace`".to_owned();
                None
            }
        }
    }

    fn metadata(&mut self, metadata: &Node) {
        let Value::Map(entries) = &metadata.value else { return };
        for Entry { key, node, .. } in entries {
            if FOREIGN.contains(&key.as_str()) {
                self.error(codes::METADATA, node, format!("metadata.{key} must not be set")).help =
                    "take it out: only the API server and controllers set it".to_owned();
            }
        }
        for field in ["labels", "annotations"] {
            let Some(Value::Map(entries)) = metadata.get(field).map(|node| &node.value) else { continue };
            for Entry { key, node, .. } in entries {
                if key.starts_with(OURS) {
                    self.ours(field, key, node);
                }
                if node.text().is_none() {
                    let message = format!("metadata.{field}: {key} is {}, not a string", node.kind());
                    self.error(codes::MANIFEST, node, message).help = "put it in quotes".to_owned();
                }
            }
        }
    }

    /// A label or an annotation of ours.
    fn ours(&mut self, field: &str, key: &str, node: &Node) {
        if field == "labels" {
            self.error(codes::METADATA, node, format!("label {key} is set by Rimward alone")).help =
                "take it out".to_owned();
            return;
        }
        if !ASKED.contains(&key) {
            self.error(codes::METADATA, node, format!("unknown annotation {key}")).help =
                format!("known are {}", ASKED.join(" and "));
            return;
        }
        // What is no string at all is told of by whoever looks at all annotations.
        if node.text().is_some_and(|text| !["true", "false"].contains(&text)) {
            let message = format!("annotation {key} must be \"true\" or \"false\"");
            self.error(codes::METADATA, node, message).help = match key {
                PRUNE_ANNOTATION => "\"false\" keeps the object where it would be pruned",
                _ => "\"true\" lets the object be deleted and made again where a field is immutable",
            }
            .to_owned();
        }
    }

    /// What the API server would do: the plain strings win over `data`, and are gone.
    fn merge_string_data(&mut self, node: &Node, json: &mut Map<String, Json>) {
        json.remove("stringData");
        let Some(strings) = node.get("stringData").filter(|node| node.value != Value::Null) else { return };
        let Value::Map(entries) = &strings.value else {
            self.error(codes::MANIFEST, strings, "stringData must be a mapping").help =
                "write its entries as `name: text`".to_owned();
            return;
        };
        let data = json.entry("data").or_insert(Json::Null);
        if data.is_null() {
            *data = Json::Object(Map::new());
        }
        for Entry { key, node, .. } in entries {
            let Some(text) = node.text() else {
                let message = format!("stringData: {key} is {}, not a string", node.kind());
                self.error(codes::MANIFEST, node, message).help = "put it in quotes".to_owned();
                continue;
            };
            if let Json::Object(data) = data {
                data.insert(key.clone(), Json::String(STANDARD.encode(text)));
            }
        }
    }
}

/// The object as JSON without what belongs to the server.
fn object(node: &Node) -> Map<String, Json> {
    let Json::Object(mut json) = node.to_json() else { return Map::new() };
    json.remove("status");
    if let Some(Json::Object(metadata)) = json.get_mut("metadata") {
        metadata.remove("creationTimestamp");
    }
    json
}

fn defined(group: &str, kind: &str, node: &Node) -> Option<Defined> {
    if (group, kind) != ("apiextensions.k8s.io", "CustomResourceDefinition") {
        return None;
    }
    let spec = node.get("spec")?;
    let scope = match spec.get("scope")?.text()? {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        _ => return None,
    };
    let kind = spec.get("names")?.get("kind")?.text()?.to_owned();
    Some(Defined { group: spec.get("group")?.text()?.to_owned(), kind, scope })
}

impl Manifest {
    /// What it defines, if it is a CustomResourceDefinition.
    pub fn defines(&self) -> Option<&Defined> {
        self.defines.as_ref()
    }

    /// The object itself, once its scope is known. An empty namespace becomes `namespace`.
    pub fn finish(&self, scope: Scope, namespace: Option<&str>) -> Result<RenderedObject, Note> {
        let what = format!("{}/{}", group_kind(&self.group, &self.kind), self.name);
        let fail =
            |code, message: String, help: &str| Err(Note::error(code, self.at.clone(), message).help(help));
        let namespace = match (scope, self.namespace.as_deref(), namespace) {
            (Scope::Cluster, None, _) => "",
            (Scope::Cluster, Some(_), _) => {
                let message = format!("{what} is cluster-scoped and must not name a namespace");
                return fail(codes::MANIFEST, message, "take metadata.namespace out");
            }
            (Scope::Namespaced, Some(own), Some(wanted)) if own != wanted => {
                let message = format!("{what} is in namespace `{own}`, its App says `{wanted}`");
                return fail(
                    codes::NAMESPACE,
                    message,
                    "an App's namespace fills empty ones and checks the rest",
                );
            }
            (Scope::Namespaced, Some(own), _) => own,
            (Scope::Namespaced, None, Some(wanted)) => wanted,
            (Scope::Namespaced, None, None) => {
                let help = "write metadata.namespace, or `namespace` in the App";
                return fail(codes::NAMESPACE, format!("{what} has no namespace"), help);
            }
        };
        let mut json = self.json.clone();
        if let Some(Json::Object(metadata)) = json.get_mut("metadata") {
            match scope {
                Scope::Namespaced => metadata.insert("namespace".to_owned(), namespace.into()),
                Scope::Cluster => metadata.remove("namespace"),
            };
        }
        let bytes = canonical::value_to_bytes(&Json::Object(json));
        if bytes.len() as u64 > limits::OBJECT_BYTES {
            let message =
                format!("{what} has {} bytes, an object may have {}", bytes.len(), limits::OBJECT_BYTES);
            return fail(codes::TOO_LARGE, message, "split it");
        }
        let key = ObjectKey::new(&self.group, &self.kind, namespace, &self.name);
        Ok(RenderedObject {
            key,
            version: self.version.clone(),
            sha256: Digest::of(&bytes),
            bytes: Arc::from(bytes),
            secret_type: self.secret_type.clone(),
            defines: self.defines.clone(),
            at: self.at.clone(),
        })
    }
}
