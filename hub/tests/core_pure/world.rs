//! A small fleet in memory: files in, plans out, remembering between steps what
//! a hub remembers. Each step also checks what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_hub::core::files::load_fleet;
use rimward_hub::core::guardrails::matches_namespace;
use rimward_hub::core::model::{LeftOut, Policy, SourceId, SourceTree};
use rimward_hub::core::note::Note;
use rimward_hub::core::plan::{Looks, Origin, PlanInputs, PlanOutput, RenderCache, plan};
use rimward_proto::bundle::BundleIndex;
use rimward_proto::object::is_kind;
use rimward_proto::plan::{Plan, PlanBundle};
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest};

pub type Files = BTreeMap<String, Arc<[u8]>>;

/// Two clusters and a tenant with one source.
pub const FLEET: &str = "
apiVersion: rimward.dev/v1alpha1
kind: Cluster
metadata: {name: eu-1, labels: {env: prod, region: eu}}
---
apiVersion: rimward.dev/v1alpha1
kind: Cluster
metadata: {name: us-1, labels: {env: prod, region: us}}
---
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: payments}
spec:
  sources:
  - {name: apps, git: {url: https://git.example/payments/apps.git}}
  clusters: {}
  namespaces: [payments, payments-*]
";

/// An App document.
pub fn app(name: &str, clusters: &str) -> String {
    format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\nspec:\n  namespace: payments\n  \
         clusters: {clusters}\n"
    )
}

/// A ConfigMap with one value.
pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value:?}}}\n")
}

pub fn id(text: &str) -> AppId {
    text.parse().unwrap()
}

pub fn cluster(text: &str) -> ClusterName {
    ClusterName::new(text).unwrap()
}

pub fn source(text: &str) -> SourceId {
    SourceId::try_from(text.to_owned()).unwrap()
}

#[derive(Default)]
pub struct World {
    pub fleet: Files,
    pub good: Files,
    /// None: never read.
    pub sources: BTreeMap<SourceId, Option<Files>>,
    /// What is there and not read, in payments/apps and in the fleet repo.
    pub left_out: BTreeMap<String, LeftOut>,
    pub fleet_left_out: BTreeMap<String, LeftOut>,
    pub looks: BTreeMap<SourceId, Looks>,
    pub enrolled: BTreeMap<ClusterName, ClusterUid>,
    pub previous: BTreeMap<ClusterName, Arc<Plan>>,
    pub origins: BTreeMap<AppId, Origin>,
    pub cleared: BTreeMap<ClusterName, BTreeSet<AppId>>,
    pub approvals: BTreeSet<Digest>,
    pub unaccounted: BTreeMap<ClusterName, BTreeSet<AppId>>,
    pub stored: BTreeMap<Digest, Arc<[u8]>>,
    pub cache: RenderCache,
    pub commit: u32,
}

impl World {
    /// [`FLEET`] with App `web` on both clusters and App `db` on eu-1, planned once.
    pub fn started() -> Self {
        let mut world = Self::default();
        world.fleet("fleet.yaml", FLEET);
        world.enroll("eu-1");
        world.enroll("us-1");
        world.file("web/rimward.yaml", &app("web", "{}"));
        world.file("web/cm.yaml", &config_map("web", "1"));
        world.file("db/rimward.yaml", &app("db", "{names: [eu-1]}"));
        world.file("db/cm.yaml", &config_map("db", "1"));
        world.step();
        world
    }

    pub fn enroll(&mut self, name: &str) {
        let uid = ClusterUid::new(format!("uid-{name}")).unwrap();
        self.enrolled.insert(cluster(name), uid);
    }

    pub fn fleet(&mut self, path: &str, text: &str) {
        self.fleet.insert(path.to_owned(), Arc::from(text.as_bytes()));
    }

    /// Writes a file of payments/apps.
    pub fn file(&mut self, path: &str, text: &str) {
        self.file_in("payments/apps", path, text);
    }

    pub fn file_in(&mut self, of: &str, path: &str, text: &str) {
        let files = self.sources.entry(source(of)).or_default().get_or_insert_default();
        files.insert(path.to_owned(), Arc::from(text.as_bytes()));
    }

