//! No file is forgotten. A test that no target reaches is never compiled, and
//! nobody notices; the same goes for sources and benches.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{Files, rust};

/// Rust files below `src`, `tests`, `benches` and `examples` of any package
/// that no target reaches.
pub fn forgotten(files: &Files) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<(String, bool)> = roots(files);
    while let Some((path, root)) = todo.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let text = files.get(&path).map_or("", String::as_str);
        for candidates in modules(&path, text, root) {
            let there = candidates.into_iter().filter(|path| files.contains_key(path));
            todo.extend(there.map(|path| (path, false)));
        }
    }
    rust(files)
        .map(|(path, _)| path)
        .filter(|path| !reached.contains(*path))
        .map(|path| format!("{path}: no target reaches it by `mod`"))
        .collect()
}

/// Benches that Cargo.toml does not declare: cargo would compile them with the
/// test harness, under which their `main` never runs.
pub fn undeclared_benches(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for path in files.keys() {
        let Some((package, name)) = path.split_once("/benches/") else {
            continue;
        };
        let Some(name) = name.strip_suffix(".rs").filter(|name| !name.contains('/')) else {
            continue;
        };
        let declared = targets(manifest(files, package), "bench");
        let of_it = declared.iter().find(|bench| bench.get("name") == Some(&name));
        if of_it.and_then(|bench| bench.get("harness")) != Some(&"false") {
            found.push(format!("{path}: no [[bench]] {name} with harness = false"));
        }
    }
    found
}

fn manifest<'a>(files: &'a Files, package: &str) -> &'a str {
    let path = format!("{package}/Cargo.toml");
    files.get(&path).map_or("", String::as_str)
}

/// The crate roots: what cargo finds by itself and what manifests declare.
fn roots(files: &Files) -> Vec<(String, bool)> {
    let mut roots = Vec::new();
    for manifest_path in files.keys().filter(|path| path.ends_with("Cargo.toml")) {
        let package = manifest_path.strip_suffix("Cargo.toml").unwrap_or("");
        for file in ["build.rs", "src/lib.rs", "src/main.rs"] {
            roots.push(format!("{package}{file}"));
        }
        for kind in ["bin", "test", "bench", "example"] {
            for target in targets(&files[manifest_path], kind) {
                roots.extend(target.get("path").map(|path| format!("{package}{path}")));
            }
        }
        for folder in ["src/bin", "tests", "benches", "examples"] {
            let prefix = format!("{package}{folder}/");
            let inside = files.keys().filter(|path| path.starts_with(&prefix));
            let is_root = |path: &&String| {
                let rest = &path[prefix.len()..];
                match rest.split_once('/') {
                    None => rest.ends_with(".rs"),
                    Some((_, file)) => file == "main.rs",
                }
            };
            roots.extend(inside.filter(is_root).cloned());
        }
    }
    let known = roots.into_iter().filter(|path| files.contains_key(path));
    known.map(|path| (path, true)).collect()
}

/// The `[[kind]]` tables of a manifest, as key and value.
fn targets<'a>(manifest: &'a str, kind: &str) -> Vec<BTreeMap<&'a str, &'a str>> {
    let mut tables = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == format!("[[{kind}]]");
            if inside {
                tables.push(BTreeMap::new());
            }
        } else if inside
            && let Some(table) = tables.last_mut()
            && let Some((key, value)) = line.split_once('=')
        {
            table.insert(key.trim(), value.trim().trim_matches('"'));
        }
    }
    tables
}

/// For each `mod name;` the paths it may mean.
fn modules(path: &str, text: &str, root: bool) -> Vec<Vec<String>> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let below = if root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    let mut attribute = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            attribute = rest.split('"').next();
        } else if let Some(name) = module_name(line) {
            found.push(match attribute.take() {
                Some(path) => vec![format!("{folder}/{path}")],
                None => vec![format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")],
            });
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            attribute = None;
        }
    }
    found
}

fn module_name(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let before_and_name = line.rsplit_once(' ')?;
    let (before, name) = before_and_name;
    let before = before.trim();
    (before == "mod" || before.starts_with("pub") && before.ends_with(" mod")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fake;

    #[test]
    fn a_file_that_nothing_names_is_found() {
        let files = fake(&[
            ("a/Cargo.toml", "[[bin]]\nname = \"x\"\npath = \"src/cli/main.rs\"\n"),
            ("a/src/lib.rs", "pub mod one;\n// mod lost;\n"),
            ("a/src/one.rs", "mod two;\n"),
            ("a/src/one/two.rs", ""),
            ("a/src/cli/main.rs", "pub(crate) mod get;\n"),
            ("a/src/cli/get.rs", ""),
            ("a/src/lost.rs", ""),
            ("a/tests/t.rs", "mod common;\n#[path = \"deep/x.rs\"]\n#[cfg(test)]\nmod x;\n"),
            ("a/tests/common/mod.rs", ""),
            ("a/tests/deep/x.rs", ""),
            ("a/tests/whole/main.rs", "mod part;\n"),
            ("a/tests/whole/part.rs", ""),
            ("a/tests/deep/forgotten.rs", ""),
        ]);
        let found = forgotten(&files).join("\n");
        assert_eq!(found.lines().count(), 2, "{found}");
        assert!(found.contains("a/src/lost.rs"), "{found}");
        assert!(found.contains("a/tests/deep/forgotten.rs"), "{found}");
    }

    #[test]
    fn a_bench_must_be_declared_without_the_harness() {
        let manifest = "[[bench]]\nname = \"good\"\nharness = false\n[[bench]]\nname = \"half\"\n";
        let files = fake(&[
            ("a/Cargo.toml", manifest),
            ("a/benches/good.rs", ""),
            ("a/benches/half.rs", ""),
            ("a/benches/none.rs", ""),
            ("a/benches/shared/mod.rs", ""),
        ]);
        let found = undeclared_benches(&files).join("\n");
        assert_eq!(found.lines().count(), 2, "{found}");
        assert!(found.contains("half") && found.contains("none"), "{found}");
    }
}
