//! `rimward`, the command: what people type to look at a fleet and to act on it.
//! Data goes to stdout, everything else to stderr, and the exit code answers the
//! question that was asked.

mod approve;
mod args;
mod client;
mod columns;
mod describe;
mod enroll;
mod exit;
mod explain;
mod flags;
mod folders;
mod get;
mod junit;
mod kube_apply;
mod new;
mod notes;
mod offline_args;
mod output;
mod plan;
mod plan_args;
mod plan_folders;
mod quote;
mod reconcile;
mod reference;
mod sarif;
mod sse;
mod status;
mod tenant_roles;
mod test;
mod text;
mod validate;
mod wait;
mod watch;
mod yaml;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use client::Client;
use exit::{Exit, Failure};

fn main() -> ExitCode {
    // A panic is a bug of ours, and scripts can tell it from an answer.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("rimward: bug: {panic}");
        std::process::exit(Exit::Bug.code().into());
    }));
    // Fails only if a provider is installed already, and then that is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Yes };
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code.code());
        }
    };
    let quiet = cli.global.quiet;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(Failure::new(Exit::Bug, format!("cannot start: {error}"))),
    };
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            if !(quiet && failure.exit == Exit::No) {
                eprintln!("rimward: {}", text::clean_lines(&failure.message));
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    flags::check(&global, &command)?;
    if let Some(name) = command.unbuilt() {
        return Err(Failure::not_built(format!("`rimward {name}`")));
    }
    let client = || Client::new(&global);
    match command {
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rimward", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Yes)
        }
        Command::New(args) => new::run(&global, &args),
        Command::Validate(args) => validate::run(&global, &args),
        Command::Test(args) => test::run(&global, &args),
        Command::Plan(args) => plan::run(&global, &args).await,
        Command::Explain(args) => explain::run(&client()?, &global, &args).await,
        Command::Version => status::version(&global),
        Command::Status => status::run(&client()?, &global).await,
        Command::Get(args) => get::run(&client()?, &global, &args).await,
        Command::Describe { reference } => describe::run(&client()?, &global, &reference).await,
        Command::Wait(args) => wait::run(&client()?, &global, &args).await,
        Command::Reconcile(args) => reconcile::run(&client()?, &global, &args).await,
        Command::Approve(args) => approve::run(&client()?, &global, &args).await,
        Command::Enroll(args) => enroll::run(&client()?, &global, &args).await,
        _ => Err(Failure::new(Exit::Bug, "this command has no implementation and did not say so")),
    }
}
