//! The format of a batch: a header of digests and lengths, then the items in
//! that order. Pure; the files are the store's business.

use rimward_proto::Digest;

/// First bytes of a batch, with the version of the format.
const MAGIC: &[u8; 8] = b"rwbatch1";
/// Bytes of the magic and the count.
pub(crate) const FIXED: usize = 12;
/// Bytes of one entry: digest and length.
const ENTRY: usize = 40;
/// Items in one batch: its header stays below 3 MiB.
pub const ITEMS: usize = 1 << 16;
/// Bytes of items in one batch, unless one item alone has more: what is written again when most of a batch is dead, and
/// so what collecting it may cost.
pub const BYTES: u64 = 16 << 20;

/// Where an item lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its digest.
    pub digest: Digest,
    /// Its first byte, from the beginning of the batch.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// The header of a batch with these items.
pub fn header(items: &[(Digest, &[u8])]) -> Vec<u8> {
    let mut header = Vec::with_capacity(FIXED + ENTRY * items.len());
    header.extend(MAGIC);
    header.extend((items.len() as u32).to_le_bytes());
    for (digest, bytes) in items {
        header.extend(digest.as_bytes());
        header.extend((bytes.len() as u64).to_le_bytes());
    }
    header
}

/// Length of the header that begins with these bytes; none if no batch begins so.
pub fn header_length(start: &[u8; FIXED]) -> Option<usize> {
    let count = start.strip_prefix(MAGIC.as_slice())?;
    let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
    (count <= ITEMS).then_some(FIXED + ENTRY * count)
}

/// The slots of a whole header; none if it is not one, or if the batch has not `length` bytes: it was cut.
pub fn slots(header: &[u8], length: u64) -> Option<Vec<Slot>> {
    let whole = header_length(header.get(..FIXED)?.try_into().ok()?)?;
    let entries = header.get(FIXED..)?;
    if header.len() != whole {
        return None;
    }
    let mut offset = header.len() as u64;
    let mut slots = Vec::with_capacity(entries.len() / ENTRY);
    for entry in entries.chunks_exact(ENTRY) {
        let (digest, bytes) = entry.split_at(32);
        let digest = Digest::from_bytes(digest.try_into().ok()?);
        let length = u64::from_le_bytes(bytes.try_into().ok()?);
        slots.push(Slot { digest, offset, length });
        offset = offset.checked_add(length)?;
    }
    (offset == length).then_some(slots)
}

/// The slots of a whole batch; none if it is not one.
pub fn slots_of(batch: &[u8]) -> Option<Vec<Slot>> {
    let length = header_length(batch.get(..FIXED)?.try_into().ok()?)?;
    slots(batch.get(..length)?, batch.len() as u64)
}

/// Splits items into batches, each within [`ITEMS`] and [`BYTES`].
pub fn split<'a, 'b>(items: &'b [(Digest, &'a [u8])]) -> Vec<&'b [(Digest, &'a [u8])]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, (_, item)) in items.iter().enumerate() {
        let size = item.len() as u64;
        if i > start && (i - start == ITEMS || bytes + size > BYTES) {
            batches.push(&items[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    batches.extend((start < items.len()).then(|| &items[start..]));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq};

    fn named(bodies: &[Vec<u8>]) -> Vec<(Digest, &[u8])> {
        bodies.iter().map(|bytes| (Digest::of(bytes), bytes.as_slice())).collect()
    }

    proptest::proptest! {
        #[test]
        fn slots_name_the_bytes_of_each_item(bodies in vec(vec(any::<u8>(), 0..40), 0..20)) {
            let items = named(&bodies);
            let mut file = header(&items);
            bodies.iter().for_each(|body| file.extend(body));
            let slots = slots_of(&file).unwrap();
            let read = |slot: &Slot| file[slot.offset as usize..(slot.offset + slot.length) as usize].to_vec();
            let found: Vec<_> = slots.iter().map(|slot| (slot.digest, read(slot))).collect();
            let wanted: Vec<_> = items.iter().map(|(digest, bytes)| (*digest, bytes.to_vec())).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn nothing_is_a_batch_by_chance(bytes in vec(any::<u8>(), 0..200), length in any::<u64>()) {
            prop_assert_eq!(slots(&bytes, length), None);
        }

        #[test]
        fn a_cut_batch_is_none(cut in 1_u64..100) {
            let bodies = [vec![1; 50], vec![2; 50]];
            let header = header(&named(&bodies));
            let whole = header.len() as u64 + 100;
            prop_assert_eq!(slots(&header, whole).map(|slots| slots.len()), Some(2));
            prop_assert_eq!(slots(&header, whole - cut), None);
        }
    }

    #[test]
    fn batches_are_bounded_and_lose_nothing() {
        let body = vec![0; BYTES as usize / 3];
        let items = vec![(Digest::of(b"same"), body.as_slice()); 7];
        let counts: Vec<_> = split(&items).iter().map(|batch| batch.len()).collect();
        assert_eq!(counts, [3, 3, 1]);
        let large = vec![0; BYTES as usize + 1];
        let items = [(Digest::of(b"a"), large.as_slice()), (Digest::of(b"b"), b"b")];
        assert_eq!(split(&items).len(), 2);
        let many = vec![(Digest::of(b"same"), b"".as_slice()); ITEMS + 1];
        assert_eq!(split(&many).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [ITEMS, 1]);
        assert!(split(&[]).is_empty());
    }
}
