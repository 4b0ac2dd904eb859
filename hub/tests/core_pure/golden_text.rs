//! What a planning decided, as text for people: what each cluster runs, what
//! stays as it is and why, what is held, what is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use rimward_hub::core::note::Note;
use rimward_hub::core::yaml::quoted;
use rimward_proto::ClusterName;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::{DriftMode, Plan, PlanBundle, Takeover};
use serde_json::{Value, json};

use super::world::{Step, World};

/// Kinds that are protected everywhere by default, and deletions in one plan.
const DELETION: (&[&str], u64) = (&["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"], 20);
/// Seconds until what is not ready counts as failed, by default.
const TIMEOUT: u64 = 300;

/// A step's outcome. Clusters that run the same are one section.
pub fn shown(world: &World, step: &Step, objects: bool) -> String {
    let mut out = String::new();
    let mut sections: Vec<(&Arc<Plan>, bool, Vec<&ClusterName>)> = Vec::new();
    for (cluster, plan) in &step.output.plans {
        let same = step.before.get(cluster) == Some(plan);
        match sections.iter_mut().find(|(other, was, _)| *other == plan && *was == same) {
            Some((_, _, clusters)) => clusters.push(cluster),
            None => sections.push((plan, same, vec![cluster])),
        }
    }
    for (plan, same, clusters) in &sections {
        let _ = write!(out, "\n{}", ranges(clusters));
        match same {
            true if !plan.bundles.is_empty() || !plan.removed.is_empty() => out.push_str(": as before\n"),
            _ => {
                out.push('\n');
                self::plan(world, plan, objects, &mut out);
            }
        }
    }
    stays(step, &mut out);
    for hold in &step.output.decided.holds {
        let why = hold.message.rsplit_once(": ").map_or(hold.message.as_str(), |(why, _)| why);
        let on = ranges(&hold.clusters.iter().collect::<Vec<_>>());
        let _ = writeln!(out, "\nheld until approved: {}: {why}\n  on {on}:", hold.reason);
        for app in &hold.apps {
            let _ = writeln!(out, "  - {app}");
        }
    }
    notes(step, &mut out);
    out
}

fn plan(world: &World, plan: &Plan, objects: bool, out: &mut String) {
    if plan.bundles.is_empty() && plan.removed.is_empty() {
        out.push_str("  nothing\n");
    }
    for bundle in &plan.bundles {
        let _ = writeln!(out, "  {} (commit {})", bundle.id(), commit(&bundle.commit));
        for line in options(bundle) {
            let _ = writeln!(out, "    {line}");
        }
        let index = BundleIndex::parse(&world.stored[&bundle.digest]).unwrap();
        if index.entries().is_empty() {
            out.push_str("    no objects\n");
        }
        for entry in index.entries() {
            let _ = writeln!(out, "    - {}", entry.key);
            if objects {
                let object = serde_json::from_slice(&world.stored[&entry.sha256]).unwrap();
                for line in body(object).lines() {
                    let _ = writeln!(out, "        {line}");
                }
            }
        }
    }
    for removed in &plan.removed {
        let by = match removed.commit.is_empty() {
            true => "approved".to_owned(),
            false => format!("commit {}", commit(&removed.commit)),
        };
        let _ = writeln!(out, "  removed: {} ({by})", removed.id());
    }
}

/// Steps are commits, numbered from 1.
fn commit(commit: &str) -> &str {
    commit.trim_start_matches('0')
}

/// What an App is run with that is not what everybody has who says nothing.
fn options(bundle: &PlanBundle) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: Value| lines.push(format!("{name}: {}", flow(&value)));
    let own = format!("rimward-tenants/{}", bundle.tenant);
    if bundle.role.is_none() || bundle.service_account != own {
        line("serviceAccount", json!(bundle.service_account));
    }
    if let Some(role) = bundle.role.as_ref().filter(|role| *role != "edit") {
        line("role", json!(role));
    }
    for (name, kinds) in [("allow", &bundle.allow), ("deny", &bundle.deny)] {
        if !kinds.is_empty() {
            line(name, json!(kinds));
        }
    }
    if !bundle.depends_on.is_empty() {
        line("dependsOn", json!(bundle.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
    if bundle.drift.mode != DriftMode::Revert || !bundle.drift.ignore.is_empty() {
        line("drift", json!(bundle.drift));
    }
    if bundle.takeover != Takeover::Refuse {
        line("takeover", json!(bundle.takeover));
    }
    if bundle.health.timeout_seconds != TIMEOUT || !bundle.health.cel.is_empty() {
        line("health", json!(bundle.health));
    }
    if bundle.deletion.protect != DELETION.0 || bundle.deletion.max_per_plan != DELETION.1 {
        line("deletion", json!(bundle.deletion));
    }
    if !bundle.formerly.is_empty() {
        line("formerly", json!(bundle.formerly));
    }
    lines
}

/// A value on one line, as people write it in YAML. An empty list says nothing.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| **value != json!([]));
            let field = |(key, value): (&String, &Value)| format!("{key}: {}", flow(value));
            format!("{{{}}}", said.map(field).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) if text.starts_with('/') => text.clone(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A value as lines of YAML that no reader takes for something else.
fn block(value: &Value, lead: &str, indent: usize, out: &mut String) {
    let (mut lead, pad) = (lead.to_owned(), " ".repeat(indent));
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let key = format!("{lead}{}:", quoted(key));
                lead.clone_from(&pad);
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        let _ = writeln!(out, "{key}");
                        block(value, &format!("{pad}  "), indent + 2, out);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        let _ = writeln!(out, "{key}");
                        block(value, &pad, indent, out);
                    }
                    leaf => block(leaf, &format!("{key} "), indent, out),
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                block(item, &format!("{pad}- "), indent + 2, out);
            }
        }
        leaf => {
            let text = leaf.as_str().map_or_else(|| leaf.to_string(), quoted);
            let _ = writeln!(out, "{lead}{text}");
        }
    }
}

