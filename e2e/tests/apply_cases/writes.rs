//! Cases about how much is written: nothing where nothing changes, once what
//! does, and hardly more under a storm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::proxy::{Fault, Odds};
use rimward_e2e::rig::live::{config_map, core, grouped, now};
use rimward_e2e::rig::{Rig, eventually, files};

use super::support::{meanwhile, tenant_with};

/// Objects of the large case.
const MANY: usize = 10_000;
/// Of those, how many one commit changes.
const CHANGED: usize = 100;
/// Objects under a storm.
const STORMY: usize = 60;

/// Written so that the server keeps each otherwise than it was said.
const ODDLY_WRITTEN: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: odd, annotations: {}}
spec:
  replicas: 0
  selector: {matchLabels: {app: odd}}
  template:
    metadata: {labels: {app: odd}}
    spec:
      containers:
      - {name: web, image: \"registry.example/web:1\", env: [], resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: \"0.5\"}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: nobody}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: []
---
apiVersion: v1
kind: ConfigMap
metadata: {name: empty}
data: {}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: odd}, ports: [{port: 80}]}
";

/// What means the same is the same, also for a spoke that has forgotten what it once saw.
pub async fn oddly_written_and_forgotten(rig: &mut Rig) -> Result<()> {
    // Who binds must have what is bound: `admin` has all of `view`.
    let more = "  role: admin\n  objects: {allow: [RoleBinding.rbac.authorization.k8s.io]}\n";
    let repo = tenant_with(rig, "case15", more)?;
    let app = files::app("odd", "case15");
    rig.ship(&repo, "case15/odd", &[("rimward.yaml", Some(&app)), ("odd.yaml", Some(ODDLY_WRITTEN))]).await?;
    let paths = [
        grouped("apps/v1", "case15", "deployments", "odd"),
        grouped("rbac.authorization.k8s.io/v1", "case15", "rolebindings", "nobody"),
        config_map("case15", "empty"),
        core("case15", "services", "web"),
    ];
    // The controllers of Kubernetes may still have a word about the Deployment.
    meanwhile().await;
    let before = versions(rig, &paths).await?;
    let since = now();
    for _ in 0..3 {
        rig.sites[0].spoke().stop()?;
        rig.sites[0].spoke().lose_disk()?;
        rig.sites[0].spoke().start()?;
        rig.wait_ready("case15/odd").await?;
    }
    let asked = rig.sites[0].asked(since).await?.namespace("case15");
    ensure!(asked.clone().verb("patch").count() + asked.clone().verb("get").count() > 0, "nobody looked");
    let written = asked.mutating();
    ensure!(written.count() == 0, "{written}");
    ensure!(versions(rig, &paths).await? == before, "resourceVersions changed");
    Ok(())
}

async fn versions(rig: &Rig, paths: &[String]) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    for path in paths {
        versions.push(rig.sites[0].there(path).await?["metadata"]["resourceVersion"].to_string());
    }
    Ok(versions)
}

fn name(i: usize) -> String {
    format!("m-{i:05}")
}

/// Commits these maps with that value, in files of a hundred.
fn commit(repo: &GitRepo, count: usize, value: impl Fn(usize) -> &'static str) -> Result<String> {
    const IN_FILE: usize = 100;
    let mut files = Vec::new();
    for first in (0..count).step_by(IN_FILE) {
        let maps = (first..count.min(first + IN_FILE)).map(|i| files::config_map(&name(i), "key", value(i)));
        files.push((format!("{first:05}.yaml"), maps.collect::<Vec<_>>().join("---\n")));
    }
    let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    repo.commit(&changes, "maps")
}

