//! For tests: a hub in this process, with real TLS, real certificates and real
//! gRPC, that does what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
    SanType,
};
use rimward_proto::envelope::{Role, SecretKey};
use rimward_proto::root::Root;
use rimward_proto::session::{HubMessage, SpokeMessage};
use rimward_proto::token::Token;
use rimward_proto::wire::content_server::{Content, ContentServer};
use rimward_proto::wire::enrolment_server::{Enrolment, EnrolmentServer};
use rimward_proto::wire::session_server::{Session, SessionServer};
use rimward_proto::wire::{self, EnrollRequest, IdentityResponse, RenewRequest};
use rimward_proto::{Digest, TrustDomain, convert};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};

/// The hub.
pub struct Hub {
    pub address: SocketAddr,
    pub token: Token,
    pub said: mpsc::UnboundedReceiver<SpokeMessage>,
    pub shared: Arc<Shared>,
}

pub struct Shared {
    ca: (Certificate, Issuer<'static, KeyPair>),
    root: Root,
    envelope: Vec<u8>,
    token: Token,
    heard: mpsc::UnboundedSender<SpokeMessage>,
    /// Life of certificates.
    life: Mutex<Duration>,
    /// Streams open now.
    pub streams: Mutex<Vec<mpsc::UnboundedSender<Result<wire::HubFrame, Status>>>>,
    /// Renewals: counter and public key, as they came.
    pub renewals: Mutex<Vec<(u64, Vec<u8>)>>,
    /// Answers to renewals that are lost on the way.
    pub lose: Mutex<usize>,
    /// Content that can be fetched.
    pub content: Mutex<Vec<rimward_proto::session::Content>>,
}

impl Hub {
    /// Starts one.
    pub async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (ca, ca_key) = authority();
        let (heard, said) = mpsc::unbounded_channel();
        let key = SecretKey::from_seed(&[7; 32]).unwrap();
        let root = Root {
            version: 1,
            trust_domain: TrustDomain::new("acme.example").unwrap(),
            epoch: 1,
            expires: "2100-01-01T00:00:00Z".parse().unwrap(),
            root_keys: Role::new([key.public()], 1),
            head_keys: Role::new([key.public()], 1),
            ca_bundle: ca.pem(),
            critical: Vec::new(),
        };
        let envelope = root.sign(&[&key]);
        let pin = Digest::of(&envelope.payload_unverified().unwrap());
        let token = Token { id: "00".repeat(8), secret: [7; 32], ca: Digest::of(ca.der()), root: pin };
        let shared = Arc::new(Shared {
            ca: (ca, ca_key),
            root,
            envelope: envelope.to_bytes(),
            token: token.clone(),
            heard,
            life: Mutex::new(Duration::from_secs(3600)),
            streams: Mutex::default(),
            renewals: Mutex::default(),
            lose: Mutex::default(),
            content: Mutex::default(),
        });
        let address = serve(shared.clone()).await;
        Self { address, token, said, shared }
    }
}

impl Hub {
    /// Certificates made from now on live this long.
    pub fn set_life(&self, life: Duration) {
        *self.shared.life.lock().unwrap() = life;
    }
}

fn authority() -> (Certificate, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate, Issuer::new(params, key))
}

async fn serve(shared: Arc<Shared>) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let leaf = params.signed_by(&key, &shared.ca.1).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(shared.ca.0.der().clone()).unwrap();
    let clients =
        rustls::server::WebPkiClientVerifier::builder(roots.into()).allow_unauthenticated().build().unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![leaf.der().clone(), shared.ca.0.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, incoming) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = accepted.send(Ok::<_, std::io::Error>(stream)).await;
                }
            });
        }
    });
    let service = Service(shared);
    let server = tonic::transport::Server::builder()
        .add_service(EnrolmentServer::new(service.clone()))
        .add_service(ContentServer::new(service.clone()).send_compressed(CompressionEncoding::Zstd))
        .add_service(
            SessionServer::new(service)
                .send_compressed(CompressionEncoding::Zstd)
                .accept_compressed(CompressionEncoding::Zstd),
        );
    tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
    address
}

