//! Content that was lost (a damaged or deleted file) and is known all the same:
//! from what planning remembers, or rendered and still in memory. It is written
//! again; what is not known stays lost, and whoever needs it is told so.

use std::collections::BTreeMap;
use std::sync::Arc;

use rimward_proto::Digest;

use super::plan::Planner;
use super::publish::documents;
use super::{TaskError, lock};
use crate::store::records::assignments_document;

/// Every document that memory could write again.
pub fn known(planner: &Planner) -> BTreeMap<Digest, Arc<[u8]>> {
    let mut known = BTreeMap::new();
    let good = lock(&planner.loaded).good.clone();
    documents(&planner.memory.plans, &planner.memory.origins, &good, &mut known);
    let indexes = planner.memory.indexes.iter();
    known.extend(indexes.filter_map(|(digest, index)| Some((*digest, index.to_bytes().ok()?.into()))));
    if let Some(published) = planner.state.published.borrow().as_ref() {
        let bytes = assignments_document(&published.assignments);
        known.insert(Digest::of(&bytes), bytes.into());
    }
    known
}

/// Writes again what was lost and is known.
pub fn heal(planner: &mut Planner) -> Result<(), TaskError> {
    let lost = planner.state.content.take_lost();
    if lost.is_empty() {
        return Ok(());
    }
    let known = known(planner);
    let mut again: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
    for digest in lost {
        // It is not on disk, whatever is remembered.
        planner.stored.remove(&digest);
        match known.get(&digest).cloned().or_else(|| planner.cache.content(&digest)) {
            Some(bytes) => drop(again.insert(digest, bytes)),
            None => tracing::error!(%digest, "content is lost; it comes back when its App changes"),
        }
    }
    let written = planner.state.content.put(&again).inspect_err(|_| {
        // They are lost as before.
        again.keys().for_each(|digest| planner.state.content.lose(digest));
    })?;
    tracing::warn!(written, "lost content was written again");
    Ok(())
}
