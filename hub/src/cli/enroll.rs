//! `rimward enroll`: a token for one cluster, and with `--kube-context` the whole
//! spoke, applied as the person who asks, so that the hub never holds a
//! kubeconfig.

use std::time::Duration;

use rimward_proto::ClusterName;
use rimward_proto::token::Token;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::args::{EnrollArgs, Global};
use super::client::Client;
use super::columns::text;
use super::exit::{Exit, Failure};
use super::kube_apply::Cluster;
use super::output::{self, say};
use super::watch::Watch;

/// How long a spoke that was just applied may take: an image to pull, a pod to start, a certificate to get.
const WAIT: Duration = Duration::from_secs(120);
/// The image of the spoke of this version; nobody publishes one yet, so it must be on the cluster's nodes.
const IMAGE: &str = concat!("rimward-spoke:", env!("CARGO_PKG_VERSION"));

/// What is installed on a cluster, in this order.
const MANIFESTS: [&str; 6] = [
    include_str!("../../../deploy/spoke/namespaces.yaml"),
    include_str!("../../../deploy/spoke/rbac.yaml"),
    include_str!("../../../deploy/spoke/flowschema.yaml"),
    include_str!("../../../deploy/spoke/config.yaml"),
    include_str!("../../../deploy/spoke/token.yaml"),
    include_str!("../../../deploy/spoke/deployment.yaml"),
];

/// Runs the command.
pub async fn run(client: &Client, global: &Global, args: &EnrollArgs) -> Result<Exit, Failure> {
    let name: ClusterName =
        args.name.parse().map_err(|error: rimward_proto::ids::IdError| Failure::usage(error.to_string()))?;
    if !args.token_only && !args.print && args.kube_context.is_none() {
        return Err(Failure::usage("say where the spoke goes: --kube-context C, --print or --token-only"));
    }
    // The cluster first: a token that cannot be used would lie around.
    let cluster = match &args.kube_context {
        Some(context) => Some(Cluster::connect(context, client.timeout()).await?),
        None => None,
    };
    let body = json!({"cluster": name, "ttl": args.ttl, "replace": args.replace});
    let answer = client.post("/tokens", Some(&body)).await?;
    let token = answer["token"].as_str().unwrap_or_default();
    if args.token_only {
        output::print(&format!("{token}\n"))?;
        return finish(client, global, args.wait, &name, None).await;
    }
    let manifests = fill(args, &name, &answer, token)?;
    let Some(cluster) = cluster else {
        output::print(&manifests.join("---\n"))?;
        return finish(client, global, args.wait, &name, None).await;
    };
    for manifest in &manifests {
        for applied in cluster.apply(manifest).await? {
            say(global, applied);
        }
    }
    finish(client, global, Some(args.wait.unwrap_or(WAIT)), &name, Some(cluster.uid())).await
}

/// The manifests with their placeholders filled in. Every value is checked first: none can end its YAML string.
fn fill(args: &EnrollArgs, name: &ClusterName, answer: &Value, token: &str) -> Result<Vec<String>, Failure> {
    Token::parse(token).map_err(|error| Failure::new(Exit::Bug, format!("the hub answered: {error}")))?;
    let hub = args.address.as_deref().or_else(|| answer["hub"].as_str()).unwrap_or_default();
    if hub.is_empty() {
        return Err(Failure::usage("the hub does not say what spokes dial; say it with --address HOST:PORT"));
    }
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if !hub.contains(':') || !hub.chars().all(host) {
        return Err(Failure::usage(format!("`{hub}` is not HOST:PORT")));
    }
    let image = args.image.as_deref().unwrap_or(IMAGE);
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '@');
    if image.is_empty() || !image.chars().all(part) {
        return Err(Failure::usage(format!("`{image}` is not an image reference")));
    }
    let values =
        [("${HUB}", hub), ("${CLUSTER}", name.as_str()), ("${TOKEN}", token.trim()), ("${IMAGE}", image)];
    let filled = MANIFESTS.iter().map(|manifest| {
        let fill = |text: String, (placeholder, value): &(&str, &str)| text.replace(placeholder, value);
        values.iter().fold((*manifest).to_owned(), fill)
    });
    Ok(filled.collect())
}

/// Waits, if that was asked for, until the spoke has connected.
async fn finish(
    client: &Client,
    global: &Global,
    wait: Option<Duration>,
    name: &ClusterName,
    uid: Option<&str>,
) -> Result<Exit, Failure> {
    let Some(wait) = wait else { return Ok(Exit::Yes) };
    say(global, format!("waiting for the spoke of {name} to connect"));
    let late = |_| {
        let message = format!("the spoke of {name} did not connect within {wait:?}; look at its log");
        Failure::new(Exit::Unreachable, message)
    };
    timeout_at(Instant::now() + wait, connected(client, global, name, uid)).await.map_err(late)?
}

async fn connected(
    client: &Client,
    global: &Global,
    name: &ClusterName,
    uid: Option<&str>,
) -> Result<Exit, Failure> {
    let mut stream = Watch::open(client, global, "/events?watch=true".to_owned(), None).await?;
    loop {
        match client.get(&format!("/clusters/{name}")).await {
            Ok(cluster) if is_connected(&cluster, uid) => {
                say(global, format!("{name} is enrolled, uid {}", text(&cluster["uid"])));
                if cluster["reason"] == "NoDocument" {
                    say(global, text(&cluster["message"]));
                }
                return Ok(Exit::Yes);
            }
            Ok(_) => {}
            Err(failure) if failure.exit == Exit::NotFound => {}
            Err(failure) => return Err(failure),
        }
        while stream.next().await?.is_some_and(|message| message.kind != "change") {}
    }
}

/// Enrolled, as this very cluster if its uid is known, and with a stream open.
fn is_connected(cluster: &Value, uid: Option<&str>) -> bool {
    let Some(found) = cluster["uid"].as_str() else { return false };
    uid.is_none_or(|uid| uid == found) && cluster["state"] != "Offline"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled_and_every_document_is_yaml() {
        let digest = rimward_proto::Digest::of(b"x");
        let token =
            Token { id: "0123456789abcdef".into(), secret: [7; 32], ca: digest, root: digest }.reveal();
        let args = EnrollArgs {
            name: "eu-1".into(),
            kube_context: None,
            print: true,
            token_only: false,
            ttl: None,
            replace: false,
            wait: None,
            address: None,
            image: None,
        };
        let (name, answer) = ("eu-1".parse().unwrap(), json!({"hub": "hub.example:8443"}));
        let all = fill(&args, &name, &answer, &token).unwrap().join("---\n");
        assert!(!all.contains("${"), "{all}");
        assert!(all.contains("hub: \"hub.example:8443\"") && all.contains(&token));
        assert!(all.contains(&format!("image: \"{IMAGE}\"")));
        let kinds: Vec<String> = super::super::kube_apply::documents(&all)
            .unwrap()
            .iter()
            .map(|document| text(&document["kind"]))
            .collect();
        assert_eq!(kinds.first().map(String::as_str), Some("Namespace"));
        assert_eq!(kinds.last().map(String::as_str), Some("Deployment"));
        for kind in ["ClusterRole", "FlowSchema", "ConfigMap", "Secret", "RoleBinding"] {
            assert!(kinds.iter().any(|k| k == kind), "{kind}");
        }
        for hub in ["", "hub", "hub:1\"\n  evil: yes"] {
            assert!(fill(&args, &name, &json!({"hub": hub}), &token).is_err(), "{hub}");
        }
    }
}
