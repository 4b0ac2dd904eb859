//! The `Guardrail` document of the fleet repo. Its expressions are checked here,
//! so that what is in force can be evaluated.

use std::collections::BTreeSet;
use std::sync::Arc;

use rimward_proto::TenantName;
use rimward_proto::expression::Expression;
use rimward_proto::ids::is_dns_label;
use rimward_proto::nearest::closest;

use super::check::{Check, Shape};
use super::kinds::custom_kinds;
use super::options::not_empty;
use super::selector::selector;
use super::{DOCUMENT, NAMED};
use crate::core::codes;
use crate::core::guardrails::VOCABULARY;
use crate::core::model::{Action, Guardrail, Policy, Rule};
use crate::core::note::{Note, Position};
use crate::core::yaml::Node;

const SPEC: Shape = Shape { known: &["tenants", "clusters", "kinds", "rules", "action"], later: &[] };
/// Tenants have a name and nothing else to pick them by.
const TENANTS: Shape = Shape { known: &["names"], later: &["matchLabels", "matchExpressions", "cel"] };
const RULE: Shape = Shape { known: &["cel", "message"], later: &[] };

/// Longest message, bytes: it stands in a note beside the names of object and guardrail, and all of it must be read.
const MESSAGE_BYTES: usize = 200;

/// Reads a `Guardrail` document.
pub(super) fn guardrail(check: &mut Check<'_>, node: &Node) -> Option<Guardrail> {
    let node = check.mapping(node, "a Guardrail", &DOCUMENT)?;
    let metadata = check.required(node, "metadata", "a Guardrail")?;
    let metadata = check.mapping(metadata, "metadata", &NAMED)?;
    let written = check.required(metadata, "name", "metadata")?;
    let name = check.text(written, "`name`")?;
    if !is_dns_label(name, 63) {
        check.error(codes::VALUE, written.at, format!("{name:?} is not the name of a Guardrail")).help =
            "use a-z, 0-9 and `-`, with a letter or digit at both ends, at most 63".to_owned();
    }
    let spec = check.required(node, "spec", "a Guardrail")?;
    let spec = check.mapping(spec, "a Guardrail's spec", &SPEC)?;
    let at = check.at(node.at);
    let place = |check: &Check<'_>, key: &str| spec.get(key).map_or(at.clone(), |node| check.at(node.at));
    let (tenants_at, clusters_at) = (place(check, "tenants"), place(check, "clusters"));
    Some(Guardrail {
        name: name.to_owned(),
        tenants: tenants(check, spec),
        tenants_at,
        clusters: spec.get("clusters").map(|node| selector(check, node)).unwrap_or_default(),
        clusters_at,
        kinds: kinds(check, spec),
        rules: rules(check, spec),
        action: action(check, spec)?,
        at,
    })
}

fn tenants(check: &mut Check<'_>, spec: &Node) -> Option<BTreeSet<TenantName>> {
    let node = check.mapping(spec.get("tenants")?, "`tenants`", &TENANTS)?;
    node.get("names")?;
    let names = check.texts(node, "names");
    Some(names.into_iter().filter_map(|(name, at)| check.id(at, TenantName::new(name))).collect())
}

fn kinds(check: &mut Check<'_>, spec: &Node) -> Vec<String> {
    if let Some(written) = check.required(spec, "kinds", "a Guardrail's spec") {
        not_empty(check, written, "`kinds`");
    }
    custom_kinds(check, spec, "kinds")
}

fn rules(check: &mut Check<'_>, spec: &Node) -> Vec<Rule> {
    let Some(written) = check.required(spec, "rules", "a Guardrail's spec") else { return Vec::new() };
    let items = check.list(written, "`rules`");
    if items.is_empty() {
        check.error(codes::VALUE, written.at, "`rules` must have at least one").help =
            "write what must hold, as in {cel: object.spec.replicas < 10, message: at most 9 replicas}"
                .to_owned();
    }
    items.iter().filter_map(|item| rule(check, item)).collect()
}

fn rule(check: &mut Check<'_>, node: &Node) -> Option<Rule> {
    let node = check.mapping(node, "a rule", &RULE)?;
    let (cel, message) = (check.required(node, "cel", "a rule"), check.required(node, "message", "a rule"));
    let message = message.and_then(|written| {
        let text = check.text(written, "`message`")?;
        if text.trim().is_empty() || text.len() > MESSAGE_BYTES || text.contains(char::is_control) {
            let message = format!("`message` must be one line of 1 to {MESSAGE_BYTES} bytes");
            check.error(codes::VALUE, written.at, message).help =
                "say what must hold, for whoever wrote the object".to_owned();
        }
        Some(text.to_owned())
    });
    let text = check.text(cel?, "`cel`")?;
    match Expression::compile(text, &VOCABULARY) {
        Ok(expression) => Some(Rule {
            cel: text.to_owned(),
            expression: Arc::new(expression),
            message: message?,
            at: check.at(node.at),
        }),
        Err(why) => {
            check.error(codes::CEL, cel?.at, format!("`cel` {why}")).help =
                "write what must hold, as in object.spec.replicas < 10".to_owned();
            None
        }
    }
}

fn action(check: &mut Check<'_>, spec: &Node) -> Option<Action> {
    let written = check.required(spec, "action", "a Guardrail's spec")?;
    match check.text(written, "`action`")? {
        "deny" => Some(Action::Deny),
        "warn" => Some(Action::Warn),
        other => {
            check.error(codes::VALUE, written.at, format!("unknown action `{other}`")).help =
                "one of deny, warn".to_owned();
            None
        }
    }
}

/// Tenants that a guardrail names and that have no document: it is not about them, which nobody notices before it
/// matters.
pub(super) fn unknown_tenants(guardrail: &Guardrail, policy: &Policy) -> Vec<Note> {
    let unknown = guardrail.tenants.iter().flatten().filter(|name| !policy.tenants.contains_key(*name));
    let note = |name: &TenantName| {
        let names: Vec<&str> = policy.tenants.keys().map(TenantName::as_str).collect();
        let help = match closest(name.as_str(), &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "a tenant needs a Tenant document in the fleet repo".to_owned(),
        };
        let at: Position = guardrail.tenants_at.clone();
        Note::warning(codes::UNKNOWN_TENANT, at, format!("no tenant is called `{name}`")).help(help)
    };
    unknown.map(note).collect()
}
