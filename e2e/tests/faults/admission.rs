//! Faults of what stands before the API server: webhooks.

use anyhow::{Result, ensure};
use rimward_e2e::admission::{Kind, Review, Verdict, Webhook};
use rimward_e2e::rig::{Rig, eventually};
use serde_json::{Value, json};

use super::work::{CHANGED, GONE, KEPT, NEW, Work, meanwhile};

/// Writes that one change of Git needs.
const NECESSARY: usize = CHANGED + NEW.len();

/// Whether a change is asked for by a spoke, on behalf of a tenant.
fn of_a_spoke(review: &Review) -> bool {
    review.user.starts_with("system:serviceaccount:rimward-tenants:")
}

/// Waits until the App says that of an object.
async fn until_said(rig: &Rig, work: &Work, name: &str, check: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = eventually(&format!("word of {name}"), || async {
        let described = rig.hub.describe(&work.app()).await?;
        let objects = described["objects"].as_array().cloned().unwrap_or_default();
        Ok(objects.into_iter().find(|object| object["object"]["name"] == name && check(object)))
    })
    .await;
    match found {
        Ok(object) => Ok(object),
        Err(error) => Err(error.context(format!("{:#}", rig.hub.describe(&work.app()).await?))),
    }
}

/// The rest goes on; nothing is pruned of an App whose applies have not all succeeded.
pub async fn denies(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "denied").await?;
    let webhook = Webhook::start()?;
    webhook.play(|review| {
        let refused = of_a_spoke(review) && review.name == NEW[0];
        if refused { Verdict::Deny("not on my watch".to_owned()) } else { Verdict::Allow }
    });
    rig.sites[0].register(&webhook, Kind::Validating, "denied", 5).await?;
    work.change(rig).await?;
    let denied = until_said(rig, &work, NEW[0], |object| object["reason"] == "Denied").await?;
    let message = denied["message"].as_str().unwrap_or_default();
    ensure!(message.contains("not on my watch") && message.contains("denied.e2e.rimward.dev"), "{denied:#}");
    rig.sites[0].until_is(&work.path(NEW[1]), "/data/key", &json!("1")).await?;
    rig.sites[0].until_is(&work.path(KEPT[0]), "/data/key", &json!("2")).await?;
    meanwhile().await;
    let live = work.live(rig).await?;
    ensure!(GONE.iter().all(|name| live.contains_key(*name)), "pruned before all was applied");
    work.deleted_rightly(rig).await?;
    ensure!(webhook.reviews().len() <= 3 * NECESSARY, "asked {} times", webhook.reviews().len());
    webhook.play(|_| Verdict::Allow);
    let converged = work.converges(rig).await;
    rig.sites[0].unregister(&webhook, Kind::Validating, "denied").await?;
    converged
}

/// What is added beside what Git says is nobody's drift.
pub async fn adds(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "adding").await?;
    let webhook = Webhook::start()?;
    webhook.play(|_| {
        // The annotations may or may not be there; a key of the data always can be added.
        Verdict::Mutate(json!([{"op": "add", "path": "/data/added", "value": "by a webhook"}]))
    });
    rig.sites[0].register(&webhook, Kind::Mutating, "adding", 5).await?;
    work.change(rig).await?;
    let converged = work.converges(rig).await;
    meanwhile().await;
    let asked = webhook.reviews().into_iter().filter(|review| of_a_spoke(review) && !review.dry_run).count();
    let live = work.live(rig).await?;
    rig.sites[0].unregister(&webhook, Kind::Mutating, "adding").await?;
    converged?;
    ensure!(asked == NECESSARY, "{asked} writes, necessary {NECESSARY}");
    let added = live.values().filter(|object| object["data"]["added"] == "by a webhook").count();
    ensure!(added == NECESSARY, "added to {added} objects");
    Ok(())
}

/// A fight that nobody wins is fought seldom; once the webhook is gone, Git's value comes.
pub async fn overrides(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "overridden").await?;
    let webhook = Webhook::start()?;
    let patch = json!([{"op": "replace", "path": "/data/key", "value": "by a webhook"}]);
    webhook.play(move |review| {
        let changed = of_a_spoke(review) && review.name == KEPT[0];
        if changed { Verdict::Mutate(patch.clone()) } else { Verdict::Allow }
    });
    rig.sites[0].register(&webhook, Kind::Mutating, "overridden", 5).await?;
    work.change(rig).await?;
    let overridden =
        rig.sites[0].until_is(&work.path(KEPT[0]), "/data/key", &json!("by a webhook")).await.map(drop);
    meanwhile().await;
    let asked = webhook.reviews().iter().filter(|review| of_a_spoke(review)).count();
    rig.sites[0].unregister(&webhook, Kind::Mutating, "overridden").await?;
    overridden?;
    ensure!(asked <= 4 * NECESSARY, "asked {asked} times: the fight is fought as fast as it can be");
    // No watch shows that the webhook is gone; whoever touches the object has it looked at.
    let touch = json!({"metadata": {"annotations": {"example.com/touched": "1"}}});
    rig.sites[0].merge(&work.path(KEPT[0]), "another-controller", &touch).await?;
    rig.sites[0].until_is(&work.path(KEPT[0]), "/data/key", &json!("2")).await?;
    work.converges(rig).await
}

/// The API server gives up on it and refuses; what it says of it is passed on.
pub async fn times_out(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "silent").await?;
    let webhook = Webhook::start()?;
    webhook.play(|review| if of_a_spoke(review) { Verdict::Silence } else { Verdict::Allow });
    rig.sites[0].register(&webhook, Kind::Validating, "silent", 1).await?;
    work.change(rig).await?;
    let named = |object: &Value| {
        object["message"].as_str().is_some_and(|message| message.contains("silent.e2e.rimward.dev"))
    };
    let said = until_said(rig, &work, KEPT[0], named).await;
    meanwhile().await;
    let live = work.live(rig).await?;
    let deleted = work.deleted_rightly(rig).await;
    rig.sites[0].unregister(&webhook, Kind::Validating, "silent").await?;
    said?;
    deleted?;
    ensure!(GONE.iter().all(|name| live.contains_key(*name)), "pruned before all was applied");
    let asked = webhook.reviews().len();
    ensure!(asked <= 6 * NECESSARY, "asked {asked} times");
    work.converges(rig).await
}
