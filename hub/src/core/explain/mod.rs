//! Why an App is on a cluster, or why it is not: the steps that decide it, in
//! their order, each with the place in Git that it goes by. It reads the world as
//! it is and decides nothing.

mod chain;
mod object;
mod selector;
mod steps;

use jiff::Timestamp;
use rimward_proto::{AppId, ClusterName};
use serde::{Deserialize, Serialize};

use super::note::Position;
use super::status::overview::Overview;
use super::world::World;

pub use chain::chain;
pub use object::{Located, ObjectThere, Wanted, there};
pub use selector::misses;

/// The steps of an explanation, in the order in which they decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StepName {
    /// Its App file is read, and within the source's bound.
    #[serde(rename = "source")]
    Source,
    /// The tenant may have the cluster.
    #[serde(rename = "tenant.clusters")]
    TenantClusters,
    /// The App selects the cluster.
    #[serde(rename = "app.clusters")]
    AppClusters,
    /// What is different there.
    #[serde(rename = "overrides")]
    Overrides,
    /// Its manifests are right.
    #[serde(rename = "render")]
    Render,
    /// The tenant may have its objects.
    #[serde(rename = "guardrails")]
    Guardrails,
    /// Its turn has come.
    #[serde(rename = "rollout")]
    Rollout,
    /// It is in the plan published for the cluster.
    #[serde(rename = "plan")]
    Plan,
    /// The cluster says that it runs.
    #[serde(rename = "spoke")]
    Spoke,
}

impl StepName {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::TenantClusters => "tenant.clusters",
            Self::AppClusters => "app.clusters",
            Self::Overrides => "overrides",
            Self::Render => "render",
            Self::Guardrails => "guardrails",
            Self::Rollout => "rollout",
            Self::Plan => "plan",
            Self::Spoke => "spoke",
        }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Went {
    /// It lets the App through.
    Pass,
    /// It does not.
    Fail,
    /// It has nothing to say, or an earlier one keeps it from being asked.
    Skip,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// How it went.
    pub result: Went,
    /// File it goes by, within its repository; empty if none.
    pub file: String,
    /// Line, from 1; 0 = the whole file.
    pub line: u32,
    /// Commit that the file was read at; empty if that says nothing.
    pub commit: String,
    /// What decided.
    pub message: String,
}

impl Step {
    fn new(step: StepName, result: Went, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { step, result, file: String::new(), line: 0, commit: String::new(), message }
    }

    fn pass(step: StepName, message: impl Into<String>) -> Self {
        Self::new(step, Went::Pass, message)
    }

    fn fail(step: StepName, message: impl Into<String>) -> Self {
        Self::new(step, Went::Fail, message)
    }

    fn skip(step: StepName, message: impl Into<String>) -> Self {
        Self::new(step, Went::Skip, message)
    }

    fn at(mut self, at: &Position, commit: &str) -> Self {
        self.file.clone_from(&at.file);
        self.line = at.line;
        commit.clone_into(&mut self.commit);
        self
    }
}

/// One override of an App, as it applies to a cluster. Later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Where it is written.
    pub at: Position,
    /// True if that is in the fleet repo.
    pub fleet: bool,
    /// True if the cluster is one of its.
    pub applies: bool,
    /// What it sets, by name; of what a later one sets too, that one's is used.
    pub sets: Vec<String>,
}

/// Why an App is on a cluster, or is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// True if it is in the plan published for the cluster.
    pub here: bool,
    /// The first step that fails: what keeps it away, or keeps its newest revision away. None if nothing does.
    pub blocking: Option<StepName>,
    /// All steps.
    pub steps: Vec<Step>,
}

/// Explains an App on a cluster; `overrides` is its chain, nearest last. None if nobody knows of such an App.
pub fn explain(
    world: &World,
    id: &AppId,
    cluster: &ClusterName,
    overrides: &[Override],
    now: Timestamp,
) -> Option<Explanation> {
    let overview = Overview::new(world, now);
    if !super::status::app::ids(&overview).contains(id) {
        return None;
    }
    let steps = steps::Steps::new(&overview, id, cluster);
    let here = steps.here();
    let steps = steps.all(overrides);
    let blocking = steps.iter().find(|step| step.result == Went::Fail).map(|step| step.step);
    Some(Explanation { here, blocking, steps })
}