#[derive(Clone)]
struct Service(Arc<Shared>);

impl Shared {
    /// Sends to every open stream.
    pub fn send(&self, message: HubMessage) {
        for stream in self.streams.lock().unwrap().iter() {
            let _ = stream.send(Ok(convert::hub_to_wire(message.clone())));
        }
    }

    /// Ends every open stream.
    pub fn hang_up(&self) {
        self.streams.lock().unwrap().clear();
    }

    fn certify(&self, csr: &[u8], cluster: &str) -> IdentityResponse {
        let mut request = CertificateSigningRequestParams::from_der(&csr.to_vec().into()).unwrap();
        let uri = self.root.trust_domain.spoke_id(&cluster.parse().unwrap());
        request.params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        request.params.not_before = std::time::SystemTime::now().into();
        request.params.not_after = request.params.not_before + *self.life.lock().unwrap();
        let leaf = request.signed_by(&self.ca.1).unwrap();
        IdentityResponse {
            chain: vec![leaf.der().to_vec(), self.ca.0.der().to_vec()],
            ca_bundle: self.root.ca_bundle.clone(),
            roots: vec![self.envelope.clone()],
            trust_domain: self.root.trust_domain.to_string(),
        }
    }
}

fn certified(request: &Request<Streaming<wire::SpokeFrame>>) -> bool {
    let info = request
        .extensions()
        .get::<tonic::transport::server::TlsConnectInfo<tonic::transport::server::TcpConnectInfo>>();
    info.and_then(|info| info.peer_certs())
        .is_some_and(|certs: Arc<Vec<CertificateDer<'static>>>| !certs.is_empty())
}

#[tonic::async_trait]
impl Enrolment for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<IdentityResponse>, Status> {
        let request = request.into_inner();
        if request.token_id != self.0.token.id || request.secret != self.0.token.secret {
            return Err(Status::permission_denied("unknown token"));
        }
        Ok(Response::new(self.0.certify(&request.csr, &request.cluster)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<IdentityResponse>, Status> {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let request = request.into_inner();
        let (_, leaf) = X509Certificate::from_der(&request.certificate).unwrap();
        let message = [b"rimward-renew-v1\0", &request.counter.to_be_bytes()[..], &request.csr].concat();
        let key = leaf.public_key().subject_public_key.data.to_vec();
        let key =
            aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, key);
        key.verify(&message, &request.signature).map_err(|_| Status::permission_denied("wrong key"))?;
        let csr = CertificateSigningRequestParams::from_der(&request.csr.clone().into()).unwrap();
        let public = rcgen::PublicKeyData::der_bytes(&csr.public_key).to_vec();
        self.0.renewals.lock().unwrap().push((request.counter, public));
        let mut lose = self.0.lose.lock().unwrap();
        if *lose > 0 {
            *lose -= 1;
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(Response::new(self.0.certify(&request.csr, "eu-1")))
    }
}

#[tonic::async_trait]
impl Session for Service {
    type OpenStream = UnboundedReceiverStream<Result<wire::HubFrame, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<wire::SpokeFrame>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        if !certified(&request) {
            return Err(Status::unauthenticated("no client certificate"));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.streams.lock().unwrap().push(sender);
        let heard = self.0.heard.clone();
        tokio::spawn(async move {
            let mut frames = request.into_inner();
            while let Some(Ok(frame)) = frames.next().await {
                let _ = heard.send(convert::spoke_from_wire(frame).unwrap());
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl Content for Service {
    type FetchStream = UnboundedReceiverStream<Result<wire::ContentItem, Status>>;

    async fn fetch(
        &self,
        request: Request<wire::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let wanted = convert::fetch_from_wire(request.into_inner()).unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        for content in
            self.0.content.lock().unwrap().iter().filter(|content| wanted.contains(&content.digest))
        {
            let _ = sender.send(Ok(convert::content_to_wire(content.clone())));
        }
        Ok(Response::new(UnboundedReceiverStream::new(receiver)))
    }
}
