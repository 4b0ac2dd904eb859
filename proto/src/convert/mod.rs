//! Where wire types stop: each message is checked for shape and becomes a value
//! of [`crate::session`] or [`crate::report`], or a named error. Nothing past
//! this module sees a prost type, except the gRPC edges that carry them.

mod report;

use crate::ids::{ClusterUid, Digest};
use crate::limits;
use crate::merkle::InclusionProof;
use crate::session::{Ack, AckKind, Content, Hello, HubMessage, Offer, SpokeMessage};
use crate::wire;

/// A message of the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be there is not.
    #[error("message lacks {0}")]
    Missing(&'static str),
    /// A field has a value it cannot have.
    #[error("message has an invalid {0}")]
    Invalid(&'static str),
    /// A list or text is longer than its limit.
    #[error("message has too many or too large {0}")]
    TooLarge(&'static str),
}

pub(crate) type Result<T> = std::result::Result<T, ConvertError>;

pub(crate) fn digest(bytes: &[u8], field: &'static str) -> Result<Digest> {
    bytes.try_into().map(Digest::from_bytes).map_err(|_| ConvertError::Invalid(field))
}

pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T> {
    value.ok_or(ConvertError::Missing(field))
}

pub(crate) fn at_most<T>(list: &[T], limit: usize, field: &'static str) -> Result<()> {
    if list.len() <= limit { Ok(()) } else { Err(ConvertError::TooLarge(field)) }
}

fn bytes_of(digest: &Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

/// A spoke's message onto the wire.
pub fn spoke_to_wire(message: SpokeMessage) -> wire::SpokeFrame {
    use wire::spoke_frame::Message as M;
    let message = match message {
        SpokeMessage::Hello(hello) => M::Hello(hello_to_wire(hello)),
        SpokeMessage::Ack(ack) => M::Ack(ack_to_wire(ack)),
        SpokeMessage::Report(report) => M::Report(report::to_wire(report)),
        SpokeMessage::NeedRoots { after } => M::NeedRoots(wire::NeedRoots { after }),
    };
    wire::SpokeFrame { message: Some(message) }
}

/// A spoke's message off the wire.
pub fn spoke_from_wire(frame: wire::SpokeFrame) -> Result<SpokeMessage> {
    use wire::spoke_frame::Message as M;
    Ok(match required(frame.message, "message")? {
        M::Hello(hello) => SpokeMessage::Hello(hello_from_wire(hello)?),
        M::Ack(ack) => SpokeMessage::Ack(ack_from_wire(ack)?),
        M::Report(report) => SpokeMessage::Report(report::from_wire(report)?),
        M::NeedRoots(need) => SpokeMessage::NeedRoots { after: need.after },
    })
}

/// A hub's message onto the wire.
pub fn hub_to_wire(message: HubMessage) -> wire::HubFrame {
    use wire::hub_frame::Message as M;
    let message = match message {
        HubMessage::Offer(offer) => M::Offer(offer_to_wire(*offer)),
        HubMessage::ReportAck { boot_id, counter } => M::ReportAck(wire::ReportAck { boot_id, counter }),
        HubMessage::Roots(envelopes) => M::Roots(wire::Roots { envelopes }),
        HubMessage::Reconcile => M::Reconcile(wire::Reconcile {}),
    };
    wire::HubFrame { message: Some(message) }
}

/// A hub's message off the wire.
pub fn hub_from_wire(frame: wire::HubFrame) -> Result<HubMessage> {
    use wire::hub_frame::Message as M;
    Ok(match required(frame.message, "message")? {
        M::Offer(offer) => HubMessage::Offer(Box::new(offer_from_wire(offer)?)),
        M::ReportAck(ack) => HubMessage::ReportAck { boot_id: ack.boot_id, counter: ack.counter },
        M::Roots(roots) => {
            at_most(&roots.envelopes, limits::ROOT_CHAIN, "roots")?;
            HubMessage::Roots(roots.envelopes)
        }
        M::Reconcile(_) => HubMessage::Reconcile,
    })
}

fn hello_to_wire(hello: Hello) -> wire::Hello {
    wire::Hello {
        protocol: hello.protocol,
        spoke_version: hello.spoke_version,
        boot_id: hello.boot_id,
        cluster_uid: hello.cluster_uid.into(),
        kubernetes_version: hello.kubernetes_version,
        held_head: hello.held_head,
        held_plan: hello.held_plan.as_ref().map(bytes_of),
        root_version: hello.root_version,
    }
}

fn hello_from_wire(hello: wire::Hello) -> Result<Hello> {
    if hello.held_head.as_ref().is_some_and(|head| head.len() > limits::ENVELOPE_BYTES) {
        return Err(ConvertError::TooLarge("held_head"));
    }
    Ok(Hello {
        protocol: hello.protocol,
        spoke_version: hello.spoke_version,
        boot_id: hello.boot_id,
        cluster_uid: ClusterUid::new(hello.cluster_uid).map_err(|_| ConvertError::Invalid("cluster_uid"))?,
        kubernetes_version: hello.kubernetes_version,
        held_head: hello.held_head,
        held_plan: hello.held_plan.map(|bytes| digest(&bytes, "held_plan")).transpose()?,
        root_version: hello.root_version,
    })
}

fn ack_to_wire(ack: Ack) -> wire::Ack {
    let kind = match ack.kind {
        AckKind::Held => wire::ack::Kind::Held,
        AckKind::Ready => wire::ack::Kind::Ready,
        AckKind::Applied => wire::ack::Kind::Applied,
        AckKind::Refused => wire::ack::Kind::Refused,
    };
    let plan = bytes_of(&ack.plan);
    wire::Ack { kind: kind.into(), plan, seq: ack.seq, code: ack.code, message: ack.message }
}

fn ack_from_wire(ack: wire::Ack) -> Result<Ack> {
    let kind = match ack.kind() {
        wire::ack::Kind::Unspecified => return Err(ConvertError::Invalid("ack kind")),
        wire::ack::Kind::Held => AckKind::Held,
        wire::ack::Kind::Ready => AckKind::Ready,
        wire::ack::Kind::Applied => AckKind::Applied,
        wire::ack::Kind::Refused => AckKind::Refused,
    };
    Ok(Ack { kind, plan: digest(&ack.plan, "plan")?, seq: ack.seq, code: ack.code, message: ack.message })
}

fn offer_to_wire(offer: Offer) -> wire::Offer {
    let InclusionProof { index, size, hashes } = offer.proof;
    wire::Offer {
        roots: offer.roots,
        head: offer.head,
        assignment: offer.assignment,
        proof: Some(wire::Proof { index, size, hashes: hashes.iter().map(bytes_of).collect() }),
        plan: offer.plan,
        inline: offer.inline.into_iter().map(content_to_wire).collect(),
    }
}

fn offer_from_wire(offer: wire::Offer) -> Result<Offer> {
    at_most(&offer.roots, limits::ROOT_CHAIN, "roots")?;
    let proof = required(offer.proof, "proof")?;
    at_most(&proof.hashes, limits::PROOF_HASHES, "proof hashes")?;
    let hashes = proof.hashes.iter().map(|hash| digest(hash, "proof hash")).collect::<Result<_>>()?;
    Ok(Offer {
        roots: offer.roots,
        head: offer.head,
        assignment: offer.assignment,
        proof: InclusionProof { index: proof.index, size: proof.size, hashes },
        plan: offer.plan,
        inline: offer.inline.into_iter().map(content_from_wire).collect::<Result<_>>()?,
    })
}

/// Some content onto the wire.
pub fn content_to_wire(content: Content) -> wire::ContentItem {
    wire::ContentItem { digest: bytes_of(&content.digest), data: content.bytes }
}

/// Some content off the wire; its bytes are not yet checked against the digest.
pub fn content_from_wire(item: wire::ContentItem) -> Result<Content> {
    Ok(Content { digest: digest(&item.digest, "content digest")?, bytes: item.data })
}

/// A request for content onto the wire.
pub fn fetch_to_wire(digests: &[Digest]) -> wire::FetchRequest {
    wire::FetchRequest { digests: digests.iter().map(bytes_of).collect() }
}

/// A request for content off the wire.
pub fn fetch_from_wire(request: wire::FetchRequest) -> Result<Vec<Digest>> {
    at_most(&request.digests, limits::FETCH_DIGESTS, "digests")?;
    request.digests.iter().map(|bytes| digest(bytes, "digest")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offer_round_trips_and_a_short_hash_is_refused() {
        let offer = Offer {
            roots: vec![vec![1]],
            head: vec![2],
            assignment: vec![3],
            proof: InclusionProof { index: 1, size: 2, hashes: vec![Digest::of(b"x")] },
            plan: Some(vec![]),
            inline: vec![Content { digest: Digest::of(b"y"), bytes: b"y".to_vec() }],
        };
        let message = HubMessage::Offer(Box::new(offer));
        let mut frame = hub_to_wire(message.clone());
        assert_eq!(hub_from_wire(frame.clone()), Ok(message));
        if let Some(wire::hub_frame::Message::Offer(offer)) = &mut frame.message {
            offer.proof.as_mut().unwrap().hashes[0].pop();
        }
        assert_eq!(hub_from_wire(frame), Err(ConvertError::Invalid("proof hash")));
        assert_eq!(hub_from_wire(wire::HubFrame::default()), Err(ConvertError::Missing("message")));
    }
}
