//! A hub in this process: initialised data directory, listener on a free port,
//! publications made by hand, and a client that speaks as a spoke would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rimward_hub::config::HubConfig;
use rimward_hub::core::publication::{Previous, Publishing, next_publication};
use rimward_hub::core::world::Published;
use rimward_hub::datadir::DataDir;
use rimward_hub::handle::Hub as Handle;
use rimward_hub::session::Listener;
use rimward_hub::source::Mirrors;
use rimward_hub::state::State;
use rimward_hub::{init, run, tasks};
use rimward_proto::plan::Plan;
use rimward_proto::token::Token;
use rimward_proto::wire::enrolment_client::EnrolmentClient;
use rimward_proto::wire::{EnrollRequest, IdentityResponse};
use rimward_proto::{ClusterName, ClusterUid, Digest};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Time that is plenty for anything here.
pub const SOON: Duration = Duration::from_secs(20);

/// A running hub; its data outlive it when it is stopped and started again.
pub struct Hub {
    pub state: Arc<State>,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub tracker: TaskTracker,
    data: Option<DataDir>,
}

/// Where hubs live.
pub struct Home {
    folder: tempfile::TempDir,
    fleet: String,
}

impl Home {
    pub fn new(fleet: &str) -> Self {
        // Each test binary is a process of its own; whoever is first installs it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self { folder: tempfile::tempdir().unwrap(), fleet: fleet.to_owned() }
    }

    pub fn config(&self) -> HubConfig {
        let text = format!(
            "apiVersion: rimward.dev/v1alpha1\nkind: HubConfig\ntrustDomain: acme.example\naddress: localhost:8443\n\
             dataDir: {}\nfleet: {{git: {{url: '{}'}}}}\ncredentialsDir: {}\n",
            self.data().display(),
            self.fleet,
            self.folder.path().display()
        );
        HubConfig::parse(&text, "hub.yaml").unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn root_key(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    pub fn init(&self) -> Result<init::Outcome, init::InitError> {
        init::init(&self.config(), &self.data(), &self.root_key(), Timestamp::now())
    }
}

impl Hub {
    /// A hub without tasks, in a home of its own.
    pub async fn start() -> (Self, Home) {
        let home = Home::new("http://127.0.0.1:1/x");
        home.init().unwrap();
        (Self::start_in(&home).await, home)
    }

    /// A hub without tasks.
    pub async fn start_in(home: &Home) -> Self {
        let data = DataDir::open(&home.data()).unwrap();
        let state = Arc::new(run::open(&home.config(), &data).map_err(|failure| failure.message).unwrap());
        let listener = Listener::bind(state.clone(), "127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
        let (tracker, serving) = (TaskTracker::new(), stop.clone());
        tracker.spawn(async move { listener.serve(serving).await.unwrap() });
        Self { state, address, stop, tracker, data: Some(data) }
    }

    /// The tasks too.
    pub fn tasks(&self) -> Handle {
        let data = self.data.as_ref().unwrap();
        let mirrors =
            Mirrors::new(data.folder("git").unwrap(), self.state.config.load().credentials_dir.clone());
        tokio::task::block_in_place(|| tasks::start(&self.state, mirrors, &self.tracker, &self.stop)).unwrap()
    }

    /// Stops it in good order, so that another may start in its home.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(SOON, self.tracker.wait()).await.expect("everything ends");
        self.data.take();
    }

    pub fn token(&self, cluster: &str, replace: bool, ttl: Duration) -> Token {
        let pins = (self.state.authority.pin(), self.state.signer.pin().unwrap());
        let cluster = ClusterName::new(cluster).unwrap();
        self.state.enrolments.issue_token(&cluster, replace, ttl, pins, Timestamp::now()).unwrap()
    }

    /// Publishes these plans for everyone who is enrolled, with this content.
    pub fn publish(&self, plans: &[(&str, &Plan)], content: &[&[u8]]) {
        let mut files: BTreeMap<Digest, Vec<u8>> =
            content.iter().map(|bytes| (Digest::of(bytes), bytes.to_vec())).collect();
        files.extend(plans.iter().map(|(_, plan)| plan.to_bytes()).map(|bytes| (Digest::of(&bytes), bytes)));
        self.state.content.put(&files).unwrap();
        let plans =
            plans.iter().map(|(name, plan)| (ClusterName::new(*name).unwrap(), Arc::new((*plan).clone())));
        let enrolled = self.state.enrolments.all().into_iter().map(|(name, e)| (name, e.uid)).collect();
        let current = self.state.published.borrow().clone();
        let previous =
            current.as_ref().map(|now| Previous { head: &now.head, assignments: &now.assignments });
        let root = self.state.signer.root();
        let what = Publishing {
            plans: &plans.collect(),
            enrolled: &enrolled,
            deletes: &BTreeMap::new(),
            trust_domain: &root.trust_domain,
            epoch: root.epoch,
            root_version: root.version,
            now: Timestamp::now(),
            head_lifetime: Duration::from_secs(60),
        };
        let next = next_publication(previous, &what).expect("something new");
        let envelope = self.state.signer.sign(&next.head).unwrap();
        let roots = self.state.signer.roots().clone();
        let (head, assignments, tree, plans) = (next.head, next.assignments, next.tree, next.plans);
        let published = Arc::new(Published { head, envelope, roots, assignments, tree, plans });
        self.state.update(|world| world.published = Some(published.clone()));
        self.state.offer(published);
    }

    /// A channel that shows `identity`, if any.
    pub async fn channel(&self, identity: Option<&Identity>) -> Channel {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.state.authority.certificate().clone()).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
                config.with_client_auth_cert(identity.chain.clone(), key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let address = self.address;
        let connect = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        Endpoint::from_static("http://hub").connect_with_connector_lazy(connect)
    }

    pub async fn enroll(
        &self,
        token: &Token,
        cluster: &str,
        uid: &str,
        key: &KeyPair,
    ) -> Result<IdentityResponse, Status> {
        let mut client = EnrolmentClient::new(self.channel(None).await);
        let request = EnrollRequest {
            token_id: token.id.clone(),
            secret: token.secret.to_vec(),
            cluster: cluster.into(),
            cluster_uid: uid.into(),
            csr: csr(key),
        };
        client.enroll(request).await.map(tonic::Response::into_inner)
    }

    /// An enrolled spoke.
    pub async fn spoke(&self, cluster: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let token = self.token(cluster, false, Duration::from_secs(60));
        let response = self.enroll(&token, cluster, &uid(cluster), &key).await.unwrap();
        Identity::new(&response, key)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A client certificate and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Identity {
    pub fn new(response: &IdentityResponse, key: KeyPair) -> Self {
        Self { chain: response.chain.iter().cloned().map(CertificateDer::from).collect(), key }
    }
}

pub fn csr(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

pub fn uid(cluster: &str) -> String {
    ClusterUid::new(format!("uid-of-{cluster}")).unwrap().into()
}

pub fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}
