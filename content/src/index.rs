//! What lies where, in memory: asking what is there costs no look at the disk.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use rimward_proto::Digest;

use crate::batch::Slot;

/// A batch in use is marked young again at most this often, because each mark is a write.
const TOUCH: Duration = Duration::from_secs(60);

/// Number of a batch in this run: an item remembers four bytes of it, not its name.
type Id = u32;

/// Where an item lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    batch: Id,
    pub offset: u64,
    pub length: u64,
}

impl Place {
    /// Of a slot in a batch that is in no index yet.
    pub fn of(slot: &Slot) -> Self {
        Self { batch: Id::MAX, offset: slot.offset, length: slot.length }
    }
}

/// A batch.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The digest of its header.
    pub name: Digest,
    /// When it was written, or one of its items was last stored again.
    pub touched: SystemTime,
    /// Bytes of its items, dead ones too.
    pub bytes: u64,
}

/// What of a batch is still wanted.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// The items that are.
    pub live: Vec<Digest>,
    /// Their bytes.
    pub bytes: u64,
    /// The items that are not.
    pub dead: Vec<Digest>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    items: HashMap<Digest, Place>,
    batches: BTreeMap<Id, Batch>,
    names: HashMap<Digest, Id>,
    next: Id,
}

impl Index {
    /// A batch is there, durably. An item that another batch has too is read from this one from now on.
    pub fn add(&mut self, name: Digest, slots: &[Slot], touched: SystemTime) {
        let id = self.next;
        self.next += 1;
        if let Some(old) = self.names.insert(name, id) {
            // Written again under its name after its items were found damaged.
            self.batches.remove(&old);
        }
        self.batches.insert(id, Batch { name, touched, bytes: slots.iter().map(|slot| slot.length).sum() });
        for slot in slots {
            let place = Place { batch: id, ..Place::of(slot) };
            self.items.insert(slot.digest, place);
        }
    }

    /// True if it is there.
    pub fn has(&self, digest: &Digest) -> bool {
        self.items.contains_key(digest)
    }

    /// Where an item lies, with the name of its batch.
    pub fn find(&self, digest: &Digest) -> Option<(Digest, Place)> {
        let place = self.items.get(digest)?;
        Some((self.batches.get(&place.batch)?.name, *place))
    }

    /// It does not lie at `place` as it should.
    pub fn forget(&mut self, digest: &Digest, place: Place) {
        if self.items.get(digest) == Some(&place) {
            self.items.remove(digest);
        }
    }

    /// Marks the batch of an item as young. Its name, if that is worth a write.
    pub fn touch(&mut self, digest: &Digest, now: SystemTime) -> Option<Digest> {
        let batch = self.batches.get_mut(&self.items.get(digest)?.batch)?;
        let old = now.duration_since(batch.touched).is_ok_and(|age| age > TOUCH);
        batch.touched = batch.touched.max(now);
        old.then_some(batch.name)
    }

    /// Of each batch, what `keep` wants.
    pub fn census(&self, keep: impl Fn(&Digest) -> bool) -> BTreeMap<Id, (Batch, Census)> {
        let batches = self.batches.iter().map(|(id, batch)| (*id, (batch.clone(), Census::default())));
        let mut all: BTreeMap<Id, (Batch, Census)> = batches.collect();
        for (digest, place) in &self.items {
            let Some((_, census)) = all.get_mut(&place.batch) else { continue };
            if keep(digest) {
                census.live.push(*digest);
                census.bytes += place.length;
            } else {
                census.dead.push(*digest);
            }
        }
        all
    }

    /// Takes out a batch, if `may` agrees, with those of `items` that are read from it: its name, and how many that were.
    pub fn remove(
        &mut self,
        id: Id,
        items: &[Digest],
        may: impl Fn(&Batch) -> bool,
    ) -> Option<(Digest, usize)> {
        let name = self.batches.get(&id).filter(|batch| may(batch))?.name;
        self.batches.remove(&id);
        self.names.remove(&name);
        let before = self.items.len();
        for digest in items {
            if self.items.get(digest).is_some_and(|place| place.batch == id) {
                self.items.remove(digest);
            }
        }
        Some((name, before - self.items.len()))
    }
}
