//! Properties of overrides and variables: whatever they are and however they
//! change, the world's invariants hold (a cache changes nothing, nothing leaves
//! without a parsed absence, nothing is outside the tenant's bounds), what a
//! cluster gets is what one gets by applying everything one after the other, and
//! a cluster that waits loses nothing.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::world::{FLEET, World, app, cluster, id};

const CLUSTERS: [&str; 3] = ["eu-1", "us-1", "us-2"];
const SELECTORS: [&str; 4] =
    ["{}", "{names: [us-1]}", "{matchLabels: {region: us}}", "{matchLabels: {region: eu}}"];
const NAMES: [&str; 2] = ["a", "b"];

/// What a layer says of a variable.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    Null,
    Value(u8),
}

#[derive(Debug, Clone)]
struct Over {
    selector: usize,
    variables: [Said; 2],
    /// `/data/key` to a value; beyond the keys: an operation that fails.
    patch: Option<(u8, u8)>,
}

#[derive(Debug, Clone)]
struct Case {
    declared: [Option<Said>; 2],
    clusters: [[Said; 2]; 3],
    overrides: Vec<Over>,
    selector: usize,
    text: usize,
}

const TEXTS: [&str; 5] = ["plain", "${a}", "x${a}-${b}", "$${a} ${c} ${cluster.name}", "${b}"];

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![3 => Just(Said::Nothing), 1 => Just(Said::Null), 3 => (0..3_u8).prop_map(Said::Value)]
}

fn case() -> impl Strategy<Value = Case> {
    let over = (0..SELECTORS.len(), [said(), said()], prop::option::of((0..4_u8, 0..3_u8)))
        .prop_map(|(selector, variables, patch)| Over { selector, variables, patch });
    let declared = || {
        prop::option::weighted(
            0.8,
            said().prop_filter("a declaration says something", |s| *s != Said::Nothing),
        )
    };
    (
        [declared(), declared()],
        [[said(), said()], [said(), said()], [said(), said()]],
        prop::collection::vec(over, 0..4),
        0..3_usize,
        0..TEXTS.len(),
    )
        .prop_map(|(declared, clusters, overrides, selector, text)| Case {
            declared,
            clusters,
            overrides,
            selector,
            text,
        })
}

fn variables(said: &[Said; 2]) -> String {
    let one = |(name, said): (&&str, &Said)| match said {
        Said::Nothing => String::new(),
        Said::Null => format!("{name}: null, "),
        Said::Value(value) => format!("{name}: v{value}, "),
    };
    format!("{{{}}}", NAMES.iter().zip(said).map(one).collect::<String>())
}

impl Case {
    fn fleet(&self) -> String {
        let mut text = FLEET.to_owned();
        text += "---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {name: us-2, labels: {region: us}}\n";
        for (name, said) in CLUSTERS.iter().zip(&self.clusters) {
            let end = text
                .find(&format!("{{name: {name}, "))
                .map(|at| at + text[at..].find('\n').unwrap_or_default());
            text.insert_str(end.unwrap(), &format!("\nspec: {{variables: {}}}", variables(said)));
        }
        text
    }

    fn app(&self) -> String {
        let declared = self.declared.map(|said| said.unwrap_or(Said::Nothing));
        let mut text = app("web", SELECTORS[self.selector])
            + &format!("  variables: {}\n  overrides:\n", variables(&declared));
        if self.overrides.is_empty() {
            return text.replace("  overrides:\n", "");
        }
        for over in &self.overrides {
            let mut said = over.variables;
            // Only what is declared may be said.
            said.iter_mut()
                .zip(&self.declared)
                .filter(|(_, d)| d.is_none())
                .for_each(|(s, _)| *s = Said::Nothing);
            text +=
                &format!("  - clusters: {}\n    variables: {}\n", SELECTORS[over.selector], variables(&said));
            if let Some((key, value)) = over.patch {
                let (op, key) =
                    if key == 3 { ("test", "nothing".to_owned()) } else { ("add", format!("k{key}")) };
                text += &format!(
                    "    patches: [{{target: {{kind: ConfigMap}}, patch: \"[{{op: {op}, path: /data/{key}, value: p{value}}}]\"}}]\n"
                );
            }
        }
        text
    }

