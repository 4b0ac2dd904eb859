//! A control plane is a real one, and leaves nothing behind.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rimward_e2e::assets::Assets;
use rimward_e2e::control_plane::{ControlPlane, Options, Pids};
use rimward_e2e::daemon::{Daemon, Tether};
use rimward_e2e::process;
use rimward_e2e::scratch::Scratch;
use serde_json::json;

/// Bound of every wait: generous, since other tests run beside.
const LIMIT: Duration = Duration::from_secs(60);

async fn until<F, A>(what: &str, ask: F) -> Result<()>
where
    F: Fn() -> A,
    A: Future<Output = Result<bool>>,
{
    let start = Instant::now();
    while !ask().await? {
        anyhow::ensure!(start.elapsed() < LIMIT, "{what}: not in {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn none_alive(pids: Pids) -> bool {
    let all = [Some(pids.etcd), pids.apiserver, pids.controller_manager];
    !all.into_iter().flatten().any(alive)
}

async fn namespace(client: &Client, name: &str) -> Result<Api<Namespace>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let object = json!({"metadata": {"name": name}});
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(api)
}

#[tokio::test]
async fn it_applies_observes_and_deletes() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let client = plane.client();
    let namespaces = namespace(&client, "team").await?;

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    let apply = PatchParams::apply("test").force();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
                     "data": {"a": "1"}});
    let made = maps.patch("m", &apply, &Patch::Apply(&map)).await?;
    let managers = made.metadata.managed_fields.unwrap_or_default();
    assert_eq!(managers[0].manager.as_deref(), Some("test"));

    let kubectl = plane.kubectl(&["get", "configmap", "m", "-n", "team", "-o", "name"])?;
    assert_eq!(kubectl.trim(), "configmap/m");
    assert!(plane.kubectl(&["get", "configmap", "absent"]).is_err());

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "team");
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 0,
        "selector": {"matchLabels": {"a": "d"}},
        "template": {"metadata": {"labels": {"a": "d"}},
                     "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let deployment = serde_json::from_value(deployment)?;
    deployments.create(&PostParams::default(), &deployment).await?;
    let observed = || async {
        let status = deployments.get("d").await?.status.unwrap_or_default();
        Ok(status.observed_generation == Some(1))
    };
    until("observedGeneration", observed).await?;

    namespaces.delete("team", &DeleteParams::default()).await?;
    let gone = || async { Ok(namespaces.get_opt("team").await?.is_none()) };
    until("deletion of the namespace", gone).await
}

#[tokio::test]
async fn the_audit_log_tells_who_asked_on_whose_behalf() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "tenant"}}))?;
    accounts.create(&PostParams::default(), &account).await?;
    let tenant = "system:serviceaccount:default:tenant";

    // Impersonated by the admin.
    let parsed = Kubeconfig::read_from(plane.kubeconfig())?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
    config.auth_info.impersonate = Some(tenant.to_owned());
    let maps: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config)?);
    assert!(maps.list(&ListParams::default()).await.is_err());
    let audit = plane.audit().await?.impersonating(tenant);
    let configmaps = audit.clone().verb("list").resource("configmaps");
    assert_eq!(configmaps.count(), 1, "{audit}");
    assert_eq!(configmaps.events[0].code, 403);
    assert_eq!(configmaps.events[0].user, "rimward-e2e-admin");
    assert_eq!(audit.mutating().count(), 0);

    // With a token of its own.
    let file = plane.kubeconfig_for_service_account("default", "tenant").await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(plane.client_from(&file).await?);
    assert!(maps.get("m").await.is_err());
    let audit = plane.audit().await?.user(tenant);
    assert_eq!(audit.count(), 1, "{audit}");
    assert_eq!(audit.events[0].name, "m");

    // The token request; what RBAC forbids is not in this metric.
    let tokens = [("verb", "POST"), ("subresource", "token"), ("code", "201")];
    let metrics = plane.metrics().await?;
    assert!(metrics.sum("apiserver_request_total", &tokens) >= 1.0);
    Ok(())
}

