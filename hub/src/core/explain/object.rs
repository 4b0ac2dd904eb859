//! One object: which App brings it, from where in Git, and what its cluster says
//! of it. Of what cannot be seen nothing good is said.

use jiff::Timestamp;
use rimward_proto::limits::REPORT_EXCEPTIONS;
use rimward_proto::object::is_kind;
use rimward_proto::report::State;
use rimward_proto::{AppId, ClusterName, ObjectKey};
use serde::{Deserialize, Serialize};

use crate::core::note::Position;
use crate::core::status::cluster::ClusterView;
use crate::core::world::World;

/// An object as people name it: `KIND/NAMESPACE/NAME`, or `KIND/NAME` without a namespace. A bare kind means any group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    kind: String,
    namespace: String,
    name: String,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, name] => (kind, "", name),
            [kind, namespace, name] if !namespace.is_empty() => (kind, *namespace, name),
            _ => return Err(format!("`{text}` is neither KIND/NAMESPACE/NAME nor KIND/NAME")),
        };
        if kind.is_empty() || name.is_empty() || *kind == "*" {
            return Err(format!("`{text}` is neither KIND/NAMESPACE/NAME nor KIND/NAME"));
        }
        Ok(Self { kind: (*kind).to_owned(), namespace: namespace.to_owned(), name: (*name).to_owned() })
    }
}

impl Wanted {
    /// True if this is the object.
    pub fn is(&self, key: &ObjectKey) -> bool {
        is_kind(&self.kind, &key.group, &key.kind) && self.namespace == key.namespace && self.name == key.name
    }
}

/// An App that brings an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The App.
    pub app: AppId,
    /// The object.
    pub key: ObjectKey,
    /// Where it is written; none if what is loaded does not have it any more.
    pub at: Option<Position>,
    /// The commit of that.
    pub commit: String,
    /// True if the plan in force on the cluster has it from this App.
    pub here: bool,
}

/// An object on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectThere {
    /// `Kind.group/namespace/name`.
    pub key: String,
    /// The App that brings it, `tenant/name`.
    pub app: String,
    /// Where it is written; empty if what is loaded does not have it any more.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The commit of that.
    pub commit: String,
    /// True if the plan in force on the cluster has it from this App.
    pub here: bool,
    /// Its state there; empty if it is not there, or if that is not known.
    pub state: String,
    /// CamelCase, if it is not Ready.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When that was true; none if nothing is known.
    pub as_of: Option<Timestamp>,
}

/// What its cluster says of it.
pub fn there(world: &World, cluster: &ClusterName, located: &Located, now: Timestamp) -> ObjectThere {
    let at = located.at.clone().unwrap_or_default();
    let mut there = ObjectThere {
        key: located.key.to_string(),
        app: located.app.to_string(),
        file: at.file,
        line: at.line,
        commit: located.commit.clone(),
        here: located.here,
        state: String::new(),
        reason: String::new(),
        message: String::new(),
        as_of: None,
    };
    if !located.here {
        "not in the plan of this cluster".clone_into(&mut there.message);
        return there;
    }
    let Some(view) = ClusterView::new(world, cluster, now) else { return there };
    let planned =
        view.wanted.and_then(|(_, plan)| plan.bundles.iter().find(|bundle| bundle.id() == located.app));
    let Some(planned) = planned else { return there };
    let app = view.app(planned);
    let report = view.known.apps.get(&located.app).map(|(report, _)| report);
    let report = report.filter(|report| report.bundle == Some(planned.digest));
    let unseen = matches!(app.state, State::Offline | State::Stale | State::Pending | State::Revoked);
    there.as_of = Some(app.as_of);
    let exception =
        report.and_then(|report| report.exceptions.iter().find(|object| object.key == located.key));
    match (exception, report) {
        _ if unseen || app.state == State::Ready => {
            app.state.as_str().clone_into(&mut there.state);
            (there.reason, there.message) = (app.reason, app.message);
        }
        (Some(object), _) => {
            app.state.as_str().clone_into(&mut there.state);
            there.reason.clone_from(&object.reason);
            there.message.clone_from(&object.message);
        }
        (None, Some(report)) if report.exceptions.len() < REPORT_EXCEPTIONS => {
            there.message =
                format!("nothing is wrong with it; its App is {} {}", app.state.as_str(), app.reason);
        }
        _ => there.message = format!("not told of it; its App is {} {}", app.state.as_str(), app.reason),
    }
    there
}
