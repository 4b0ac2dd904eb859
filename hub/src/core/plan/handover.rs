//! Files that go from one App to another. Objects move with them in one plan,
//! and nothing is deleted; but only if the App they go to can have them. Until
//! then the App they come from stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::{AppId, ObjectKey, TenantName};

use super::PlanInputs;
use super::before::{Before, Owned};
use super::cache::RenderCache;
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::{App, SourceId};
use crate::core::note::{Note, Position};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::render::names::Names;
use crate::render::part::Part;

/// What files that move are judged by.
pub(super) struct Handover<'a> {
    pub inputs: &'a PlanInputs<'a>,
    pub index: &'a ClusterIndex,
    pub before: &'a Before,
    pub sources: &'a Sources,
}

/// Who cannot have what its files name: an App that is kept, or an App file that counts for none.
struct Asking<'a> {
    /// The App, or the file.
    name: String,
    id: Option<AppId>,
    source: &'a SourceId,
    root: &'a str,
    /// The clusters it asks for; none if that is not known.
    clusters: Option<ClusterSet>,
    names: Arc<Names>,
    why: Note,
}

/// Objects that an App would lose, and where. None: it is not known which.
type Lost = (Option<Vec<ObjectKey>>, ClusterSet);

impl Handover<'_> {
    /// Keeps every App with a wrong App file in a folder of its own: what is in that folder is no part of it any more,
    /// and nobody else's yet.
    pub fn below(
        &self,
        standings: &mut BTreeMap<AppId, Standing>,
        cache: &RenderCache,
        notes: &mut Vec<(SourceId, Note)>,
    ) {
        for (id, (app, _)) in &self.sources.good {
            let Some(note) = self.wrong_below(app, cache) else { continue };
            notes.push((app.source.clone(), note.clone()));
            if let Some(standing @ Standing::Wanted(_)) = standings.get_mut(id) {
                *standing = Standing::Kept(note);
            }
        }
    }

    fn wrong_below(&self, app: &App, cache: &RenderCache) -> Option<Note> {
        let (wrong, roots) = (self.sources.wrong.get(&app.source)?, cache.roots(&app.source)?);
        let part = Part::of(app);
        let (file, error) = wrong.iter().find(|(file, _)| part.cut_by(roots, Part::around(file).root))?;
        let message = format!("{file} is wrong and in a folder of {}, so {} stays as it is", app.id, app.id);
        let help = format!("mend {file} ({}: {}), or take it out", error.code, error.message);
        Some(Note::error(codes::WRONG_BELOW, error.at.clone(), message).help(help))
    }

    /// Turns wanted and removed Apps into kept ones where they would lose what another App of the tenant asks for and
    /// cannot have. True if any was turned.
    pub fn settle(
        &self,
        standings: &mut BTreeMap<AppId, Standing>,
        cache: &mut RenderCache,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> bool {
        let asked = |(id, standing): (&AppId, &Standing)| match standing {
            Standing::Kept(_) => self.sources.good.contains_key(id),
            Standing::Wanted(wanted) => !wanted.waiting.is_empty(),
            Standing::Removed { .. } => false,
        };
        if self.sources.wrong.is_empty() && !standings.iter().any(asked) {
            return false;
        }
        let mut losing = Vec::new();
        for (id, standing) in standings.iter() {
            let lost = self.lost(id, standing, cache);
            losing.extend((!lost.is_empty()).then(|| (id.clone(), lost)));
        }
        let tenants: BTreeSet<&TenantName> = losing.iter().map(|(id, _)| &id.tenant).collect();
        let asking = self.asking(standings, &tenants, cache);
        let mut turned = false;
        for (id, lost) in &losing {
            let Some(note) = self.waits(id, lost, standings, &asking, cache) else { continue };
            if let Some((app, _)) = self.sources.good.get(id) {
                notes.push((app.source.clone(), note.clone()));
            }
            standings.insert(id.clone(), Standing::Kept(note));
            turned = true;
        }
        turned
    }

    /// What an App has in force and would not have any more.
    fn lost(&self, id: &AppId, standing: &Standing, cache: &mut RenderCache) -> Vec<Lost> {
        let wanted = match standing {
            Standing::Wanted(wanted) => Some(wanted),
            Standing::Removed { .. } => None,
            Standing::Kept(_) => return Vec::new(),
        };
        let mut lost = Vec::new();
        for Owned { keys, clusters } in self.before.owned(id, self.index, cache, self.inputs.indexes) {
            let all = || keys.as_ref().map(|keys| keys.to_vec());
            let Some(wanted) = wanted else {
                lost.push((all(), clusters));
                continue;
            };
            let left = clusters.clone().minus(&wanted.clusters);
            if !left.is_empty() {
                lost.push((all(), left));
            }
            // Clusters that wait keep what they have.
            let (changed, new) = (clusters.and(&wanted.ready()), wanted.keys());
            if changed.is_empty() || keys.as_ref().zip(new).is_some_and(|(a, b)| a == b) {
                continue;
            }
            let has = |key: &ObjectKey| new.is_some_and(|new| new.binary_search(key).is_ok());
            let gone = all().map(|keys| keys.into_iter().filter(|key| !has(key)).collect());
            if gone.as_ref().is_none_or(|gone: &Vec<_>| !gone.is_empty()) {
                lost.push((gone, changed));
            }
        }
        lost
    }

    /// Everyone of these tenants who cannot have what its files name.
    fn asking<'s>(
        &'s self,
        standings: &BTreeMap<AppId, Standing>,
        tenants: &BTreeSet<&TenantName>,
        cache: &mut RenderCache,
    ) -> Vec<Asking<'s>> {
        let mut asking = Vec::new();
        for (id, (app, clusters)) in self.sources.good.iter().filter(|(id, _)| tenants.contains(&id.tenant)) {
            // Who waits on some clusters cannot have it there.
            let (clusters, why) = match standings.get(id) {
                Some(Standing::Kept(why)) => (clusters.clone(), why),
                Some(Standing::Wanted(wanted)) => match wanted.waits().next() {
                    Some(wait) if !wanted.waiting.is_empty() => (wanted.waiting.clone(), &wait.note),
                    _ => continue,
                },
                _ => continue,
            };
            asking.push(Asking {
                name: id.to_string(),
                id: Some(id.clone()),
                source: &app.source,
                root: &app.root,
                clusters: Some(clusters),
                names: cache.names(&app.source, Part::of(app), Some(app)),
                why: why.clone(),
            });
        }
        for (source, files) in &self.sources.wrong {
            let of =
                |id: &SourceId| matches!(id, SourceId::Tenant { tenant, .. } if tenants.contains(tenant));
            for (file, why) in files.iter().filter(|_| of(source)) {
                let part = Part::around(file);
                let stuck = self.sources.stuck.iter().find(|(_, (of, at, _))| of == source && at == file);
                let (name, names) = (file.clone(), cache.names(source, part, None));
                let (id, root) = (stuck.map(|(id, _)| id.clone()), part.root);
                asking.push(Asking { name, id, source, root, clusters: None, names, why: why.clone() });
            }
        }
        asking
    }

    /// Why an App cannot lose that yet.
    fn waits(
        &self,
        id: &AppId,
        lost: &[Lost],
        standings: &BTreeMap<AppId, Standing>,
        asking: &[Asking<'_>],
        cache: &RenderCache,
    ) -> Option<Note> {
        // Those who say that they were called so have rules of their own.
        let heirs = self.sources.former.get(id);
        let own = |other: &AppId| other == id || heirs.is_some_and(|heirs| heirs.contains(other));
        let other = |asking: &&Asking<'_>| {
            let tenant = matches!(asking.source, SourceId::Tenant { tenant, .. } if *tenant == id.tenant);
            tenant && !asking.id.as_ref().is_some_and(own)
        };
        for asking in asking.iter().filter(other) {
            let there =
                |set: &ClusterSet| asking.clusters.as_ref().is_none_or(|clusters| clusters.meets(set));
            let mut what = None;
            for (keys, _) in lost.iter().filter(|(_, set)| there(set)) {
                let named = keys.as_ref().map(|keys| keys.iter().find(|key| asking.names.has(key)));
                what = match named {
                    Some(Some(key)) => Some(key.to_string()),
                    None if !asking.names.is_empty() => Some("what it has".to_owned()),
                    _ if asking.names.unclear && self.may_take(id, asking, standings, cache) => {
                        Some("what it has".to_owned())
                    }
                    _ => continue,
                };
                break;
            }
            if let Some(what) = what {
                return Some(self.note(id, &what, asking, standings));
            }
        }
        None
    }

    /// True if files of which it is not known what they name are likely to be of this App: they are in its folders, or
    /// it is gone and they are of an App that nobody has yet.
    fn may_take(
        &self,
        id: &AppId,
        asking: &Asking<'_>,
        standings: &BTreeMap<AppId, Standing>,
        cache: &RenderCache,
    ) -> bool {
        if let Some(Standing::Removed { .. }) = standings.get(id) {
            return asking.id.as_ref().is_none_or(|id| self.before.entries(id).next().is_none());
        }
        let app = self.sources.good.get(id).map(|(app, _)| app).filter(|app| app.source == *asking.source);
        app.zip(cache.roots(asking.source))
            .is_some_and(|(app, roots)| Part::of(app).cut_by(roots, asking.root))
    }

    fn note(
        &self,
        id: &AppId,
        what: &str,
        asking: &Asking<'_>,
        standings: &BTreeMap<AppId, Standing>,
    ) -> Note {
        let origin = self.inputs.origins.get(id);
        let own = self.sources.good.get(id).map(|(app, _)| (&app.source, app.at.clone()));
        let own = own.or_else(|| Some((&origin?.source, Position::file(origin?.path.clone()))));
        // A place is one of the source that the note is about.
        let at = match own {
            Some((source, at)) if source != asking.source => at,
            _ => asking.why.at.clone(),
        };
        let (to, why) = (&asking.name, &asking.why);
        let message = format!("{id} stays as it is: {what} may be in {to} now, which cannot have it yet");
        let help = format!("mend {to} ({}: {})", why.code, why.message);
        match standings.get(id) {
            Some(Standing::Removed { .. }) => Note::warning(codes::HANDOVER, at, message).help(help),
            _ => Note::error(codes::HANDOVER, at, message).help(help),
        }
    }
}
