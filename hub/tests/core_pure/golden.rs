//! Golden fleets: each folder of `tests/golden` is a small fleet, and its
//! `expected.txt` is what comes of it, for people to read and for this test to hold.
//!
//! A folder has `about.txt`, `fleet/` (the fleet repo) and `sources/TENANT/SOURCE/` (tenant repos; a source that has no
//! folder was never read). `step-2/`, `step-3/` … have the same and lie over what was before: each is a later commit of
//! everything, planned with what was in force by then. The first line of an `about.txt` says what is shown; more lines
//! are
//!
//! - `show: objects`: objects are printed, not only named;
//! - `remove: PATH`: a file, or a folder with all in it, that is gone in this step;
//! - `approve`: what was held in the step before is approved.
//!
//! Every Cluster document is enrolled. `GOLDEN_UPDATE=1 cargo test -p rimward-hub --test core_pure golden` writes what
//! comes out; read it before committing: what stands there is documentation, and must be right by the reference.

use std::fs;
use std::path::{Path, PathBuf};

use rimward_hub::core::files::load_fleet;
use rimward_hub::core::model::SourceTree;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::golden_text::shown;
use super::world::{World, source};

/// Fewer folders than this, and the test looks at the wrong place.
const AT_LEAST: usize = 26;
/// Where the list of scenarios begins in the index page.
const INDEX: &str = "## Scenarios\n";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// What an `about.txt` says.
struct About {
    title: String,
    objects: bool,
    approve: bool,
    remove: Vec<String>,
}

fn about(folder: &Path) -> About {
    let text = fs::read_to_string(folder.join("about.txt"))
        .unwrap_or_else(|error| panic!("{}: about.txt: {error}", folder.display()));
    let mut lines = text.lines();
    let title = lines.next().unwrap().to_owned();
    assert!(title.ends_with('.'), "{}: the first line is no sentence", folder.display());
    let mut about = About { title, objects: false, approve: false, remove: Vec::new() };
    for line in lines {
        match line.split_once(": ") {
            Some(("show", "objects")) => about.objects = true,
            Some(("remove", path)) => about.remove.push(path.to_owned()),
            None if line == "approve" => about.approve = true,
            _ => panic!("{}: not known: {line}", folder.display()),
        }
    }
    about
}

