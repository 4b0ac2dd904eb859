//! One object, one App: found before anything is signed, because two Apps that
//! own one object would take turns forever. Neither side of a quarrel is
//! updated; what each had stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rimward_proto::{AppId, ObjectKey};

use super::PlanInputs;
use super::before::{Before, Owned};
use super::cache::RenderCache;
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::SourceId;
use crate::core::note::{Note, Position};
use crate::core::select::{ClusterIndex, ClusterSet};

/// One App with the same objects on some clusters.
struct InForce {
    app: AppId,
    clusters: ClusterSet,
    keys: Arc<[ObjectKey]>,
}

/// Turns every wanted App that shares an object with another on one cluster into a kept one, until none does. An App
/// that goes on under a new name is removed, so that the new one owns what the old one had. True if any was turned.
pub(super) fn settle(
    inputs: &PlanInputs<'_>,
    index: &ClusterIndex,
    before: &Before,
    sources: &Sources,
    standings: &mut BTreeMap<AppId, Standing>,
    cache: &mut RenderCache,
    notes: &mut Vec<(SourceId, Note)>,
) -> bool {
    let mut turned = false;
    loop {
        // Keeping one App brings its old objects back into the comparison, so it is made again; each round keeps at
        // least one more.
        let quarrels = quarrels(&in_force(inputs, index, before, standings, cache));
        let mut settled = true;
        for (id, (key, other)) in quarrels {
            let Some(standing @ Standing::Wanted(_)) = standings.get_mut(&id) else { continue };
            let at = sources.good.get(&id).map_or_else(Position::default, |(app, _)| app.at.clone());
            let note = Note::error(codes::OWNED, at, format!("{key} is also in App {other}"))
                .help("keep it in one of them; until then neither is updated");
            if let Some((app, _)) = sources.good.get(&id) {
                notes.push((app.source.clone(), note.clone()));
            }
            *standing = Standing::Kept(note);
            settled = false;
        }
        if settled {
            return turned;
        }
        turned = true;
    }
}

fn in_force(
    inputs: &PlanInputs<'_>,
    index: &ClusterIndex,
    before: &Before,
    standings: &BTreeMap<AppId, Standing>,
    cache: &mut RenderCache,
) -> Vec<InForce> {
    let mut all = Vec::new();
    for (app, standing) in standings {
        // Where an App is kept, it owns what it has there.
        let kept = match standing {
            Standing::Removed { .. } => continue,
            Standing::Kept(_) => None,
            Standing::Wanted(wanted) => {
                let keys = wanted.keys().cloned();
                let clusters = wanted.ready();
                all.extend(keys.map(|keys| InForce { app: app.clone(), clusters, keys }));
                if wanted.waiting.is_empty() {
                    continue;
                }
                Some(&wanted.waiting)
            }
        };
        for Owned { keys, clusters } in before.owned(app, index, cache, inputs.indexes) {
            let clusters = kept.map_or(clusters.clone(), |kept| clusters.and(kept));
            all.extend(keys.map(|keys| InForce { app: app.clone(), clusters, keys }));
        }
    }
    all
}

/// For each App that shares an object: one such object and the other App.
fn quarrels(all: &[InForce]) -> BTreeMap<AppId, (ObjectKey, AppId)> {
    let mut owners: HashMap<&ObjectKey, usize> = HashMap::new();
    let mut shared: BTreeMap<&ObjectKey, BTreeSet<usize>> = BTreeMap::new();
    for (number, one) in all.iter().enumerate() {
        for key in one.keys.iter() {
            if let Some(first) = owners.insert(key, number) {
                shared.entry(key).or_default().extend([first, number]);
            }
        }
    }
    let mut quarrels = BTreeMap::new();
    for (key, numbers) in shared {
        for (a, b) in pairs(&numbers) {
            let (a, b) = (&all[a], &all[b]);
            if a.app != b.app && a.clusters.meets(&b.clusters) {
                quarrels.entry(a.app.clone()).or_insert_with(|| (key.clone(), b.app.clone()));
                quarrels.entry(b.app.clone()).or_insert_with(|| (key.clone(), a.app.clone()));
            }
        }
    }
    quarrels
}

fn pairs(numbers: &BTreeSet<usize>) -> impl Iterator<Item = (usize, usize)> {
    numbers.iter().flat_map(|a| numbers.range(a + 1..).map(|b| (*a, *b)))
}
