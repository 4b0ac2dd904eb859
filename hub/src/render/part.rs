//! Which part of a source is an App's: the folder of its manifests, without
//! dot-paths and without folders that are Apps of their own. One answer for what
//! is rendered and for what is looked at when files go from one App to another.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::files::APP_FILE;
use crate::core::model::{App, LeftOut, SourceTree};

/// The part of a source between an App's root and everything below its path.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The folder of the App's file.
    pub root: &'a str,
    /// The folder of its manifests, the root or below it.
    pub path: &'a str,
}

impl<'a> Part<'a> {
    /// The part of an App.
    pub fn of(app: &'a App) -> Self {
        Self { root: &app.root, path: &app.path }
    }

    /// The part of an App file of which it is not known what it says: all of its folder.
    pub fn around(file: &'a str) -> Self {
        let root = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self { root, path: root }
    }

    /// Files of this part that may be manifests, by their names.
    pub fn manifests<'t>(
        self,
        tree: &'t SourceTree,
        roots: &BTreeSet<String>,
    ) -> impl Iterator<Item = (&'t String, &'t Arc<[u8]>)> {
        // Paths with one prefix stand together, so the walk ends with the folder.
        let files = tree.files.range(self.start()..);
        let files = files.map_while(move |(path, bytes)| Some((path, bytes, below(path, self.path)?)));
        let own = files.filter(move |(path, _, rest)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            is_yaml(name) && name != APP_FILE && !self.foreign(roots, path, rest)
        });
        own.map(|(path, bytes, _)| (path, bytes))
    }

    /// What is not read where manifests may be.
    pub fn left_out<'t>(
        self,
        tree: &'t SourceTree,
        roots: &BTreeSet<String>,
    ) -> impl Iterator<Item = (&'t String, LeftOut)> {
        let way = ancestors(self.path).chain([self.path]);
        let way = way.filter_map(|folder| tree.left_out.get_key_value(folder));
        let inside = tree.left_out.range(self.start()..).map_while(move |(path, what)| {
            let rest = below(path, self.path)?;
            Some((!self.foreign(roots, path, rest) && may_be_manifest(path, *what)).then_some((path, what)))
        });
        way.chain(inside.flatten()).map(|(path, what)| (path, *what))
    }

    /// True of the root of another App that takes manifests out of this part.
    pub fn cut_by(self, roots: &BTreeSet<String>, folder: &str) -> bool {
        let meets = match below(folder, self.path) {
            Some(rest) => !rest.split('/').any(is_hidden),
            None => folder == self.path || below(self.path, folder).is_some(),
        };
        meets && self.is_other(roots, folder) && !ancestors(folder).any(|above| self.is_other(roots, above))
    }

    fn start(self) -> String {
        if self.path.is_empty() { String::new() } else { format!("{}/", self.path) }
    }

    /// True of a path, `rest` below the part's own, that is in a dot-path or in a folder that is an App of its own.
    fn foreign(self, roots: &BTreeSet<String>, path: &str, rest: &str) -> bool {
        rest.split('/').any(is_hidden) || ancestors(path).any(|folder| self.is_other(roots, folder))
    }

    fn is_other(self, roots: &BTreeSet<String>, folder: &str) -> bool {
        roots.contains(folder) && folder != self.root && below(folder, self.root).is_some()
    }
}

/// The folders of a tree that are Apps of their own.
pub fn app_roots(tree: &SourceTree) -> BTreeSet<String> {
    let folder = |path: &String| {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        (file == APP_FILE).then(|| folder.to_owned())
    };
    tree.files.keys().filter_map(folder).collect()
}

fn may_be_manifest(path: &str, what: LeftOut) -> bool {
    match what {
        LeftOut::LinkToFile | LeftOut::OddFile => is_yaml(path),
        LeftOut::LinkToFolder | LeftOut::Link | LeftOut::Submodule | LeftOut::OddFolder => true,
    }
}

fn is_yaml(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

fn is_hidden(part: &str) -> bool {
    part.starts_with('.')
}

/// The rest of `path` below `folder`; the empty folder is the top.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

/// The folders a file is in, the top left out.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cut_a_part() {
        let cut = |root: &str, path: &str, roots: &[&str], folder: &str| {
            let roots = roots.iter().map(|root| (*root).to_owned()).collect();
            Part { root, path }.cut_by(&roots, folder)
        };
        assert!(cut("a", "a", &["a", "a/b"], "a/b"));
        assert!(
            cut("", "", &["a"], "a") && cut("", "a/b", &["a"], "a") && cut("a", "a/b/c", &["a/b"], "a/b")
        );
        assert!(cut("a", "a/.b", &["a/.b/c"], "a/.b/c"), "a dot-folder that the App names is its own");
        assert!(!cut("a", "a", &["a"], "a") && !cut("a/b", "a/b", &["a"], "a"));
        assert!(!cut("a", "a", &["ab", "b"], "ab") && !cut("a", "a/b", &["a/c"], "a/c"));
        assert!(!cut("a", "a", &["a/.b"], "a/.b") && !cut("a", "a", &["a/b/.c/d"], "a/b/.c/d"));
        assert!(!cut("a", "a", &["a/b", "a/b/c"], "a/b/c"), "another App cuts that");
    }
}
