//! What the platform team's Guardrails say, as values.

use std::collections::BTreeSet;
use std::sync::Arc;

use rimward_proto::TenantName;
use rimward_proto::expression::Expression;

use super::Selector;
use crate::core::note::Position;

/// A `Guardrail` document: rules that the objects of some tenants must follow on some clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// Its name.
    pub name: String,
    /// The tenants it is for; none = all.
    pub tenants: Option<BTreeSet<TenantName>>,
    /// Where `tenants` is written.
    pub tenants_at: Position,
    /// The clusters it is for.
    pub clusters: Selector,
    /// Where `clusters` is written.
    pub clusters_at: Position,
    /// The kinds it is for, as people write them.
    pub kinds: Vec<String>,
    /// What must hold, in the order it is written.
    pub rules: Vec<Rule>,
    /// What becomes of an App that does not follow it.
    pub action: Action,
    /// Where it is written.
    pub at: Position,
}

/// One rule of a [`Guardrail`].
#[derive(Debug, Clone)]
pub struct Rule {
    /// What must hold, as it is written.
    pub cel: String,
    /// The same, checked.
    pub expression: Arc<Expression>,
    /// What to say where it does not hold.
    pub message: String,
    /// Where it is written.
    pub at: Position,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        // The expression is what the text says.
        (&self.cel, &self.message, &self.at) == (&other.cel, &other.message, &other.at)
    }
}

impl Eq for Rule {}

/// What becomes of an App that breaks a [`Rule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It stays as it is.
    Deny,
    /// It is let through, and said.
    Warn,
}
