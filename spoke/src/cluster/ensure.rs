//! What a tenant needs before anything is applied as it (apply rule 10), made as
//! the agent: namespaces, its ServiceAccount, and the RoleBindings that give the
//! account its role. Reads first, so that nothing missing means nothing written;
//! an existing namespace is never changed.

use std::time::{Duration, Instant};

use http::Method;
use rimward_proto::object::TENANTS_NAMESPACE;
use serde_json::{Value, json};

use super::calls::{At, create, get};
use super::client::{Call, Connection, Identity};
use super::errors::CallError;
use super::paths::Resource;
use crate::core::effect::TenantSetup;
use crate::core::errors::Verb;
use crate::core::event::TenantReady;
use crate::core::{ApiError, ErrorKind};

/// Not the owner label of applied objects: what is made here is the spoke's own and in no ledger.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Who made it.
const MADE_BY: &str = "rimward";
/// An API server's authorizer sees a new binding through its own watch, a few milliseconds late; requests made before
/// that are refused as forbidden, which is not retried fast.
const AUTHORIZER_LAG: Duration = Duration::from_secs(1);
/// Between two looks at the authorizer.
const AUTHORIZER_POLL: Duration = Duration::from_millis(10);

/// Makes what is missing, and reports which namespaces do not exist, and which cannot be used and why. Without the
/// account nothing can; a namespace stands for itself.
pub async fn tenant(connection: &Connection, setup: &TenantSetup) -> Result<TenantReady, ApiError> {
    let account = account_of(setup)?;
    let mut ready = TenantReady::default();
    // The account's own namespace may be one that is to be made.
    for namespace in &setup.create {
        if let Err(error) = ensure_namespace(connection, namespace).await {
            ready.broken.insert(namespace.clone(), refused(error));
        }
    }
    for namespace in setup.used.difference(&setup.create) {
        match exists(connection, namespace).await {
            Ok(true) => {}
            Ok(false) => _ = ready.missing.insert(namespace.clone()),
            Err(error) => _ = ready.broken.insert(namespace.clone(), refused(error)),
        }
    }
    ready.was_there = ensure_account(connection, setup, &account).await?;
    let Some(role) = &setup.role else { return Ok(ready) };
    for namespace in setup.create.union(&setup.used) {
        if ready.missing.contains(namespace) || ready.broken.contains_key(namespace) {
            continue;
        }
        if let Err(error) = ensure_binding(connection, setup, &account, role, namespace).await {
            ready.broken.insert(namespace.clone(), refused(error));
        }
    }
    Ok(ready)
}

struct Account {
    namespace: String,
    name: String,
}

fn account_of(setup: &TenantSetup) -> Result<Account, ApiError> {
    match Identity::account(&setup.service_account) {
        Some(Identity::Account { namespace, name }) => Ok(Account { namespace, name }),
        _ => Err(ApiError::new(ErrorKind::Forbidden, "the ServiceAccount is not of the form namespace/name")),
    }
}

fn refused(error: CallError) -> ApiError {
    error.classify(Verb::Get)
}

async fn exists(connection: &Connection, namespace: &str) -> Result<bool, CallError> {
    let at = At { resource: &namespaces(), namespace: "", name: namespace };
    Ok(get(connection, &Identity::Agent, at).await?.is_some())
}

async fn ensure_namespace(connection: &Connection, name: &str) -> Result<(), CallError> {
    if exists(connection, name).await? {
        return Ok(());
    }
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    create(connection, &Identity::Agent, namespaces().collection(""), &body).await
}

/// The account is made only in `rimward-tenants`, and only for a tenant that has a role there; elsewhere its owner
/// makes it. One that is not there is an error, because a request as an account that does not exist would succeed or
/// fail by chance. True of one that a spoke has made before.
async fn ensure_account(
    connection: &Connection,
    setup: &TenantSetup,
    account: &Account,
) -> Result<bool, ApiError> {
    let accounts = Resource::new("", "v1", "serviceaccounts");
    let at = At { resource: &accounts, namespace: &account.namespace, name: &account.name };
    let ours = account.namespace == TENANTS_NAMESPACE && setup.role.is_some();
    match get(connection, &Identity::Agent, at).await {
        Ok(Some(live)) => {
            let by = live.pointer("/metadata/labels").and_then(|labels| labels.get(MANAGED_BY));
            Ok(ours && by.is_some_and(|by| by == MADE_BY))
        }
        Ok(None) if ours => {
            let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                "name": account.name, "namespace": account.namespace,
                "labels": {MANAGED_BY: MADE_BY}}, "automountServiceAccountToken": false});
            let path = accounts.collection(&account.namespace);
            create(connection, &Identity::Agent, path, &body).await.map_err(refused).map(|()| false)
        }
        Ok(None) => {
            let text =
                format!("ServiceAccount {} does not exist; its owner has to make it", setup.service_account);
            Err(ApiError::new(ErrorKind::Forbidden, text))
        }
        Err(error) => Err(refused(error)),
    }
}

