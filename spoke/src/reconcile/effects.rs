//! Doing what the core wants: each effect in a task of its own, each ending in
//! exactly one event. How many run at a time is the core's business.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rimward_content::ContentError;
use rimward_proto::envelope::Envelope;
use rimward_proto::root::Root;
use rimward_proto::{Digest, ObjectKey};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Input;
use super::limiter::Limiter;
use crate::cluster::calls::{self, At};
use crate::cluster::client::{Connection, Identity};
use crate::cluster::discovery::{Plurals, discover};
use crate::cluster::ensure;
use crate::cluster::errors::{CallError, chain};
use crate::cluster::explain::explain;
use crate::cluster::list::{self, Place};
use crate::cluster::paths::Resource;
use crate::cluster::search;
use crate::cluster::watch::unlisted;
use crate::core::effect::{
    ApplyMode, ApplyWork, Body, DeleteWork, ExplainWork, FoldWork, GetWork, ListWork, Target, WatchSpec,
};
use crate::core::errors::Verb;
use crate::core::event::{Live, StoredTrust, Unlisted};
use crate::core::lost::Labelled;
use crate::core::{ApiError, EffectId, ErrorKind, Event, Observed, Outcome, Work, apply_body, decorate};
use crate::metrics::Metrics;
use crate::session::fetch::Fetcher;
use crate::store::held::HeldStore;
use crate::store::ledger::LedgerStore;
use crate::store::object::StoreError;
use crate::store::secret::SecretStore;

/// Everything effects need.
#[derive(Debug)]
pub struct Executor {
    /// The API server.
    pub connection: Connection,
    /// Plural names, as last discovered.
    pub plurals: Arc<ArcSwap<Plurals>>,
    /// Content on disk.
    pub content: Arc<rimward_content::Store>,
    /// Plan and baselines on disk.
    pub held: HeldStore,
    /// Identity and floor in the cluster.
    pub secret: Arc<SecretStore>,
    /// The ledger in the cluster.
    pub ledger: LedgerStore,
    /// Content from the hub.
    pub fetcher: Fetcher,
    /// `apply.qps`.
    pub limiter: Arc<Limiter>,
    /// Counted here: requests.
    pub metrics: Arc<Metrics>,
    /// Where results go.
    pub inputs: mpsc::Sender<Input>,
    /// Told when the root changes.
    pub ca_bundle: watch::Sender<String>,
    /// Cancelled when another spoke writes our objects: one of the two must go.
    pub other_writer: CancellationToken,
}

impl Executor {
    /// Starts one effect.
    pub fn start(self: &Arc<Self>, id: EffectId, work: Work) {
        let this = self.clone();
        let span = tracing::debug_span!("effect", id = id.0, work = name(&work));
        let task = async move {
            let outcome = this.perform(work).await;
            // The loop is gone when we are stopping; nobody needs the result then.
            let _ = this.inputs.send(Event::Done(id, outcome).into()).await;
        };
        tokio::spawn(task.instrument(span));
    }

