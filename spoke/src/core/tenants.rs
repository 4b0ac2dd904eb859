//! The ground a tenant stands on: its namespaces, its account, its bindings
//! (apply rule 10). Made before anything of it is asked for; nothing is asked
//! as an account that is not there.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rimward_proto::bundle::IndexEntry;
use rimward_proto::{ObjectKey, TenantName};

use super::effect::{TenantSetup, Work};
use super::errors::{ApiError, ErrorKind};
use super::event::TenantReady;
use super::flight::{FAST_FIRST, FAST_MAX, Flight, Retry, SLOW_FIRST, SLOW_MAX};
use super::glob;
use super::managed::{ActiveBundle, Problem};
use super::state::State;

/// For so long after a setup a refusal may be the server's own lag: its authorizer learns of a binding, and its
/// admission of a namespace, through watches.
pub(crate) const SETTLING: SignedDuration = SignedDuration::from_secs(5);
/// A setup is not looked at again more often than this because requests are refused.
const RECHECK: SignedDuration = SignedDuration::from_secs(10);

/// A tenant and the account it uses.
pub type TenantId = (TenantName, String);

#[derive(Debug, Clone)]
struct Ground {
    setup: TenantSetup,
    wanted: bool,
    retry: Retry,
    ready: Option<(TenantReady, Timestamp)>,
    problem: Option<Problem>,
}

impl Ground {
    fn answered(&mut self, result: Result<TenantReady, ApiError>, now: Timestamp) {
        let transient = |error: &ApiError| error.kind == ErrorKind::Transient;
        match &result {
            Ok(ready) if ready.missing.is_empty() && ready.broken.is_empty() => self.retry.succeed(),
            Ok(ready) if ready.broken.values().any(transient) => self.fail(now, FAST_FIRST, FAST_MAX),
            // A namespace may come by other hands at any time.
            Ok(_) => self.fail(now, SLOW_FIRST, SLOW_MAX),
            Err(error) if transient(error) => self.fail(now, FAST_FIRST, FAST_MAX),
            Err(_) => self.fail(now, SLOW_FIRST, SLOW_MAX),
        }
        match result {
            Ok(ready) => {
                let same = self.ready.as_ref().filter(|(before, _)| *before == ready).map(|(_, at)| *at);
                (self.ready, self.problem) = (Some((ready, same.unwrap_or(now))), None);
            }
            Err(error) => self.problem = Some(Problem::error(error.kind, error.message)),
        }
    }

    fn fail(&mut self, now: Timestamp, first: Duration, max: Duration) {
        self.wanted = true;
        self.retry.fail(now, first, max);
    }
}

/// All tenants of the plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tenants(BTreeMap<TenantId, Ground>);

/// May requests be made as a tenant's account?
pub(crate) enum Gate<'a> {
    Open,
    /// Not yet known.
    Shut,
    Broken(&'a Problem),
}

impl Tenants {
    /// The gate of an App for objects in `namespace`.
    pub fn gate(&self, bundle: &ActiveBundle) -> Gate<'_> {
        match self.0.get(&id_of(bundle)) {
            Some(Ground { ready: Some(_), .. }) => Gate::Open,
            Some(Ground { problem: Some(problem), .. }) => Gate::Broken(problem),
            _ => Gate::Shut,
        }
    }

    /// Why an App cannot use this namespace: it was looked for and is not there, or cannot be made ready.
    pub fn obstacle(&self, bundle: &ActiveBundle, namespace: &str) -> Option<Problem> {
        let (ready, _) = self.0.get(&id_of(bundle))?.ready.as_ref()?;
        if ready.missing.contains(namespace) {
            let message = format!("namespace {namespace} does not exist");
            return Some(Problem::error(ErrorKind::NamespaceMissing, message));
        }
        let error = ready.broken.get(namespace)?;
        Some(Problem::error(error.kind, format!("namespace {namespace}: {}", error.message)))
    }

    /// True while a refusal may be the server's lag behind a setup.
    pub fn is_settling(&self, service_account: &str, now: Timestamp) -> bool {
        let grounds = self.0.iter().filter(|((_, account), _)| account == service_account);
        grounds
            .filter_map(|(_, ground)| ground.ready.as_ref())
            .any(|(_, at)| now.duration_since(*at) < SETTLING)
    }

    /// True if nothing is known against asking as this account.
    pub fn is_usable(&self, service_account: &str) -> bool {
        let mut grounds = self.0.iter().filter(|((_, account), _)| account == service_account).peekable();
        grounds.peek().is_none() || grounds.any(|(_, ground)| ground.ready.is_some())
    }

    /// True while more is made of the ground of an account that nothing is known against: it asks nothing new until then.
    pub fn is_being_made(&self, service_account: &str) -> bool {
        let mut grounds = self.0.iter().filter(|((_, account), _)| account == service_account);
        grounds.any(|(_, ground)| ground.ready.is_none() && ground.problem.is_none())
    }

    /// True of an account that somebody else gives its rights: it may have more than RoleBindings.
    pub fn manages_itself(&self, service_account: &str) -> bool {
        let mut grounds = self.0.iter().filter(|((_, account), _)| account == service_account).peekable();
        grounds.peek().is_some() && grounds.all(|(_, ground)| ground.setup.role.is_none())
    }

    pub fn wake(&self) -> Option<Timestamp> {
        self.0.values().filter(|ground| ground.wanted).filter_map(|ground| ground.retry.wake()).min()
    }

    /// Look at an account's ground again: it refused something that it should allow.
    pub fn recheck(&mut self, service_account: &str, now: Timestamp) {
        for ((_, account), ground) in &mut self.0 {
            let old = ground.ready.as_ref().is_none_or(|(_, at)| now.duration_since(*at) >= RECHECK);
            if account == service_account && old {
                ground.wanted = true;
            }
        }
    }

    /// A namespace has come into being.
    pub fn namespace_made(&mut self, name: &str) {
        for ground in self.0.values_mut() {
            let ready = ground.ready.as_ref().map(|(ready, _)| ready);
            if ready.is_some_and(|ready| ready.missing.contains(name) || ready.broken.contains_key(name)) {
                ground.wanted = true;
                ground.retry.kick();
            }
        }
    }

    pub fn recheck_all(&mut self) {
        for ground in self.0.values_mut() {
            ground.wanted = true;
            ground.retry.kick();
        }
    }
}

