//! DSSE 1.0.2 envelopes: the signature covers the exact bytes of the payload and
//! its media type, so that a document of one meaning never passes for another
//! and nothing is re-encoded before it is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::ids::{Digest, hex, unhex};
use crate::limits;

/// Why an envelope is refused, or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than [`limits::ENVELOPE_BYTES`], or with more signatures than [`limits::ENVELOPE_SIGNATURES`].
    #[error("envelope is over the size limit")]
    TooLarge,
    /// Not a DSSE envelope in JSON.
    #[error("not a DSSE envelope")]
    Parse(#[source] serde_json::Error),
    /// A base64 field is not padded base64.
    #[error("{0} is not padded base64")]
    Base64(&'static str),
    /// The payload is of another type: trust row 15.
    #[error("envelope carries {found:?}, not {expected:?}")]
    WrongType {
        /// The media type asked for.
        expected: &'static str,
        /// The one found.
        found: String,
    },
    /// Fewer good signatures by different keys than needed: trust rows 11 and 16.
    #[error("{good} good signatures of the {threshold} needed")]
    BadSignature {
        /// Good signatures by different keys of the role.
        good: usize,
        /// Signatures needed.
        threshold: usize,
    },
    /// The private key is not an Ed25519 key in PKCS#8.
    #[error("not an Ed25519 private key in PKCS#8")]
    PrivateKey,
}

/// One signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key's id; see [`PublicKey::id`].
    pub keyid: String,
    /// Padded base64 of the 64 signature bytes.
    pub sig: String,
}

/// A DSSE envelope in its JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Padded base64 of the payload's exact bytes.
    pub payload: String,
    /// Media type of the payload, ASCII.
    pub payload_type: String,
    /// The signatures over [`pae`] of both.
    pub signatures: Vec<Signature>,
}

/// DSSE pre-authentication encoding: what is signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// An envelope around `payload`, signed by each of `keys`.
    pub fn sign(payload_type: &str, payload: &[u8], keys: &[&SecretKey]) -> Self {
        let message = pae(payload_type, payload);
        let signatures = keys
            .iter()
            .map(|key| Signature { keyid: key.public().id(), sig: STANDARD.encode(key.sign(&message)) })
            .collect();
        Self { payload: STANDARD.encode(payload), payload_type: payload_type.to_owned(), signatures }
    }

    /// Reads an envelope from its JSON bytes; nothing is verified yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > limits::ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(EnvelopeError::Parse)?;
        if envelope.signatures.len() > limits::ENVELOPE_SIGNATURES {
            return Err(EnvelopeError::TooLarge);
        }
        Ok(envelope)
    }

    /// The envelope's JSON bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("an envelope is three strings and a list of strings")
    }

    /// The payload's exact bytes, **unverified**: for looking up which root verifies it, never for acting on it.
    pub fn payload_unverified(&self) -> Result<Vec<u8>, EnvelopeError> {
        STANDARD.decode(&self.payload).map_err(|_| EnvelopeError::Base64("payload"))
    }

    /// The payload's exact bytes, once `role` has signed them as `payload_type`.
    pub fn verify(&self, payload_type: &'static str, role: &Role) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload_type != payload_type {
            let found = self.payload_type.escape_default().take(100).collect();
            return Err(EnvelopeError::WrongType { expected: payload_type, found });
        }
        let payload = self.payload_unverified()?;
        let message = pae(payload_type, &payload);
        let good: BTreeSet<&PublicKey> =
            self.signatures.iter().filter_map(|signature| role.check(signature, &message)).collect();
        // A threshold of 0 would accept anything; it counts as 1.
        let threshold = role.threshold.max(1);
        if good.len() < threshold {
            return Err(EnvelopeError::BadSignature { good: good.len(), threshold });
        }
        Ok(payload)
    }
}

/// An Ed25519 public key in the shape of TUF 1.0 §4.2 and securesystemslib, so that public tools verify ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublicKey {
    keytype: String,
    scheme: String,
    keyval: KeyVal,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct KeyVal {
    public: String,
}

