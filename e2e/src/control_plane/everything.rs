//! All objects of a cluster, whatever their kind: to see what is there too much.

use anyhow::{Context, Result};
use serde_json::Value;

use super::ControlPlane;

/// Kinds by which a cluster only says what goes on in it.
const TALK: [&str; 2] = ["Event", "Lease"];

impl ControlPlane {
    /// All objects that `kubectl get` finds with these arguments, of every kind that can be listed; without what was
    /// said of events and leaders.
    pub fn everything(&self, which: &[&str]) -> Result<Vec<Value>> {
        // Of kinds without a namespace, `-n` and `-A` would find all.
        let namespaced: &[&str] = if which.is_empty() { &[] } else { &["--namespaced"] };
        let list: Vec<&str> =
            ["api-resources", "--verbs=list", "-o", "name"].iter().chain(namespaced).copied().collect();
        let kinds = self.kubectl(&list)?.lines().collect::<Vec<_>>().join(",");
        let which: &[&str] = if which.is_empty() { &["-A"] } else { which };
        let arguments: Vec<&str> = ["get", &kinds, "-o", "json"].iter().chain(which).copied().collect();
        let mut found: Value = serde_json::from_str(&self.kubectl(&arguments)?)?;
        let Value::Array(mut items) = found["items"].take() else { return Err(anyhow::anyhow!("no list")) };
        items.retain(|object| !TALK.iter().any(|kind| object["kind"] == *kind));
        Ok(items)
    }
}

/// An object as `Kind.group/namespace/name`.
pub fn name_of(object: &Value) -> Result<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("an object without kind or name");
    let (version, kind) = (text(&object["apiVersion"])?, text(&object["kind"])?);
    let group = version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    let name = text(&object["metadata"]["name"])?;
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    Ok(format!("{kind}{group}/{namespace}/{name}"))
}
