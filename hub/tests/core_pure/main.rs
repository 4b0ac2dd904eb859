//! The hub's pure half, from files to plans: what must hold after every step of
//! every scenario is checked by the world itself.

mod absence;
mod approval;
mod bounded;
mod cases;
mod codes;
mod depends;
mod files;
mod fleet_state;
mod guardrails;
mod handover;
mod handover_property;
mod left_out;
mod manifests;
mod options;
mod options_property;
mod properties;
mod publication;
mod renames;
mod scale;
mod told;
mod world;
