//! The files a control plane needs before it can start: certificates, keys,
//! kubeconfigs, the audit policy.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pki::{Authority, Identity, signing_key};
use crate::scratch::private_dir;

/// Metadata of every request, once, when it is answered; a watch also when it
/// begins. Left out: probes, and the API server's requests to itself.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: [/readyz*, /livez*, /healthz*]
- level: None
  users: [system:apiserver]
- level: Metadata
";

/// Paths below a control plane's folder.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Makes the folder and all the files. `port` is the API server's.
    pub fn create(folder: &Path, port: u16) -> Result<Self> {
        private_dir(folder)?;
        let files = Self { folder: folder.to_owned() };
        let authority = Authority::new("rimward-e2e-cluster")?;
        let server = authority.server()?;
        files.write("ca.crt", authority.cert())?;
        files.write("server.crt", &server.cert)?;
        files.write("server.key", &server.key)?;
        files.service_account_keys()?;
        files.write("audit-policy.yaml", AUDIT_POLICY)?;
        let admin = authority.client("rimward-e2e-admin", Some("system:masters"))?;
        files.kubeconfig("admin.kubeconfig", port, &certificate(&admin))?;
        let manager = authority.client("system:kube-controller-manager", None)?;
        files.kubeconfig("controller-manager.kubeconfig", port, &certificate(&manager))?;
        Ok(files)
    }

    /// The path of a file called `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a kubeconfig that a bearer token is good for.
    pub fn token_kubeconfig(&self, name: &str, port: u16, token: &str) -> Result<PathBuf> {
        self.kubeconfig(name, port, &json!({ "token": token }))
    }

    /// JSON is YAML: kubectl and every client read it.
    fn kubeconfig(&self, name: &str, port: u16, user: &Value) -> Result<PathBuf> {
        let authority = fs::read(self.path("ca.crt"))?;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority-data": STANDARD.encode(authority),
            }}],
            "users": [{"name": "e2e", "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
            "current-context": "e2e",
        });
        self.write(name, &serde_json::to_string_pretty(&config)?)?;
        Ok(self.path(name))
    }

    /// These outlive a restart: tokens signed with them must stay good.
    fn service_account_keys(&self) -> Result<()> {
        if self.path("service-accounts.pub").exists() {
            return Ok(());
        }
        let (private, public) = signing_key()?;
        self.write("service-accounts.key", &private)?;
        self.write("service-accounts.pub", &public)
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.path(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("writing {}", path.display()))?;
        std::io::Write::write_all(&mut file, content.as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    }
}

fn certificate(identity: &Identity) -> Value {
    json!({
        "client-certificate-data": STANDARD.encode(&identity.cert),
        "client-key-data": STANDARD.encode(&identity.key),
    })
}
