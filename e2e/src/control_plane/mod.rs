//! A real Kubernetes control plane: etcd, kube-apiserver and
//! kube-controller-manager as child processes, gone when the value is.
//!
//! There is no kubelet: pods stay Pending, Deployments get an
//! observedGeneration and ReplicaSets, namespaces are deleted, garbage is
//! collected.

mod audit;
mod everything;
mod files;
mod metrics;
mod options;
mod servers;
mod start;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client, Config};

pub use audit::{Audit, AuditEvent};
pub use everything::name_of;
pub use metrics::Metrics;
pub use options::Options;

use crate::assets::Assets;
use crate::daemon::Daemon;
use crate::port::Port;
use crate::scratch::Scratch;
use files::Files;

/// How long the API server may take to end on SIGTERM; it waits for requests
/// that are being answered.
const APISERVER_GRACE: Duration = Duration::from_secs(5);

/// How long etcd may take; it has nothing to wait for once its client is gone.
const ETCD_GRACE: Duration = Duration::from_secs(2);

/// How long the audit log may lag behind an answer before that is an error.
const AUDIT_LAG: Duration = Duration::from_secs(10);

/// The life of tokens for kubeconfigs, in seconds: longer than any test.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// Process ids, for those who measure or kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids {
    /// etcd.
    pub etcd: u32,
    /// kube-apiserver, unless stopped.
    pub apiserver: Option<u32>,
    /// kube-controller-manager, once it runs.
    pub controller_manager: Option<u32>,
}

/// Looks at the text of an audit log.
type LastLook = Box<dyn FnOnce(&str) -> Result<()> + Send + Sync>;

/// A running control plane. Dropping it ends its processes, which takes up to
/// a few seconds and blocks, and removes its folder.
pub struct ControlPlane {
    // Fields are dropped in this order, after `drop` has stopped the servers.
    controller_manager: Option<Daemon>,
    apiserver: Option<Daemon>,
    etcd: Daemon,
    port: Port,
    assets: Assets,
    options: Options,
    files: Files,
    config: Config,
    last_look: Option<LastLook>,
    _scratch: Option<Scratch>,
}

impl ControlPlane {
    /// Starts one and waits until it is ready, about four seconds. The first
    /// time on a machine, builds the programs, about ten minutes.
    pub async fn start(options: Options) -> Result<Self> {
        start::start(options).await
    }

