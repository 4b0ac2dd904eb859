//! What one tenant's file may cost the hub: counted, not timed.

use super::world::{World, app, id};

/// Notes on the file `web/bad.yaml`, and the whole of them as text.
fn notes_on(text: &str) -> Vec<String> {
    let mut world = World::started();
    world.file("web/bad.yaml", text);
    let step = world.step();
    assert!(step.unchanged());
    let notes = step.all_notes();
    assert!(notes.iter().all(|note| note.code.starts_with("RW30")), "{notes:?}");
    notes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_of_nothing_but_mistakes_says_some_and_counts_the_rest() {
    let labels: String = (0..5_000).map(|n| format!("    l{n}: {n}\n")).collect();
    for (text, more) in [
        ("{}".repeat(10_000), "and 9980 more notes"),
        ("---\n[]\n".repeat(10_000), "and 9980 more notes"),
        (
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels:\n{labels}"),
            "and 4980 more notes",
        ),
    ] {
        let notes = notes_on(&text);
        assert_eq!(notes.len(), 21);
        assert!(notes.last().unwrap().contains(more), "{}", notes.last().unwrap());
    }
}

#[test]
fn a_message_does_not_repeat_a_file() {
    let labels = format!(r#"{{"name": "a", "labels": {{"{}": 1}}}}"#, "k".repeat(1 << 20));
    let notes = notes_on(&format!(r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {labels}}}"#));
    assert!(
        notes[0].starts_with("error[RW3020]") && notes.concat().len() < 2_000,
        "{}",
        notes.concat().len()
    );
    let field = format!(r#""{}": 1"#, "k".repeat(200_000));
    let mut world = World::started();
    world.file(
        "web/rimward.yaml",
        &format!(
            r#"{{"apiVersion": "rimward.dev/v1alpha1", "kind": "App", "metadata": {{"name": "web"}},
                "spec": {{"clusters": {{}}, {field}}}}}"#
        ),
    );
    let notes = world.step().all_notes();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].code == "RW3004" && notes[0].to_string().len() < 2_000);
}

#[test]
fn an_app_of_many_wrong_files_says_some_of_them() {
    let mut world = World::started();
    for n in 0..500 {
        world.file(&format!("web/bad{n:03}.yaml"), "kind: Half\n");
    }
    let step = world.step();
    assert!(step.unchanged());
    let notes = step.all_notes();
    assert_eq!(notes.len(), 201);
    assert!(step.output.decided.apps[&id("payments/web")].blocked.is_some());
}

#[test]
fn an_error_behind_many_warnings_still_stops_the_app() {
    let names: Vec<String> = (0..3_000).map(|n| format!("no-{n}")).collect();
    let text = app("web", &format!("{{names: [{}]}}", names.join(", "))) + "  nope: 1\n";
    let mut world = World::started();
    world.file("web/rimward.yaml", &text);
    let step = world.step();
    assert!(step.unchanged());
    let blocked = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
    assert_eq!(blocked.code, "RW3004");
    assert_eq!(step.all_notes().len(), 21);
}
