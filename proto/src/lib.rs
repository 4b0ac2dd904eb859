//! The contract between the Rimward hub and its spokes.
//!
//! Everything both sides must agree on lives here and nowhere else: names and
//! digests ([`ids`]), the documents that are signed or named by their digest
//! ([`root`], [`head`], [`plan`], [`bundle`], [`object`]), how they are
//! authenticated ([`envelope`], [`merkle`]), what expressions may say
//! ([`expression`]), what a spoke observed ([`report`]), and the wire messages
//! ([`convert`]). The crate is pure: no clock, no network, no filesystem.

pub mod bundle;
pub mod canonical;
pub mod convert;
pub mod envelope;
pub mod expression;
pub mod head;
pub mod ids;
pub mod limits;
pub mod merkle;
pub mod nearest;
pub mod object;
pub mod plan;
pub mod report;
pub mod root;
pub mod session;
pub mod token;
/// The generated protobuf and gRPC code; only [`convert`] and the gRPC edges touch it.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    tonic::include_proto!("rimward.v1");
}

pub use ids::{AppId, AppName, ClusterName, ClusterUid, Digest, TenantName, TrustDomain};
pub use object::{KeyParts, ObjectKey};
