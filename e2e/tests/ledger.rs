//! The ledger lost while the spoke is down (apply rule 2): what Git wants is
//! adopted as it is and without a write, what it wants no more is found by its
//! labels, held, and never pruned without an approval.

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{config_map, core, now};
use rimward_e2e::rig::{Rig, Story, eventually, files, item};
use serde_json::{Value, json};

/// The tenant, its namespace.
const NAME: &str = "lost";
/// What Git wants all the time.
const STAY: [&str; 2] = ["keep", "other"];
/// What it wants no more when the spoke is back.
const LEFT: [&str; 3] = ["dropped", "g1", "g2"];
/// Where the spoke keeps its ledger.
const LEDGER: &str = "/api/v1/namespaces/rimward-system/configmaps/rimward-spoke-ledger";
/// Its controller copies labels to what it makes: they make nothing ours.
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
    spec: {selector: {app: web}, ports: [{port: 80}]}\n";

#[tokio::test]
async fn a_lost_ledger_deletes_nothing() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let repo = begin(&rig).await?;
    let mut story = Story::begin();
    story.tell("lost while Git drops an object and an App: nothing is deleted", lost(&mut rig, &repo)).await;
    story.tell("what is left waits for an approval by name", approved(&mut rig)).await;
    story.tell("damaged, and the disk gone: nothing is written", damaged(&mut rig)).await;
    story.tell("what was adopted is pruned like anything else", pruned(&mut rig, &repo)).await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

/// A tenant whose namespaces are a glob, too, with three Apps.
async fn begin(rig: &Rig) -> Result<GitRepo> {
    let repo = rig.tenant(NAME, &[NAME, "lost-*"])?;
    let map = |name: &str| files::config_map(name, "of", "git");
    let texts = [
        ("web/rimward.yaml", files::app("web", NAME)),
        ("web/keep.yaml", map("keep")),
        ("web/dropped.yaml", map("dropped")),
        ("web/service.yaml", SERVICE.to_owned()),
        ("goes/rimward.yaml", files::app("goes", NAME)),
        ("goes/g1.yaml", map("g1")),
        ("goes/g2.yaml", map("g2")),
        ("stays/rimward.yaml", files::app("stays", NAME)),
        ("stays/other.yaml", map("other")),
    ];
    let changes: Vec<_> = texts.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
    repo.commit(&changes, "three Apps")?;
    rig.reconcile().await?;
    for app in ["web", "goes", "stays"] {
        rig.wait_ready(&format!("{NAME}/{app}")).await?;
    }
    Ok(repo)
}

/// UID and version of each of these.
async fn versions(rig: &Rig, names: &[&str]) -> Result<Vec<(Value, Value)>> {
    let mut found = Vec::new();
    for name in names {
        let object = rig.sites[0].there(&config_map(NAME, name)).await?;
        let meta = &object["metadata"];
        found.push((meta["uid"].clone(), meta["resourceVersion"].clone()));
    }
    let service = rig.sites[0].there(&core(NAME, "services", "web")).await?;
    found.push((service["metadata"]["uid"].clone(), service["metadata"]["resourceVersion"].clone()));
    Ok(found)
}

async fn events(rig: &Rig, kind: &str) -> Result<Vec<Value>> {
    let list = rig.hub.json(&["get", "events"]).await?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|event| event.to_string().contains(&format!("\"{kind}\""))).collect())
}

async fn until_told(rig: &mut Rig, kind: &str, times: usize) -> Result<Vec<Value>> {
    let told =
        eventually(kind, || async { Ok(Some(events(rig, kind).await?).filter(|all| all.len() == times)) });
    let told = told.await;
    let unknown = events(rig, "LedgerUnknown").await?;
    told.with_context(|| format!("{unknown:?}"))
}

/// The objects that the spoke holds because the ledger was lost.
async fn held(rig: &Rig) -> Result<Vec<String>> {
    let list = rig.hub.json(&["get", "holds", "-t", NAME]).await?;
    let mut names = Vec::new();
    for hold in list["items"].as_array().into_iter().flatten() {
        ensure!(hold["reason"] == "LedgerLost", "{hold:#}");
        let objects = hold["objects"].as_array().with_context(|| format!("{hold:#}"))?;
        names.extend(
            objects.iter().map(|object| object["object"]["name"].as_str().unwrap_or_default().to_owned()),
        );
    }
    names.sort();
    Ok(names)
}

