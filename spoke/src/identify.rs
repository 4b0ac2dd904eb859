//! The start of a run: which cluster this is, who we are in the fleet, and, the
//! first time, enrolment. Waits for the API server and the hub for as long as it
//! takes; gives up only on what waiting cannot cure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rimward_proto::token::{Token, TokenError};
use rimward_proto::{ClusterName, ClusterUid};

use crate::cluster::client::Connection;
use crate::cluster::ensure;
use crate::cluster::errors::{CallError, chain};
use crate::config::SpokeConfig;
use crate::core::event::StoredTrust;
use crate::metrics::Metrics;
use crate::reconcile::Facts;
use crate::session::backoff::{Backoff, fraction};
use crate::session::dial::Dialer;
use crate::session::enrol::{EnrolError, Enrolment};
use crate::session::identity::{Identity, IdentityError, Pending};
use crate::store::object::StoreError;
use crate::store::secret::SecretStore;

/// First bound of the wait for an API server that does not answer.
const API_MIN: Duration = Duration::from_millis(200);
/// Last bound: short enough for the loop's liveness.
const API_MAX: Duration = Duration::from_secs(10);
/// Between two signs of life while waiting for the hub.
const ALIVE: Duration = Duration::from_secs(10);

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The Secret cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not ours, or not usable.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The Secret was copied from another cluster.
    #[error("error[RW6021]: the stored identity is of the cluster with uid {stored}, this one has {found}")]
    ClusterUid {
        /// The one stored.
        stored: ClusterUid,
        /// This cluster's.
        found: ClusterUid,
    },
    /// The identity has no root with it.
    #[error("error[RW6022]: the stored identity has no root; delete the Secret and enrol again")]
    NoRoot,
    /// Not enrolled, and no token.
    #[error("error[RW6023]: not enrolled yet, and `tokenFile` names no file")]
    NoToken,
    /// The token's file cannot be read.
    #[error("error[RW6024]: the token cannot be read: {}", path.display())]
    TokenFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has no token in it.
    #[error("error[RW6025]: {}", .0)]
    Token(#[from] TokenError),
    /// The hub refuses, or is not the one the token names.
    #[error("enrolment failed")]
    Enrol(#[source] EnrolError),
}

/// What identifying needs.
#[derive(Debug)]
pub struct Identifying {
    /// The API server.
    pub connection: Connection,
    /// The configuration.
    pub config: Arc<SpokeConfig>,
    /// The way to the hub.
    pub dialer: Dialer,
    /// For signs of life.
    pub metrics: Arc<Metrics>,
    /// Random, new at each start.
    pub boot_id: String,
}

/// Who and where we are.
#[derive(Debug)]
pub struct Begun {
    /// For Hello.
    pub facts: Facts,
    /// Our certificate.
    pub identity: Identity,
    /// Root, floor and head as stored.
    pub trust: StoredTrust,
    /// Where they are stored.
    pub secret: Arc<SecretStore>,
}

/// Reads the identity, or enrols.
pub async fn begin(who: &Identifying) -> Result<Begun, IdentifyError> {
    let facts = facts(who).await;
    let secret = Arc::new(SecretStore::new(who.connection.clone(), &who.config.namespace, &who.boot_id));
    let stored = until_reachable(&who.metrics, || secret.load()).await?;
    let (identity, trust) = match stored.identity {
        Some(identity) => {
            let trust = stored.trust.ok_or(IdentifyError::NoRoot)?;
            verify(&identity, &who.config.cluster, &facts.cluster_uid)?;
            until_reachable(&who.metrics, || secret.claim()).await?;
            (identity, trust)
        }
        None => enrol(who, &facts.cluster_uid, &secret, stored.pending).await?,
    };
    tracing::info!(cluster = %identity.cluster, trust_domain = %identity.trust_domain, "identity");
    Ok(Begun { facts, identity, trust, secret })
}

/// Checks that a stored identity is this cluster's.
pub fn verify(
    identity: &Identity,
    configured: &ClusterName,
    found: &ClusterUid,
) -> Result<(), IdentifyError> {
    identity.belongs_to(configured)?;
    identity.check()?;
    if identity.cluster_uid == *found {
        return Ok(());
    }
    let (stored, found) = (identity.cluster_uid.clone(), found.clone());
    Err(IdentifyError::ClusterUid { stored, found })
}

async fn enrol(
    who: &Identifying,
    cluster_uid: &ClusterUid,
    secret: &SecretStore,
    mut pending: Option<Pending>,
) -> Result<(Identity, StoredTrust), IdentifyError> {
    let token = read_token(&who.config)?;
    let (dialer, cluster) = (&who.dialer, &who.config.cluster);
    let enrolment = Enrolment { dialer, token: &token, cluster, cluster_uid, secret };
    let mut backoff = Backoff::new();
    loop {
        who.metrics.tick();
        match enrolment.run(pending).await {
            Ok((identity, root)) => return Ok((identity, StoredTrust { root, ..StoredTrust::default() })),
            Err(error) if error.is_transient() => {
                tracing::warn!(error = %chain(&error), "not enrolled yet");
                let wait = backoff.next(who.config.reconnect.min, who.config.reconnect.max, fraction());
                wait_alive(&who.metrics, wait).await;
            }
            Err(error) => return Err(IdentifyError::Enrol(error)),
        }
        pending = secret.pending().await?;
    }
}

/// The token in the configured file.
pub fn read_token(config: &SpokeConfig) -> Result<Token, IdentifyError> {
    let path = config.token_file.clone().ok_or(IdentifyError::NoToken)?;
    let text = std::fs::read_to_string(&path).map_err(|source| IdentifyError::TokenFile { path, source })?;
    Ok(Token::parse(&zeroize::Zeroizing::new(text))?)
}

async fn facts(who: &Identifying) -> Facts {
    let mut backoff = Backoff::new();
    loop {
        who.metrics.tick();
        match facts_once(&who.connection).await {
            Ok((cluster_uid, kubernetes_version)) => {
                return Facts { boot_id: who.boot_id.clone(), cluster_uid, kubernetes_version };
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the API server does not say which cluster this is")
            }
        }
        tokio::time::sleep(backoff.next(API_MIN, API_MAX, fraction())).await;
    }
}

/// The cluster's UID and its API server's version.
pub async fn facts_once(connection: &Connection) -> Result<(ClusterUid, String), CallError> {
    let (uid, version) =
        futures::try_join!(ensure::cluster_uid(connection), ensure::server_version(connection))?;
    let uid = ClusterUid::new(uid).map_err(|_| CallError::Shape("a uid of a namespace"))?;
    Ok((uid, version))
}

/// Tries until the API server answers; other failures are returned.
pub async fn until_reachable<T, F: Future<Output = Result<T, StoreError>>>(
    metrics: &Metrics,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let mut backoff = Backoff::new();
    loop {
        metrics.tick();
        match attempt().await {
            Err(error @ StoreError::Call { .. }) => {
                tracing::warn!(error = %chain(&error), "waiting for the API server");
                tokio::time::sleep(backoff.next(API_MIN, API_MAX, fraction())).await;
            }
            other => return other,
        }
    }
}

/// Waits, and stays alive for the probe.
async fn wait_alive(metrics: &Metrics, mut wait: Duration) {
    while !wait.is_zero() {
        let part = wait.min(ALIVE);
        tokio::time::sleep(part).await;
        metrics.tick();
        wait -= part;
    }
}
