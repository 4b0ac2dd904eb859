//! How Apps are run, as people write it: in an App, as the fleet's defaults and
//! as a tenant's limits. One reader for all three, so that a value means the
//! same wherever it stands.

use std::collections::BTreeMap;

use rimward_proto::expression::{self, Expression};
use rimward_proto::nearest::closest;
use rimward_proto::plan::{DriftMode, HealthCel, Ignore, Takeover};
use rimward_proto::{AppId, AppName, TenantName};

use super::check::{Check, Shape};
use super::kinds::custom_kinds;
use super::{fleet, pointer};
use crate::core::codes;
use crate::core::model::{Ceiling, Options, Tenant};
use crate::core::note::Position;
use crate::core::yaml::{Mark, Node, Value};

const DRIFT: Shape = Shape { known: &["mode", "ignore"], later: &[] };
const IGNORE: Shape = Shape { known: &["kinds", "paths"], later: &[] };
const HEALTH: Shape = Shape { known: &["timeout", "cel"], later: &[] };
const CONDITION: Shape = Shape { known: &["kinds", "ready", "failed"], later: &[] };
const DEPENDENCY: Shape = Shape { known: &["app", "tenant"], later: &[] };

/// What one App's options may add to a plan, bytes: lists and expressions are a few hundred; the plan of a cluster has
/// 1 MiB for all its Apps.
const OPTIONS_BYTES: usize = 8 << 10;

