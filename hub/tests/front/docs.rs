//! What the pages show is what the program does: every document in them is read
//! without an error, by the reader and by the schemas, and every field is in the
//! reference.

use std::path::{Path, PathBuf};

use rimward_hub::core::model::SourceId;
use rimward_hub::core::offline::evaluate;
use rimward_hub::core::testing::{Outcome, Testing};
use rimward_hub::core::{files as reader, validate};
use rimward_hub::schema;
use serde_json::Value;

use crate::files::{documents, errors, kind, read, repository, tree};
use crate::schema::Validator;

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// The blocks of a page that are in that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(of)) => open = Some((of == language, String::new())),
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, text)| text))
            }
            (Some((_, text)), None) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    blocks
}

/// A block's documents of repositories, each with its kind.
fn of_repositories(block: &str) -> Vec<(String, Value)> {
    documents(block)
        .into_iter()
        .filter_map(|document| Some((kind(&document)?.to_owned(), document)))
        .collect()
}

#[test]
fn every_document_in_the_pages_is_right() {
    let validator = Validator::new();
    let mut all = vec![repository("README.md")];
    pages(&repository("docs"), &mut all);
    let mut seen = 0;
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in blocks(&text, "yaml") {
            let found = of_repositories(&block);
            for (kind, document) in &found {
                assert_eq!(validator.errors(document), Vec::<String>::new(), "{page:?}: {block}");
                seen += 1;
                if kind == "App" {
                    assert_eq!(found.len(), 1, "{page:?}: an App is a file of its own: {block}");
                    assert_eq!(errors(read("App", &block)), [], "{page:?}: {block}");
                }
            }
            if found.first().is_some_and(|(kind, _)| kind != "App") {
                // A Test may be about what another block has; whole pages are read below.
                let elsewhere = ["no tenant is called", "no cluster is called"];
                let wrong: Vec<_> = errors(read("Fleet", &block))
                    .into_iter()
                    .filter(|note| !elsewhere.iter().any(|start| note.message.starts_with(start)))
                    .collect();
                assert_eq!(wrong, [], "{page:?}: {block}");
            }
        }
    }
    assert!(seen > 10, "{seen} documents");
}

/// All blocks of a page are one fleet with its sources: an App is of the source payments/apps. Its Tests hold.
#[test]
fn the_tests_in_the_concept_pages_hold() {
    for page in ["selection.md", "ceilings-and-defaults.md"] {
        let text = std::fs::read_to_string(repository("docs/concepts").join(page)).unwrap();
        let (mut fleet, mut apps) = (Vec::new(), Vec::new());
        for block in blocks(&text, "yaml") {
            match of_repositories(&block).as_slice() {
                [(kind, document)] if kind == "App" => {
                    let name = document["metadata"]["name"].as_str().unwrap();
                    apps.push((format!("{name}/rimward.yaml"), block.clone()));
                    let manifest = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
                    apps.push((format!("{name}/object.yaml"), manifest));
                }
                [] => {}
                _ => fleet.push((format!("{}.yaml", fleet.len()), block.clone())),
            }
        }
        let borrow = |files: &[(String, String)]| {
            let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            tree(&files)
        };
        let (validated, policy) = validate::fleet(&borrow(&fleet));
        assert_eq!(validated.notes, [], "{page}");
        let source = SourceId::try_from("payments/apps".to_owned()).unwrap();
        let output = evaluate(&policy, &[(source.clone(), borrow(&apps))].into());
        let tests = reader::load_tests(&borrow(&fleet), &policy).tests;
        let given = [source].into();
        let testing = Testing { policy: &policy, given: &given, output: &output };
        let mut cases = 0;
        for (test, case) in tests.values().flat_map(|test| test.cases.iter().map(move |case| (test, case))) {
            let ran = testing.run(test, case);
            assert_eq!((ran.outcome, ran.why), (Outcome::Passed, Vec::new()), "{page} {}", case.app);
            cases += 1;
        }
        assert!(cases > 1, "{page}");
    }
}

/// Names of all fields of a schema.
fn fields(schema: &Value, found: &mut Vec<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        found.push(name.clone());
        fields(schema, found);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], found);
    }
}

#[test]
fn every_field_is_in_the_reference() {
    let page = std::fs::read_to_string(repository("docs/reference/files.md")).unwrap();
    // What holds for several kinds is said once.
    let shared: String =
        sections(&page, "## ").filter(|section| !section.starts_with("Fleet repo")).collect();
    let (fleet_repo, tenant_repo) =
        (section(&page, "## ", "Fleet repo"), section(&page, "## ", "Tenant repo"));
    for kind in schema::kinds() {
        let own = match kind.kind {
            "App" => tenant_repo.clone(),
            name => section(&fleet_repo, "### ", name) + &section(&fleet_repo, "### ", "Selectors") + &shared,
        };
        let own = own + &section(&fleet_repo, "### ", "Selectors") + page.split("\n## ").next().unwrap();
        let mut names = Vec::new();
        fields(&kind.schema["properties"]["metadata"], &mut names);
        fields(&kind.schema["properties"]["spec"], &mut names);
        for name in names {
            let word = |c: char| c.is_ascii_alphanumeric();
            let there = own
                .match_indices(&name)
                .any(|(at, _)| !own[..at].ends_with(word) && !own[at + name.len()..].starts_with(word));
            assert!(there, "docs/reference/files.md does not speak of `{name}` of {}", kind.kind);
        }
    }
}

fn sections<'p>(page: &'p str, mark: &'p str) -> impl Iterator<Item = &'p str> {
    let start = format!("\n{mark}");
    page.split(&start.clone()).skip(1).collect::<Vec<_>>().into_iter()
}

fn section(page: &str, mark: &str, title: &str) -> String {
    let found = sections(page, mark).find(|section| section.lines().next() == Some(title));
    found.unwrap_or_else(|| panic!("no section {title}")).to_owned()
}
