//! A Guardrail of the fleet repo, from Git to what is published and said.

use rimward_hub::core::note::Severity;
use rimward_proto::bundle::BundleIndex;

use super::flow::{Rig, config_map, plan, published, reconcile};
use super::support::Hub;

const RAIL: &str = "apiVersion: rimward.dev/v1alpha1\nkind: Guardrail\nmetadata: {name: few}\nspec:\n  \
    kinds: [ConfigMap]\n  rules: [{cel: \"size(object.data.x) < 3\", message: \"x has at most two characters\"}]\n  \
    action: deny\n";

fn app(name: &str) -> String {
    format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\nspec: {{namespace: payments, clusters: {{}}}}\n"
    )
}

fn named(name: &str, value: &str) -> String {
    config_map(value).replace("name: a", &format!("name: {name}"))
}

/// Each App with the objects it has, as published.
fn objects(hub: &Hub) -> Vec<String> {
    let content = |digest| hub.state.content.get(&digest).unwrap().unwrap();
    let of = |bundle: &rimward_proto::plan::PlanBundle| {
        let index = BundleIndex::parse(&content(bundle.digest)).unwrap();
        let objects = index.entries().iter().map(|e| String::from_utf8(content(e.sha256)).unwrap());
        format!("{} {}", bundle.app, objects.collect::<String>())
    };
    plan(hub).bundles.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_app_stops_and_another_goes_on() {
    let rig = Rig::new();
    let other = [("db/rimward.yaml", Some(app("db"))), ("db/cm.yaml", Some(named("b", "1")))];
    let other = other.each_ref().map(|(path, text)| (*path, text.as_deref()));
    rig.apps.commit(&other, "db").unwrap();
    rig.fleet.commit(&[("rails.yaml", Some(RAIL))], "rail").unwrap();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    let has = |hub: &Hub| {
        let all = objects(hub);
        let value = |app: &str| {
            let text = all.iter().find(|text| text.starts_with(app)).unwrap();
            text.split(r#""x":""#).nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        (value("web "), value("db "))
    };
    assert_eq!(has(&hub), ("1".to_owned(), "1".to_owned()));
    let (web, db) = (config_map("12345"), named("b", "22"));
    rig.apps.commit(&[("web/cm.yaml", Some(&web)), ("db/cm.yaml", Some(&db))], "both").unwrap();
    reconcile(&handle, vec![]).await.unwrap();
    assert_eq!(has(&hub), ("1".to_owned(), "22".to_owned()), "App web keeps what it had, App db goes on");
    let (notes, blocked) = hub.state.look(|world| {
        let blocked = |app: &str| world.decided.apps[&app.parse().unwrap()].blocked.clone();
        (world.decided.notes.clone(), (blocked("payments/web"), blocked("payments/db")))
    });
    let (source, note) = &notes[0];
    assert_eq!((notes.len(), source.to_string().as_str()), (1, "payments/apps"));
    assert_eq!((note.severity, note.code.as_str()), (Severity::Error, "RW4020"));
    assert_eq!(
        format!("{} {}", note.at, note.message),
        "web/cm.yaml:1:1 Guardrail few (rails.yaml:6:11 of the fleet repo) denies ConfigMap/payments/a: \
         x has at most two characters"
    );
    assert_eq!(blocked, (Some(note.clone()), None));
    let seq = published(&hub).head.seq;
    rig.apps.commit(&[("web/cm.yaml", Some(&config_map("12")))], "mended").unwrap();
    reconcile(&handle, vec![]).await.unwrap();
    assert_eq!((has(&hub).0.as_str(), published(&hub).head.seq), ("12", seq + 1));
    assert!(hub.state.look(|world| world.decided.notes.is_empty()));
    hub.stop().await;
}
