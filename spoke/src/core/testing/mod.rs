//! A world to test the core in: a hub that signs, an API server that remembers
//! who wrote what, stores that survive crashes, and a driver that plays effects
//! in any order with any faults. Every check of a rule that must never break is
//! in the world itself, so that each test makes all of them.

mod again;
mod api;
mod checks;
mod fleet;
mod leaves;
mod watching;
mod world;

mod auditing;
mod cases;
mod drifting;
mod explaining;
mod finished;
mod following;
mod health;
mod losing;
mod losing_property;
mod memory;
mod policies;
mod property;
mod pruning;
mod replacing;
mod replacing_property;
mod reports;
mod rows_flow;
mod rows_trust;
