//! What a preview says: deletions first and marked, moves as moves, equal
//! changes once, and nothing that would not happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use rimward_hub::core::model::SourceTree;
use rimward_hub::core::preview::trees::{Planned, Planner, Trees, compare};
use rimward_hub::core::preview::{Action, Limits, Preview, text};

use super::world::{FLEET, app, config_map, source};

/// A fleet and the files of payments/apps.
pub fn trees(fleet: &str, files: &[(&str, &str)]) -> Trees {
    let tree = |files: &[(&str, &str)], commit: &str| {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(text.as_bytes())));
        let commit = commit.repeat(40);
        Arc::new(SourceTree { commit, files: files.collect(), left_out: BTreeMap::new() })
    };
    let sources = BTreeMap::from([(source("payments/apps"), tree(files, "a"))]);
    Trees { fleet: tree(&[("fleet.yaml", fleet)], "f"), sources }
}

/// What becomes of `before` when it is `after`.
pub fn change(before: &[(&str, &str)], after: &[(&str, &str)]) -> Preview {
    change_fleet((FLEET, before), (FLEET, after))
}

pub fn change_fleet(before: (&str, &[(&str, &str)]), after: (&str, &[(&str, &str)])) -> Preview {
    let mut planner = Planner::default();
    let base = planner.plan(&trees(before.0, before.1), None);
    let head = planner.plan(&trees(after.0, after.1), Some(&base));
    let preview = compare(Some(&base), &head, Limits::USUAL);
    // Planned from nothing remembered it is the same.
    let again = Planner::default().plan(&trees(after.0, after.1), Some(&base));
    assert_eq!(compare(Some(&base), &head_of(again, &base), Limits::USUAL), preview);
    preview
}

/// Without a cache an outcome has no content that is in force already, which the base has.
fn head_of(mut head: Planned, base: &Planned) -> Planned {
    head.output.content.extend(base.output.content.clone());
    head
}

pub fn claim(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [ReadWriteOnce]}}\n"
    )
}

/// `action key` of every object, by group.
pub fn told(preview: &Preview) -> Vec<String> {
    let mut told = Vec::new();
    for group in &preview.groups {
        let on: Vec<&str> = group.clusters.iter().map(|name| name.as_str()).collect();
        told.push(format!("{:?} {}/{} {}", group.action, group.tenant, group.app, on.join(" ")));
        let line = |action: Action, key: &str, from: &str| {
            format!("  {action:?} {key} {from}").trim_end().to_owned()
        };
        told.extend(group.objects.iter().map(|object| line(object.action, &object.key, &object.from)));
    }
    told
}

#[test]
fn nothing_changed_is_nothing() {
    let files = [("web/rimward.yaml", &*app("web", "{}")), ("web/cm.yaml", &*config_map("a", "1"))];
    let preview = change(&files, &files);
    assert!(preview.is_empty() && preview.notes.is_empty() && preview.cut.is_empty());
    assert_eq!((preview.summary.clusters, preview.summary.unchanged), (0, 2));
    assert_eq!(text(&preview, false), "no changes\n");
}

#[test]
fn equal_changes_are_told_once_and_deletions_first() {
    let (web, db) = (app("web", "{}"), app("db", "{names: [eu-1]}"));
    let (one, two, data) = (config_map("a", "1"), config_map("a", "2"), claim("data"));
    let before = [
        ("web/rimward.yaml", &*web),
        ("web/cm.yaml", &*one),
        ("web/data.yaml", &*data),
        ("db/rimward.yaml", &*db),
        ("db/cm.yaml", &*config_map("db", "1")),
    ];
    let after = [
        ("web/rimward.yaml", &*web),
        ("web/cm.yaml", &*two),
        ("db/rimward.yaml", &*db),
        ("db/cm.yaml", &*config_map("db", "1")),
        ("db/new.yaml", &*config_map("new", "1")),
    ];
    let preview = change(&before, &after);
    let expected = [
        "Change payments/web eu-1 us-1",
        "  Delete PersistentVolumeClaim/payments/data",
        "  Change ConfigMap/payments/a",
        "Change payments/db eu-1",
        "  Create ConfigMap/payments/new",
    ];
    assert_eq!(told(&preview), expected);
    let summary = preview.summary;
    assert_eq!((summary.clusters, summary.delete, summary.change, summary.create), (2, 2, 2, 1));
    assert_eq!(summary.unchanged, 1, "db's own object, on one cluster");
    let gone = &preview.groups[0].objects[0];
    assert!(gone.protected && gone.held == "Protected" && gone.diff.is_empty());
    let diff = &preview.groups[0].objects[1].diff;
    assert!(diff.contains("-  value: \"1\"\n+  value: \"2\"\n") && diff.contains("   name: a\n"), "{diff}");
    let expected = "\
2 clusters (eu-1 us-1), same change: ~1 +0 -1
  app/payments/web
  - PersistentVolumeClaim/payments/data   DELETE (protected: will hold)
  ~ ConfigMap/payments/a
";
    assert!(text(&preview, false).starts_with(expected), "{}", text(&preview, false));
    assert_eq!(preview.base["payments/apps"], "a".repeat(40));
}

