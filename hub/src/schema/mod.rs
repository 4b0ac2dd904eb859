//! The shape of every document that people write, for editors and for the
//! reference: JSON Schemas, made from the types here and kept in
//! `docs/reference/schemas`. The files are read by [`core::files`](crate::core::files),
//! which knows more than a schema can say; that both have the same fields is
//! tested.

mod app;
mod common;
mod fleet;
mod guardrail;
mod tenant;
mod testing;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub use app::*;
pub use common::*;
pub use fleet::*;
pub use guardrail::*;
pub use tenant::*;
pub use testing::*;

/// The schema of one kind of document.
#[derive(Debug, Clone)]
pub struct KindSchema {
    /// The kind, as in `App`.
    pub kind: &'static str,
    /// The JSON Schema, draft 07: the newest that every editor knows.
    pub schema: Value,
}

/// The schemas of all kinds that are built.
pub fn kinds() -> Vec<KindSchema> {
    vec![
        KindSchema { kind: "Fleet", schema: schema_of::<FleetDocument>() },
        KindSchema { kind: "Cluster", schema: schema_of::<ClusterDocument>() },
        KindSchema { kind: "Tenant", schema: schema_of::<TenantDocument>() },
        KindSchema { kind: "Guardrail", schema: schema_of::<GuardrailDocument>() },
        KindSchema { kind: "Test", schema: schema_of::<TestDocument>() },
        KindSchema { kind: "App", schema: schema_of::<AppDocument>() },
    ]
}

/// The schema files, by name. One has all kinds of the fleet repo, because an editor has one schema for a file.
pub fn files() -> Vec<(String, Value)> {
    let kinds = kinds();
    let mut files = vec![("fleet-repo.json".to_owned(), fleet_repo(&kinds))];
    files
        .extend(kinds.into_iter().map(|KindSchema { kind, schema }| (kind.to_lowercase() + ".json", schema)));
    files
}

fn fleet_repo(kinds: &[KindSchema]) -> Value {
    let of_fleet: Vec<&KindSchema> = kinds.iter().filter(|kind| kind.kind != "App").collect();
    let names: Vec<&str> = of_fleet.iter().map(|kind| kind.kind).collect();
    let definitions: Map<String, Value> = of_fleet
        .iter()
        .map(|KindSchema { kind, schema }| {
            let mut schema = schema.clone();
            schema.as_object_mut().map(|schema| schema.remove("$schema"));
            ((*kind).to_owned(), schema)
        })
        .collect();
    let then = |name: &&str| {
        json!({
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"$ref": format!("#/definitions/{name}")},
        })
    };
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Fleet repo",
        "description": "A document of the fleet repo.",
        "type": "object",
        "properties": {"kind": {"enum": names}},
        "required": ["apiVersion", "kind"],
        "allOf": names.iter().map(then).collect::<Vec<_>>(),
        "definitions": definitions,
    })
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    schema
}

/// What may be left out may not be null: the reader takes a null for a mistake.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            map.values_mut().for_each(without_null);
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            let null = json!({"type": "null"});
            let Some(Value::Array(any)) = map.get_mut("anyOf") else { return };
            any.retain(|option| *option != null);
            if let [Value::Object(only)] = any.as_slice() {
                let only = only.clone();
                map.remove("anyOf");
                // What is said of the field is said for the reader of the field.
                for (key, value) in only {
                    map.entry(key).or_insert(value);
                }
            }
        }
        _ => {}
    }
}
