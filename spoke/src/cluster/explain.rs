//! What Kubernetes says about one object: its namespace's events, and its pods
//! when those are silent. Asked as the tenant; what it may not see is left out.

use http::Method;
use serde_json::Value;

use super::calls::{At, get};
use super::client::{Call, Connection, Identity};
use super::paths::{Resource, encode};
use crate::core::effect::ExplainWork;
use crate::core::health::explain::{pod_selector, sum_up};
use crate::reconcile::limiter::Limiter;

/// Events read at most: of a namespace with more warnings than these, some will say why.
const EVENTS: usize = 500;
/// Pods read at most: those of one object fail alike.
const PODS: usize = 20;
/// Where events about cluster-scoped objects are.
const CLUSTER_EVENTS: &str = "default";

/// The parts of what Kubernetes says, each `Reason: message`; none if it cannot be asked or may not be.
pub async fn explain(
    connection: &Connection,
    who: &Identity,
    resource: &Resource,
    limiter: &Limiter,
    work: &ExplainWork,
) -> Option<Vec<String>> {
    let list = async |path: String| {
        limiter.wait().await;
        items(connection, who, path).await
    };
    let key = &work.target.key;
    let namespace = if key.namespace.is_empty() { CLUSTER_EVENTS } else { &key.namespace };
    let core = |plural: &str| Resource::new("", "v1", plural).collection(namespace);
    // What an object made has names that no selector can say.
    let about =
        if work.has_pods { "type=Warning".to_owned() } else { format!("involvedObject.uid={}", work.uid) };
    let events = list(format!("{}?fieldSelector={}&limit={EVENTS}", core("events"), encode(&about))).await;
    let said = sum_up(work, events.as_deref().unwrap_or_default(), &[]);
    if !said.is_empty() || !work.has_pods {
        return events.map(|_| said);
    }
    limiter.wait().await;
    let at = At { resource, namespace: &key.namespace, name: &key.name };
    let selector = get(connection, who, at).await.ok().flatten().as_ref().and_then(pod_selector);
    let Some(selector) = selector else { return events.map(|_| said) };
    let pods = list(format!("{}?labelSelector={}&limit={PODS}", core("pods"), encode(&selector))).await;
    let nothing = events.is_none() && pods.is_none();
    (!nothing).then(|| sum_up(work, &[], &pods.unwrap_or_default()))
}

async fn items(connection: &Connection, who: &Identity, path: String) -> Option<Vec<Value>> {
    let answer = connection.call(who, Call::new(Method::GET, path)).await.ok()?;
    let mut list: Value = serde_json::from_slice(&answer.body).ok()?;
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::effect::Target;
    use crate::core::health::Judge;
    use crate::scripted::{Asked, reply, serve, status};
    use axum::response::Response;
    use rimward_proto::ObjectKey;
    use serde_json::json;

    async fn ask(
        kind: &str,
        answer: impl Fn(&Asked) -> Response + Clone + Send + Sync + 'static,
    ) -> (Option<Vec<String>>, Vec<String>) {
        let (connection, asked) = serve(answer).await;
        let has_pods = kind == "Deployment";
        let group = if has_pods { "apps" } else { "" }.to_owned();
        let resource = Resource::new(&group, "v1", &format!("{}s", kind.to_lowercase()));
        let key = ObjectKey::new(group, kind, "shop", "web");
        let service_account = "rimward-tenants/shop".to_owned();
        let who = Identity::account(&service_account).unwrap();
        let target = Target { key, version: "v1".into(), service_account, judge: Judge::default() };
        let since = "2026-03-01T12:00:00Z".parse().unwrap();
        let work = ExplainWork { target, uid: "u-1".into(), since, has_pods };
        let said = explain(&connection, &who, &resource, &Limiter::new(0, 0), &work).await;
        let asked = asked.lock().unwrap();
        let user = "system:serviceaccount:rimward-tenants:shop";
        assert!(asked.iter().all(|asked| asked.headers["impersonate-user"] == user), "as the tenant only");
        (said, asked.iter().map(|asked| asked.uri.clone()).collect())
    }

    fn events(uid: &str) -> Response {
        let event = json!({"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota",
            "lastTimestamp": "2026-03-01T12:01:00Z", "involvedObject": {"name": "web", "uid": uid}});
        reply(200, &json!({"items": [event]}))
    }

    #[tokio::test]
    async fn one_request_when_events_say_enough() {
        let (said, asked) = ask("Deployment", |_| events("u-1")).await;
        assert_eq!(said.unwrap(), ["FailedCreate: exceeded quota"]);
        assert_eq!(asked, ["/api/v1/namespaces/shop/events?fieldSelector=type%3DWarning&limit=500"]);
        let (said, asked) = ask("Service", |_| events("u-2")).await;
        assert_eq!(said.unwrap(), Vec::<String>::new(), "a namesake's");
        assert_eq!(
            asked,
            ["/api/v1/namespaces/shop/events?fieldSelector=involvedObject.uid%3Du-1&limit=500"]
        );
    }

    #[tokio::test]
    async fn pods_when_events_are_silent() {
        let (said, asked) = ask("Deployment", |asked| match asked.uri.split('?').next().unwrap() {
            "/apis/apps/v1/namespaces/shop/deployments/web" => {
                reply(200, &json!({"spec": {"selector": {"matchLabels": {"app": "web"}}}}))
            }
            "/api/v1/namespaces/shop/pods" => {
                let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off"});
                let statuses = json!([{"name": "web", "state": {"waiting": waiting}}]);
                reply(200, &json!({"items": [{"status": {"containerStatuses": statuses}}]}))
            }
            _ => reply(200, &json!({"items": []})),
        })
        .await;
        assert_eq!(said.unwrap(), ["ImagePullBackOff: container web: Back-off"]);
        assert_eq!(asked[2], "/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb&limit=20");
    }

    #[tokio::test]
    async fn who_may_not_ask_is_told_nothing() {
        for kind in ["Deployment", "Service"] {
            let (said, _) = ask(kind, |_| status(403, "Forbidden", "cannot list resource \"events\"")).await;
            assert_eq!(said, None);
        }
    }
}
