//! The hub's pure half, from files to plans: what must hold after every step of
//! every scenario is checked by the world itself.

mod absence;
mod approval;
mod bounded;
mod cases;
mod codes;
mod depends;
mod explain;
mod files;
mod fleet_state;
mod golden;
mod golden_text;
mod guardrails;
mod handover;
mod handover_property;
mod images;
mod left_out;
mod manifests;
mod options;
mod options_property;
mod overrides;
mod overrides_property;
mod patches;
mod preview;
mod preview_property;
mod preview_show;
mod properties;
mod publication;
mod quota;
mod rails;
mod rails_property;
mod renames;
mod scale;
mod told;
mod variables;
mod world;
