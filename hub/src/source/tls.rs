//! TLS settings for Git servers, kept between looks: reading the system's
//! certificate authorities costs more than everything else in a look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rimward_proto::Digest;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

/// How long the system's certificate authorities are kept: updates of them are rare and may wait this long.
const KEPT: Duration = Duration::from_secs(3600);
/// Different private CAs kept: more than this many in one fleet only cost reading them again.
const CONFIGS: usize = 64;

/// TLS settings by private CA.
#[derive(Debug, Default)]
pub struct Tls {
    configs: Mutex<HashMap<Option<Digest>, (Instant, ClientConfig)>>,
}

impl Tls {
    /// Settings that trust the system's certificate authorities and those in `ca` (PEM).
    pub fn config(&self, ca: Option<&[u8]>) -> Result<ClientConfig, String> {
        let key = ca.map(Digest::of);
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, config)) = configs.get(&key)
            && made.elapsed() < KEPT
        {
            return Ok(config.clone());
        }
        let config = make(ca.unwrap_or_default())?;
        if configs.len() >= CONFIGS {
            configs.clear();
        }
        configs.insert(key, (Instant::now(), config.clone()));
        Ok(config)
    }
}

fn make(ca: &[u8]) -> Result<ClientConfig, String> {
    let text = |error: rustls::Error| error.to_string();
    let extra: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(ca).collect();
    let extra = extra.map_err(|_| "ca.crt is not PEM".to_owned())?;
    if extra.is_empty() && !ca.is_empty() {
        return Err("ca.crt has no certificate in it".to_owned());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone()).map_err(text)?;
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(text)?;
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_ca_must_be_one() {
        let tls = Tls::default();
        assert!(tls.config(Some(b"nonsense")).is_err());
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        assert!(tls.config(Some(pem.as_bytes())).is_ok());
    }
}
