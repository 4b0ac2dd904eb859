//! The `rimward-spoke` agent.

use std::process::ExitCode;

use clap::Parser;
use rimward_spoke::args::{Args, Command};
use rimward_spoke::{check, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A spoke waits for an API server most of its time; more threads only cost memory.
const WORKERS: usize = 4;
/// Threads that read and write the disk. Each keeps some memory of its own, so tokio's default of 512 is no default here.
const BLOCKING: usize = 8;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // An error means that it is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(WORKERS))
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        match args.command() {
            Command::Run => run::run(&args).await,
            Command::Check => check::check(&args).await,
        }
    });
    // Tasks that wait for the network must not keep a stopped spoke alive.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}
