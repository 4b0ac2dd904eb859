//! Faults between a spoke and its API server, and in what stands before it:
//! storms, broken answers, slowness, expired watches and tokens, an API that is
//! not there, webhooks that refuse, change or say nothing. Under each of them
//! Git changes; each ends with what Git says, and nothing deleted that should
//! not have been.

#[path = "faults/admission.rs"]
mod admission;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/work.rs"]
mod work;

use anyhow::Result;
use rimward_e2e::rig::{Rig, Stage};

/// One fleet for all; each test has a tenant of its own.
static FLEET: Stage = Stage::new(10, || Box::pin(Rig::start_behind_proxies(&["eu-1"])));

/// All answers are 429 for some seconds, then every second one.
#[test]
fn a_storm_of_429() -> Result<()> {
    FLEET.play(network::storm)
}

/// Answers break off in the middle, also those to writes that were done.
#[test]
fn answers_that_break_off_in_the_middle() -> Result<()> {
    FLEET.play(network::broken_answers)
}

/// Every answer is late, some very late.
#[test]
fn slow_answers() -> Result<()> {
    FLEET.play(network::slow)
}

/// Every watch ends and finds its resourceVersion too old.
#[test]
fn watches_that_are_answered_410() -> Result<()> {
    FLEET.play(network::expired_watches)
}

/// The token is no good for a while.
#[test]
fn a_token_that_expires() -> Result<()> {
    FLEET.play(network::expired_token)
}

/// An API group is registered and nobody serves it.
#[test]
fn an_api_service_without_a_backend() -> Result<()> {
    FLEET.play(network::unavailable_api)
}

/// A webhook refuses some of what Git says.
#[test]
fn a_webhook_that_denies() -> Result<()> {
    FLEET.play(admission::denies)
}

/// A webhook adds to whatever is written.
#[test]
fn a_webhook_that_adds() -> Result<()> {
    FLEET.play(admission::adds)
}

/// A webhook writes another value than Git says.
#[test]
fn a_webhook_that_overrides() -> Result<()> {
    FLEET.play(admission::overrides)
}

/// A webhook does not answer.
#[test]
fn a_webhook_that_times_out() -> Result<()> {
    FLEET.play(admission::times_out)
}
