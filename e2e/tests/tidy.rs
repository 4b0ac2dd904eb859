//! What the compiler does not check about this repository: the purity of the
//! decision code, the length of files, that each says why it exists, that no
//! test is forgotten, that nothing in it is true on one machine only.
//!
//! The rules are functions of a map of files, so that the tests below can show
//! each of them failing.

#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/reach.rs"]
mod reach;
#[path = "tidy/text.rs"]
mod text;

use files::Files;

/// A rule: what it finds wrong, one line each.
type Rule = fn(&Files) -> Vec<String>;

fn check(rule: Rule) {
    let files = files::of_workspace().unwrap();
    assert!(files.len() > 20, "only {} files: wrong folder?", files.len());
    let found = rule(&files);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    check(text::length);
}

#[test]
fn modules_say_why_they_exist() {
    check(text::module_docs);
}

#[test]
fn nothing_is_true_on_one_machine_only() {
    check(text::places);
}

#[test]
fn decisions_are_pure() {
    check(purity::purity);
}

#[test]
fn no_source_or_test_is_forgotten() {
    check(reach::forgotten);
}

#[test]
fn benches_are_declared() {
    check(reach::undeclared_benches);
}
