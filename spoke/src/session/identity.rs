//! Who this spoke is: a key that never leaves the cluster, the certificate the
//! hub made for it, and when it is renewed.

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use rimward_proto::{ClusterName, ClusterUid, TrustDomain};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// What a renewal's signature covers, before counter and CSR.
const RENEW_CONTEXT: &[u8] = b"rimward-renew-v1\0";
/// Share of a certificate's life after which it is renewed, give or take [`JITTER`].
const HALF: f64 = 0.5;
/// Spokes enrolled by one script must not renew in one second.
const JITTER: f64 = 0.1;
/// Certificates in our chain: leaf, perhaps an intermediate, and the CA.
const CHAIN: usize = 8;

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key cannot be made, read or used.
    #[error("error[RW6001]: the spoke's key cannot be used")]
    Key(#[source] rcgen::Error),
    /// The certificate cannot be read.
    #[error("error[RW6002]: the spoke's certificate cannot be read: {0}")]
    Certificate(&'static str),
    /// The certificate is of somebody else.
    #[error("error[RW6003]: the certificate is for {found:?}, not for {expected:?}")]
    Name {
        /// The SPIFFE ID it should have.
        expected: String,
        /// The ones it has.
        found: Vec<String>,
    },
    /// The certificate has another public key than ours.
    #[error("error[RW6004]: the certificate is not for this spoke's key")]
    OtherKey,
    /// What is stored is of another cluster than the configuration's.
    #[error("error[RW6005]: the stored identity is of cluster {stored}, the configuration says {configured}")]
    OtherCluster {
        /// The one stored.
        stored: ClusterName,
        /// The one configured.
        configured: ClusterName,
    },
}

/// A key pair. Never printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretPem(Zeroizing<String>);

impl std::fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretPem")
    }
}

impl SecretPem {
    /// A new ECDSA P-256 key, the one kind that the hub certifies.
    pub fn generate() -> Result<Self, IdentityError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Key)?;
        Ok(Self(Zeroizing::new(pair.serialize_pem())))
    }

    fn pair(&self) -> Result<KeyPair, IdentityError> {
        KeyPair::from_pem(&self.0).map_err(IdentityError::Key)
    }

    /// A request for a certificate of this key, DER. The hub takes only the public key from it.
    pub fn csr(&self) -> Result<Vec<u8>, IdentityError> {
        let request =
            CertificateParams::default().serialize_request(&self.pair()?).map_err(IdentityError::Key)?;
        Ok(request.der().to_vec())
    }

    /// The signature by which a renewal proves possession of this key.
    pub fn sign_renewal(&self, counter: u64, csr: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let message = [RENEW_CONTEXT, &counter.to_be_bytes(), csr].concat();
        self.pair()?.sign(&message).map_err(IdentityError::Key)
    }

    /// The key for TLS.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        let der = self.pair()?.serialize_der();
        Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)))
    }

    fn public_key(&self) -> Result<Vec<u8>, IdentityError> {
        Ok(self.pair()?.public_key_raw().to_vec())
    }
}

/// A key that was asked a certificate for, and not yet answered. Stored before it is asked for: the same question
/// again gets the same answer, another key would not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The key.
    pub key: SecretPem,
    /// The renewal's counter; 0 for the enrolment.
    pub counter: u64,
}

/// An enrolled spoke's identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The fleet.
    pub trust_domain: TrustDomain,
    /// Our name in it.
    pub cluster: ClusterName,
    /// UID of this cluster's kube-system namespace at enrolment.
    pub cluster_uid: ClusterUid,
    /// The key.
    pub key: SecretPem,
    /// PEM of the certificate and what leads to its CA, leaf first.
    pub chain: String,
    /// Renewals so far.
    pub counter: u64,
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
}

impl Validity {
    /// When to renew; `fraction` is random in 0..1.
    pub fn renew_at(&self, fraction: f64) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before).as_secs_f64();
        let share = HALF + JITTER * (2.0 * fraction.clamp(0.0, 1.0) - 1.0);
        let wait = SignedDuration::try_from_secs_f64(life * share).unwrap_or_default();
        self.not_before.saturating_add(wait).unwrap_or(self.not_after)
    }
}