/// Folders in a folder, by name.
fn folders(of: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(of) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// All files below a folder, by path in it.
fn files(of: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut next) = (Vec::new(), vec![of.to_owned()]);
    while let Some(folder) = next.pop() {
        next.extend(folders(&folder));
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let inside = path.strip_prefix(of).unwrap().to_str().unwrap().to_owned();
            found.push((inside, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Lays what is in a folder over what the world has.
fn lay(folder: &Path, about: &About, world: &mut World) {
    about.remove.iter().for_each(|path| remove(path, world));
    for (path, bytes) in files(&folder.join("fleet")) {
        world.fleet.insert(path, bytes.into());
    }
    for tenant in folders(&folder.join("sources")) {
        for of in folders(&tenant) {
            let id = source(&format!("{}/{}", name(&tenant), name(&of)));
            let tree = world.sources.entry(id).or_default().get_or_insert_default();
            tree.extend(files(&of).into_iter().map(|(path, bytes)| (path, bytes.into())));
        }
    }
    let tree = SourceTree { files: world.fleet.clone(), ..SourceTree::default() };
    let clusters = load_fleet(&tree, &world.good).policy.clusters;
    clusters.keys().for_each(|cluster| world.enroll(cluster.as_str()));
}

/// Removes a file or a folder of a repo; the repo itself stays, if empty.
fn remove(path: &str, world: &mut World) {
    let below = |file: &str, gone: &str| {
        gone.is_empty()
            || file.strip_prefix(gone).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut gone = 0;
    if let Some(of_fleet) = path.strip_prefix("fleet/") {
        world.fleet.retain(|file, _| {
            !below(file, of_fleet) || {
                gone += 1;
                false
            }
        });
    }
    for (id, tree) in &mut world.sources {
        let root = format!("sources/{id}");
        let Some(rest) = path.strip_prefix(&root) else { continue };
        let inside = rest.trim_start_matches('/');
        let tree = tree.get_or_insert_default();
        tree.retain(|file, _| {
            !below(file, inside) || {
                gone += 1;
                false
            }
        });
    }
    assert!(gone > 0, "nothing to remove at {path}");
}

/// What comes of a folder, as text.
fn play(folder: &Path) -> String {
    let (mut world, mut held) = (World::default(), Vec::new());
    let objects = about(folder).objects;
    let mut steps = vec![folder.to_owned()];
    steps.extend(folders(folder).into_iter().filter(|path| name(path).starts_with("step-")));
    let mut out = String::new();
    for (number, at) in steps.iter().enumerate().map(|(i, at)| (i + 1, at)) {
        let about = about(at);
        match number {
            1 => out.push_str(&format!("{}\n", about.title)),
            _ => out.push_str(&format!("\nStep {number}: {}\n", about.title)),
        }
        assert!(number == 1 || name(at) == format!("step-{number}"), "{} is no next step", at.display());
        lay(at, &about, &mut world);
        if about.approve {
            world.approvals.extend(held.drain(..));
        }
        let step = world.step();
        held = step.output.decided.holds.iter().map(|hold| hold.digest).collect();
        out.push_str(&shown(&world, &step, objects));
    }
    out
}

/// Lines that differ.
fn differences(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut out = String::new();
    for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
        let (tag, old, new) = op.as_tag_tuple();
        if tag != DiffTag::Equal {
            out.push_str(&format!("@@ line {}\n", old.start + 1));
            before[old].iter().for_each(|line| out.push_str(&format!("-{line}\n")));
            after[new].iter().for_each(|line| out.push_str(&format!("+{line}\n")));
        }
    }
    out
}

/// Holds a file to what it should be, or writes it.
fn hold(path: &Path, is: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("GOLDEN_UPDATE").is_some() {
        fs::write(path, is).unwrap();
        return;
    }
    match fs::read_to_string(path) {
        Err(error) => wrong.push(format!("{}: {error}", path.display())),
        Ok(expected) if expected == is => {}
        Ok(expected) => wrong.push(format!("{}:\n{}", path.display(), differences(&expected, is))),
    }
}

#[test]
fn golden_fleets_come_out_as_expected() {
    let scenarios = folders(&golden());
    assert!(scenarios.len() >= AT_LEAST, "only {} folders in {}", scenarios.len(), golden().display());
    let mut wrong = Vec::new();
    for folder in &scenarios {
        hold(&folder.join("expected.txt"), &play(folder), &mut wrong);
    }
    let index = golden().join("README.md");
    let text = fs::read_to_string(&index).unwrap();
    let (head, _) = text.split_once(INDEX).expect("the index page has a list of scenarios");
    let line = |folder: &PathBuf| {
        format!("- [{}]({}/expected.txt): {}\n", name(folder), name(folder), about(folder).title)
    };
    let list: String = scenarios.iter().map(line).collect();
    hold(&index, &format!("{head}{INDEX}\n{list}"), &mut wrong);
    assert!(wrong.is_empty(), "GOLDEN_UPDATE=1 writes what comes out\n{}", wrong.join("\n"));
}

#[test]
fn a_difference_is_shown_by_its_lines() {
    assert_eq!(differences("a\nb\nc\n", "a\nx\nc\nd\n"), "@@ line 2\n-b\n+x\n@@ line 4\n+d\n");
    let mut wrong = Vec::new();
    if std::env::var_os("GOLDEN_UPDATE").is_none() {
        hold(&golden().join("no such folder/expected.txt"), "x", &mut wrong);
        assert_eq!(wrong.len(), 1, "a folder without an expected file is wrong");
    }
}
