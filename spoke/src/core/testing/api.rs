//! An API server, as far as the core can tell: server-side apply with field
//! ownership, preconditions, finalizers, namespaces, watches by label.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rimward_proto::ObjectKey;
use rimward_proto::object::{FIELD_MANAGER, PRUNE_ANNOTATION, TENANT_LABEL};
use serde_json::{Value, json};

use super::leaves::{Path, content, insert, leaves, owned};
use crate::core::effect::{ApplyMode, ApplyWork, DeleteWork, Target, WatchSpec};
use crate::core::errors::{ApiError, ErrorKind};
use crate::core::event::{Live, Unlisted};
use crate::core::health::Judge;
use crate::core::observed::Observed;

/// One stored object.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub uid: String,
    pub version: u64,
    /// Values by path, without identity and managedFields.
    pub fields: BTreeMap<Path, Value>,
    /// Paths by manager, with the time of the last change.
    pub managers: BTreeMap<String, (BTreeSet<Path>, u64)>,
    pub finalizer: bool,
    pub deleting: bool,
    pub controlled: bool,
    /// Of kinds that have one; grows with the spec.
    pub generation: i64,
    /// The server's time of creation, where a test needs one.
    pub created: Option<String>,
    /// Who created it: the truth that no client sees.
    pub creator: String,
}

impl Stored {
    /// True of a ConfigMap with `immutable: true`.
    fn is_fixed(&self) -> bool {
        self.fields.get(&vec!["immutable".to_owned()]) == Some(&json!(true))
    }

    /// All but its metadata.
    fn content(&self) -> BTreeMap<Path, Value> {
        let fields = self.fields.iter().filter(|(path, _)| path[0] != "metadata");
        fields.map(|(path, value)| (path.clone(), value.clone())).collect()
    }
}

/// What a watch is told.
#[derive(Debug, Clone)]
pub enum Change {
    Upsert(ObjectKey),
    Gone(ObjectKey, String),
}

/// The account may not list there.
pub fn forbidden() -> Unlisted {
    Unlisted { message: "forbidden".to_owned(), forbidden: true, retry_after: None }
}

/// The server.
#[derive(Debug, Clone, Default)]
pub struct Api {
    pub objects: BTreeMap<ObjectKey, Stored>,
    pub namespaces: BTreeSet<String>,
    /// Accounts that a spoke has made.
    pub accounts: BTreeSet<String>,
    pub counter: u64,
    /// Changes not yet told to watches.
    pub changes: Vec<Change>,
    /// Mutating requests taken, dry-runs not counted; each as "verb key".
    pub writes: Vec<String>,
    /// Dry-runs are refused so.
    pub no_dry_run: Option<ErrorKind>,
    /// Keys that an admission policy denies.
    pub denied: BTreeSet<ObjectKey>,
    /// So many applies are answered 429, each to come back after a second.
    pub throttled: usize,
    /// The plan lets foreign objects be taken over.
    pub takeover: bool,
    /// Namespaces cannot be listed.
    pub blind: bool,
    /// Kinds that no tenant's account may list, by namespace.
    pub unlisted: BTreeSet<(String, String)>,
    /// Events, as the API has them; none if nobody may read them.
    pub said: Option<Vec<Value>>,
}

