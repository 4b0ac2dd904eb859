//! The messages of a session, as values: what the two sides say to each other
//! once [`crate::convert`] has checked the shape of what came off the wire.
//! Nothing here is trusted yet; documents are exact bytes to be verified.

use crate::ids::{ClusterUid, Digest};
use crate::merkle::InclusionProof;
use crate::report::Report;

/// The protocol version spoken here. A hub serves spokes up to two minors behind.
pub const PROTOCOL: u32 = 1;

/// The first message of a spoke: what it is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// The spoke's version.
    pub spoke_version: String,
    /// Random at each start.
    pub boot_id: String,
    /// UID of the kube-system namespace.
    pub cluster_uid: ClusterUid,
    /// The API server's version, as it says.
    pub kubernetes_version: String,
    /// The newest head accepted: the envelope's exact bytes; none before the first.
    pub held_head: Option<Vec<u8>>,
    /// The plan held durably with all its content; none before the first.
    pub held_plan: Option<Digest>,
    /// The newest root held.
    pub root_version: u64,
}

/// What a spoke says of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// What about it.
    pub kind: AckKind,
    /// The plan it is about.
    pub plan: Digest,
    /// The head's seq it came with.
    pub seq: u64,
    /// For [`AckKind::Refused`], the verdict's name; else empty.
    pub code: String,
    /// For people; else empty.
    pub message: String,
}

/// Kind of [`Ack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckKind {
    /// Accepted and durable.
    Held,
    /// All content is there.
    Ready,
    /// Everything in it was applied and pruned, as far as it may be.
    Applied,
    /// Refused by name.
    Refused,
}

/// Everything a spoke says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpokeMessage {
    /// First, exactly once.
    Hello(Hello),
    /// About an offer.
    Ack(Ack),
    /// What is observed.
    Report(Report),
    /// The roots after this version are missing (trust row 10).
    NeedRoots {
        /// The version held.
        after: u64,
    },
}

/// A publication as one cluster sees it. Verified by the spoke in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Envelopes of the roots the spoke lacks, ascending.
    pub roots: Vec<Vec<u8>>,
    /// The head's envelope.
    pub head: Vec<u8>,
    /// The assignment's exact bytes: the leaf data.
    pub assignment: Vec<u8>,
    /// Proof of the assignment under the head.
    pub proof: InclusionProof,
    /// The plan's exact bytes; none when the spoke said it holds it.
    pub plan: Option<Vec<u8>>,
    /// Small content sent along: bundle indexes and objects, each checked against its digest.
    pub inline: Vec<Content>,
}

/// Some bytes and the digest they were asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The digest asked for.
    pub digest: Digest,
    /// The bytes; the receiver checks them against the digest.
    pub bytes: Vec<u8>,
}

/// Everything a hub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubMessage {
    /// A publication.
    Offer(Box<Offer>),
    /// Reports up to this counter are durable.
    ReportAck {
        /// The boot they were of.
        boot_id: String,
        /// The counter.
        counter: u64,
    },
    /// Roots asked for by [`SpokeMessage::NeedRoots`], envelopes, ascending.
    Roots(Vec<Vec<u8>>),
    /// Look again at everything now (`rimward reconcile`).
    Reconcile,
}