    /// Removes content that nothing holds any more.
    pub fn collect(&self, keep: BTreeSet<Digest>) {
        let (store, ticket) = (self.content.clone(), self.content.ticket());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.collect_unused(|digest| keep.contains(digest), ticket) {
                tracing::warn!(error = %chain(&error), "old content is not removed");
            }
        });
    }

    async fn perform(&self, work: Work) -> Outcome {
        match work {
            Work::WriteTrust(trust) => Outcome::Written(self.write_trust(*trust).await),
            Work::WriteLedger(ledger) => Outcome::Written(self.written(self.ledger.save(&ledger).await)),
            Work::StorePlan(plan) => {
                let held = self.held.clone();
                Outcome::Written(
                    blocking(move || held.store_plan(&plan).map_err(|error| chain(&error))).await,
                )
            }
            Work::StoreBaselines(baselines) => {
                let held = self.held.clone();
                let store = move || held.store_baselines(&baselines).map_err(|error| chain(&error));
                Outcome::Written(blocking(store).await)
            }
            Work::StoreContent(content) => {
                let store = self.content.clone();
                let items = move || {
                    let items = content.iter().map(|content| (content.digest, content.bytes.as_slice()));
                    store.put(items).map(drop).map_err(|error| chain(&error))
                };
                Outcome::Written(blocking(items).await)
            }
            Work::CheckContent(digests) => {
                let store = self.content.clone();
                Outcome::Missing(blocking(move || Ok(store.missing(&digests))).await)
            }
            Work::LoadIndex(digest) => Outcome::Loaded(self.load(digest).await),
            Work::Fetch(digests) => self.fetcher.fetch(digests).await,
            Work::Discover => Outcome::Discovered(self.discover().await),
            Work::EnsureTenant(setup) => {
                Outcome::Tenant(self.count("tenant", ensure::tenant(&self.connection, &setup).await))
            }
            Work::Get(work) => self.get(*work).await,
            Work::Apply(work) => {
                let verb = if work.dry_run { "dry-run" } else { "apply" };
                Outcome::Applied(self.count(verb, self.apply(*work).await))
            }
            Work::Fold(work) => Outcome::Applied(self.count("fold", self.fold(*work).await)),
            Work::Delete(work) => Outcome::Deleted(self.count("delete", self.delete(*work).await)),
            Work::Explain(work) => Outcome::Explained(self.explain(*work).await),
            Work::ListNamespaces => {
                Outcome::Namespaces(self.count("list", search::namespaces(&self.connection).await))
            }
            Work::ListLabelled(work) => Outcome::Labelled(self.count("list", self.labelled(&work).await)),
            Work::List(place) => Outcome::Listed(self.list(&place).await),
        }
    }

    async fn write_trust(&self, trust: StoredTrust) -> Result<(), String> {
        let written = self.secret.save_trust(&trust).await;
        self.written(written)?;
        if let Some(bundle) = ca_bundle(&trust.root) {
            self.ca_bundle.send_if_modified(|held| {
                let changed = *held != bundle;
                *held = bundle;
                changed
            });
        }
        Ok(())
    }

    fn written(&self, result: Result<(), StoreError>) -> Result<(), String> {
        result.map_err(|error| {
            if error.is_conflict() {
                tracing::error!(%error, "another spoke runs in this cluster; this one stops");
                self.other_writer.cancel();
            }
            chain(&error)
        })
    }

    async fn discover(&self) -> Result<crate::core::Discovery, String> {
        let (discovery, plurals) = discover(&self.connection).await.map_err(|error| chain(&error))?;
        self.plurals.store(Arc::new(plurals));
        Ok(discovery)
    }

    /// The bytes of some content; none if it is not there or damaged, which is the same to the core.
    async fn load(&self, digest: Digest) -> Result<Option<Vec<u8>>, String> {
        let store = self.content.clone();
        blocking(move || match store.get(&digest) {
            Ok(bytes) => Ok(bytes),
            Err(ContentError::Damaged(_)) => Ok(None),
            Err(error) => Err(chain(&error)),
        })
        .await
    }

    async fn wanted(&self, body: &Body) -> Option<Value> {
        let bytes = self.load(body.digest).await.ok().flatten()?;
        Some(decorate(serde_json::from_slice(&bytes).ok()?, &body.app))
    }

    async fn get(&self, work: GetWork) -> Outcome {
        let live = self.count("get", self.live(&work.target).await);
        let wanted = match &work.wanted {
            Some(body) => self.wanted(body).await,
            None => None,
        };
        Outcome::Got { live, wanted }
    }

    async fn live(&self, target: &Target) -> Result<Option<Box<Live>>, ApiError> {
        let (who, resource) = self.place(target)?;
        self.limiter.wait().await;
        let found = calls::get(&self.connection, &who, at(&resource, &target.key)).await;
        match found.map_err(|error| error.classify(Verb::Get))? {
            Some(body) => live(target, body, true).map(Some),
            None => Ok(None),
        }
    }

    async fn apply(&self, work: ApplyWork) -> Result<Box<Live>, ApiError> {
        let (who, resource) = self.place(&work.target)?;
        let Some(wanted) = self.wanted(&work.body).await else {
            return Err(ApiError::new(ErrorKind::Incomplete, "the content is not there"));
        };
        let body = apply_body(wanted, &work.mode, work.overlay.as_deref()).to_string().into_bytes();
        let key = &work.target.key;
        let verb = if work.mode == ApplyMode::Create { Verb::Create } else { Verb::Update };
        let whole = work.return_body || work.target.judge.is_whole();
        self.limiter.wait().await;
        let answer =
            calls::apply(&self.connection, &who, at(&resource, key), body, work.dry_run, whole).await;
        live(&work.target, answer.map_err(|error| error.classify(verb))?, work.return_body)
    }

    async fn fold(&self, work: FoldWork) -> Result<Box<Live>, ApiError> {
        let (who, resource) = self.place(&work.target)?;
        let key = &work.target.key;
        self.limiter.wait().await;
        let answer = calls::fold(&self.connection, &who, at(&resource, key), &work.patch).await;
        live(&work.target, answer.map_err(|error| error.classify(Verb::Update))?, false)
    }

    async fn delete(&self, work: DeleteWork) -> Result<(), ApiError> {
        let (who, resource) = self.place(&work.target)?;
        self.limiter.wait().await;
        let at = at(&resource, &work.target.key);
        let deleted = calls::delete(&self.connection, &who, at, &work.uid, &work.resource_version).await;
        deleted.map_err(|error| error.classify(Verb::Delete))
    }

    async fn explain(&self, work: ExplainWork) -> Option<Vec<String>> {
        let (who, resource) = self.place(&work.target).ok()?;
        let said = explain(&self.connection, &who, &resource, &self.limiter, &work).await;
        self.metrics.request("explain", if said.is_some() { "ok" } else { "unanswered" });
        said
    }

    async fn labelled(&self, work: &ListWork) -> Result<Vec<Labelled>, ApiError> {
        let resource = self.plurals.load().resource(&work.group, &work.version, &work.kind);
        let resource = resource.ok_or_else(not_served)?;
        self.limiter.wait().await;
        search::labelled(&self.connection, &resource, work).await
    }

    async fn list(&self, spec: &WatchSpec) -> Result<Vec<Observed>, Unlisted> {
        let place = Place::new(spec, &self.plurals.load()).map_err(|error| unlisted(&error, None))?;
        self.limiter.wait().await;
        let listed = list::list(&self.connection, &place).await;
        self.metrics.request("list", if listed.is_ok() { "ok" } else { "unknown" });
        listed.map(|(objects, _)| objects).map_err(|error| unlisted(&error, Some(&place)))
    }

    fn place(&self, target: &Target) -> Result<(Identity, Resource), ApiError> {
        let who = Identity::account(&target.service_account)
            .ok_or_else(|| ApiError::new(ErrorKind::Forbidden, "the ServiceAccount is not namespace/name"))?;
        let (group, kind) = (&target.key.group, &target.key.kind);
        let resource = self.plurals.load().resource(group, &target.version, kind);
        Ok((who, resource.ok_or_else(not_served)?))
    }

    fn count<T>(&self, verb: &'static str, result: Result<T, ApiError>) -> Result<T, ApiError> {
        self.metrics.request(verb, result.as_ref().map_or_else(|error| error.kind.as_str(), |_| "ok"));
        result
    }
}

