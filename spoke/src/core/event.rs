//! What happened, as the edge tells it. Events complete effects or come from
//! the outside; they carry facts, never decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use rimward_proto::head::Floor;
use rimward_proto::plan::PlanBundle;
use rimward_proto::session::Offer;
use rimward_proto::{ClusterName, ClusterUid, Digest, ObjectKey, TrustDomain};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::discovery::Discovery;
use super::effect::{EffectId, WatchSpec};
use super::errors::ApiError;
use super::ledger::Ledger;
use super::lost::Labelled;
use super::observed::{Fingerprint, Observed};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The time of an [`super::Effect::WakeAt`] has come.
    Tick,
    /// A stream to the hub is open and Hello ([`super::State::hello_facts`]) was sent.
    Connected,
    /// It is gone.
    Disconnected,
    /// The hub offers a publication.
    Offer(Box<Offer>),
    /// The hub answers a request for roots: envelopes, ascending.
    Roots(Vec<Vec<u8>>),
    /// Reports of this boot up to this counter are durable at the hub.
    ReportAck {
        /// The boot they were of.
        boot_id: String,
        /// The counter.
        counter: u64,
    },
    /// Look again at everything now.
    Reconcile,
    /// The config was reloaded.
    Config(Settings),
    /// A watch has listed: this is everything it sees now.
    WatchSynced {
        /// Which watch.
        watch: WatchSpec,
        /// All objects in it.
        objects: Vec<Observed>,
    },
    /// An object in a watch was added or changed.
    WatchUpsert {
        /// Which watch.
        watch: WatchSpec,
        /// The object.
        object: Box<Observed>,
    },
    /// An object left a watch: deleted, or our label was removed.
    WatchDeleted {
        /// Which watch.
        watch: WatchSpec,
        /// The object.
        key: ObjectKey,
        /// Its UID.
        uid: String,
    },
    /// A watch cannot be listed: what it covers is unknown until it syncs.
    WatchFailed {
        /// Which watch.
        watch: WatchSpec,
        /// Why.
        why: Unlisted,
    },
    /// An effect has completed.
    Done(EffectId, Outcome),
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A write is durable, or failed and may be tried again; the text is for people.
    Written(Result<(), String>),
    /// These are not in the content store.
    Missing(Result<BTreeSet<Digest>, String>),
    /// The bytes of an index; none if it is not there.
    Loaded(Result<Option<Vec<u8>>, String>),
    /// What a fetch brought.
    Fetched {
        /// Checked and durable.
        stored: Vec<Digest>,
        /// Came with other bytes than their digest names: trust row 18.
        corrupt: Vec<Digest>,
        /// Why the rest did not come; none if the hub just did not send it.
        error: Option<String>,
    },
    /// What the API server serves.
    Discovered(Result<Discovery, String>),
    /// A tenant's setup is there as far as it can be.
    Tenant(Result<TenantReady, ApiError>),
    /// The live object, none if absent (404).
    Got {
        /// The object.
        live: Result<Option<Box<Live>>, ApiError>,
        /// The decorated wanted body asked for; none if not asked for or not in the store.
        wanted: Option<Value>,
    },
    /// What the server made of an apply (of a dry-run: would make).
    Applied(Result<Box<Live>, ApiError>),
    /// A delete was taken; absent objects (404) count as taken. Absence is confirmed by a Get.
    Deleted(Result<(), ApiError>),
    /// What Kubernetes says about an object, each part `Reason: message`; none if it cannot be asked, or the tenant may
    /// not ask.
    Explained(Option<Vec<String>>),
    /// The names of all namespaces.
    Namespaces(Result<BTreeSet<String>, ApiError>),
    /// All objects of a list, to its last page.
    Labelled(Result<Vec<Labelled>, ApiError>),
    /// Everything in the place, from the first page to the last; a list that broke off is an error.
    Listed(Result<Vec<Observed>, Unlisted>),
}

impl Outcome {
    /// The outcome of work that the edge could not even start: shutting down, or the store is gone.
    pub fn is_error(&self) -> bool {
        matches!(
            self,
            Self::Written(Err(_))
                | Self::Missing(Err(_))
                | Self::Loaded(Err(_))
                | Self::Fetched { error: Some(_), .. }
                | Self::Discovered(Err(_))
                | Self::Tenant(Err(_))
                | Self::Got { live: Err(_), .. }
                | Self::Applied(Err(_))
                | Self::Deleted(Err(_))
                | Self::Namespaces(Err(_))
                | Self::Labelled(Err(_))
                | Self::Listed(Err(_))
        )
    }
}

