//! Mistakes in tenants' files: each is said with its code and place, nothing of
//! it reaches a cluster, and whoever made none goes on.

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::config_map;
use rimward_e2e::rig::{Rig, Story, files};
use serde_json::Value;

/// One mistake: the App it is in, the file, what that file becomes, and what is said about it.
struct Mistake {
    app: &'static str,
    file: &'static str,
    content: &'static str,
    code: &'static str,
    line: u64,
    column: u64,
    says: &'static str,
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        app: "bad-yaml",
        file: "config.yaml",
        content: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad-yaml}\ndata:\n  a: [1, 2\n",
        code: "RW3001",
        line: 5,
        column: 6,
        says: "unclosed bracket",
    },
    Mistake {
        app: "unknown-field",
        file: "rimward.yaml",
        content: "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: unknown-field}\n\
                  spec:\n  namespce: wild\n  clusters: {}\n",
        code: "RW3004",
        line: 5,
        column: 3,
        says: "did you mean `namespace`",
    },
    Mistake {
        app: "not-built",
        file: "rimward.yaml",
        content: "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: not-built}\n\
                  spec:\n  namespace: wild\n  clusters: {}\n  values: {domain: null}\n",
        code: "RW3006",
        line: 7,
        column: 3,
        says: "`values` is not built yet",
    },
    Mistake {
        app: "bound",
        file: "rimward.yaml",
        content: "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: bound}\n\
                  spec:\n  namespace: wild\n  clusters: {names: [eu-1, us-1]}\n",
        code: "RW3009",
        line: 6,
        column: 28,
        says: "us-1",
    },
    Mistake {
        app: "cluster-scoped",
        file: "config.yaml",
        content: "apiVersion: v1\nkind: Namespace\nmetadata: {name: wild-too}\n",
        code: "RW4002",
        line: 1,
        column: 1,
        says: "Namespace",
    },
    Mistake {
        app: "outside",
        file: "config.yaml",
        content: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: outside, namespace: payments}\n",
        code: "RW4001",
        line: 1,
        column: 1,
        says: "payments",
    },
    Mistake {
        app: "denied",
        file: "config.yaml",
        content: "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: denied}\n\
                  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}\n",
        code: "RW4003",
        line: 2,
        column: 1,
        says: "RoleBinding",
    },
    Mistake {
        app: "no-object",
        file: "config.yaml",
        content: "kind: ConfigMap\nmetadata: {name: no-object}\n",
        code: "RW3020",
        line: 1,
        column: 1,
        says: "apiVersion",
    },
];

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    let repo = match begin(rig).await {
        Ok(repo) => repo,
        Err(error) => return story.tell("mistakes can be made", async { Err(error) }).await,
    };
    let made = make_them_all(rig, &repo).await;
    story.tell("the App without a mistake is updated", async { made }).await;
    for mistake in MISTAKES {
        let name = format!("mistake: {}", mistake.app);
        story.tell(&name, is_said(rig, mistake)).await;
    }
    story.tell("a mistake in the fleet repo", in_the_fleet(rig)).await;
    story.tell("one object in two Apps", owned_twice(rig)).await;
}

/// A tenant that is bound to eu-1, with an App for each mistake, none made yet.
async fn begin(rig: &Rig) -> Result<GitRepo> {
    let repo = rig.tenant_repo("tenants/wild")?;
    let tenant = files::tenant("wild", repo.url(), &["wild"]);
    let tenant = tenant.replace("  clusters: {}\n", "  clusters: {names: [eu-1]}\n");
    rig.fleet.commit(&[("tenants/wild.yaml", Some(&tenant))], "wild")?;
    let mut changes = Vec::new();
    for app in MISTAKES.iter().map(|mistake| mistake.app).chain(["good"]) {
        changes.push((format!("{app}/rimward.yaml"), files::app(app, "wild")));
        changes.push((format!("{app}/config.yaml"), files::config_map(app, "state", "right")));
    }
    let changes: Vec<_> = changes.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    rig.ship(&repo, "wild/good", &changes).await?;
    for mistake in MISTAKES {
        rig.wait_ready(&format!("wild/{}", mistake.app)).await?;
    }
    Ok(repo)
}

/// One commit with all the mistakes and a right change of the App beside them.
async fn make_them_all(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let paths: Vec<String> = MISTAKES.iter().map(|m| format!("{}/{}", m.app, m.file)).collect();
    let good = files::config_map("good", "state", "better");
    let mut changes = vec![("good/config.yaml", Some(good.as_str()))];
    changes.extend(paths.iter().zip(MISTAKES).map(|(path, m)| (path.as_str(), Some(m.content))));
    rig.ship(repo, "wild/good", &changes).await?;
    let map = rig.sites[0].there(&config_map("wild", "good")).await?;
    ensure!(map["data"]["state"] == "better", "{map:#}");
    Ok(())
}

