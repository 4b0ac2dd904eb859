//! The hub's certificate authority: issues the server certificate and the
//! spokes' client certificates. Subjects, names and lifetimes are the hub's own;
//! of a request only the public key is taken.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rimward_proto::{ClusterName, Digest, TrustDomain};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long the certificate authority is good: as long as root 1, which names it.
pub const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Certificates are valid from this much before they are made, because clocks differ.
const BACKDATE: Duration = Duration::from_secs(300);
/// The largest certificate request looked at: a P-256 request is under 1 KiB.
const CSR_BYTES: usize = 16 << 10;

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The CA's own files are damaged.
    #[error("the certificate authority in keys/ cannot be used")]
    Authority(#[source] rcgen::Error),
    /// A certificate cannot be issued.
    #[error("cannot issue a certificate")]
    Issue(#[source] rcgen::Error),
    /// Not a certificate request, or its signature is wrong.
    #[error("the certificate request is not valid")]
    Request,
    /// Not a certificate of a spoke of this hub.
    #[error("not a certificate of a spoke of this hub")]
    Foreign,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A new certificate.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The leaf.
    pub leaf: CertificateDer<'static>,
    /// When it ends.
    pub expires: Timestamp,
}

/// What a client certificate says, once its signature was checked against the CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The cluster in its one URI name.
    pub cluster: ClusterName,
    /// Digest of its public key (SubjectPublicKeyInfo).
    pub key: Digest,
}

impl Authority {
    /// A new authority: its certificate and its key, both PEM.
    pub fn generate(trust_domain: &TrustDomain, now: Timestamp) -> Result<(String, String), PkiError> {
        let key = KeyPair::generate().map_err(PkiError::Authority)?;
        let mut params = base(&format!("Rimward CA of {trust_domain}"), now, CA_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key).map_err(PkiError::Authority)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// An authority from its certificate and key, both PEM.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key).map_err(PkiError::Authority)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(PkiError::Authority)?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
            .map_err(|_| PkiError::Authority(rcgen::Error::CouldNotParseCertificate))?;
        Ok(Self { issuer, der: CertificateDer::from(pem.contents), pem: certificate.to_owned() })
    }

    /// The CA certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The CA certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What tokens pin: the digest of the CA certificate.
    pub fn pin(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// A server certificate for `host`, with its new key (PKCS#8, PEM).
    pub fn issue_server(
        &self,
        host: &str,
        now: Timestamp,
        life: Duration,
    ) -> Result<(Issued, String), PkiError> {
        let key = KeyPair::generate().map_err(PkiError::Issue)?;
        let name = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.to_owned().try_into().map_err(PkiError::Issue)?),
        };
        let mut params = base("rimward-hub", now, life);
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok((self.issue(params, &key, now, life)?, key.serialize_pem()))
    }

    /// A client certificate for a spoke. Of the request only the public key counts; its signature proves possession.
    pub fn issue_spoke(
        &self,
        spoke: &str,
        request: &SpokeRequest,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, PkiError> {
        let mut params = base(spoke.rsplit('/').next().unwrap_or(spoke), now, life);
        params.subject_alt_names = vec![SanType::URI(spoke.to_owned().try_into().map_err(PkiError::Issue)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, &request.0.public_key, now, life)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(key, &self.issuer).map_err(PkiError::Issue)?;
        Ok(Issued { leaf: leaf.der().clone(), expires: now + life })
    }

    /// Reads a spoke's certificate and checks that this CA made it. Expiry is not looked at: that is for the caller,
    /// because renewal takes expired ones.
    pub fn read_spoke(&self, trust_domain: &TrustDomain, der: &[u8]) -> Result<Leaf, PkiError> {
        let (_, authority) = X509Certificate::from_der(&self.der).map_err(|_| PkiError::Foreign)?;
        let (rest, leaf) = X509Certificate::from_der(der).map_err(|_| PkiError::Foreign)?;
        if !rest.is_empty() || leaf.verify_signature(Some(authority.public_key())).is_err() {
            return Err(PkiError::Foreign);
        }
        let names = leaf.subject_alternative_name().ok().flatten().ok_or(PkiError::Foreign)?;
        let uris: Vec<&str> = names
            .value
            .general_names
            .iter()
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        // SPIFFE X.509-SVID §2: exactly one URI name.
        let [uri] = uris[..] else { return Err(PkiError::Foreign) };
        let cluster = trust_domain.cluster_of(uri).ok_or(PkiError::Foreign)?;
        Ok(Leaf { cluster, key: Digest::of(leaf.public_key().raw) })
    }

    /// Checks a signature made by the key of a certificate.
    pub fn signed_by(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
        let Ok((_, leaf)) = X509Certificate::from_der(certificate) else { return false };
        let key = &leaf.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
    }
}

/// A certificate request whose signature holds: the sender has the key.
pub struct SpokeRequest(CertificateSigningRequestParams);

impl SpokeRequest {
    /// Reads a PKCS#10 request.
    pub fn parse(der: &[u8]) -> Result<Self, PkiError> {
        use x509_parser::certification_request::X509CertificationRequest;
        if der.len() > CSR_BYTES {
            return Err(PkiError::Request);
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| PkiError::Request)?;
        if !rest.is_empty() || request.verify_signature().is_err() {
            return Err(PkiError::Request);
        }
        let der = CertificateSigningRequestDer::from(der.to_vec());
        let params = CertificateSigningRequestParams::from_der(&der).map_err(|_| PkiError::Request)?;
        // One kind of key, so that renewal by proof of possession has one kind of signature to check.
        if params.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(PkiError::Request);
        }
        Ok(Self(params))
    }

    /// Digest of the public key (SubjectPublicKeyInfo), as in [`Leaf::key`].
    pub fn key(&self) -> Digest {
        Digest::of(&self.0.public_key.subject_public_key_info())
    }
}

