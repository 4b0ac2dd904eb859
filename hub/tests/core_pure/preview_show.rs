//! How a preview is shown: Secrets without their values, as much as fits, and
//! nothing that a repository holds breaks out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_hub::core::preview::trees::{Planner, compare};
use rimward_hub::core::preview::{COMMENT_BYTES, Limits, Outcome, Preview, markdown, preview, text};
use rimward_hub::core::world::Decided;
use rimward_proto::bundle::{BundleIndex, IndexEntry};
use rimward_proto::plan::Plan;
use rimward_proto::{ClusterName, Digest, ObjectKey};

use super::preview::{change, told, trees};
use super::world::{FLEET, app, config_map};

const CANARY: &str = "correct-horse-battery-staple";

fn secret(value: &str, key: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, labels: {{team: a}}, annotations: {{note: {value}}}}}\n\
         type: Opaque\nstringData: {{{key}: {value}, same: {CANARY}}}\n"
    )
}

fn everything(preview: &Preview) -> String {
    let json = serde_json::to_string(preview).unwrap();
    json + &text(preview, true) + &markdown(preview, None) + &format!("{preview:?}")
}

#[test]
fn of_a_secret_only_its_keys_and_whether_they_change() {
    let web = app("web", "{}");
    let with = |text: &str| {
        change(
            &[("web/rimward.yaml", &web), ("web/s.yaml", &secret("one-one-one", "password"))],
            &[("web/rimward.yaml", &web), ("web/s.yaml", text)],
        )
    };
    let changed = with(&secret("two-two-two", "password"));
    assert_eq!(told(&changed), ["Change payments/web eu-1 us-1", "  Change Secret/payments/s"]);
    let diff = &changed.groups[0].objects[0].diff;
    for line in [
        "-  password: \"(not shown)\"\n+  password: \"(not shown, changed)\"\n",
        "   same: \"(not shown)\"\n",
        "+    note: \"(not shown, changed)\"\n",
        "     team: a\n",
    ] {
        assert!(diff.contains(line), "{line:?} in\n{diff}");
    }
    let renamed = with(&secret("one-one-one", "token"));
    let diff = &renamed.groups[0].objects[0].diff;
    assert!(
        diff.contains("-  password: \"(not shown)\"\n") && diff.contains("+  token: \"(not shown)\"\n"),
        "{diff}"
    );
    let odd =
        with(&secret("one-one-one", "password").replace("type: Opaque", "extra: {deep: [hidden-value]}"));
    for preview in [changed, renamed, odd] {
        let shown = everything(&preview);
        for value in ["one-one-one", "two-two-two", CANARY, "hidden-value"] {
            assert!(!shown.contains(value) && !shown.contains(&STANDARD.encode(value)), "{value}");
            assert!(!shown.contains(&Digest::of(value.as_bytes()).hex()), "{value}");
        }
    }
}

/// Plans of two clusters whose objects differ by a value far from what changes.
#[test]
fn what_reads_the_same_is_told_once() {
    let mut store: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
    let mut side = |image: &str| -> BTreeMap<ClusterName, Arc<Plan>> {
        let world = super::world::World::started();
        let plan = Plan::clone(&world.previous[&super::world::cluster("eu-1")]);
        let mut plans = BTreeMap::new();
        for cluster in ["eu-1", "us-1"] {
            let object = format!(
                "{{\"apiVersion\":\"v1\",\"data\":{{\"a\":\"{image}\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\",\
                 \"z\":\"{cluster}\"}},\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"m\",\"namespace\":\"payments\"}}}}"
            );
            let sha256 = Digest::of(object.as_bytes());
            let entry = IndexEntry {
                key: ObjectKey::new("", "ConfigMap", "payments", "m"),
                version: "v1".into(),
                sha256,
                bytes: object.len() as u64,
            };
            let index = BundleIndex::new(vec![entry]).unwrap().to_bytes().unwrap();
            let mut bundle = plan.bundles[0].clone();
            (bundle.digest, bundle.objects) = (Digest::of(&index), 1);
            store.insert(sha256, object.into_bytes().into());
            store.insert(bundle.digest, index.into());
            let plan = Plan { bundles: vec![bundle], ..Plan::default() };
            plans.insert(super::world::cluster(cluster), Arc::new(plan));
        }
        plans
    };
    let (base, head) = (side("1"), side("2"));
    let (decided, commits) = (Decided::default(), BTreeMap::new());
    let outcome = |plans| Outcome { plans, decided: &decided, commits: &commits };
    let content = |digest: &Digest| store.get(digest).cloned();
    let told_of = |base, head| preview(outcome(base), outcome(head), &content, Limits::USUAL);
    let change = told_of(&base, &head);
    assert_eq!(told(&change), ["Change payments/db eu-1 us-1", "  Change ConfigMap/payments/m"]);
    assert_eq!((change.summary.change, change.summary.clusters), (2, 2));
    // As new they do not read the same.
    assert_eq!(told_of(&BTreeMap::new(), &head).groups.len(), 2);
}

