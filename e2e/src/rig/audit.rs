//! What a spoke asked of its API server, and on whose behalf: the rules of who
//! may ask what, checked on the server's own audit log.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::Site;
use crate::control_plane::{Audit, AuditEvent};

/// The account a spoke is installed with.
pub const SPOKE_ACCOUNT: &str = "system:serviceaccount:rimward-system:rimward-spoke";

/// Where the spoke's own identity, floor and ledger live.
const OWN_NAMESPACE: &str = "rimward-system";

/// What the agent itself may ask about, in any namespace: the rest it must ask as a tenant.
const AGENTS_OWN: [&str; 4] = ["namespaces", "serviceaccounts", "rolebindings", "customresourcedefinitions"];

/// Questions that are about the asker alone.
const ABOUT_SELF: &str = "selfsubject";

impl Site {
    /// All that the spoke asked since `since`, whomever it impersonated.
    pub async fn asked(&mut self, since: Timestamp) -> Result<Audit> {
        Ok(self.plane().audit().await?.user(SPOKE_ACCOUNT).since(since))
    }

    /// What the spoke wrote since `since`, apart from its own identity, floor and ledger.
    pub async fn wrote(&mut self, since: Timestamp) -> Result<Audit> {
        let written = self.asked(since).await?.mutating();
        Ok(written.filter(|event| event.namespace != OWN_NAMESPACE || event.impersonated.is_some()))
    }

    /// Fails if the spoke ever asked anything about a tenant's object under its own name.
    pub async fn assert_impersonated(&mut self) -> Result<()> {
        let asked = self.plane().audit().await?.user(SPOKE_ACCOUNT);
        ensure!(asked.count() > 0, "the spoke of {} asked nothing as {SPOKE_ACCOUNT}", self.name);
        let bare = asked.filter(|event| event.impersonated.is_none() && !is_agents_own(event));
        ensure!(bare.count() == 0, "asked about tenants' objects without impersonation:\n{bare}");
        Ok(())
    }
}

fn is_agents_own(event: &AuditEvent) -> bool {
    event.resource.is_empty()
        || event.namespace == OWN_NAMESPACE
        || AGENTS_OWN.contains(&event.resource.as_str())
        || event.resource.starts_with(ABOUT_SELF)
        || is_refused_impersonation(event)
}

/// The server refused the impersonation itself, before it asked what the request was for: the log then has nobody
/// impersonated although it was asked for. An API server that was just started does so until it has read its RBAC.
fn is_refused_impersonation(event: &AuditEvent) -> bool {
    event.code == 403 && event.decision.is_empty()
}
