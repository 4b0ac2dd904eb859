//! One spoke's stream: Hello first, then whatever is published, until the stream
//! ends, a newer one replaces it, or the hub stops.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use rimward_proto::convert;
use rimward_proto::session::{Ack, AckKind, Hello, HubMessage, PROTOCOL, SpokeMessage};
use rimward_proto::wire::{HubFrame, SpokeFrame, spoke_frame};
use rimward_proto::{ClusterName, Digest, limits};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::ingest;
use super::offer::{Held, Made, Offers};
use super::registry::Ticket;
use super::sent::Kind;
use crate::core::world::Published;
use crate::sign::SignError;
use crate::state::{State, causes};
use crate::store::records::{self, Enrolment, Publication};

/// Time for the Hello after the stream has opened.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// Time for a spoke to take a message: beyond it the spoke is cut, and catches up by digest when it returns.
pub(super) const STALLED: Duration = Duration::from_secs(30);
/// Messages waiting for the transport: one offer and what answers the spoke meanwhile.
pub const OUTGOING: usize = 4;

/// A stream that was admitted.
pub struct Stream {
    pub(super) state: Arc<State>,
    pub(super) offers: Arc<Offers>,
    pub(super) cluster: ClusterName,
    pub(super) enrolment: Enrolment,
    pub(super) ticket: Ticket,
    pub(super) stop: CancellationToken,
    pub(super) incoming: Streaming<SpokeFrame>,
    pub(super) outgoing: mpsc::Sender<Result<HubFrame, Status>>,
}

/// An open session; however it ends, its cluster is not connected any more.
struct Open {
    state: Arc<State>,
    cluster: ClusterName,
    ticket: Ticket,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.state.sessions.leave(&self.cluster, &self.ticket) {
            ingest::gone(&self.state, &self.cluster);
        }
    }
}

/// What the spoke holds, as far as it has said.
struct Known {
    plan: Option<Digest>,
    root: u64,
}

impl Stream {
    /// Runs until the stream ends.
    pub async fn run(mut self) {
        let cluster = self.cluster.clone();
        let open = Open { state: self.state.clone(), cluster: cluster.clone(), ticket: self.ticket.clone() };
        let result = self.talk().await;
        // Before the reason is sent: a spoke that takes nothing would seem connected until that is given up.
        drop(open);
        if let Err(status) = result {
            tracing::info!(%cluster, code = ?status.code(), "session ended: {}", status.message());
            // The spoke may be gone already; then nobody needs the reason.
            let _ = tokio::time::timeout(STALLED, self.outgoing.send(Err(status))).await;
        }
    }

