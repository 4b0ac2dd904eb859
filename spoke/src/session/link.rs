//! The session: dial, say Hello, carry messages both ways until it breaks, and
//! dial again. Certificates are renewed on the way, also while the hub is away
//! and back after they expired.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rimward_proto::session::{Hello, HubMessage, SpokeMessage};
use rimward_proto::wire::session_client::SessionClient;
use rimward_proto::{convert, limits};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use super::backoff::{Backoff, fraction};
use super::dial::Dialer;
use super::enrol::EnrolError;
use super::fetch::ChannelSlot;
use super::identity::Identity;
use super::{renew, tls};
use crate::cluster::errors::chain;
use crate::config::SpokeConfig;
use crate::core::Event;
use crate::metrics::Metrics;
use crate::outbox::{Next, Outbox};
use crate::reconcile::Input;
use crate::store::secret::SecretStore;

/// Frames between the outbox and the network: the outbox is where waiting and coalescing happen.
const FRAMES: usize = 4;
/// First bound of the wait after a renewal that failed; half a certificate's life is left.
const RENEW_MIN: Duration = Duration::from_secs(10);
/// Last bound.
const RENEW_MAX: Duration = Duration::from_secs(600);
/// Longer than any certificate lives; tokio's clock cannot count to `Duration::MAX`.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// The session's task.
#[derive(Debug)]
pub struct Link {
    /// How the hub is reached.
    pub dialer: Dialer,
    /// For `reconnect`.
    pub config: Arc<ArcSwap<SpokeConfig>>,
    /// Who we are.
    pub identity: Identity,
    /// Where a renewed identity is kept.
    pub secret: Arc<SecretStore>,
    /// The CA bundle of the newest root.
    pub ca_bundle: watch::Receiver<String>,
    /// To the loop.
    pub inputs: mpsc::Sender<Input>,
    /// From the loop.
    pub outbox: Arc<Outbox>,
    /// Where the open channel is kept for fetches.
    pub channel: ChannelSlot,
    /// Counted here: sessions and renewals.
    pub metrics: Arc<Metrics>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the hub cannot be reached")]
    Dial(#[source] super::dial::DialError),
    #[error("our identity cannot be used")]
    Identity(#[source] super::identity::IdentityError),
    #[error("the trust of the hub cannot be established")]
    Tls(#[source] tls::TlsError),
    #[error("the hub ends the session: {}", .0.message())]
    Status(#[source] Box<tonic::Status>),
    #[error("the hub sends what is not a message")]
    Convert(#[source] convert::ConvertError),
    #[error("the hub closed the session")]
    Closed,
    #[error("the hub takes messages too slowly")]
    Slow,
    #[error("the certificate was renewed")]
    Renewed(Box<Identity>),
    #[error("the fleet trusts other authorities now")]
    Retrust,
    #[error("stopping")]
    Stopped,
}

impl Link {
    /// Runs until the loop is gone.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            // An expired certificate opens no session, and renewing is what makes a new one.
            if self.expired()
                && let Some(identity) = self.renew().await
            {
                self.identity = identity;
            }
            let error = match self.session(&mut backoff).await {
                Err(LinkError::Stopped) => return,
                Err(LinkError::Retrust) => continue,
                Err(LinkError::Renewed(identity)) => {
                    self.identity = *identity;
                    continue;
                }
                Err(error) => error,
                Ok(never) => match never {},
            };
            let config = self.config.load().reconnect;
            let wait = backoff.next(config.min, config.max, fraction());
            tracing::warn!(error = %chain(&error), wait_ms = wait.as_millis() as u64, "no session with the hub");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.inputs.closed() => return,
            }
        }
    }

    async fn session(&mut self, backoff: &mut Backoff) -> Result<std::convert::Infallible, LinkError> {
        let channel = self.connect().await?;
        let (frames, outgoing) = mpsc::channel(FRAMES);
        let hello = self.hello().await?;
        let first = convert::spoke_to_wire(SpokeMessage::Hello(hello));
        frames.send(first).await.map_err(|_| LinkError::Closed)?;
        let mut client = SessionClient::new(channel.clone())
            .send_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(limits::MESSAGE_BYTES);
        let opened = client.open(ReceiverStream::new(outgoing)).await;
        let incoming = opened.map_err(|status| LinkError::Status(Box::new(status)))?.into_inner();
        tracing::info!("session with the hub is open");
        backoff.reset();
        self.outbox.open();
        self.channel.send_replace(Some(channel));
        self.metrics.connected.set(1);
        let result = match self.deliver(Event::Connected).await {
            Ok(()) => self.carry(incoming, frames).await,
            Err(error) => Err(error),
        };
        self.metrics.connected.set(0);
        self.channel.send_replace(None);
        self.outbox.close();
        self.deliver(Event::Disconnected).await?;
        result
    }

    /// Carries messages both ways; returns only when the session is over.
    async fn carry(
        &mut self,
        mut incoming: tonic::Streaming<rimward_proto::wire::HubFrame>,
        frames: mpsc::Sender<rimward_proto::wire::SpokeFrame>,
    ) -> Result<std::convert::Infallible, LinkError> {
        let outbox = self.outbox.clone();
        let outward = async {
            loop {
                let Next::Message(message) = outbox.next().await else { return LinkError::Slow };
                if frames.send(convert::spoke_to_wire(*message)).await.is_err() {
                    return LinkError::Closed;
                }
            }
        };
        let inputs = self.inputs.clone();
        let inward = async {
            loop {
                match incoming.message().await {
                    Ok(Some(frame)) => {
                        if let Err(error) = forward(&inputs, frame).await {
                            return error;
                        }
                    }
                    Ok(None) => return LinkError::Closed,
                    Err(status) => return LinkError::Status(Box::new(status)),
                }
            }
        };
        let mut bundle = self.ca_bundle.clone();
        tokio::select! {
            error = outward => Err(error),
            error = inward => Err(error),
            Ok(()) = bundle.changed() => Err(LinkError::Retrust),
            identity = self.renewal() => Err(LinkError::Renewed(Box::new(identity))),
            () = self.inputs.closed() => Err(LinkError::Stopped),
        }
    }

    async fn connect(&mut self) -> Result<Channel, LinkError> {
        let chain = self.identity.certificates().map_err(LinkError::Identity)?;
        let key = self.identity.key.private_key().map_err(LinkError::Identity)?;
        let bundle = self.ca_bundle.borrow_and_update().clone();
        let config = tls::trusting(&bundle, Some((chain, key))).map_err(LinkError::Tls)?;
        self.dialer.connect(Arc::new(config)).await.map_err(LinkError::Dial)
    }

    async fn hello(&self) -> Result<Hello, LinkError> {
        let (ask, answer) = oneshot::channel();
        self.inputs.send(Input::Hello(ask)).await.map_err(|_| LinkError::Stopped)?;
        answer.await.map_err(|_| LinkError::Stopped)
    }

    async fn deliver(&self, event: Event) -> Result<(), LinkError> {
        self.inputs.send(event.into()).await.map_err(|_| LinkError::Stopped)
    }

    /// How long until the certificate is due. One that cannot be read is never due: the next dial says what is wrong.
    fn until_renewal(&self, fraction: f64) -> Duration {
        let Ok(validity) = self.identity.check() else { return FOREVER };
        let wait = validity.renew_at(fraction).duration_since(Timestamp::now());
        wait.try_into().unwrap_or_default()
    }

    fn expired(&self) -> bool {
        self.identity.check().is_ok_and(|validity| validity.not_after <= Timestamp::now())
    }

    /// Renews when it is time, beside the session, and tries again for as long as it takes.
    async fn renewal(&self) -> Identity {
        tokio::time::sleep(self.until_renewal(fraction())).await;
        let mut backoff = Backoff::new();
        loop {
            match self.renew().await {
                Some(identity) => return identity,
                None => tokio::time::sleep(backoff.next(RENEW_MIN, RENEW_MAX, fraction())).await,
            }
        }
    }

    async fn renew(&self) -> Option<Identity> {
        let bundle = self.ca_bundle.borrow().clone();
        match renew::renew(&self.dialer, &bundle, &self.identity, &self.secret).await {
            Ok(identity) => {
                tracing::info!(counter = identity.counter, "the certificate was renewed");
                self.metrics.renewals.inc();
                Some(identity)
            }
            Err(EnrolError::Dial(error)) => {
                tracing::debug!(error = %chain(&error), "not renewed yet");
                None
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the certificate is not renewed");
                None
            }
        }
    }
}

async fn forward(
    inputs: &mpsc::Sender<Input>,
    frame: rimward_proto::wire::HubFrame,
) -> Result<(), LinkError> {
    let event = match convert::hub_from_wire(frame).map_err(LinkError::Convert)? {
        HubMessage::Offer(offer) => Event::Offer(offer),
        HubMessage::ReportAck { boot_id, counter } => Event::ReportAck { boot_id, counter },
        HubMessage::Roots(envelopes) => Event::Roots(envelopes),
        HubMessage::Reconcile => Event::Reconcile,
    };
    inputs.send(event.into()).await.map_err(|_| LinkError::Stopped)
}
