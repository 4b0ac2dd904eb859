//! The schemas have the fields that the reader has, no more and no fewer, at
//! every level; they are what is in docs/reference/schemas; and the examples are
//! right by both.

use std::collections::{BTreeMap, BTreeSet};

use boon::{Compiler, SchemaIndex, Schemas};
use rimward_hub::core::codes;
use rimward_hub::schema;
use serde_json::{Map, Value, json};

use crate::files::{documents, errors, kind, read, repository};

/// A document of each kind with every field there is.
const FULL: [(&str, &str); 6] = [
    ("Fleet", include_str!("full/fleet.yaml")),
    ("Cluster", include_str!("full/cluster.yaml")),
    ("Tenant", include_str!("full/tenant.yaml")),
    ("Guardrail", include_str!("full/guardrail.yaml")),
    ("Test", include_str!("full/test.yaml")),
    ("App", include_str!("full/app.yaml")),
];

/// Compiled schemas.
pub struct Validator {
    schemas: Schemas,
    by_file: BTreeMap<String, SchemaIndex>,
}

impl Validator {
    pub fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let mut by_file = BTreeMap::new();
        for (name, schema) in schema::files() {
            let url = format!("https://schemas.invalid/{name}");
            compiler.add_resource(&url, schema).unwrap();
            by_file.insert(name, compiler.compile(&url, &mut schemas).unwrap());
        }
        Self { schemas, by_file }
    }

    /// What is wrong with a document, by the schema of its kind and by that of its repository.
    pub fn errors(&self, document: &Value) -> Vec<String> {
        let kind = kind(document).expect("a document of a repository");
        let own = format!("{}.json", kind.to_lowercase());
        let files = [Some(own), (kind != "App").then(|| "fleet-repo.json".to_owned())];
        let validate = |file: String| {
            let index = self.by_file.get(&file).unwrap_or_else(|| panic!("no schema {file}"));
            Some(format!("{file}: {}", self.schemas.validate(document, *index).err()?))
        };
        files.into_iter().flatten().filter_map(validate).collect()
    }
}

/// Every level of a schema that is a mapping with fields, by its path.
fn levels(schema: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let empty = Map::new();
    let properties = schema["properties"].as_object();
    if schema["additionalProperties"] == false {
        let names = properties.unwrap_or(&empty).keys().cloned().collect();
        found.insert(path.to_owned(), names);
    }
    for (name, schema) in properties.into_iter().flatten() {
        levels(schema, &format!("{path}/{name}"), found);
    }
    if schema["items"].is_object() {
        levels(&schema["items"], &format!("{path}/*"), found);
    }
}