/// Words and what they mean.
type Words<T> = [(&'static str, T); 3];
/// Drift modes.
pub(in crate::core) const DRIFT_MODES: Words<DriftMode> =
    [("revert", DriftMode::Revert), ("report", DriftMode::Report), ("none", DriftMode::None)];
/// Takeovers, the most careful first.
pub(in crate::core) const TAKEOVERS: Words<Takeover> =
    [("refuse", Takeover::Refuse), ("if-identical", Takeover::IfIdentical), ("always", Takeover::Always)];

/// The word for a value.
pub(in crate::core) fn word<T: PartialEq>(words: &Words<T>, value: &T) -> &'static str {
    words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}

/// The words for several values, as they stand in a file.
pub(in crate::core) fn listed<T: PartialEq>(words: &Words<T>, values: &[T]) -> String {
    format!("[{}]", values.iter().map(|value| word(words, value)).collect::<Vec<_>>().join(", "))
}

/// A value of a fixed set.
fn choice<T: Copy>(check: &mut Check<'_>, node: &Node, what: &str, words: &Words<T>) -> Option<T> {
    let text = check.text(node, what)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let near = closest(text, &known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        check.error(codes::VALUE, node.at, format!("{what} cannot be `{text}`")).help =
            format!("{near}one of {}", known.join(", "));
    }
    found
}

/// Says so of a list that is there and names nothing.
pub(super) fn not_empty(check: &mut Check<'_>, list: &Node, what: &str) {
    if matches!(&list.value, Value::List(items) if items.is_empty()) {
        check.error(codes::VALUE, list.at, format!("{what} must name at least one")).help =
            "name one, or take it out".to_owned();
    }
}

/// What a `drift` block says.
#[derive(Default)]
pub(super) struct Drift {
    pub mode: Option<(DriftMode, Mark)>,
    pub ignore: Option<Vec<Ignore>>,
}

/// What a `health` block says.
#[derive(Default)]
pub(super) struct Health {
    pub timeout_seconds: Option<u64>,
    pub cel: Option<Vec<HealthCel>>,
}

/// Reads the `drift` of an App or of the defaults.
pub(super) fn drift(check: &mut Check<'_>, spec: &Node) -> Drift {
    let node = spec.get("drift").and_then(|node| check.mapping(node, "drift", &DRIFT));
    let Some(node) = node else { return Drift::default() };
    let mode =
        node.get("mode").and_then(|mode| Some((choice(check, mode, "`mode`", &DRIFT_MODES)?, mode.at)));
    let ignore = node.get("ignore").map(|list| {
        let items = check.list(list, "`ignore`");
        items.iter().filter_map(|item| ignored(check, item)).collect()
    });
    Drift { mode, ignore }
}

fn ignored(check: &mut Check<'_>, node: &Node) -> Option<Ignore> {
    let node = check.mapping(node, "an entry of `ignore`", &IGNORE)?;
    let kinds = custom_kinds(check, node, "kinds");
    let written = check.required(node, "paths", "an entry of `ignore`")?;
    let mut paths = Vec::new();
    for (path, at) in check.texts(node, "paths") {
        if let Some((why, help)) = pointer::refused(&path) {
            check.error(codes::POINTER, at, why).help = help.to_owned();
        }
        paths.push(path);
    }
    not_empty(check, written, "`paths`");
    Some(Ignore { kinds, paths: sorted(paths) })
}

/// Reads the `takeover` of an App or of the defaults.
pub(super) fn takeover(check: &mut Check<'_>, spec: &Node) -> Option<(Takeover, Mark)> {
    let node = spec.get("takeover")?;
    Some((choice(check, node, "`takeover`", &TAKEOVERS)?, node.at))
}

/// Reads the `health` of an App or of the defaults.
pub(super) fn health(check: &mut Check<'_>, spec: &Node) -> Health {
    let node = spec.get("health").and_then(|node| check.mapping(node, "health", &HEALTH));
    let Some(node) = node else { return Health::default() };
    let cel = node.get("cel").map(|list| {
        let items = check.list(list, "`cel`");
        items.iter().filter_map(|item| condition(check, item)).collect()
    });
    Health { timeout_seconds: check.seconds(node, "timeout"), cel }
}

fn condition(check: &mut Check<'_>, node: &Node) -> Option<HealthCel> {
    let node = check.mapping(node, "an entry of `cel`", &CONDITION)?;
    if let Some(written) = check.required(node, "kinds", "an entry of `cel`") {
        not_empty(check, written, "`kinds`");
    }
    let kinds = custom_kinds(check, node, "kinds");
    check.required(node, "ready", "an entry of `cel`");
    let mut read = |key: &str| {
        let (text, at) = check.optional_text(node, key)?;
        if let Err(why) = Expression::compile(text, &expression::HEALTH) {
            check.error(codes::CEL, at, format!("`{key}` {why}")).help =
                "write it like object.status.phase == 'Running'".to_owned();
        }
        Some(text.to_owned())
    };
    let (ready, failed) = (read("ready"), read("failed"));
    Some(HealthCel { kinds, ready: ready?, failed: failed.unwrap_or_default() })
}

fn sorted(mut items: Vec<String>) -> Vec<String> {
    items.sort();
    items.dedup();
    items
}

/// Reads everything in an App's spec that says how it is run.
pub(super) fn options(check: &mut Check<'_>, spec: &Node, tenant: &Tenant, own: Option<&AppName>) -> Options {
    let Drift { mode, ignore } = drift(check, spec);
    let takeover = takeover(check, spec);
    let limits = &tenant.limits;
    within(check, mode, "drift", &limits.drift, &DRIFT_MODES, tenant);
    within(check, takeover, "takeover", &limits.takeover, &TAKEOVERS, tenant);
    let Health { timeout_seconds, cel } = health(check, spec);
    let options = Options {
        depends_on: dependencies(check, spec, &tenant.name, own),
        drift: mode.map(|(mode, _)| mode),
        ignore,
        takeover: takeover.map(|(takeover, _)| takeover),
        health_timeout_seconds: timeout_seconds,
        health_cel: cel,
        deletion: spec.get("deletion").map(|node| fleet::deletion(check, node)).unwrap_or_default(),
        formerly: formerly(check, spec, own),
    };
    let bytes = size(&options);
    if bytes > OPTIONS_BYTES {
        let message =
            format!("the App's options take {bytes} bytes of a plan, they may take {OPTIONS_BYTES}");
        check.error(codes::TOO_LARGE, spec.at, message).help =
            "shorten dependsOn, drift.ignore, health.cel, deletion.protect or formerly".to_owned();
    }
    options
}

fn size(options: &Options) -> usize {
    let names: Vec<&AppName> = options.formerly.keys().collect();
    let depends_on: Vec<&AppId> = options.depends_on.keys().collect();
    let lists = (depends_on, &options.ignore, &options.health_cel, &options.deletion.protect, names);
    serde_json::to_vec(&lists).map_or(0, |bytes| bytes.len())
}

fn within<T: PartialEq>(
    check: &mut Check<'_>,
    found: Option<(T, Mark)>,
    field: &str,
    ceiling: &Ceiling<T>,
    words: &Words<T>,
    tenant: &Tenant,
) {
    let Some((value, at)) = found.filter(|(value, _)| !ceiling.allowed.contains(value)) else { return };
    let list = listed(words, &ceiling.allowed);
    let limit = if ceiling.at == tenant.at {
        format!("limits.{field}, which is {list} unless the tenant at {} says otherwise", ceiling.at)
    } else {
        format!("limits.{field} {list} at {} of the fleet repo", ceiling.at)
    };
    let message = format!("{field} `{}` is outside {limit}", word(words, &value));
    check.error(codes::BEYOND_LIMIT, at, message).help =
        "write one of those, or let the platform team widen the limit".to_owned();
}

/// Reads a ceiling of a tenant's `limits`.
pub(super) fn ceiling<T: Copy + PartialEq>(
    check: &mut Check<'_>,
    limits: Option<&Node>,
    key: &str,
    words: &Words<T>,
    default: (&[T], &Position),
) -> Ceiling<T> {
    let Some(node) = limits.and_then(|limits| limits.get(key)) else {
        let (allowed, at) = default;
        return Ceiling { allowed: allowed.to_vec(), at: at.clone() };
    };
    let what = format!("`{key}`");
    let mut allowed = Vec::new();
    let items = check.list(node, &what);
    for value in items.iter().filter_map(|item| choice(check, item, &what, words)).collect::<Vec<_>>() {
        if !allowed.contains(&value) {
            allowed.push(value);
        }
    }
    not_empty(check, node, &what);
    Ceiling { allowed, at: check.at(node.at) }
}

fn dependencies(
    check: &mut Check<'_>,
    spec: &Node,
    tenant: &TenantName,
    own: Option<&AppName>,
) -> BTreeMap<AppId, Position> {
    let mut found = BTreeMap::new();
    let Some(written) = spec.get("dependsOn") else { return found };
    for item in check.list(written, "`dependsOn`") {
        let Some(id) = dependency(check, item, tenant) else { continue };
        if id.tenant == *tenant && Some(&id.app) == own {
            check.error(codes::VALUE, item.at, "an App cannot depend on itself").help =
                "take it out".to_owned();
        }
        found.entry(id).or_insert(check.at(item.at));
    }
    found
}

fn dependency(check: &mut Check<'_>, item: &Node, own: &TenantName) -> Option<AppId> {
    let item = check.mapping(item, "an entry of `dependsOn`", &DEPENDENCY)?;
    check.required(item, "app", "an entry of `dependsOn`")?;
    let (app, at) = check.optional_text(item, "app")?;
    let app = check.id(at, AppName::new(app));
    let tenant = match item.get("tenant") {
        None => Some(own.clone()),
        Some(node) => {
            let text = check.text(node, "`tenant`")?;
            check.id(node.at, TenantName::new(text))
        }
    };
    Some(AppId { tenant: tenant?, app: app? })
}

fn formerly(check: &mut Check<'_>, spec: &Node, own: Option<&AppName>) -> BTreeMap<AppName, Position> {
    let mut found = BTreeMap::new();
    for (text, at) in check.texts(spec, "formerly") {
        let Some(name) = check.id(at, AppName::new(text)) else { continue };
        if Some(&name) == own {
            check.error(codes::FORMER_NAME, at, format!("`{name}` is the App's name now")).help =
                "take it out of `formerly`".to_owned();
        }
        found.entry(name).or_insert(check.at(at));
    }
    found
}

/// The former names that a document gives, right or wrong: what may still hand over is not to be pruned.
pub(super) fn former_names(node: &Node) -> Vec<AppName> {
    let Some(written) = node.get("spec").and_then(|spec| spec.get("formerly")) else { return Vec::new() };
    let items = match &written.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(written),
    };
    items.iter().filter_map(|item| AppName::new(item.text()?).ok()).collect()
}
