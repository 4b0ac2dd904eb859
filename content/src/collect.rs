//! Removing what nobody wants any more. A batch goes when nothing of it is
//! wanted; one that is mostly dead is written again without its dead.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rimward_proto::Digest;

use crate::index::{Batch, Census};
use crate::store::{ContentError, Store, Ticket, failed};

/// Batches removed by one collection: more wait for the next, so that none keeps the disk busy for long.
const REMOVED: usize = 10_000;
/// Bytes that are moved to a new batch at once: held in memory meanwhile.
const MOVED: u64 = 4 << 20;

impl Store {
    /// For a collection decided now.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.uses.load(Ordering::SeqCst))
    }

    /// Removes what `keep` does not want, unless content was asked for or stored since `ticket`: then what `keep` says may
    /// be out of date, and whoever decided it decides anew. Returns how many items went.
    pub fn collect_unused(
        &self,
        keep: impl Fn(&Digest) -> bool,
        ticket: Ticket,
    ) -> Result<usize, ContentError> {
        self.sweep(keep, |_| self.ticket() == ticket)
    }

    /// Removes what `keep` does not want and was last stored longer than `age` ago, or somewhat later: a batch is as young
    /// as the youngest of its items. Returns how many items went.
    pub fn collect_older(
        &self,
        keep: impl Fn(&Digest) -> bool,
        age: Duration,
    ) -> Result<usize, ContentError> {
        let now = SystemTime::now();
        self.sweep(keep, |batch| now.duration_since(batch.touched).is_ok_and(|found| found >= age))
    }

    fn sweep(
        &self,
        keep: impl Fn(&Digest) -> bool,
        may: impl Fn(&Batch) -> bool,
    ) -> Result<usize, ContentError> {
        let mut removed = 0;
        let mut moving = Moving::default();
        let census = self.index().census(keep);
        let dead =
            |(batch, census): &(Batch, Census)| census.live.is_empty() || census.bytes * 2 < batch.bytes;
        let due = census.into_iter().filter(|(_, found)| dead(found) && may(&found.0));
        for (id, (_, census)) in due.take(REMOVED) {
            for digest in census.live {
                match self.get(&digest) {
                    Ok(bytes) => moving.items.extend(bytes.map(|bytes| (digest, bytes))),
                    // Put aside, and as lost as it was before.
                    Err(ContentError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            moving.emptied.push((id, census.dead));
            moving.bytes += census.bytes;
            if moving.bytes >= MOVED {
                removed += self.move_out(std::mem::take(&mut moving), &may)?;
            }
        }
        Ok(removed + self.move_out(moving, &may)?)
    }

    fn move_out(&self, moving: Moving, may: impl Fn(&Batch) -> bool) -> Result<usize, ContentError> {
        let items: Vec<(Digest, &[u8])> =
            moving.items.iter().map(|(digest, bytes)| (*digest, bytes.as_slice())).collect();
        crate::batch::split(&items).into_iter().try_for_each(|batch| self.write(batch))?;
        let mut removed = 0;
        for (id, dead) in moving.emptied {
            let _naming = self.naming();
            let Some((name, items)) = self.index().remove(id, &dead, &may) else { continue };
            let path = self.path(&name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("cannot remove", &path)(error));
                }
                _ => {}
            }
            removed += items;
        }
        Ok(removed)
    }
}

/// What goes from mostly dead batches to a new one.
#[derive(Default)]
struct Moving {
    items: Vec<(Digest, Vec<u8>)>,
    bytes: u64,
    emptied: Vec<(u32, Vec<Digest>)>,
}
