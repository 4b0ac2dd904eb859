//! Whatever is moved about in a source, and however wrong some of it is: an
//! object leaves a cluster only if no file asks for it there any more, or the
//! App whose file it is can be planned and does not select that cluster.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::Plan;

use super::rails::{RAILS, some_rail};
use super::world::{FLEET, Step, World, app, cluster, config_map, source};

const FOLDERS: [&str; 5] = ["web", "web/sub", "web/sub/deep", "db", "site"];
const NAMES: [&str; 4] = ["web", "db", "sub", "site"];
const SELECTORS: [&str; 3] = ["{}", "{names: [eu-1]}", "{names: [us-1]}"];
const OBJECTS: usize = 4;

/// What happens to one file.
#[derive(Debug, Clone)]
enum Edit {
    /// The folder, the file in it, and the objects it names.
    Manifest(usize, usize, Vec<usize>),
    BadManifest(usize, usize),
    NoManifest(usize, usize),
    App(usize, usize, usize),
    WrongApp(usize, usize),
    BrokenApp(usize),
    NoApp(usize),
    Rail(usize),
    Quota(u64),
}

fn edit() -> impl Strategy<Value = Edit> {
    let (folder, file) = (0..FOLDERS.len(), 0..2_usize);
    let objects = prop::collection::vec(0..OBJECTS, 1..3);
    prop_oneof![
        5 => (folder.clone(), file.clone(), objects).prop_map(|(a, b, c)| Edit::Manifest(a, b, c)),
        1 => (folder.clone(), file.clone()).prop_map(|(a, b)| Edit::BadManifest(a, b)),
        3 => (folder.clone(), file).prop_map(|(a, b)| Edit::NoManifest(a, b)),
        5 => (folder.clone(), 0..NAMES.len(), 0..SELECTORS.len()).prop_map(|(a, b, c)| Edit::App(a, b, c)),
        1 => (folder.clone(), 0..NAMES.len()).prop_map(|(a, b)| Edit::WrongApp(a, b)),
        1 => folder.clone().prop_map(Edit::BrokenApp),
        2 => folder.prop_map(Edit::NoApp),
        2 => (0..RAILS).prop_map(Edit::Rail),
        1 => (1..5_u64).prop_map(Edit::Quota),
    ]
}

fn apply(world: &mut World, edit: &Edit) {
    let (path, text) = match edit {
        Edit::Manifest(folder, file, objects) => {
            let objects: BTreeSet<&usize> = objects.iter().collect();
            let text: Vec<String> = objects.iter().map(|n| config_map(&format!("object-{n}"), "1")).collect();
            (format!("{}/m{file}.yaml", FOLDERS[*folder]), Some(text.join("---\n")))
        }
        Edit::BadManifest(folder, file) => {
            (format!("{}/m{file}.yaml", FOLDERS[*folder]), Some("a: [".to_owned()))
        }
        Edit::NoManifest(folder, file) => (format!("{}/m{file}.yaml", FOLDERS[*folder]), None),
        Edit::App(folder, name, clusters) => {
            (format!("{}/rimward.yaml", FOLDERS[*folder]), Some(app(NAMES[*name], SELECTORS[*clusters])))
        }
        Edit::WrongApp(folder, name) => {
            (format!("{}/rimward.yaml", FOLDERS[*folder]), Some(app(NAMES[*name], "{}") + "  nope: 1\n"))
        }
        Edit::BrokenApp(folder) => (format!("{}/rimward.yaml", FOLDERS[*folder]), Some("a: [".to_owned())),
        Edit::NoApp(folder) => (format!("{}/rimward.yaml", FOLDERS[*folder]), None),
        Edit::Rail(number) => return world.fleet("rails.yaml", &some_rail(*number)),
        Edit::Quota(most) => {
            return world.fleet("fleet.yaml", &format!("{FLEET}  quota: {{objects: {most}}}\n"));
        }
    };
    match text {
        Some(text) => world.file(&path, &text),
        None => {
            let files = world.sources.get_mut(&source("payments/apps")).unwrap().as_mut().unwrap();
            files.remove(&path);
        }
    }
}

/// The names of the objects of a plan.
fn objects(world: &World, plan: &Plan) -> BTreeSet<String> {
    let index = |digest| BundleIndex::parse(&world.stored[digest]).unwrap();
    let indexes = plan.bundles.iter().map(|bundle| index(&bundle.digest));
    indexes.flat_map(|index| index.entries().iter().map(|e| e.key.name.clone()).collect::<Vec<_>>()).collect()
}

/// Nobody asks for what went.
fn only_what_nobody_asks_for_goes(world: &World, step: &Step) {
    let files = world.sources[&source("payments/apps")].as_ref().unwrap();
    for on in ["eu-1", "us-1"] {
        let on = cluster(on);
        let (before, now) = (objects(world, &step.before[&on]), objects(world, &step.output.plans[&on]));
        for object in before.difference(&now) {
            for (path, bytes) in files {
                let text = std::str::from_utf8(bytes).unwrap();
                if path.ends_with("rimward.yaml") || !text.contains(&format!("name: {object}}}")) {
                    continue;
                }
                let folders: BTreeMap<usize, &str> =
                    path.match_indices('/').map(|(at, _)| (at, &path[..at])).collect();
                let of = folders.into_values().rev().map(|folder| format!("{folder}/rimward.yaml"));
                let Some(of) = of.into_iter().find(|file| files.contains_key(file)) else { continue };
                let owner = step.output.apps.values().find(|app| app.at.file == of);
                let Some(owner) = owner else {
                    panic!("{on}: {object} went, and {path} is below wrong {of}")
                };
                let names = &owner.clusters.names;
                let selects = names.as_ref().is_none_or(|names| names.contains(&on));
                assert!(!selects, "{on}: {object} went, and is in {path} of {}", owner.id);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_goes_that_a_file_still_asks_for(
        commits in prop::collection::vec(prop::collection::vec(edit(), 1..6), 1..8)
    ) {
        let mut world = World::started();
        for name in ["web", "db"] {
            world.remove(&format!("{name}/cm.yaml"));
        }
        world.file("web/m0.yaml", &config_map("object-0", "1"));
        world.file("web/sub/m0.yaml", &config_map("object-1", "1"));
        world.file("db/m0.yaml", &config_map("object-2", "1"));
        world.step();
        for commit in &commits {
            commit.iter().for_each(|edit| apply(&mut world, edit));
            let step = world.step();
            only_what_nobody_asks_for_goes(&world, &step);
        }
        prop_assert!(world.step().unchanged());
    }
}
