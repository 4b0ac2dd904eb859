//! Which Apps wait for which (`dependsOn`): new content of an App is applied
//! only once everything it depends on is applied and healthy, as of the plan in
//! force. What is applied already is kept as it is meanwhile: a dependency that
//! falls ill stops no repair.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::{AppId, ObjectKey};

use super::managed::{ActiveBundle, Managed, Problem};
use super::state::State;

/// The reason of what waits.
pub(crate) const DEPENDS_ON: &str = "DependsOn";

/// An App that others depend on.
#[derive(Debug, Clone, Default)]
struct Need {
    ready: bool,
    stale: bool,
    /// An object that was not ready when last looked: while it is not, nothing else has to be looked at.
    witness: Option<ObjectKey>,
}

/// All Apps that others depend on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs(BTreeMap<AppId, Need>);

impl Needs {
    /// What `bundle` waits for, if it does.
    pub fn unmet<'a>(&self, bundle: &'a ActiveBundle) -> Option<&'a AppId> {
        let is_unmet = |app: &&AppId| !self.0.get(*app).is_some_and(|need| need.ready);
        bundle.plan.depends_on.iter().find(is_unmet)
    }

    /// Something about this App changed.
    pub fn mark(&mut self, app: &AppId) {
        if let Some(need) = self.0.get_mut(app) {
            need.stale = true;
        }
    }
}

/// The status of an object whose App waits.
pub(crate) fn waiting(app: &AppId) -> Problem {
    Problem::passing(DEPENDS_ON, format!("waits for App {app} to be ready"))
}

/// True if an object is about to get content that it did not have.
pub(crate) fn is_new(managed: &Managed) -> bool {
    let (base, want) = (managed.base.as_ref(), managed.want.as_ref());
    base.map(|base| base.digest) != want.map(|want| want.digest)
}

impl State {
    /// Takes up what the plan in force says of dependencies.
    pub(crate) fn plan_needs(&mut self) {
        let bundles = self.active.iter().flat_map(|active| active.bundles.values());
        let needed: BTreeSet<AppId> = bundles.flat_map(|bundle| bundle.plan.depends_on.clone()).collect();
        let stale = Need { stale: true, ..Need::default() };
        self.needs = Needs(needed.into_iter().map(|app| (app, stale.clone())).collect());
    }

    /// Looks again at the Apps that others depend on and that changed; lets go what waited for one that is ready now.
    pub(crate) fn advance_needs(&mut self, now: Timestamp) {
        let stale = self.needs.0.iter().filter(|(_, need)| need.stale);
        let stale: Vec<(AppId, Option<ObjectKey>)> =
            stale.map(|(app, need)| (app.clone(), need.witness.clone())).collect();
        let mut news = false;
        for (app, witness) in stale {
            let witness = self.unready(&app, witness, now);
            let ready = witness == Some(None);
            if let Some(need) = self.needs.0.get_mut(&app) {
                news |= ready && !need.ready;
                (need.stale, need.ready, need.witness) = (false, ready, witness.flatten());
            }
        }
        if news {
            self.kick_problems(&[DEPENDS_ON], now);
        }
    }

    /// The first object of an App that is not ready; none at all if the App is not there or not whole.
    fn unready(&self, app: &AppId, hint: Option<ObjectKey>, now: Timestamp) -> Option<Option<ObjectKey>> {
        let active = self.active.as_ref()?;
        let bundle = active.bundles.get(app)?;
        let index = bundle.index.as_ref()?;
        let is_unready = |key: &ObjectKey| !self.is_object_ready(active, bundle, key, now);
        let is_theirs = |key: &ObjectKey| self.ledger.entries.get(key).is_some_and(|entry| entry.app == *app);
        if let Some(hint) = hint.filter(|key| is_theirs(key) && is_unready(key)) {
            return Some(Some(hint));
        }
        Some(index.entries().iter().map(|entry| &entry.key).find(|key| is_unready(key)).cloned())
    }
}
