//! Lists, page by page to the end: how a watch begins, and what there is in place
//! of watches beyond their number. A list that broke off is an error: of half a
//! list nobody could tell what is missing from what was not read.

use http::Method;
use rimward_proto::object::TENANT_LABEL;
use serde_json::Value;

use super::client::{Call, Connection, Identity};
use super::discovery::Plurals;
use super::errors::CallError;
use super::paths::{Resource, encode};
use crate::core::Observed;
use crate::core::effect::WatchSpec;

/// Objects in a page of a list: client-go's number; bounds what one answer costs both sides.
pub const PAGE: usize = 500;
/// Times that a list is begun anew because the server no longer knows the version that its first page was of: pages that
/// take minutes each time take longer than the server keeps versions, and are tried again later.
const ANEW: usize = 3;
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// A place, as requests need it.
#[derive(Debug)]
pub struct Place<'a> {
    spec: &'a WatchSpec,
    /// Whoever asks.
    pub identity: Identity,
    resource: Resource,
}

impl<'a> Place<'a> {
    /// Where `spec` is, as far as `plurals` know its kind.
    pub fn new(spec: &'a WatchSpec, plurals: &Plurals) -> Result<Self, CallError> {
        let resource = plurals.resource(&spec.group, &spec.version, &spec.kind);
        let resource = resource.ok_or(CallError::Shape("serving this kind"))?;
        let identity = Identity::account(&spec.service_account);
        let identity = identity.ok_or(CallError::Shape("given a namespace/name to ask as"))?;
        Ok(Self { spec, identity, resource })
    }

    /// Path and query of everything in it that carries our label, and `more`.
    pub fn path(&self, more: &str) -> String {
        let collection = self.resource.collection(&self.spec.namespace);
        format!("{collection}?labelSelector={}&{more}", encode(TENANT_LABEL))
    }

    /// The core's view of an object in it.
    pub fn observe(&self, object: &Value) -> Option<Observed> {
        Observed::from_object(&self.spec.judge, &self.spec.group, &self.spec.kind, object)
    }

    /// What is asked for: whole objects where their health is in them, else `metadata`.
    pub fn accept(&self, metadata: &'static str) -> &'static str {
        if self.spec.judge.is_whole() { "application/json" } else { metadata }
    }

    /// True if an error says that whoever asks may not see this place, as opposed to may not be impersonated.
    pub fn is_forbidden(&self, error: &CallError) -> bool {
        let CallError::Refused(refusal) = error else { return false };
        let details = refusal.status.details.as_ref();
        let about = details.is_some_and(|of| of.kind == self.resource.plural && of.name.is_empty());
        refusal.code == 403 && about
    }
}

/// Everything in a place, and the version of that.
pub async fn list(connection: &Connection, place: &Place<'_>) -> Result<(Vec<Observed>, String), CallError> {
    let mut anew = 0;
    loop {
        match pages(connection, place).await {
            Err(error) if error.code() == Some(410) && anew < ANEW => anew += 1,
            result => return result,
        }
    }
}

async fn pages(connection: &Connection, place: &Place<'_>) -> Result<(Vec<Observed>, String), CallError> {
    let base = place.path(&format!("limit={PAGE}"));
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let path = if next.is_empty() { base.clone() } else { format!("{base}&continue={}", encode(&next)) };
        let call = Call::new(Method::GET, path).accept(place.accept(METADATA_LIST));
        let answer = connection.call_patiently(&place.identity, call).await?;
        let page: Value = serde_json::from_slice(&answer.body).map_err(|_| CallError::Shape("JSON"))?;
        // What is no list says nothing about what is there; null is how Go writes one without items.
        match page.get("items") {
            Some(Value::Array(items)) => found.extend(items.iter().filter_map(|item| place.observe(item))),
            Some(Value::Null) => {}
            _ => return Err(CallError::Shape("a list")),
        }
        let meta = |field: &str| page.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
        match meta("continue").filter(|token| !token.is_empty()) {
            Some(token) => next = token.to_owned(),
            None => {
                let version = meta("resourceVersion").ok_or(CallError::Shape("a list with a version"))?;
                return Ok((found, version.to_owned()));
            }
        }
    }
}