/// Waits until the App is Ready at a commit, as long as a few commands may take.
async fn settled(rig: &Rig, app: &str, commit: &str) -> Result<()> {
    const COMMANDS: usize = 4;
    rig.reconcile().await?;
    for _ in 0..COMMANDS {
        let said = rig.hub.say(&["wait", app, "--commit", commit, "--timeout", "60s"]).await?;
        match said.code {
            0 => return Ok(()),
            3 => println!("still waiting: {}", said.err.trim()),
            _ => bail!("{said:?}"),
        }
    }
    bail!("{app} is not Ready at {commit}: {:#}", rig.hub.describe(app).await?)
}

/// One commit changes one in a hundred of very many.
pub async fn few_of_many(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case16", &["case16"])?;
    repo.commit(&[("rimward.yaml", Some(&files::app("many", "case16")))], "an App")?;
    let start = Instant::now();
    let first = commit(&repo, MANY, |_| "1")?;
    settled(rig, "app/case16/many", &first).await?;
    println!("{MANY} ConfigMaps from commit to Ready: {:.1} s", start.elapsed().as_secs_f64());
    // What is told late of the first commit is not of the second.
    meanwhile().await;
    let since = now();
    let start = Instant::now();
    let every = MANY / CHANGED;
    let second = commit(&repo, MANY, |i| if i % every == 0 { "2" } else { "1" })?;
    settled(rig, "app/case16/many", &second).await?;
    println!("{CHANGED} of them changed: {:.1} s", start.elapsed().as_secs_f64());
    let written = rig.sites[0].wrote(since).await?;
    ensure!(written.clone().verb("patch").resource("configmaps").count() == written.count(), "{written}");
    let limit = CHANGED - CHANGED / 20..=CHANGED + CHANGED / 20;
    ensure!(limit.contains(&written.count()), "{} writes", written.count());
    let names: BTreeSet<_> = written.events.iter().map(|event| event.name.clone()).collect();
    let wanted: BTreeSet<_> = (0..MANY).step_by(every).map(name).collect();
    ensure!(names == wanted, "written: {names:?}");
    for i in [0, 1, every, MANY - 1] {
        let object = rig.sites[0].there(&config_map("case16", &name(i))).await?;
        ensure!(object["data"]["key"] == if i % every == 0 { "2" } else { "1" }, "{object:#}");
    }
    Ok(())
}

/// Every second answer is 429, of everything that the spoke asks.
pub async fn a_storm(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case17", &["case17"])?;
    repo.commit(&[("rimward.yaml", Some(&files::app("stormy", "case17")))], "an App")?;
    let odds = Odds::new(17, 50);
    rig.sites[0].proxy().play(move |_| if odds.hit() { Fault::TooMany(1) } else { Fault::None });
    let (since, start) = (now(), Instant::now());
    for value in ["1", "2"] {
        let commit = commit(&repo, STORMY, |_| value)?;
        settled(rig, "app/case17/stormy", &commit).await?;
        println!("value {value} everywhere after {:.1} s", start.elapsed().as_secs_f64());
    }
    let impatient = rig.sites[0].proxy().impatient(start);
    let refused = rig.sites[0].proxy().since(start).iter().filter(|one| one.fault.name() == "429").count();
    rig.sites[0].proxy().pass();
    ensure!(refused > STORMY, "there was no storm: {refused} answers were 429");
    ensure!(impatient.is_empty(), "asked again before it was time: {impatient:#?}");
    // Each map made once and changed once.
    let necessary = 2 * STORMY;
    let written = rig.sites[0].wrote(since).await?.namespace("case17").resource("configmaps");
    ensure!(written.count() <= necessary * 12 / 10, "{} writes, necessary {necessary}", written.count());
    eventually("the calm after it", || async {
        Ok((rig.hub.describe("app/case17/stormy").await?["state"] == "Ready").then_some(()))
    })
    .await?;
    for i in 0..STORMY {
        let object = rig.sites[0].there(&config_map("case17", &name(i))).await?;
        ensure!(object["data"]["key"] == "2", "{object:#}");
    }
    ensure!(start.elapsed() < Duration::from_secs(120), "it took {:?}", start.elapsed());
    Ok(())
}
