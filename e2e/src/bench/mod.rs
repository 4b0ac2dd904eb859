//! What the benches share: figures with limits, samples, what a process costs,
//! and a bare server-side-apply generator to be measured against.

pub mod bulk;
mod figure;
mod generator;
pub mod shape;
mod usage;
mod watch;

pub use figure::{Figures, percentile};
pub use generator::{generate_ready, namespace};
pub use usage::Usage;
pub use watch::Values;

/// Runs a bench on a runtime of its own; exits non-zero if a figure missed its limit or the bench failed.
pub fn main<F: Future<Output = anyhow::Result<Figures>>>(bench: F) -> std::process::ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = tokio::runtime::Runtime::new().expect("a process can make threads");
    match runtime.block_on(bench) {
        Ok(figures) => figures.finish(),
        Err(error) => {
            eprintln!("bench failed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
