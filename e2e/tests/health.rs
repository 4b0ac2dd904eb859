//! Health: an App is ready when its objects do what they are for, and until
//! then it says which does not, and why, in Kubernetes' own words.
//!
//! There is no kubelet here: what one would write into a status, the tests do.

#[path = "health/custom.rs"]
mod custom;
#[path = "health/jobs.rs"]
mod jobs;
#[path = "health/said.rs"]
mod said;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{self, core, grouped};
use rimward_e2e::rig::{Rig, Site, Story, eventually, files, item};
use serde_json::{Value, json};

/// Ten seconds instead of five minutes, for what never becomes ready.
const FLEET: &str = "\
apiVersion: rimward.dev/v1alpha1
kind: Fleet
metadata: {name: acme}
spec:
  defaults: {rollout: immediate, health: {timeout: 10s}}
";

#[tokio::test]
async fn ready_means_that_it_works() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    rig.fleet.commit(&[("fleet.yaml", Some(FLEET))], "little patience")?;
    let repo = rig.tenant("payments", &["payments", "quota"])?;
    let mut story = Story::begin();
    story.tell("a Deployment is ready when its pods are", deployment(&rig, &repo)).await;
    story.tell("a new image is not ready because the old one was", new_image(&rig, &repo)).await;
    story.tell("what is not ready in time has failed, and says what", too_late(&rig, &repo)).await;
    story.tell("a load balancer waits for its address", load_balancer(&rig, &repo)).await;
    said::tell(&mut story, &mut rig, &repo).await;
    jobs::tell(&mut story, &mut rig, &repo).await;
    story.tell("at rest nothing is asked", at_rest(&mut rig)).await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

#[tokio::test]
async fn conditions_of_a_custom_resource_decide() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let mut story = Story::begin();
    custom::tell(&mut story, &mut rig).await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

/// A workload of one pod.
fn workload(kind: &str, name: &str, image: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: \"registry.example/web:{image}\"}}]}}
"
    )
}

/// Commits files of an App and has the hub look.
async fn publish(
    rig: &Rig,
    repo: &GitRepo,
    app: &str,
    namespace: &str,
    files: &[(&str, &str)],
) -> Result<()> {
    let mut all = vec![(format!("{app}/rimward.yaml"), files::app(app, namespace))];
    all.extend(files.iter().map(|(name, text)| (format!("{app}/{name}.yaml"), (*text).to_owned())));
    let changes: Vec<_> = all.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    repo.commit(&changes, app)?;
    rig.reconcile().await
}

/// Waits until the App is in that state and its message has these words; returns it.
async fn until(rig: &Rig, app: &str, state: &str, words: &[&str]) -> Result<Value> {
    let now = || async {
        let list = rig.hub.json(&["get", "apps", "-a", app]).await?;
        item(&list, app).cloned().with_context(|| format!("no App {app}"))
    };
    let what = format!("{app} to be {state}, {words:?}");
    let found = eventually(&what, || async {
        let app = now().await?;
        let message = app["message"].as_str().unwrap_or_default();
        let is = app["state"] == state && words.iter().all(|word| message.contains(word));
        Ok(is.then_some(app))
    });
    match found.await {
        Ok(found) => Ok(found),
        Err(error) => Err(error.context(format!("it is {:#}", now().await?))),
    }
}

/// Waits for a pod with that label and makes it what a kubelet would once its containers run; returns its path.
async fn run_pod(site: &Site, namespace: &str, app: &str, image: &str) -> Result<String> {
    let path = eventually("a pod", || async {
        let list = site.there(&format!("/api/v1/namespaces/{namespace}/pods")).await?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let is = |pod: &&Value| {
            let runs = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            pod["metadata"]["labels"]["app"] == app && runs.ends_with(image)
        };
        let name = pods.iter().find(is).and_then(|pod| pod["metadata"]["name"].as_str());
        Ok(name.map(|name| core(namespace, "pods", name)))
    })
    .await?;
    pod_is(site, &path, "True").await?;
    Ok(path)
}