fn base(name: &str, now: Timestamp, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |at: Timestamp| Duration::from_secs(at.as_second().max(0).unsigned_abs());
    params.not_before = epoch + seconds(now - BACKDATE);
    params.not_after = epoch + seconds(now + life);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> (Authority, TrustDomain) {
        let domain = TrustDomain::new("acme.example").unwrap();
        let (certificate, key) = Authority::generate(&domain, Timestamp::now()).unwrap();
        (Authority::from_pem(&certificate, &key).unwrap(), domain)
    }

    fn request() -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let request =
            CertificateParams::new(["evil.example".to_owned()]).unwrap().serialize_request(&key).unwrap();
        (key, request.der().to_vec())
    }

    #[test]
    fn only_the_key_is_taken_from_a_request() {
        let (authority, domain) = authority();
        let (_, csr) = request();
        let request = SpokeRequest::parse(&csr).unwrap();
        let cluster = ClusterName::new("eu-1").unwrap();
        let now = Timestamp::now();
        let issued = authority
            .issue_spoke(&domain.spoke_id(&cluster), &request, now, Duration::from_secs(60))
            .unwrap();
        let leaf = authority.read_spoke(&domain, &issued.leaf).unwrap();
        assert_eq!(leaf, Leaf { cluster, key: request.key() });
        let (_, parsed) = X509Certificate::from_der(&issued.leaf).unwrap();
        assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 1);
        assert!(!parsed.is_ca());
    }

    #[test]
    fn a_damaged_request_and_a_foreign_certificate_are_refused() {
        let (ours, domain) = authority();
        let (theirs, _) = authority();
        let (_, mut csr) = request();
        let request = SpokeRequest::parse(&csr).unwrap();
        let id = domain.spoke_id(&ClusterName::new("eu-1").unwrap());
        let foreign = theirs.issue_spoke(&id, &request, Timestamp::now(), Duration::from_secs(60)).unwrap();
        assert!(ours.read_spoke(&domain, &foreign.leaf).is_err());
        let other = TrustDomain::new("other.example").unwrap();
        assert!(theirs.read_spoke(&other, &foreign.leaf).is_err());
        let last = csr.len() - 1;
        csr[last] ^= 1;
        assert!(SpokeRequest::parse(&csr).is_err());
    }

    #[test]
    fn possession_is_proved_by_a_signature() {
        use rcgen::SigningKey;
        let (authority, domain) = authority();
        let (key, csr) = request();
        let id = domain.spoke_id(&ClusterName::new("eu-1").unwrap());
        let request = SpokeRequest::parse(&csr).unwrap();
        let leaf =
            authority.issue_spoke(&id, &request, Timestamp::now(), Duration::from_secs(60)).unwrap().leaf;
        let signature = key.sign(b"message").unwrap();
        assert!(Authority::signed_by(&leaf, b"message", &signature));
        assert!(!Authority::signed_by(&leaf, b"other", &signature));
    }
}