fn same_namespace(a: &IndexEntry, b: &IndexEntry) -> bool {
    a.key.namespace == b.key.namespace
}

fn id_of(bundle: &ActiveBundle) -> TenantId {
    (bundle.plan.tenant.clone(), bundle.plan.service_account.clone())
}

impl State {
    /// What the plan in force asks for. A setup that is unchanged is not looked at again.
    pub(crate) fn plan_tenants(&mut self) {
        let mut setups: BTreeMap<TenantId, TenantSetup> = BTreeMap::new();
        for bundle in self.active.iter().flat_map(|active| active.bundles.values()) {
            let setup = setups.entry(id_of(bundle)).or_insert_with(|| TenantSetup {
                tenant: bundle.plan.tenant.clone(),
                service_account: bundle.plan.service_account.clone(),
                role: None,
                create: BTreeSet::new(),
                used: BTreeSet::new(),
            });
            setup.role = setup.role.take().or_else(|| bundle.plan.role.clone());
            let ceiling = &self.settings.namespaces;
            let inside = bundle.plan.namespaces.iter().filter(|name| glob::covers(ceiling, name));
            setup.create.extend(inside.filter(|name| !name.contains('*')).cloned());
            let entries = bundle.index.iter().flat_map(|index| index.entries().chunk_by(same_namespace));
            let used: BTreeSet<&String> = entries.map(|entries| &entries[0].key.namespace).collect();
            let matched = used
                .into_iter()
                .filter(|name| !name.is_empty() && glob::any_matches(&bundle.plan.namespaces, name));
            setup.used.extend(matched.filter(|name| glob::any_matches(ceiling, name)).cloned());
        }
        for setup in setups.values_mut() {
            setup.used.retain(|name| !setup.create.contains(name));
        }
        self.tenants.0.retain(|id, _| setups.contains_key(id));
        for (id, setup) in setups {
            match self.tenants.0.get_mut(&id) {
                Some(ground) if ground.setup == setup => {}
                Some(ground) => {
                    (ground.setup, ground.wanted, ground.ready) = (setup, true, None);
                    ground.retry.kick();
                }
                None => {
                    let ground =
                        Ground { setup, wanted: true, retry: Retry::default(), ready: None, problem: None };
                    self.tenants.0.insert(id, ground);
                }
            }
        }
    }

    pub(crate) fn advance_tenants(&mut self, now: Timestamp) {
        for (id, ground) in &mut self.tenants.0 {
            if ground.wanted && ground.retry.may_start(now) {
                ground.wanted = false;
                ground.retry.start();
                let flight = self.flights.start(Flight::Tenant(id.clone()));
                let work = Work::EnsureTenant(Box::new(ground.setup.clone()));
                self.out.push(super::Effect::Do(flight, work));
            }
        }
    }

    pub(crate) fn tenant_done(
        &mut self,
        id: &TenantId,
        result: Result<TenantReady, ApiError>,
        now: Timestamp,
    ) {
        let mut result = result;
        let was_there = result.as_mut().is_ok_and(|ready| std::mem::take(&mut ready.was_there));
        self.account_seen(&id.1, was_there, now);
        let Some(ground) = self.tenants.0.get_mut(id) else { return };
        if ground.wanted && ground.ready.is_none() && result.is_ok() {
            // The setup changed meanwhile: what was made is not all that is needed.
            ground.retry.succeed();
            return;
        }
        let before = (ground.ready.as_ref().map(|(ready, _)| ready.clone()), ground.problem.clone());
        ground.answered(result, now);
        if before == (ground.ready.as_ref().map(|(ready, _)| ready.clone()), ground.problem.clone()) {
            return;
        }
        self.watches.stale = true;
        let account = &id.1;
        let theirs =
            |key: &ObjectKey| self.ledger.entries.get(key).is_some_and(|e| e.service_account == *account);
        let keys: Vec<ObjectKey> = self.objects.keys().filter(|key| theirs(key)).cloned().collect();
        keys.iter().for_each(|key| self.tenant_news(key, now));
    }
}
