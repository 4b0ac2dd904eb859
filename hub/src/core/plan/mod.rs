//! Policy and sources → one plan per cluster. Pure and deterministic: the same
//! inputs give the same bytes, and absent never means delete: an App leaves a
//! plan only by a tombstone, and a tombstone needs a parsed absence.

mod before;
mod build;
mod cache;
mod circles;
mod depends;
mod entry;
mod handover;
mod holds;
mod owners;
mod places;
mod quota;
mod rails;
mod renames;
mod resolve;
mod shapes;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::Plan;
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest};
use serde::{Deserialize, Serialize};

use self::before::Before;
use self::build::{Build, bundles_of};
use self::depends::Depends;
use self::handover::Handover;
use self::holds::Removal;
use self::renames::Renames;
use self::resolve::{Form, Resolved, Wait};
use self::standing::{Sources, Standing, render_all};
use super::codes;
use super::model::{App, Policy, SourceId, SourceTree};
use super::note::{Note, Notes, PER_SOURCE, Position};
use super::select::ClusterIndex;
use super::world::{AppDecision, AppWait, Decided};

pub use cache::{Counts, RenderCache};
pub use resolve::VARIANTS;

/// Where an App came from when it was last seen: how the hub knows, when an App is not there any more, which source
/// must have been read for that to mean something. Durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The source it was in.
    pub source: SourceId,
    /// Path of its file.
    pub path: String,
}

/// How recent a source's snapshot is, in looks at sources, which are numbered as they begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// The last look that found it.
    pub last: u64,
    /// The newest look at any source that had begun when it was new.
    pub changed: u64,
}

/// Everything a planning depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlanInputs<'a> {
    /// The fleet's policy.
    pub policy: &'a Policy,
    /// Last good snapshot of each tenant source. A source that is not here is unknown: its Apps are carried on.
    pub trees: &'a BTreeMap<SourceId, Arc<SourceTree>>,
    /// How recent they are. A source that is not here is as it was left, whenever that was.
    pub looks: &'a BTreeMap<SourceId, Looks>,
    /// Clusters with an identity.
    pub enrolled: &'a BTreeMap<ClusterName, ClusterUid>,
    /// The plans in force. Pass equal plans as one `Arc`: work is shared by pointer.
    pub previous: &'a BTreeMap<ClusterName, Arc<Plan>>,
    /// What the previous planning returned as `origins`.
    pub origins: &'a BTreeMap<AppId, Origin>,
    /// Tombstones that are done. Only from a report that speaks of the plan in `previous`: an older one may speak of
    /// an earlier tombstone of an App that has come and gone since.
    pub cleared: &'a BTreeMap<ClusterName, BTreeSet<AppId>>,
    /// Digests of approved holds.
    pub approvals: &'a BTreeSet<Digest>,
    /// Apps that clusters have and their plan does not mention.
    pub unaccounted: &'a BTreeMap<ClusterName, BTreeSet<AppId>>,
    /// Indexes of the bundles in `previous`, as far as they are at hand. They say what an App that keeps its last good
    /// revision owns; bundles rendered since the start are known without.
    pub indexes: &'a BTreeMap<Digest, Arc<BundleIndex>>,
}

/// What planning decided.
#[derive(Debug, Clone, Default)]
pub struct PlanOutput {
    /// The plan of each cluster that has one; equal plans are one `Arc`.
    pub plans: BTreeMap<ClusterName, Arc<Plan>>,
    /// Bundle indexes and objects that the plans name and that may not be stored yet, by digest.
    pub content: BTreeMap<Digest, Arc<[u8]>>,
    /// What each App wants, what is held, and the notes.
    pub decided: Decided,
    /// Where each App is; remember it durably, together with the plans.
    pub origins: BTreeMap<AppId, Origin>,
    /// Apps of all loaded sources whose file is right.
    pub apps: BTreeMap<AppId, Arc<App>>,
}