    async fn talk(&mut self) -> Result<(), Status> {
        let mut published = self.state.published.subscribe();
        let cut = self.ticket.cut.clone();
        let hello = tokio::select! {
            biased;
            () = cut.cancelled() => return Err(cut_off()),
            hello = self.hello() => hello?,
        };
        let mut known = Known { plan: hello.held_plan, root: hello.root_version };
        published.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = self.ticket.cut.cancelled() => return Err(cut_off()),
                () = self.stop.cancelled() => return Err(Status::unavailable("the hub is stopping")),
                () = self.ticket.look.notified() => self.say(HubMessage::Reconcile).await?,
                frame = self.incoming.message() => match frame? {
                    Some(frame) => self.hear(frame, &mut known).await?,
                    None => return Ok(()),
                },
                changed = published.changed() => {
                    changed.map_err(|_| Status::unavailable("the hub is stopping"))?;
                    let now = published.borrow_and_update().clone();
                    if let Some(now) = now {
                        self.offer(&now, &mut known).await?;
                    }
                }
            }
        }
    }

    async fn hello(&mut self) -> Result<Hello, Status> {
        let first = tokio::time::timeout(HELLO_TIME, self.incoming.message());
        let frame = first.await.map_err(|_| Status::deadline_exceeded("no Hello"))??;
        let frame = frame.ok_or_else(|| Status::invalid_argument("no Hello"))?;
        let SpokeMessage::Hello(hello) = decode(frame)? else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        if hello.protocol != PROTOCOL {
            let message =
                format!("protocol {} is not spoken here; this hub speaks {PROTOCOL}", hello.protocol);
            return Err(Status::failed_precondition(message));
        }
        if hello.cluster_uid != self.enrolment.uid {
            let message = "the cluster's uid is not the enrolled one; if the cluster was re-created, enrol with --replace";
            self.state.event("ClusterUid", Some(&self.cluster), message, "");
            return Err(Status::failed_precondition(message));
        }
        let floor = hello.held_head.as_deref().map(|head| self.check_head(head)).transpose()?;
        ingest::hello(&self.state, &self.cluster, &hello, floor, &self.enrolment);
        tracing::info!(cluster = %self.cluster, version = hello.spoke_version, "spoke connected");
        Ok(hello)
    }

    /// The hub's side of the verdict table: a head that does not verify cuts the session, one that the store does not
    /// know raises `Ahead`.
    fn check_head(&self, head: &[u8]) -> Result<rimward_proto::head::Floor, Status> {
        let floor = self.state.signer.verify_head(head).map_err(|error: SignError| {
            tracing::warn!(cluster = %self.cluster, %error, "the spoke holds a head that does not verify");
            self.state.event(
                "BadHead",
                Some(&self.cluster),
                "holds a head that no key of this fleet signed",
                "",
            );
            Status::permission_denied("the head held does not verify")
        })?;
        let store = &self.state.store;
        let failed = |_| Status::internal("the store failed");
        let current: Option<Publication> = store.read(records::CURRENT).map_err(failed)?;
        let same: Option<Publication> = store.read(&records::publication(floor.seq)).map_err(failed)?;
        let newest = current.map_or((0, 0), |publication| (publication.epoch, publication.seq));
        let forked = same.is_some_and(|ours| ours.epoch == floor.epoch && ours.tree.hash != floor.tree);
        if (floor.epoch, floor.seq) > newest || forked {
            tokio::task::block_in_place(|| self.state.raise_ahead(&self.cluster, floor));
        }
        Ok(floor)
    }

    async fn hear(&self, frame: SpokeFrame, known: &mut Known) -> Result<(), Status> {
        if let Some(spoke_frame::Message::Report(report)) = &frame.message
            && report.encoded_len() > limits::REPORT_BYTES
        {
            return Err(Status::resource_exhausted("a report is over its limit"));
        }
        match decode(frame)? {
            SpokeMessage::Hello(_) => Err(Status::invalid_argument("a second Hello")),
            SpokeMessage::Ack(ack) => {
                self.acknowledged(&ack, known);
                Ok(())
            }
            SpokeMessage::Report(report) => {
                let (boot_id, counter) = (report.boot_id.clone(), report.counter);
                ingest::report(&self.state, &self.cluster, &self.enrolment, report);
                self.say(HubMessage::ReportAck { boot_id, counter }).await
            }
            SpokeMessage::NeedRoots { after } => {
                let roots = self.state.signer.roots();
                let from = usize::try_from(after).unwrap_or(usize::MAX).min(roots.len());
                self.say(HubMessage::Roots(roots[from..].to_vec())).await
            }
        }
    }

    fn acknowledged(&self, ack: &Ack, known: &mut Known) {
        if ack.kind == AckKind::Held {
            known.plan = Some(ack.plan);
        }
        ingest::ack(&self.state, &self.cluster, &self.enrolment, self.state.signer.root().epoch, ack);
    }

    async fn offer(&self, published: &Arc<Published>, known: &mut Known) -> Result<(), Status> {
        let held = Held { plan: known.plan, root: known.root };
        let (offers, published, cluster) = (self.offers.clone(), published.clone(), self.cluster.clone());
        let made = tokio::task::spawn_blocking(move || offers.make(&published, &cluster, held)).await;
        let made: Option<Made> =
            made.map_err(|_| Status::internal("making the offer failed"))?.map_err(|error| {
                tracing::error!(error = causes(&error), "content cannot be read");
                Status::internal("content cannot be read")
            })?;
        let Some(Made { offer, objects }) = made else { return Ok(()) };
        known.root += offer.roots.len() as u64;
        let (plans, indexes) = (usize::from(offer.plan.is_some()), offer.inline.len() - objects);
        for (kind, count) in [(Kind::Plan, plans), (Kind::Index, indexes), (Kind::Object, objects)] {
            self.state.sent.add(kind, count);
        }
        self.say(HubMessage::Offer(Box::new(offer))).await
    }

    async fn say(&self, message: HubMessage) -> Result<(), Status> {
        let frame = convert::hub_to_wire(message);
        match tokio::time::timeout(STALLED, self.outgoing.send(Ok(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the spoke has gone")),
            Err(_) => Err(Status::resource_exhausted("the spoke does not take what it is sent")),
        }
    }
}

fn cut_off() -> Status {
    Status::aborted("a newer session, or a cut, ended this one")
}

fn decode(frame: SpokeFrame) -> Result<SpokeMessage, Status> {
    convert::spoke_from_wire(frame).map_err(|error| Status::invalid_argument(error.to_string()))
}
