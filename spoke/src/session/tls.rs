//! TLS to the hub: TLS 1.3 only, and trusted by what the fleet says, never by
//! the machine's own certificate store. Before enrolment that is the CA that the
//! token names by its digest; afterwards the CA bundle of the root.

use std::sync::Arc;

use rimward_proto::Digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Certificates in a CA bundle: an old and a new CA during a rotation, and room for mistakes.
const BUNDLE_CERTIFICATES: usize = 16;

/// Why no TLS configuration can be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA bundle has no certificate, or one that cannot be read, or too many.
    #[error("the CA bundle of the root cannot be used")]
    Bundle,
    /// The client key does not fit its certificate, or is none.
    #[error("the spoke's own certificate cannot be used")]
    Identity(#[source] rustls::Error),
}

/// A configuration that trusts `ca_bundle` (PEM), with a client certificate if there is one.
pub fn trusting(
    ca_bundle: &str,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots(ca_bundle)?);
    let config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity)?,
        None => builder.with_no_client_auth(),
    };
    Ok(http2(config))
}

/// A configuration that trusts the one CA whose DER has this digest, if the server presents it.
pub fn pinned(ca: Digest) -> ClientConfig {
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa { ca, provider }))
        .with_no_client_auth();
    http2(config)
}

/// The certificates of a PEM bundle as trust anchors.
pub fn roots(ca_bundle: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_bundle.as_bytes()) {
        let certificate = certificate.map_err(|_| TlsError::Bundle)?;
        store.add(certificate).map_err(|_| TlsError::Bundle)?;
    }
    if store.is_empty() || store.len() > BUNDLE_CERTIFICATES { Err(TlsError::Bundle) } else { Ok(store) }
}

fn http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Accepts a server whose certificate leads to the CA with a given digest, which it must present itself: a token
/// carries 32 bytes, not a certificate.
#[derive(Debug)]
struct PinnedCa {
    ca: Digest,
    provider: Arc<CryptoProvider>,
}

impl PinnedCa {
    fn verifier(
        &self,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let pinned = |certificate: &&CertificateDer<'_>| Digest::of(certificate.as_ref()) == self.ca;
        let ca = intermediates.iter().find(pinned).ok_or_else(unknown)?;
        let mut store = RootCertStore::empty();
        store.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), self.provider.clone())
            .build()
            .map_err(|_| unknown())
    }
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = self.verifier(intermediates)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
