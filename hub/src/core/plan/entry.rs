//! What a plan says of an App besides its objects: whose it is, and how it is
//! run. Defaults are overridden, the nearest wins; ceilings intersect, and what
//! comes out is never wider than any of them.

use std::collections::BTreeSet;

use rimward_proto::object::TENANTS_NAMESPACE;
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, PlanBundle, Takeover};

use crate::core::codes;
use crate::core::files::{DEFAULT_MAX_PER_PLAN, DRIFT_MODES, TAKEOVERS, listed, word};
use crate::core::model::{App, Ceiling, DeletionPolicy, Fleet, Policy, Tenant};
use crate::core::note::Note;

/// An App's entry, without its bundle.
pub(super) fn entry(policy: &Policy, tenant: &Tenant, app: &App, commit: String) -> PlanBundle {
    let own = tenant.service_account.clone();
    let (options, defaults) = (&app.options, &policy.fleet.defaults);
    let ignore = options.ignore.as_ref().unwrap_or(&defaults.drift.ignore);
    let cel = options.health_cel.as_ref().unwrap_or(&defaults.health.cel);
    let timeout_seconds = options.health_timeout_seconds.unwrap_or(defaults.health.timeout_seconds);
    PlanBundle {
        tenant: app.id.tenant.clone(),
        app: app.id.app.clone(),
        digest: rimward_proto::Digest::of(b""),
        bytes: 0,
        objects: 0,
        commit,
        role: own.is_none().then(|| tenant.role.clone()),
        service_account: own.unwrap_or_else(|| format!("{TENANTS_NAMESPACE}/{}", tenant.name)),
        namespaces: tenant.namespaces.clone(),
        allow: tenant.allow.clone(),
        deny: tenant.deny.clone(),
        depends_on: options.depends_on.keys().cloned().collect(),
        drift: Drift {
            mode: options.drift.unwrap_or_else(|| default_drift(&policy.fleet, tenant)),
            ignore: ignore.clone(),
        },
        takeover: options.takeover.unwrap_or_else(|| default_takeover(&policy.fleet, tenant)),
        health: Health { timeout_seconds, cel: cel.clone() },
        deletion: deletion(policy, Some(tenant), Some(&options.deletion)),
        formerly: options.formerly.keys().cloned().collect(),
    }
}

/// The fleet's default where the tenant may have it. Else the first that it may have: to revert writes and to look away
/// hides, so none is the careful one in every case, and the order in which the platform team wrote them decides.
fn default_drift(fleet: &Fleet, tenant: &Tenant) -> DriftMode {
    let (default, allowed) = (fleet.defaults.drift.mode, &tenant.limits.drift.allowed);
    if allowed.contains(&default) { default } else { allowed.first().copied().unwrap_or(default) }
}

/// The fleet's default where the tenant may have it. Else the most careful that it may have, in whatever order they are
/// written: nothing is taken over because of the order of a list.
fn default_takeover(fleet: &Fleet, tenant: &Tenant) -> Takeover {
    let (default, allowed) = (fleet.defaults.takeover, &tenant.limits.takeover.allowed);
    let careful = TAKEOVERS.iter().map(|(_, takeover)| *takeover).find(|takeover| allowed.contains(takeover));
    if allowed.contains(&default) { default } else { careful.unwrap_or(default) }
}

/// Warnings about defaults that an App would have, and its tenant may not.
pub(super) fn defaults_beyond_limits(policy: &Policy, tenant: &Tenant, app: &App) -> Vec<Note> {
    let (fleet, limits) = (&policy.fleet, &tenant.limits);
    let mut notes = Vec::new();
    if app.options.drift.is_none() && !limits.drift.allowed.contains(&fleet.defaults.drift.mode) {
        let (default, instead) = (fleet.defaults.drift.mode, default_drift(fleet, tenant));
        let words = [word(&DRIFT_MODES, &default), word(&DRIFT_MODES, &instead)];
        notes.push(beyond(
            tenant,
            "drift",
            &limits.drift,
            &listed(&DRIFT_MODES, &limits.drift.allowed),
            words,
        ));
    }
    if app.options.takeover.is_none() && !limits.takeover.allowed.contains(&fleet.defaults.takeover) {
        let (default, instead) = (fleet.defaults.takeover, default_takeover(fleet, tenant));
        let words = [word(&TAKEOVERS, &default), word(&TAKEOVERS, &instead)];
        let list = listed(&TAKEOVERS, &limits.takeover.allowed);
        notes.push(beyond(tenant, "takeover", &limits.takeover, &list, words));
    }
    notes
}

fn beyond<T>(tenant: &Tenant, field: &str, limit: &Ceiling<T>, list: &str, words: [&str; 2]) -> Note {
    let [default, instead] = words;
    let message = format!(
        "the fleet's default {field} `{default}` is outside limits.{field} {list} of tenant {}: its Apps that do \
         not say get `{instead}`",
        tenant.name
    );
    Note::warning(codes::BEYOND_LIMIT, limit.at.clone(), message)
        .help("widen the limit, or write the value into the Apps")
}

/// The delete budget: the fleet's, narrowed by the tenant, narrowed by the App.
pub(super) fn deletion(policy: &Policy, tenant: Option<&Tenant>, app: Option<&DeletionPolicy>) -> Deletion {
    let fleet = Deletion {
        max_per_plan: policy.fleet.deletion.max_per_plan.unwrap_or(DEFAULT_MAX_PER_PLAN),
        protect: policy.fleet.deletion.protect.clone().unwrap_or_default(),
    };
    let own = tenant.map(|tenant| &tenant.limits.deletion);
    own.into_iter().chain(app).fold(fleet, |wide, policy| {
        let max_per_plan = policy.max_per_plan.unwrap_or(wide.max_per_plan);
        narrowed(&wide, &Deletion { max_per_plan, protect: policy.protect.clone().unwrap_or_default() })
    })
}

/// What both allow: the smaller number, and every kind that either protects.
pub(super) fn narrowed(a: &Deletion, b: &Deletion) -> Deletion {
    let protect: BTreeSet<&String> = a.protect.iter().chain(&b.protect).collect();
    Deletion {
        max_per_plan: a.max_per_plan.min(b.max_per_plan),
        protect: protect.into_iter().cloned().collect(),
    }
}