fn namespaces() -> Resource {
    Resource::new("", "v1", "namespaces")
}

async fn ensure_binding(
    connection: &Connection,
    setup: &TenantSetup,
    account: &Account,
    role: &str,
    namespace: &str,
) -> Result<(), CallError> {
    let bindings = Resource::new("rbac.authorization.k8s.io", "v1", "rolebindings");
    let name = format!("rimward-{}", setup.tenant);
    let at = At { resource: &bindings, namespace, name: &name };
    let wanted = binding(account, role, namespace, &name);
    match get(connection, &Identity::Agent, at).await? {
        Some(live) if same(&live, &wanted) => return Ok(()),
        Some(live) => {
            // A role that may not be given must not cost the one that was: the server checks this before it is removed.
            let next = binding(account, role, namespace, &format!("{name}-next"));
            let path = format!("{}?dryRun=All", bindings.collection(namespace));
            create(connection, &Identity::Agent, path, &next).await?;
            remove(connection, at, &live).await?;
        }
        None => {}
    }
    let before = rules(connection, account, namespace).await;
    create(connection, &Identity::Agent, bindings.collection(namespace), &wanted).await?;
    let deadline = Instant::now() + AUTHORIZER_LAG;
    while Instant::now() < deadline
        && before.is_some()
        && rules(connection, account, namespace).await == before
    {
        tokio::time::sleep(AUTHORIZER_POLL).await;
    }
    Ok(())
}

/// How many rules the authorizer has for the account in the namespace; none if it does not say.
async fn rules(connection: &Connection, account: &Account, namespace: &str) -> Option<usize> {
    let who = Identity::Account { namespace: account.namespace.clone(), name: account.name.clone() };
    let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace}});
    let path = Resource::new("authorization.k8s.io", "v1", "selfsubjectrulesreviews").collection("");
    let call = Call::new(Method::POST, path).body("application/json", body.to_string().into_bytes());
    let answer = connection.call_patiently(&who, call).await.ok()?;
    let review: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(review.pointer("/status/resourceRules")?.as_array()?.len())
}

fn binding(account: &Account, role: &str, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY: "rimward"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
    })
}

/// `roleRef` cannot be changed, so a binding to another role is made again.
async fn remove(connection: &Connection, at: At<'_>, live: &Value) -> Result<(), CallError> {
    let text = |pointer| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (uid, version) = (text("/metadata/uid"), text("/metadata/resourceVersion"));
    super::calls::delete(connection, &Identity::Agent, at, uid, version).await
}

fn same(live: &Value, wanted: &Value) -> bool {
    let part = |object: &Value, pointer: &str| object.pointer(pointer).cloned();
    let subject = |object: &Value| {
        let text = |field: &str| part(object, &format!("/subjects/0/{field}"));
        let one =
            object.get("subjects").and_then(Value::as_array).is_some_and(|subjects| subjects.len() == 1);
        (one, text("kind"), text("name"), text("namespace"))
    };
    part(live, "/roleRef") == part(wanted, "/roleRef") && subject(live) == subject(wanted)
}

/// The UID of the kube-system namespace: which cluster this is.
pub async fn cluster_uid(connection: &Connection) -> Result<String, CallError> {
    let at = At { resource: &namespaces(), namespace: "", name: "kube-system" };
    let object = get(connection, &Identity::Agent, at).await?;
    let uid = object.as_ref().and_then(|object| object.pointer("/metadata/uid")?.as_str());
    uid.map(str::to_owned).ok_or(CallError::Shape("a namespace kube-system with a uid"))
}

/// The server's version, as `v1.37.2`.
pub async fn server_version(connection: &Connection) -> Result<String, CallError> {
    let answer = connection.call(&Identity::Agent, Call::new(Method::GET, "/version".into())).await?;
    let value: Value = serde_json::from_slice(&answer.body).map_err(|_| CallError::Shape("JSON"))?;
    let version = value.get("gitVersion").and_then(Value::as_str);
    version.map(str::to_owned).ok_or(CallError::Shape("a version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> TenantSetup {
        TenantSetup {
            tenant: rimward_proto::TenantName::new("shop").unwrap(),
            service_account: "rimward-tenants/shop".into(),
            role: Some("edit".into()),
            create: Default::default(),
            used: Default::default(),
        }
    }

    #[test]
    fn a_binding_with_another_role_or_subject_is_another() {
        let setup = setup();
        let account = account_of(&setup).unwrap();
        let wanted = binding(&account, "edit", "shop", "rimward-shop");
        let mut live = wanted.clone();
        live["metadata"]["uid"] = json!("u");
        live["subjects"][0]["apiGroup"] = json!("");
        assert!(same(&live, &wanted));
        live["roleRef"]["name"] = json!("admin");
        assert!(!same(&live, &wanted));
        let mut more = wanted.clone();
        more["subjects"].as_array_mut().unwrap().push(json!({"kind": "User", "name": "eve"}));
        assert!(!same(&more, &wanted));
    }
}