fn not_served() -> ApiError {
    ApiError::new(ErrorKind::UnknownKind, "the API server does not serve this kind")
}

fn at<'a>(resource: &'a Resource, key: &'a ObjectKey) -> At<'a> {
    At { resource, namespace: &key.namespace, name: &key.name }
}

fn live(target: &Target, body: Value, keep: bool) -> Result<Box<Live>, ApiError> {
    let Target { key, judge, .. } = target;
    let observed = Observed::from_object(judge, &key.group, &key.kind, &body);
    let observed = observed.ok_or_else(|| CallError::Shape("an object").classify(Verb::Get))?;
    Ok(Box::new(Live { observed, body: if keep { body } else { Value::Null } }))
}

/// The CA bundle of a root that was verified before it was stored.
pub fn ca_bundle(root: &[u8]) -> Option<String> {
    let payload = Envelope::parse(root).ok()?.payload_unverified().ok()?;
    Some(Root::parse(&payload).ok()?.ca_bundle)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("the store is gone".to_owned()))
}

fn name(work: &Work) -> &'static str {
    match work {
        Work::WriteTrust(_) => "write-trust",
        Work::WriteLedger(_) => "write-ledger",
        Work::StorePlan(_) => "store-plan",
        Work::StoreBaselines(_) => "store-baselines",
        Work::StoreContent(_) => "store-content",
        Work::CheckContent(_) => "check-content",
        Work::LoadIndex(_) => "load-index",
        Work::Fetch(_) => "fetch",
        Work::Discover => "discover",
        Work::EnsureTenant(_) => "ensure-tenant",
        Work::Get(_) => "get",
        Work::Apply(_) => "apply",
        Work::Fold(_) => "fold",
        Work::Delete(_) => "delete",
        Work::Explain(_) => "explain",
        Work::ListNamespaces => "list-namespaces",
        Work::ListLabelled(_) => "list-labelled",
        Work::List(_) => "list",
    }
}