impl PublicKey {
    /// A key from its 32 raw bytes.
    pub fn from_raw(raw: &[u8]) -> Self {
        Self { keytype: "ed25519".into(), scheme: "ed25519".into(), keyval: KeyVal { public: hex(raw) } }
    }

    /// The key's id: hex SHA-256 of its canonical JSON (TUF 1.0 §4.2).
    pub fn id(&self) -> String {
        let bytes = canonical::to_bytes(self).expect("a key is an object of strings");
        Digest::of(&bytes).hex()
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let known = self.keytype == "ed25519" && self.scheme == "ed25519";
        let raw = unhex(&self.keyval.public).filter(|raw| raw.len() == 32);
        known
            && raw.is_some_and(|raw| UnparsedPublicKey::new(&ED25519, raw).verify(message, signature).is_ok())
    }
}

/// The keys that may sign one kind of document, and how many of them must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Keys by id.
    pub keys: BTreeMap<String, PublicKey>,
    /// How many different keys must have signed.
    pub threshold: usize,
}

impl Role {
    /// A role of these keys.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>, threshold: usize) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.id(), key)).collect(), threshold }
    }

    fn check(&self, signature: &Signature, message: &[u8]) -> Option<&PublicKey> {
        // The id must be the key's own: one key listed under two ids must not count twice.
        let key = self.keys.get(&signature.keyid).filter(|key| key.id() == signature.keyid)?;
        let bytes = STANDARD.decode(&signature.sig).ok()?;
        key.verifies(message, &bytes).then_some(key)
    }
}

/// An Ed25519 private key. Never printed, never serialized except by [`SecretKey::to_pkcs8`].
pub struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// A key from its PKCS#8 bytes.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Ed25519KeyPair::from_pkcs8(bytes).map(Self).map_err(|_| EnvelopeError::PrivateKey)
    }

    /// The key of a seed: 32 random bytes, which are the key (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, EnvelopeError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| EnvelopeError::PrivateKey)
    }

    /// The key's PKCS#8 bytes, for the one place that stores it.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, EnvelopeError> {
        let document = self.0.to_pkcs8().map_err(|_| EnvelopeError::PrivateKey)?;
        Ok(document.as_ref().to_vec())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::from_raw(self.0.public_key().as_ref())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public().id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/vnd.rimward.test+json";

    fn key(seed: u8) -> SecretKey {
        let key = SecretKey::from_seed(&[seed; 32]).unwrap();
        SecretKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap()
    }

    #[test]
    fn pae_is_the_one_of_the_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_threshold_counts_keys_not_signatures() {
        let (one, two) = (key(1), key(2));
        let role = Role::new([one.public(), two.public()], 2);
        let both = Envelope::sign(TYPE, b"{}", &[&one, &two]);
        assert_eq!(Envelope::parse(&both.to_bytes()).unwrap().verify(TYPE, &role).unwrap(), b"{}");
        let twice = Envelope::sign(TYPE, b"{}", &[&one, &one]);
        assert!(matches!(
            twice.verify(TYPE, &role),
            Err(EnvelopeError::BadSignature { good: 1, threshold: 2 })
        ));
    }

    #[test]
    fn one_key_under_two_ids_counts_once() {
        let one = key(1);
        let mut role = Role::new([one.public()], 2);
        role.keys.insert("alias".into(), one.public());
        let mut twice = Envelope::sign(TYPE, b"{}", &[&one, &one]);
        twice.signatures[1].keyid = "alias".into();
        assert!(twice.verify(TYPE, &role).is_err());
    }

    #[test]
    fn another_type_key_or_payload_is_refused() {
        let (one, other) = (key(1), key(2));
        let role = Role::new([one.public()], 1);
        let good = Envelope::sign(TYPE, b"{}", &[&one]);
        assert!(matches!(good.verify("application/other", &role), Err(EnvelopeError::WrongType { .. })));
        assert!(Envelope::sign(TYPE, b"{}", &[&other]).verify(TYPE, &role).is_err());
        let mut changed = good.clone();
        changed.payload = STANDARD.encode(b"{ }");
        assert!(changed.verify(TYPE, &role).is_err());
        assert!(good.verify(TYPE, &Role::new([], 0)).is_err());
    }
}
