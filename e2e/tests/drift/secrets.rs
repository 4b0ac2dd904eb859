//! Secrets: repaired like everything else, and their values are nowhere in what
//! anybody says: not in drift, errors, logs or what hub and spoke remember.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::secret;
use rimward_e2e::rig::{Rig, Story, files};
use serde_json::{Value, json};

use super::reported;

/// Values that must be seen nowhere; long and odd, so that nothing has them by chance.
const WANTED: &str = "canary-wanted-5f1d6c0e9a";
const CHANGED: &str = "canary-by-hand-b83e27d1c4";
const STRING: &str = "canary-string-0c94fa7e62";
const BROKEN: &str = "canary-broken-71d2e8b05f";

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    let repo = match begin(rig).await {
        Ok(repo) => repo,
        Err(error) => return story.tell("a Secret is applied", async { Err(error) }).await,
    };
    story.tell("a Secret's edited value is put back, redacted", edited(rig)).await;
    story.tell("a Secret's key renamed in Git: the old one is gone", renamed(rig, &repo)).await;
    story.tell("a Secret that the server refuses", refused(rig, &repo)).await;
    story.tell("no value of a Secret is said anywhere", nowhere(rig)).await;
}

fn manifest(data_key: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\n  annotations: {{note: \"{STRING}\"}}\n\
         data: {{{data_key}: {}}}\nstringData: {{text: {STRING}}}\n",
        STANDARD.encode(WANTED)
    )
}

async fn begin(rig: &Rig) -> Result<GitRepo> {
    let repo = rig.tenant("vault", &["vault"])?;
    let files =
        [("rimward.yaml", Some(&*files::app("keys", "vault"))), ("keys.yaml", Some(&*manifest("old")))];
    rig.ship(&repo, "vault/keys", &files).await?;
    let object = rig.sites[0].there(&secret("vault", "keys")).await?;
    ensure!(object["data"]["old"] == STANDARD.encode(WANTED), "it was not applied as written");
    ensure!(object["data"]["text"] == STANDARD.encode(STRING), "stringData was not turned into data");
    Ok(repo)
}

async fn edited(rig: &Rig) -> Result<()> {
    let (site, path) = (&rig.sites[0], secret("vault", "keys"));
    let patch =
        json!({"data": {"old": STANDARD.encode(CHANGED)}, "metadata": {"annotations": {"note": CHANGED}}});
    site.merge(&path, "kubectl-edit", &patch).await?;
    site.until_is(&path, "/data/old", &json!(STANDARD.encode(WANTED))).await?;
    let drift = reported(rig, "keys", |drift| drift["manager"] == "kubectl-edit").await?;
    let fields = drift["fields"].as_array().cloned().unwrap_or_default();
    ensure!(fields.iter().any(|field| field["path"] == "/data/old"), "{drift:#}");
    for field in &fields {
        let hidden = field["redacted"] == true && field["wanted"].is_null() && field["found"].is_null();
        ensure!(hidden, "{drift:#}");
    }
    Ok(())
}

async fn renamed(rig: &Rig, repo: &GitRepo) -> Result<()> {
    rig.ship(repo, "vault/keys", &[("keys.yaml", Some(&manifest("new")))]).await?;
    let object = rig.sites[0].there(&secret("vault", "keys")).await?;
    let keys: Vec<_> = object["data"].as_object().into_iter().flat_map(|data| data.keys()).collect();
    ensure!(keys == ["new", "text"], "{keys:?}");
    Ok(())
}

/// The server's own words about a Secret may quote it; they are not passed on.
async fn refused(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let broken = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: broken}}\ntype: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: \"{BROKEN}\"}}\n"
    );
    repo.commit(&[("broken.yaml", Some(&broken))], "not a docker config")?;
    rig.reconcile().await?;
    let failed = rimward_e2e::rig::eventually("the refusal to be reported", || async {
        let described = rig.hub.describe("app/vault/keys").await?;
        Ok((described["state"] == "Failed").then_some(described))
    })
    .await?;
    let objects = failed["objects"].as_array().cloned().unwrap_or_default();
    let about = |object: &&Value| object["object"]["name"] == "broken";
    ensure!(objects.iter().any(|object| about(&object)), "{failed:#}");
    rig.ship(repo, "vault/keys", &[("broken.yaml", None)]).await.map(drop)
}

async fn nowhere(rig: &mut Rig) -> Result<()> {
    let said = rig.everything_said().await?;
    // Each place is looked into: a search that is blind finds nothing.
    for seen in [
        "vault/keys",
        "rimward_content_sent_total",
        "rimward_spoke_requests_total",
        // Of the ledger, the plan held and the baselines, unpacked.
        r#""namespace":"vault","name":"keys"},"version":"v1","uid":"#,
        r#""serviceAccount":"rimward-tenants/vault","takeover":"#,
        r#""fingerprint":{"ours":"#,
    ] {
        ensure!(said.contains(seen), "{seen} is not in what was searched");
    }
    for canary in [WANTED, CHANGED, STRING, BROKEN] {
        for form in [canary.to_owned(), STANDARD.encode(canary)] {
            let place = said.find(&form).map(|at| said[..at].chars().rev().take(300).collect::<String>());
            let before: Option<String> = place.map(|text| text.chars().rev().collect());
            ensure!(before.is_none(), "{form} is said after: {}", before.unwrap_or_default());
        }
    }
    Ok(())
}