#[test]
fn as_in_the_manual() {
    let (web, data) = (app("web", "{}"), claim("data"));
    let before = [("rimward.yaml", &*web), ("cm.yaml", &*config_map("a", "1")), ("data.yaml", &*data)];
    let after = [("rimward.yaml", &*web), ("cm.yaml", &*config_map("a", "2"))];
    let shown = text(&change(&before, &after), false);
    let expected = "\
2 clusters (eu-1 us-1), same change: ~1 +0 -1
  - PersistentVolumeClaim/payments/data   DELETE (protected: will hold)
  ~ ConfigMap/payments/a
";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn what_moves_is_a_move() {
    let (web, db) = (app("web", "{}"), app("db", "{}"));
    let (a, b) = (config_map("a", "1"), config_map("b", "1"));
    let before =
        [("web/rimward.yaml", &*web), ("web/a.yaml", &*a), ("web/b.yaml", &*b), ("db/rimward.yaml", &*db)];
    let after = [
        ("web/rimward.yaml", &*web),
        ("web/a.yaml", &*a),
        ("db/rimward.yaml", &*db),
        ("db/b.yaml", &*config_map("b", "2")),
    ];
    let preview = change(&before, &after);
    let expected = ["Change payments/db eu-1 us-1", "  Move ConfigMap/payments/b payments/web"];
    assert_eq!(told(&preview)[..2], expected);
    assert_eq!(preview.summary.delete + preview.summary.create, 0);
    assert!(preview.groups[0].objects[0].diff.contains("+  value: \"2\""));
}

#[test]
fn a_rename_is_a_move_of_the_whole_app() {
    let renamed = app("shop", "{}") + "  formerly: [web]\n";
    let (web, db) = (app("web", "{}"), app("db", "{}"));
    let (a, b) = (config_map("a", "1"), claim("b"));
    let before =
        [("web/rimward.yaml", &*web), ("web/a.yaml", &*a), ("web/b.yaml", &*b), ("db/rimward.yaml", &*db)];
    let after = [
        ("web/rimward.yaml", &*renamed),
        ("web/a.yaml", &*a),
        ("web/b.yaml", &*b),
        ("db/rimward.yaml", &*db),
    ];
    let preview = change(&before, &after);
    let expected = [
        "Move payments/shop eu-1 us-1",
        "  Move ConfigMap/payments/a payments/web",
        "  Move PersistentVolumeClaim/payments/b payments/web",
    ];
    assert_eq!(told(&preview), expected);
    assert_eq!(preview.groups[0].from, "payments/web");
    // What it loses on the way is deleted, and said.
    let preview = change(&before, &after[..2].iter().chain(&after[3..]).copied().collect::<Vec<_>>());
    let expected = [
        "Delete payments/web eu-1 us-1",
        "  Delete PersistentVolumeClaim/payments/b",
        "Move payments/shop eu-1 us-1",
        "  Move ConfigMap/payments/a payments/web",
    ];
    assert_eq!(told(&preview), expected);
    assert_eq!(preview.groups[0].objects[0].held, "Protected");
    assert!(text(&preview, false).contains("app/payments/web   is payments/shop now"));
}

