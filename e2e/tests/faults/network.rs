//! Faults on the way to the API server, and of an API that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rimward_e2e::proxy::{Asked, Fault, Odds};
use rimward_e2e::rig::{Rig, eventually};
use serde_json::json;

use super::work::{CHANGED, GONE, KEPT, MEANWHILE, NEW, Work, meanwhile};

/// How often a watch that fails each time may be begun again in [`MEANWHILE`]; with a pause of 50 ms that doubles it
/// would be 6 times.
const BEGUN_AGAIN: u32 = 12;

/// Fails unless the proxy has done that to somebody since then: a test of a fault that never came tests nothing.
fn happened(rig: &Rig, start: Instant, fault: &str) -> Result<()> {
    let count = rig.sites[0].proxy().since(start).iter().filter(|one| one.fault.name() == fault).count();
    ensure!(count > 0, "nobody met the fault {fault}");
    println!("{count} requests met {fault}");
    Ok(())
}

pub async fn storm(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "storm").await?;
    let (start, odds) = (Instant::now(), Odds::new(429, 50));
    rig.sites[0].proxy().play(move |_| {
        let worst = start.elapsed() < MEANWHILE;
        if worst || odds.hit() { Fault::TooMany(1) } else { Fault::None }
    });
    rig.sites[0].proxy().end_watches();
    work.change(rig).await?;
    work.converges(rig).await?;
    happened(rig, start, "429")
}

/// The first answer to each write, which is done all the same, and some of all others.
pub async fn broken_answers(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "broken").await?;
    let (start, odds) = (Instant::now(), Odds::new(104, 30));
    let written = Mutex::new(BTreeSet::new());
    rig.sites[0].proxy().play(move |asked| {
        let first = asked.is_write() && written.lock().is_ok_and(|mut known| known.insert(asked.clone()));
        if first || odds.hit() { Fault::Cut } else { Fault::None }
    });
    rig.sites[0].proxy().end_watches();
    work.change(rig).await?;
    work.converges(rig).await?;
    let handled = rig.sites[0].proxy().since(start);
    let cut = handled.iter().filter(|one| one.asked.is_write() && one.fault.name() == "cut");
    let paths: BTreeSet<_> = cut.map(|one| (one.asked.method.clone(), one.asked.path.clone())).collect();
    for (method, names) in [("PATCH", &KEPT[..CHANGED]), ("PATCH", &NEW), ("DELETE", &GONE)] {
        for name in names {
            ensure!(paths.contains(&(method.to_owned(), work.path(name))), "{method} {name} met no fault");
        }
    }
    happened(rig, start, "cut")
}

pub async fn slow(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "slow").await?;
    let (start, odds) = (Instant::now(), Odds::new(504, 10));
    rig.sites[0].proxy().play(move |_| {
        let late = if odds.hit() { Duration::from_secs(3) } else { Duration::from_millis(300) };
        Fault::Late(late)
    });
    rig.sites[0].proxy().end_watches();
    work.change(rig).await?;
    work.converges(rig).await?;
    happened(rig, start, "late")
}

/// While nobody is told of changes, somebody makes one.
pub async fn expired_watches(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "expired").await?;
    let start = Instant::now();
    rig.sites[0].proxy().play(|asked| if asked.is_watch() { Fault::Gone } else { Fault::None });
    rig.sites[0].proxy().end_watches();
    work.change(rig).await?;
    let path = work.path(KEPT[3]);
    rig.sites[0].merge(&path, "kubectl-edit", &json!({"data": {"key": "by hand"}})).await?;
    meanwhile().await;
    work.deleted_rightly(rig).await?;
    let asked = rig.sites[0].proxy().since(start);
    rig.sites[0].proxy().pass();
    rig.sites[0].until_is(&path, "/data/key", &json!("1")).await?;
    work.converges(rig).await?;
    happened(rig, start, "410")?;
    // A watch that fails at once is begun again with a growing pause, not as fast as the server answers.
    let mut by_path = BTreeMap::<(String, Option<String>), u32>::new();
    for Asked { path, impersonated, .. } in asked.into_iter().map(|one| one.asked).filter(Asked::is_watch) {
        *by_path.entry((path, impersonated)).or_default() += 1;
    }
    by_path.retain(|_, count| *count > BEGUN_AGAIN);
    ensure!(by_path.is_empty(), "begun again and again: {by_path:#?}");
    Ok(())
}

/// Nothing is known and nothing is done while it lasts, and nobody says Ready of what Git says by then.
pub async fn expired_token(rig: &mut Rig) -> Result<()> {
    let mut work = Work::begin(rig, "token").await?;
    let start = Instant::now();
    rig.sites[0].proxy().play(|_| Fault::Unauthorized);
    rig.sites[0].proxy().end_watches();
    work.change(rig).await?;
    meanwhile().await;
    let described = rig.hub.describe(&work.app()).await?;
    ensure!(described["state"] != "Ready", "{described:#}");
    rig.sites[0].proxy().pass();
    work.converges(rig).await?;
    happened(rig, start, "401")
}

/// Everything else goes on while it lasts.
pub async fn unavailable_api(rig: &mut Rig) -> Result<()> {
    const API: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.nobody.example.com";
    let mut work = Work::begin(rig, "nobody").await?;
    let nobody = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.nobody.example.com"},
        "spec": {"service": {"namespace": "default", "name": "nobody", "port": 443},
                 "insecureSkipTLSVerify": true, "group": "nobody.example.com", "version": "v1",
                 "groupPriorityMinimum": 1000, "versionPriority": 100}});
    let site = &rig.sites[0];
    site.apply(API, "admin", &nobody).await?;
    let unavailable = eventually("the API to be unavailable", || async {
        let conditions = site.there(API).await?["status"]["conditions"].clone();
        Ok((conditions[0]["status"] == "False").then_some(()))
    });
    unavailable.await?;
    site.proxy().end_watches();
    // A spoke that is just started knows no kinds from before.
    rig.sites[0].spoke().stop()?;
    rig.sites[0].spoke().start()?;
    work.change(rig).await?;
    let converged = work.converges(rig).await;
    rig.sites[0].delete(API).await?;
    converged
}
