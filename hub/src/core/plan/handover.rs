//! Files that go from one App to another. Objects move with them in one plan,
//! and nothing is deleted; but only if the App they go to can have them. Until
//! then the App they come from stays as it is.

use std::collections::BTreeMap;

use rimward_proto::AppId;

use super::cache::RenderCache;
use super::standing::{Sources, Standing};
use crate::core::codes;
use crate::core::model::{App, SourceId};
use crate::core::note::Note;
use crate::render::part::Part;

/// What files that move are judged by.
pub(super) struct Handover<'a> {
    pub sources: &'a Sources,
}

impl Handover<'_> {
    /// Keeps every App with a wrong App file in a folder of its own: what is in that folder is no part of it any more,
    /// and nobody else's yet.
    pub fn below(
        &self,
        standings: &mut BTreeMap<AppId, Standing>,
        cache: &RenderCache,
        notes: &mut Vec<(SourceId, Note)>,
    ) {
        for (id, (app, _)) in &self.sources.good {
            let Some(note) = self.wrong_below(app, cache) else { continue };
            notes.push((app.source.clone(), note.clone()));
            if let Some(standing @ Standing::Wanted(_)) = standings.get_mut(id) {
                *standing = Standing::Kept(note);
            }
        }
    }

    fn wrong_below(&self, app: &App, cache: &RenderCache) -> Option<Note> {
        let (wrong, roots) = (self.sources.wrong.get(&app.source)?, cache.roots(&app.source)?);
        let part = Part::of(app);
        let (file, error) = wrong.iter().find(|(file, _)| part.cut_by(roots, Part::around(file).root))?;
        let message = format!("{file} is wrong and in a folder of {}, so {} stays as it is", app.id, app.id);
        let help = format!("mend {file} ({}: {}), or take it out", error.code, error.message);
        Some(Note::error(codes::WRONG_BELOW, error.at.clone(), message).help(help))
    }
}
