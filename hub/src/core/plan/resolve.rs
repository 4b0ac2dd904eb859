//! An App × its clusters → the forms it has, and which cluster gets which. A
//! cluster for which there is no form waits, with a reason, and keeps what it
//! has; the others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rimward_proto::Digest;

use super::cache::Counts;
use super::places::{Places, short};
use super::shapes::{Fresh, Made, Shapes};
use crate::core::changes::Scalar;
use crate::core::codes;
use crate::core::model::{App, Cluster, Policy, Tenant};
use crate::core::note::{Note, Notes, PER_APP, Severity};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::core::status::name_some;
use crate::render::plain::Rendered;
use crate::render::variables::{CLUSTER_LABELS, CLUSTER_NAME};
use crate::render::variant::Variant;

/// Variants of one App, which are renders of all its objects: regions times environments times sizes stay far below, and
/// what differs from cluster to cluster belongs into variables, which cost none.
pub const VARIANTS: usize = 1_000;

/// What becomes of an App on its clusters.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Its forms, in the order of their first cluster; no two are the same.
    pub forms: Vec<Form>,
    /// Clusters that have none.
    pub waits: Vec<Wait>,
    /// What is to be said of it besides.
    pub notes: Vec<Note>,
}

/// An App in one form.
#[derive(Debug)]
pub(super) struct Form {
    pub digest: Digest,
    pub bytes: u64,
    pub objects: u64,
    pub clusters: Places,
    /// How it is made again.
    pub variant: Arc<Variant>,
    pub values: Arc<[Scalar]>,
}

/// Clusters that keep what they have of an App, for one reason.
#[derive(Debug)]
pub(super) struct Wait {
    /// CamelCase.
    pub reason: &'static str,
    /// Why, whatever cluster it is.
    pub why: Note,
    /// Why, with the names of the clusters.
    pub note: Note,
    pub clusters: Places,
}

/// What an App is resolved from.
pub(super) struct Resolving<'a> {
    pub app: &'a App,
    pub rendered: &'a Rendered,
    pub clusters: &'a ClusterSet,
    pub index: &'a ClusterIndex,
    pub policy: &'a Policy,
    pub tenant: &'a Tenant,
}

/// Clusters to which the same overrides apply.
struct Group {
    overrides: Vec<u16>,
    positions: Vec<u32>,
}

/// A form whose clusters are still being gathered.
struct Draft {
    made: Made,
    variant: Arc<Variant>,
    values: Arc<[Scalar]>,
    positions: Vec<u32>,
}

#[derive(Default)]
struct Found {
    forms: Vec<Draft>,
    by_digest: HashMap<Digest, usize>,
    waits: BTreeMap<(Reason, Note), Vec<u32>>,
    notes: Vec<Note>,
}

/// Why a cluster has no form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Unset,
    Refused,
}

