//! A cluster of a rig: a control plane of our own or one that someone already
//! has, and its spoke.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::apply::apply_yaml;
use super::audit::Watched;
use super::{HubProcess, SpokeProcess, eventually, item};
use crate::control_plane::ControlPlane;
use crate::proxy::FaultProxy;

/// Seconds the spoke's ServiceAccount token is good for: longer than any test or demo.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// A cluster and its spoke.
pub struct Site {
    /// The cluster's name in the fleet.
    pub name: String,
    /// Appended to the spoke's configuration; set it before the site joins.
    pub more_config: String,
    pub(super) watched: Watched,
    // In this order they end: who asks before who is asked.
    spoke: Option<SpokeProcess>,
    proxy: Option<FaultProxy>,
    plane: Option<ControlPlane>,
    kubeconfig: PathBuf,
    client: Client,
}

impl Site {
    /// A cluster on a control plane of our own. At its end it is seen whether the spoke asked anything about a tenant's
    /// object under its own name.
    pub async fn own(name: &str, mut plane: ControlPlane) -> Result<Self> {
        let kubeconfig = plane.kubeconfig();
        let site = Self::of(name, &kubeconfig).await?;
        let watched = Watched::begin(&mut plane, name);
        Ok(Self { plane: Some(plane), watched, ..site })
    }

    /// As [`Site::own`], the spoke behind a proxy that makes faults when told to.
    pub async fn behind_a_proxy(name: &str, plane: ControlPlane) -> Result<Self> {
        let site = Self::own(name, plane).await?;
        let proxy = FaultProxy::start(&site.kubeconfig).await?;
        Ok(Self { proxy: Some(proxy), ..site })
    }

    /// A cluster that is already there; the kubeconfig's current context must be an admin's.
    pub async fn of(name: &str, kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            more_config: String::new(),
            watched: Watched::default(),
            spoke: None,
            proxy: None,
            plane: None,
            kubeconfig: kubeconfig.to_owned(),
            client: client(kubeconfig).await?,
        })
    }

    /// An admin's client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// An admin's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The control plane, when it is our own.
    pub fn plane(&mut self) -> &mut ControlPlane {
        self.plane.as_mut().expect("only asked of sites made by Site::own")
    }

    /// The proxy that the spoke goes through, when there is one.
    pub fn proxy(&self) -> &FaultProxy {
        self.proxy.as_ref().expect("only asked of sites made by Site::behind_a_proxy")
    }

    /// Whether the spoke goes through a proxy.
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// The spoke; there is one once the site has joined.
    pub fn spoke(&mut self) -> &mut SpokeProcess {
        self.spoke.as_mut().expect("only asked of sites that joined")
    }

    /// The same cluster with a spoke that runs already.
    pub fn with_spoke(self, spoke: SpokeProcess) -> Self {
        Self { spoke: Some(spoke), ..self }
    }

    /// Applies what `rimward enroll` prints, except the Deployment, starts the spoke as a process with the installed
    /// ServiceAccount's rights, and waits until it is connected.
    pub(super) async fn enrol(&mut self, hub: &HubProcess, folder: &Path) -> Result<()> {
        self.install(hub).await?;
        let token = hub.cli_ok(&["enroll", &self.name, "--token-only"]).await?;
        let mut spoke = self.spoke_with(hub, folder, &token).await?;
        spoke.start()?;
        self.spoke = Some(spoke);
        self.watched.joined();
        let connected = eventually("the spoke to be connected", || async {
            let clusters = hub.json(&["get", "clusters"]).await?;
            let seen = item(&clusters, &self.name).is_some_and(|c| c["state"] == "Ready");
            Ok(seen.then_some(()))
        });
        let Err(error) = connected.await else { return Ok(()) };
        let clusters = hub.cli_ok(&["describe", &format!("cluster/{}", self.name)]).await;
        let log = self.spoke.as_ref().map(SpokeProcess::log).unwrap_or_default();
        let clusters = clusters.unwrap_or_else(|error| error.to_string());
        Err(error.context(format!("{clusters}\n{} log:\n{log}\n{}", self.name, hub.log_tail())))
    }

    /// Applies what `rimward enroll` prints, except the Deployment.
    pub async fn install(&self, hub: &HubProcess) -> Result<()> {
        let manifests = hub.cli_ok(&["enroll", &self.name, "--print"]).await?;
        apply_yaml(&self.client, &manifests, |kind| kind != "Deployment").await
    }

    /// A spoke of this cluster with that token, with the installed ServiceAccount's rights, not started yet.
    pub async fn spoke_with(&self, hub: &HubProcess, folder: &Path, token: &str) -> Result<SpokeProcess> {
        let kubeconfig = self.agent_kubeconfig(folder).await?;
        SpokeProcess::new(folder, &self.name, &hub.address, &kubeconfig, token, &self.more_config)
    }

    async fn agent_kubeconfig(&self, folder: &Path) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), "rimward-system");
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let answer = accounts.create_token_request("rimward-spoke", &Default::default(), &request).await?;
        let token = answer.status.context("the server gave no token")?.token;
        let mut config = serde_json::to_value(Kubeconfig::read_from(&self.kubeconfig)?)?;
        let users = config["users"].as_array_mut().context("the kubeconfig has no users")?;
        for user in users {
            user["user"] = serde_json::json!({ "token": token });
        }
        if let Some(proxy) = &self.proxy {
            proxy.lead_through(&mut config)?;
        }
        let path = folder.join(format!("{}.kubeconfig", self.name));
        std::fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        Ok(path)
    }
}

/// A client as whoever `kubeconfig` says.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    // A test wants to see the answer it got, and not another one minutes later.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