    pub fn remove(&mut self, path: &str) {
        let files = self.sources.get_mut(&source("payments/apps")).unwrap().as_mut().unwrap();
        assert!(files.remove(path).is_some(), "{path}");
    }

    pub fn trees(&self) -> BTreeMap<SourceId, Arc<SourceTree>> {
        let tree = |id: &SourceId, files: &Files| {
            let left_out =
                if *id == source("payments/apps") { self.left_out.clone() } else { BTreeMap::new() };
            SourceTree { commit: format!("{:040x}", self.commit), files: files.clone(), left_out }
        };
        let known = self.sources.iter().filter_map(|(id, files)| Some((id.clone(), files.as_ref()?)));
        known.map(|(id, files)| (id.clone(), Arc::new(tree(&id, files)))).collect()
    }

    /// Loads and plans, as a new commit of everything, and remembers the result.
    pub fn step(&mut self) -> Step {
        self.commit += 1;
        let tree = SourceTree {
            commit: format!("{:040x}", self.commit),
            files: self.fleet.clone(),
            left_out: self.fleet_left_out.clone(),
        };
        let load = load_fleet(&tree, &self.good);
        let trees = self.trees();
        let output = self.plan(&load.policy, &trees);
        self.check(&load.policy, &trees, &output);
        let before = std::mem::replace(&mut self.previous, output.plans.clone());
        self.good = load.good;
        self.origins = output.origins.clone();
        self.stored.extend(output.content.clone());
        self.check_content();
        let step = Step { output, notes: load.notes, before };
        step.all_notes().iter().for_each(says_what_to_do);
        step
    }

    fn plan(&mut self, policy: &Policy, trees: &BTreeMap<SourceId, Arc<SourceTree>>) -> PlanOutput {
        let mut cache = std::mem::take(&mut self.cache);
        let output = self.plan_with(policy, trees, &mut cache);
        self.cache = cache;
        output
    }

    pub fn plan_with(
        &self,
        policy: &Policy,
        trees: &BTreeMap<SourceId, Arc<SourceTree>>,
        cache: &mut RenderCache,
    ) -> PlanOutput {
        let indexes = self.indexes();
        // Unless a test says otherwise, all sources were looked at just now.
        let now = Looks { last: u64::from(self.commit), changed: 0 };
        let looks = |id: &SourceId| self.looks.get(id).copied().unwrap_or(now);
        let looks: BTreeMap<_, _> = trees.keys().map(|id| (id.clone(), looks(id))).collect();
        let inputs = PlanInputs {
            policy,
            trees,
            looks: &looks,
            enrolled: &self.enrolled,
            previous: &self.previous,
            origins: &self.origins,
            cleared: &self.cleared,
            approvals: &self.approvals,
            unaccounted: &self.unaccounted,
            indexes: &indexes,
        };
        plan(&inputs, cache)
    }

    fn indexes(&self) -> BTreeMap<Digest, Arc<BundleIndex>> {
        let bundles = self.previous.values().flat_map(|plan| &plan.bundles);
        let digests: BTreeSet<Digest> = bundles.map(|bundle| bundle.digest).collect();
        let parse = |digest| (digest, Arc::new(BundleIndex::parse(&self.stored[&digest]).unwrap()));
        digests.into_iter().map(parse).collect()
    }

    /// What must hold of every planning, whatever went in.
    fn check(&self, policy: &Policy, trees: &BTreeMap<SourceId, Arc<SourceTree>>, output: &PlanOutput) {
        let scratch = self.plan_with(policy, trees, &mut RenderCache::default());
        assert_eq!(scratch.plans, output.plans, "the cache changed the result");
        assert_eq!(scratch.decided, output.decided);
        assert_eq!(scratch.origins, output.origins);
        for (name, plan) in &output.plans {
            assert_eq!(Plan::parse(&plan.to_bytes()).unwrap(), **plan);
            let before = self.previous.get(name);
            self.check_options(policy, plan, before.map(Arc::as_ref));
            let earlier = |id: &AppId| before.is_some_and(|plan| plan.removed.iter().any(|r| r.id() == *id));
            for removed in plan.removed.iter().filter(|removed| !earlier(&removed.id())) {
                let had = before.is_some_and(|plan| plan.bundles.iter().any(|b| b.id() == removed.id()));
                let unaccounted = self.unaccounted.get(name).is_some_and(|ids| ids.contains(&removed.id()));
                assert!(had || unaccounted, "{name}: a tombstone for {}, which was not there", removed.id());
                self.check_absence(policy, trees, output, name, removed.id());
            }
            for gone in before.iter().flat_map(|plan| &plan.bundles).map(PlanBundle::id) {
                let there = plan.bundles.iter().any(|bundle| bundle.id() == gone);
                let tombstone = plan.removed.iter().any(|removed| removed.id() == gone);
                assert!(there || tombstone, "{name}: {gone} left without a tombstone");
            }
        }
    }

