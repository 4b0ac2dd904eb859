//! The spokes' listener: TCP → TLS → HTTP/2. Handshakes run in tasks of their
//! own, bounded in number and time, so that nobody can hold the door. A client
//! certificate is optional here, because enrolment has none; who calls what is
//! decided by the services.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rimward_proto::limits;
use rimward_proto::wire::content_server::ContentServer;
use rimward_proto::wire::enrolment_server::EnrolmentServer;
use rimward_proto::wire::session_server::SessionServer;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding::Zstd;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::service::Service;
use crate::pki::{Authority, PkiError};
use crate::state::State;

/// Handshakes at once: a fleet that reconnects queues here instead of on the processor.
const HANDSHAKES: usize = 256;
/// Time for a handshake, over a slow line.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Together with [`PING_TIMEOUT`], how long a silent spoke keeps its stream: 30 s.
const PING: Duration = Duration::from_secs(15);
/// See [`PING`].
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Streams a connection: one session, a few fetches, a renewal.
const STREAMS: u32 = 16;
/// How often the server certificate's age is looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(600);
/// Pause after accepting failed (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No server certificate.
    #[error("no server certificate")]
    Pki(#[from] PkiError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client certificate, already verified against the CA; none if none was sent.
    pub certificate: Option<CertificateDer<'static>>,
}

/// The bound listener.
pub struct Listener {
    socket: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    state: Arc<State>,
    expires: Timestamp,
}

impl Listener {
    /// Binds, with a new server certificate. Its key is only in memory.
    pub async fn bind(state: Arc<State>, address: &str) -> Result<Self, ListenerError> {
        let failed = |source| ListenerError::Bind { address: address.to_owned(), source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let (config, expires) = server_config(&state)?;
        Ok(Self { socket, tls: Arc::new(ArcSwap::from_pointee(config)), state, expires })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), tonic::transport::Error> {
        let service = Service::new(self.state.clone(), stop.clone());
        let enrolment =
            EnrolmentServer::new(service.clone()).max_decoding_message_size(limits::ENVELOPE_BYTES);
        let session = SessionServer::new(service.clone())
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .accept_compressed(Zstd)
            .send_compressed(Zstd);
        let content = ContentServer::new(service)
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .accept_compressed(Zstd)
            .send_compressed(Zstd);
        let (connections, incoming) = mpsc::channel(HANDSHAKES);
        tokio::spawn(renew(self.state.clone(), self.tls.clone(), self.expires, stop.clone()));
        tokio::spawn(accept(self.socket, self.tls, connections, stop.clone()));
        Server::builder()
            .http2_keepalive_interval(Some(PING))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .max_concurrent_streams(STREAMS)
            .add_service(enrolment)
            .add_service(session)
            .add_service(content)
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop.cancelled_owned())
            .await
    }
}

async fn accept(
    socket: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    connections: mpsc::Sender<Result<Connection, io::Error>>,
    stop: CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (acceptor, connections) = (TlsAcceptor::from(tls.load_full()), connections.clone());
        tokio::spawn(async move {
            let _turn = turn;
            match tokio::time::timeout(HANDSHAKE_TIME, handshake(&acceptor, stream)).await {
                // The server has stopped if nobody takes it.
                Ok(Ok(connection)) => drop(connections.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "handshake failed"),
                Err(_) => tracing::debug!(%address, "handshake took too long"),
            }
        });
    }
}

async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
    Ok(Connection { stream, peer: Peer { certificate: certificate.map(CertificateDer::into_owned) } })
}

/// Replaces the server certificate when two thirds of its life are over.
async fn renew(
    state: Arc<State>,
    tls: Arc<ArcSwap<ServerConfig>>,
    mut expires: Timestamp,
    stop: CancellationToken,
) {
    loop {
        let life = state.config.load().lifetimes.server_cert;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CERTIFICATE_CHECK.min(life / 4)) => {}
        }
        if Timestamp::now() + life / 3 < expires {
            continue;
        }
        match server_config(&state) {
            Ok((config, until)) => {
                tls.store(Arc::new(config));
                expires = until;
                tracing::info!(%expires, "server certificate renewed");
            }
            Err(error) => tracing::error!(%error, "the server certificate cannot be renewed"),
        }
    }
}

fn server_config(state: &State) -> Result<(ServerConfig, Timestamp), ListenerError> {
    let tls = |error: rustls::Error| ListenerError::Tls(Box::new(error));
    let config = state.config.load();
    let authority: &Authority = &state.authority;
    let (issued, key) =
        authority.issue_server(config.host(), Timestamp::now(), config.lifetimes.server_cert)?;
    let key =
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| ListenerError::Tls(Box::new(error)))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(tls)?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| ListenerError::Tls(Box::new(error)))?;
    // The CA goes along: a spoke that only has a token pins its digest.
    let chain = vec![issued.leaf, authority.certificate().clone()];
    let mut server = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(tls)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok((server, issued.expires))
}

/// A TLS connection that knows its peer.
struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
