//! `storm`: half of the API server's answers to writes are 429: what is written
//! beyond what is necessary.

use jiff::Timestamp;
use rimward_e2e::bench::{Figures, main as bench};
use rimward_e2e::proxy::{Fault, Odds};
use rimward_e2e::rig::{Rig, files};

const OBJECTS: usize = 500;

fn main() -> std::process::ExitCode {
    bench(run())
}

async fn run() -> anyhow::Result<Figures> {
    let mut rig = Rig::start_behind_proxies(&["eu-1"]).await?;
    let repo = rig.tenant("team", &["team"])?;
    let maps: Vec<String> = (0..OBJECTS).map(|i| files::config_map(&format!("map-{i}"), "k", "v")).collect();
    let start = Timestamp::now();
    let asked = std::time::Instant::now();
    let odds = Odds::new(7, 50);
    rig.sites[0].proxy().play(move |request| {
        let tenants = request.is_write() && request.impersonated.is_some();
        if tenants && odds.hit() { Fault::TooMany(0) } else { Fault::None }
    });
    rig.ship(
        &repo,
        "team/web",
        &[("rimward.yaml", Some(&files::app("web", "team"))), ("maps.yaml", Some(&maps.join("---\n")))],
    )
    .await?;
    let attempts = rig.sites[0].proxy().since(asked);
    let attempts =
        attempts.iter().filter(|handled| handled.asked.is_write() && handled.asked.impersonated.is_some());
    let written = rig.sites[0].wrote(start).await?.resource("configmaps").count();
    let mut figures = Figures::default();
    figures.tell("storm_attempts_per_object", attempts.count() as f64 / OBJECTS as f64, "requests");
    figures.tell("storm_time", asked.elapsed().as_secs_f64(), "s");
    figures.at_most("storm_writes_per_object", written as f64 / OBJECTS as f64, "requests", 1.2);
    Ok(figures)
}
