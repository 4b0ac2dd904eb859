//! Lists for a ledger that was lost: what carries a tenant's label, page by page
//! to the last. Half a list is an error, never an answer.

use std::collections::BTreeSet;

use http::Method;
use rimward_proto::object::TENANT_LABEL;
use serde_json::Value;

use super::client::{Call, Connection, Identity};
use super::errors::CallError;
use super::paths::{Resource, encode};
use crate::core::ErrorKind;
use crate::core::effect::ListWork;
use crate::core::errors::{ApiError, Verb};
use crate::core::lost::Labelled;

/// Objects in a page: client-go's number; bounds what one answer costs both sides.
const PAGE: usize = 500;
/// Pages of one list: half a million objects. Whoever has more in one place is not believed to be one tenant.
const PAGES: usize = 1_000;
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The names of all namespaces, as the agent.
pub async fn namespaces(connection: &Connection) -> Result<BTreeSet<String>, ApiError> {
    let path = format!("{}?limit={PAGE}", Resource::new("", "v1", "namespaces").collection(""));
    let items =
        pages(connection, &Identity::Agent, &path).await.map_err(|error| error.classify(Verb::Get))?;
    let name = |item: &Value| item.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    Ok(items.iter().filter_map(name).collect())
}

/// All that carries the tenant's label in one place, as the tenant.
pub async fn labelled(
    connection: &Connection,
    resource: &Resource,
    work: &ListWork,
) -> Result<Vec<Labelled>, ApiError> {
    let who = Identity::account(&work.service_account)
        .ok_or_else(|| ApiError::new(ErrorKind::Forbidden, "the ServiceAccount is not namespace/name"))?;
    let selector = encode(&format!("{TENANT_LABEL}={}", work.tenant));
    let path = format!("{}?labelSelector={selector}&limit={PAGE}", resource.collection(&work.namespace));
    let items = pages(connection, &who, &path).await.map_err(|error| error.classify(Verb::Get))?;
    Ok(items.iter().filter_map(|item| Labelled::from_object(&work.group, &work.kind, item)).collect())
}

async fn pages(connection: &Connection, who: &Identity, base: &str) -> Result<Vec<Value>, CallError> {
    let (mut found, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let path =
            if next.is_empty() { base.to_owned() } else { format!("{base}&continue={}", encode(&next)) };
        let call = Call::new(Method::GET, path).accept(METADATA_LIST);
        let answer = connection.call_patiently(who, call).await?;
        let mut page: Value = serde_json::from_slice(&answer.body).map_err(|_| CallError::Shape("JSON"))?;
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => found.extend(items),
            // How some kinds write a list of nothing.
            Some(Value::Null) => {}
            _ => return Err(CallError::Shape("a list")),
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(token) => next = token.to_owned(),
            None => return Ok(found),
        }
    }
    Err(CallError::Shape("a list that ends"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{reply, serve, status};
    use serde_json::json;

    fn work() -> ListWork {
        ListWork {
            tenant: "shop".parse().unwrap(),
            service_account: "rimward-tenants/shop".into(),
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "shop".into(),
        }
    }

    fn object(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1",
            "labels": {"rimward.dev/tenant": "shop", "rimward.dev/app": "web"}}})
    }

    #[tokio::test]
    async fn every_page_as_the_tenant_and_metadata_alone() {
        let (connection, asked) = serve(|asked| match asked.uri.contains("continue=") {
            false => {
                reply(200, &json!({"metadata": {"continue": "more"}, "items": [object("a"), object("b")]}))
            }
            true => reply(200, &json!({"metadata": {}, "items": [object("c")]})),
        })
        .await;
        let maps = Resource::new("", "v1", "configmaps");
        let found = labelled(&connection, &maps, &work()).await.unwrap();
        let names: Vec<_> = found.iter().map(|one| one.observed.key.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let asked = asked.lock().unwrap();
        for one in asked.iter() {
            assert_eq!(one.headers["impersonate-user"], "system:serviceaccount:rimward-tenants:shop");
            assert!(one.headers["accept"].to_str().unwrap().contains("PartialObjectMetadataList"));
            assert!(one.uri.contains("labelSelector=rimward.dev%2Ftenant%3Dshop"), "{}", one.uri);
        }
    }

    #[tokio::test]
    async fn nothing_is_an_empty_list_and_what_is_no_list_is_an_error() {
        let maps = Resource::new("", "v1", "configmaps");
        let (connection, _) = serve(|_| reply(200, &json!({"metadata": {}, "items": null}))).await;
        assert_eq!(labelled(&connection, &maps, &work()).await.unwrap(), []);
        let (connection, _) = serve(|_| reply(200, &json!({"kind": "Status"}))).await;
        assert!(labelled(&connection, &maps, &work()).await.is_err());
    }

    #[tokio::test]
    async fn half_a_list_is_no_list() {
        let (connection, _) = serve(|asked| match asked.uri.contains("continue=") {
            false => reply(200, &json!({"metadata": {"continue": "more"}, "items": [object("a")]})),
            true => status(410, "Expired", "the continue parameter is too old"),
        })
        .await;
        let maps = Resource::new("", "v1", "configmaps");
        assert!(labelled(&connection, &maps, &work()).await.is_err());
        let (connection, _) = serve(|_| status(403, "Forbidden", "namespaces is forbidden")).await;
        assert_eq!(namespaces(&connection).await.unwrap_err().kind, ErrorKind::Forbidden);
    }
}
