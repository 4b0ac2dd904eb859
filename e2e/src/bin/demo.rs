//! `cargo demo`: the main job on real API servers, step by step, each with its
//! time. Exits non-zero if a step did not do what it says.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rimward_e2e::demo;

/// Two clusters, a hub, two spokes and a day's events.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Args {
    /// Leave everything running at the end, and print commands to try, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Use this cluster instead of starting one; give it twice. Its current context must be an admin's. All that the
    /// demo makes there is removed at the end.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !matches!(args.kubeconfig.len(), 0 | 2) {
        eprintln!("error: give --kubeconfig twice, or not at all");
        return ExitCode::from(2);
    }
    // An error means that it is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a process can make threads");
    let result = runtime.block_on(demo::run(args.keep, &args.kubeconfig));
    // Whoever interrupts a build does not wait for its end; it ends with this process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
