//! What a spoke asked of its API server, and on whose behalf: the rules of who
//! may ask what, checked on the server's own audit log, by every rig at its end.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::Site;
use crate::control_plane::{Audit, AuditEvent, ControlPlane};

/// The account a spoke is installed with.
pub const SPOKE_ACCOUNT: &str = "system:serviceaccount:rimward-system:rimward-spoke";

/// Where the spoke's own identity, floor and ledger live.
const OWN_NAMESPACE: &str = "rimward-system";

/// What the agent itself may ask, by resource and verb, in any namespace; the rest it must ask as a tenant.
const AGENTS_OWN: [(&str, &[&str]); 3] = [
    ("namespaces", &["get", "list", "watch", "create"]),
    ("serviceaccounts", &["get", "list", "watch", "create"]),
    ("rolebindings", &["get", "list", "watch", "create", "delete"]),
];

/// Questions that are about the asker alone.
const ABOUT_SELF: &str = "selfsubject";

/// What the last look at a site's audit log has to know.
#[derive(Debug, Default)]
struct Known {
    /// A spoke was there, so it must be seen to have asked something.
    joined: bool,
    /// What a test asked itself, with the spoke's token, to see that it is seen.
    forgiven: Vec<AuditEvent>,
}

/// Shared by a site and its control plane's last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched(Arc<Mutex<Known>>);

impl Watched {
    /// Has the control plane look when it has stopped.
    pub fn begin(plane: &mut ControlPlane, name: &str) -> Self {
        let (watched, name) = (Self::default(), name.to_owned());
        let known = watched.clone();
        plane.at_end(move |log| known.look(&name, log));
        watched
    }

    /// A spoke is there from now on.
    pub fn joined(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).joined = true;
    }

    fn look(&self, name: &str, log: &str) -> Result<()> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_spoke = Audit::parse_where(log, is_bare_line)?.user(SPOKE_ACCOUNT);
        ensure!(
            !known.joined || of_spoke.count() > 0,
            "the spoke of {name} asked nothing as {SPOKE_ACCOUNT}"
        );
        let bare = bare(of_spoke).filter(|event| !known.forgiven.contains(event));
        ensure!(bare.count() == 0, "{name}: asked about tenants' objects without impersonation:\n{bare}");
        Ok(())
    }
}

impl Site {
    /// All that the spoke asked since `since`, whomever it impersonated.
    pub async fn asked(&mut self, since: Timestamp) -> Result<Audit> {
        let of_spoke = |line: &str| line.contains(SPOKE_ACCOUNT);
        Ok(self.plane().audit_where(of_spoke).await?.user(SPOKE_ACCOUNT).since(since))
    }

    /// What the spoke wrote since `since`, apart from its own identity, floor and ledger.
    pub async fn wrote(&mut self, since: Timestamp) -> Result<Audit> {
        let written = self.asked(since).await?.mutating();
        Ok(written.filter(|event| event.namespace != OWN_NAMESPACE || event.impersonated.is_some()))
    }

    /// Fails if the spoke ever asked anything about a tenant's object under its own name. Every rig does so at its end;
    /// a test calls it to know at once.
    pub async fn assert_impersonated(&mut self) -> Result<()> {
        let asked = self.plane().audit_where(is_bare_line).await?.user(SPOKE_ACCOUNT);
        ensure!(asked.count() > 0, "the spoke of {} asked nothing as {SPOKE_ACCOUNT}", self.name);
        let bare = bare(asked);
        ensure!(bare.count() == 0, "asked about tenants' objects without impersonation:\n{bare}");
        Ok(())
    }

    /// What was asked under the spoke's own name and should not have been, and what the last look at the log will pass
    /// over: for a test that asks so itself, to see that it is seen.
    pub async fn forgive_bare(&mut self) -> Result<Audit> {
        let found = bare(self.plane().audit_where(is_bare_line).await?.user(SPOKE_ACCOUNT));
        let mut known = self.watched.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.forgiven.extend(found.events.iter().cloned());
        drop(known);
        Ok(found)
    }
}

/// Without reading it as JSON: whether a line may be of the spoke and of nobody that it impersonates.
fn is_bare_line(line: &str) -> bool {
    line.contains(SPOKE_ACCOUNT) && !line.contains("\"impersonatedUser\"")
}

/// Of the spoke's requests those that it should have made as a tenant.
fn bare(asked: Audit) -> Audit {
    asked.filter(|event| event.impersonated.is_none() && !is_agents_own(event))
}

fn is_agents_own(event: &AuditEvent) -> bool {
    let by_table = |(resource, verbs): &(&str, &[&str])| {
        event.resource == *resource && event.subresource.is_empty() && verbs.contains(&event.verb.as_str())
    };
    event.resource.is_empty()
        || event.namespace == OWN_NAMESPACE
        || AGENTS_OWN.iter().any(by_table)
        || event.resource.starts_with(ABOUT_SELF)
        || is_refused_impersonation(event)
}

/// The server refused the impersonation itself, before it asked what the request was for: the log then has nobody
/// impersonated although it was asked for. An API server that was just started does so until it has read its RBAC.
fn is_refused_impersonation(event: &AuditEvent) -> bool {
    event.code == 403 && event.decision.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str, resource: &str, more: &str) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","verb":"{verb}","requestURI":"/x","user":{{"username":"{SPOKE_ACCOUNT}"}},"objectRef":{{"resource":"{resource}","namespace":"shop"}},"responseStatus":{{"code":200}},"annotations":{{"authorization.k8s.io/decision":"allow"}},"requestReceivedTimestamp":"2026-01-01T00:00:00Z","stageTimestamp":"2026-01-01T00:00:01Z"{more}}}"#
        ) + "\n"
    }

    #[test]
    fn a_bare_request_is_seen_at_the_end_and_one_for_a_tenant_is_not() {
        let watched = Watched::default();
        let own = line("list", "namespaces", "") + &line("create", "rolebindings", "");
        let tenants = line("patch", "configmaps", r#","impersonatedUser":{"username":"t"}"#);
        assert!(watched.look("eu-1", &(own.clone() + &tenants)).is_ok());
        for (verb, resource) in
            [("get", "configmaps"), ("patch", "serviceaccounts"), ("delete", "namespaces")]
        {
            let error = watched.look("eu-1", &(own.clone() + &line(verb, resource, ""))).unwrap_err();
            assert!(error.to_string().contains("without impersonation"), "{error}");
        }
    }

    #[test]
    fn a_spoke_that_was_never_seen_makes_the_look_blind() {
        let watched = Watched::default();
        assert!(watched.look("eu-1", "").is_ok());
        watched.joined();
        assert!(watched.look("eu-1", "").is_err());
        assert!(watched.look("eu-1", &line("list", "namespaces", "")).is_ok());
    }

    #[test]
    fn what_a_test_asked_itself_is_forgiven_and_nothing_else() {
        let watched = Watched::default();
        let log = line("get", "configmaps", "");
        watched.0.lock().unwrap().forgiven = Audit::parse(&log).unwrap().events;
        assert!(watched.look("eu-1", &log).is_ok());
        assert!(watched.look("eu-1", &(log + &line("get", "secrets", ""))).is_err());
    }
}
