//! The Rimward spoke: the agent in one cluster. The folders are the data flow:
//! [`session`] brings publications from the hub, [`core`] verifies them and
//! decides, [`store`] keeps what must survive, [`cluster`] asks the API server,
//! [`reconcile`] turns events into effects and back.

pub mod args;
pub mod check;
pub mod cluster;
pub mod config;
pub mod core;
pub mod identify;
pub mod metrics;
pub mod outbox;
pub mod reconcile;
pub mod reload;
pub mod run;
#[cfg(test)]
mod scripted;
pub mod session;
pub mod start;
pub mod store;
pub mod telemetry;
