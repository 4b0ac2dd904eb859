//! The case of a Secret that Git writes one way and the API server keeps in
//! another; and whose values are nobody's to say.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_e2e::rig::live::secret;
use rimward_e2e::rig::{Rig, files};
use serde_json::json;

use super::support::until_drift;

/// Values that must be seen nowhere; long and odd, so that nothing has them by chance.
const WANTED: &str = "canary-in-git-3e9b07d4f1";
const CHANGED: &str = "canary-by-hand-a1c58e2f60";

fn manifest(key: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData: {{{key}: {WANTED}}}\n")
}

/// Git says `stringData`; somebody edits `data`; then Git renames the key.
pub async fn string_data_edited_and_renamed(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case11", &["case11"])?;
    let app = files::app("keys", "case11");
    rig.ship(&repo, "case11/keys", &[("rimward.yaml", Some(&app)), ("keys.yaml", Some(&manifest("old")))])
        .await?;
    let path = secret("case11", "keys");
    rig.sites[0].merge(&path, "kubectl-edit", &json!({"data": {"old": STANDARD.encode(CHANGED)}})).await?;
    rig.sites[0].until_is(&path, "/data/old", &json!(STANDARD.encode(WANTED))).await?;
    let drift = until_drift(rig, "case11", "keys", |_| true).await?;
    ensure!(drift["fields"][0]["path"] == "/data/old" && drift["fields"][0]["redacted"] == true, "{drift:#}");

    rig.ship(&repo, "case11/keys", &[("keys.yaml", Some(&manifest("new")))]).await?;
    let object = rig.sites[0].there(&path).await?;
    ensure!(object["data"] == json!({"new": STANDARD.encode(WANTED)}), "the keys are {:?}", object["data"]);
    let said = rig.everything_said().await?;
    ensure!(said.contains("case11/keys"), "nothing is said of the App at all: the search is blind");
    for canary in [WANTED, CHANGED] {
        for form in [canary.to_owned(), STANDARD.encode(canary)] {
            ensure!(!said.contains(&form), "{form} is said");
        }
    }
    Ok(())
}