#[tokio::test]
async fn the_api_server_stops_and_comes_back_with_its_data() -> Result<()> {
    let mut plane = ControlPlane::start(Options::default()).await?;
    let client = plane.client();
    let namespaces = namespace(&client, "stays").await?;
    plane.stop_apiserver()?;
    assert!(namespaces.get("stays").await.is_err());
    plane.start_apiserver().await?;
    namespaces.get("stays").await.context("after the restart")?;
    Ok(())
}

#[tokio::test]
async fn a_given_folder_stays_and_the_next_one_goes_on_from_it() -> Result<()> {
    let scratch = Scratch::new("given")?;
    let options = Options { folder: Some(scratch.path().join("cluster")), ..Options::bench() };
    let first = ControlPlane::start(options.clone()).await?;
    namespace(&first.client(), "kept").await?;
    drop(first);
    let second = ControlPlane::start(options).await?;
    let namespaces: Api<Namespace> = Api::all(second.client());
    namespaces.get("kept").await.context("after the restart")?;
    Ok(())
}

#[tokio::test]
async fn two_at_once_and_a_drop_leaves_nothing() -> Result<()> {
    let planes = ControlPlane::start_many(2, Options::default()).await?;
    let left: Vec<_> = planes.iter().map(|p| (p.pids(), p.folder())).collect();
    assert!(left.iter().all(|(pids, folder)| alive(pids.etcd) && folder.exists()));
    drop(planes);
    for (pids, folder) in left {
        assert!(none_alive(pids), "{pids:?}");
        assert!(!folder.exists(), "{}", folder.display());
    }
    Ok(())
}

#[test]
fn a_panic_leaves_nothing() -> Result<()> {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let plane = ControlPlane::start_blocking(Options::default()).unwrap();
        tell.send((plane.pids(), plane.folder())).unwrap();
        panic!("on purpose, with a control plane in hand");
    });
    assert!(thread.join().is_err());
    let (pids, folder) = told.recv()?;
    assert!(none_alive(pids), "{pids:?}");
    assert!(!folder.exists());
    Ok(())
}

/// The folder that the process below is given.
const GIVEN: &str = "KUBEBUILDER_ASSETS";

#[test]
#[ignore = "started by the next test, with KUBEBUILDER_ASSETS set"]
fn on_given_assets() -> Result<()> {
    let folder = std::path::PathBuf::from(std::env::var(GIVEN)?);
    let assets = Assets::find()?;
    assert_eq!(assets.apiserver.path, folder.join("kube-apiserver"));
    assert_eq!(assets.kubectl.path, folder.join("kubectl"));
    assert!(!assets.controller_manager.path.starts_with(&folder));
    let plane = ControlPlane::start_blocking(Options::default())?;
    let pids = plane.pids();
    let started = |pid: u32| -> Result<String> {
        let line = String::from_utf8(std::fs::read(format!("/proc/{pid}/cmdline"))?)?;
        Ok(line.split('\0').next().unwrap_or_default().to_owned())
    };
    let of_folder = |name: &str| folder.join(name).display().to_string();
    assert_eq!(started(pids.etcd)?, of_folder("etcd"));
    assert_eq!(started(pids.apiserver.context("no API server")?)?, of_folder("kube-apiserver"));
    let manager = assets.controller_manager.path.display().to_string();
    assert_eq!(started(pids.controller_manager.context("no controller manager")?)?, manager);
    // Made by the controller manager.
    plane.kubectl(&["get", "serviceaccount", "default", "-o", "name"])?;
    drop(plane);
    assert!(none_alive(pids), "{pids:?}");
    Ok(())
}

/// As envtest ships them: kube-apiserver, etcd and kubectl.
#[test]
fn given_assets_are_used_and_only_what_is_missing_is_built() -> Result<()> {
    let (scratch, assets) = (Scratch::new("assets")?, Assets::find()?);
    for tool in [&assets.apiserver, &assets.etcd, &assets.kubectl] {
        let name = tool.path.file_name().context("a program without a name")?;
        std::os::unix::fs::symlink(&tool.path, scratch.path().join(name))?;
    }
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["--ignored", "--exact", "--nocapture", "on_given_assets"]).env(GIVEN, scratch.path());
    let output = process::run(command, 3 * LIMIT)?;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("not in KUBEBUILDER_ASSETS, so our own: kube-controller-manager\n"), "{said}");
    Ok(())
}

