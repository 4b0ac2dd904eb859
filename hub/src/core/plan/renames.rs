//! Apps that go on under a new name. The new one takes over what the old one
//! has, so nothing is deleted for the rename; and until the new one can be there,
//! the old one stays. An App is never in a plan together with an entry that says
//! it was called so.

use std::collections::BTreeMap;

use rimward_proto::AppId;

use super::before::Before;
use super::places::Places;
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::SourceId;
use crate::core::note::{Note, Position};

/// What the sources say of former names.
pub(super) struct Renames<'a> {
    pub sources: &'a Sources,
}

impl Renames<'_> {
    /// The Apps, right or wrong, that say they were called so.
    pub fn claimants(&self, former: &AppId) -> impl Iterator<Item = &AppId> {
        self.sources.former.get(former).into_iter().flatten()
    }

    /// The former names of an App whose file is right, as far as they are in force.
    pub fn former_in_force(&self, id: &AppId, before: &Before) -> Vec<AppId> {
        let names = self.sources.good.get(id).into_iter().flat_map(|(app, _)| app.options.formerly.keys());
        let ids = names.map(|name| AppId { tenant: id.tenant.clone(), app: name.clone() });
        ids.filter(|id| before.entries(id).next().is_some()).collect()
    }

    /// Keeps every App with a former name that cannot be its own: an App that is there has it, or another App says it
    /// was called so.
    pub fn refuse(&self, standings: &mut BTreeMap<AppId, Standing>, notes: &mut Vec<(SourceId, Note)>) {
        for former in self.sources.former.keys() {
            let place = self.place(former);
            for id in self.claimants(former) {
                let why = match (&place, self.claimants(former).find(|other| *other != id)) {
                    (Some(place), _) => format!("App {former} is still there, at {place}"),
                    (None, Some(other)) => format!("App {other} says too that it was called {}", former.app),
                    (None, None) => continue,
                };
                let help = "take the name out of `formerly`; until then the App is not updated";
                self.keep(id, former, &why, help, standings, notes);
            }
        }
    }

    /// Where an App is written, if it is.
    fn place(&self, id: &AppId) -> Option<String> {
        let good = self.sources.good.get(id).map(|(app, _)| format!("{} of source {}", app.at, app.source));
        let stuck =
            || self.sources.stuck.get(id).map(|(source, file, _)| format!("{file} of source {source}"));
        good.or_else(stuck)
    }

    /// Turns wanted and removed Apps into kept ones where a rename is not whole. True if any was turned.
    pub fn settle(
        &self,
        before: &Before,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> bool {
        let mut turned = false;
        for (former, claimants) in &self.sources.former {
            // A rename is made everywhere or nowhere.
            for id in claimants {
                let Some(Standing::Wanted(wanted)) = standings.get(id) else { continue };
                let mut there = before.entries(former).map(|(_, clusters)| clusters);
                let Some(wait) = wanted.waits().next() else { continue };
                if !there.any(|clusters| clusters.meets(&wanted.waiting)) {
                    continue;
                }
                let (reason, help) = (&wait.note.message, wait.note.help.clone());
                let why = format!("{id} takes the place of {former} on all clusters or on none: {reason}");
                self.keep(id, former, &why, &help, standings, notes);
                turned = true;
            }
            let waiting = claimants.iter().find(|id| !is_wanted(standings, id));
            match (standings.get(former), waiting) {
                (Some(Standing::Removed { .. }), Some(to)) => {
                    let note = waits_for_rename(former, to, Position::default());
                    standings.insert(former.clone(), Standing::Kept(note));
                    turned = true;
                }
                (Some(Standing::Kept(note)), None) => {
                    let why = format!("App {former} cannot go yet: {}", note.message);
                    let help = note.help.clone();
                    for id in claimants {
                        self.keep(id, former, &why, &help, standings, notes);
                    }
                    turned = true;
                }
                _ => {}
            }
        }
        self.keep_namesakes(before, standings, notes) || turned
    }

    /// An App that cannot be updated may be in force with a former name that a new App has taken up since: the new one
    /// would be handed over to it.
    fn keep_namesakes(
        &self,
        before: &Before,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> bool {
        let mut taken = Vec::new();
        for (id, standing) in standings.iter() {
            let kept = |clusters: &Places| match standing {
                Standing::Kept(_) => true,
                Standing::Wanted(wanted) => clusters.meets(&wanted.waiting),
                Standing::Removed { .. } => false,
            };
            for (entry, _) in before.entries(id).filter(|(_, clusters)| kept(clusters)) {
                let names = entry.formerly.iter();
                taken.extend(
                    names.map(|name| (AppId { tenant: id.tenant.clone(), app: name.clone() }, id.clone())),
                );
            }
        }
        taken.retain(|(former, _)| is_wanted(standings, former));
        for (former, holder) in &taken {
            let at = self.sources.good.get(former).map(|(app, _)| app.at.clone()).unwrap_or_default();
            let message =
                format!("App {holder}, which cannot be updated, is in force as formerly {}", former.app);
            let note = Note::error(codes::FORMER_NAME, at, message).help(format!("mend {holder} first"));
            self.insert(former, note, standings, notes);
        }
        !taken.is_empty()
    }

    fn keep(
        &self,
        id: &AppId,
        former: &AppId,
        why: &str,
        help: &str,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) {
        let app = self.sources.good.get(id).map(|(app, _)| app);
        let at = app.and_then(|app| app.options.formerly.get(&former.app)).cloned().unwrap_or_default();
        self.insert(id, Note::error(codes::FORMER_NAME, at, why).help(help), standings, notes);
    }

    fn insert(
        &self,
        id: &AppId,
        note: Note,
        standings: &mut BTreeMap<AppId, Standing>,
        notes: &mut Vec<(SourceId, Note)>,
    ) {
        let Some((app, _)) = self.sources.good.get(id) else { return };
        notes.push((app.source.clone(), note.clone()));
        if let Some(standing @ Standing::Wanted(_)) = standings.get_mut(id) {
            *standing = Standing::Kept(note);
        }
    }
}

fn is_wanted(standings: &BTreeMap<AppId, Standing>, id: &AppId) -> bool {
    matches!(standings.get(id), Some(Standing::Wanted(_)))
}

/// Why an App that is gone from its source stays: the one that it becomes cannot be there yet.
pub(super) fn waits_for_rename(former: &AppId, to: &AppId, at: Position) -> Note {
    let message = format!("{former} stays until {to}, which was called so, can take its place");
    Note::warning(codes::FORMER_NAME, at, message).help(format!("see what keeps {to}"))
}
