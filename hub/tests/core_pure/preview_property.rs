//! Properties: a preview applied to what there is gives what there will be, in
//! whatever order files stand, and no value of a Secret is ever in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rimward_hub::core::preview::{Action, Limits, Outcome, Preview, markdown, preview, text};
use rimward_hub::core::world::Decided;
use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::Plan;
use rimward_proto::{ClusterName, Digest};
use serde_json::Value;

use super::world::{World, app, config_map};

const APPS: [&str; 3] = ["web", "db", "job"];
const SELECTORS: [&str; 3] = ["{}", "{names: [us-1]}", "{matchLabels: {region: eu}}"];

/// One thing that people do.
#[derive(Debug, Clone)]
enum Edit {
    Map(usize, usize, u8),
    Secret(usize, u32),
    Claim(usize),
    Remove(usize, usize),
    /// A file goes from one App to another.
    Hand(usize, usize, usize),
    App(usize, usize, bool),
    NoApp(usize),
    Rename(usize),
}

const FILES: [&str; 4] = ["a.yaml", "b.yaml", "secret.yaml", "claim.yaml"];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let app = 0..APPS.len();
    let file = 0..FILES.len();
    let edit = prop_oneof![
        4 => (app.clone(), 0..2_usize, 0..3_u8).prop_map(|(a, n, v)| Edit::Map(a, n, v)),
        2 => (app.clone(), any::<u32>()).prop_map(|(a, v)| Edit::Secret(a, v)),
        1 => app.clone().prop_map(Edit::Claim),
        2 => (app.clone(), file.clone()).prop_map(|(a, f)| Edit::Remove(a, f)),
        2 => (app.clone(), app.clone(), file).prop_map(|(a, b, f)| Edit::Hand(a, b, f)),
        3 => (app.clone(), 0..SELECTORS.len(), any::<bool>()).prop_map(|(a, s, r)| Edit::App(a, s, r)),
        1 => app.clone().prop_map(Edit::NoApp),
        1 => app.prop_map(Edit::Rename),
    ];
    prop::collection::vec(edit, 1..12)
}

fn canary(value: u32) -> String {
    format!("canary-{value:010}-yranac")
}

fn apply(world: &mut World, edit: &Edit) {
    let files = world.sources.values_mut().next().unwrap().as_mut().unwrap();
    let mut put = |path: String, text: String| drop(files.insert(path, text.into_bytes().into()));
    match edit {
        Edit::Map(a, n, value) => {
            let text = config_map(&format!("{}-{n}", APPS[*a]), &"line\n".repeat(usize::from(*value)));
            put(format!("{}/{}", APPS[*a], FILES[*n]), text);
        }
        Edit::Secret(a, value) => {
            let canary = canary(*value);
            let text = format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: {}, annotations: {{a: {canary}}}}}\n\
                 stringData: {{k: {canary}}}\ndata: {{d: {}}}\n",
                APPS[*a],
                STANDARD.encode(&canary)
            );
            put(format!("{}/secret.yaml", APPS[*a]), text);
        }
        Edit::Claim(a) => put(format!("{}/claim.yaml", APPS[*a]), super::preview::claim(APPS[*a])),
        Edit::Remove(a, f) => drop(files.remove(&format!("{}/{}", APPS[*a], FILES[*f]))),
        Edit::Hand(a, b, f) => {
            if let Some(file) = files.remove(&format!("{}/{}", APPS[*a], FILES[*f])) {
                files.insert(format!("{}/from-{}-{}", APPS[*b], APPS[*a], FILES[*f]), file);
            }
        }
        Edit::App(a, s, report) => {
            let more = if *report { "  drift: {mode: report}\n" } else { "" };
            put(format!("{}/rimward.yaml", APPS[*a]), app(APPS[*a], SELECTORS[*s]) + more);
        }
        Edit::NoApp(a) => drop(files.remove(&format!("{}/rimward.yaml", APPS[*a]))),
        Edit::Rename(a) => {
            let text = app(&format!("{}-new", APPS[*a]), "{}") + &format!("  formerly: [{}]\n", APPS[*a]);
            put(format!("{}/rimward.yaml", APPS[*a]), text);
        }
    }
}

