//! What is followed and how: with fewer watches than there are places the rest is
//! listed, and kept all the same; an account that may sees the whole cluster in
//! one watch; and what is left to others costs no request.

#[path = "follow/listed.rs"]
mod listed;
#[path = "follow/scaled.rs"]
mod scaled;
#[path = "follow/wide.rs"]
mod wide;

use anyhow::Result;
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::{Rig, Story, apply_yaml, files};

/// The account of platform tenants, as the install can make it.
const PLATFORM: &str = include_str!("../../deploy/spoke/optional/platform.yaml");

/// A tenant in these namespaces, with more lines in its spec.
fn tenant(rig: &Rig, name: &str, namespaces: &[&str], more: &str) -> Result<GitRepo> {
    let repo = rig.tenant_repo(&format!("tenants/{name}"))?;
    let text = files::tenant(name, repo.url(), namespaces) + more;
    rig.fleet.commit(&[(&format!("tenants/{name}.yaml"), Some(&text))], name)?;
    Ok(repo)
}

/// A tenant whose account may everything everywhere.
async fn platform(rig: &Rig, name: &str, namespaces: &[&str]) -> Result<GitRepo> {
    apply_yaml(&rig.sites[0].client(), PLATFORM, |_| true).await?;
    tenant(rig, name, namespaces, "  serviceAccount: rimward-tenants/platform\n  objects: {allow: [\"*\"]}\n")
}

#[tokio::test]
async fn places_beyond_the_watches_are_listed() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let repo = listed::begin(&mut rig).await?;
    let mut story = Story::begin();
    story.tell("drift in a listed place is put back within the interval", listed::kept(&mut rig)).await;
    story.tell("`get drift` says where it shows late", listed::shown(&rig)).await;
    story.tell("rights taken away: unknown, no prune, no create", listed::forbidden(&mut rig, &repo)).await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

#[tokio::test]
async fn an_account_that_may_sees_everything_in_one_watch() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    wide::one_watch(&mut rig).await
}

#[tokio::test]
async fn what_an_autoscaler_changes_costs_nothing() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    scaled::for_nothing(&mut rig).await
}
