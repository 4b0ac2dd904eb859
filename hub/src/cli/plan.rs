//! `rimward plan`: what a change would do to every cluster, before it is made.
//! Either a hub fetches the change and plans it aside, or folders of this machine
//! are planned here.

use std::time::Duration;

use rimward_hub::core::preview::trees::compare;
use rimward_hub::core::preview::{COMMENT_BYTES, Limits, Preview, markdown, text};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::args::{Global, Output};
use super::client::{Client, percent};
use super::exit::{Exit, Failure};
use super::output::{self, say};
use super::plan_args::PlanArgs;
use super::plan_folders;
use super::text::clean_lines;

/// Time between looks at a preview that is being made.
const LOOK: Duration = Duration::from_millis(250);

/// Runs the command.
pub async fn run(global: &Global, args: &PlanArgs) -> Result<Exit, Failure> {
    let answer = if args.offline { offline(global, args)? } else { ask(global, args).await? };
    let preview: Preview = serde_json::from_value(answer.clone())
        .map_err(|error| Failure::new(Exit::Bug, format!("the preview is not understood: {error}")))?;
    output::print(&match global.output.unwrap_or(Output::Text) {
        format @ (Output::Json | Output::Yaml) => output::document(format, &answer).unwrap_or_default(),
        Output::Markdown => markdown(&preview, (!args.full).then_some(COMMENT_BYTES)),
        _ => clean_lines(&text(&preview, args.full)),
    })?;
    Ok(if args.exit_code && !preview.is_empty() { Exit::No } else { Exit::Yes })
}

fn offline(global: &Global, args: &PlanArgs) -> Result<Value, Failure> {
    let limits = if args.full { Limits::FULL } else { Limits::USUAL };
    let sides = plan_folders::plan(global, args)?;
    let preview = compare(sides.base.as_ref(), &sides.head, limits);
    let mut value = serde_json::to_value(preview).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("apiVersion".to_owned(), "rimward.dev/v1alpha1".into());
        fields.insert("kind".to_owned(), "Preview".into());
    }
    Ok(value)
}

/// Has the hub make a preview, and waits for it.
async fn ask(global: &Global, args: &PlanArgs) -> Result<Value, Failure> {
    let [source] = args.source.as_slice() else {
        return Err(Failure::usage("a hub previews a change of one source: give --source once"));
    };
    if source.dir.is_some() {
        return Err(Failure::usage(
            "--source T/S=DIR means nothing to a hub: give --offline, or leave DIR out",
        ));
    }
    let (client, until) = (Client::new(global)?, Instant::now() + global.timeout);
    let body = json!({"source": source.id.to_string(), "ref": args.reference, "full": args.full});
    let mut answer = client.post("/previews", Some(&body)).await?;
    let id = answer["id"].as_str().map(percent).unwrap_or_default();
    say(
        global,
        format!("the hub fetches {} of {}", args.reference.as_deref().unwrap_or_default(), source.id),
    );
    loop {
        match answer["state"].as_str() {
            Some("Done") => return Ok(answer),
            Some("Failed") => return Err(failed(&answer)),
            _ => {}
        }
        if Instant::now() >= until {
            // It would end by itself; nobody waits for it any more. That it could not be told is no news.
            let _ = client.delete(&format!("/previews/{id}")).await;
            let message = format!("no preview within {:?} (--timeout)", global.timeout);
            return Err(Failure::new(Exit::Unreachable, message));
        }
        tokio::time::sleep(LOOK).await;
        answer = client.get(&format!("/previews/{id}")).await?;
    }
}

/// Why the hub could not make it.
fn failed(answer: &Value) -> Failure {
    let problem = &answer["problem"];
    let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
    let detail = problem["detail"].as_str().unwrap_or("no detail given");
    let code = problem["code"].as_str().unwrap_or_default();
    let notes = problem["notes"].as_array().into_iter().flatten();
    let notes: String = notes.map(|note| format!("\n  {}", super::describe::note(note))).collect();
    Failure::new(Exit::of_status(status), format!("error[{code}]: {detail}{notes}"))
}