/// What a cluster runs: the App and the content of each object.
type Running = BTreeMap<String, (String, Digest)>;

fn running(plan: &Plan, stored: &BTreeMap<Digest, Arc<[u8]>>) -> Running {
    let mut running = Running::new();
    for bundle in &plan.bundles {
        let index = BundleIndex::parse(&stored[&bundle.digest]).unwrap();
        for entry in index.entries() {
            let before = running.insert(entry.key.to_string(), (bundle.id().to_string(), entry.sha256));
            assert_eq!(before, None, "two Apps own {}", entry.key);
        }
    }
    running
}

/// A text with a unified diff applied to it.
fn patched(text: &[String], diff: &str) -> Vec<String> {
    let (mut out, mut at) = (Vec::new(), 0);
    for line in diff.lines() {
        let (sign, rest) = line.split_at(1);
        match sign {
            "@" => {
                let range = rest.split(' ').nth(1).unwrap().trim_start_matches('-');
                let (start, length) = range.split_once(',').unwrap();
                let (start, length): (usize, usize) = (start.parse().unwrap(), length.parse().unwrap());
                let start = if length == 0 { start } else { start - 1 };
                out.extend(text[at..start].iter().cloned());
                at = start;
            }
            "+" => out.push(rest.to_owned()),
            _ => {
                assert_eq!(text[at], rest, "in {diff}");
                at += 1;
                out.extend((sign == " ").then(|| rest.to_owned()));
            }
        }
    }
    out.extend(text[at..].iter().cloned());
    out
}

struct Sides<'a> {
    base: &'a BTreeMap<ClusterName, Arc<Plan>>,
    head: &'a BTreeMap<ClusterName, Arc<Plan>>,
    stored: &'a BTreeMap<Digest, Arc<[u8]>>,
}

impl Sides<'_> {
    fn preview(&self) -> Preview {
        compare(self.base, self.head, self.stored)
    }

    /// The preview applied to `base` is `head`.
    fn check(&self, preview: &Preview) {
        // The text of every object that there is, as a preview of it as new has it.
        let whole = compare(&BTreeMap::new(), self.base, self.stored);
        let (mut created, mut touched) = (0, BTreeSet::new());
        for (name, after) in self.head {
            let after = running(after, self.stored);
            let before = self.base.get(name).map(|plan| running(plan, self.stored)).unwrap_or_default();
            let mut now: BTreeMap<String, String> =
                before.iter().map(|(key, (app, _))| (key.clone(), app.clone())).collect();
            for group in preview.groups.iter().filter(|group| group.clusters.contains(name)) {
                touched.insert(name.clone());
                let id = format!("{}/{}", group.tenant, group.app);
                for object in &group.objects {
                    let key = object.key.clone();
                    match object.action {
                        Action::Delete | Action::Keep => assert_eq!(now.remove(&key), Some(id.clone())),
                        Action::Move => assert_eq!(now.insert(key, id.clone()), Some(object.from.clone())),
                        Action::Change => assert_eq!(now[&key], id),
                        Action::Create => assert_eq!(now.insert(key, id.clone()), None),
                    }
                    created += u64::from(object.action == Action::Create);
                    self.check_content(&whole, object, before.get(&object.key), after.get(&object.key));
                }
            }
            let wanted: BTreeMap<String, String> =
                after.iter().map(|(key, (app, _))| (key.clone(), app.clone())).collect();
            assert_eq!(now, wanted, "{name}");
            // And what is not said to change does not.
            let said: BTreeSet<&String> = preview
                .groups
                .iter()
                .filter(|group| group.clusters.contains(name))
                .flat_map(|group| group.objects.iter().map(|object| &object.key))
                .collect();
            for (key, is) in before.iter().filter(|(key, _)| !said.contains(key)) {
                assert_eq!(after.get(key), Some(is), "{key}");
            }
        }
        assert_eq!(preview.summary.clusters, touched.len() as u64);
        assert_eq!(preview.summary.create, created);
    }

    fn check_content(
        &self,
        whole: &Preview,
        object: &rimward_hub::core::preview::ObjectChange,
        before: Option<&(String, Digest)>,
        after: Option<&(String, Digest)>,
    ) {
        let Some((_, after)) = after else { return };
        let same = before.is_some_and(|(_, before)| before == after);
        assert_eq!(object.diff.is_empty(), same, "{object:?}");
        if object.key.starts_with("Secret/") {
            return;
        }
        let lines = |diff: &str| patched(&[], diff);
        let is_it = |other: &&rimward_hub::core::preview::ObjectChange| other.key == object.key;
        let all = || whole.groups.iter().flat_map(|group| &group.objects).filter(is_it);
        let wanted: Value = serde_json::from_slice(&self.stored[after]).unwrap();
        let fits = |text: Vec<String>| {
            serde_yaml::from_str::<Value>(&(text.join("\n") + "\n")).is_ok_and(|it| it == wanted)
        };
        // Of clusters with other content, another text is the one it applies to.
        let applied = match before {
            None => fits(lines(&object.diff)),
            Some(_) if same => true,
            Some(_) => all().any(|old| {
                std::panic::catch_unwind(|| patched(&lines(&old.diff), &object.diff)).is_ok_and(&fits)
            }),
        };
        assert!(applied, "{object:?}\n{wanted:#}");
    }
}

