//! The proxy makes the faults that it is told to make, and no others: tests of a
//! spoke under faults rely on it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::http::Request;
use futures::StreamExt;
use kube::api::WatchEvent;
use kube::core::DynamicObject;
use kube::{Client, Error};
use rimward_e2e::control_plane::{ControlPlane, Options};
use rimward_e2e::proxy::{Fault, FaultProxy, Gate};
use serde_json::Value;

const MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";

#[tokio::test]
async fn a_proxy_makes_the_faults_it_is_told_to_make() -> Result<()> {
    let mut plane = ControlPlane::start(Options::default()).await?;
    let proxy = FaultProxy::start(&plane.kubeconfig()).await?;
    let client = client(&plane, &proxy).await?;
    let list = client.request::<Value>(get(MAPS)?).await?;
    ensure!(list["kind"] == "ConfigMapList", "{list:#}");

    for (fault, code) in [(Fault::TooMany(7), 429), (Fault::Unauthorized, 401), (Fault::Gone, 410)] {
        let name = fault.name();
        let start = Instant::now();
        proxy.play(move |asked| if asked.path == MAPS { fault.clone() } else { Fault::None });
        match client.request::<Value>(get(MAPS)?).await {
            Err(Error::Api(status)) => ensure!(status.code == code, "{name}: {status:?}"),
            other => bail!("{name}: {other:?}"),
        }
        client.request::<Value>(get("/version")?).await.context("what the script lets through")?;
        ensure!(proxy.since(start).len() == 2, "{:?}", proxy.since(start));
    }
    broken(&proxy, &client).await?;
    late(&proxy, &client).await?;
    watches(&proxy, &client).await?;
    drop(proxy);

    // The server's own log has what was passed on; what the last look at it finds is told by whoever stops it.
    plane.at_end(|log| {
        ensure!(!log.contains(MAPS), "it was asked");
        Ok(())
    });
    let stopped = plane.stop();
    ensure!(stopped.is_err_and(|error| error.to_string() == "it was asked"), "the last look was not taken");
    Ok(())
}

/// As a ServiceAccount that may read, through the proxy.
async fn client(plane: &ControlPlane, proxy: &FaultProxy) -> Result<Client> {
    plane.kubectl(&[
        "create",
        "clusterrolebinding",
        "e2e",
        "--clusterrole=view",
        "--serviceaccount=default:default",
    ])?;
    let path = plane.kubeconfig_for_service_account("default", "default").await?;
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    proxy.lead_through(&mut config)?;
    std::fs::write(&path, config.to_string())?;
    plane.client_from(&path).await
}

fn get(uri: &str) -> Result<Request<Vec<u8>>> {
    Ok(Request::get(uri).body(Vec::new())?)
}

/// The head of the answer comes, and half of its body.
async fn broken(proxy: &FaultProxy, client: &Client) -> Result<()> {
    proxy.play(|_| Fault::Cut);
    let request = get(MAPS)?.map(kube::client::Body::from);
    let answer = client.send(request).await.context("not even a head")?;
    ensure!(answer.status() == 200, "{answer:?}");
    ensure!(answer.into_body().collect_bytes().await.is_err(), "the whole answer came");
    match client.request::<Value>(get(MAPS)?).await {
        Ok(_) => bail!("the whole answer came"),
        Err(Error::Api(status)) => bail!("an answer came: {status:?}"),
        Err(_) => Ok(()),
    }
}

async fn late(proxy: &FaultProxy, client: &Client) -> Result<()> {
    const LATE: Duration = Duration::from_millis(200);
    proxy.play(|_| Fault::Late(LATE));
    let start = Instant::now();
    client.request::<Value>(get(MAPS)?).await?;
    ensure!(start.elapsed() >= LATE, "it came after {:?}", start.elapsed());
    let gate = Gate::default();
    let held = gate.clone();
    proxy.play(move |_| Fault::Held(held.clone()));
    let waiting = tokio::spawn({
        let (client, request) = (client.clone(), get(MAPS)?);
        async move { client.request::<Value>(request).await }
    });
    gate.reached().await?;
    ensure!(!waiting.is_finished(), "the gate was open");
    gate.open();
    waiting.await??;
    // Done, and not answered: what follows sees it.
    let gate = Gate::default();
    let held = gate.clone();
    proxy.play(move |asked| if asked.is_write() { Fault::Unanswered(held.clone()) } else { Fault::None });
    let review = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"a"}}"#;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let request = Request::post(path).header("content-type", "application/json").body(review.into())?;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.request::<Value>(request).await }
    });
    gate.reached().await?;
    ensure!(!waiting.is_finished(), "it was answered");
    gate.open();
    ensure!(waiting.await??["kind"] == "SelfSubjectRulesReview", "another answer");
    Ok(())
}

/// An open one ends in good order, one that breaks off without an event, one that is too old with an event.
async fn watches(proxy: &FaultProxy, client: &Client) -> Result<()> {
    let watch = format!("{MAPS}?watch=true");
    proxy.pass();
    let mut open = Box::pin(client.request_events::<DynamicObject>(get(&watch)?).await?);
    let first = open.next().await.context("no event")??;
    ensure!(matches!(first, WatchEvent::Added(_)), "{first:?}");
    proxy.end_watches();
    while let Some(event) = open.next().await {
        event.context("an open watch is ended in good order")?;
    }
    proxy.play(|asked| if asked.is_watch() { Fault::Gone } else { Fault::None });
    let mut old = Box::pin(client.request_events::<DynamicObject>(get(&watch)?).await?);
    match old.next().await {
        Some(Ok(WatchEvent::Error(status))) => ensure!(status.code == 410, "{status:?}"),
        other => bail!("{other:?}"),
    }
    ensure!(old.next().await.is_none(), "more than one event");
    proxy.play(|_| Fault::Cut);
    let mut cut = Box::pin(client.request_events::<DynamicObject>(get(&watch)?).await?);
    // Whether a stream that breaks off is an error is the client's affair; half an event must be none.
    match cut.next().await {
        None | Some(Err(_)) => Ok(()),
        Some(Ok(event)) => bail!("half an event was taken for a whole one: {event:?}"),
    }
}