#[test]
fn a_budget_that_is_too_small_holds_all_of_an_apps_deletions() {
    let web = app("web", "{}") + "  deletion: {maxPerPlan: 2}\n";
    let maps: Vec<String> = (0..4).map(|n| config_map(&format!("m{n}"), "1")).collect();
    let paths: Vec<String> = (0..4).map(|n| format!("web/{n}.yaml")).collect();
    let mut files = vec![("web/rimward.yaml", &*web)];
    files.extend(paths.iter().zip(&maps).map(|(path, text)| (&**path, &**text)));
    let held = |left: usize| {
        let preview = change(&files, &files[..=left]);
        let objects = &preview.groups[0].objects;
        objects.iter().map(|object| object.held.clone()).collect::<Vec<_>>()
    };
    assert_eq!(held(2), ["", ""]);
    assert_eq!(held(1), ["OverBudget"; 3]);
}

#[test]
fn an_object_that_asks_to_be_kept_is_not_deleted() {
    let kept =
        config_map("a", "1").replace("{name: a}", "{name: a, annotations: {rimward.dev/prune: \"false\"}}");
    let (web, other) = (app("web", "{}"), config_map("b", "1"));
    let before = [("web/rimward.yaml", &*web), ("web/a.yaml", &*kept), ("web/b.yaml", &*other)];
    let preview = change(&before, &[before[0], before[2]]);
    assert_eq!(told(&preview), ["Change payments/web eu-1 us-1", "  Keep ConfigMap/payments/a"]);
    assert_eq!((preview.summary.delete, preview.summary.keep), (0, 2));
    assert!(text(&preview, false).contains("stays (rimward.dev/prune"));
}

#[test]
fn how_an_app_is_run_is_part_of_it() {
    let (web, report) = (app("web", "{}"), app("web", "{}") + "  drift: {mode: report}\n");
    let map = config_map("a", "1");
    let preview = change(
        &[("web/rimward.yaml", &web), ("web/a.yaml", &map)],
        &[("web/rimward.yaml", &report), ("web/a.yaml", &map)],
    );
    assert_eq!(told(&preview), ["Change payments/web eu-1 us-1"]);
    let settings = &preview.groups[0].settings;
    assert!(settings.contains("-  mode: revert\n+  mode: report\n"), "{settings}");
    assert!(text(&preview, false).contains("~ how it is run"));
}

#[test]
fn what_would_be_held_or_waits_is_said_and_does_not_happen() {
    let (web, map) = (app("web", "{}"), config_map("a", "1"));
    let before = [("web/rimward.yaml", &*web), ("web/a.yaml", &*map)];
    let preview = change(&before, &[("README.yaml", "")]);
    assert!(preview.groups.is_empty() && !preview.is_empty());
    assert_eq!(preview.holds[0].reason, "LastApp");
    assert!(text(&preview, false).contains("held: LastApp"));
    let broken = change(&before, &[("web/rimward.yaml", &web), ("web/a.yaml", "kind: [")]);
    assert!(broken.is_empty());
    assert_eq!(broken.notes[0].note.code, "RW3001");
    // What was said already is not said again, wherever it is now.
    let bad = [("web/rimward.yaml", &*web), ("web/a.yaml", "kind: [")];
    let moved = [("web/rimward.yaml", &*web), ("web/a.yaml", "\n\nkind: [")];
    assert_eq!(change(&bad, &moved).notes, []);
}

#[test]
fn a_new_cluster_gets_everything_and_one_without_a_document_loses_nothing() {
    let files = [("web/rimward.yaml", &*app("web", "{}")), ("web/a.yaml", &*config_map("a", "1"))];
    let more =
        format!("{FLEET}---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: us-2}}\n");
    let preview = change_fleet((FLEET, &files), (&more, &files));
    assert_eq!(told(&preview), ["Create payments/web us-2", "  Create ConfigMap/payments/a"]);
    let preview = change_fleet((&more, &files), (FLEET, &files));
    assert!(preview.is_empty());
    assert_eq!(preview.notes[0].note.code, "RW4011");
}

#[test]
fn without_a_base_everything_is_new() {
    let files = [("web/rimward.yaml", &*app("web", "{}")), ("web/a.yaml", &*config_map("a", "1"))];
    let head = Planner::default().plan(&trees(FLEET, &files), None);
    let preview = compare(None, &head, Limits::USUAL);
    assert_eq!(told(&preview), ["Create payments/web eu-1 us-1", "  Create ConfigMap/payments/a"]);
    assert!(preview.base.is_empty() && preview.head.len() == 2);
    let diff = &preview.groups[0].objects[0].diff;
    assert!(diff.starts_with("@@ -0,0 +1,7 @@\n+apiVersion: v1\n+data:\n"), "{diff}");
}
