//! The gRPC edge: who may call what, and wire types in and out.

use std::pin::Pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::Stream as Futures;
use jiff::Timestamp;
use rimward_proto::convert;
use rimward_proto::wire::{
    ContentItem, EnrollRequest, FetchRequest, HubFrame, IdentityResponse, RenewRequest, SpokeFrame,
    content_server::Content, enrolment_server::Enrolment, session_server::Session,
};
use rimward_proto::{ClusterName, ClusterUid};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::enrolment::{Applicant, EnrolError, Renewal};
use super::fetch::Fetches;
use super::ingest;
use super::listener::Peer;
use super::offer::Offers;
use super::open::{OUTGOING, Stream};
use crate::state::{State, causes};
use crate::store::records;

/// Enrolments and renewals at once: each costs a signature and an fsync, so more would only wait for the disk.
const ENROLLING: usize = 8;

type Reply<T> = Result<Response<T>, Status>;
type Out<T> = Pin<Box<dyn Futures<Item = Result<T, Status>> + Send>>;

/// All three services.
#[derive(Clone)]
pub struct Service {
    state: Arc<State>,
    offers: Arc<Offers>,
    enrolling: Arc<Semaphore>,
    fetches: Arc<Fetches>,
    stop: CancellationToken,
}

impl Service {
    /// The services over `state`, whose streams end with `stop`.
    pub fn new(state: Arc<State>, stop: CancellationToken) -> Self {
        let offers = Arc::new(Offers::new(state.content.clone()));
        let fetches = Arc::new(Fetches::new(state.clone(), offers.clone()));
        Self { state, offers, enrolling: Arc::new(Semaphore::new(ENROLLING)), fetches, stop }
    }

    fn identity(&self, enrolment: &records::Enrolment) -> Result<IdentityResponse, Status> {
        let leaf = STANDARD
            .decode(&enrolment.leaf)
            .map_err(|_| Status::internal("a stored certificate is damaged"))?;
        Ok(IdentityResponse {
            chain: vec![leaf, self.state.authority.certificate().to_vec()],
            ca_bundle: self.state.authority.pem().to_owned(),
            roots: self.state.signer.roots().to_vec(),
            trust_domain: self.state.trust_domain().to_string(),
        })
    }

    /// Runs something that waits for the disk, a few at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State) -> Result<T, EnrolError> + Send + 'static,
    ) -> Result<T, Status> {
        let turn =
            self.enrolling.clone().acquire_owned().await.map_err(|_| Status::unavailable("stopping"))?;
        let state = self.state.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&state)
        });
        done.await.map_err(|_| Status::internal("it failed"))?.map_err(refusal)
    }

    /// The cluster that calls, by its certificate, if it may.
    fn caller<T>(&self, request: &Request<T>) -> Result<(ClusterName, records::Enrolment), Status> {
        let peer = request.extensions().get::<Peer>();
        let certificate = peer.and_then(|peer| peer.certificate.clone());
        let certificate =
            certificate.ok_or_else(|| Status::unauthenticated("a client certificate is needed"))?;
        let leaf = self.state.authority.read_spoke(self.state.trust_domain(), &certificate);
        let leaf = leaf.map_err(|error| Status::unauthenticated(error.to_string()))?;
        let enrolments = &self.state.enrolments;
        let enrolment = enrolments.admit(&leaf.cluster, &leaf.key).map_err(refusal)?;
        if enrolment.key == leaf.key && !enrolment.used {
            tokio::task::block_in_place(|| enrolments.used(&leaf.cluster, &leaf.key)).map_err(refusal)?;
        }
        Ok((leaf.cluster, enrolment))
    }

    fn after_change(&self, cluster: &ClusterName, enrolment: &records::Enrolment) {
        self.state.update(|world| {
            ingest::enrolled(world, cluster, enrolment);
        });
        self.state.plan_needed.notify_one();
    }
}

/// Shows that a cluster is locked. Both holders of its key ask again and again; it is said once.
fn locked(state: &State, cluster: &ClusterName, why: &str) {
    state.sessions.cut(cluster);
    let Some(enrolment) = state.enrolments.get(cluster) else { return };
    let known = state.update(|world| {
        let known = world.clusters.get(cluster).is_some_and(|status| status.locked.is_some());
        ingest::enrolled(world, cluster, &enrolment);
        known
    });
    if !known {
        tracing::warn!(%cluster, "locked: {why}");
        state.event("Locked", Some(cluster), why, "");
    }
}