async fn lost(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let all = [STAY.as_slice(), &LEFT].concat();
    let before = versions(rig, &all).await?;
    // A controller has copied the labels of the Service by now, which is what the search must not fall for.
    let slices =
        "/apis/discovery.k8s.io/v1/namespaces/lost/endpointslices?labelSelector=rimward.dev%2Fapp%3Dweb";
    eventually("an EndpointSlice with our labels", || async {
        let list = rig.sites[0].there(slices).await?;
        Ok(list["items"].as_array().is_some_and(|items| !items.is_empty()).then_some(()))
    })
    .await?;
    rig.sites[0].spoke().stop()?;
    rig.sites[0].delete(LEDGER).await?;
    let since = now();
    let changes = [
        ("web/dropped.yaml", None),
        ("goes/rimward.yaml", None),
        ("goes/g1.yaml", None),
        ("goes/g2.yaml", None),
    ];
    repo.commit(&changes, "less")?;
    rig.reconcile().await?;
    rig.sites[0].spoke().start()?;
    until_told(rig, "LedgerLost", 1).await?;
    let rebuilt = until_told(rig, "LedgerRebuilt", 1).await?;
    let found = eventually("what is left to be held", || async {
        Ok(Some(held(rig).await?).filter(|names| *names == LEFT))
    });
    if let Err(error) = found.await {
        let (holds, app) = (held(rig).await?, rig.hub.describe("app/lost/web").await?);
        return Err(error.context(format!("{holds:?} {rebuilt:?}\n{app:#}")));
    }
    let apps = rig.hub.json(&["get", "apps", "-t", NAME]).await?;
    let web = item(&apps, "web").with_context(|| format!("{apps:#}"))?;
    ensure!(web["state"] == "Held" && web["reason"] == "LedgerLost", "{web:#}");
    // Its tombstone stays, because its objects do.
    let goes = item(&apps, "goes").with_context(|| format!("{apps:#}"))?;
    ensure!(goes["reason"] == "Removing", "{goes:#}");
    rig.wait_ready("lost/stays").await?;
    ensure!(versions(rig, &all).await? == before, "objects were written or made again");
    let written = rig.sites[0].wrote(since).await?.namespace(NAME);
    ensure!(written.count() == 0, "needless writes:\n{written}");
    // Asked as the tenant, in its namespace, and once for each kind.
    let listed = rig.sites[0].asked(since).await?.namespace(NAME).verb("list").resource("configmaps");
    ensure!(listed.count() > 0 && listed.events.iter().all(|one| one.impersonated.is_some()), "{listed}");
    Ok(())
}

async fn approved(rig: &mut Rig) -> Result<()> {
    let list = rig.hub.json(&["get", "holds", "-t", NAME]).await?;
    for hold in list["items"].as_array().into_iter().flatten() {
        let digest = hold["digest"].as_str().context("a hold without a digest")?;
        rig.hub.cli_ok(&["approve", digest, "--reason", "meant", "-y"]).await?;
    }
    for name in LEFT {
        rig.sites[0].until_gone(&config_map(NAME, name)).await?;
    }
    rig.wait_ready("lost/web").await?;
    eventually("the removed App to be forgotten", || async {
        Ok((rig.hub.say(&["describe", "app/lost/goes"]).await?.code == 5).then_some(()))
    })
    .await
}

async fn damaged(rig: &mut Rig) -> Result<()> {
    let before = versions(rig, &STAY).await?;
    rig.sites[0].spoke().stop()?;
    rig.sites[0].merge(LEDGER, "nobody", &json!({"binaryData": {"ledger": "AAAA"}})).await?;
    rig.sites[0].spoke().lose_disk()?;
    let since = now();
    rig.sites[0].spoke().start()?;
    until_told(rig, "LedgerRebuilt", 2).await?;
    for app in ["lost/web", "lost/stays"] {
        rig.wait_ready(app).await?;
    }
    ensure!(held(rig).await?.is_empty(), "nothing is left over");
    ensure!(versions(rig, &STAY).await? == before, "objects were written or made again");
    let written = rig.sites[0].wrote(since).await?.namespace(NAME);
    ensure!(written.count() == 0, "needless writes:\n{written}");
    Ok(())
}

async fn pruned(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    rig.ship(repo, "lost/web", &[("web/keep.yaml", None)]).await?;
    rig.sites[0].until_gone(&config_map(NAME, "keep")).await?;
    rig.sites[0].there(&config_map(NAME, "other")).await.map(drop)
}