/// Why what is in a place is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// For people.
    pub message: String,
    /// The account may not list or watch there.
    pub forbidden: bool,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
}

/// A live object.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Its metadata and health; see [`Observed::from_object`].
    pub observed: Observed,
    /// All of it; null when only metadata were asked for.
    pub body: Value,
}

/// What came of a [`super::effect::TenantSetup`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantReady {
    /// Namespaces of `used` that do not exist.
    pub missing: BTreeSet<String>,
    /// Namespaces in which it could not be made ready, and why; the others can be used.
    pub broken: BTreeMap<String, ApiError>,
    /// Its account was there already, made by a spoke.
    pub was_there: bool,
}

/// Everything the core begins with. Nothing of it needs the hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Random, new at each start.
    pub boot_id: String,
    /// This cluster's name in the fleet.
    pub cluster: ClusterName,
    /// UID of its kube-system namespace.
    pub cluster_uid: ClusterUid,
    /// From enrolment.
    pub trust_domain: TrustDomain,
    /// Roots, floor and head as last written; from enrolment at first.
    pub trust: StoredTrust,
    /// The ledger as last written; none when it is not there or cannot be read: then everything is looked at before
    /// it is taken for ours, and nothing is pruned that was there before.
    pub ledger: Option<Ledger>,
    /// The active plan as last stored; none when the disk is new.
    pub plan: Option<StoredPlan>,
    /// Baselines as last stored; what is missing is compared by dry-run.
    pub baselines: Vec<Baseline>,
    /// What the API server serves, if known by now; else the core asks.
    pub discovery: Option<Discovery>,
    /// From the config file.
    pub settings: Settings,
    /// How much is watched, and how often the rest is looked at.
    pub following: Following,
}

/// How much is watched at once, and how often what is beyond that is looked at. Constants of the program: the default is
/// what runs, another one is for tests, which cannot wait for 512 watches and a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// See [`super::follow::MAX_WATCHES`].
    pub max_watches: usize,
    /// See [`super::lists::LIST_EVERY`].
    pub list_every: SignedDuration,
}

impl Default for Following {
    fn default() -> Self {
        Self { max_watches: super::follow::MAX_WATCHES, list_every: super::lists::LIST_EVERY }
    }
}

/// What the identity Secret holds of trust. Envelopes are kept as received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredTrust {
    /// The newest root's envelope; it was verified before it was stored.
    pub root: Vec<u8>,
    /// The point never to go back behind; none before the first head.
    pub floor: Option<Floor>,
    /// The newest head's envelope; none before the first.
    pub head: Option<Vec<u8>>,
}

/// The active plan on disk: enough to go on alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPlan {
    /// The assignment's exact bytes, for the approvals in it.
    pub assignment: Vec<u8>,
    /// The plan's exact bytes.
    pub plan: Vec<u8>,
    /// The seq it was accepted with.
    pub seq: u64,
    /// Bundles of Apps that the plan neither wants nor removes and that are carried on (trust row 22).
    pub carried: Vec<PlanBundle>,
}

/// What an object looked like right after our last apply, so that a restart can tell "unchanged" without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Which object.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
    /// Digest of what was applied and for which App.
    pub digest: Digest,
    /// What the server's answer looked like.
    pub fingerprint: Fingerprint,
}

/// What the core needs of `SpokeConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Requests to the API server in flight at once; at least 1.
    pub concurrency: usize,
    /// `ceilings.namespaces`: exact names or globs with a trailing `*`.
    pub namespaces: Vec<String>,
    /// `ceilings.serviceAccounts`: `namespace/name`, a trailing `*` matches the rest.
    pub service_accounts: Vec<String>,
    /// `ceilings.protect`: kinds never deleted, whoever approves.
    pub protect: Vec<String>,
    /// `ceilings.deletesPerDay`.
    pub deletes_per_day: u64,
}

impl Default for Settings {
    /// The defaults of `SpokeConfig`.
    fn default() -> Self {
        let all = || vec!["*".to_owned()];
        Self {
            concurrency: 16,
            namespaces: all(),
            service_accounts: all(),
            protect: Vec::new(),
            deletes_per_day: 1000,
        }
    }
}
