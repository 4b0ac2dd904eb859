//! One TLS connection to the hub, as a gRPC channel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::proxy::Proxy;

/// Name resolution, TCP and TLS together; a hub that takes longer is dialled again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until an answer begins; a stream may go on for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// With [`PING_TIMEOUT`], a silent hub is cut within 30 s.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(12);
/// Bytes in flight before the hub waits for us, per stream: a plan with inline content fits.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all streams together.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why the hub cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is none.
    #[error("{0:?} is not host:port")]
    Address(String),
    /// Name resolution, TCP or TLS.
    #[error("the hub cannot be reached")]
    Connect(#[source] tonic::transport::Error),
}

/// How the hub is reached.
#[derive(Debug, Clone)]
pub struct Dialer {
    hub: String,
    name: ServerName<'static>,
    proxy: Option<Proxy>,
}

impl Dialer {
    /// For `hub` (`host:port`), through `proxy` if it applies.
    pub fn new(hub: &str, proxy: Option<Proxy>) -> Result<Self, DialError> {
        let wrong = || DialError::Address(hub.to_owned());
        let (host, _) = hub.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        let proxy = proxy.filter(|proxy| proxy.applies_to(host));
        Ok(Self { hub: hub.to_owned(), name, proxy })
    }

    /// A new connection with this TLS configuration.
    pub async fn connect(&self, tls: Arc<ClientConfig>) -> Result<Channel, DialError> {
        let uri = format!("http://{}", self.hub);
        let endpoint = Endpoint::from_shared(uri)
            .map_err(DialError::Connect)?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let dialer = self.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let (dialer, tls) = (dialer.clone(), TlsConnector::from(tls.clone()));
            async move {
                let stream = dialer.tcp().await?;
                Ok::<_, io::Error>(TokioIo::new(tls.connect(dialer.name.clone(), stream).await?))
            }
        });
        endpoint.connect_with_connector(connector).await.map_err(DialError::Connect)
    }

    /// Whether anything accepts a connection there, whoever it is.
    pub async fn accepts(&self) -> io::Result<()> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.tcp()).await {
            Ok(connected) => connected.map(drop),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let stream = match &self.proxy {
            Some(proxy) => proxy.connect(&self.hub).await?,
            None => TcpStream::connect(&self.hub).await?,
        };
        // Acknowledgements are small; waiting to fill a packet would cost each 40 ms.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
