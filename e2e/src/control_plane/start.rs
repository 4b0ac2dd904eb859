//! From nothing to a control plane that answers.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::files::Files;
use super::{ControlPlane, Options, http_get, servers};
use crate::assets::Assets;
use crate::daemon::Daemon;
use crate::port::Port;
use crate::scratch::Scratch;

/// How long a start may take. About 4 s alone on two cores; the limit is for
/// a machine that compiles and runs other control planes beside.
const READY: Duration = Duration::from_secs(120);

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(50);

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How many lines of a server's log an error shows.
const TAIL: usize = 25;

pub(super) async fn start(options: Options) -> Result<ControlPlane> {
    let assets = tokio::task::spawn_blocking(Assets::find).await??;
    let scratch = match options.folder {
        Some(_) => None,
        None => Some(Scratch::new("cluster")?),
    };
    let folder = options.folder.as_deref();
    let folder = folder.or(scratch.as_ref().map(Scratch::path));
    let port = Port::reserve()?;
    let files = Files::create(folder.context("no folder")?, port.number())?;
    let etcd = servers::etcd(&assets, &files, &options)?;
    let apiserver = servers::apiserver(&assets, &files, &options, port.number())?;
    let config = config(&files.path("admin.kubeconfig")).await?;
    let mut plane = ControlPlane {
        controller_manager: None,
        apiserver: Some(apiserver),
        etcd,
        port,
        assets,
        options,
        files,
        config,
        last_look: None,
        _scratch: scratch,
    };
    finish(&mut plane).await?;
    Ok(plane)
}

async fn finish(plane: &mut ControlPlane) -> Result<()> {
    let server = plane.apiserver.as_mut().context("no kube-apiserver")?;
    wait_until_ready(&plane.config, server)
        .await
        .with_context(|| format!("etcd says: {}", plane.etcd.log_tail(TAIL)))?;
    let manager = servers::controller_manager(&plane.assets, &plane.files, &plane.options)?;
    let client = plane.client();
    let manager = plane.controller_manager.insert(manager);
    wait("the first ServiceAccount", manager, || {
        exists::<ServiceAccount>(Api::default_namespaced(client.clone()), "default")
    })
    .await
}

/// Waits for `/readyz` and the two namespaces everybody needs.
pub(super) async fn wait_until_ready(config: &Config, server: &mut Daemon) -> Result<()> {
    let client = Client::try_from(config.clone())?;
    wait("kube-apiserver", server, || is_ready(client.clone())).await
}

/// A client configuration from a kubeconfig file. Retries are off: a test
/// wants to see the answer it got.
pub(super) async fn config(kubeconfig: &Path) -> Result<Config> {
    // Two features of kube's tree could each bring a provider; this decides.
    // An error means that someone has decided already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let parsed = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    // Straight to loopback, whatever proxy the environment names.
    config.proxy_url = None;
    Ok(config)
}

async fn is_ready(client: Client) -> Result<bool> {
    client.request_text(http_get("/readyz")?).await?;
    let namespaces: Api<Namespace> = Api::all(client);
    for name in ["default", "kube-system"] {
        if namespaces.get_opt(name).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn exists<K>(api: Api<K>, name: &str) -> Result<bool>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    Ok(api.get_opt(name).await?.is_some())
}

/// Asks until the answer is yes. An error counts as no; the last one is told
/// when time is up. Fails at once when the process ends.
async fn wait<F, A>(what: &str, daemon: &mut Daemon, ask: F) -> Result<()>
where
    F: Fn() -> A,
    A: Future<Output = Result<bool>>,
{
    let start = Instant::now();
    loop {
        if let Some(status) = daemon.status()? {
            bail!("{} ended ({status}): {}", daemon.name(), daemon.log_tail(TAIL));
        }
        let said = match tokio::time::timeout(ANSWER, ask()).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => "not yet".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer in {ANSWER:?}"),
        };
        if start.elapsed() > READY {
            let tail = daemon.log_tail(TAIL);
            bail!("{what} is not ready after {READY:?}: {said}; its log: {tail}");
        }
        tokio::time::sleep(POLL).await;
    }
}
