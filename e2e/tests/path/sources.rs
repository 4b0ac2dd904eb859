//! Sources: a branch, a tag, a commit, a folder; and credentials that go to
//! their own origin only.

use anyhow::{Result, ensure};
use rimward_e2e::git::{Access, GitServer, Scheme};
use rimward_e2e::rig::live::config_map;
use rimward_e2e::rig::{GIT_PASSWORD, GIT_USER, Rig, Story, files, item};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    story.tell("a source follows a branch, a tag or a commit", follows(rig)).await;
    story.tell("credentials go to their origin only", origin(rig)).await;
}

fn app_and_map(name: &str, value: &str) -> [(String, String); 2] {
    [
        (format!("{name}/rimward.yaml"), files::app(name, "refs")),
        (format!("{name}/config.yaml"), files::config_map(name, "at", value)),
    ]
}

async fn follows(rig: &Rig) -> Result<()> {
    let repo = rig.tenant_repo("tenants/refs")?;
    let commit = |value: &str| {
        let files: Vec<_> = ["head", "tag", "commit"].iter().flat_map(|n| app_and_map(n, value)).collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        repo.commit(&files, value)
    };
    let first = commit("one")?;
    repo.tag("v1")?;
    let source = |name: &str, reference: &str| {
        let url = repo.url();
        format!(
            "  - {{name: {name}, git: {{url: {url}, ref: {reference}, path: {name}, credentials: git}}}}\n"
        )
    };
    let tenant = format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: refs}}\nspec:\n  \
         clusters: {{}}\n  namespaces: [refs]\n  sources:\n{}{}{}",
        source("head", "{branch: main}"),
        source("tag", "{tag: v1}"),
        source("commit", &format!("{{commit: {first}}}")),
    );
    rig.fleet.commit(&[("tenants/refs.yaml", Some(&tenant))], "refs")?;
    rig.reconcile().await?;
    for app in ["head", "tag", "commit"] {
        rig.wait_ready(&format!("refs/{app}")).await?;
    }
    let second = commit("two")?;
    rig.reconcile().await?;
    rig.hub.cli_ok(&["wait", "app/refs/head", "--commit", &second, "--timeout", "60s"]).await?;
    is_at(rig, [("head", "two"), ("tag", "one"), ("commit", "one")]).await?;
    repo.tag("v1")?;
    rig.reconcile().await?;
    rig.hub.cli_ok(&["wait", "app/refs/tag", "--commit", &second, "--timeout", "60s"]).await?;
    is_at(rig, [("head", "two"), ("tag", "two"), ("commit", "one")]).await
}

async fn is_at(rig: &Rig, wanted: [(&str, &str); 3]) -> Result<()> {
    for (name, value) in wanted {
        let map = rig.sites[0].there(&config_map("refs", name)).await?;
        ensure!(map["data"]["at"] == value, "{name}: {map:#}");
    }
    Ok(())
}

/// A tenant that writes another server's URL beside the name of somebody's credentials gets nothing for it.
async fn origin(rig: &Rig) -> Result<()> {
    let elsewhere = GitServer::start_with(Scheme::Http)?;
    let repo = elsewhere.create("thief", Access::basic(GIT_USER, GIT_PASSWORD))?;
    repo.commit(&[("rimward.yaml", Some(&files::app("thief", "thief")))], "give me your password")?;
    let tenant = files::tenant("thief", repo.url(), &["thief"]);
    rig.fleet.commit(&[("tenants/thief.yaml", Some(&tenant))], "thief")?;
    // Whether it succeeds says nothing here: other sources were read.
    rig.hub.say(&["reconcile", "source/thief/apps"]).await?;
    rig.hub.say(&["reconcile", "source/fleet"]).await?;
    let sources = rig.hub.json(&["get", "sources", "-t", "thief"]).await?;
    let source = item(&sources, "apps").cloned().unwrap_or_default();
    ensure!(source["state"] == "Failed", "{source:#}");
    let message = source["message"].as_str().unwrap_or_default();
    ensure!(message.contains(&format!("they are for {}", rig.git.origin())), "{message}");
    ensure!(!elsewhere.requests().iter().any(|request| request.status == 200), "it was let in");
    rig.fleet.commit(&[("tenants/thief.yaml", None)], "no thief")?;
    rig.hub.say(&["reconcile", "source/fleet"]).await?;
    Ok(())
}
