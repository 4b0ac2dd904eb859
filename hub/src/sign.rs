//! The only place that holds the head key. It signs heads and nothing else, and
//! only while the current root names the key. What a head covers is looked at
//! once more before ([`scope`]).

pub mod scope;

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rimward_proto::envelope::{Envelope, EnvelopeError, SecretKey};
use rimward_proto::head::{self, Floor, Head};
use rimward_proto::root::{Root, RootError};
use rimward_proto::{Digest, TrustDomain};
use zeroize::Zeroizing;

use crate::datadir::{self, DataError};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Why nothing can be signed, or a head is not ours.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A key or root file cannot be read.
    #[error("keys and roots cannot be read")]
    Data(#[from] DataError),
    /// A key file is not a key.
    #[error("{0} is not an Ed25519 private key in PEM (PKCS#8)")]
    Key(String),
    /// No root, or a gap in their versions.
    #[error("root/{0}.json is missing")]
    NoRoot(u64),
    /// A root does not verify.
    #[error("root/{version}.json is not valid")]
    Root {
        /// Which.
        version: u64,
        /// Why.
        #[source]
        source: RootError,
    },
    /// An envelope does not verify.
    #[error("the envelope is not valid")]
    Envelope(#[from] EnvelopeError),
    /// The root does not name the head key.
    #[error("root {0} does not name the head key in keys/head.pem")]
    NotNamed(u64),
    /// The head is not one of this fleet.
    #[error("not a head of this fleet")]
    ForeignHead,
}

/// The head key, and the chain of roots that makes it one.
pub struct Signer {
    key: SecretKey,
    chain: Vec<Root>,
    envelopes: Arc<Vec<Vec<u8>>>,
}

impl Signer {
    /// Reads `keys/head.pem` and the chain in `root/`, and checks that the newest root names the key.
    pub fn load(keys: &Path, roots: &Path) -> Result<Self, SignError> {
        let key = read_key(&keys.join("head.pem"))?;
        let (chain, envelopes) = read_chain(roots)?;
        let root = chain.last().ok_or(SignError::NoRoot(1))?;
        if !root.head_keys.keys.contains_key(&key.public().id()) {
            return Err(SignError::NotNamed(root.version));
        }
        Ok(Self { key, chain, envelopes: Arc::new(envelopes) })
    }

    /// The root in force.
    pub fn root(&self) -> &Root {
        self.chain.last().expect("load refuses an empty chain")
    }

    /// All root envelopes, ascending from 1.
    pub fn roots(&self) -> &Arc<Vec<Vec<u8>>> {
        &self.envelopes
    }

    /// What tokens pin: the digest of root 1's payload.
    pub fn pin(&self) -> Result<Digest, SignError> {
        let first = self.envelopes.first().ok_or(SignError::NoRoot(1))?;
        Ok(Digest::of(&Envelope::parse(first)?.payload_unverified()?))
    }

    /// Signs a head, if it is one that the root in force lets this key sign.
    pub fn sign(&self, head: &Head) -> Result<Vec<u8>, SignError> {
        let root = self.root();
        let ours = (&head.trust_domain, head.epoch, head.root_version)
            == (&root.trust_domain, root.epoch, root.version);
        if ours { Ok(head.sign(&self.key).to_bytes()) } else { Err(SignError::ForeignHead) }
    }

    /// The floor of a head that a spoke holds, if a head key of this fleet signed it.
    pub fn verify_head(&self, envelope: &[u8]) -> Result<Floor, SignError> {
        let envelope = Envelope::parse(envelope)?;
        let claimed = Head::parse(&envelope.payload_unverified()?).map_err(|_| SignError::ForeignHead)?;
        let root = self.chain.iter().find(|root| root.version == claimed.root_version);
        let root = root.ok_or(SignError::ForeignHead)?;
        let payload = envelope.verify(head::MEDIA_TYPE, &root.head_keys)?;
        let head = Head::parse(&payload).map_err(|_| SignError::ForeignHead)?;
        if head.trust_domain == root.trust_domain { Ok(head.floor()) } else { Err(SignError::ForeignHead) }
    }
}

/// Reads the chain of roots from 1 up and verifies each step.
fn read_chain(folder: &Path) -> Result<(Vec<Root>, Vec<Vec<u8>>), SignError> {
    let (mut chain, mut envelopes) = (Vec::<Root>::new(), Vec::new());
    for version in 1.. {
        let path = folder.join(format!("{version}.json"));
        if !path.exists() {
            break;
        }
        let bytes = datadir::read(&path)?;
        let envelope = Envelope::parse(&bytes)?;
        let root = match chain.last() {
            // The file lies in our own directory: it is the pin.
            None => Root::first(&envelope, Digest::of(&envelope.payload_unverified()?)),
            Some(held) => held.next(&envelope),
        };
        chain.push(root.map_err(|source| SignError::Root { version, source })?);
        envelopes.push(bytes);
    }
    Ok((chain, envelopes))
}

/// A private key as PEM.
pub fn key_to_pem(pkcs8: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(pkcs8));
    Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", *body))
}