    fn manifest(&self) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{value: {:?}}}\n",
            TEXTS[self.text]
        )
    }

    fn matches(selector: usize, on: usize) -> bool {
        match selector {
            0 => true,
            1 => on == 1,
            2 => on != 0,
            _ => on == 0,
        }
    }

    /// The `data` of the ConfigMap on a cluster, by the rules one after the other: none if it waits.
    fn wanted(&self, on: usize) -> Option<Value> {
        let mut values: Vec<Option<String>> = Vec::new();
        let matching: Vec<&Over> =
            self.overrides.iter().filter(|over| Self::matches(over.selector, on)).collect();
        for n in 0..2 {
            let mut value = None;
            let layers = [self.declared[n].unwrap_or(Said::Nothing), self.clusters[on][n]];
            for said in layers.into_iter().chain(matching.iter().map(|over| over.variables[n])) {
                match said {
                    Said::Nothing => {}
                    Said::Null => value = None,
                    Said::Value(v) => value = Some(format!("v{v}")),
                }
            }
            values.push(value);
        }
        let mut text = TEXTS[self.text].to_owned();
        if self.text == 3 {
            let escaped = if self.declared[0].is_some() { "${a}" } else { "$${a}" };
            text = format!("{escaped} ${{c}} {}", CLUSTERS[on]);
        } else {
            for n in 0..2 {
                let name = format!("${{{}}}", NAMES[n]);
                if self.declared[n].is_some() && text.contains(&name) {
                    text = text.replace(&name, &values[n].clone()?);
                }
            }
        }
        let mut data = Map::from_iter([("value".to_owned(), json!(text))]);
        for (key, value) in matching.iter().filter_map(|over| over.patch) {
            if key == 3 {
                return None;
            }
            data.insert(format!("k{key}"), json!(format!("p{value}")));
        }
        Some(Value::Object(data))
    }
}

fn data(world: &World, on: usize) -> Option<Value> {
    let plan = world.previous.get(&cluster(CLUSTERS[on]))?;
    plan.bundles.iter().find(|bundle| bundle.id() == id("payments/web"))?;
    Some(world.objects(CLUSTERS[on], "payments/web")[0]["data"].clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn each_cluster_gets_what_the_rules_make_and_keeps_what_it_has_where_they_make_nothing(
        cases in prop::collection::vec(case(), 1..5),
    ) {
        let mut world = World::started();
        world.enroll("us-2");
        for case in &cases {
            let before: Vec<_> = (0..3).map(|on| data(&world, on)).collect();
            world.fleet("fleet.yaml", &case.fleet());
            world.file("web/rimward.yaml", &case.app());
            world.file("web/cm.yaml", &case.manifest());
            let step = world.step();
            let waiting: Vec<_> = (0..3).filter(|on| Case::matches(case.selector, *on)).collect();
            let decision = &step.output.decided.apps[&id("payments/web")];
            if decision.blocked.is_some() {
                // Stopped as a whole: there is no form at all, and an override is why.
                prop_assert!(waiting.iter().all(|on| case.wanted(*on).is_none()), "{:?}", decision.blocked);
                (0..3).for_each(|on| assert_eq!(data(&world, on), before[on]));
            } else {
                for on in waiting {
                    let name = cluster(CLUSTERS[on]);
                    let wanted = case.wanted(on);
                    prop_assert_eq!(decision.wait_on(&name).is_some(), wanted.is_none());
                    prop_assert_eq!(decision.bundle_on(&name).is_some(), wanted.is_some());
                    prop_assert_eq!(data(&world, on), wanted.or(before[on].clone()), "{} {:?}", CLUSTERS[on], case);
                }
            }
            let counts = world.cache.counts();
            let again = world.step();
            prop_assert!(again.unchanged());
            prop_assert!(again.output.content.is_empty());
            prop_assert_eq!(world.cache.counts(), counts);
        }
    }
}
