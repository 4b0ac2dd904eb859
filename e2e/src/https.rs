//! Servers of a test that speak TLS: repositories behind a private authority,
//! admission webhooks, the proxy that makes faults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pki::{Authority, Identity};
use crate::port::Port;

/// How long a handshake may take; a client that says nothing holds no slot.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many finished handshakes may wait to be served; more wait to connect.
const WAITING: usize = 16;

/// Threads of a server: one may wait for another's lock.
const WORKERS: usize = 2;

/// A server on loopback with a certificate of an authority of its own, and on a runtime of its own: a test that
/// blocks its thread does not stop it. It ends when dropped, in the middle of whatever it does.
pub(crate) struct HttpsServer {
    port: Port,
    authority: Authority,
    runtime: Option<Runtime>,
}

impl HttpsServer {
    /// Serves `routes` as `name`.
    pub fn start(name: &'static str, routes: Router) -> Result<Self> {
        let authority = Authority::new(name)?;
        let identity = authority.server()?;
        let port = Port::reserve()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name(name)
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let listener = TlsListener::new(port.listen()?, &identity)?;
        drop(runtime.spawn(axum::serve(listener, routes).into_future()));
        drop(inside);
        Ok(Self { port, authority, runtime: Some(runtime) })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.port.address())
    }

    /// The authority that signed its certificate, PEM.
    pub fn ca(&self) -> &str {
        self.authority.cert()
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        // Allowed inside another runtime, where a plain drop would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Connections whose handshake is done.
pub(crate) struct TlsListener {
    ready: Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    /// Handshakes on `listener` as `identity`, each in a task of its own.
    pub fn new(listener: TcpListener, identity: &Identity) -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(identity)?));
        let address = listener.local_addr()?;
        let (sender, ready) = channel(WAITING);
        tokio::spawn(async move {
            loop {
                let Ok((stream, peer)) = listener.accept().await else {
                    continue;
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        // Fails only when the server has stopped.
                        let _ = sender.send((stream, peer)).await;
                    }
                });
            }
        });
        Ok(Self { ready, address })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task is gone: the runtime is being shut down.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

fn config(identity: &Identity) -> Result<ServerConfig> {
    let chain = CertificateDer::from_pem_slice(identity.cert.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .context("TLS of a test server")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
