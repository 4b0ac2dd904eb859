//! What is not wanted any more: tombstones where an absence was read and parsed,
//! holds where someone must say so first, and patience everywhere else.

use std::collections::BTreeMap;

use rimward_proto::{AppId, ClusterName, Digest, canonical};
use serde_json::json;

use super::PlanInputs;
use super::before::Before;
use super::renames::{Renames, waits_for_rename};
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::{App, SourceId, Tenant};
use crate::core::note::{Note, Position};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::core::status::name_some;
use crate::core::world::HubHold;

/// The parts that decide what may go.
pub(super) struct Removal<'a> {
    pub inputs: &'a PlanInputs<'a>,
    pub index: &'a ClusterIndex,
    pub before: &'a Before,
    pub sources: &'a Sources,
    pub renames: &'a Renames<'a>,
}

/// Why an App that is in force is not in any source that was read.
enum Absence {
    /// Not known to be absent.
    Unclear(Note),
    /// Read and parsed: the commit that removed it.
    Removed { commit: String },
    /// Goes on under a new name.
    Renamed { to: AppId },
    /// Gone together with more than itself; waits for an approval as one.
    Together { reason: &'static str, subject: String, why: String },
}

/// Several Apps that would go together.
struct Proposal {
    why: String,
    apps: Vec<AppId>,
}

impl Removal<'_> {
    /// Decides about every App that is in force and not in `standings`.
    pub fn absent(&self, standings: &mut BTreeMap<AppId, Standing>) -> Vec<HubHold> {
        let mut together: BTreeMap<(&'static str, String), Proposal> = BTreeMap::new();
        let absent: Vec<&AppId> = self.before.apps().filter(|id| !standings.contains_key(id)).collect();
        for id in absent {
            match self.absence(id) {
                Absence::Unclear(note) => drop(standings.insert(id.clone(), Standing::Kept(note))),
                Absence::Removed { commit } => {
                    standings.insert(id.clone(), Standing::Removed { commit });
                }
                Absence::Renamed { to } => {
                    drop(standings.insert(id.clone(), self.renamed(id, &to, standings)))
                }
                Absence::Together { reason, subject, why } => {
                    let proposal = Proposal { why, apps: Vec::new() };
                    together.entry((reason, subject)).or_insert(proposal).apps.push(id.clone());
                }
            }
        }
        let mut holds = Vec::new();
        for ((reason, subject), proposal) in together {
            let hold = self.hold(reason, &subject, &proposal.apps, None, proposal.why);
            let approved = self.inputs.approvals.contains(&hold.digest);
            for id in proposal.apps {
                let standing = match approved {
                    true => Standing::Removed { commit: String::new() },
                    false => Standing::Kept(held(&hold, self.file_of(&id))),
                };
                standings.insert(id, standing);
            }
            holds.extend((!approved).then_some(hold));
        }
        holds
    }

    fn absence(&self, id: &AppId) -> Absence {
        let Some(tenant) = self.inputs.policy.tenants.get(&id.tenant) else {
            let subject = format!("tenant/{}", id.tenant);
            let why = format!("tenant {} has no document any more", id.tenant);
            return Absence::Together { reason: "TenantRemoved", subject, why };
        };
        let Some(origin) = self.inputs.origins.get(id) else {
            let message = format!("{id} is in no source, and it is not known which one it came from");
            let note = Note::warning(codes::UNKNOWN_SOURCE, Position::default(), message);
            return Absence::Unclear(
                note.help("add it to a source of its tenant; from there it can be removed"),
            );
        };
        let at = || Position::file(origin.path.clone());
        let of_tenant =
            |source: &&SourceId| matches!(source, SourceId::Tenant { tenant, .. } if *tenant == id.tenant);
        if let Some(source) = self.sources.unknown.iter().find(of_tenant) {
            let message = format!("{id} stays: source {source} was never read, and it may be there");
            let note = Note::warning(codes::UNKNOWN_SOURCE, at(), message);
            return Absence::Unclear(note.help(format!("see why: rimward describe source/{source}")));
        }
        if let Some((source, file)) = self.sources.broken.iter().find(|(source, _)| of_tenant(source)) {
            let message = format!("{id} stays: {file} of source {source} is not read, and it may be there");
            let note = Note::warning(codes::MAYBE_BROKEN, at(), message);
            return Absence::Unclear(note.help(format!("mend {file}, or take it out of the repository")));
        }
        // Its new name stands for it, so it is neither the last of its source nor gone with it.
        if let Some(to) = self.renames.claimants(id).next() {
            return Absence::Renamed { to: to.clone() };
        }
        let name = match &origin.source {
            SourceId::Tenant { source, .. } => source.as_str(),
            SourceId::Fleet => "",
        };
        if !tenant.sources.contains_key(name) {
            let why = format!("source {} is not in the tenant's document any more", origin.source);
            let subject = format!("source/{}", origin.source);
            return Absence::Together { reason: "SourceRemoved", subject, why };
        }
        if self.sources.empty.contains(&origin.source) {
            let why = format!("source {} has no App any more", origin.source);
            return Absence::Together {
                reason: "LastApp",
                subject: format!("source/{}", origin.source),
                why,
            };
        }
        if let Some(source) = self.behind(tenant, &origin.source) {
            let message = format!("{id} stays: source {source} was not looked at since, and it may be there");
            let note = Note::warning(codes::UNKNOWN_SOURCE, at(), message);
            return Absence::Unclear(note.help(format!("see why: rimward describe source/{source}")));
        }
        let commit = self.inputs.trees.get(&origin.source).map(|tree| tree.commit.clone());
        Absence::Removed { commit: commit.unwrap_or_default() }
    }

    /// A source of the tenant that was not looked at since `origin` is as it is: what went from the one may have come to
    /// the other.
    fn behind(&self, tenant: &Tenant, origin: &SourceId) -> Option<SourceId> {
        let looks = |id: &SourceId| self.inputs.looks.get(id).copied().unwrap_or_default();
        let changed = looks(origin).changed;
        let id = |name: &String| SourceId::Tenant { tenant: tenant.name.clone(), source: name.clone() };
        let mut others = tenant.sources.keys().map(id).filter(|id| id != origin);
        others.find(|id| looks(id).last <= changed)
    }

    fn renamed(&self, id: &AppId, to: &AppId, standings: &BTreeMap<AppId, Standing>) -> Standing {
        let (Some(Standing::Wanted(_)), Some((app, _))) = (standings.get(to), self.sources.good.get(to))
        else {
            return Standing::Kept(waits_for_rename(id, to, self.file_of(id)));
        };
        let tree = self.inputs.trees.get(&app.source);
        Standing::Removed { commit: tree.map(|tree| tree.commit.clone()).unwrap_or_default() }
    }

    /// Holds Apps whose newest form would leave them nowhere, or empty. What an App was called before counts as it.
    pub fn emptied(&self, standings: &mut BTreeMap<AppId, Standing>) -> Vec<HubHold> {
        let mut holds = Vec::new();
        for (id, standing) in standings.iter_mut() {
            let Standing::Wanted(wanted) = standing else { continue };
            let forms = &wanted.resolved.forms;
            let mut ids = vec![id.clone()];
            ids.extend(self.renames.former_in_force(id, self.before));
            let mut entries = ids.iter().flat_map(|id| self.before.entries(id)).peekable();
            let somewhere = entries.peek().is_some();
            let had_objects = entries.any(|(entry, _)| entry.objects > 0);
            let (reason, why) = if wanted.clusters.is_empty() && somewhere {
                ("LastCluster", format!("{id} selects no cluster any more"))
            } else if forms.iter().any(|form| form.objects == 0) && had_objects {
                ("LastObject", format!("{id} has no objects any more"))
            } else {
                continue;
            };
            // Of several forms the one that is empty, or else the first, names the change.
            let to = forms.iter().find(|form| form.objects == 0).or(forms.first()).map(|form| form.digest);
            let hold = self.hold(reason, &format!("app/{id}"), &ids, to, why);
            if !self.inputs.approvals.contains(&hold.digest) {
                *standing = Standing::Kept(held(&hold, self.file_of(id)));
                holds.push(hold);
            }
        }
        holds
    }

    /// Keeps Apps that would leave a cluster while a selector that they are under names one that there is not: whoever
    /// misspells a cluster's name does not mean to take everything from it.
    pub fn misnamed(&self, standings: &mut BTreeMap<AppId, Standing>, notes: &mut Vec<(SourceId, Note)>) {
        for (id, standing) in standings.iter_mut() {
            let (Standing::Wanted(wanted), Some((app, _))) = (&*standing, self.sources.good.get(id)) else {
                continue;
            };
            // To be nowhere any more is held as such.
            let left = self.before.holders(id, self.index).minus(&wanted.clusters);
            if left.is_empty() || wanted.clusters.is_empty() {
                continue;
            }
            let Some((name, at)) = self.unknown_name(app) else { continue };
            let names = name_some(self.index.named(&left));
            let message = format!(
                "{id} would leave {names}, and cluster {name}, named at {at}, has no document: it stays as it is"
            );
            let note = Note::error(codes::UNKNOWN_CLUSTER, app.clusters_at.clone(), message)
                .help("correct the name, or take it out, or write its Cluster document");
            notes.push((app.source.clone(), note.clone()));
            *standing = Standing::Kept(note);
        }
    }

    /// A cluster without a document that the App's selector or one of its bounds names, and where.
    fn unknown_name(&self, app: &App) -> Option<(ClusterName, String)> {
        let tenant = self.inputs.policy.tenants.get(&app.id.tenant)?;
        let SourceId::Tenant { source, .. } = &app.source else { return None };
        let spec = tenant.sources.get(source)?;
        let fleet = |at: &Position| format!("{at} of the fleet repo");
        let selectors = [
            (&app.clusters, app.clusters_at.to_string()),
            (&spec.clusters, fleet(&spec.at)),
            (&tenant.clusters, fleet(&tenant.clusters_at)),
        ];
        selectors.into_iter().find_map(|(selector, at)| {
            let mut names = selector.names.iter().flatten();
            let name = names.find(|name| self.index.position(name).is_none())?;
            Some((name.clone(), at))
        })
    }

    /// Apps that clusters have and no plan mentions: what is approved gets a tombstone, the rest is held. Returns the
    /// holds, and the clusters where each approved App goes.
    pub fn unaccounted(
        &self,
        standings: &BTreeMap<AppId, Standing>,
    ) -> (Vec<HubHold>, BTreeMap<AppId, ClusterSet>) {
        let mut found: BTreeMap<&AppId, ClusterSet> = BTreeMap::new();
        for (cluster, apps) in self.inputs.unaccounted {
            let Some(position) = self.index.position(cluster) else { continue };
            let Some(group) = self.before.group_of[position] else { continue };
            for id in apps {
                let wanted = matches!(standings.get(id), Some(Standing::Wanted(wanted)) if wanted.clusters.contains(position));
                let plan = self.before.groups[group].plan.as_ref();
                let planned = plan.is_some_and(|plan| {
                    plan.bundles.iter().any(|bundle| bundle.id() == *id)
                        || plan.removed.iter().any(|removed| removed.id() == *id)
                });
                if !wanted && !planned {
                    found.entry(id).or_insert_with(|| self.index.none()).insert(position);
                }
            }
        }
        let (mut holds, mut approved) = (Vec::new(), BTreeMap::new());
        for (id, clusters) in found {
            let names = self.index.named(&clusters);
            let change = json!({"reason": "Unaccounted", "app": id.to_string(), "clusters": names});
            let digest = Digest::of(&canonical::value_to_bytes(&change));
            if self.inputs.approvals.contains(&digest) {
                approved.insert(id.clone(), clusters);
                continue;
            }
            let message =
                format!("{id} is on {} clusters, and no source or tombstone accounts for it", names.len());
            let reason = "Unaccounted".to_owned();
            holds.push(HubHold { digest, reason, apps: vec![id.clone()], clusters: names, message });
        }
        (holds, approved)
    }

    /// The hold of a change that takes `apps` from where they are. Its digest covers the exact entries that would go,
    /// so that an approval is good for this change and not for a later one like it.
    fn hold(
        &self,
        reason: &'static str,
        subject: &str,
        apps: &[AppId],
        to: Option<Digest>,
        why: String,
    ) -> HubHold {
        let mut all = self.index.none();
        let mut removes = Vec::new();
        for id in apps {
            let mut forms: BTreeMap<(Digest, &str), Vec<usize>> = BTreeMap::new();
            for (entry, clusters) in self.before.entries(id) {
                forms.entry((entry.digest, &entry.commit)).or_default().extend(clusters.iter());
                clusters.add_to(&mut all);
            }
            for ((bundle, commit), mut clusters) in forms {
                clusters.sort_unstable();
                let clusters: Vec<_> =
                    clusters.iter().map(|position| &self.index.names()[*position]).collect();
                let form =
                    json!({"app": id.to_string(), "bundle": bundle, "commit": commit, "clusters": clusters});
                removes.push(form);
            }
        }
        let change = json!({"reason": reason, "subject": subject, "removes": removes, "to": to});
        let clusters = self.index.named(&all);
        HubHold {
            digest: Digest::of(&canonical::value_to_bytes(&change)),
            reason: reason.to_owned(),
            apps: apps.to_vec(),
            message: format!("{why}: {} Apps would go from {} clusters", apps.len(), clusters.len()),
            clusters,
        }
    }

    fn file_of(&self, id: &AppId) -> Position {
        let good = self.sources.good.get(id).map(|(app, _)| app.at.clone());
        let origin = || Some(Position::file(self.inputs.origins.get(id)?.path.clone()));
        good.or_else(origin).unwrap_or_default()
    }
}

fn held(hold: &HubHold, at: Position) -> Note {
    let help = format!("to let it happen: rimward approve {}", hold.digest);
    Note::warning(codes::HELD, at, format!("{}: {}", hold.reason, hold.message)).help(help)
}
