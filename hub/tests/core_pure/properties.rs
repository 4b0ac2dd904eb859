//! Properties: whatever edits are made in whatever order, the same inputs give
//! the same bytes, the cache never shows, and nothing goes that was not removed.
//! (Most of what must hold is checked by the world after each step.)

use proptest::prelude::*;
use rimward_hub::core::files::load_fleet;
use rimward_hub::core::guardrails::{check, kind_allowed, matches_namespace, namespace_allowed};
use rimward_hub::core::model::{SourceTree, Tenant};
use rimward_hub::core::scope::Scope;
use rimward_hub::core::yaml;
use rimward_hub::render::RenderedObject;
use rimward_proto::{Digest, ObjectKey, TenantName};

use super::rails::{RAILS, some_rail};
use super::world::{FLEET, World, app, cluster, config_map, id, says_what_to_do, source};

/// One thing that can happen to a fleet.
#[derive(Debug, Clone)]
enum Edit {
    Manifest(usize, u8),
    NoManifest(usize),
    App(usize, usize),
    NoApp(usize),
    BreakApp(usize),
    Fleet(usize),
    Rail(usize),
    Unread(bool),
    Clear(usize, usize),
    ApproveAll,
    Enroll,
}

const APPS: [&str; 4] = ["web", "db", "job", "api"];
const SELECTORS: [&str; 4] =
    ["{}", "{names: [us-1]}", "{matchLabels: {region: us}}", "{matchLabels: {env: none}}"];
const CLUSTERS: [&str; 3] = ["eu-1", "us-1", "us-2"];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let app = 0..APPS.len();
    let edit = prop_oneof![
        4 => (app.clone(), 0..3_u8).prop_map(|(app, value)| Edit::Manifest(app, value)),
        1 => app.clone().prop_map(Edit::NoManifest),
        4 => (app.clone(), 0..SELECTORS.len()).prop_map(|(app, selector)| Edit::App(app, selector)),
        2 => app.clone().prop_map(Edit::NoApp),
        1 => app.clone().prop_map(Edit::BreakApp),
        2 => (0..7_usize).prop_map(Edit::Fleet),
        3 => (0..RAILS).prop_map(Edit::Rail),
        1 => any::<bool>().prop_map(Edit::Unread),
        2 => (0..CLUSTERS.len(), app).prop_map(|(cluster, app)| Edit::Clear(cluster, app)),
        1 => Just(Edit::ApproveAll),
        1 => Just(Edit::Enroll),
    ];
    prop::collection::vec(edit, 1..25)
}

fn fleet(variant: usize) -> String {
    match variant {
        0 => FLEET.to_owned(),
        1 => FLEET.replace("us-1", "us-2"),
        2 => FLEET.replace("name: payments", "name: other"),
        3 => FLEET.replace("clusters: {}", "clusters: {matchLabels: {region: eu}}"),
        4 => format!("{FLEET}  quota: {{objects: 1}}\n"),
        5 => format!("{FLEET}  quota: {{objects: 2, bytes: 1Ki}}\n"),
        _ => FLEET.replace("namespaces:", "namespaces"),
    }
}

struct Editor {
    world: World,
    unread: Option<super::world::Files>,
}

