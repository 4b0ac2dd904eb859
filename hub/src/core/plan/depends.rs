//! Which App waits for which. The spoke does the waiting; here is what must not
//! come to it: a dependency that does not exist, and Apps that wait for one
//! another, whoever's they are.

use std::collections::{BTreeMap, BTreeSet};

use rimward_proto::AppId;

use super::before::Before;
use super::circles::{Graph, circles, way_round};
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::SourceId;
use crate::core::note::{Note, Position};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::core::status::name_some;

/// What dependencies are judged by.
pub(super) struct Depends<'a> {
    pub before: &'a Before,
    pub sources: &'a Sources,
}

impl Depends<'_> {
    /// Turns every wanted App that depends on what does not exist, or on itself in the end, into a kept one. True if any
    /// was turned.
    pub fn settle(
        &self,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> bool {
        let mut turned = false;
        for id in self.sources.good.keys() {
            let missing = self.named_by(id).find(|(on, _)| !exists(standings, on));
            if let Some(note) = missing.map(|(on, at)| self.missing(on, at)) {
                turned |= self.keep(id, note, standings, notes);
            }
        }
        // An App that is kept brings back what it waited for before, so circles are looked for again.
        while self.break_circles(standings, notes) {
            turned = true;
        }
        turned
    }

    /// What an App's file says it depends on, and where.
    fn named_by(&self, id: &AppId) -> impl Iterator<Item = (&AppId, &Position)> {
        self.sources.good.get(id).into_iter().flat_map(|(app, _)| &app.options.depends_on)
    }

    fn keep(
        &self,
        id: &AppId,
        note: Note,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> bool {
        let Some((app, _)) = self.sources.good.get(id) else { return false };
        let Some(standing @ Standing::Wanted(_)) = standings.get_mut(id) else { return false };
        notes.push((app.source.clone(), note.clone()));
        *standing = Standing::Kept(note);
        true
    }

    fn missing(&self, on: &AppId, at: &Position) -> Note {
        let of_tenant =
            |source: &&SourceId| matches!(source, SourceId::Tenant { tenant, .. } if *tenant == on.tenant);
        let unread = self.sources.unknown.iter().chain(self.sources.broken.keys()).find(of_tenant);
        let renamed = self.sources.former.get(on).and_then(|ids| ids.first());
        let (message, help) = match (renamed, unread) {
            (Some(to), _) => (format!("App {on} does not exist"), format!("it was renamed to {to}")),
            (None, Some(source)) => (
                format!("App {on} is not known: source {source} cannot be read as a whole"),
                "mend that source".to_owned(),
            ),
            (None, None) => (
                format!("App {on} does not exist"),
                "until it does, this App is not updated; or take it out of `dependsOn`".to_owned(),
            ),
        };
        Note::error(codes::UNKNOWN_DEPENDENCY, at.clone(), message).help(help)
    }

    fn break_circles(
        &self,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> bool {
        let graph = self.graph(standings);
        let mut turned = false;
        for circle in circles(&graph) {
            for id in &circle {
                turned |= self.keep(id, self.in_circle(id, &graph, &circle), standings, notes);
            }
        }
        turned
    }

    /// Whom each App will wait for on the clusters.
    fn graph(&self, standings: &BTreeMap<AppId, Standing>) -> Graph {
        let mut graph = Graph::new();
        for (id, standing) in standings {
            let before = || self.before.entries(id).flat_map(|(entry, _)| entry.depends_on.iter().cloned());
            let mut on: BTreeSet<AppId> = BTreeSet::new();
            match standing {
                Standing::Wanted(wanted) => {
                    on.extend(wanted.entry.depends_on.iter().cloned());
                    if !wanted.waiting.is_empty() {
                        on.extend(before());
                    }
                }
                Standing::Kept(_) => on.extend(before()),
                Standing::Removed { .. } => continue,
            }
            if !on.is_empty() {
                graph.insert(id.clone(), on);
            }
        }
        graph
    }

    fn in_circle(&self, id: &AppId, graph: &Graph, circle: &BTreeSet<AppId>) -> Note {
        let way = way_round(id, graph, circle);
        let message = match &way {
            Some(way) => {
                let way: Vec<String> = way.iter().map(ToString::to_string).collect();
                format!("Apps that wait for one another: {}", way.join(" → "))
            }
            None => format!("{} Apps wait for one another: {}", circle.len(), name_some(circle)),
        };
        let next = way.as_ref().and_then(|way| way.get(1));
        let mut named = self.named_by(id);
        let at = named.find(|(on, _)| next.map_or(circle.contains(on), |next| next == *on));
        let at = at.map(|(_, at)| at.clone()).unwrap_or_default();
        Note::error(codes::DEPENDENCY_CYCLE, at, message)
            .help("take one of these out of a `dependsOn`; until then none of them is updated")
    }

    /// Says where an App will wait for what is not on its cluster.
    pub fn elsewhere(
        &self,
        standings: &BTreeMap<AppId, Standing>,
        index: &ClusterIndex,
        notes: &mut Vec<(SourceId, Note)>,
    ) {
        for (id, standing) in standings {
            let (Standing::Wanted(wanted), Some((app, _))) = (standing, self.sources.good.get(id)) else {
                continue;
            };
            for (on, at) in self.named_by(id) {
                let alone = wanted.clusters.clone().minus(&self.clusters_of(on, standings, index));
                if alone.is_empty() {
                    continue;
                }
                let names = index.named(&alone);
                let message = format!(
                    "App {on} is not on {} of {id}'s clusters, so {id} waits there: {}",
                    names.len(),
                    name_some(names)
                );
                let note = Note::warning(codes::DEPENDENCY_ELSEWHERE, at.clone(), message)
                    .help("let both select the same clusters");
                notes.push((app.source.clone(), note));
            }
        }
    }

    fn clusters_of(
        &self,
        id: &AppId,
        standings: &BTreeMap<AppId, Standing>,
        index: &ClusterIndex,
    ) -> ClusterSet {
        match standings.get(id) {
            Some(Standing::Wanted(wanted)) => wanted.clusters.clone(),
            Some(Standing::Kept(_)) => self.before.holders(id, index),
            Some(Standing::Removed { .. }) | None => index.none(),
        }
    }
}

/// An App that is written somewhere, or that clusters keep, exists.
fn exists(standings: &BTreeMap<AppId, Standing>, id: &AppId) -> bool {
    matches!(standings.get(id), Some(Standing::Wanted(_) | Standing::Kept(_)))
}
