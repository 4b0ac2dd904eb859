//! A source as the API shows it.

use jiff::Timestamp;
use serde::Serialize;

use super::Core;
use super::app::source_name;
use crate::core::model::SourceId;
use crate::core::note::Note;
use crate::core::status::source;
use crate::core::world::{SourceStatus, World};

/// One source.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceItem {
    #[serde(flatten)]
    core: Core,
    tenant: Option<String>,
    url: String,
    r#ref: String,
    commit: Option<String>,
    fetched: Option<Timestamp>,
    verified_by: Option<String>,
    apps: u64,
    notes: Vec<Note>,
}

/// The notes on a source: of its last look, of reading its files, of planning with them.
pub fn notes(world: &World, id: &SourceId, known: &SourceStatus) -> Vec<Note> {
    let decided = world.decided.notes.iter().filter(|(of, _)| of == id).map(|(_, note)| note);
    let mut notes: Vec<Note> = known.error.iter().chain(&known.notes).chain(decided).cloned().collect();
    notes.sort();
    notes.dedup();
    notes
}

impl SourceItem {
    /// The item of one source.
    pub fn new(world: &World, id: &SourceId, known: &SourceStatus, now: Timestamp) -> Self {
        let decided = world.decided.notes.iter().filter(|(of, _)| of == id).map(|(_, note)| note);
        Self {
            core: Core::new(source_name(id), source::status(known, decided, now)),
            tenant: match id {
                SourceId::Fleet => None,
                SourceId::Tenant { tenant, .. } => Some(tenant.to_string()),
            },
            url: known.url.clone(),
            r#ref: known.reference.clone(),
            commit: Some(known.commit.clone()).filter(|commit| !commit.is_empty()),
            fetched: known.fetched,
            verified_by: None,
            apps: world.apps.values().filter(|app| app.source == *id).count() as u64,
            notes: notes(world, id, known),
        }
    }
}
