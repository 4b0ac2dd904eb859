//! Everything the hub decides, as pure functions: files → policy → resolve →
//! guardrails → plans → assignments, and what to say about it. Synchronous, no
//! I/O, no clock: `now` and randomness come in as values.

pub mod approval;
pub mod changes;
pub mod codes;
pub mod explain;
pub mod files;
pub mod guardrails;
pub mod model;
pub mod note;
pub mod offline;
pub mod plan;
pub mod preview;
pub mod publication;
pub mod scope;
pub mod select;
pub mod status;
pub mod testing;
pub mod told;
pub mod validate;
pub mod world;
pub mod yaml;
