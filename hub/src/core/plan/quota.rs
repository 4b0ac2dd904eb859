//! How much a tenant's Apps may be together on one cluster. A quota takes nothing
//! away: it only stops what grows, first what is new, so that what is there goes
//! on; and what it stopped once it stops again, as long as nothing else changes.

use std::collections::BTreeMap;

use rimward_proto::AppId;
use rimward_proto::plan::PlanBundle;

use super::PlanInputs;
use super::before::Before;
use super::places::Places;
use super::resolve::Form;
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::{Quota, SourceId, Tenant};
use crate::core::note::Note;
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::core::status::name_some;

/// Objects, and bytes of their canonical JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    objects: u64,
    bytes: u64,
}

impl Amount {
    fn of(entry: &PlanBundle) -> Self {
        Self { objects: entry.objects, bytes: entry.bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_add(other.objects),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_sub(other.objects),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn larger(self, other: Self) -> Self {
        Self { objects: self.objects.max(other.objects), bytes: self.bytes.max(other.bytes) }
    }

    /// True if it is more than `other` in any way.
    fn beyond(self, other: Self) -> bool {
        self.objects > other.objects || self.bytes > other.bytes
    }
}

/// One App of the tenant.
struct Part<'a> {
    id: &'a AppId,
    /// What it would be, and where.
    wants: Vec<(Amount, &'a Places)>,
    /// Where it stays as it is; none: everywhere that it does not go to.
    stays: Option<&'a ClusterSet>,
    /// What it is now, by cluster.
    has: Vec<(Amount, &'a Places)>,
}

/// Keeps wanted Apps as they are where they would grow beyond their tenant's quota. True if any was.
pub(super) fn settle(
    inputs: &PlanInputs<'_>,
    (index, before, sources): (&ClusterIndex, &Before, &Sources),
    standings: &mut BTreeMap<AppId, Standing>,
    notes: &mut Vec<(SourceId, Note)>,
) -> bool {
    let (mut turned, none) = (false, index.none());
    for tenant in inputs.policy.tenants.values() {
        let Some(quota) = &tenant.quota else { continue };
        let most =
            Amount { objects: quota.objects.unwrap_or(u64::MAX), bytes: quota.bytes.unwrap_or(u64::MAX) };
        let stopped = stopped(&parts(tenant, before, standings, &none), most, index);
        for (id, (on, amount)) in stopped {
            let Some((app, _)) = sources.good.get(&id) else { continue };
            let Some(standing) = standings.get_mut(&id) else { continue };
            let note = note(tenant, quota, (&id, app.at.clone()), amount, name_some(index.named(&on)));
            standing.stay(&on, "Quota", &note, index);
            notes.push((app.source.clone(), note));
            turned = true;
        }
    }
    turned
}

fn parts<'a>(
    tenant: &Tenant,
    before: &'a Before,
    standings: &'a BTreeMap<AppId, Standing>,
    none: &'a ClusterSet,
) -> Vec<Part<'a>> {
    let of_tenant = standings.iter().filter(|(id, _)| id.tenant == tenant.name);
    let part = |(id, standing): (&'a AppId, &'a Standing)| {
        let has = before.entries(id).map(|(entry, clusters)| (Amount::of(entry), clusters)).collect();
        match standing {
            Standing::Wanted(wanted) => {
                let forms = wanted.resolved.forms.iter();
                let amount = |form: &Form| Amount { objects: form.objects, bytes: form.bytes };
                let wants = forms.map(|form| (amount(form), &form.clusters)).collect();
                Part { id, wants, stays: Some(&wanted.waiting), has }
            }
            Standing::Kept(_) => Part { id, wants: Vec::new(), stays: None, has },
            Standing::Removed { .. } => Part { id, wants: Vec::new(), stays: Some(none), has },
        }
    };
    of_tenant.map(part).collect()
}

/// The Apps that must not grow, each with the clusters where, and what there would be on the first of them.
fn stopped(parts: &[Part<'_>], most: Amount, index: &ClusterIndex) -> BTreeMap<AppId, (ClusterSet, Amount)> {
    let at_most = |part: &Part<'_>| {
        let all = part.has.iter().chain(&part.wants).map(|(amount, _)| *amount);
        all.fold(Amount::default(), Amount::larger)
    };
    let mut stopped: BTreeMap<AppId, (ClusterSet, Amount)> = BTreeMap::new();
    // No cluster has more than all Apps in their largest form.
    if !parts.iter().map(at_most).fold(Amount::default(), Amount::plus).beyond(most) {
        return stopped;
    }
    let size = index.names().len();
    let now: Vec<Vec<Amount>> = parts.iter().map(|part| by_cluster(&part.has, size)).collect();
    let then: Vec<Vec<Amount>> = parts.iter().map(|part| by_cluster(&part.wants, size)).collect();
    let wants = |number: usize, position: usize| match parts[number].stays {
        Some(stays) if !stays.contains(position) => then[number][position],
        _ => now[number][position],
    };
    // What is there, with all that gets smaller or stays, and without what leaves.
    let mut total = vec![Amount::default(); size];
    let mut growing = Vec::new();
    for (number, now) in now.iter().enumerate() {
        for (position, total) in total.iter_mut().enumerate() {
            let (has, wants) = (now[position], wants(number, position));
            if wants.beyond(has) {
                growing.push((position, has != Amount::default(), number));
                *total = total.plus(has);
            } else {
                *total = total.plus(wants);
            }
        }
    }
    // What is there already goes before what is new; then by name, which is the order of the parts.
    growing.sort_by_key(|(position, there, number)| (*position, !there, *number));
    for (position, _, number) in growing {
        let (part, has) = (&parts[number], now[number][position]);
        let grown = total[position].less(has).plus(wants(number, position));
        if grown.beyond(most) {
            let first = || (index.none(), grown);
            stopped.entry(part.id.clone()).or_insert_with(first).0.insert(position);
        } else {
            total[position] = grown;
        }
    }
    stopped
}

/// Amounts by the clusters they are for.
fn by_cluster(amounts: &[(Amount, &Places)], size: usize) -> Vec<Amount> {
    let mut by_cluster = vec![Amount::default(); size];
    for (amount, clusters) in amounts {
        clusters.iter().for_each(|position| by_cluster[position] = *amount);
    }
    by_cluster
}

fn note(
    tenant: &Tenant,
    quota: &Quota,
    (id, at): (&AppId, crate::core::note::Position),
    amount: Amount,
    on: String,
) -> Note {
    let over = |what: &str, found: u64, most: Option<u64>| {
        let most = most.filter(|most| found > *most)?;
        Some(format!("{found} {what}, the quota is {most}"))
    };
    let objects = over("objects", amount.objects, quota.objects);
    let bytes = over("bytes", amount.bytes, quota.bytes);
    let what: Vec<String> = objects.into_iter().chain(bytes).collect();
    let message = format!(
        "with {id} as it is now, tenant {} would have {} ({} of the fleet repo) on {on}",
        tenant.name,
        what.join(" and "),
        quota.at
    );
    Note::error(codes::QUOTA, at, message)
        .help("make Apps of the tenant smaller, or ask the platform team; until then it stays as it is there")
}
