//! The folders that `rimward plan --offline` reads: as they are, and as they
//! were at the commits they are compared with.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rimward_hub::core::model::{Policy, SourceId, SourceTree};
use rimward_hub::core::preview::trees::{Planned, Planner, Trees};
use rimward_hub::source::{RevisionError, read_dir, read_revision, repository};

use super::args::Global;
use super::exit::{Exit, Failure};
use super::output::say;
use super::plan_args::{Place, PlanArgs};

/// What is compared.
pub struct Sides {
    /// What was; none if nothing is compared with.
    pub base: Option<Planned>,
    /// What would be.
    pub head: Planned,
}

/// Reads and plans both sides.
pub fn plan(global: &Global, args: &PlanArgs) -> Result<Sides, Failure> {
    let fleet = args.fleet.clone().ok_or_else(|| Failure::usage("--offline needs --fleet DIR"))?;
    let bases = Bases::parse(&args.base, &args.source)?;
    let fleet_tree = read(&fleet)?;
    let policy = rimward_hub::core::files::load_fleet(&fleet_tree, &BTreeMap::new()).policy;
    let mut head = Trees { fleet: fleet_tree, sources: BTreeMap::new() };
    let mut base =
        Trees { fleet: bases.of(&SourceId::Fleet, &fleet, &head.fleet)?, sources: BTreeMap::new() };
    for Place { id, dir } in &args.source {
        let Some(dir) = dir.as_ref().filter(|_| *id != SourceId::Fleet) else {
            return Err(Failure::usage(format!("--source {id}: with --offline it is T/S=DIR")));
        };
        let dir = content(&policy, id, dir);
        let tree = read(&dir)?;
        base.sources.insert(id.clone(), bases.of(id, &dir, &tree)?);
        if head.sources.insert(id.clone(), tree).is_some() {
            return Err(Failure::usage(format!("source {id} is given twice")));
        }
    }
    let mut planner = Planner::default();
    let base = (!args.base.is_empty()).then(|| planner.plan(&base, None));
    let head = planner.plan(&head, base.as_ref());
    check_sources(global, base.as_ref(), &head, args)?;
    Ok(Sides { base, head })
}

/// A source that is given must be one of the fleet, before or after; of one that is not, nothing is said.
fn check_sources(
    global: &Global,
    base: Option<&Planned>,
    head: &Planned,
    args: &PlanArgs,
) -> Result<(), Failure> {
    let of = |planned: &Planned| planned.fleet.policy.sources().map(|(id, _)| id).collect::<Vec<_>>();
    let (now, before) = (of(head), base.map(of).unwrap_or_default());
    for Place { id, .. } in &args.source {
        if !now.contains(id) && !before.contains(id) {
            let names: Vec<String> = now.iter().map(SourceId::to_string).collect();
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Failure::new(Exit::NotFound, format!("the fleet has no source {id}; it has {has}")));
        }
    }
    for id in now.iter().filter(|id| args.source.iter().all(|place| place.id != **id)) {
        say(global, format!("source {id} is not given: nothing is said of its Apps (--source {id}=DIR)"));
    }
    Ok(())
}

/// What each repository is compared with.
struct Bases {
    all: Option<String>,
    of: BTreeMap<SourceId, String>,
}

impl Bases {
    fn parse(given: &[String], sources: &[Place]) -> Result<Self, Failure> {
        let mut bases = Self { all: None, of: BTreeMap::new() };
        for text in given {
            // A ref may have a `=` in it, too: only a repository that is given is taken for one.
            let named = text.split_once('=').and_then(|(id, revision)| {
                let id = SourceId::try_from(id.to_owned()).ok()?;
                let known = id == SourceId::Fleet || sources.iter().any(|place| place.id == id);
                known.then_some((id, revision.to_owned()))
            });
            let before = match named {
                Some((id, revision)) => bases.of.insert(id, revision),
                None => bases.all.replace(text.clone()),
            };
            if before.is_some() {
                return Err(Failure::usage(format!(
                    "--base {text}: there is another for the same repositories"
                )));
            }
        }
        Ok(bases)
    }

    /// A folder as it was; one that is compared with no commit, while others are, is as it is.
    fn of(&self, id: &SourceId, dir: &Path, now: &Arc<SourceTree>) -> Result<Arc<SourceTree>, Failure> {
        let Some(revision) = self.of.get(id).or(self.all.as_ref()) else { return Ok(now.clone()) };
        let read = read_revision(dir, revision);
        read.map_err(|error| {
            let help = match error {
                RevisionError::Unknown(..) => format!(
                    ". Fetch it, or say it for each repository: --base fleet=REF --base T/S=REF; one that is not named is \
                     taken as it is (this is {id})"
                ),
                _ => String::new(),
            };
            Failure::new(Exit::NotFound, format!("{}{help}", causes(&error)))
        })
    }
}

fn read(dir: &Path) -> Result<Arc<SourceTree>, Failure> {
    read_dir(dir).map(|folder| folder.tree).map_err(|error| Failure::new(Exit::NotFound, causes(&error)))
}

fn causes(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", causes(cause))).unwrap_or_default();
    format!("{error}{cause}")
}

/// The folder that counts of a source whose repository, or whose `path` within it, is at `dir`.
fn content(policy: &Policy, id: &SourceId, dir: &Path) -> PathBuf {
    let path = policy.sources().find(|(known, _)| known == id).map(|(_, spec)| spec.git.path.clone());
    let is_top = dir.canonicalize().is_ok_and(|dir| dir.join(".git").exists() && repository(&dir) == dir);
    match path.filter(|path| is_top && path != "." && dir.join(path).is_dir()) {
        Some(path) => dir.join(path),
        None => dir.to_owned(),
    }
}
