//! What is signed, and what is not. Everything here is made by hand, as no
//! planning would.

use rimward_proto::bundle::IndexEntry;
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, Takeover};

use super::*;
use crate::core::files::load_fleet;
use crate::core::model::SourceTree;

const TENANTS: &str = "
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: payments}
spec:
  sources: []
  clusters: {}
  namespaces: [payments, payments-*, kube-*]
  objects: {allow: [Role.rbac.authorization.k8s.io], deny: [Ingress.networking.k8s.io]}
---
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: platform}
spec: {sources: [], clusters: {}, namespaces: [\"*\"], objects: {allow: [\"*\"]}, serviceAccount: rimward-tenants/platform}
";

fn tenants() -> BTreeMap<TenantName, Tenant> {
    let files = [("fleet.yaml".to_owned(), TENANTS.as_bytes().into())].into();
    let load = load_fleet(&SourceTree { files, ..SourceTree::default() }, &BTreeMap::new());
    assert_eq!(load.notes, []);
    load.policy.tenants
}

fn key(text: &str) -> ObjectKey {
    let (kind, rest) = text.split_once('/').unwrap();
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
    ObjectKey::new(group, kind, namespace, name)
}

struct World {
    tenants: BTreeMap<TenantName, Tenant>,
    before: BTreeMap<ClusterName, Arc<Plan>>,
    content: BTreeMap<Digest, Arc<[u8]>>,
    inspector: Inspector,
}

impl World {
    fn new() -> Self {
        Self {
            tenants: tenants(),
            before: BTreeMap::new(),
            content: BTreeMap::new(),
            inspector: Inspector::default(),
        }
    }

    /// An entry as planning would make it, with these objects.
    fn entry(&mut self, id: &str, objects: &[&str]) -> PlanBundle {
        let entries = objects.iter().map(|text| IndexEntry {
            key: key(text),
            version: "v1".to_owned(),
            sha256: Digest::of(text.as_bytes()),
            bytes: 10,
        });
        let bytes = BundleIndex::new(entries.collect()).unwrap().to_bytes().unwrap();
        let (digest, id) = (Digest::of(&bytes), id.parse::<AppId>().unwrap());
        self.content.insert(digest, bytes.into());
        let tenant = &self.tenants[&id.tenant];
        let own = tenant.service_account.clone();
        PlanBundle {
            tenant: id.tenant,
            app: id.app,
            digest,
            bytes: 10 * objects.len() as u64,
            objects: objects.len() as u64,
            commit: "c".to_owned(),
            role: own.is_none().then(|| tenant.role.clone()),
            service_account: own.unwrap_or_else(|| format!("rimward-tenants/{}", tenant.name)),
            namespaces: tenant.namespaces.clone(),
            allow: tenant.allow.clone(),
            deny: tenant.deny.clone(),
            depends_on: vec![],
            drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
            takeover: Takeover::Refuse,
            health: Health { timeout_seconds: 300, cel: vec![] },
            deletion: Deletion { max_per_plan: 20, protect: vec![] },
            formerly: vec![],
        }
    }

    fn inspect(&mut self, plans: &BTreeMap<ClusterName, Arc<Plan>>) -> Vec<Refused> {
        let content = &self.content;
        let evidence = Evidence {
            tenants: &self.tenants,
            before: &self.before,
            plans,
            index: &|digest| content.get(digest).cloned(),
        };
        self.inspector.inspect(&evidence)
    }

    /// Why one entry is not signed.
    fn why(&mut self, entry: PlanBundle) -> Option<String> {
        self.inspect(&plans(&[("eu-1", vec![entry])])).pop().map(|refused| refused.why)
    }
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

fn plans(of: &[(&str, Vec<PlanBundle>)]) -> BTreeMap<ClusterName, Arc<Plan>> {
    let plan = |bundles: &Vec<PlanBundle>| Plan { bundles: bundles.clone(), ..Plan::default() };
    of.iter().map(|(name, bundles)| (cluster(name), Arc::new(plan(bundles)))).collect()
}

#[test]
fn objects_that_a_tenant_may_have_and_others() {
    for (object, wanted) in [
        ("ConfigMap/payments/a", None),
        ("ConfigMap/payments-eu/a", None),
        ("Deployment.apps/payments/a", None),
        ("Thing.example.com/payments/a", None),
        ("Role.rbac.authorization.k8s.io/payments/a", None),
        ("ConfigMap/other/a", Some("the namespace is not the tenant's")),
        ("ConfigMap/payment/a", Some("the namespace is not the tenant's")),
        ("ConfigMap/kube-system/a", Some("the namespace is the platform's")),
        ("RoleBinding.rbac.authorization.k8s.io/payments/a", Some("denied to tenants by default")),
        ("Endpoints/payments/a", Some("denied to tenants by default")),
        ("EndpointSlice.discovery.k8s.io/payments/a", Some("denied to tenants by default")),
        ("LimitRange/payments/a", Some("denied to tenants by default")),
        ("ResourceQuota/payments/a", Some("denied to tenants by default")),
        ("Ingress.networking.k8s.io/payments/a", Some("denied to the tenant")),
        ("Namespace/a", Some("it is the cluster's")),
        ("Thing.example.com/a", Some("it is the cluster's")),
        ("ClusterRole.rbac.authorization.k8s.io/a", Some("it is the cluster's")),
        // The namespace of what has none would be dropped, and the object be the cluster's.
        ("Namespace/payments/a", Some("the kind has no namespace")),
        ("ClusterRoleBinding.rbac.authorization.k8s.io/payments/a", Some("the kind has no namespace")),
    ] {
        let mut world = World::new();
        let entry = world.entry("payments/web", &["ConfigMap/payments/ok", object]);
        let why = world.why(entry);
        assert_eq!(why.is_some(), wanted.is_some(), "{object}: {why:?}");
        assert!(why.is_none_or(|why| why.starts_with(object) && why.contains(wanted.unwrap())), "{object}");
    }
    let mut world = World::new();
    let all = [
        "Namespace/a",
        "ClusterRole.rbac.authorization.k8s.io/a",
        "ConfigMap/kube-system/a",
        "Endpoints/x/a",
    ];
    let entry = world.entry("platform/base", &all);
    assert_eq!(world.why(entry), None);
}

#[test]
fn an_entry_says_no_more_than_the_tenants_document() {
    type Change = fn(&mut PlanBundle);
    let changes: [(Change, Option<&str>); 18] = [
        (|_| {}, None),
        (|entry| entry.namespaces = vec!["payments".to_owned()], None),
        (|entry| entry.namespaces.push("payments-eu-*".to_owned()), None),
        (|entry| entry.allow.clear(), None),
        (|entry| entry.deny.push("Secret".to_owned()), None),
        (|entry| entry.deny = vec!["*".to_owned()], Some("the kind is denied")),
        (|entry| entry.namespaces.push("payment*".to_owned()), Some("namespace payment* is not")),
        (|entry| entry.namespaces.push("*".to_owned()), Some("namespace * is not")),
        (|entry| entry.namespaces.push("other".to_owned()), Some("namespace other is not")),
        (|entry| entry.namespaces.clear(), Some("the namespace is not the tenant's")),
        (|entry| entry.allow.push("*".to_owned()), Some("* is allowed")),
        (|entry| entry.allow.push("Role".to_owned()), Some("Role is allowed")),
        (|entry| entry.deny.clear(), Some("Ingress.networking.k8s.io is denied by")),
        (|entry| entry.role = Some("admin".to_owned()), Some("account rimward-tenants/payments is not")),
        (|entry| entry.role = None, Some("account rimward-tenants/payments is not")),
        (
            |entry| entry.service_account = "rimward-tenants/platform".to_owned(),
            Some("platform is not the tenant's"),
        ),
        (|entry| entry.objects = 2, Some("of another size")),
        (|entry| entry.digest = Digest::of(b"else"), Some("its index is not at hand")),
    ];
    for (number, (change, wanted)) in changes.into_iter().enumerate() {
        let mut world = World::new();
        let mut entry = world.entry("payments/web", &["ConfigMap/payments/a"]);
        change(&mut entry);
        let why = world.why(entry);
        assert_eq!(why.is_some(), wanted.is_some(), "{number}: {why:?}");
        assert!(why.as_ref().is_none_or(|why| why.contains(wanted.unwrap())), "{number}: {why:?}");
    }
    let mut world = World::new();
    let mut entry = world.entry("payments/web", &["ConfigMap/payments/a"]);
    world.content.insert(entry.digest, b"[]".as_slice().into());
    assert!(world.why(entry.clone()).unwrap().contains("not what the digest says"));
    entry.tenant = TenantName::new("nobody").unwrap();
    assert_eq!(world.why(entry).as_deref(), Some("tenant nobody has no document"));
}

#[test]
fn each_cluster_by_itself_and_what_is_there_already_not_again() {
    let mut world = World::new();
    let good = world.entry("payments/web", &["ConfigMap/payments/a"]);
    let bad = world.entry("payments/db", &["ConfigMap/other/a"]);
    let news = plans(&[
        ("ap-1", vec![bad.clone()]),
        ("eu-1", vec![good.clone()]),
        ("us-1", vec![bad.clone(), good.clone()]),
    ]);
    let refused = world.inspect(&news);
    let clusters: Vec<_> = refused.iter().flat_map(|refused| refused.clusters.clone()).collect();
    assert_eq!(clusters, [cluster("ap-1"), cluster("us-1")]);
    assert!(refused.iter().all(|refused| refused.app == bad.id()));
    // What was signed for a cluster, before its tenant got less, gives nothing new there; elsewhere it does.
    world.before = plans(&[("eu-1", vec![bad.clone()])]);
    let mut other = bad.clone();
    other.commit = "d".to_owned();
    assert_eq!(world.inspect(&plans(&[("eu-1", vec![other.clone(), good.clone()])])), []);
    assert_eq!(world.inspect(&plans(&[("us-1", vec![other])])).len(), 1);
}

#[test]
fn it_costs_only_for_what_is_new() {
    let mut world = World::new();
    let web = world.entry("payments/web", &["ConfigMap/payments/a"]);
    let names: Vec<String> = (0..50).map(|n| format!("c{n}")).collect();
    let on_all = |entries: &[PlanBundle]| {
        let plan = Arc::new(Plan { bundles: entries.to_vec(), ..Plan::default() });
        names.iter().map(|name| (cluster(name), plan.clone())).collect::<BTreeMap<_, _>>()
    };
    let first = on_all(std::slice::from_ref(&web));
    assert_eq!(world.inspect(&first), []);
    assert_eq!(world.inspector.looked_at, 1, "once for all clusters");
    world.before = first.clone();
    assert_eq!(world.inspect(&first), []);
    assert_eq!(world.inspector.looked_at, 1, "nothing is new");
    let mut slower = web.clone();
    slower.health.timeout_seconds = 600;
    let db = world.entry("payments/db", &["ConfigMap/payments/b"]);
    assert_eq!(world.inspect(&on_all(&[db.clone(), slower])), []);
    assert_eq!(world.inspector.looked_at, 2, "App db alone is new");
    // Without a memory of what is in force, what was right is still known, until the tenant's document says otherwise.
    world.before.clear();
    assert_eq!(world.inspect(&on_all(&[db.clone(), web.clone()])), []);
    assert_eq!(world.inspector.looked_at, 2);
    let payments = TenantName::new("payments").unwrap();
    world.tenants.get_mut(&payments).unwrap().namespaces = vec!["payments-*".to_owned()];
    assert_eq!(world.inspect(&on_all(&[db, web])).len(), 1);
    assert_eq!(world.inspector.looked_at, 3);
}
