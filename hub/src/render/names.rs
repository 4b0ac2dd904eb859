//! What the files of a part of a source are about, read loosely: which objects
//! are named, whatever else is wrong with the files. Who only asks whether an
//! object has somewhere to go needs no more, and must not miss one.

use std::collections::{BTreeMap, BTreeSet};

use rimward_proto::ObjectKey;

use super::part::Part;
use super::plain::expand_list;
use crate::core::model::SourceTree;
use crate::core::yaml::{self, Node};

/// Objects that files name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Kind, group and name, with the namespaces as far as they are said.
    known: BTreeMap<(String, String, String), BTreeSet<Option<String>>>,
    /// True if there is something that may name any object.
    pub unclear: bool,
}

impl Names {
    /// The names in the files of a part; `namespace` is that of objects that do not say, if it is known, and `patches` are
    /// files that are no manifests.
    pub fn read(
        part: Part<'_>,
        namespace: Option<&str>,
        tree: &SourceTree,
        roots: &BTreeSet<String>,
        patches: &BTreeSet<String>,
    ) -> Self {
        let mut names = Self { known: BTreeMap::new(), unclear: part.left_out(tree, roots).next().is_some() };
        for (_, bytes) in part.manifests(tree, roots).filter(|(path, _)| !patches.contains(*path)) {
            let Ok(documents) = yaml::parse(bytes) else {
                names.unclear = true;
                continue;
            };
            for node in documents.into_iter().flat_map(expand_list) {
                names.add(&node, namespace);
            }
        }
        names
    }

    fn add(&mut self, node: &Node, namespace: Option<&str>) {
        let text = |node: &Node, key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let metadata = node.get("metadata");
        let name = metadata.and_then(|metadata| text(metadata, "name"));
        let (Some(version), Some(kind), Some(name)) = (text(node, "apiVersion"), text(node, "kind"), name)
        else {
            self.unclear = true;
            return;
        };
        let group = version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let own = metadata.and_then(|metadata| text(metadata, "namespace")).filter(|text| !text.is_empty());
        let namespace = own.or_else(|| namespace.map(str::to_owned));
        self.known.entry((kind, group, name)).or_default().insert(namespace);
    }

    /// True if the files name this object, or may.
    pub fn has(&self, key: &ObjectKey) -> bool {
        let found = self.known.get(&(key.kind.clone(), key.group.clone(), key.name.clone()));
        let here = |namespace: &Option<String>| namespace.as_ref().is_none_or(|said| *said == key.namespace);
        found.is_some_and(|namespaces| key.namespace.is_empty() || namespaces.iter().any(here))
    }

    /// True if the files name no object.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.unclear
    }
}
