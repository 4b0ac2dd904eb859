//! `Guardrail`.

use schemars::JsonSchema;

use super::{ApiVersion, Kind, LongName, Name, Selector};

/// Rules for the objects of tenants.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Guardrail", rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardrailDocument {
    /// The version of the document.
    pub api_version: ApiVersion,
    /// What the document is.
    pub kind: GuardrailKind,
    /// What the Guardrail is called.
    pub metadata: GuardrailMetadata,
    /// What it is for, and what must hold.
    pub spec: GuardrailSpec,
}

/// The kind.
#[derive(Debug, JsonSchema)]
pub enum GuardrailKind {
    /// A Guardrail.
    Guardrail,
}

/// What a Guardrail is called.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardrailMetadata {
    /// Its name, unique among guardrails: a DNS label of at most 63 characters.
    pub name: LongName,
}

/// What a Guardrail is for, and what must hold.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardrailSpec {
    /// The tenants it is for; all if it is left out.
    pub tenants: Option<Tenants>,
    /// The clusters it is for; all if it is left out.
    pub clusters: Option<Selector>,
    /// The kinds it is for.
    #[schemars(length(min = 1))]
    pub kinds: Vec<Kind>,
    /// What must hold.
    #[schemars(length(min = 1))]
    pub rules: Vec<Rule>,
    /// What becomes of an App that breaks a rule.
    pub action: Action,
}

/// Which tenants.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenants {
    /// One of these.
    pub names: Option<Vec<Name>>,
}

/// What must hold.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// A CEL expression over `object`, `cluster`, `tenant` and `app`.
    pub cel: String,
    /// What to say where it does not hold: one line of at most 200 bytes.
    #[schemars(length(min = 1, max = 200))]
    pub message: String,
}

/// What becomes of an App that breaks a rule.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Action {
    /// It stays as it is on the clusters concerned.
    Deny,
    /// It is said, and goes on.
    Warn,
}
