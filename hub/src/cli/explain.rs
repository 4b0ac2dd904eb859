//! `rimward explain`: why an App, or an object, is on a cluster, or why it is not.

use clap::Args;
use rimward_hub::core::explain::{Explanation, ObjectThere, Step, StepName, Went};

use super::args::{Global, Output};
use super::client::{Client, percent};
use super::exit::{Exit, Failure};
use super::output;
use super::reference::Reference;
use super::text::clean;

/// `rimward explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// What: app/T/A
    pub reference: Reference,
    /// An object too: which App brings it, from where, and how it is there
    #[arg(long, value_name = "KIND/NS/NAME")]
    pub object: Option<String>,
}

/// Runs the command.
pub async fn run(client: &Client, global: &Global, args: &ExplainArgs) -> Result<Exit, Failure> {
    let Reference::App(_) = &args.reference else {
        return Err(Failure::usage(format!(
            "{}: what is explained is an App: app/TENANT/APP",
            args.reference
        )));
    };
    let cluster = global.cluster.as_deref();
    let cluster = cluster.ok_or_else(|| Failure::usage("on which cluster? -c CLUSTER"))?;
    let object = args.object.as_deref().map(|object| format!("&object={}", percent(object)));
    let query = format!("cluster={}{}", percent(cluster), object.unwrap_or_default());
    let answer = client.get(&format!("{}/explain?{query}", args.reference.path())).await?;
    let text = match output::document(global.output.unwrap_or(Output::Text), &answer) {
        Some(document) => document,
        None => {
            let objects = answer["objects"].clone();
            let odd = |error| Failure::new(Exit::Bug, format!("the answer is not understood: {error}"));
            let explanation = serde_json::from_value(answer).map_err(odd)?;
            let objects: Vec<ObjectThere> = serde_json::from_value(objects).map_err(odd)?;
            let mut text = people(&explanation, global.verbose);
            if let Some(object) = args.object.as_ref().filter(|_| objects.is_empty()) {
                text.push_str(&clean(&format!("{object}: no App brings it")));
                text.push('\n');
            }
            text + &objects.iter().map(|object| self::object(object) + "\n").collect::<String>()
        }
    };
    output::print(&text)?;
    Ok(Exit::Yes)
}

/// One line: the answer, and the steps that gave it. With all of them, a line each.
fn people(explanation: &Explanation, all: bool) -> String {
    let answer = if explanation.here { "HERE." } else { "NOT HERE." };
    let shown = |step: &&Step| match (step.result, step.step) {
        (Went::Skip, _) => false,
        (Went::Fail, _) | (_, StepName::TenantClusters | StepName::AppClusters) => true,
        (_, StepName::Overrides | StepName::Plan | StepName::Spoke) => explanation.here,
        _ => false,
    };
    if all {
        let lines: Vec<String> = explanation.steps.iter().map(|step| format!("  {}\n", line(step))).collect();
        return format!("{answer}\n{}", lines.concat());
    }
    let steps: Vec<String> = explanation.steps.iter().filter(shown).map(line).collect();
    format!("{answer} {}\n", steps.join("  "))
}

/// An object on one line.
fn object(object: &ObjectThere) -> String {
    let at = match (object.file.as_str(), object.line) {
        ("", _) => "from a commit that is not loaded any more".to_owned(),
        (file, line) => format!("from {file}:{line}"),
    };
    let there = if object.here { "HERE" } else { "NOT HERE" };
    let said = [&object.state, &object.reason, &object.message];
    let said: Vec<&str> = said.iter().map(|text| text.as_str()).filter(|text| !text.is_empty()).collect();
    let as_of = object.as_of.map(|at| format!(", as of {at}")).unwrap_or_default();
    clean(&format!("{}: app/{} {at}: {there}. {}{as_of}", object.key, object.app, said.join(": ")))
}

fn line(step: &Step) -> String {
    let mark = match step.result {
        Went::Pass => '✓',
        Went::Fail => '✗',
        Went::Skip => '·',
    };
    let at = match (step.file.as_str(), step.line) {
        ("", _) => String::new(),
        (file, 0) => format!(" {file}"),
        (file, line) => format!(" {file}:{line}"),
    };
    let message = if step.message.is_empty() { String::new() } else { format!(": {}", step.message) };
    clean(&format!("{mark} {}{at}{message}", step.step.as_str()))
}
