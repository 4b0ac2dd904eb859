//! The case of a deletion that takes its time, and of a spoke that does not live
//! to see its end.

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{config_map, now};
use rimward_e2e::rig::{Rig, files};
use serde_json::{Value, json};

use super::support::until_said;

/// Plans {a, b}, {a}, {a} again; `b` has a finalizer, and the spoke is killed while it goes.
pub async fn finalizer_and_a_kill(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case04", &["case04"])?;
    let app = files::app("web", "case04");
    let map = |name: &str, value: &str| files::config_map(name, "key", value);
    let (first_a, first_b) = (map("a", "1"), map("b", "1"));
    let first = [("rimward.yaml", Some(&*app)), ("a.yaml", Some(&*first_a)), ("b.yaml", Some(&*first_b))];
    rig.ship(&repo, "case04/web", &first).await?;
    let (a, b) = (config_map("case04", "a"), config_map("case04", "b"));
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    rig.sites[0].merge(&b, "some-controller", &hold).await?;

    let since = now();
    repo.commit(&[("b.yaml", None)], "without b")?;
    rig.reconcile().await?;
    let terminating =
        |found: Option<&Value>| found.is_some_and(|found| !found["metadata"]["deletionTimestamp"].is_null());
    rig.sites[0].until(&b, "being deleted", terminating).await?;
    rig.sites[0].spoke().kill()?;
    repo.commit(&[("a.yaml", Some(&map("a", "2")))], "a changes")?;
    rig.reconcile().await?;
    rig.sites[0].spoke().start()?;
    rig.sites[0].until_is(&a, "/data/key", &json!("2")).await?;
    let said = until_said(rig, "case04/web", "b", "Terminating").await;
    let waited = rig.hub.say(&["wait", "app/case04/web", "--timeout", "1s"]).await?;
    rig.sites[0].merge(&b, "some-controller", &json!({"metadata": {"finalizers": null}})).await?;
    said?;
    ensure!(waited.code == 3, "Ready is said of an App that still has something to go: {waited:?}");
    rig.sites[0].until_gone(&b).await?;
    rig.wait_ready("case04/web").await?;
    let deletes = rig.sites[0].asked(since).await?.verb("delete").namespace("case04");
    ensure!(deletes.count() == 1 && deletes.events[0].name == "b", "{deletes}");
    Ok(())
}
