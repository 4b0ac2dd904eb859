//! The web server before the repositories: who may see which, what was asked.

use std::collections::HashMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::cgi;
use super::repo::GitRepo;
use crate::https::TlsListener;
use crate::pki::{Authority, Identity};
use crate::port::Port;
use crate::scratch::Scratch;

/// The largest request: a fetch's list of what it has; a push of a test.
const BODY: usize = 64 << 20;

/// How long a stopped server may take to refuse connections.
const STOP: Duration = Duration::from_secs(5);

/// Plain or encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http://`
    Http,
    /// `https://`, with a certificate of an authority made for this server.
    Https,
}

/// Who may read and write a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone reads.
    Open,
    /// Who knows these, by basic authentication.
    Basic {
        /// User name.
        user: String,
        /// Password or token.
        password: String,
    },
}

impl Access {
    /// Basic authentication.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// The user that `headers` prove, if this lets them in.
    fn admit(&self, headers: &HeaderMap) -> Result<Option<String>, StatusCode> {
        let Self::Basic { user, password } = self else {
            return Ok(None);
        };
        let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let given = headers.get(header::AUTHORIZATION);
        if given.is_some_and(|value| value.as_bytes() == wanted.as_bytes()) {
            return Ok(Some(user.clone()));
        }
        Err(StatusCode::UNAUTHORIZED)
    }
}

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `info/refs`: what is there?
    Refs,
    /// `git-upload-pack`: with protocol 2 the list of refs, or a fetch.
    UploadPack,
    /// `git-receive-pack`: a push.
    ReceivePack,
    /// Anything else.
    Other,
}

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct GitRequest {
    /// The repository, as given to `create`; empty if there is none.
    pub repository: String,
    /// What for.
    pub kind: Kind,
    /// HTTP status of the answer.
    pub status: u16,
    /// When it was answered.
    pub time: Timestamp,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    access: Mutex<HashMap<String, Access>>,
    requests: Mutex<Vec<GitRequest>>,
}

/// A running Git server; stopped, with its folder removed, on drop.
pub struct GitServer {
    shared: Arc<Shared>,
    port: Port,
    scheme: Scheme,
    authority: Authority,
    identity: Identity,
    runtime: Option<Runtime>,
    scratch: Scratch,
}

impl GitServer {
    /// Starts one that speaks plain HTTP.
    pub fn start() -> Result<Self> {
        Self::start_with(Scheme::Http)
    }

