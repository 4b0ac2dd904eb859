//! The command lines of etcd, kube-apiserver and kube-controller-manager.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::files::Files;
use super::options::Options;
use crate::assets::{Assets, Tool};
use crate::daemon::Daemon;

/// The longest path of a Unix socket that Linux and macOS both take.
const SOCKET_PATH: usize = 103;

/// Where the audit log goes, below the folder.
pub(crate) const AUDIT_LOG: &str = "audit.log";

/// Starts etcd on Unix sockets: no port, no race for one.
pub(crate) fn etcd(assets: &Assets, files: &Files, options: &Options) -> Result<Daemon> {
    let client = socket_url(&files.path("etcd.sock"))?;
    let peer = socket_url(&files.path("peer.sock"))?;
    let mut command = Command::new(&assets.etcd.path);
    command
        .arg("--name=e2e")
        .arg(flag("--data-dir", &files.path("etcd")))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=e2e={peer}"))
        .arg("--log-level=warn");
    if !options.fsync {
        command.arg("--unsafe-no-fsync");
    }
    spawn("etcd", command, &assets.etcd, files)
}

/// Starts kube-apiserver on `port`.
pub(crate) fn apiserver(assets: &Assets, files: &Files, options: &Options, port: u16) -> Result<Daemon> {
    let mut command = Command::new(&assets.apiserver.path);
    command
        .arg(format!("--etcd-servers={}", socket_url(&files.path("etcd.sock"))?))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={port}"))
        // Binds beside the socket that keeps the port ours (see crate::port).
        .arg("--permit-port-sharing=true")
        // Without an address of its own choosing it looks for one of this
        // machine's, and fails where there is no network; without a reconciler
        // it does not try to publish a loopback address, which is refused.
        .arg("--advertise-address=127.0.0.1")
        .arg("--endpoint-reconciler-type=none")
        .arg("--service-cluster-ip-range=10.96.0.0/16")
        .arg("--authorization-mode=Node,RBAC")
        .arg(flag("--cert-dir", &files.path("apiserver-certs")))
        .arg(flag("--tls-cert-file", &files.path("server.crt")))
        .arg(flag("--tls-private-key-file", &files.path("server.key")))
        .arg(flag("--client-ca-file", &files.path("ca.crt")))
        .arg("--service-account-issuer=https://rimward-e2e.invalid")
        .arg(flag("--service-account-key-file", &files.path("service-accounts.pub")))
        .arg(flag("--service-account-signing-key-file", &files.path("service-accounts.key")))
        .arg(flag("--audit-policy-file", &files.path("audit-policy.yaml")))
        .arg(flag("--audit-log-path", &files.path(AUDIT_LOG)))
        // Megabytes; its default of 100 would rotate the log under a bench.
        .arg("--audit-log-maxsize=4096")
        .args(&options.apiserver_flags);
    spawn("kube-apiserver", command, &assets.apiserver, files)
}

/// Starts kube-controller-manager.
pub(crate) fn controller_manager(assets: &Assets, files: &Files, options: &Options) -> Result<Daemon> {
    let mut command = Command::new(&assets.controller_manager.path);
    command
        .arg(flag("--kubeconfig", &files.path("controller-manager.kubeconfig")))
        .arg("--leader-elect=false")
        .arg("--use-service-account-credentials")
        .arg(flag("--service-account-private-key-file", &files.path("service-accounts.key")))
        .arg(flag("--root-ca-file", &files.path("ca.crt")))
        // It serves nothing that anyone here asks for.
        .arg("--secure-port=0");
    if let Some((qps, burst)) = options.controller_rate {
        command.arg(format!("--kube-api-qps={qps}")).arg(format!("--kube-api-burst={burst}"));
    }
    spawn("kube-controller-manager", command, &assets.controller_manager, files)
}

fn spawn(name: &str, mut command: Command, tool: &Tool, files: &Files) -> Result<Daemon> {
    // The caller's proxy and kubeconfig are none of a test server's business.
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "KUBECONFIG"] {
        command.env_remove(variable);
    }
    Daemon::spawn(name, command, &files.path(&format!("{name}.log")), tool.tether)
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn socket_url(path: &Path) -> Result<String> {
    if path.as_os_str().len() > SOCKET_PATH {
        bail!("{} is too long for a Unix socket; set TMPDIR to a shorter folder", path.display());
    }
    Ok(format!("unix://{}", path.display()))
}