/// Each refusal has its own code, so that a spoke knows what helps.
fn refusal(error: EnrolError) -> Status {
    let text = error.to_string();
    match &error {
        EnrolError::UnknownToken => Status::unauthenticated(text),

        EnrolError::Used => Status::already_exists(text),
        EnrolError::OtherCluster | EnrolError::WrongKey(_) => Status::permission_denied(text),
        EnrolError::Expired
        | EnrolError::OtherUid(_)
        | EnrolError::Locked { .. }
        | EnrolError::Enrolled(_) => Status::failed_precondition(text),
        EnrolError::NotEnrolled(_) => Status::not_found(text),
        EnrolError::Pki(cause) => Status::invalid_argument(cause.to_string()),
        EnrolError::Busy => Status::aborted(text),
        EnrolError::Store(cause) => {
            tracing::error!(error = causes(cause), "the store failed");
            Status::internal(text)
        }
        EnrolError::Random => Status::internal(text),
    }
}

#[tonic::async_trait]
impl Enrolment for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Reply<IdentityResponse> {
        let request = request.into_inner();
        let cluster = ClusterName::new(request.cluster.as_str())
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let uid = ClusterUid::new(request.cluster_uid.as_str())
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let name = cluster.clone();
        let enrolment = self.blocking(move |state| {
            let who = Applicant {
                token: &request.token_id,
                secret: &request.secret,
                cluster,
                uid,
                csr: &request.csr,
            };
            let life = state.config.load().lifetimes.spoke_cert;
            state.enrolments.enroll(&state.authority, state.trust_domain(), &who, life, Timestamp::now())
        });
        let enrolment = enrolment.await?;
        tracing::info!(cluster = %name, "enrolled");
        // What was enrolled under this name before has no identity any more.
        self.state.sessions.cut(&name);
        self.after_change(&name, &enrolment);
        self.state.event("Enrolled", Some(&name), "enrolled", "");
        Ok(Response::new(self.identity(&enrolment)?))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Reply<IdentityResponse> {
        let request = request.into_inner();
        let renewed = self.blocking(move |state| {
            let renewal = Renewal {
                certificate: &request.certificate,
                csr: &request.csr,
                counter: request.counter,
                signature: &request.signature,
            };
            let life = state.config.load().lifetimes.spoke_cert;
            let renewed = state.enrolments.renew(
                &state.authority,
                state.trust_domain(),
                &renewal,
                life,
                Timestamp::now(),
            );
            if let Err(EnrolError::Locked { cluster, why }) = &renewed {
                locked(state, cluster, why);
            }
            renewed
        });
        let (cluster, enrolment) = renewed.await?;
        tracing::info!(%cluster, counter = enrolment.counter, "certificate renewed");
        self.after_change(&cluster, &enrolment);
        Ok(Response::new(self.identity(&enrolment)?))
    }
}

#[tonic::async_trait]
impl Session for Service {
    type OpenStream = Out<HubFrame>;

    async fn open(&self, request: Request<Streaming<SpokeFrame>>) -> Reply<Self::OpenStream> {
        let (cluster, enrolment) = self.caller(&request)?;
        let ticket = self.state.sessions.enter(&cluster);
        let ticket = ticket.ok_or_else(|| Status::resource_exhausted("too many sessions"))?;
        let (outgoing, stream) = mpsc::channel(OUTGOING);
        let session = Stream {
            state: self.state.clone(),
            offers: self.offers.clone(),
            cluster,
            enrolment,
            ticket,
            stop: self.stop.clone(),
            incoming: request.into_inner(),
            outgoing,
        };
        tokio::spawn(session.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl Content for Service {
    type FetchStream = Out<ContentItem>;

    async fn fetch(&self, request: Request<FetchRequest>) -> Reply<Self::FetchStream> {
        let (cluster, _) = self.caller(&request)?;
        let digests = convert::fetch_from_wire(request.into_inner());
        let digests = digests.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let stream = self.fetches.clone().open(cluster, digests).await?;
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}
