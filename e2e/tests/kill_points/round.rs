//! One round: Git changes, the spoke is killed and started again, and what must
//! be true then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use rimward_e2e::git::GitRepo;
use rimward_e2e::proxy::{Fault, Gate};
use rimward_e2e::rig::live::{config_map, now, uid};
use rimward_e2e::rig::{Rig, files};
use serde_json::Value;

use super::{Step, written};

/// The tenant, its namespace.
const NAME: &str = "killed";

/// Long enough for a spoke at rest to write what it has still to write.
const REST: Duration = Duration::from_millis(500);

/// What stays in every round.
const STAY: [&str; 3] = ["keep", "moves", "other"];

/// On which side of a write the kill comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It never reaches the API server.
    Before,
    /// It is done, and the spoke never hears of it.
    After,
}

/// Where a kill comes.
#[derive(Clone, Debug)]
pub struct Round {
    pub step: Step,
    pub when: When,
}

/// The fleet's one cluster, and what Git says of it.
pub struct Site {
    repo: GitRepo,
    commit: String,
    uids: BTreeMap<String, String>,
    /// Rounds so far: whether one is even or odd says which App has what.
    rounds: usize,
    since: Timestamp,
}

impl Site {
    /// Two Apps, and a budget of what one round deletes.
    pub async fn begin(rig: &mut Rig) -> Result<Self> {
        let repo = rig.tenant_repo("tenants/killed")?;
        let text = files::tenant(NAME, repo.url(), &[NAME]) + "  limits: {deletion: {maxPerPlan: 1}}\n";
        rig.fleet.commit(&[("tenants/killed.yaml", Some(&text))], NAME)?;
        let (left, right) = (files::app("left", NAME), files::app("right", NAME));
        let other = files::config_map("other", "key", "always");
        let keep = files::config_map("keep", "round", "0");
        let apps = [
            ("left/rimward.yaml", Some(left.as_str())),
            ("right/rimward.yaml", Some(&right)),
            ("right/other.yaml", Some(&other)),
            ("left/keep.yaml", Some(&keep)),
            ("left/moves.yaml", Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moves}\n")),
            ("left/comes-0.yaml", Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: comes-0}\n")),
        ];
        let commit = repo.commit(&apps, "two Apps")?;
        rig.reconcile().await?;
        let mut site = Self { repo, commit, uids: BTreeMap::new(), rounds: 0, since: now() };
        site.converges(rig).await?;
        for name in STAY {
            let object = rig.sites[0].there(&config_map(NAME, name)).await?;
            site.uids.insert(name.to_owned(), uid(&object));
        }
        Ok(site)
    }

