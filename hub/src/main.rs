//! The `rimward-hub` daemon.

use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;
use rimward_hub::args::{Args, Command};
use rimward_hub::failure::{Failure, USAGE};
use rimward_hub::init::{self, Outcome};
use rimward_hub::{check, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // An error means that it is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match args.command() {
        Command::Run => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let result = runtime.block_on(run::run(&args));
            // A fetch that hangs must not keep a stopped hub alive.
            runtime.shutdown_background();
            result
        }
        Command::Init { root_key } => init(&args, &root_key),
        Command::Check => check::check(&args),
        Command::Restore { .. } => {
            Err(Failure { code: USAGE, message: "error: `rimward-hub restore` is not built yet".to_owned() })
        }
    };
    Ok(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    })
}

fn init(args: &Args, root_key: &std::path::Path) -> Result<(), Failure> {
    let config = run::configuration(args)?;
    let path = config.data_dir.display();
    match init::init(&config, &config.data_dir, root_key, Timestamp::now())? {
        Outcome::Made => {
            println!("initialised {path} for {}", config.trust_domain);
            println!("root key in {}: keep it offline; the hub does not need it to run", root_key.display());
        }
        Outcome::Nothing => println!("{path} is initialised already; nothing was changed"),
    }
    Ok(())
}
