//! `rimward plan`: offline, over folders and a real Git repository, and against
//! a hub that makes the preview.

use std::fs;
use std::path::Path;
use std::process::Command;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::Server;
use crate::cli_hub::{LiveHub, Ran, command, finish};
use crate::fixture::*;

const FLEET: &str = "
apiVersion: rimward.dev/v1alpha1
kind: Cluster
metadata: {name: eu-1, labels: {env: prod}}
---
apiVersion: rimward.dev/v1alpha1
kind: Cluster
metadata: {name: us-1, labels: {env: prod}}
---
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: payments}
spec:
  sources: [{name: apps, git: {url: https://git.acme.example/payments/apps.git}}]
  clusters: {}
  namespaces: [payments]
";
const APP: &str = "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: web}\n\
    spec: {namespace: payments, clusters: {matchLabels: {env: prod}}}\n";
const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n";

fn config_map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{x: \"{value}\"}}\n")
}

fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
    assert!(git.output().unwrap().status.success(), "{args:?}");
}

fn commit(dir: &Path) {
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "-m", "x"]);
}

/// A fleet repo and a tenant's, each with one commit.
struct Repos(tempfile::TempDir);

impl Repos {
    fn new() -> Self {
        let repos = Self(tempfile::tempdir().unwrap());
        for name in ["fleet", "apps"] {
            fs::create_dir_all(repos.path(name)).unwrap();
            git(&repos.path(name), &["init", "-q", "-b", "main"]);
        }
        repos.write("fleet/fleet.yaml", FLEET);
        repos.write("apps/rimward.yaml", APP);
        repos.write("apps/cm.yaml", &config_map("1"));
        repos.write("apps/data.yaml", CLAIM);
        commit(&repos.path("fleet"));
        commit(&repos.path("apps"));
        repos
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn plan(&self, more: &[&str]) -> Ran {
        let (fleet, source) = (self.path("fleet"), format!("payments/apps={}", self.path("apps").display()));
        let mut args = vec!["plan", "--offline", "--fleet", fleet.to_str().unwrap(), "--source", &source];
        args.extend(more);
        finish(command(Path::new("/nonexistent/admin.sock"), &args), "")
    }
}

#[test]
fn offline_it_compares_with_a_commit() {
    let repos = Repos::new();
    let ran = repos.plan(&["--base", "main", "--exit-code"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "no changes\n", ""));
    repos.write("apps/cm.yaml", &config_map("2"));
    fs::remove_file(repos.path("apps/data.yaml")).unwrap();
    let ran = repos.plan(&["--base", "main"]);
    let expected = "\
2 clusters (eu-1 us-1), same change: ~1 +0 -1
  - PersistentVolumeClaim/payments/data   DELETE (protected: will hold)
  ~ ConfigMap/payments/a
      @@ -1,6 +1,6 @@
       apiVersion: v1
       data:
      -  x: \"1\"
      +  x: \"2\"
       kind: ConfigMap
       metadata:
         name: a
";
    assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{}", ran.err);
    assert_eq!(repos.plan(&["--base", "main", "--exit-code"]).code, 1);
    let json: Value = serde_json::from_str(&repos.plan(&["--base", "main", "-o", "json"]).out).unwrap();
    assert_eq!(json["summary"]["delete"], 2);
    assert_eq!(json["groups"][0]["objects"][0]["protected"], true);
    assert_eq!(json["base"]["payments/apps"].as_str().unwrap().len(), 40);
    for field in ["base", "head", "summary", "groups", "notes", "holds"] {
        assert!(!json[field].is_null(), "{field}");
    }
    let comment = repos.plan(&["--base", "main", "-o", "markdown"]).out;
    assert!(comment.contains("**2** deleted") && comment.contains("<details>"), "{comment}");
    commit(&repos.path("apps"));
    assert_eq!(repos.plan(&["--base", "HEAD", "--exit-code"]).code, 0);
    let ran = repos.plan(&["--base", "HEAD", "--base", "payments/apps=HEAD~1", "--exit-code"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, expected));
}

#[test]
fn offline_without_a_base_everything_is_new() {
    let repos = Repos::new();
    let ran = repos.plan(&[]);
    let expected = "\
2 clusters (eu-1 us-1), same change: ~0 +2 -0
  app/payments/web   NEW
  + ConfigMap/payments/a
  + PersistentVolumeClaim/payments/data
";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, expected, ""));
    assert!(repos.plan(&["--full"]).out.contains("      +  x: \"1\"\n"));
}

#[test]
fn offline_it_says_what_it_cannot_do() {
    let repos = Repos::new();
    let ran = repos.plan(&["--base", "nowhere"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains("has no commit \"nowhere\"") && ran.err.contains("--base fleet=REF"), "{ran:?}");
    // Of a repository that has no base, what is there is on both sides.
    repos.write("apps/cm.yaml", &config_map("2"));
    let ran = repos.plan(&["--base", "payments/apps=main", "--exit-code"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(repos.plan(&["--source", "payments/other=/tmp"]).code, 5);
    assert_eq!(repos.plan(&["--ref", "main"]).code, 2);
    assert_eq!(repos.plan(&["-o", "wide"]).code, 2);
    let missing = repos.path("missing");
    let args = ["plan", "--offline", "--fleet", missing.to_str().unwrap()];
    assert_eq!(finish(command(Path::new("/nonexistent"), &args), "").code, 5);
    // A source that is not given is not known, and takes nothing away.
    let fleet = repos.path("fleet");
    let args = ["plan", "--offline", "--fleet", fleet.to_str().unwrap()];
    let ran = finish(command(Path::new("/nonexistent"), &args), "");
    assert_eq!((ran.code, ran.out.as_str()), (0, "no changes\n"));
    assert!(ran.err.contains("source payments/apps is not given"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_makes_it_and_the_command_waits() {
    let hub = LiveHub::start(world(Timestamp::now()));
    let plan = ["plan", "--source", "payments/apps", "--ref", "refs/pull/7/head"];
    let ran = hub.run(&plan).await;
    let expected = "\
2 clusters (eu-1 us-1), same change: ~1 +0 -1
  - PersistentVolumeClaim/payments/data   DELETE (protected: will hold)
  ~ ConfigMap/payments/a
";
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with(expected), "{ran:?}");
    assert_eq!(hub.asked.lock().unwrap()[0], "preview payments/apps refs/pull/7/head false");
    let with = async |more: &[&str]| hub.run(&[&plan[..], more].concat()).await;
    assert_eq!(with(&["--exit-code", "--full"]).await.code, 1);
    assert_eq!(hub.asked.lock().unwrap()[1], "preview payments/apps refs/pull/7/head true");
    let json: Value = serde_json::from_str(&with(&["-o", "json"]).await.out).unwrap();
    assert_eq!((&json["state"], &json["kind"]), (&json!("Done"), &json!("Preview")));
    let same = hub.run(&["plan", "--source", "payments/apps", "--ref", "main", "--exit-code"]).await;
    assert_eq!((same.code, same.out.as_str()), (0, "no changes\n"));
    let none = hub.run(&["plan", "--source", "payments/apps", "--ref", "refs/pull/404/head"]).await;
    assert_eq!(none.code, 5, "{none:?}");
    assert!(none.err.contains("error[RW8404]: there is no refs/pull/404/head"), "{none:?}");
    assert_eq!(hub.run(&["plan", "--source", "payments/x", "--ref", "main"]).await.code, 5);
    assert_eq!(hub.run(&["plan", "--source", "payments/apps=.", "--ref", "main"]).await.code, 2);
    assert_eq!(hub.run(&["plan", "--source", "payments/apps"]).await.code, 2);
    assert_eq!(with(&["--base", "main"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_are_bounded_and_can_be_cancelled() {
    // Nobody answers its actions, so whatever is asked for goes on.
    let server = Server::new(world(Timestamp::now()));
    let body = json!({"source": "payments/apps", "ref": "main"});
    let mut ids = Vec::new();
    let refused = loop {
        let (status, answer) = server.post("/previews", &body).await;
        if status != StatusCode::ACCEPTED {
            break (status, answer);
        }
        assert_eq!(answer["state"], "Running");
        ids.push(answer["id"].as_str().unwrap().to_owned());
        assert!(ids.len() < 1_000);
    };
    assert_eq!((refused.0, &refused.1["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("RW8429")));
    let path = format!("/previews/{}", ids[0]);
    assert_eq!(server.get(&path).await.1["state"], "Running");
    let delete = axum::http::Request::delete(format!("/v1{path}")).body(axum::body::Body::empty()).unwrap();
    assert_eq!(server.send(delete).await.1["state"], "Cancelled");
    assert_eq!(server.get(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.post("/previews", &body).await.0, StatusCode::ACCEPTED, "its place is free");
    for bad in [
        json!({"source": "payments/apps"}),
        json!({"source": "payments/apps", "ref": ""}),
        json!({"source": "payments/apps", "ref": "a\nb"}),
        json!({"source": "x", "ref": "main"}),
        json!({"source": "payments/apps", "ref": "main", "more": 1}),
    ] {
        assert_eq!(server.post("/previews", &bad).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }
    let other = json!({"source": "payments/x", "ref": "main"});
    assert_eq!(server.post("/previews", &other).await.0, StatusCode::NOT_FOUND);
}