/// An object without what its key says.
fn body(mut object: Value) -> String {
    let fields = object.as_object_mut().unwrap();
    fields.remove("kind");
    fields.remove("apiVersion");
    let metadata = fields["metadata"].as_object_mut().unwrap();
    metadata.remove("name");
    metadata.remove("namespace");
    if metadata.is_empty() {
        fields.remove("metadata");
    }
    let mut out = String::new();
    if !fields.is_empty() {
        block(&object, "", 0, &mut out);
    }
    out
}

/// Apps whose newest revision is not in the plans, or not in all.
fn stays(step: &Step, out: &mut String) {
    let mut lines = String::new();
    for (id, decision) in &step.output.decided.apps {
        let here = |note: &Note| format!("{} {}", note.code, note.at).trim_end().to_owned();
        if let Some(note) = &decision.blocked {
            let _ = writeln!(lines, "  {id}: {}", here(note));
        }
        for wait in decision.waits.iter().filter(|_| decision.blocked.is_none()) {
            let on = ranges(&wait.clusters.iter().collect::<Vec<_>>());
            let _ = writeln!(lines, "  {id} on {on}: {}, {}", wait.reason, here(&wait.note));
        }
    }
    if !lines.is_empty() {
        let _ = write!(out, "\nstays as it is:\n{lines}");
    }
}

/// Everything said, each thing once. Approvals are named by a digest that nobody wants to read here.
fn notes(step: &Step, out: &mut String) {
    let mut of: BTreeMap<String, Vec<&Note>> = BTreeMap::new();
    of.insert("the fleet repo".to_owned(), step.notes.iter().collect());
    for (source, note) in &step.output.decided.notes {
        let name = match source.to_string() {
            fleet if fleet == "fleet" => "the fleet repo".to_owned(),
            source => source,
        };
        of.entry(name).or_default().push(note);
    }
    for decision in step.output.decided.apps.values() {
        if let Some(note) = &decision.blocked {
            of.entry(decision.source.to_string()).or_default().push(note);
        }
    }
    for (source, mut notes) in of {
        notes.retain(|note| note.code != "RW4010");
        notes.sort_by_key(|note| (&note.at, &note.code, &note.message));
        notes.dedup();
        if !notes.is_empty() {
            let _ = writeln!(out, "\nsaid of {source}:");
        }
        for note in notes {
            for line in note.to_string().lines() {
                // A thing that is gone has no place.
                let _ = writeln!(out, "  {}", line.trim_end_matches(" --> "));
            }
        }
    }
}

/// Names, with runs of numbers drawn together: `eu-001…eu-040`.
fn ranges(names: &[&ClusterName]) -> String {
    let split = |name: &str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (stem.to_owned(), name[stem.len()..].parse::<u64>().ok())
    };
    let mut runs: Vec<Vec<&str>> = Vec::new();
    for name in names.iter().map(|name| name.as_str()) {
        let (stem, number) = split(name);
        let next = |run: &Vec<&str>| {
            let (last, at) = split(run[run.len() - 1]);
            last == stem && at.is_some_and(|at| number == Some(at + 1))
        };
        match runs.last_mut().filter(|run| next(run)) {
            Some(run) => run.push(name),
            None => runs.push(vec![name]),
        }
    }
    let text = |run: &Vec<&str>| match run.len() {
        1 | 2 => run.join(", "),
        many => format!("{}…{} ({many})", run[0], run[many - 1]),
    };
    runs.iter().map(text).collect::<Vec<_>>().join(", ")
}