    /// How Apps are run: no circle, no App beside the one that was called so, nothing beyond the tenant's limits.
    fn check_options(&self, policy: &Policy, plan: &Plan, before: Option<&Plan>) {
        let in_plan = |id: &AppId| plan.bundles.iter().find(|bundle| bundle.id() == *id);
        for bundle in &plan.bundles {
            for name in &bundle.formerly {
                let former = AppId { tenant: bundle.tenant.clone(), app: name.clone() };
                assert!(in_plan(&former).is_none(), "{former} is there beside {}", bundle.id());
            }
            let (mut seen, mut next) = (BTreeSet::new(), bundle.depends_on.clone());
            while let Some(on) = next.pop() {
                assert_ne!(on, bundle.id(), "waits for itself");
                if seen.insert(on.clone()) {
                    next.extend(in_plan(&on).into_iter().flat_map(|on| on.depends_on.iter().cloned()));
                }
            }
            let (Some(tenant), false) = (
                policy.tenants.get(&bundle.tenant),
                before.is_some_and(|plan| plan.bundles.contains(bundle)),
            ) else {
                continue;
            };
            assert!(tenant.limits.drift.allowed.contains(&bundle.drift.mode), "{:?}", bundle.drift);
            assert!(tenant.limits.takeover.allowed.contains(&bundle.takeover), "{:?}", bundle.takeover);
            let limits = [&policy.fleet.deletion, &tenant.limits.deletion];
            for limit in limits {
                assert!(limit.max_per_plan.is_none_or(|max| bundle.deletion.max_per_plan <= max));
                let kinds = limit.protect.iter().flatten();
                kinds.for_each(|kind| assert!(bundle.deletion.protect.contains(kind), "{kind}"));
            }
        }
        // A tombstone deletes no faster than the App itself would have.
        for removed in &plan.removed {
            let was = before.and_then(|plan| plan.bundles.iter().find(|bundle| bundle.id() == removed.id()));
            assert!(was.is_none_or(|was| removed.deletion.max_per_plan <= was.deletion.max_per_plan));
        }
    }

    /// A new tombstone needs an absence that was read, or an approval.
    fn check_absence(
        &self,
        policy: &Policy,
        trees: &BTreeMap<SourceId, Arc<SourceTree>>,
        output: &PlanOutput,
        name: &ClusterName,
        gone: AppId,
    ) {
        assert!(policy.clusters.contains_key(name), "{name} has no document and is frozen");
        if !self.approvals.is_empty() {
            return;
        }
        let source = &self.origins[&gone].source;
        let tree = trees.get(source).expect("a tombstone from a source that was not read");
        let spec =
            policy.sources().find(|(id, _)| id == source).expect("a tombstone from a removed source").1;
        let tenant = &policy.tenants[&gone.tenant];
        let load = rimward_hub::core::files::load_apps(source, spec, tenant, policy, tree);
        assert!(!load.stuck.contains_key(&gone), "{gone} is there, if wrong");
        if !load.apps.contains_key(&gone) {
            assert!(load.broken.is_empty(), "{gone} may be in {:?}", load.broken);
            let renamed = output
                .plans
                .values()
                .flat_map(|plan| &plan.bundles)
                .any(|bundle| bundle.tenant == gone.tenant && bundle.formerly.contains(&gone.app));
            let last = load.apps.is_empty() && load.stuck.is_empty();
            assert!(!last || renamed, "{gone} was the last App of {source}");
        }
    }

