//! Ctrl-C and SIGTERM, heard from the beginning: whoever ends the demo, early
//! or late, finds nothing of it afterwards.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen; the process is no longer ended by them.
    pub fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
