//! Guardrails: what a tenant may not have stops the App that has it, and nothing else.

use super::world::{FLEET, World, app, id};

fn manifest(api: &str, kind: &str, namespace: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x{namespace}}}\n")
}

/// The code of the first thing that keeps an App with this manifest out, for the tenant of `fleet`.
fn verdict(fleet: &str, text: &str) -> Option<String> {
    let mut world = World::started();
    world.fleet("fleet.yaml", fleet);
    let namespaced = app("web", "{}").replace("  namespace: payments\n", "");
    world.file("web/rimward.yaml", &namespaced);
    world.file("web/cm.yaml", text);
    let step = world.step();
    let blocked = step.output.decided.apps[&id("payments/web")].blocked.clone();
    assert_eq!(blocked.is_some(), step.apps("us-1") == ["payments/web@1"], "{text}");
    blocked.map(|note| note.code)
}

fn platform() -> String {
    format!("{FLEET}  objects: {{allow: [\"*\"]}}\n  serviceAccount: rimward-tenants/platform\n")
}

#[test]
fn the_default_deny_list() {
    for (api, kind, namespace, code) in [
        ("v1", "ConfigMap", "payments", None),
        ("v1", "ConfigMap", "payments-eu", None),
        ("v1", "ConfigMap", "other", Some("RW4001")),
        ("v1", "ConfigMap", "", Some("RW4001")),
        ("v1", "Namespace", "", Some("RW4002")),
        ("v1", "Namespace", "payments", Some("RW3020")),
        ("v1", "PersistentVolume", "", Some("RW4002")),
        ("v1", "Endpoints", "payments", Some("RW4003")),
        ("v1", "ResourceQuota", "payments", Some("RW4003")),
        ("v1", "LimitRange", "payments", Some("RW4003")),
        ("discovery.k8s.io/v1", "EndpointSlice", "payments", Some("RW4003")),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "payments", Some("RW4003")),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "", Some("RW4002")),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", Some("RW4002")),
        ("apiregistration.k8s.io/v1", "APIService", "", Some("RW4002")),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", Some("RW4002")),
        ("certificates.k8s.io/v1", "CertificateSigningRequest", "", Some("RW4002")),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "", Some("RW4002")),
        ("scheduling.k8s.io/v1", "PriorityClass", "", Some("RW4002")),
        ("example.com/v1", "Thing", "payments", Some("RW4004")),
        ("apps/v1", "NoSuchKind", "payments", Some("RW4004")),
    ] {
        let text = manifest(api, kind, namespace);
        assert_eq!(verdict(FLEET, &text).as_deref(), code, "{kind} in {namespace:?}");
    }
}

#[test]
fn a_platform_tenant_may_have_them_but_only_in_its_namespaces() {
    for (api, kind, namespace, code) in [
        ("v1", "PersistentVolume", "", None),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "payments", None),
        ("v1", "ConfigMap", "other", Some("RW4001")),
    ] {
        assert_eq!(verdict(&platform(), &manifest(api, kind, namespace)).as_deref(), code, "{kind}");
    }
}

#[test]
fn reserved_namespaces_are_the_platforms() {
    let all = |fleet: &str| fleet.replace("[payments, payments-*]", "[\"*\"]");
    let text = manifest("v1", "ConfigMap", "kube-system");
    assert_eq!(verdict(&all(FLEET), &text).as_deref(), Some("RW4001"));
    assert_eq!(
        verdict(&all(FLEET), &manifest("v1", "ConfigMap", "rimward-tenants")).as_deref(),
        Some("RW4001")
    );
    assert_eq!(verdict(&all(&platform()), &text), None);
}

#[test]
fn token_secrets_are_denied() {
    let text = manifest("v1", "Secret", "payments") + "type: kubernetes.io/service-account-token\n";
    assert_eq!(verdict(FLEET, &text).as_deref(), Some("RW4003"));
    assert_eq!(verdict(FLEET, &manifest("v1", "Secret", "payments")), None);
    assert_eq!(verdict(&format!("{FLEET}  objects: {{allow: [Secret]}}\n"), &text), None);
}

#[test]
fn a_denied_kind_is_denied_to_all_that_is_allowed_too() {
    let text = manifest("networking.k8s.io/v1", "Ingress", "payments");
    assert_eq!(verdict(FLEET, &text), None);
    for deny in ["Ingress.networking.k8s.io", "Ingress", "\"*\""] {
        let fleet = format!("{FLEET}  objects: {{allow: [Ingress.networking.k8s.io], deny: [{deny}]}}\n");
        assert_eq!(verdict(&fleet, &text).as_deref(), Some("RW4003"), "{deny}");
    }
}

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}}
---
";