    /// Git changes one object, moves one, adds one and removes one; the hub publishes it.
    async fn change(&mut self, rig: &Rig) -> Result<()> {
        self.rounds += 1;
        let keep = files::config_map("keep", "round", &self.rounds.to_string());
        let (from, to) = (app_of_moves(self.rounds - 1), app_of_moves(self.rounds));
        let moves = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moves}\n";
        let comes = files::config_map(&comes(self.rounds), "round", "any");
        let path = |round| format!("left/{}.yaml", self::comes(round));
        self.commit = self.repo.commit(
            &[
                ("left/keep.yaml", Some(keep.as_str())),
                (&format!("{from}/moves.yaml"), None),
                (&format!("{to}/moves.yaml"), Some(moves)),
                (&path(self.rounds), Some(&comes)),
                (&path(self.rounds - 1), None),
            ],
            "a round",
        )?;
        self.since = now();
        rig.reconcile().await
    }

    /// A round without a kill; the steps it takes.
    pub async fn undisturbed(&mut self, rig: &mut Rig) -> Result<BTreeSet<Step>> {
        let start = Instant::now();
        self.change(rig).await?;
        self.converges(rig).await?;
        tokio::time::sleep(REST).await;
        let mut counts = BTreeMap::new();
        for one in rig.sites[0].proxy().since(start) {
            if let Some(what) = written(&one.asked) {
                *counts.entry(what).or_insert(0) += 1;
            }
        }
        let steps =
            counts.into_iter().flat_map(|(what, count)| (0..count).map(move |nth| Step { what, nth }));
        Ok(steps.collect())
    }

    /// A round with a kill at a step. False if the round came to its end without that step.
    pub async fn killed_at(&mut self, rig: &mut Rig, Round { step, when }: Round) -> Result<bool> {
        let gate = Gate::default();
        let (reached, left) = (gate.clone(), Mutex::new(step.nth));
        rig.sites[0].proxy().play(move |asked| {
            let same = written(asked) == Some(step.what);
            let now = same
                && left.lock().is_ok_and(|mut left| {
                    let now = *left == 0;
                    *left = left.wrapping_sub(1);
                    now
                });
            match when {
                When::Before if now => Fault::Held(reached.clone()),
                When::After if now => Fault::Unanswered(reached.clone()),
                _ => Fault::None,
            }
        });
        self.change(rig).await?;
        let hit = tokio::select! {
            reached = gate.reached() => reached.map(|()| true)?,
            done = self.done(rig) => done.map(|()| false)?,
        };
        if hit {
            self.kill(rig).await?;
        }
        rig.sites[0].proxy().pass();
        self.converges(rig).await?;
        Ok(hit)
    }

    /// A round with a kill so long after its plan was published.
    pub async fn killed_after(&mut self, rig: &mut Rig, time: Duration) -> Result<()> {
        self.change(rig).await?;
        tokio::time::sleep(time).await;
        self.kill(rig).await?;
        self.converges(rig).await
    }

    /// The request that is held is lost with its connection: the gate is never opened.
    async fn kill(&self, rig: &mut Rig) -> Result<()> {
        rig.sites[0].spoke().kill()?;
        rig.sites[0].proxy().pass();
        rig.sites[0].spoke().start()
    }

    /// Waits until nothing more is to be done.
    async fn done(&self, rig: &Rig) -> Result<()> {
        for app in ["left", "right"] {
            let app = format!("app/{NAME}/{app}");
            rig.hub.cli_ok(&["wait", &app, "--commit", &self.commit, "--timeout", "30s"]).await?;
        }
        if let Some(before) = self.rounds.checked_sub(1) {
            rig.sites[0].until_gone(&config_map(NAME, &comes(before))).await?;
        }
        tokio::time::sleep(REST).await;
        Ok(())
    }

    /// Waits until what Git says is so, and sees that it is, and how it came to be.
    async fn converges(&self, rig: &mut Rig) -> Result<()> {
        if let Err(error) = self.done(rig).await {
            let left = rig.hub.describe(&format!("app/{NAME}/left")).await?;
            let right = rig.hub.describe(&format!("app/{NAME}/right")).await?;
            bail!(error.context(format!("round {}:\n{left:#}\n{right:#}", self.rounds)));
        }
        ensure!(rig.sites[0].spoke().ended(Duration::ZERO)?.is_none(), "the spoke has ended by itself");
        let live = live(rig).await?;
        let wanted: BTreeSet<String> =
            STAY.map(str::to_owned).into_iter().chain([comes(self.rounds)]).collect();
        ensure!(live.keys().cloned().collect::<BTreeSet<_>>() == wanted, "there is {:?}", live.keys());
        let round = self.rounds.to_string();
        ensure!(live["keep"]["data"]["round"] == round.as_str(), "{:#}", live["keep"]);
        let app = &live["moves"]["metadata"]["labels"]["rimward.dev/app"];
        ensure!(app == app_of_moves(self.rounds), "moves is of {app}");
        for (name, before) in &self.uids {
            ensure!(uid(&live[name]) == *before, "{name} was deleted and made again");
        }
        let deletes = rig.sites[0].plane().audit().await?.since(self.since).namespace(NAME);
        let deletes = deletes.filter(|event| event.verb.starts_with("delete"));
        let going = self.rounds.checked_sub(1).map(comes);
        let wrong = deletes.clone().filter(|event| Some(&event.name) != going.as_ref());
        ensure!(wrong.count() == 0, "wrongly deleted:\n{wrong}");
        let done = deletes.filter(|event| event.code < 300);
        ensure!(done.count() <= 1, "deleted more than once:\n{done}");
        Ok(())
    }

    /// Somebody deletes what the next round removes, and the kill comes while the spoke makes it again: before the request
    /// reaches the API server, or when it is there under a UID that no ledger has. Either way the round removes it.
    pub async fn made_again(&mut self, rig: &mut Rig, when: When) -> Result<()> {
        let name = comes(self.rounds);
        let path = config_map(NAME, &name);
        let before = uid(&rig.sites[0].there(&path).await?);
        let gate = Gate::default();
        let reached = gate.clone();
        rig.sites[0].proxy().play(move |asked| match (written(asked), when) {
            (Some("create"), When::Before) => Fault::Held(reached.clone()),
            (Some("create"), When::After) => Fault::Unanswered(reached.clone()),
            _ => Fault::None,
        });
        rig.sites[0].delete(&path).await?;
        gate.reached().await?;
        if when == When::After {
            // The answer is lost only when there is one.
            let again = rig.sites[0].until(&path, "made again", |found| found.is_some()).await?;
            ensure!(again.is_some_and(|again| uid(&again) != before), "{name} was never gone");
        }
        rig.sites[0].spoke().kill()?;
        rig.sites[0].proxy().pass();
        // With the disk goes the plan of before, which would have it looked at in time.
        rig.sites[0].spoke().lose_disk()?;
        self.change(rig).await?;
        rig.sites[0].spoke().start()?;
        self.converges(rig).await
    }

    /// A ceiling of exactly what was deleted and one more: nothing was counted twice, however often it was begun.
    pub async fn ceiling(&mut self, rig: &mut Rig) -> Result<()> {
        let spoke = rig.sites[0].spoke();
        spoke.stop()?;
        let mut config = std::fs::read_to_string(spoke.config())?;
        config += &format!("ceilings: {{deletesPerDay: {}}}\n", self.rounds + 1);
        std::fs::write(spoke.config(), config)?;
        spoke.start()?;
        self.change(rig).await?;
        self.converges(rig).await
    }
}

fn app_of_moves(round: usize) -> &'static str {
    if round.is_multiple_of(2) { "left" } else { "right" }
}

/// What is added in a round, and removed in the next.
fn comes(round: usize) -> String {
    format!("comes-{round}")
}

async fn live(rig: &Rig) -> Result<BTreeMap<String, Value>> {
    let path = format!("/api/v1/namespaces/{NAME}/configmaps?labelSelector=rimward.dev%2Ftenant");
    let list = rig.sites[0].there(&path).await?;
    let items = list["items"].as_array().context("no list")?;
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(|object| (name(object), object.clone())).collect())
}
