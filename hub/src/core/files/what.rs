//! What a folder's files are meant to be: documents of the fleet repo, or App
//! files of a tenant.

use super::apps::meant_as_app;
use super::load::{KINDS, is_yaml};
use super::{API_VERSION, header};
use crate::core::model::SourceTree;
use crate::core::yaml;

/// What is among some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindsIn {
    /// Documents of the fleet repo, or what is meant as one.
    pub fleet: bool,
    /// App files, or what is meant as one.
    pub app: bool,
    /// Files that cannot be read, so that nobody knows.
    pub unreadable: bool,
}

/// Looks at every file.
pub fn kinds_in(tree: &SourceTree) -> KindsIn {
    let mut kinds = KindsIn::default();
    for (path, bytes) in tree.files.iter().filter(|(path, _)| is_yaml(path)) {
        if meant_as_app(path.rsplit('/').next().unwrap_or(path)) {
            kinds.app = true;
            continue;
        }
        let Ok(nodes) = yaml::parse(bytes) else {
            kinds.unreadable = true;
            continue;
        };
        for found in nodes.iter().map(header) {
            let meant = found.version.is_empty() || found.version.contains("rimward");
            // A document of ours with a kind that is misspelt is meant as one of ours as well.
            if found.version == API_VERSION || (meant && KINDS.contains(&found.kind)) {
                let app = found.kind == "App";
                (kinds.app, kinds.fleet) = (kinds.app || app, kinds.fleet || !app);
            }
        }
    }
    kinds
}