/// Decides what runs where.
pub fn plan(inputs: &PlanInputs<'_>, cache: &mut RenderCache) -> PlanOutput {
    let index = cache.begin(inputs.policy);
    let before = Before::new(&index, inputs.enrolled, inputs.previous, cache);
    let mut notes = Vec::new();
    let sources = Sources::read(inputs, &index, cache, &mut notes);
    let mut standings = render_all(inputs, &index, &sources, cache, &mut notes);
    rails::settle(inputs, &index, &sources, &mut standings, cache, &mut notes);
    let handover = Handover { inputs, index: &index, before: &before, sources: &sources };
    handover.below(&mut standings, cache, &mut notes);
    let renames = Renames { sources: &sources };
    renames.refuse(&mut standings, &mut notes);
    let removal = Removal { inputs, index: &index, before: &before, sources: &sources, renames: &renames };
    let mut holds = removal.emptied(&mut standings);
    removal.misnamed(&mut standings, &mut notes);
    holds.extend(removal.absent(&mut standings));
    let depends = Depends { before: &before, sources: &sources };
    // What one rule keeps may be what another one goes by, so all of them must be content at once. Each turn keeps at
    // least one App more, so it ends.
    loop {
        let renamed = renames.settle(&before, &mut standings, &mut notes);
        let waits = depends.settle(&mut standings, &mut notes);
        let owned = owners::settle(inputs, &index, &before, &sources, &mut standings, cache, &mut notes);
        let full = quota::settle(inputs, (&index, &before, &sources), &mut standings, &mut notes);
        // The last, because it goes by who is kept for a reason of its own.
        let turned = renamed || waits || owned || full;
        if !turned && !handover.settle(&mut standings, cache, &mut notes) {
            break;
        }
    }
    depends.elsewhere(&standings, &index, &mut notes);
    let (more, unaccounted) = removal.unaccounted(&standings);
    holds.extend(more);
    let build =
        Build { inputs, index: &index, before: &before, standings: &standings, unaccounted: &unaccounted };
    let plans = build.plans(&mut notes);
    frozen_notes(&before, &mut notes);

    let (bundles, in_plans) = bundles_of(&plans);
    let content = content(&standings, &before, &bundles, cache);
    let apps = decisions(inputs, &index, &before, &sources, &standings, cache, &mut notes);
    cache.end(&sources.good.keys().cloned().collect(), &bundles);
    PlanOutput {
        plans,
        content,
        decided: Decided { apps, holds, notes: bounded(notes) },
        origins: origins(inputs, &sources, &in_plans),
        apps: sources.good.into_iter().map(|(id, (app, _))| (id, app)).collect(),
    }
}

/// A source says no more than [`PER_SOURCE`] notes: whoever has that many begins with the first.
fn bounded(notes: Vec<(SourceId, Note)>) -> Vec<(SourceId, Note)> {
    let mut counts: BTreeMap<&SourceId, usize> = BTreeMap::new();
    notes.iter().for_each(|(source, _)| *counts.entry(source).or_default() += 1);
    if counts.values().all(|count| *count <= PER_SOURCE) {
        return notes;
    }
    let mut of: BTreeMap<SourceId, Notes> = BTreeMap::new();
    for (source, note) in notes {
        of.entry(source).or_insert_with(|| Notes::new(PER_SOURCE)).push(note);
    }
    let named = |(source, notes): (SourceId, Notes)| {
        notes.into_vec().into_iter().map(move |note| (source.clone(), note))
    };
    of.into_iter().flat_map(named).collect()
}

fn frozen_notes(before: &Before, notes: &mut Vec<(SourceId, Note)>) {
    for name in before.frozen.keys() {
        let message = format!("cluster {name} has no document any more: it keeps what it has");
        let note = Note::warning(codes::FROZEN, Position::default(), message)
            .help("write its document again; there is no `rimward remove` yet");
        notes.push((SourceId::Fleet, note));
    }
}

/// What the plans name that no plan in force names, and whatever was put together just now.
fn content(
    standings: &BTreeMap<AppId, Standing>,
    before: &Before,
    bundles: &BTreeSet<Digest>,
    cache: &RenderCache,
) -> BTreeMap<Digest, Arc<[u8]>> {
    let stored: BTreeSet<Digest> = before.bundles().collect();
    let mut content = BTreeMap::new();
    for standing in standings.values() {
        let Standing::Wanted(wanted) = standing else { continue };
        for form in wanted.resolved.forms.iter().filter(|form| bundles.contains(&form.digest)) {
            let remade;
            let made = match (cache.fresh.get(&form.digest), stored.contains(&form.digest)) {
                (Some((_, made)), _) => made,
                (None, true) => continue,
                // It was made in an earlier planning and did not come into a plan then.
                (None, false) => match form.variant.form(&form.values) {
                    Ok(made) => {
                        remade = made;
                        &remade
                    }
                    Err(_) => continue,
                },
            };
            content.insert(made.bundle.digest, made.bundle.index.clone());
            let whole = form.variant.whole().map(|object| (object.sha256, object.bytes.clone()));
            content.extend(whole.chain(made.open.iter().map(|object| (object.sha256, object.bytes.clone()))));
        }
    }
    content
}

