//! One connection pool to the API server for all identities: impersonation is a
//! header, so 100 tenants do not cost 100 pools. Nothing that failed is retried
//! here; the core decides what is tried again, and when.

use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::{BoxError, ServiceBuilder};

use super::errors::{CallError, Refusal};
use super::patience;

/// The API server gives up on a request after 60 s; ours that got no answer by then will get none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
/// A peer that does not even acknowledge TCP for this long is dialled again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// With [`KEEPALIVE_INTERVAL`] and [`KEEPALIVE_RETRIES`], a silent network is noticed in 30 s, also by idle watches.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// See [`KEEPALIVE`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE`].
const KEEPALIVE_RETRIES: u32 = 3;
/// Shorter than the 90 s after which load balancers and API servers close idle connections, so that none is reused
/// while it is being closed.
const POOL_IDLE: Duration = Duration::from_secs(60);
/// Answers larger than this are not read: a page of 500 large objects is below it.
const ANSWER_BYTES: usize = 256 << 20;

/// As whom a request is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The agent itself.
    Agent,
    /// A tenant's ServiceAccount, impersonated.
    Account {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Identity {
    /// The identity of `namespace/name`; none if the text is not of that form.
    pub fn account(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let good = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        good.then(|| Self::Account { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The user to impersonate. The API server adds a ServiceAccount's groups by itself, which is why none are sent.
    fn user(&self) -> Option<String> {
        match self {
            Self::Agent => None,
            Self::Account { namespace, name } => Some(format!("system:serviceaccount:{namespace}:{name}")),
        }
    }
}

/// Why no client can be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read.
    #[error("error[RW1010]: the kubeconfig cannot be used")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// Not in a cluster, and no kubeconfig named.
    #[error("error[RW1011]: not in a cluster, and `kubeconfig` names no file")]
    InCluster(#[source] kube::config::InClusterError),
    /// TLS or authentication cannot be set up.
    #[error("error[RW1012]: no client for the API server can be built")]
    Build(#[source] Box<kube::Error>),
}

/// The API server, as any identity.
#[derive(Clone)]
pub struct Connection {
    client: kube::Client,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: bytes::Bytes,
}

/// One request; see [`Connection::call`].
#[derive(Debug, Clone)]
pub struct Call {
    /// HTTP method.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Body; empty for none.
    pub body: Vec<u8>,
    /// What is accepted.
    pub accept: &'static str,
}

impl Call {
    /// A request without a body.
    pub fn new(method: http::Method, path: String) -> Self {
        let json = "application/json";
        Self { method, path, content_type: json, body: Vec::new(), accept: json }
    }

    /// The same with a body.
    pub fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        (self.content_type, self.body) = (content_type, body);
        self
    }

    /// The same, asking for another representation.
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }
}

impl Connection {
    /// A connection by `kubeconfig`, or with the pod's own account.
    pub async fn new(kubeconfig: Option<&Path>) -> Result<Self, ClientError> {
        let config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(ClientError::Kubeconfig)?;
                let options = KubeConfigOptions::default();
                kube::Config::from_custom_kubeconfig(file, &options).await.map_err(ClientError::Kubeconfig)?
            }
            None => kube::Config::incluster().map_err(ClientError::InCluster)?,
        };
        Self::from_config(config).map_err(|error| ClientError::Build(Box::new(error)))
    }

    /// A connection by a kube configuration.
    pub fn from_config(mut config: kube::Config) -> Result<Self, kube::Error> {
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if config.proxy_url.is_some() {
            return Ok(Self { client: ClientBuilder::try_from(config)?.build() });
        }
        let connector = config.rustls_https_connector_with_connector(connector())?;
        let transport = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .map_err(BoxError::from)
            .service(transport);
        Ok(Self { client: kube::Client::new(service, config.default_namespace) })
    }

    /// A kube client that acts as `identity`, over the same pool, and waits when it is asked to; see [`patience`].
    pub fn client(&self, identity: &Identity) -> kube::Client {
        let user = identity.user().and_then(|user| HeaderValue::from_str(&user).ok());
        let inner = self.client.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            if let Some(user) = &user {
                request.headers_mut().insert(IMPERSONATE, user.clone());
            }
            let inner = inner.clone();
            async move { patience::send(&inner, request).await }
        });
        kube::Client::new(service, self.client.default_namespace())
    }

    /// Makes one request as `identity` and reads the answer. A refusal of the server is an error with its `Status`. What
    /// the agent asks waits when it is asked to; a tenant's request is the core's to repeat.
    pub async fn call(&self, identity: &Identity, call: Call) -> Result<Answer, CallError> {
        self.exchange(build(identity, call)?, *identity == Identity::Agent).await
    }

    /// As [`Connection::call`], and waits when it is asked to, whoever asks.
    pub async fn call_patiently(&self, identity: &Identity, call: Call) -> Result<Answer, CallError> {
        self.exchange(build(identity, call)?, true).await
    }

    async fn exchange(&self, request: Request<Body>, patient: bool) -> Result<Answer, CallError> {
        let exchange = async {
            let response = match patient {
                true => patience::send(&self.client, request).await,
                false => self.client.send(request).await,
            };
            read(response.map_err(|error| CallError::Transport(Box::new(error)))?).await
        };
        tokio::time::timeout(REQUEST_TIMEOUT, exchange).await.unwrap_or(Err(CallError::Timeout))
    }
}

async fn read(response: Response<Body>) -> Result<Answer, CallError> {
    let status = response.status();
    let retry_after = patience::retry_after(response.headers());
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES);
    let body = body.collect().await.map_err(CallError::Body)?.to_bytes();
    if status.is_success() {
        return Ok(Answer { status: status.as_u16(), body });
    }
    Err(CallError::Refused(Box::new(Refusal::new(status.as_u16(), &body, retry_after))))
}

const IMPERSONATE: HeaderName = HeaderName::from_static("impersonate-user");

fn build(identity: &Identity, call: Call) -> Result<Request<Body>, CallError> {
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(http::header::ACCEPT, call.accept)
        .header(http::header::CONTENT_TYPE, call.content_type);
    if let Some(user) = identity.user() {
        request = request.header(IMPERSONATE, user);
    }
    request.body(Body::from(call.body)).map_err(CallError::Request)
}

fn connector() -> HttpConnector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    // Small requests must not wait for the acknowledgement of the one before.
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(KEEPALIVE));
    http.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    http.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    http
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_a_user_name() {
        let account = Identity::account("rimward-tenants/payments").unwrap();
        assert_eq!(account.user().unwrap(), "system:serviceaccount:rimward-tenants:payments");
        assert_eq!(Identity::account("payments"), None);
        assert_eq!(Identity::account("a/b/c"), None);
        assert_eq!(Identity::Agent.user(), None);
    }
}
