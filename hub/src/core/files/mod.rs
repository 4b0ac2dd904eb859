//! Files → policy: the fleet repo's documents and the tenants' App files, read
//! strictly and fail-static. A file that is wrong changes nothing: what it said
//! when it was last right stays in force, and a note says so.

mod app;
mod apps;
mod cases;
mod changes;
mod check;
mod fleet;
mod guardrail;
mod kinds;
mod load;
mod options;
mod patch;
mod pointer;
mod selector;
mod source;
mod tenant;
mod what;

use std::collections::BTreeMap;

use rimward_proto::ClusterName;
use rimward_proto::nearest::closest;

use self::check::{Check, Shape};
use super::codes;
use super::note::{Note, Position};
use super::select::ClusterIndex;
use super::yaml::{Node, Value};

pub(in crate::core) use apps::load_apps_indexed;
pub use apps::{AppsLoad, load_apps};
pub use cases::{Case, Test, TestsLoad, load_tests};
pub use fleet::{DEFAULT_HEALTH_TIMEOUT, DEFAULT_MAX_PER_PLAN, DEFAULT_PROTECT};
pub use load::{FleetLoad, load_fleet};
pub(in crate::core) use options::{DRIFT_MODES, TAKEOVERS, listed, word};
pub use what::{KindsIn, kinds_in};

/// The `apiVersion` of our own documents.
pub const API_VERSION: &str = "rimward.dev/v1alpha1";
/// The name of every App file.
pub const APP_FILE: &str = "rimward.yaml";
/// One App file, bytes: the longest sane one is a few KiB; overrides for hundreds of clusters still fit.
pub const APP_FILE_BYTES: usize = 256 << 10;

const DOCUMENT: Shape = Shape { known: &["apiVersion", "kind", "metadata", "spec"], later: &[] };
const NAMED: Shape = Shape { known: &["name"], later: &[] };

/// What a document says it is.
struct Header<'n> {
    version: &'n str,
    kind: &'n str,
}

fn header(node: &Node) -> Header<'_> {
    let text = |key| node.get(key).and_then(Node::text).unwrap_or("");
    Header { version: text("apiVersion"), kind: text("kind") }
}

/// `path` below `base`, both relative; the empty path is the top. `None` if it leads out.
fn path_below(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let parts = base.split('/').chain(path.split('/')).filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

fn labels(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, String> {
    let Value::Map(entries) = &node.value else {
        check.error(codes::VALUE, node.at, format!("labels must be a mapping, not {}", node.kind())).help =
            "write them as `name: value`".to_owned();
        return BTreeMap::new();
    };
    let text = |check: &mut Check<'_>, node: &Node, key: &str| {
        check.text(node, &format!("label `{key}`")).map(str::to_owned)
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), text(check, &entry.node, &entry.key)?)))
        .collect()
}

fn unknown_cluster(at: Position, name: &ClusterName, clusters: &ClusterIndex) -> Note {
    let names = clusters.names().iter().map(ClusterName::as_str);
    let help = match closest(name.as_str(), names.collect::<Vec<_>>()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a cluster needs a Cluster document in the fleet repo".to_owned(),
    };
    Note::warning(codes::UNKNOWN_CLUSTER, at, format!("no cluster is called `{name}`")).help(help)
}

#[cfg(test)]
mod tests {
    use super::path_below;

    #[test]
    fn paths_stay_below() {
        assert_eq!(path_below("a/b", "./c/"), Some("a/b/c".to_owned()));
        assert_eq!(path_below("", "."), Some(String::new()));
        for bad in ["/etc", "..", "a/../../b", "../x"] {
            assert_eq!(path_below("a", bad), None, "{bad}");
        }
    }
}
