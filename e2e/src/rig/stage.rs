//! A stage: tests of one file that share a rig, each with its own name and its
//! own verdict. The first that comes starts the rig, they go one after the
//! other, and the last one ends it.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Runtime;

use super::Rig;

/// Lines of a spoke's log that a failed test shows.
const TAIL: usize = 12;

/// How a rig is started.
pub type Start = fn() -> Pin<Box<dyn Future<Output = Result<Rig>>>>;

/// What is shared, a `static` of the test file.
pub struct Stage {
    start: Start,
    state: Mutex<State>,
}

struct State {
    /// Tests that have not run yet.
    left: usize,
    rig: Option<Result<Standing, String>>,
}

/// A rig, and the runtime that its connections belong to. The rig ends first.
struct Standing {
    rig: Rig,
    runtime: Runtime,
}

impl Stage {
    /// A stage for `tests` tests. If fewer are run, the rig ends with the process.
    pub const fn new(tests: usize, start: Start) -> Self {
        Self { start, state: Mutex::new(State { left: tests, rig: None }) }
    }

    /// Runs one test, when the ones before it have ended. It finds the spokes running and the proxies passing all on,
    /// whatever became of those; and it fails if the spokes asked anything as themselves that they should have asked as
    /// a tenant.
    pub fn play(&self, test: impl AsyncFnOnce(&mut Rig) -> Result<()>) -> Result<()> {
        // A test that panicked has left its rig as it was; the next one sets right what it needs.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left = state.left.saturating_sub(1);
        let start = Instant::now();
        let standing =
            state.rig.get_or_insert_with(|| begin(self.start).map_err(|error| format!("{error:?}")));
        let result = match standing {
            Ok(Standing { rig, runtime }) => runtime.block_on(async {
                println!("on stage after {:.1} s", start.elapsed().as_secs_f64());
                reset(rig).await?;
                let result = test(rig).await;
                println!("told after {:.1} s", start.elapsed().as_secs_f64());
                let mut impersonated = Ok(());
                for site in &mut rig.sites {
                    impersonated = impersonated.and(site.assert_impersonated().await);
                    if result.is_err() {
                        let log = tail(&site.spoke().log());
                        println!("{} said at last:\n{log}", site.name);
                    }
                }
                result.and(impersonated)
            }),
            Err(error) => Err(anyhow!("its rig did not start: {error}")),
        };
        if state.left == 0
            && let Some(Ok(Standing { rig, runtime })) = state.rig.take()
        {
            let inside = runtime.enter();
            drop(rig);
            drop(inside);
        }
        result
    }
}

fn begin(start: Start) -> Result<Standing> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rig = runtime.block_on(start())?;
    Ok(Standing { rig, runtime })
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

async fn reset(rig: &mut Rig) -> Result<()> {
    for site in &mut rig.sites {
        if site.has_proxy() {
            site.proxy().pass();
        }
        let stopped = site.spoke().pid().is_none() || site.spoke().ended(Duration::ZERO)?.is_some();
        if stopped {
            site.spoke().start().context("starting a spoke that a test before left stopped")?;
        }
    }
    Ok(())
}