#[test]
#[ignore = "started by the next test, as the process to be killed"]
fn builds_until_killed() -> Result<()> {
    Assets::find().map(drop)
}

#[tokio::test]
async fn a_build_ends_with_whoever_asked_for_it() -> Result<()> {
    let scratch = Scratch::new("build")?;
    let (go, pids) = (scratch.path().join("go"), scratch.path().join("pids"));
    // As go and a compiler that it runs.
    let script = "#!/bin/sh\nsleep 600 &\necho $! $$ > \"$PIDS.draft\"; mv \"$PIDS.draft\" \"$PIDS\"\nwait\n";
    std::fs::write(&go, script)?;
    std::fs::set_permissions(&go, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let path = std::env::join_paths(
        std::iter::once(scratch.path().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").context("no PATH")?)),
    )?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["--ignored", "--exact", "builds_until_killed"]).env_remove(GIVEN);
    command.env("PATH", path).env("XDG_CACHE_HOME", scratch.path()).env("PIDS", &pids);
    let mut asking = Daemon::spawn("build", command, &scratch.path().join("log"), Tether::Watchdog)?;
    until("the build to begin", || async { Ok(pids.exists()) }).await?;
    let text = std::fs::read_to_string(&pids)?;
    let pids: Vec<u32> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    assert!(pids.len() == 2 && pids.iter().all(|pid| alive(*pid)), "{pids:?}");
    asking.kill()?;
    let gone = || async { Ok(!pids.iter().any(|pid| alive(*pid))) };
    until("the build to end", gone).await
}

/// Where the process below writes what it has started.
const HELD: &str = "RIMWARD_E2E_HELD";

#[test]
#[ignore = "started by the next test, as the process to be killed"]
fn held_until_killed() -> Result<()> {
    let file = std::path::PathBuf::from(std::env::var(HELD)?);
    let plane = ControlPlane::start_blocking(Options::default())?;
    let mut sleep = std::process::Command::new("sleep");
    sleep.arg("600");
    let log = plane.folder().join("sleep.log");
    let sleep = Daemon::spawn("sleep", sleep, &log, Tether::Watchdog)?;
    let pids = plane.pids();
    let all = [Some(pids.etcd), pids.apiserver, pids.controller_manager, Some(sleep.id())];
    let all: Vec<u32> = all.into_iter().flatten().collect();
    let folder = plane.folder();
    // Renamed into place, so that it is never read half written.
    let draft = file.with_extension("draft");
    std::fs::write(&draft, serde_json::to_string(&(all, folder))?)?;
    std::fs::rename(draft, file)?;
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

#[tokio::test]
async fn a_killed_test_leaves_no_process_and_its_folder_is_swept() -> Result<()> {
    let scratch = Scratch::new("killed")?;
    let file = scratch.path().join("held.json");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["--ignored", "--exact", "held_until_killed"]).env(HELD, &file);
    let log = scratch.path().join("log");
    let mut held = Daemon::spawn("held", command, &log, Tether::Watchdog)?;
    until("a control plane to lose its owner", || async { Ok(file.exists()) }).await?;
    let text = std::fs::read_to_string(&file)?;
    let (pids, folder): (Vec<u32>, std::path::PathBuf) = serde_json::from_str(&text)?;
    assert!(pids.len() >= 3 && pids.iter().all(|pid| alive(*pid)), "{pids:?}");
    held.kill()?;
    let gone = || async { Ok(!pids.iter().any(|pid| alive(*pid))) };
    until("its processes to end", gone).await?;
    // Another test of these may have swept it already.
    drop(Scratch::new("sweep")?);
    assert!(!folder.exists());
    Ok(())
}
