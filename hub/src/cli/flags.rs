//! Which of the flags that every command takes mean something for one: a flag
//! that is accepted and ignored would be a lie.

use clap::ValueEnum;

use super::args::{Command, Global, Output};
use super::exit::Failure;
use super::offline_args::New;

/// Refuses flags that would mean nothing for this command, and those that are not built yet.
pub fn check(global: &Global, command: &Command) -> Result<(), Failure> {
    if global.context.is_some() {
        return Err(Failure::not_built("--context"));
    }
    if global.token_file.is_some() {
        return Err(Failure::not_built("--token-file"));
    }
    if command.unbuilt().is_some() {
        return Ok(());
    }
    let get = matches!(command, Command::Get(_));
    let new_app = matches!(command, Command::New(args) if args.what == New::App);
    let filters = [
        ("--tenant", global.tenant.is_some() && !new_app),
        ("--app", global.app.is_some()),
        ("--cluster", global.cluster.is_some()),
        ("--labels", global.labels.is_some()),
        ("--state", global.state.is_some()),
        ("--watch", global.watch),
    ];
    // An App is explained on a cluster.
    let means = |name: &str| get || (name == "--cluster" && matches!(command, Command::Explain(_)));
    let without_meaning =
        filters.into_iter().find(|(name, given)| *given && !means(name)).map(|(name, _)| name);
    let formats = command.formats();
    let output = (global.output.is_some() && formats.is_empty()).then_some("--output");
    let yes = (global.yes && !matches!(command, Command::Approve(_))).then_some("--yes");
    if let Some(flag) = without_meaning.or(output).or(yes) {
        return Err(Failure::usage(format!("{flag} means nothing for this command")));
    }
    let Some(output) = global.output.filter(|output| !formats.contains(output)) else { return Ok(()) };
    let name =
        |format: &Output| format.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned());
    let known: Vec<String> = formats.iter().map(name).collect();
    Err(Failure::usage(format!(
        "this command does not print {}; it prints {}",
        name(&output),
        known.join(", ")
    )))
}
