//! Enrolment: a token becomes a certificate. The hub is trusted because it leads
//! to the CA that the token names, and the fleet's roots because they start with
//! the one the token names; nothing else the hub says is believed.

use std::sync::Arc;

use rimward_proto::envelope::{Envelope, EnvelopeError};
use rimward_proto::root::{Root, RootError};
use rimward_proto::token::Token;
use rimward_proto::wire::enrolment_client::EnrolmentClient;
use rimward_proto::wire::{EnrollRequest, IdentityResponse};
use rimward_proto::{ClusterName, ClusterUid, Digest, limits};

use super::dial::{DialError, Dialer};
use super::identity::{Identity, IdentityError, Pending, SecretPem, pem_chain};
use super::tls;
use crate::store::object::StoreError;
use crate::store::secret::SecretStore;

/// Certificates in an answer: leaf, perhaps an intermediate, CA.
const CHAIN: usize = 8;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The hub cannot be reached.
    #[error("the hub cannot be reached")]
    Dial(#[source] DialError),
    /// The hub says no, or not now.
    #[error("error[RW6010]: the hub refuses: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
    /// A root in the answer is not what it must be.
    #[error("error[RW6011]: the hub's root is not trusted")]
    Root(#[source] RootError),
    /// A root in the answer is no envelope.
    #[error("error[RW6011]: the hub's root is not trusted")]
    Envelope(#[source] EnvelopeError),
    /// The answer lacks something, or has too much.
    #[error("error[RW6012]: the hub's answer has no usable {0}")]
    Answer(&'static str),
    /// The certificate is not for us.
    #[error("the certificate cannot be used")]
    Identity(#[source] IdentityError),
    /// The result cannot be kept.
    #[error("the identity cannot be stored")]
    Store(#[source] StoreError),
    /// The CA bundle of the root cannot be used.
    #[error("the root cannot be used")]
    Tls(#[source] tls::TlsError),
}

impl EnrolError {
    /// True if trying again may help.
    pub fn is_transient(&self) -> bool {
        use tonic::Code;
        match self {
            Self::Dial(_) => true,
            Self::Store(error) => !error.is_conflict(),
            Self::Refused(status) => !matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::NotFound
                    | Code::AlreadyExists
                    | Code::PermissionDenied
                    | Code::FailedPrecondition
                    | Code::Unauthenticated
                    | Code::Unimplemented
            ),
            _ => false,
        }
    }
}

/// Who enrols, and with what.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// How the hub is reached.
    pub dialer: &'a Dialer,
    /// The token.
    pub token: &'a Token,
    /// Our name.
    pub cluster: &'a ClusterName,
    /// Our cluster's UID.
    pub cluster_uid: &'a ClusterUid,
    /// Where the result is kept.
    pub secret: &'a SecretStore,
}

impl Enrolment<'_> {
    /// Exchanges the token. `pending` is the key of an earlier try: the hub answers the same key again, another never.
    /// Returns the identity and the newest root's envelope, both stored.
    pub async fn run(&self, pending: Option<Pending>) -> Result<(Identity, Vec<u8>), EnrolError> {
        let pending = match pending {
            Some(pending) => pending,
            None => {
                let pending =
                    Pending { key: SecretPem::generate().map_err(EnrolError::Identity)?, counter: 0 };
                self.secret.save_pending(&pending).await.map_err(EnrolError::Store)?;
                pending
            }
        };
        let answer = self.ask(&pending).await?;
        let (root, envelope) = newest_root(&answer.roots, self.token.root)?;
        if root.trust_domain.as_str() != answer.trust_domain {
            return Err(EnrolError::Answer("trust domain"));
        }
        tls::roots(&root.ca_bundle).map_err(EnrolError::Tls)?;
        let identity = Identity {
            trust_domain: root.trust_domain,
            cluster: self.cluster.clone(),
            cluster_uid: self.cluster_uid.clone(),
            key: pending.key,
            chain: chain(&answer)?,
            counter: pending.counter,
        };
        identity.check().map_err(EnrolError::Identity)?;
        self.secret.save_identity(&identity, Some(&envelope)).await.map_err(EnrolError::Store)?;
        Ok((identity, envelope))
    }

    async fn ask(&self, pending: &Pending) -> Result<IdentityResponse, EnrolError> {
        let tls = Arc::new(tls::pinned(self.token.ca));
        let channel = self.dialer.connect(tls).await.map_err(EnrolError::Dial)?;
        let request = EnrollRequest {
            token_id: self.token.id.clone(),
            secret: self.token.secret.to_vec(),
            cluster: self.cluster.to_string(),
            cluster_uid: self.cluster_uid.to_string(),
            csr: pending.key.csr().map_err(EnrolError::Identity)?,
        };
        let mut client = EnrolmentClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES);
        match client.enroll(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(EnrolError::Refused(Box::new(status))),
        }
    }
}

/// The newest of a chain of roots that starts with the pinned one, and its envelope.
fn newest_root(envelopes: &[Vec<u8>], pin: Digest) -> Result<(Root, Vec<u8>), EnrolError> {
    let (first, rest) = envelopes.split_first().ok_or(EnrolError::Answer("root"))?;
    if envelopes.len() > limits::ROOT_CHAIN {
        return Err(EnrolError::Answer("root"));
    }
    let parse = |bytes: &[u8]| Envelope::parse(bytes).map_err(EnrolError::Envelope);
    let mut root = Root::first(&parse(first)?, pin).map_err(EnrolError::Root)?;
    for envelope in rest {
        root = root.next(&parse(envelope)?).map_err(EnrolError::Root)?;
    }
    Ok((root, rest.last().unwrap_or(first).clone()))
}

/// The certificate chain of an answer, as PEM.
pub(super) fn chain(answer: &IdentityResponse) -> Result<String, EnrolError> {
    if answer.chain.is_empty() || answer.chain.len() > CHAIN {
        return Err(EnrolError::Answer("certificate"));
    }
    Ok(pem_chain(&answer.chain))
}
