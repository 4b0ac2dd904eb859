//! `rimward reconcile`: look at Git, or at a cluster, now instead of when it is time.

use serde_json::Value;

use super::args::{Global, ReconcileArgs};
use super::client::{Client, percent};
use super::columns::text;
use super::exit::{Exit, Failure};
use super::output::say;
use super::reference::Reference;
use super::wait;

/// Runs the command.
pub async fn run(client: &Client, global: &Global, args: &ReconcileArgs) -> Result<Exit, Failure> {
    let reference = &args.reference;
    for path in paths(client, reference).await? {
        say(global, format!("reconciling {}", path.trim_start_matches('/').trim_end_matches("/reconcile")));
        let answer = client.post(&path, None).await?;
        if let Reference::Cluster(cluster) = reference {
            say(global, format!("{cluster} compares every object with what it shall be"));
            continue;
        }
        say(global, format!("published {} (epoch {})", text(&answer["seq"]), text(&answer["epoch"])));
    }
    if !args.wait {
        return Ok(Exit::Yes);
    }
    for waited in parts(client, reference).await? {
        wait::until(client, global, &waited, "Ready", None).await?;
    }
    Ok(Exit::Yes)
}

/// Which requests reconcile it.
async fn paths(client: &Client, reference: &Reference) -> Result<Vec<String>, Failure> {
    let source =
        |tenant: &str, source: &str| format!("/tenants/{tenant}/sources/{}/reconcile", percent(source));
    Ok(match reference {
        Reference::Fleet => vec!["/fleet/reconcile".to_owned()],
        Reference::Source(id) => vec![source(id.tenant.as_str(), id.app.as_str())],
        Reference::App(id) => {
            let app = client.get(&reference.path()).await?;
            let name = app["source"].as_str().ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("the source of {reference} is not known"))
            })?;
            vec![source(id.tenant.as_str(), name)]
        }
        Reference::Tenant(tenant) => {
            let list = client.list(&format!("/tenants/{tenant}/sources"), &[]).await?;
            names(&list).map(|name| source(tenant.as_str(), &name)).collect()
        }
        Reference::Cluster(_) => vec![format!("{}/reconcile", reference.path())],
    })
}

fn names(list: &Value) -> impl Iterator<Item = String> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().filter_map(|item| item["name"].as_str().map(str::to_owned))
}

/// What to wait for: a source is Ready when it is read, so its Apps are waited for too.
async fn parts(client: &Client, reference: &Reference) -> Result<Vec<Reference>, Failure> {
    let mut parts = vec![reference.clone()];
    if let Reference::Source(id) = reference {
        let list = client.list(&format!("/tenants/{}/apps", id.tenant), &[]).await?;
        for item in list["items"].as_array().into_iter().flatten() {
            let app = format!("app/{}/{}", id.tenant, text(&item["name"]));
            if item["source"].as_str() == Some(id.app.as_str()) {
                parts.push(app.parse().map_err(|error: String| Failure::new(Exit::Bug, error))?);
            }
        }
    }
    Ok(parts)
}
