//! Reads, applies and deletes of one object, as a tenant.

use http::Method;
use rimward_proto::object::FIELD_MANAGER;
use serde_json::{Value, json};

use super::client::{Call, Connection, Identity};
use super::errors::CallError;
use super::paths::{Resource, encode};

/// What an apply sends; the body is JSON, which is YAML.
const APPLY: &str = "application/apply-patch+yaml";
/// What a fold sends.
const JSON_PATCH: &str = "application/json-patch+json";
/// Only metadata in the answer: an apply of a large object needs no more.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// One object, by what its URL needs.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// Its resource.
    pub resource: &'a Resource,
    /// Its namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl At<'_> {
    fn path(&self) -> String {
        self.resource.object(self.namespace, self.name)
    }
}

/// The object, or none if it is not there.
pub async fn get(connection: &Connection, who: &Identity, at: At<'_>) -> Result<Option<Value>, CallError> {
    match connection.call(who, Call::new(Method::GET, at.path())).await {
        Ok(answer) => json(&answer.body).map(Some),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Server-side apply with force. `whole` asks for the whole object in the answer, else its metadata.
pub async fn apply(
    connection: &Connection,
    who: &Identity,
    at: At<'_>,
    body: Vec<u8>,
    dry_run: bool,
    whole: bool,
) -> Result<Value, CallError> {
    let dry = if dry_run { "&dryRun=All" } else { "" };
    let manager = encode(FIELD_MANAGER);
    let path = format!("{}?fieldManager={manager}&force=true&fieldValidation=Strict{dry}", at.path());
    let call = Call::new(Method::PATCH, path).body(APPLY, body);
    let call = if whole { call } else { call.accept(METADATA) };
    json(&connection.call(who, call).await?.body)
}

/// A JSON patch (RFC 6902) of the managers; it names the resourceVersion it is for.
pub async fn fold(
    connection: &Connection,
    who: &Identity,
    at: At<'_>,
    patch: &Value,
) -> Result<Value, CallError> {
    let path = format!("{}?fieldManager={}", at.path(), encode(FIELD_MANAGER));
    let call = Call::new(Method::PATCH, path).body(JSON_PATCH, patch.to_string().into_bytes());
    json(&connection.call(who, call.accept(METADATA)).await?.body)
}

/// Deletes in the background, if it is still this very object. One that is not there counts as deleted.
pub async fn delete(
    connection: &Connection,
    who: &Identity,
    at: At<'_>,
    uid: &str,
    resource_version: &str,
) -> Result<(), CallError> {
    let options = json!({
        "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    });
    let call =
        Call::new(Method::DELETE, at.path()).body("application/json", options.to_string().into_bytes());
    match connection.call(who, call).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_absent() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates an object as it is; one that is there already is left alone.
pub async fn create(
    connection: &Connection,
    who: &Identity,
    path: String,
    body: &Value,
) -> Result<(), CallError> {
    let join = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{join}fieldManager={}", encode(FIELD_MANAGER));
    let call = Call::new(Method::POST, path).body("application/json", body.to_string().into_bytes());
    match connection.call(who, call).await {
        Err(error) if error.code() == Some(409) => Ok(()),
        other => other.map(|_| ()),
    }
}

fn json(body: &[u8]) -> Result<Value, CallError> {
    serde_json::from_slice(body).map_err(|_| CallError::Shape("JSON"))
}