fn decisions(
    inputs: &PlanInputs<'_>,
    index: &ClusterIndex,
    before: &Before,
    sources: &Sources,
    standings: &BTreeMap<AppId, Standing>,
    cache: &RenderCache,
    notes: &mut Vec<(SourceId, Note)>,
) -> BTreeMap<AppId, AppDecision> {
    let commit =
        |source: &SourceId| inputs.trees.get(source).map_or(String::new(), |tree| tree.commit.clone());
    let mut decisions = BTreeMap::new();
    for (id, standing) in standings {
        let (denied, blocked): (&[Wait], _) = match standing {
            Standing::Wanted(wanted) => (&wanted.denied, None),
            Standing::Kept(note) => (&[], Some(note.clone())),
            Standing::Removed { .. } => continue,
        };
        let resolved = sources.good.get(id).and_then(|_| cache.resolved(id));
        let (source, path, clusters) = match (sources.good.get(id), sources.stuck.get(id)) {
            (Some((app, clusters)), _) => (app.source.clone(), app.root.clone(), clusters.clone()),
            (None, Some((source, file, _))) => (source.clone(), folder(file), before.holders(id, index)),
            (None, None) => {
                let Some(origin) = inputs.origins.get(id) else { continue };
                // Nothing of a source speaks of this App, so its note is not among the source's yet.
                notes.extend(blocked.iter().map(|note| (origin.source.clone(), note.clone())));
                (origin.source.clone(), folder(&origin.path), before.holders(id, index))
            }
        };
        let (commit, clusters) = (commit(&source), index.named(&clusters));
        let (bundle, mut bundles) = forms(resolved.map(AsRef::as_ref), index);
        let all = resolved.into_iter().flat_map(|resolved| &resolved.waits).chain(denied);
        let waits = waits(all, index);
        bundles.retain(|cluster, _| !waits.iter().any(|wait| wait.clusters.binary_search(cluster).is_ok()));
        let decision = AppDecision { source, commit, path, clusters, bundle, bundles, waits, blocked };
        decisions.insert(id.clone(), decision);
    }
    decisions
}

/// The one bundle of an App; or, if it has several, that of each cluster.
fn forms(
    resolved: Option<&Resolved>,
    index: &ClusterIndex,
) -> (Option<Digest>, BTreeMap<ClusterName, Digest>) {
    match resolved.map(|resolved| resolved.forms.as_slice()) {
        None | Some([]) => (None, BTreeMap::new()),
        Some([one]) => (Some(one.digest), BTreeMap::new()),
        Some(several) => {
            let on = |form: &Form| {
                let (digest, names) = (form.digest, index.names());
                form.clusters.iter().map(|position| (names[position].clone(), digest)).collect::<Vec<_>>()
            };
            (None, several.iter().flat_map(on).collect())
        }
    }
}

fn waits<'w>(waits: impl Iterator<Item = &'w Wait>, index: &ClusterIndex) -> Vec<AppWait> {
    let waits = waits.map(|wait| {
        let clusters = wait.clusters.iter().map(|position| index.names()[position].clone()).collect();
        AppWait { reason: wait.reason.to_owned(), note: wait.why.clone(), clusters }
    });
    waits.filter(|wait| !wait.clusters.is_empty()).collect()
}

fn folder(file: &str) -> String {
    file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
}

/// Where each App is: as read now, or as last known for what some plan still has.
fn origins(
    inputs: &PlanInputs<'_>,
    sources: &Sources,
    in_plans: &BTreeSet<AppId>,
) -> BTreeMap<AppId, Origin> {
    let mut origins: BTreeMap<AppId, Origin> = inputs
        .origins
        .iter()
        .filter(|(id, _)| in_plans.contains(id) || sources.stuck.contains_key(id))
        .map(|(id, origin)| (id.clone(), origin.clone()))
        .collect();
    for (id, (source, path, _)) in &sources.stuck {
        let origin = || Origin { source: source.clone(), path: path.clone() };
        origins.entry(id.clone()).or_insert_with(origin);
    }
    for (id, (app, _)) in &sources.good {
        origins.insert(id.clone(), Origin { source: app.source.clone(), path: app.at.file.clone() });
    }
    origins
}
