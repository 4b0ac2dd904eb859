//! What is in a cluster, looked at and changed as its admin would: by path, so
//! that a test names any kind without a type for it.

use anyhow::{Context, Result, bail};
use axum::http::{Request, StatusCode};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::{PATIENCE, Site, eventually};

/// The path of a core object.
pub fn core(namespace: &str, plural: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}/{name}")
}

/// The path of a ConfigMap.
pub fn config_map(namespace: &str, name: &str) -> String {
    core(namespace, "configmaps", name)
}

/// The path of a Secret.
pub fn secret(namespace: &str, name: &str) -> String {
    core(namespace, "secrets", name)
}

/// The path of an object of a group; `group` with its version, as `apps/v1`.
pub fn grouped(group: &str, namespace: &str, plural: &str, name: &str) -> String {
    format!("/apis/{group}/namespaces/{namespace}/{plural}/{name}")
}

/// The path of a namespace.
pub fn namespace(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

/// The time now: where an audit or an observation begins.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The UID of an object.
pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// The entry of field manager `name` in an object's managedFields.
pub fn manager<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"].as_array()?.iter().find(|entry| entry["manager"] == name)
}

impl Site {
    /// The object at `path`; none if there is none.
    pub async fn get(&self, path: &str) -> Result<Option<Value>> {
        let request = Request::get(path).body(Vec::new())?;
        match self.client().request::<Value>(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == StatusCode::NOT_FOUND.as_u16() => Ok(None),
            Err(error) => Err(error).with_context(|| format!("GET {path} on {}", self.name)),
        }
    }

    /// The object at `path`; an error if there is none.
    pub async fn there(&self, path: &str) -> Result<Value> {
        self.get(path).await?.with_context(|| format!("{path} is not on {}", self.name))
    }

    /// The UIDs of these objects; an error if one is missing. Equal before and after: none was deleted and made again.
    pub async fn uids(&self, paths: &[&str]) -> Result<Vec<String>> {
        let mut uids = Vec::new();
        for path in paths {
            uids.push(uid(&self.there(path).await?));
        }
        Ok(uids)
    }

    /// A merge patch as `manager`, the way `kubectl edit` and `kubectl patch` change things.
    pub async fn merge(&self, path: &str, manager: &str, patch: &Value) -> Result<Value> {
        let uri = format!("{path}?fieldManager={manager}");
        self.send("PATCH", &uri, "application/merge-patch+json", patch).await
    }

    /// Puts `object` in the place of what is there, the way `kubectl replace` does.
    pub async fn replace(&self, path: &str, manager: &str, object: &Value) -> Result<Value> {
        let uri = format!("{path}?fieldManager={manager}");
        self.send("PUT", &uri, "application/json", object).await
    }

    /// Makes `object` in the collection at `path`.
    pub async fn create(&self, path: &str, manager: &str, object: &Value) -> Result<Value> {
        let uri = format!("{path}?fieldManager={manager}");
        self.send("POST", &uri, "application/json", object).await
    }

    /// Server-side apply as `manager`, forced.
    pub async fn apply(&self, path: &str, manager: &str, object: &Value) -> Result<Value> {
        let uri = format!("{path}?fieldManager={manager}&force=true");
        self.send("PATCH", &uri, "application/apply-patch+yaml", object).await
    }

    /// Deletes the object at `path`.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.send("DELETE", path, "application/json", &json!({})).await.map(drop)
    }

    /// A namespace, made by hand and not by Rimward.
    pub async fn make_namespace(&self, name: &str) -> Result<Value> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.apply(&namespace(name), "admin", &object).await
    }

    /// Waits until `check` holds for the object at `path`, or for its absence.
    pub async fn until(
        &self,
        path: &str,
        what: &str,
        check: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Option<Value>> {
        let what = format!("{path} {what} on {}", self.name);
        let result = eventually(&what, || async {
            let found = self.get(path).await?;
            Ok(check(found.as_ref()).then_some(found))
        });
        match result.await {
            Ok(found) => Ok(found),
            Err(error) => {
                let now = self.get(path).await?.unwrap_or_default();
                Err(error).context(format!("it is now {now:#}"))
            }
        }
    }

    /// Waits until `pointer` (a JSON pointer) in the object at `path` is `wanted`.
    pub async fn until_is(&self, path: &str, pointer: &str, wanted: &Value) -> Result<Value> {
        let what = format!("{pointer} = {wanted}");
        let is = |found: Option<&Value>| found.and_then(|f| f.pointer(pointer)) == Some(wanted);
        Ok(self.until(path, &what, is).await?.unwrap_or_default())
    }

    /// Waits until there is nothing at `path`.
    pub async fn until_gone(&self, path: &str) -> Result<()> {
        self.until(path, "gone", |found| found.is_none()).await.map(drop)
    }

    async fn send(&self, method: &str, uri: &str, media: &str, body: &Value) -> Result<Value> {
        let body = serde_json::to_vec(body)?;
        let request = Request::builder().method(method).uri(uri).header("content-type", media).body(body)?;
        send(self.client(), request).await.with_context(|| format!("{method} {uri} on {}", self.name))
    }
}

async fn send(client: Client, request: Request<Vec<u8>>) -> Result<Value> {
    match tokio::time::timeout(PATIENCE, client.request::<Value>(request)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => bail!("no answer in {PATIENCE:?}"),
    }
}
