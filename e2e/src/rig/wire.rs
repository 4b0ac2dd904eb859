//! A caller of the hub's gRPC services that a test makes itself: a cluster that
//! exists on the wire alone, or somebody who should not be let in.

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair};
use rimward_proto::envelope::Envelope;
use rimward_proto::root::Root;
use rimward_proto::token::Token;
use rimward_proto::wire::content_client::ContentClient;
use rimward_proto::wire::enrolment_client::EnrolmentClient;
use rimward_proto::wire::session_client::SessionClient;
use rimward_proto::wire::{EnrollRequest, FetchRequest, HubFrame, IdentityResponse, SpokeFrame};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Status, Streaming};

use super::{HubProcess, Rig};
use crate::pki;

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    address: String,
    authority: String,
    identity: Option<pki::Identity>,
}

impl Caller {
    /// Somebody without a certificate, who trusts the hub by the CA in its root.
    pub fn anonymous(hub: &HubProcess) -> Result<Self> {
        Ok(Self { address: hub.address.clone(), authority: root(hub)?.ca_bundle, identity: None })
    }

    /// The same, with a certificate and its key.
    pub fn with(&self, identity: pki::Identity) -> Self {
        Self { identity: Some(identity), ..self.clone() }
    }

    /// Exchanges a token.
    pub async fn enroll(
        &self,
        token: &Token,
        cluster: &str,
        uid: &str,
        key: &Key,
    ) -> Result<IdentityResponse, Status> {
        let request = EnrollRequest {
            token_id: token.id.clone(),
            secret: token.secret.to_vec(),
            cluster: cluster.to_owned(),
            cluster_uid: uid.to_owned(),
            csr: key.request.clone(),
        };
        Ok(EnrolmentClient::new(self.channel().await?).enroll(request).await?.into_inner())
    }

    /// Asks for content by digest; the digests of what came.
    pub async fn fetch(&self, digests: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Status> {
        let mut client = ContentClient::new(self.channel().await?);
        let request = FetchRequest { digests: digests.to_vec() };
        let mut stream = client.fetch(request).await?.into_inner();
        let mut came = Vec::new();
        while let Some(item) = stream.message().await? {
            came.push(item.digest);
        }
        Ok(came)
    }

    /// Opens a session that sends these frames and then stays open.
    pub async fn open(&self, frames: Vec<SpokeFrame>) -> Result<Streaming<HubFrame>, Status> {
        use futures::StreamExt;
        let frames = futures::stream::iter(frames).chain(futures::stream::pending());
        Ok(SessionClient::new(self.channel().await?).open(frames).await?.into_inner())
    }

    async fn channel(&self) -> Result<Channel, Status> {
        let host = self.address.split(':').next().unwrap_or_default();
        let tls = ClientTlsConfig::new().domain_name(host);
        let mut tls = tls.ca_certificate(Certificate::from_pem(&self.authority));
        if let Some(identity) = &self.identity {
            tls = tls.identity(Identity::from_pem(&identity.cert, &identity.key));
        }
        let broken = |error: tonic::transport::Error| Status::unavailable(format!("{error:?}"));
        let endpoint = Channel::from_shared(format!("https://{}", self.address));
        let endpoint = endpoint.map_err(|error| Status::internal(error.to_string()))?;
        endpoint.tls_config(tls).map_err(broken)?.connect().await.map_err(broken)
    }
}

/// A key pair and a request for a certificate of it.
pub struct Key {
    request: Vec<u8>,
    pem: String,
}

impl Key {
    /// A new one.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?.der().to_vec();
        Ok(Self { request, pem: key.serialize_pem() })
    }

    /// The identity that the hub's answer makes of it.
    pub fn identity(&self, answer: &IdentityResponse) -> pki::Identity {
        pki::Identity { cert: answer.chain.iter().map(|der| pem(der)).collect(), key: self.pem.clone() }
    }
}

/// The hub's newest root, as it lies in its data directory.
pub fn root(hub: &HubProcess) -> Result<Root> {
    let mut version = 1;
    let path = |version: u64| hub.data().join(format!("root/{version}.json"));
    while path(version + 1).exists() {
        version += 1;
    }
    let bytes = std::fs::read(path(version)).with_context(|| path(version).display().to_string())?;
    Ok(Root::parse(&Envelope::parse(&bytes)?.payload_unverified()?)?)
}

impl Rig {
    /// Enrols a cluster that exists on the wire alone, and returns it as a caller.
    pub async fn enrol_on_the_wire(&self, cluster: &str, uid: &str) -> Result<Caller> {
        let token = self.token(cluster).await?;
        let (caller, key) = (Caller::anonymous(&self.hub)?, Key::new()?);
        let answer = caller.enroll(&token, cluster, uid, &key).await?;
        Ok(caller.with(key.identity(&answer)))
    }

    /// A new enrolment token.
    pub async fn token(&self, cluster: &str) -> Result<Token> {
        let text = self.hub.cli_ok(&["enroll", cluster, "--token-only"]).await?;
        Ok(Token::parse(&text)?)
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