    /// As `start`, for callers without a runtime.
    pub fn start_blocking(options: Options) -> Result<Self> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Self::start(options))
    }

    /// Starts `count` of them at the same time.
    pub async fn start_many(count: usize, options: Options) -> Result<Vec<Self>> {
        let starts = (0..count).map(|_| Self::start(options.clone()));
        futures::future::try_join_all(starts).await
    }

    /// The admin's kubeconfig file (group `system:masters`).
    pub fn kubeconfig(&self) -> PathBuf {
        self.files.path("admin.kubeconfig")
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.port.address())
    }

    /// The folder with data, logs and kubeconfigs.
    pub fn folder(&self) -> PathBuf {
        self.files.path("")
    }

    /// A new admin client. Call it inside a tokio runtime, which it then
    /// depends on.
    pub fn client(&self) -> Client {
        let client = Client::try_from(self.config.clone());
        client.expect("the same configuration has worked when the control plane started")
    }

    /// A new client as whoever `kubeconfig` says.
    pub async fn client_from(&self, kubeconfig: &Path) -> Result<Client> {
        Ok(Client::try_from(start::config(kubeconfig).await?)?)
    }

    /// Issues a token for a ServiceAccount that exists, and returns the path
    /// of a kubeconfig with it.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("requesting a token for {namespace}/{name}"))?;
        let token = answer.status.context("a token request without status")?.token;
        let file = format!("{namespace}-{name}.kubeconfig");
        self.files.token_kubeconfig(&file, self.port.number(), &token)
    }

    /// Runs kubectl as the admin and returns its stdout; an error with its
    /// stderr when it fails. Blocks.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with_input(args, "")
    }

    /// As `kubectl`, with something on its standard input (`apply -f -`).
    pub fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.assets.kubectl.path)
            .arg(format!("--kubeconfig={}", self.kubeconfig().display()))
            .args(args)
            // kubectl's discovery cache is by host and port, which come again.
            .env("KUBECACHEDIR", self.files.path("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting kubectl")?;
        let mut stdin = child.stdin.take().context("stdin of kubectl")?;
        // It may end without reading; its exit status says more than our EPIPE.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output()?;
        if !status.success() {
            bail!("kubectl {args:?}: {}", String::from_utf8_lossy(&stderr).trim());
        }
        Ok(String::from_utf8(stdout)?)
    }

    /// The path of kubectl.
    pub fn kubectl_path(&self) -> &Path {
        &self.assets.kubectl.path
    }

    /// The audit log so far: every request that was answered before the call.
    pub async fn audit(&self) -> Result<Audit> {
        self.audit_where(|_| true).await
    }

    /// As [`ControlPlane::audit`], of the lines that `wanted` takes: of a long log most need not be read as JSON.
    pub async fn audit_where(&self, wanted: impl Fn(&str) -> bool) -> Result<Audit> {
        // The log is written beside the answer, not before it. So ask for
        // something unmistakable and wait until that is in the log.
        let mark = format!("/version?mark={}", uuid::Uuid::now_v7());
        let request = http_get(&mark)?;
        self.client().request_text(request).await?;
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.files.path(servers::AUDIT_LOG))?;
            let settled =
                (text.lines().rev()).any(|line| line.contains(&mark) && line.contains("ResponseComplete"));
            if settled && text.ends_with('\n') {
                return Ok(Audit::parse_where(&text, wanted)?.filter(|event| event.uri != mark));
            }
            if start.elapsed() > AUDIT_LAG {
                bail!("the audit log does not show {mark} after {AUDIT_LAG:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The API server's own metrics.
    pub async fn metrics(&self) -> Result<Metrics> {
        let text = self.client().request_text(http_get("/metrics")?).await?;
        Ok(Metrics::new(text))
    }

    /// The process ids.
    pub fn pids(&self) -> Pids {
        Pids {
            etcd: self.etcd.id(),
            apiserver: self.apiserver.as_ref().map(Daemon::id),
            controller_manager: self.controller_manager.as_ref().map(Daemon::id),
        }
    }

    /// Kills the API server: connections break, new ones are refused.
    pub fn stop_apiserver(&mut self) -> Result<()> {
        if let Some(mut server) = self.apiserver.take() {
            server.kill()?;
        }
        Ok(())
    }

    /// Has `check` look at the whole audit log when this control plane has stopped. What it finds is the error of
    /// [`ControlPlane::stop`]; on a drop it is a panic, so that no test passes over it.
    pub fn at_end(&mut self, check: impl FnOnce(&str) -> Result<()> + Send + Sync + 'static) {
        self.last_look = Some(Box::new(check));
    }

    /// Stops it for good.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        // Clients before servers, or each would wait for the next. Errors
        // have nobody to go to; each value kills on its own drop as well.
        if let Some(manager) = &mut self.controller_manager {
            let _ = manager.kill();
        }
        if let Some(server) = &mut self.apiserver {
            let _ = server.terminate(APISERVER_GRACE);
        }
        let _ = self.etcd.terminate(ETCD_GRACE);
        let Some(check) = self.last_look.take() else { return Ok(()) };
        check(&std::fs::read_to_string(self.files.path(servers::AUDIT_LOG)).context("the audit log")?)
    }

    /// Starts it again, on the same port, and waits until it is ready.
    pub async fn start_apiserver(&mut self) -> Result<()> {
        if self.apiserver.is_none() {
            let port = self.port.number();
            let server = servers::apiserver(&self.assets, &self.files, &self.options, port)?;
            let server = self.apiserver.insert(server);
            start::wait_until_ready(&self.config, server).await?;
        }
        Ok(())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let Err(error) = self.end() else { return };
        // A test that fails already keeps its own reason.
        if std::thread::panicking() {
            eprintln!("{error:?}");
        } else {
            panic!("{error:?}");
        }
    }
}

fn http_get(path: &str) -> Result<axum::http::Request<Vec<u8>>> {
    let request = axum::http::Request::get(path).body(Vec::new());
    request.context("building a request")
}
