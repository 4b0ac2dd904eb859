//! `rimward test`: the Tests of a fleet repo, against what would run where.

use std::collections::BTreeSet;

use rimward_hub::core::files::{API_VERSION, Case, Test, load_tests};
use rimward_hub::core::note::Severity;
use rimward_hub::core::offline::evaluate;
use rimward_hub::core::testing::{Outcome, Ran, Testing};
use rimward_hub::core::validate;
use serde_json::{Value, json};

use super::args::{Global, Output};
use super::exit::{Exit, Failure};
use super::notes::{self, Files};
use super::offline_args::TestArgs;
use super::output::{self, say};
use super::text::{clean, clean_json};
use super::{folders, junit};

/// Runs the command.
pub fn run(global: &Global, args: &TestArgs) -> Result<Exit, Failure> {
    let tree = folders::read(&args.dir)?.tree;
    let files = Files { dir: &args.dir, tree: &tree };
    let (validated, policy) = validate::fleet(&tree);
    let errors = validated.notes.iter().map(|(_, note)| note).filter(|note| note.severity == Severity::Error);
    let errors: Vec<String> = errors.map(|note| notes::text(note, files, false)).collect();
    if !errors.is_empty() {
        // What would be tested is not what is written.
        let message = format!("{}\nnothing is tested while the fleet repo has errors", errors.join("\n"));
        return Err(Failure::new(Exit::No, message));
    }
    let tests = load_tests(&tree, &policy).tests;
    if tests.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{}: no Test document is in it", args.dir.display()),
        ));
    }
    let sources = folders::sources(&policy, &args.source)?;
    let given: BTreeSet<_> = sources.keys().cloned().collect();
    let trees = sources.into_iter().map(|(id, (_, tree))| (id, tree)).collect();
    let output = evaluate(&policy, &trees);
    let testing = Testing { policy: &policy, given: &given, output: &output };
    let cases = tests.values().flat_map(|test| test.cases.iter().map(move |case| (test, case)));
    let wanted =
        |(test, case): &(&Test, &Case)| args.run.as_ref().is_none_or(|run| run.is_match(&name(test, case)));
    let ran: Vec<Ran<'_>> = cases.filter(wanted).map(|(test, case)| testing.run(test, case)).collect();
    if ran.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no case matches --run"));
    }
    output::print(&match global.output.unwrap_or(Output::Text) {
        Output::Json => clean_json(&format!("{:#}\n", report(&ran))),
        Output::Junit => junit::report(&ran, files),
        _ => ran.iter().map(|ran| line(ran, files)).collect(),
    })?;
    let count = |outcome| ran.iter().filter(|ran| ran.outcome == outcome).count();
    let (failed, unknown) = (count(Outcome::Failed), count(Outcome::Unknown));
    let mut summary = format!("{} passed, {failed} failed", count(Outcome::Passed));
    if unknown > 0 {
        summary.push_str(&format!(", {unknown} cannot be told"));
    }
    say(global, summary);
    Ok(if failed + unknown == 0 { Exit::Yes } else { Exit::No })
}

fn name(test: &Test, case: &Case) -> String {
    format!("{}:{}", test.name, case.app)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "ok",
        Outcome::Failed => "FAILED",
        Outcome::Unknown => "UNKNOWN",
    }
}

fn line(ran: &Ran<'_>, files: Files<'_>) -> String {
    let (word, name) = (word(ran.outcome), name(ran.test, ran.case));
    if ran.outcome == Outcome::Passed {
        return format!("{word:7}  {}\n", clean(&name));
    }
    let mut at = ran.case.at.clone();
    at.file = files.path(&at.file);
    let mut out = format!("{word:7}  {} --> {}\n", clean(&name), clean(&at.to_string()));
    ran.why.iter().for_each(|why| out.push_str(&format!("         {}\n", clean(why))));
    out
}

fn report(ran: &[Ran<'_>]) -> Value {
    let cases: Vec<Value> = ran
        .iter()
        .map(|ran| {
            let result = match ran.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "failed",
                Outcome::Unknown => "unknown",
            };
            json!({
                "test": ran.test.name,
                "app": ran.case.app.to_string(),
                "file": ran.case.at.file,
                "line": ran.case.at.line,
                "column": ran.case.at.column,
                "result": result,
                "messages": ran.why,
            })
        })
        .collect();
    let count = |outcome| ran.iter().filter(|ran| ran.outcome == outcome).count();
    json!({
        "apiVersion": API_VERSION,
        "kind": "TestReport",
        "cases": cases,
        "summary": {
            "passed": count(Outcome::Passed),
            "failed": count(Outcome::Failed),
            "unknown": count(Outcome::Unknown),
        },
    })
}