async fn pod_is(site: &Site, pod: &str, ready: &str) -> Result<()> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": now});
    let status = json!({"status": {"phase": "Running", "conditions": [condition]}});
    site.merge(&format!("{pod}/status"), "kubelet", &status).await.map(drop)
}

async fn deployment(rig: &Rig, repo: &GitRepo) -> Result<()> {
    publish(rig, repo, "web", "payments", &[("web", &workload("Deployment", "web", "1"))]).await?;
    let app = until(rig, "web", "Progressing", &["Deployment.apps/payments/web", "0 of 1 available"]).await?;
    ensure!(app["clusters"]["ready"] == 0, "{app:#}");
    let pod = run_pod(&rig.sites[0], "payments", "web", ":1").await?;
    rig.wait_ready("payments/web").await?;
    pod_is(&rig.sites[0], &pod, "False").await?;
    until(rig, "web", "Progressing", &["0 of 1 available"]).await?;
    pod_is(&rig.sites[0], &pod, "True").await?;
    rig.wait_ready("payments/web").await
}

/// The old pod is available all the time; the App is not ready until the new one is.
async fn new_image(rig: &Rig, repo: &GitRepo) -> Result<()> {
    publish(rig, repo, "web", "payments", &[("web", &workload("Deployment", "web", "2"))]).await?;
    until(rig, "web", "Progressing", &["Deployment.apps/payments/web"]).await?;
    run_pod(&rig.sites[0], "payments", "web", ":2").await?;
    rig.wait_ready("payments/web").await?;
    let path = grouped("apps/v1", "payments", "deployments", "web");
    let deployment = rig.sites[0].there(&path).await?;
    ensure!(deployment["status"]["updatedReplicas"] == 1, "{deployment:#}");
    Ok(())
}

async fn too_late(rig: &Rig, repo: &GitRepo) -> Result<()> {
    publish(rig, repo, "slow", "payments", &[("slow", &workload("Deployment", "slow", "1"))]).await?;
    let app = until(rig, "slow", "Failed", &["Deployment.apps/payments/slow: 0 of 1 available"]).await?;
    ensure!(app["reason"] == "HealthTimeout", "{app:#}");
    let waited = rig.hub.say(&["wait", "app/payments/slow", "--timeout", "30s"]).await?;
    waited.exits(1)?.says(&["HealthTimeout", "slow"])?;
    let described = rig.hub.describe("app/payments/slow").await?;
    let objects = described["objects"].as_array().context("no objects")?;
    let object = objects.iter().find(|object| object["reason"] == "HealthTimeout");
    let object = object.with_context(|| format!("{described:#}"))?;
    ensure!(object["message"].as_str().is_some_and(|text| text.starts_with("0 of 1")), "{described:#}");
    // Late is better than never.
    run_pod(&rig.sites[0], "payments", "slow", ":1").await?;
    rig.wait_ready("payments/slow").await
}

async fn load_balancer(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let service = "\
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
";
    let inside = service.replace("front", "inside").replace("LoadBalancer", "ClusterIP");
    publish(rig, repo, "front", "payments", &[("front", service), ("inside", &inside)]).await?;
    let words = ["Service/payments/front", "no address yet"];
    until(rig, "front", "Progressing", &words).await?;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let path = format!("{}/status", core("payments", "services", "front"));
    rig.sites[0].merge(&path, "cloud", &status).await?;
    rig.wait_ready("payments/front").await
}

/// Everything is ready or given up on; for a minute and more nobody reads events or pods.
async fn at_rest(rig: &mut Rig) -> Result<()> {
    for app in ["web", "slow", "front"] {
        rig.wait_ready(&format!("payments/{app}")).await?;
    }
    let since = live::now();
    tokio::time::sleep(std::time::Duration::from_secs(70)).await;
    let asked = rig.sites[0].asked(since).await?;
    let reads = asked.filter(|event| event.verb != "watch" && event.impersonated.is_some());
    ensure!(reads.count() == 0, "{reads}");
    Ok(())
}
