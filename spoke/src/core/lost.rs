//! What has to be known of a ledger that was lost, and what an object says by
//! its labels of whose it is. The search itself is next door.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rimward_proto::object::{APP_LABEL, TENANT_LABEL};
use rimward_proto::report::{AppReport, ObjectReport, State as Status};
use rimward_proto::{AppId, AppName, ObjectKey, TenantName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::health::Judge;
use super::observed::{Observed, is_ours};
use super::state::{Active, State};

/// The manager that the server makes for fields which nobody owned: they may have been ours.
const NOBODY: &str = "before-first-apply";

/// Why something is told of that a lost ledger would have known.
const LEDGER_LOST: &str = "LedgerLost";
/// Of an object that nothing but its labels speaks of.
const LEFT_OVER: &str = "found by its labels after the ledger was lost; it is not pruned";

/// What has to be known of a lost ledger across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// Where objects of ours may be, by the plans that were in force since.
    pub scopes: BTreeSet<Scope>,
}

/// Where a tenant's objects may be, and who can see them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// The tenant.
    pub tenant: TenantName,
    /// `namespace/name` of the account that its Apps use.
    pub service_account: String,
    /// Its namespaces: exact names, or globs with a trailing `*`.
    pub namespaces: Vec<String>,
    /// The cluster-scoped kinds that it may have.
    pub allow: Vec<String>,
}

/// An object with our labels, as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Its metadata.
    pub observed: Observed,
    /// Somebody else put the labels there: a controller copies those of what it works for.
    pub copied: bool,
}

impl Labelled {
    /// From an object or its metadata; none without name or UID.
    pub fn from_object(group: &str, kind: &str, object: &Value) -> Option<Self> {
        let observed = Observed::from_object(&Judge::default(), group, kind, object)?;
        let copied = observed.fingerprint.ours.is_none() && is_labelled_by_others(object);
        Some(Self { observed, copied })
    }

    /// Whose it is by its labels, unless they were copied or a controller made it.
    pub(crate) fn owner(&self) -> Option<AppId> {
        let Observed { tenant, app, controlled, .. } = &self.observed;
        if self.copied || *controlled && !self.observed.is_marked_ours() {
            return None;
        }
        let (tenant, app) = (TenantName::new(tenant.clone()?).ok()?, AppName::new(app.clone()?).ok()?);
        Some(AppId { tenant, app })
    }
}

fn is_labelled_by_others(object: &Value) -> bool {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let labels = |entry: &Value| {
        let set = entry.pointer("/fieldsV1/f:metadata/f:labels");
        let sets = |label: &str| set.is_some_and(|set| set.get(format!("f:{label}")).is_some());
        sets(TENANT_LABEL) || sets(APP_LABEL)
    };
    let theirs = |entry: &&Value| !is_ours(entry) && entry["manager"] != NOBODY && labels(entry);
    entries.into_iter().flatten().any(|entry| theirs(&entry))
}

/// An object that nothing but its labels speaks of, as it is told.
pub(crate) fn left_over(key: &ObjectKey) -> ObjectReport {
    ObjectReport {
        key: key.clone(),
        reason: LEDGER_LOST.to_owned(),
        message: LEFT_OVER.to_owned(),
        managers: Vec::new(),
        fields: Vec::new(),
        listed: None,
    }
}

impl State {
    /// There should be a ledger and there is none.
    pub(crate) fn ledger_is_lost(&mut self, now: Timestamp) {
        self.ledger.lost = Some(Lost::default());
        self.ledger_writer.change();
        let message = "there should be a ledger, and it is missing or damaged; what the plan wants is adopted, the rest is looked for by \
                       its labels, and nothing of that is pruned without an approval";
        self.outbox.event("LedgerLost", message.to_owned(), None, None, now);
    }

    /// The account of a tenant was seen to. One that a spoke has made before, where this one never had a ledger, says that
    /// there was another, in an installation that is gone.
    pub(crate) fn account_seen(&mut self, account: &str, was_there: bool, now: Timestamp) {
        let Some(seen) = &mut self.first_seen else { return };
        if !seen.insert(account.to_owned()) || !was_there {
            return;
        }
        self.first_seen = None;
        self.ledger_is_lost(now);
        let bundles = self.active.as_ref().map(|active| active.bundles.clone()).unwrap_or_default();
        self.widen_search(&bundles);
    }

    /// A tombstone that is not said to be done, because nobody knows what is left of its App.
    pub(crate) fn unknown_report(&self, active: &Active, app: &AppId) -> Option<AppReport> {
        let removed = active.plan.removed.iter().any(|removed| removed.id() == *app);
        let unknown = removed && !self.is_known_whole(&app.tenant);
        unknown.then(|| AppReport {
            id: app.clone(),
            bundle: None,
            state: Status::Waiting,
            reason: LEDGER_LOST.to_owned(),
            message: format!("what is left of it is not known: {}", self.why_unknown(&app.tenant)),
            objects: 0,
            ready: 0,
            exceptions: Vec::new(),
            taken: Vec::new(),
        })
    }
}
