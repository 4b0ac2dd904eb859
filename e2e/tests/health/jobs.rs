//! Jobs: ready when they are complete; one that then removes itself is not
//! missed, also not by a spoke that comes back, with or without its disk.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{self, grouped};
use rimward_e2e::rig::{Rig, Story};
use serde_json::Value;

use super::{publish, until};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig, repo: &GitRepo) {
    let since = live::now();
    story.tell("a Job is ready when it is complete, and may go then", goes(rig, repo)).await;
    story.tell("it is not made again", stays_gone(rig, since)).await;
    story.tell("nor by a spoke that was started again", restarted(rig, since, false)).await;
    story.tell("nor by one that lost its disk", restarted(rig, since, true)).await;
    story.tell("another body runs", another(rig, repo, since)).await;
    story.tell("a Job that is only suspended is not ready", suspended(rig, repo)).await;
}

/// No work to do, so that it is complete at once without a kubelet, and gone soon after.
fn job(name: &str, work: &str, ttl: &str) -> String {
    format!(
        "\
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, annotations: {{example.com/work: \"{work}\"}}}}
spec:
  completions: 0
  {ttl}
  template: {{spec: {{restartPolicy: Never, containers: [{{name: work, image: \"registry.example/work:1\"}}]}}}}
"
    )
}

fn path() -> String {
    grouped("batch/v1", "payments", "jobs", "migrate")
}

async fn goes(rig: &Rig, repo: &GitRepo) -> Result<()> {
    publish(rig, repo, "jobs", "payments", &[("job", &job("migrate", "1", "ttlSecondsAfterFinished: 3"))])
        .await?;
    rig.wait_ready("payments/jobs").await?;
    rig.sites[0].until_gone(&path()).await
}

/// How often the spoke created the Job since then: an apply that creates answers 201.
async fn created(rig: &mut Rig, since: Timestamp) -> Result<usize> {
    let wrote = rig.sites[0].wrote(since).await?.filter(|event| event.resource == "jobs");
    Ok(wrote.filter(|event| event.code == 201).count())
}

async fn stays_gone(rig: &mut Rig, since: Timestamp) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(rig.sites[0].get(&path()).await?.is_none(), "it is back");
    ensure!(created(rig, since).await? == 1);
    let app = until(rig, "jobs", "Ready", &[]).await?;
    ensure!(app["clusters"]["ready"] == 1, "{app:#}");
    let drift = rig.hub.json(&["get", "drift"]).await?;
    let about = |drift: &Value| drift["object"]["kind"] == "Job";
    ensure!(!drift["items"].as_array().is_some_and(|all| all.iter().any(about)), "{drift:#}");
    Ok(())
}

async fn restarted(rig: &mut Rig, since: Timestamp, lose_disk: bool) -> Result<()> {
    let spoke = rig.sites[0].spoke();
    spoke.kill()?;
    if lose_disk {
        spoke.lose_disk()?;
    }
    spoke.start()?;
    rig.wait_ready("payments/jobs").await?;
    stays_gone(rig, since).await
}

async fn another(rig: &mut Rig, repo: &GitRepo, since: Timestamp) -> Result<()> {
    publish(rig, repo, "jobs", "payments", &[("job", &job("migrate", "2", "ttlSecondsAfterFinished: 3"))])
        .await?;
    rig.sites[0].until(&path(), "made again", |found| found.is_some()).await?;
    rig.wait_ready("payments/jobs").await?;
    ensure!(created(rig, since).await? == 2);
    rig.sites[0].until_gone(&path()).await
}

async fn suspended(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let waiting = job("waiting", "1", "suspend: true").replace("completions: 0", "completions: 1");
    publish(rig, repo, "later", "payments", &[("job", &waiting)]).await?;
    until(rig, "later", "Progressing", &["Job.batch/payments/waiting: suspended"]).await?;
    repo.commit(&[("later/rimward.yaml", None), ("later/job.yaml", None)], "never mind")?;
    rig.reconcile().await
}