#[test]
fn what_is_too_much_is_counted() {
    let web = app("web", "{}");
    let many: Vec<(String, String)> = (0..30)
        .map(|n| (format!("web/{n}.yaml"), config_map(&format!("m{n:02}"), &"x".repeat(1_000))))
        .collect();
    let mut files = vec![("web/rimward.yaml", &*web)];
    files.extend(many.iter().map(|(path, text)| (&**path, &**text)));
    let head = Planner::default().plan(&trees(FLEET, &files), None);
    let limits = Limits { objects: 10, diff: 500, diffs: 400, notes: 1 };
    let preview = compare(None, &head, limits);
    assert_eq!(preview.groups[0].objects.len(), 10);
    assert_eq!(preview.summary.create, 60, "what is not shown counts");
    assert!(preview.groups[0].objects[0].diff.ends_with("more lines\n"));
    assert_eq!(preview.cut.len(), 2, "{:?}", preview.cut);
    assert_eq!(preview.cut[0], "20 more objects of payments/web");
    assert!(preview.cut[1].starts_with("the diffs of "), "{:?}", preview.cut);
    assert!(text(&preview, false).contains("not shown: 20 more objects of payments/web (--full)"));
    let full = compare(None, &head, Limits::FULL);
    assert_eq!((full.groups[0].objects.len(), full.cut.len()), (30, 0));
    assert!(full.groups[0].objects.iter().all(|object| object.diff.contains(&"x".repeat(1_000))));
}

#[test]
fn a_comment_fits_and_says_what_does_not() {
    let many: Vec<(String, String)> = (0..90)
        .flat_map(|n| {
            let map = config_map("m", "x")
                .replace("name: m", &format!("name: m{n}"))
                .replace("\"x\"", &"x".repeat(2_000));
            [(format!("a{n}/rimward.yaml"), app(&format!("a{n}"), "{}")), (format!("a{n}/m.yaml"), map)]
        })
        .collect();
    let files: Vec<(&str, &str)> = many.iter().map(|(path, text)| (&**path, &**text)).collect();
    let head = Planner::default().plan(&trees(FLEET, &files), None);
    let preview = compare(None, &head, Limits::FULL);
    let comment = markdown(&preview, Some(COMMENT_BYTES));
    assert!(comment.len() <= COMMENT_BYTES && comment.len() > COMMENT_BYTES / 2, "{}", comment.len());
    assert!(comment.contains("more parts do not fit into a comment"), "{}", &comment[comment.len() - 300..]);
    assert!(markdown(&preview, None).len() > 2 * COMMENT_BYTES);
    assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
    assert_eq!(
        markdown(&change(&files[..2], &files[..2]), Some(COMMENT_BYTES)),
        "### Rimward plan\n\nNo changes.\n\n\n"
    );
}

#[test]
fn nothing_of_a_repository_breaks_out() {
    let nasty = "```\n</details><script>alert(1)</script>\u{202e}\u{1b}[31m ``````` @everyone";
    let map = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"a\"}},\"data\":{{\"a\":{}}}}}",
        serde_json::Value::from(nasty)
    );
    let web = app("web", "{}");
    let preview = change(&[("web/rimward.yaml", &web)], &[("web/rimward.yaml", &web), ("web/a.json", &map)]);
    let comment = markdown(&preview, Some(COMMENT_BYTES));
    assert!(!comment.contains('\u{202e}') && !comment.contains('\u{1b}'));
    let fence = "`".repeat(8);
    assert_eq!(comment.matches(&fence).count(), 2, "{comment}");
    let inside = comment.split(&fence).nth(1).unwrap();
    assert!(inside.starts_with("diff\n") && inside.contains("<script>"));
    let outside = comment.replace(inside, "");
    assert!(!outside.contains("<script>"), "{outside}");
}

#[test]
fn no_name_begins_a_line_of_its_own() {
    let map =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a\n  ~ ConfigMap~payments~forged"}}"#;
    let web = app("web", "{}");
    let preview = change(&[("web/rimward.yaml", &web)], &[("web/rimward.yaml", &web), ("web/a.json", map)]);
    let forged =
        |text: &str| text.lines().any(|line| line.trim_start().starts_with("~ ConfigMap~payments~forged"));
    assert_eq!(preview.groups[0].objects.len(), 1);
    assert!(!forged(&text(&preview, false)), "{}", text(&preview, false));
    assert!(!forged(&markdown(&preview, None)), "{}", markdown(&preview, None));
}
