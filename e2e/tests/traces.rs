//! Traces: exported to a collector when one is named, by the hub's file or the
//! OpenTelemetry variables, and to nobody when none is.

use anyhow::{Result, ensure};
use rimward_e2e::collector::{Collector, DEFAULT_PORT};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::{Rig, Story, eventually, files};

/// What names a collector for both daemons.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_where_they_are_wanted_and_nowhere_else() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let repo = rig.tenant("payments", &["payments"])?;
    repo.commit(&[("rimward.yaml", Some(&files::app("web", "payments")))], "an App")?;
    let mut story = Story::begin();
    story
        .tell("without a word, nothing is sent, also not to the usual port", unwanted(&mut rig, &repo))
        .await;
    story.tell("the hub: by its file, and a variable wins over that", by_hub(&mut rig, &repo)).await;
    story.tell("the spoke: by the variable", by_spoke(&mut rig, &repo)).await;
    story.end()
}

/// Something to be traced, all the way.
async fn work(rig: &Rig, repo: &GitRepo, value: &str) -> Result<()> {
    let text = files::config_map("web", "key", value);
    rig.ship(repo, "payments/web", &[("web.yaml", Some(&text))]).await.map(drop)
}

async fn arrive(collector: &Collector, service: &str, names: &[&str]) -> Result<()> {
    let there = |name: &&&str| {
        let spans = collector.spans();
        spans.iter().any(|span| span.service == service && span.name == **name)
    };
    let what = format!("spans {names:?} of {service}");
    let found = eventually(&what, || async { Ok(names.iter().all(|name| there(&name)).then_some(())) });
    found.await.map_err(|error| error.context(format!("there are {:?}", collector.spans())))
}

async fn unwanted(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    // Somebody may have a collector of their own there; then what it gets cannot be told apart.
    let usual = Collector::start(DEFAULT_PORT).await;
    work(rig, repo, "nobody looks").await?;
    // Whatever was kept back would be sent now.
    rig.sites[0].spoke().stop()?;
    rig.hub.stop()?;
    match usual {
        Ok(usual) => ensure!(usual.spans().is_empty(), "{:?}", usual.spans()),
        Err(error) => eprintln!("not looked at: the usual port ({error:#})"),
    }
    rig.hub.start().await?;
    rig.sites[0].spoke().start()
}

async fn by_hub(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (of_file, of_variable) = (Collector::start(0).await?, Collector::start(0).await?);
    rig.hub.stop()?;
    let before = std::fs::read_to_string(rig.hub.config())?;
    let more = format!("otlp: {{endpoint: \"{}\", sample: 1.0}}\n", of_file.endpoint());
    std::fs::write(rig.hub.config(), before.clone() + &more)?;
    rig.hub.start().await?;
    work(rig, repo, "by file").await?;
    arrive(&of_file, "rimward-hub", &["fetch", "plan", "publish"]).await?;
    rig.hub.stop()?;
    let at_the_end = of_file.spans().len();

    rig.hub.environment.push((ENDPOINT, of_variable.endpoint()));
    rig.hub.start().await?;
    work(rig, repo, "by variable").await?;
    arrive(&of_variable, "rimward-hub", &["fetch", "plan", "publish"]).await?;
    rig.hub.stop()?;
    ensure!(of_file.spans().len() == at_the_end, "the file's collector got more: {:?}", of_file.spans());
    let others = of_variable.spans().into_iter().filter(|span| span.service != "rimward-hub").count();
    ensure!(others == 0, "{:?}", of_variable.spans());

    rig.hub.environment.clear();
    std::fs::write(rig.hub.config(), before)?;
    rig.hub.start().await
}

async fn by_spoke(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let collector = Collector::start(0).await?;
    rig.sites[0].spoke().stop()?;
    rig.sites[0].spoke().environment.push((ENDPOINT, collector.endpoint()));
    rig.sites[0].spoke().start()?;
    work(rig, repo, "by the spoke's variable").await?;
    arrive(&collector, "rimward-spoke", &["effect"]).await?;
    ensure!(collector.spans().iter().all(|span| span.service == "rimward-spoke"), "{:?}", collector.spans());
    Ok(())
}