impl Identity {
    /// The chain for TLS, leaf first.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect();
        let certificates = certificates.map_err(|_| IdentityError::Certificate("not PEM"))?;
        if certificates.is_empty() || certificates.len() > CHAIN {
            return Err(IdentityError::Certificate("no certificate, or too many"));
        }
        Ok(certificates)
    }

    /// Checks that the leaf is for our key and our name, and returns its validity.
    pub fn check(&self) -> Result<Validity, IdentityError> {
        let certificates = self.certificates()?;
        let (_, leaf) = X509Certificate::from_der(&certificates[0])
            .map_err(|_| IdentityError::Certificate("the leaf is malformed"))?;
        if leaf.public_key().subject_public_key.data.as_ref() != self.key.public_key()? {
            return Err(IdentityError::OtherKey);
        }
        let expected = self.trust_domain.spoke_id(&self.cluster);
        let found = uris(&leaf);
        if found != [expected.as_str()] {
            return Err(IdentityError::Name { expected, found });
        }
        let time = |time: x509_parser::time::ASN1Time| {
            let malformed = |_| IdentityError::Certificate("the leaf has an impossible time");
            Timestamp::from_second(time.timestamp()).map_err(malformed)
        };
        let validity = leaf.validity();
        Ok(Validity { not_before: time(validity.not_before)?, not_after: time(validity.not_after)? })
    }

    /// Refuses an identity of another cluster than the one configured.
    pub fn belongs_to(&self, configured: &ClusterName) -> Result<(), IdentityError> {
        if self.cluster == *configured {
            return Ok(());
        }
        let (stored, configured) = (self.cluster.clone(), configured.clone());
        Err(IdentityError::OtherCluster { stored, configured })
    }
}

fn uris(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

/// PEM of DER certificates.
pub fn pem_chain(chain: &[Vec<u8>]) -> String {
    use base64::Engine;
    let mut out = String::new();
    for der in chain {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uri: &str, key: &SecretPem) -> Identity {
        let mut params = CertificateParams::default();
        let uri = rcgen::string::Ia5String::try_from(uri).unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        let certificate = params.self_signed(&key.pair().unwrap()).unwrap();
        Identity {
            trust_domain: TrustDomain::new("acme.example").unwrap(),
            cluster: ClusterName::new("eu-1").unwrap(),
            cluster_uid: ClusterUid::new("u-1").unwrap(),
            key: key.clone(),
            chain: pem_chain(&[certificate.der().to_vec()]),
            counter: 0,
        }
    }

    #[test]
    fn a_certificate_must_be_for_our_name_and_key() {
        let key = SecretPem::generate().unwrap();
        let good = identity("spiffe://acme.example/spoke/eu-1", &key);
        let validity = good.check().unwrap();
        assert!(validity.not_before < validity.not_after);
        let other = identity("spiffe://acme.example/spoke/us-1", &key);
        assert!(matches!(other.check(), Err(IdentityError::Name { .. })));
        let mut stolen = good.clone();
        stolen.key = SecretPem::generate().unwrap();
        assert!(matches!(stolen.check(), Err(IdentityError::OtherKey)));
        assert!(good.belongs_to(&ClusterName::new("us-1").unwrap()).is_err());
    }

    #[test]
    fn the_key_is_never_printed() {
        let key = SecretPem::generate().unwrap();
        let pending = Pending { key, counter: 1 };
        assert!(!format!("{pending:?}").contains("PRIVATE"));
    }

    #[test]
    fn renewal_is_at_half_life_give_or_take_a_tenth() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let validity = Validity { not_before: at(0), not_after: at(1000) };
        assert_eq!(validity.renew_at(0.0), at(400));
        assert_eq!(validity.renew_at(0.5), at(500));
        assert_eq!(validity.renew_at(1.0), at(600));
    }
}
