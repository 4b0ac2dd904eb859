//! The root: which keys may sign roots and heads, for which trust domain, in
//! which epoch. Its keys stay offline. Chains follow TUF 1.0 §5.3: N+1 must be
//! signed by the thresholds of both N and N+1.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::envelope::{Envelope, EnvelopeError, Role, SecretKey};
use crate::ids::{Digest, TrustDomain};

/// Media type of a root.
pub const MEDIA_TYPE: &str = "application/vnd.rimward.root.v1+json";

/// The signed statement of who may sign what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// 1, 2, 3 … without gaps.
    pub version: u64,
    /// The fleet this root is for.
    pub trust_domain: TrustDomain,
    /// Only root keys can raise it, so a stolen head key cannot push seq out of reach for good.
    pub epoch: u64,
    /// After this a root warns, but stays in force: an expired root must not stop a fleet.
    pub expires: Timestamp,
    /// Who signs the next root.
    pub root_keys: Role,
    /// Who signs heads.
    pub head_keys: Role,
    /// PEM of the certificate authorities that vouch for the hub and the spokes.
    pub ca_bundle: String,
    /// Names of fields a reader must understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
}

/// Why a root is refused; the names are those of the verdict table.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Row 11: not signed by a threshold, or not a root at all.
    #[error("root is not signed as it must be")]
    RootSignature(#[source] EnvelopeError),
    /// The payload is not a root document.
    #[error("root document is malformed")]
    Parse(#[source] serde_json::Error),
    /// Row 1: root 1 is not the one the token names.
    #[error("root 1 is {found}, the token pins {pinned}")]
    Pin {
        /// Digest the token names.
        pinned: Digest,
        /// Digest of what came.
        found: Digest,
    },
    /// Row 10: not the next version.
    #[error("root {found} does not follow root {held}")]
    RootGap {
        /// The version held.
        held: u64,
        /// The version received.
        found: u64,
    },
    /// Row 25.
    #[error("root is for trust domain {found}, not {expected}")]
    WrongDomain {
        /// The domain held.
        expected: TrustDomain,
        /// The one received.
        found: TrustDomain,
    },
    /// The epoch went back.
    #[error("root {version} lowers the epoch from {held} to {found}")]
    EpochBack {
        /// Its version.
        version: u64,
        /// The epoch held.
        held: u64,
        /// The epoch in it.
        found: u64,
    },
    /// Row 24.
    #[error("root needs {0:?}, which this version does not understand")]
    Unsupported(String),
}

impl Root {
    /// The root in an envelope signed by `keys`.
    pub fn sign(&self, keys: &[&SecretKey]) -> Envelope {
        let payload = canonical::to_bytes(self).expect("a root is strings, integers and maps of strings");
        Envelope::sign(MEDIA_TYPE, &payload, keys)
    }

    /// The first root, which must be the one `pin` names (sha256 of its payload) and be signed by its own keys.
    pub fn first(envelope: &Envelope, pin: Digest) -> Result<Self, RootError> {
        let payload = envelope.payload_unverified().map_err(RootError::RootSignature)?;
        let found = Digest::of(&payload);
        if found != pin {
            return Err(RootError::Pin { pinned: pin, found });
        }
        let root = Self::parse(&payload)?;
        envelope.verify(MEDIA_TYPE, &root.root_keys).map_err(RootError::RootSignature)?;
        root.understood()
    }

    /// The root in `envelope` if it is the one after `self`, signed by the thresholds of both.
    pub fn next(&self, envelope: &Envelope) -> Result<Self, RootError> {
        let payload = envelope.payload_unverified().map_err(RootError::RootSignature)?;
        let next = Self::parse(&payload)?;
        if next.version != self.version + 1 {
            return Err(RootError::RootGap { held: self.version, found: next.version });
        }
        for role in [&self.root_keys, &next.root_keys] {
            envelope.verify(MEDIA_TYPE, role).map_err(RootError::RootSignature)?;
        }
        if next.trust_domain != self.trust_domain {
            let (expected, found) = (self.trust_domain.clone(), next.trust_domain);
            return Err(RootError::WrongDomain { expected, found });
        }
        if next.epoch < self.epoch {
            return Err(RootError::EpochBack { version: next.version, held: self.epoch, found: next.epoch });
        }
        next.understood()
    }

    /// Reads a root that was verified before it was stored.
    pub fn parse(payload: &[u8]) -> Result<Self, RootError> {
        serde_json::from_slice(payload).map_err(RootError::Parse)
    }

    fn understood(self) -> Result<Self, RootError> {
        match self.critical.first() {
            Some(field) => Err(RootError::Unsupported(field.clone())),
            None => Ok(self),
        }
    }
}