impl Editor {
    fn apply(&mut self, edit: &Edit) {
        let world = &mut self.world;
        let mut put = |path: String, text: Option<String>| {
            let Some(Some(files)) = world.sources.get_mut(&source("payments/apps")) else { return };
            match text {
                Some(text) => drop(files.insert(path, text.into_bytes().into())),
                None => drop(files.remove(&path)),
            }
        };
        match edit {
            // Two Apps share a name of an object now and then, to quarrel over it.
            Edit::Manifest(n, value) => {
                let name = if *value == 2 { "shared" } else { APPS[*n] };
                put(format!("{}/cm.yaml", APPS[*n]), Some(config_map(name, &value.to_string())));
            }
            Edit::NoManifest(n) => put(format!("{}/cm.yaml", APPS[*n]), None),
            Edit::App(n, s) => put(format!("{}/rimward.yaml", APPS[*n]), Some(app(APPS[*n], SELECTORS[*s]))),
            Edit::NoApp(n) => put(format!("{}/rimward.yaml", APPS[*n]), None),
            Edit::BreakApp(n) => put(format!("{}/rimward.yaml", APPS[*n]), Some("spec: [".to_owned())),
            Edit::Rail(number) => world.fleet("rails.yaml", &some_rail(*number)),
            Edit::Fleet(variant) => world.fleet("fleet.yaml", &fleet(*variant)),
            Edit::Unread(true) => {
                let files = world.sources.insert(source("payments/apps"), None).flatten();
                self.unread = files.or(self.unread.take());
            }
            Edit::Unread(false) => {
                if let Some(files) = self.unread.take() {
                    world.sources.insert(source("payments/apps"), Some(files));
                }
            }
            Edit::Clear(c, n) => {
                let (on, app) = (cluster(CLUSTERS[*c]), id(&format!("payments/{}", APPS[*n])));
                let tombstone =
                    world.previous.get(&on).is_some_and(|plan| plan.removed.iter().any(|r| r.id() == app));
                world.cleared = Default::default();
                if tombstone {
                    world.cleared.entry(on).or_default().insert(app);
                }
            }
            Edit::ApproveAll => {}
            Edit::Enroll => world.enroll("us-2"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// After any edits: the invariants of the world hold (a cache changes nothing, no tombstone without a parsed
    /// absence, nothing outside the namespaces), and planning again changes nothing and costs nothing.
    #[test]
    fn any_history_is_safe_and_settles(edits in edits()) {
        let mut editor = Editor { world: World::started(), unread: None };
        for edit in &edits {
            editor.apply(edit);
            let holds = editor.world.step().output.decided.holds;
            if matches!(edit, Edit::ApproveAll) {
                editor.world.approvals = holds.iter().map(|hold| hold.digest).collect();
                editor.world.step();
            }
            editor.world.approvals.clear();
        }
        editor.world.cleared.clear();
        editor.world.step();
        let counts = editor.world.cache.counts();
        let again = editor.world.step();
        prop_assert!(again.unchanged());
        prop_assert!(again.output.content.is_empty());
        prop_assert_eq!(editor.world.cache.counts(), counts);
    }

    /// The order in which documents stand in files, and files in the repo, makes no difference to the plans.
    #[test]
    fn any_order_of_documents_gives_the_same_bytes(order in Just(vec![0, 1, 2]).prop_shuffle(), split in 0..3_usize) {
        let documents: Vec<&str> = FLEET.split("---").collect();
        let mut world = World::started();
        world.fleet.clear();
        for (position, number) in order.iter().enumerate() {
            let file = format!("{}.yaml", position.min(split));
            let before = world.fleet.get(&file).map(|b| String::from_utf8(b.to_vec()).unwrap() + "---");
            world.fleet(&file, &(before.unwrap_or_default() + documents[*number]));
        }
        let step = world.step();
        prop_assert!(step.unchanged() && step.all_notes().is_empty());
    }

    /// A further rule only ever takes away.
    #[test]
    fn a_policy_never_widens(
        kind in prop::sample::select(vec!["ConfigMap", "Secret", "Endpoints", "Role", "Namespace"]),
        namespace in prop::sample::select(vec!["payments", "payments-x", "other", "kube-system", ""]),
        deny in prop::collection::vec(prop::sample::select(vec!["ConfigMap", "Secret", "*", "Role.rbac"]), 0..3),
        more in prop::sample::select(vec!["ConfigMap", "Secret", "*"]),
        platform in any::<bool>(),
    ) {
        let tenant = |deny: Vec<&str>| {
            let mut tenant = tenant();
            tenant.deny = deny.into_iter().map(str::to_owned).collect();
            tenant.allow = if platform { vec!["*".to_owned()] } else { Vec::new() };
            tenant.service_account = platform.then(|| "rimward-tenants/platform".to_owned());
            tenant
        };
        let object = object(kind, namespace);
        let before = check(&tenant(deny.clone()), &object);
        let after = check(&tenant(deny.into_iter().chain([more]).collect()), &object);
        prop_assert!(before.is_empty() || !after.is_empty());
        let fewer = Tenant { namespaces: vec!["payments".to_owned()], ..tenant(Vec::new()) };
        prop_assert!(namespace_allowed(&tenant(Vec::new()), namespace).is_ok() || namespace_allowed(&fewer, namespace).is_err());
        let scope = if namespace.is_empty() { Scope::Cluster } else { Scope::Namespaced };
        prop_assert!(after.is_empty() <= kind_allowed(&tenant(vec![more]), &object.key, scope).is_ok());
    }

    /// No text makes a reader panic, and what it reads fits its budget.
    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,&*!<>|'\"a-z0-9 \n#~.-]{0,200}") {
        if let Ok(nodes) = yaml::parse(text.as_bytes()) {
            let length: usize = nodes.iter().map(|node| node.to_json().to_string().len()).sum();
            prop_assert!(length <= 1_000 + text.len() * (yaml::EXPANSION + 1) * 8);
        }
        let files = [("f.yaml".to_owned(), text.as_bytes().into())].into();
        let load = load_fleet(&SourceTree { files, ..SourceTree::default() }, &Default::default());
        load.notes.iter().for_each(says_what_to_do);
    }

    /// A pattern matches what begins with it, and a literal only itself.
    #[test]
    fn patterns(prefix in "[a-z]{1,5}", rest in "[a-z-]{0,5}") {
        let full = format!("{prefix}{rest}");
        let pattern = format!("{prefix}*");
        prop_assert!(matches_namespace(&pattern, &full));
        prop_assert_eq!(matches_namespace(&prefix, &full), rest.is_empty());
    }
}

fn tenant() -> Tenant {
    let files = [("f.yaml".to_owned(), FLEET.as_bytes().into())].into();
    let load = load_fleet(&SourceTree { files, ..SourceTree::default() }, &Default::default());
    load.policy.tenants[&TenantName::new("payments").unwrap()].clone()
}

fn object(kind: &str, namespace: &str) -> RenderedObject {
    let group = if kind == "Role" { "rbac.authorization.k8s.io" } else { "" };
    let key = ObjectKey::new(group, kind, namespace, "x");
    RenderedObject {
        key,
        version: "v1".to_owned(),
        bytes: b"{}".as_slice().into(),
        sha256: Digest::of(b"{}"),
        secret_type: None,
        defines: None,
        at: Default::default(),
    }
}