impl Resolving<'_> {
    /// Resolves it; an error stops the App on all its clusters.
    pub fn resolve(
        &self,
        shapes: &mut Shapes,
        fresh: &mut Fresh,
        counts: &mut Counts,
    ) -> Result<Resolved, Note> {
        shapes.begin(self.tenant);
        let groups = self.groups()?;
        let mut found = Found::default();
        for group in &groups {
            let shape = shapes.variant(&self.edited(group), self.app, self.rendered, self.tenant, counts);
            found.notes.extend(shape.variant.notes.iter().chain(shape.checked.iter()).cloned());
            if let Some(error) = shape.first_error() {
                found.wait(Reason::Refused, error.clone(), &group.positions);
                continue;
            }
            let variant = shape.variant.clone();
            if variant.reads.is_empty() {
                let made = shape.form(&Arc::default(), self.tenant, fresh, counts);
                found.add(made, &variant, &Arc::default(), &group.positions);
                continue;
            }
            for position in &group.positions {
                let only = std::slice::from_ref(position);
                match self.values(group, &variant.reads, *position) {
                    Ok(values) => {
                        let made = shape.form(&values, self.tenant, fresh, counts);
                        found.add(made, &variant, &values, only);
                    }
                    Err(unset) => found.wait(Reason::Unset, self.unset(unset), only),
                }
            }
        }
        shapes.end();
        Ok(self.finish(found))
    }

    /// The App's clusters by the overrides that apply to them, in the order of their first cluster. An App without a
    /// cluster has one group all the same: what is wrong with it is wrong without one.
    fn groups(&self) -> Result<Vec<Group>, Note> {
        let positions = self.clusters.iter().map(short).collect();
        let mut groups = vec![Group { overrides: Vec::new(), positions }];
        for (number, over) in (0_u16..).zip(&self.app.changes.overrides) {
            let picked = self.index.select(&over.clusters);
            for group in std::mem::take(&mut groups) {
                let (inside, outside): (Vec<u32>, Vec<u32>) =
                    group.positions.iter().partition(|position| picked.contains(**position as usize));
                if !inside.is_empty() {
                    let overrides = group.overrides.iter().copied().chain([number]).collect();
                    groups.push(Group { overrides, positions: inside });
                }
                if !outside.is_empty() || group.positions.is_empty() {
                    groups.push(Group { overrides: group.overrides, positions: outside });
                }
            }
        }
        groups.sort_by_key(|group| group.positions.first().copied());
        let variants: BTreeSet<Vec<u16>> = groups.iter().map(|group| self.edited(group)).collect();
        if variants.len() > VARIANTS {
            let message = format!(
                "{} has {} variants, it may have {VARIANTS}: so many combinations of its overrides' images and patches \
                 apply to its clusters",
                self.app.id,
                variants.len()
            );
            let note = Note::error(codes::VARIANTS, self.app.at.clone(), message);
            return Err(
                note.help("put what differs from cluster to cluster into variables, which make no variants")
            );
        }
        Ok(groups)
    }

    /// Those overrides of a group that change images or patches.
    fn edited(&self, group: &Group) -> Vec<u16> {
        let edits = |number: &&u16| !self.app.changes.overrides[usize::from(**number)].edits.is_empty();
        group.overrides.iter().filter(edits).copied().collect()
    }

    /// The values of what is read on a cluster, or the name that has none there.
    fn values<'r>(
        &self,
        group: &Group,
        reads: &'r [String],
        position: u32,
    ) -> Result<Arc<[Scalar]>, &'r str> {
        let cluster = &self.policy.clusters[&self.index.names()[position as usize]];
        let value = |name: &'r String| self.value(group, name, cluster).ok_or(name.as_str());
        reads.iter().map(value).collect()
    }

    /// The nearest value of a variable: the App's, over it the cluster's, over it each override's.
    fn value(&self, group: &Group, name: &str, cluster: &Cluster) -> Option<Scalar> {
        if name == CLUSTER_NAME {
            return Some(Scalar::Text(cluster.name.to_string()));
        }
        if let Some(label) = name.strip_prefix(CLUSTER_LABELS) {
            return cluster.labels.get(label).cloned().map(Scalar::Text);
        }
        let changes = &self.app.changes;
        let overrides = group.overrides.iter().rev().map(|number| &changes.overrides[usize::from(*number)]);
        let nearest = overrides.map(|over| &over.variables).chain([&cluster.variables]);
        let said = nearest.filter_map(|values| values.get(name)).next();
        said.cloned().unwrap_or_else(|| changes.variables.as_ref()?.get(name)?.value.clone())
    }

    fn unset(&self, name: &str) -> Note {
        let id = &self.app.id;
        if let Some(label) = name.strip_prefix(CLUSTER_LABELS) {
            let message = format!("{id} reads `{name}`, and the cluster has no label {label}");
            return Note::warning(codes::VARIABLE_UNSET, self.app.at.clone(), message)
                .help("give the cluster that label, or declare a variable of your own instead");
        }
        let declared = self.app.changes.variables.as_ref().and_then(|declared| declared.get(name));
        let at = declared.map(|variable| variable.at.clone()).unwrap_or_default();
        let message = format!("variable `{name}` of {id} has no value on the cluster");
        Note::warning(codes::VARIABLE_UNSET, at, message).help(format!(
            "write `variables: {{{name}: …}}` into the Cluster document, or give it a value in the App or in an override"
        ))
    }

    fn finish(&self, found: Found) -> Resolved {
        let forms = found.forms.into_iter().map(|Draft { made, variant, values, positions }| Form {
            digest: made.digest,
            bytes: made.bytes,
            objects: made.objects,
            clusters: Places::of(positions, self.index),
            variant,
            values,
        });
        let forms: Vec<Form> = forms.collect();
        let waits = found.waits.into_iter().map(|((reason, why), positions)| {
            let clusters = Places::of(positions, self.index);
            let names = name_some(clusters.iter().map(|position| &self.index.names()[position]));
            let note =
                Note::new(why.severity, &why.code, why.at.clone(), format!("{names}: {}", why.message));
            Wait { reason: reason.word(), note: note.help(&why.help), why, clusters }
        });
        let waits: Vec<Wait> = waits.collect();
        // What stops the App everywhere is said once; of what stops some clusters it is said which.
        let partly = |wait: &Wait| !forms.is_empty() || wait.why.severity != Severity::Error;
        let named: BTreeSet<&Note> = waits.iter().filter(|wait| partly(wait)).map(|wait| &wait.why).collect();
        let (mut said, mut notes) = (BTreeSet::new(), Notes::new(PER_APP));
        let alone = waits.iter().filter(|wait| !partly(wait)).map(|wait| &wait.why);
        for note in found.notes.iter().chain(alone).filter(|note| !named.contains(note)) {
            if said.insert(note) {
                notes.push(note.clone());
            }
        }
        notes.extend(waits.iter().filter(|wait| partly(wait)).map(|wait| wait.note.clone()));
        Resolved { notes: notes.into_vec(), forms, waits }
    }
}

impl Found {
    fn add(
        &mut self,
        made: &Result<Made, Note>,
        variant: &Arc<Variant>,
        values: &Arc<[Scalar]>,
        positions: &[u32],
    ) {
        let made = match made {
            Ok(made) => made,
            Err(note) => return self.wait(Reason::Refused, note.clone(), positions),
        };
        let next = self.forms.len();
        let at = *self.by_digest.entry(made.digest).or_insert(next);
        if at == next {
            let (variant, values) = (variant.clone(), values.clone());
            self.forms.push(Draft { made: made.clone(), variant, values, positions: Vec::new() });
        }
        self.forms[at].positions.extend(positions);
    }

    fn wait(&mut self, reason: Reason, why: Note, positions: &[u32]) {
        self.waits.entry((reason, why)).or_default().extend(positions);
    }
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Reason::Unset => "VariableUnset",
            Reason::Refused => "VariantRefused",
        }
    }
}

impl Resolved {
    /// Why it has no form at all, if what its files say is the reason.
    pub fn refused(&self) -> Option<&Note> {
        let error = self.waits.iter().map(|wait| &wait.why).find(|why| why.severity == Severity::Error);
        error.filter(|_| self.forms.is_empty())
    }

    /// The clusters that keep what they have.
    pub fn waiting(&self, index: &ClusterIndex) -> ClusterSet {
        let mut set = index.none();
        self.waits.iter().for_each(|wait| wait.clusters.add_to(&mut set));
        set
    }
}