/// Every mapping of a document, by its path and by the pointer to it.
fn mappings(value: &Value, path: &str, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            found.push((path.to_owned(), pointer.to_owned()));
            for (name, value) in map {
                mappings(value, &format!("{path}/{name}"), &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                mappings(item, &format!("{path}/*"), &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn reader_and_schema_have_the_same_fields() {
    let validator = Validator::new();
    let kinds = schema::kinds();
    assert_eq!(kinds.iter().map(|kind| kind.kind).collect::<Vec<_>>(), FULL.map(|(kind, _)| kind));
    for (kind, text) in FULL {
        let schema = kinds.iter().find(|known| known.kind == kind).unwrap();
        let mut wanted = BTreeMap::new();
        levels(&schema.schema, "", &mut wanted);
        assert!(wanted.len() >= 3, "{kind}: {wanted:?}");
        let mut missing: BTreeSet<(String, String)> = wanted
            .iter()
            .flat_map(|(path, names)| names.iter().map(|name| (path.clone(), name.clone())))
            .collect();
        let mut tried = BTreeSet::new();
        for document in documents(text) {
            assert_eq!(validator.errors(&document), Vec::<String>::new(), "{kind}");
            let mut found = Vec::new();
            mappings(&document, "", "", &mut found);
            for (path, pointer) in found {
                let Some(names) = wanted.get(&path) else { continue };
                let written = document.pointer(&pointer).unwrap().as_object().unwrap();
                missing.retain(|(at, name)| *at != path || !written.contains_key(name));
                if tried.insert(path.clone()) {
                    assert_eq!(
                        fields_of_reader(kind, &document, &pointer),
                        *names,
                        "fields of {kind} at {path:?}"
                    );
                    let mut more = document.clone();
                    insert(&mut more, &pointer);
                    assert!(!validator.errors(&more).is_empty(), "{kind} at {path:?} takes any field");
                }
            }
        }
        assert_eq!(tried, wanted.keys().cloned().collect(), "levels of {kind} that its full document has");
        assert_eq!(missing, BTreeSet::new(), "fields of {kind} that its full document must have");
        let known = [codes::UNKNOWN_CLUSTER];
        let wrong: Vec<_> = errors(read(kind, text))
            .into_iter()
            .filter(|note| !known.contains(&note.code.as_str()))
            .collect();
        // A Test alone is about a tenant that is nowhere.
        let wrong: Vec<_> =
            wrong.into_iter().filter(|note| !note.message.starts_with("no tenant is called")).collect();
        assert_eq!(wrong, [], "{kind}");
    }
}

const NOBODY: &str = "nobodyHasThisField";

fn insert(document: &mut Value, pointer: &str) {
    document.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(NOBODY.into(), json!(1));
}

/// The fields that the reader names where it meets one that it does not know.
fn fields_of_reader(kind: &str, document: &Value, pointer: &str) -> BTreeSet<String> {
    let mut document = document.clone();
    insert(&mut document, pointer);
    let notes = read(kind, &document.to_string());
    let unknown: Vec<_> = notes.iter().filter(|note| note.code == codes::UNKNOWN_FIELD).collect();
    let [note] = unknown.as_slice() else { panic!("{kind} at {pointer:?}: {notes:?}") };
    assert!(note.message.contains(NOBODY), "{note}");
    let (_, fields) = note.help.split_once(": ").unwrap_or_else(|| panic!("{note}"));
    fields.split(", ").filter(|field| !field.is_empty()).map(str::to_owned).collect()
}

/// Run with RIMWARD_WRITE_SCHEMAS=1 to write them.
#[test]
fn the_schemas_in_the_docs_are_these() {
    let folder = repository("docs/reference/schemas");
    let files = schema::files();
    if std::env::var_os("RIMWARD_WRITE_SCHEMAS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, schema) in &files {
            std::fs::write(folder.join(name), format!("{schema:#}\n")).unwrap();
        }
    }
    let there: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, files.iter().map(|(name, _)| name.clone()).collect());
    for (name, schema) in &files {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let same = serde_json::from_str::<Value>(&text).is_ok_and(|written| written == *schema);
        assert!(same, "{name} is not what the types say; write it with RIMWARD_WRITE_SCHEMAS=1");
    }
}

#[test]
fn what_the_reader_refuses_the_schemas_refuse() {
    let validator = Validator::new();
    let app = |spec: &str| {
        format!("apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {{name: web}}\nspec: {spec}\n")
    };
    let tenant = |spec: &str| {
        let rest = "sources: [{name: a, git: {url: https://x.example/a.git}}], clusters: {}";
        format!(
            "apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: t}}\nspec: {{{rest}, {spec}}}\n"
        )
    };
    let both = |text: &str| {
        let [document] = documents(text).try_into().unwrap();
        (errors(read(kind(&document).unwrap(), text)).is_empty(), validator.errors(&document).is_empty())
    };
    for good in ["{clusters: {}}", "{clusters: {names: []}, rollout: immediate}", "{clusters: {}, path: ./x}"]
    {
        assert_eq!(both(&app(good)), (true, true), "{good}");
    }
    assert_eq!(both(&tenant("namespaces: [a, a-*, '*']")), (true, true));
    for bad in [
        "{}",
        "{clusters: null}",
        "{clusters: []}",
        "{clusters: {names: [EU_1]}}",
        "{clusters: {matchLabels: {a: 1}}}",
        "{clusters: {matchExpressions: [{key: a, operator: Is}]}}",
        "{clusters: {}, namespace: null}",
        "{clusters: {}, drift: {mode: reverse}}",
        "{clusters: {}, drift: {ignore: [{paths: []}]}}",
        "{clusters: {}, drift: {ignore: [{paths: [spec]}]}}",
        "{clusters: {}, takeover: true}",
        "{clusters: {}, health: {timeout: 0s}}",
        "{clusters: {}, health: {timeout: 5}}",
        "{clusters: {}, health: {cel: [{kinds: [A.b.example], failed: 'true'}]}}",
        "{clusters: {}, deletion: {maxPerPlan: -1}}",
        "{clusters: {}, deletion: {maxPerPlan: 1.5}}",
        "{clusters: {}, deletion: {protect: [deployments]}}",
        "{clusters: {}, dependsOn: [db]}",
        "{clusters: {}, dependsOn: [{tenant: db}]}",
        "{clusters: {}, formerly: [A]}",
    ] {
        assert_eq!(both(&app(bad)), (false, false), "{bad}");
    }
    for bad in [
        "namespaces: []",
        "namespaces: [A]",
        "role: 1, namespaces: [a]",
        "namespaces: [a], serviceAccount: x",
    ] {
        assert_eq!(both(&tenant(bad)), (false, false), "{bad}");
    }
}