#[test]
fn custom_kinds_wait_for_a_crd_that_may_be_installed() {
    let thing = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x, namespace: payments}\n";
    assert_eq!(verdict(&platform(), thing).as_deref(), Some("RW4004"));
    assert_eq!(verdict(&platform(), &format!("{CRD}{thing}")), None);
    assert_eq!(
        verdict(&platform(), &format!("{}{thing}", CRD.replace("Namespaced", "Cluster"))).as_deref(),
        Some("RW3020")
    );
    // A tenant that may not install CRDs does not say what a kind is either.
    let mut world = World::started();
    world.file("db/crd.yaml", CRD);
    world.file("web/cm.yaml", thing);
    let step = world.step();
    let blocked = |app: &str| step.output.decided.apps[&id(app)].blocked.clone().unwrap().code;
    assert_eq!((blocked("payments/db").as_str(), blocked("payments/web").as_str()), ("RW4002", "RW4004"));
}

#[test]
fn a_crd_that_changes_changes_what_waits_for_it() {
    let thing = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x, namespace: payments}\n";
    let mut world = World::started();
    world.fleet("fleet.yaml", &platform());
    world.file("web/cm.yaml", thing);
    let blocked = |world: &mut World, crd: &str| {
        world.file("db/crd.yaml", crd);
        world.step().output.decided.apps[&id("payments/web")].blocked.clone().map(|note| note.code)
    };
    assert_eq!(blocked(&mut world, "---").as_deref(), Some("RW4004"));
    assert_eq!(blocked(&mut world, CRD), None);
    let cluster_scoped = CRD.replace("Namespaced", "Cluster");
    assert_eq!(blocked(&mut world, &cluster_scoped).as_deref(), Some("RW3020"));
    let both = format!("{CRD}{}", cluster_scoped.replace("things", "others"));
    assert_eq!(blocked(&mut world, &both).as_deref(), Some("RW4004"), "they do not agree");
}

#[test]
fn an_account_of_ones_own_allows_nothing_by_itself() {
    let fleet = format!("{FLEET}  serviceAccount: payments/own\n");
    assert_eq!(verdict(&fleet, &manifest("v1", "PersistentVolume", "")).as_deref(), Some("RW4002"));
    let allowed = format!("{fleet}  objects: {{allow: [PersistentVolume]}}\n");
    assert_eq!(verdict(&allowed, &manifest("v1", "PersistentVolume", "")), None);
}

#[test]
fn an_apps_namespace_fills_and_checks_and_never_rewrites() {
    let mut world = World::started();
    let namespace = |world: &World| world.objects("us-1", "payments/web")[0]["metadata"]["namespace"].clone();
    assert_eq!(namespace(&world), "payments");
    world.file("web/cm.yaml", &manifest("v1", "ConfigMap", "payments-eu"));
    let step = world.step();
    assert_eq!(step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap().code, "RW4001");
    world
        .file("web/rimward.yaml", &app("web", "{}").replace("namespace: payments", "namespace: payments-eu"));
    world.step();
    assert_eq!(namespace(&world), "payments-eu");
}

#[test]
fn a_bare_kind_means_every_group_for_hub_and_spoke() {
    let own = "  serviceAccount: rimward-tenants/payments\n";
    let role = manifest("rbac.authorization.k8s.io/v1", "Role", "payments");
    let cluster_role = manifest("rbac.authorization.k8s.io/v1", "ClusterRole", "");
    let fleet = |allow: &str, more: &str| format!("{FLEET}  objects: {{allow: [{allow}]}}\n{more}");
    assert_eq!(verdict(&fleet("Role", ""), &role), None);
    assert_eq!(verdict(&fleet("ClusterRole", own), &cluster_role), None);
    let load = rimward_hub::core::files::load_fleet;
    let tree = |text: &str| rimward_hub::core::model::SourceTree {
        files: [("f.yaml".to_owned(), text.as_bytes().into())].into(),
        ..Default::default()
    };
    let notes = load(&tree(&fleet("ClusterRole", "")), &Default::default()).notes;
    assert!(notes.iter().any(|note| note.code == "RW3005"), "a role is bound in namespaces only: {notes:?}");
}