/// Said in `describe` with code and place; the App is Failed, and what it had is still there.
async fn is_said(rig: &Rig, mistake: &Mistake) -> Result<()> {
    let described = rig.hub.describe(&format!("app/wild/{}", mistake.app)).await?;
    let file = format!("{}/{}", mistake.app, mistake.file);
    let note = note(&described, mistake.code, &file).with_context(|| format!("{described:#}"))?;
    ensure!(note["severity"] == "error", "{note:#}");
    let place = (note["line"].as_u64(), note["column"].as_u64());
    ensure!(place == (Some(mistake.line), Some(mistake.column)), "{note:#}");
    let message = note["message"].as_str().unwrap_or_default();
    ensure!(message.contains(mistake.says), "{note:#}");
    ensure!(described["state"] == "Failed", "{described:#}");
    let text = rig.hub.cli_ok(&["describe", &format!("app/wild/{}", mistake.app)]).await?;
    let place = format!("{file}:{}:{}", mistake.line, mistake.column);
    ensure!(text.contains(mistake.code) && text.contains(&place), "{text}");
    let map = rig.sites[0].there(&config_map("wild", mistake.app)).await?;
    ensure!(map["data"]["state"] == "right", "{map:#}");
    Ok(())
}

fn note<'a>(described: &'a Value, code: &str, file: &str) -> Option<&'a Value> {
    described["notes"].as_array()?.iter().find(|note| note["code"] == code && note["file"] == file)
}

/// A tenant's document with a typo: that file's last good content stays, another document is taken.
async fn in_the_fleet(rig: &Rig) -> Result<()> {
    let fresh = "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {name: later}\n";
    let broken =
        "apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {name: wild}\nspec:\n  clusers: {}\n";
    let before = std::fs::read_to_string(rig.fleet.work().join("tenants/wild.yaml"))?;
    rig.fleet.commit(&[("tenants/wild.yaml", Some(broken)), ("later.yaml", Some(fresh))], "a typo")?;
    rig.reconcile().await?;
    let fleet = rig.hub.get("/v1/fleet").await?.1;
    let note = note(&fleet, "RW3004", "tenants/wild.yaml").with_context(|| format!("{fleet:#}"))?;
    ensure!((note["line"].as_u64(), note["column"].as_u64()) == (Some(5), Some(3)), "{note:#}");
    ensure!(note["message"].as_str().is_some_and(|text| text.contains("`clusters`")), "{note:#}");
    let clusters = rig.hub.json(&["get", "clusters"]).await?;
    ensure!(
        rimward_e2e::rig::item(&clusters, "later").is_some_and(|c| c["state"] == "Pending"),
        "{clusters:#}"
    );
    rig.sites[0].there(&config_map("wild", "good")).await?;
    let mended = [("tenants/wild.yaml", Some(before.as_str())), ("later.yaml", None)];
    rig.fleet.commit(&mended, "mended")?;
    rig.reconcile().await
}

/// The App that had it keeps it; the one that wants it too is refused, and says who has it.
async fn owned_twice(rig: &Rig) -> Result<()> {
    let repo = rig.tenant("twice", &["twice"])?;
    let object = files::config_map("shared", "of", "a");
    let first =
        [("a/rimward.yaml", Some(&*files::app("a", "twice"))), ("a/config.yaml", Some(object.as_str()))];
    rig.ship(&repo, "twice/a", &first).await?;
    let theirs = files::config_map("shared", "of", "b");
    let second =
        [("b/rimward.yaml", Some(&*files::app("b", "twice"))), ("b/config.yaml", Some(theirs.as_str()))];
    repo.commit(&second, "b wants it too")?;
    rig.reconcile().await?;
    let described = rig.hub.describe("app/twice/b").await?;
    let note = note(&described, "RW4005", "b/rimward.yaml").with_context(|| format!("{described:#}"))?;
    ensure!(note["message"].as_str().is_some_and(|text| text.contains("twice/a")), "{note:#}");
    for site in &rig.sites {
        let map = site.there(&config_map("twice", "shared")).await?;
        ensure!(map["data"]["of"] == "a" && map["metadata"]["labels"]["rimward.dev/app"] == "a", "{map:#}");
    }
    Ok(())
}