    /// Everything the plans name is stored, and is in the tenant's namespaces.
    fn check_content(&self) {
        for bundle in self.previous.values().flat_map(|plan| &plan.bundles) {
            let index = BundleIndex::parse(&self.stored[&bundle.digest]).unwrap();
            assert_eq!(index.entries().len() as u64, bundle.objects);
            assert_eq!(index.total_bytes(), bundle.bytes);
            for entry in index.entries() {
                assert_eq!(Digest::of(&self.stored[&entry.sha256]), entry.sha256);
                let namespace = &entry.key.namespace;
                let own = bundle.namespaces.iter().any(|pattern| matches_namespace(pattern, namespace));
                let (group, kind) = (&entry.key.group, &entry.key.kind);
                let platform = bundle.allow.iter().any(|allowed| is_kind(allowed, group, kind));
                assert!(own || (platform && namespace.is_empty()), "{}", entry.key);
            }
        }
    }

    /// The stored objects of an App on a cluster, as JSON.
    pub fn objects(&self, on: &str, app: &str) -> Vec<serde_json::Value> {
        let plan = &self.previous[&cluster(on)];
        let bundle = plan.bundles.iter().find(|bundle| bundle.id() == id(app)).expect("the App is planned");
        let index = BundleIndex::parse(&self.stored[&bundle.digest]).unwrap();
        index.entries().iter().map(|e| serde_json::from_slice(&self.stored[&e.sha256]).unwrap()).collect()
    }
}

/// A second source of the tenant, `payments/more`.
pub fn two_sources() -> String {
    let two = "  - {name: more, git: {url: https://git.example/more.git}}\n  clusters: {}";
    FLEET.replace("  clusters: {}", two)
}

/// A note that says what is wrong says what to do.
pub fn says_what_to_do(note: &Note) {
    assert!(!note.help.trim().is_empty(), "no help: {note:?}");
}

/// The result of a step.
pub struct Step {
    pub output: PlanOutput,
    /// Notes on the fleet's files.
    pub notes: Vec<Note>,
    pub before: BTreeMap<ClusterName, Arc<Plan>>,
}

impl Step {
    /// Apps wanted on a cluster, with the last digit of their commit.
    pub fn apps(&self, on: &str) -> Vec<String> {
        let bundles = &self.output.plans[&cluster(on)].bundles;
        bundles.iter().map(|b| format!("{}@{}", b.id(), b.commit.trim_start_matches('0'))).collect()
    }

    pub fn removed(&self, on: &str) -> Vec<String> {
        self.output.plans[&cluster(on)].removed.iter().map(|removed| removed.id().to_string()).collect()
    }

    /// The entry of an App on a cluster.
    pub fn entry(&self, on: &str, app: &str) -> &PlanBundle {
        let bundles = &self.output.plans[&cluster(on)].bundles;
        bundles.iter().find(|bundle| bundle.id() == id(app)).expect("the App is planned")
    }

    /// `code position message` of why an App is not updated.
    pub fn blocked(&self, app: &str) -> Option<String> {
        let note = self.output.decided.apps.get(&id(app))?.blocked.as_ref()?;
        Some(format!("{} {} {}", note.code, note.at, note.message))
    }

    /// The same, also of an App that is not updated on some of its clusters.
    pub fn stopped(&self, app: &str) -> Option<String> {
        let wait = self.output.decided.apps.get(&id(app))?.waits.first();
        let text = |note: &Note| format!("{} {} {}", note.code, note.at, note.message);
        self.blocked(app).or_else(|| Some(text(&wait?.note)))
    }

    /// `reason apps` of each hold.
    pub fn holds(&self) -> Vec<String> {
        let text = |ids: &[AppId]| ids.iter().map(AppId::to_string).collect::<Vec<_>>().join(" ");
        self.output.decided.holds.iter().map(|hold| format!("{} {}", hold.reason, text(&hold.apps))).collect()
    }

    /// All notes, of the fleet's files and of planning.
    pub fn all_notes(&self) -> Vec<Note> {
        self.notes.iter().cloned().chain(self.output.decided.notes.iter().map(|(_, n)| n.clone())).collect()
    }

    pub fn codes(&self) -> BTreeSet<String> {
        self.all_notes().into_iter().map(|note| note.code).collect()
    }

    /// True if no plan differs from the one before.
    pub fn unchanged(&self) -> bool {
        self.before == self.output.plans
    }
}