/// A private key from a PEM file.
pub fn read_key(path: &Path) -> Result<SecretKey, SignError> {
    let bytes = Zeroizing::new(datadir::read(path)?);
    let bad = || SignError::Key(path.display().to_string());
    let text = std::str::from_utf8(&bytes).map_err(|_| bad())?;
    let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or_else(bad)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let pkcs8 = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| bad())?);
    SecretKey::from_pkcs8(&pkcs8).map_err(|_| bad())
}

/// Root 1 in its envelope.
pub fn first_root(
    trust_domain: TrustDomain,
    root_key: &SecretKey,
    head_key: &SecretKey,
    ca_bundle: &str,
    expires: Timestamp,
) -> Vec<u8> {
    use rimward_proto::envelope::Role;
    let root = Root {
        version: 1,
        trust_domain,
        epoch: 1,
        expires,
        root_keys: Role::new([root_key.public()], 1),
        head_keys: Role::new([head_key.public()], 1),
        ca_bundle: ca_bundle.to_owned(),
        critical: Vec::new(),
    };
    root.sign(&[root_key]).to_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use rimward_proto::head::TreeId;

    use super::*;

    fn key(path: &Path) -> SecretKey {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let seed = [NEXT.fetch_add(1, Ordering::Relaxed); 32];
        let pkcs8 = SecretKey::from_seed(&seed).unwrap().to_pkcs8().unwrap();
        std::fs::write(path, key_to_pem(&pkcs8).as_bytes()).unwrap();
        read_key(path).unwrap()
    }

    fn folder() -> (tempfile::TempDir, SecretKey) {
        let temp = tempfile::tempdir().unwrap();
        let (root, head) = (key(&temp.path().join("root.pem")), key(&temp.path().join("head.pem")));
        let domain = TrustDomain::new("acme.example").unwrap();
        let bytes = first_root(domain, &root, &head, "", Timestamp::MAX);
        std::fs::write(temp.path().join("1.json"), bytes).unwrap();
        (temp, root)
    }

    fn head(signer: &Signer) -> Head {
        let root = signer.root();
        Head {
            trust_domain: root.trust_domain.clone(),
            epoch: root.epoch,
            seq: 7,
            root_version: root.version,
            tree: TreeId { size: 1, hash: Digest::of(b"tree") },
            issued: Timestamp::UNIX_EPOCH,
            expires: Timestamp::MAX,
            critical: Vec::new(),
        }
    }

    #[test]
    fn signs_heads_that_it_verifies_and_refuses_foreign_ones() {
        let (one, _) = folder();
        let (two, _) = folder();
        let signer = Signer::load(one.path(), one.path()).unwrap();
        let head = head(&signer);
        let envelope = signer.sign(&head).unwrap();
        assert_eq!(signer.verify_head(&envelope).unwrap(), head.floor());
        let other = Signer::load(two.path(), two.path()).unwrap();
        assert!(other.verify_head(&envelope).is_err());
        let root = signer.roots()[0].clone();
        assert!(signer.verify_head(&root).is_err(), "a root is not a head");
        let raised = Head { epoch: 2, ..head };
        assert!(signer.sign(&raised).is_err(), "only a root raises the epoch");
    }

    #[test]
    fn a_key_that_the_root_does_not_name_is_refused() {
        let (temp, _) = folder();
        key(&temp.path().join("head.pem"));
        assert!(matches!(Signer::load(temp.path(), temp.path()), Err(SignError::NotNamed(1))));
        std::fs::remove_file(temp.path().join("1.json")).unwrap();
        assert!(matches!(Signer::load(temp.path(), temp.path()), Err(SignError::NoRoot(1))));
    }
}