impl Api {
    fn tick(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The object as JSON.
    pub fn json(&self, key: &ObjectKey) -> Option<Value> {
        let stored = self.objects.get(key)?;
        Some(render(key, stored))
    }

    /// What a client sees who judges like this.
    pub fn live(&self, key: &ObjectKey, judge: &Judge) -> Option<Live> {
        let body = self.json(key)?;
        let observed = Observed::from_object(judge, &key.group, &key.kind, &body)?;
        Some(Live { observed, body })
    }

    /// What a list of this place shows.
    pub fn list(&self, spec: &WatchSpec) -> Vec<Observed> {
        let covered = self.objects.keys().filter(|key| spec.covers(key) && self.is_labelled(key));
        covered.filter_map(|key| self.live(key, &spec.judge)).map(|live| live.observed).collect()
    }

    /// Server-side apply.
    pub fn apply(&mut self, work: &ApplyWork, body: &Value) -> Result<Live, ApiError> {
        let key = &work.target.key;
        let error = |kind, text: &str| Err(ApiError::new(kind, text));
        if !key.namespace.is_empty() && !self.namespaces.contains(&key.namespace) {
            return error(ErrorKind::NamespaceMissing, "namespace not found");
        }
        if let Some(kind) = self.no_dry_run.filter(|_| work.dry_run) {
            return error(kind, "no dry-runs here");
        }
        if let Some(left) = self.throttled.checked_sub(1) {
            self.throttled = left;
            let busy = ApiError::new(ErrorKind::Transient, "too many requests");
            return Err(ApiError { retry_after: Some(Duration::from_secs(1)), ..busy });
        }
        if self.denied.contains(key) {
            return error(ErrorKind::Denied, "admission webhook denied the request");
        }
        match (&work.mode, self.objects.get(key)) {
            (ApplyMode::Create, Some(_)) => return error(ErrorKind::Exists, "conflict"),
            (ApplyMode::Update { .. }, None) => return error(ErrorKind::Replaced, "uid mismatch"),
            (ApplyMode::Update { uid }, Some(stored)) if *uid != stored.uid => {
                return error(ErrorKind::Replaced, "uid immutable");
            }
            (ApplyMode::Update { .. }, Some(stored))
                if work
                    .overlay
                    .as_ref()
                    .is_some_and(|o| o.resource_version != stored.version.to_string()) =>
            {
                return error(ErrorKind::Conflict, "the object has been modified");
            }
            (ApplyMode::Update { .. }, Some(stored))
                if stored.is_fixed() && stored.content() != content(body) =>
            {
                return error(ErrorKind::Immutable, "data: field is immutable when `immutable` is set");
            }
            _ => {}
        }
        let before = work.dry_run.then(|| self.clone());
        self.write(key, FIELD_MANAGER, leaves(body), true);
        let mut live = self.live(key, &work.target.judge).expect("just applied");
        if let Some(before) = before {
            // What is not written gets no version of its own.
            live.observed.resource_version =
                before.objects.get(key).map(|stored| stored.version.to_string()).unwrap_or_default();
            *self = before;
        } else {
            self.writes.push(format!("apply {key}"));
            let stored = &self.objects[key];
            let may_take = self.takeover;
            assert!(may_take || stored.creator == FIELD_MANAGER, "wrote to the foreign object {key}");
        }
        Ok(live)
    }

    /// A patch of managedFields, as a fold makes it.
    pub fn fold(&mut self, target: &Target, patch: &Value) -> Result<Live, ApiError> {
        let key = &target.key;
        let version = self.tick();
        let gone = || ApiError::new(ErrorKind::Replaced, "not found");
        let stored = self.objects.get_mut(key).ok_or_else(gone)?;
        if patch[1]["value"] != json!(stored.version.to_string()) {
            return Err(ApiError::new(ErrorKind::Conflict, "modified"));
        }
        stored.managers.clear();
        for entry in patch[0]["value"].as_array().into_iter().flatten() {
            let mut paths = BTreeSet::new();
            owned(&entry["fieldsV1"], &mut Vec::new(), &mut paths);
            let manager = entry["manager"].as_str().unwrap_or_default().to_owned();
            stored.managers.insert(manager, (paths, version));
        }
        stored.version = version;
        self.writes.push(format!("fold {key}"));
        self.changes.push(Change::Upsert(key.clone()));
        Ok(self.live(key, &target.judge).expect("just folded"))
    }

    /// Another client sets fields, or creates an object with them.
    pub fn edit(&mut self, key: &ObjectKey, manager: &str, fields: &[(&[&str], Value)]) {
        let path = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        let fixed = self.objects.get(key).is_some_and(Stored::is_fixed);
        if fixed && fields.iter().any(|(parts, _)| parts[0] != "metadata") {
            return;
        }
        let set = fields.iter().map(|(parts, value)| (path(parts), value.clone())).collect();
        self.write(key, manager, set, false);
    }

    /// A value changes with somebody else's write, as a webhook does it: nobody's entry tells of it.
    pub fn slip(&mut self, key: &ObjectKey, parts: &[&str], value: Value) {
        let version = self.tick();
        let Some(stored) = self.objects.get_mut(key) else { return };
        stored.fields.insert(parts.iter().map(|&part| part.to_owned()).collect(), value);
        stored.version = version;
        self.changes.push(Change::Upsert(key.clone()));
    }

    /// A controller writes the status; its whole status is `status`.
    pub fn set_status(&mut self, key: &ObjectKey, status: &Value) {
        let version = self.tick();
        let Some(stored) = self.objects.get_mut(key) else { return };
        stored.fields.retain(|path, _| path[0] != "status");
        stored.fields.extend(leaves(&json!({ "status": status })));
        stored.version = version;
        self.changes.push(Change::Upsert(key.clone()));
    }

    /// Another client removes a field.
    pub fn unset(&mut self, key: &ObjectKey, parts: &[&str]) {
        let version = self.tick();
        let Some(stored) = self.objects.get_mut(key) else { return };
        let path: Path = parts.iter().map(|&part| part.to_owned()).collect();
        stored.fields.remove(&path);
        for (paths, time) in stored.managers.values_mut() {
            if paths.remove(&path) {
                *time = version;
            }
        }
        stored.version = version;
        self.changes.push(Change::Upsert(key.clone()));
    }

    fn write(&mut self, key: &ObjectKey, manager: &str, set: BTreeMap<Path, Value>, applies: bool) {
        let version = self.tick();
        let uid = format!("uid-{version}");
        let before = self.objects.get(key).cloned();
        let mut stored = before.clone().unwrap_or_else(|| Stored {
            uid,
            version,
            fields: BTreeMap::new(),
            managers: BTreeMap::new(),
            finalizer: false,
            deleting: false,
            controlled: false,
            generation: 0,
            created: None,
            creator: manager.to_owned(),
        });
        let owned = stored.managers.get(manager).map(|(paths, _)| paths.clone()).unwrap_or_default();
        let mut paths: BTreeSet<Path> = if applies { BTreeSet::new() } else { owned.clone() };
        for (path, value) in set {
            let changes = stored.fields.get(&path) != Some(&value);
            for (name, (others, _)) in &mut stored.managers {
                if name != manager && changes {
                    others.remove(&path);
                }
            }
            if changes || applies {
                paths.insert(path.clone());
            }
            stored.fields.insert(path, value);
        }
        if applies {
            for dropped in owned.difference(&paths) {
                let kept = stored
                    .managers
                    .iter()
                    .any(|(name, (others, _))| name != manager && others.contains(dropped));
                if !kept {
                    stored.fields.remove(dropped);
                }
            }
        }
        let time = match stored.managers.get(manager) {
            Some((known, time)) if *known == paths => *time,
            _ => version,
        };
        stored.managers.insert(manager.to_owned(), (paths, time));
        stored.managers.retain(|_, (paths, _)| !paths.is_empty());
        if before.as_ref() != Some(&stored) {
            let spec = |stored: &Stored| {
                stored
                    .fields
                    .iter()
                    .filter(|(path, _)| path[0] == "spec")
                    .map(|(path, value)| (path.clone(), value.clone()))
                    .collect::<Vec<_>>()
            };
            if before.as_ref().is_none_or(|before| spec(before) != spec(&stored)) {
                stored.generation += 1;
            }
            stored.version = version;
            self.objects.insert(key.clone(), stored);
            self.changes.push(Change::Upsert(key.clone()));
        }
    }

    /// A delete with preconditions.
    pub fn delete(&mut self, work: &DeleteWork) -> Result<(), ApiError> {
        let key = &work.target.key;
        let Some(stored) = self.objects.get(key) else { return Ok(()) };
        if stored.uid != work.uid || stored.version.to_string() != work.resource_version {
            return Err(ApiError::new(ErrorKind::Conflict, "precondition"));
        }
        assert!(stored.creator == FIELD_MANAGER, "deleted the foreign object {key}");
        assert!(!stored.controlled, "deleted {key}, which a controller owns");
        let kept = ["metadata", "annotations", PRUNE_ANNOTATION].map(str::to_owned).to_vec();
        assert_ne!(stored.fields.get(&kept), Some(&json!("false")), "deleted {key}, which is kept");
        self.writes.push(format!("delete {key}"));
        self.remove(key);
        Ok(())
    }

    /// Somebody deletes it.
    pub fn remove(&mut self, key: &ObjectKey) {
        let version = self.tick();
        let Some(stored) = self.objects.get_mut(key) else { return };
        if stored.finalizer {
            (stored.deleting, stored.version) = (true, version);
            self.changes.push(Change::Upsert(key.clone()));
        } else if let Some(stored) = self.objects.remove(key) {
            self.changes.push(Change::Gone(key.clone(), stored.uid));
        }
    }

    /// True if a watch by label shows it.
    pub fn is_labelled(&self, key: &ObjectKey) -> bool {
        let path: Path = ["metadata", "labels", TENANT_LABEL].map(str::to_owned).to_vec();
        self.objects.get(key).is_some_and(|stored| stored.fields.contains_key(&path))
    }

    /// The value at a path of an object.
    pub fn value(&self, key: &ObjectKey, parts: &[&str]) -> Option<Value> {
        let path: Path = parts.iter().map(|&part| part.to_owned()).collect();
        self.objects.get(key)?.fields.get(&path).cloned()
    }
}

fn render(key: &ObjectKey, stored: &Stored) -> Value {
    let api = if key.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", key.group) };
    let mut object = json!({"apiVersion": api, "kind": key.kind, "metadata": {
        "name": key.name, "uid": stored.uid, "resourceVersion": stored.version.to_string()}});
    if !key.namespace.is_empty() {
        object["metadata"]["namespace"] = json!(key.namespace);
    }
    object["metadata"]["creationTimestamp"] = json!(stored.created);
    // Kinds without a spec have no generation.
    if stored.fields.keys().any(|path| path[0] == "spec") {
        object["metadata"]["generation"] = json!(stored.generation);
    }
    for (path, value) in &stored.fields {
        insert(&mut object, path, value.clone());
    }
    let entries = stored.managers.iter().map(|(manager, (paths, time))| {
        let mut fields = json!({});
        for path in paths {
            let path: Vec<String> = path.iter().map(|part| format!("f:{part}")).collect();
            insert(&mut fields, &path, json!({}));
        }
        let operation = if manager == FIELD_MANAGER { "Apply" } else { "Update" };
        json!({"manager": manager, "operation": operation, "apiVersion": api, "time": format!("{time:08}"),
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    });
    object["metadata"]["managedFields"] = entries.collect();
    if stored.deleting {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    if stored.controlled {
        object["metadata"]["ownerReferences"] = json!([{"controller": true, "uid": "x"}]);
    }
    object
}