    /// Starts one.
    pub fn start_with(scheme: Scheme) -> Result<Self> {
        let scratch = Scratch::new("git")?;
        let authority = Authority::new("rimward-e2e-git")?;
        let shared = Shared {
            root: scratch.path().join("bare"),
            access: Mutex::default(),
            requests: Mutex::default(),
        };
        std::fs::create_dir(&shared.root)?;
        let mut server = Self {
            shared: Arc::new(shared),
            port: Port::reserve()?,
            scheme,
            identity: authority.server()?,
            authority,
            runtime: None,
            scratch,
        };
        server.start_again()?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`, the origin of all its repositories.
    pub fn origin(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}", self.port.address())
    }

    /// The authority that signed the server's certificate, PEM.
    pub fn ca(&self) -> &str {
        self.authority.cert()
    }

    /// Makes the repository `name`, such as `payments/apps`, without a commit.
    /// Its URL is the origin, the name and `.git`.
    pub fn create(&self, name: &str, access: Access) -> Result<GitRepo> {
        let bare = self.shared.root.join(format!("{name}.git"));
        let work = self.scratch.path().join("work").join(name);
        let url = format!("{}/{name}.git", self.origin());
        let repo = GitRepo::create(url, bare, work)?;
        self.set_access(name, access);
        Ok(repo)
    }

    /// Changes who may see a repository: rotated or withdrawn credentials.
    pub fn set_access(&self, name: &str, access: Access) {
        lock(&self.shared.access).insert(name.to_owned(), access);
    }

    /// Makes a repository unknown (404). Its folder stays.
    pub fn hide(&self, name: &str) {
        lock(&self.shared.access).remove(name);
    }

    /// Every request answered so far.
    pub fn requests(&self) -> Vec<GitRequest> {
        lock(&self.shared.requests).clone()
    }

    /// How many requests of this kind a repository has had.
    pub fn count(&self, repository: &str, kind: Kind) -> usize {
        let of = |r: &&GitRequest| r.repository == repository && r.kind == kind;
        lock(&self.shared.requests).iter().filter(of).count()
    }

    /// Stops serving: connections break, new ones are refused. The
    /// repositories stay and can be committed to.
    pub fn stop(&mut self) -> Result<()> {
        let Some(runtime) = self.runtime.take() else {
            return Ok(());
        };
        // Ends every task, the listener's and each connection's; allowed
        // inside another runtime, where a plain drop would panic.
        runtime.shutdown_background();
        let start = Instant::now();
        while TcpStream::connect(self.port.address()).is_ok() {
            if start.elapsed() > STOP {
                bail!("the Git server still answers after {STOP:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Serves again, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        if self.runtime.is_some() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("git-server")
            .enable_all()
            .build()?;
        let routes = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(BODY))
            .with_state(Arc::clone(&self.shared));
        let inside = runtime.enter();
        let listener = self.port.listen()?;
        match self.scheme {
            Scheme::Http => drop(runtime.spawn(axum::serve(listener, routes).into_future())),
            Scheme::Https => {
                let listener = TlsListener::new(listener, &self.identity)?;
                drop(runtime.spawn(axum::serve(listener, routes).into_future()));
            }
        }
        drop(inside);
        self.runtime = Some(runtime);
        Ok(())
    }

    /// Writes a credentials folder as Rimward's hub reads it:
    /// `<folder>/<name>/` with origin, and what `access` and https need.
    pub fn write_credentials(&self, folder: &Path, name: &str, access: &Access) -> Result<()> {
        let target = folder.join(name);
        crate::scratch::private_dir(&target)?;
        let put = |file: &str, text: &str| {
            let path = target.join(file);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        put("origin", &self.origin())?;
        if let Access::Basic { user, password } = access {
            put("username", user)?;
            put("password", password)?;
        }
        if self.scheme == Scheme::Https {
            put("ca.crt", self.ca())?;
        }
        Ok(())
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        // Whatever it says, the runtime has been told to end.
        let _ = self.stop();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let (repository, kind) = classify(uri.path());
    let access = lock(&shared.access).get(repository).cloned();
    let admitted = match access {
        Some(access) => access.admit(&headers),
        None => Err(StatusCode::NOT_FOUND),
    };
    let entry = (repository.to_owned(), kind);
    let response = match admitted {
        Ok(user) => {
            let request = cgi::Request { method, uri, headers, body, user };
            (cgi::run(&shared.root, request).await).unwrap_or_else(|error| {
                let mut response = Response::new(Body::from(format!("{error:#}")));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            })
        }
        Err(status) => refuse(status),
    };
    let (repository, kind) = entry;
    lock(&shared.requests).push(GitRequest {
        repository,
        kind,
        status: response.status().as_u16(),
        time: Timestamp::now(),
    });
    response
}

fn refuse(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        let challenge = header::HeaderValue::from_static("Basic realm=\"git\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn classify(path: &str) -> (&str, Kind) {
    let Some((name, rest)) = path.trim_start_matches('/').split_once(".git/") else {
        return ("", Kind::Other);
    };
    let kind = match rest {
        "info/refs" => Kind::Refs,
        "git-upload-pack" => Kind::UploadPack,
        "git-receive-pack" => Kind::ReceivePack,
        _ => Kind::Other,
    };
    (name, kind)
}

/// A poisoned lock means that a test has panicked already; the data are fine.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
