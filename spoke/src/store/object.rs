//! Writing our own Secret and ConfigMaps: always against the version last seen,
//! so that of two spokes that both think they are the one, only one can write.

use http::Method;
use serde_json::Value;

use crate::cluster::calls::{At, get};
use crate::cluster::client::{Call, Connection, Identity};
use crate::cluster::errors::CallError;
use crate::cluster::paths::Resource;

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote since we read: another spoke, or a person.
    #[error("error[RW1030]: {what} was written by somebody else; is another spoke running in this cluster?")]
    Conflict {
        /// Which object.
        what: String,
    },
    /// The API server.
    #[error("error[RW1031]: {what} cannot be read or written")]
    Call {
        /// Which object.
        what: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// What is stored cannot be understood.
    #[error("error[RW1032]: {what} is damaged: {part}")]
    Damaged {
        /// Which object.
        what: String,
        /// Which part of it.
        part: &'static str,
    },
    /// Too large to store.
    #[error("error[RW1033]: {what} would need {parts} parts, at most {limit}")]
    TooLarge {
        /// Which object.
        what: String,
        /// Parts needed.
        parts: usize,
        /// Parts there may be.
        limit: usize,
    },
}

impl StoreError {
    /// True if another writer is about.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// True if the object was there and is not any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.is_absent())
    }
}

/// Objects of one kind in our namespace.
#[derive(Debug, Clone)]
pub struct Objects {
    connection: Connection,
    namespace: String,
    resource: Resource,
}

impl Objects {
    /// `plural` of the core API in `namespace`.
    pub fn new(connection: Connection, namespace: &str, plural: &str) -> Self {
        Self { connection, namespace: namespace.to_owned(), resource: Resource::new("", "v1", plural) }
    }

    /// The object, or none.
    pub async fn get(&self, name: &str) -> Result<Option<Value>, StoreError> {
        get(&self.connection, &Identity::Agent, self.at(name)).await.map_err(|error| self.error(name, error))
    }

    /// Creates the object, or replaces it if it is still at `version`; returns its new version.
    pub async fn put(
        &self,
        name: &str,
        version: Option<&str>,
        mut body: Value,
    ) -> Result<String, StoreError> {
        body["metadata"]["name"] = name.into();
        body["metadata"]["namespace"] = self.namespace.as_str().into();
        body["metadata"]["labels"] = serde_json::json!({"app.kubernetes.io/managed-by": "rimward"});
        let call = match version {
            Some(version) => {
                body["metadata"]["resourceVersion"] = version.into();
                Call::new(Method::PUT, self.resource.object(&self.namespace, name))
            }
            None => Call::new(Method::POST, self.resource.collection(&self.namespace)),
        };
        let call = call.body("application/json", body.to_string().into_bytes());
        let answer =
            self.connection.call(&Identity::Agent, call).await.map_err(|error| self.error(name, error))?;
        let stored: Option<Value> = serde_json::from_slice(&answer.body).ok();
        version_of(stored.as_ref()).ok_or_else(|| self.damaged(name, "the answer has no version"))
    }

    /// Deletes the object, whatever its version; one that is not there is deleted already.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let call = Call::new(Method::DELETE, self.resource.object(&self.namespace, name));
        match self.connection.call(&Identity::Agent, call).await {
            Err(error) if !error.is_absent() => Err(self.error(name, error)),
            _ => Ok(()),
        }
    }

    /// An error about `part` of the object.
    pub fn damaged(&self, name: &str, part: &'static str) -> StoreError {
        StoreError::Damaged { what: self.what(name), part }
    }

    /// How the object is called in messages.
    pub fn what(&self, name: &str) -> String {
        format!("{} {}/{name}", self.resource.plural, self.namespace)
    }

    fn at<'a>(&'a self, name: &'a str) -> At<'a> {
        At { resource: &self.resource, namespace: &self.namespace, name }
    }

    fn error(&self, name: &str, error: CallError) -> StoreError {
        match error.code() {
            Some(409) => StoreError::Conflict { what: self.what(name) },
            _ => StoreError::Call { what: self.what(name), source: error },
        }
    }
}

/// The resourceVersion of an object.
pub fn version_of(object: Option<&Value>) -> Option<String> {
    object?.pointer("/metadata/resourceVersion")?.as_str().map(str::to_owned)
}