fn compare(
    base: &BTreeMap<ClusterName, Arc<Plan>>,
    head: &BTreeMap<ClusterName, Arc<Plan>>,
    stored: &BTreeMap<Digest, Arc<[u8]>>,
) -> Preview {
    let (decided, commits) = (Decided::default(), BTreeMap::new());
    let outcome = |plans| Outcome { plans, decided: &decided, commits: &commits };
    preview(outcome(base), outcome(head), &|digest: &Digest| stored.get(digest).cloned(), Limits::FULL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_preview_is_what_then_happens(edits in edits()) {
        let mut world = World::started();
        for chunk in edits.chunks(2) {
            chunk.iter().for_each(|edit| apply(&mut world, edit));
            let step = world.step();
            let sides = Sides { base: &step.before, head: &step.output.plans, stored: &world.stored };
            let preview = sides.preview();
            sides.check(&preview);
            prop_assert_eq!(preview.is_empty(), step.before == step.output.plans || only_commits(&sides));
            // The other way round nothing is shared by accident, and nothing is empty that is not.
            prop_assert!(compare(&step.output.plans, &step.output.plans, &world.stored).is_empty());
            let shown = serde_json::to_string(&preview).unwrap() + &text(&preview, true) + &markdown(&preview, None);
            prop_assert!(!shown.contains("yranac"), "{}", shown);
            prop_assert!(!shown.contains(STANDARD.encode("yranac").trim_end_matches('=')), "{}", shown);
            // Nor what names the content of a Secret.
            for (digest, bytes) in &world.stored {
                let secret = bytes.windows(15).any(|part| part == b"\"kind\":\"Secret\"");
                prop_assert!(!secret || !shown.contains(&digest.hex()));
            }
        }
    }

    /// Plans that are equal and not shared are equal: pointers only save work.
    #[test]
    fn sharing_makes_no_difference(edits in edits()) {
        let mut world = World::started();
        edits.iter().for_each(|edit| apply(&mut world, edit));
        let step = world.step();
        let apart = |plans: &BTreeMap<ClusterName, Arc<Plan>>| {
            plans.iter().map(|(name, plan)| (name.clone(), Arc::new(Plan::clone(plan)))).collect::<BTreeMap<_, _>>()
        };
        let shared = compare(&step.before, &step.output.plans, &world.stored);
        let apart = compare(&apart(&step.before), &apart(&step.output.plans), &world.stored);
        prop_assert_eq!(shared, apart);
    }
}

/// True if the plans differ in tombstones that go alone: what they removed was gone before.
fn only_commits(sides: &Sides<'_>) -> bool {
    sides
        .head
        .iter()
        .all(|(name, after)| sides.base.get(name).is_some_and(|before| before.bundles == after.bundles))
}
