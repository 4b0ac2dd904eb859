//! The store on a real disk, and what a disk may do to it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof};

use super::*;

fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path().join("content")).unwrap()
}

fn items(texts: &[&str]) -> Vec<(Digest, Vec<u8>)> {
    texts.iter().map(|text| (Digest::of(text.as_bytes()), text.as_bytes().to_vec())).collect()
}

fn put(store: &Store, texts: &[&str]) -> usize {
    store.put(items(texts).iter().map(|(digest, bytes)| (*digest, bytes.as_slice()))).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn files(store: &Store) -> Vec<PathBuf> {
    let all = fs::read_dir(&store.folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.is_file()).collect()
}

#[test]
fn one_file_for_all_that_is_new_and_none_for_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert_eq!(put(&store, &["a", "b", "c"]), 3);
    assert_eq!(put(&store, &["a", "b", "d"]), 1);
    assert_eq!(put(&store, &["a"]), 0);
    assert_eq!(put(&store, &[]), 0);
    assert_eq!(files(&store).len(), 2);
    assert_eq!(store.get(&digest("d")).unwrap().unwrap(), b"d");
    assert_eq!(store.get(&digest("e")).unwrap(), None);
    assert_eq!(store.missing(&[digest("a"), digest("e")]), [digest("e")].into());
}

#[test]
fn what_does_not_have_its_digest_is_not_stored_nor_anything_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let wrong = store.put([(digest("a"), b"a".as_slice()), (digest("b"), b"other".as_slice())]);
    assert!(matches!(wrong, Err(ContentError::Wrong(found)) if found == digest("b")));
    assert!(files(&store).is_empty());
}

#[test]
fn a_crash_before_the_rename_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    put(&store(&dir), &["a"]);
    let half = dir.path().join("content/7.tmp");
    fs::write(&half, b"ha").unwrap();
    let store = store(&dir);
    assert!(!half.exists());
    assert_eq!(store.get(&digest("a")).unwrap().unwrap(), b"a");
}

#[test]
fn what_a_disk_changed_is_put_aside_and_can_be_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    put(&store, &["first", "second"]);
    let path = files(&store).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let hurt = [digest("first"), digest("second")].into_iter().max().unwrap();
    assert!(matches!(store.get(&hurt), Err(ContentError::Damaged(found)) if found == hurt));
    assert_eq!(store.get(&hurt).unwrap(), None, "it counts as not there");
    assert!(store.folder.join("damaged").join(hurt.hex()).exists());
    assert_eq!(put(&store, &["first", "second"]), 1);
    assert!(store.get(&hurt).unwrap().is_some());
}

#[test]
fn a_batch_that_was_cut_or_has_another_name_is_put_aside_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir);
    put(&first, &["a", "b"]);
    put(&first, &["c"]);
    put(&first, &["d"]);
    let holder = |text: &str| first.path(&first.index().find(&digest(text)).unwrap().0);
    let (cut, renamed) = (holder("a"), holder("c"));
    let length = fs::metadata(&cut).unwrap().len();
    OpenOptions::new().write(true).open(&cut).unwrap().set_len(length - 1).unwrap();
    fs::rename(&renamed, first.path(&digest("another name"))).unwrap();
    let again = store(&dir);
    let all = ["a", "b", "c", "d"].map(digest);
    assert_eq!(again.missing(&all), ["a", "b", "c"].map(digest).into());
    assert_eq!(fs::read_dir(again.folder.join("damaged")).unwrap().count(), 2);
}

#[test]
fn a_file_that_somebody_removed_counts_as_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    put(&store, &["a"]);
    fs::remove_file(files(&store).remove(0)).unwrap();
    assert_eq!(store.get(&digest("a")).unwrap(), None);
    assert_eq!(put(&store, &["a"]), 1);
}

#[test]
fn a_collection_decided_before_a_use_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    put(&store, &["a", "b"]);
    let keep = |wanted: &Digest| *wanted == digest("a");
    let old = store.ticket();
    assert_eq!(store.missing(&[digest("b")]), [].into());
    assert_eq!(store.collect_unused(keep, old).unwrap(), 0, "b was asked for since");
    assert_eq!(store.collect_unused(|_| false, store.ticket()).unwrap(), 2);
    assert!(files(&store).is_empty());
}

#[test]
fn a_mostly_dead_batch_is_written_again_without_its_dead() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    put(&store, &["live", "dead and long", "dead too"]);
    put(&store, &["all live"]);
    let before = files(&store);
    let keep = |wanted: &Digest| [digest("live"), digest("all live")].contains(wanted);
    assert_eq!(store.collect_unused(keep, store.ticket()).unwrap(), 2);
    assert_eq!(files(&store).len(), 2);
    assert_eq!(files(&store).iter().filter(|path| before.contains(path)).count(), 1);
    assert_eq!(store.get(&digest("live")).unwrap().unwrap(), b"live");
    assert_eq!(store.collect_unused(keep, store.ticket()).unwrap(), 0, "nothing is moved twice");
}

#[test]
fn what_was_stored_again_lately_is_not_old() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir);
    put(&first, &["a"]);
    put(&first, &["b"]);
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    for path in files(&first) {
        File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let again = store(&dir);
    assert_eq!(put(&again, &["a"]), 0);
    let hour = Duration::from_secs(3600);
    assert_eq!(store(&dir).collect_older(|_| false, hour).unwrap(), 1, "the mark outlives a restart");
    assert_eq!(again.get(&digest("a")).unwrap().unwrap(), b"a");
}

#[derive(Debug, Clone)]
enum Op {
    Put(Vec<u8>),
    Collect(Vec<u8>),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..12).prop_map(Op::Put),
        2 => vec(any::<u8>(), 0..40).prop_map(Op::Collect),
        1 => Just(Op::Reopen),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    /// Whatever is done in whatever order: what was stored and is still wanted is there.
    #[test]
    fn it_is_a_map(ops in vec(op(), 1..16)) {
        let dir = tempfile::tempdir().unwrap();
        let mut open = store(&dir);
        let mut model: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        let body = |n: &u8| vec![*n; usize::from(*n) * 3];
        for op in ops {
            match op {
                Op::Put(bodies) => {
                    let new: BTreeMap<_, _> =
                        bodies.iter().map(body).map(|bytes| (Digest::of(&bytes), bytes)).collect();
                    open.put(new.iter().map(|(digest, bytes)| (*digest, bytes.as_slice()))).unwrap();
                    model.extend(new);
                }
                Op::Collect(kept) => {
                    let kept: BTreeSet<_> = kept.iter().map(body).map(|bytes| Digest::of(&bytes)).collect();
                    open.collect_unused(|digest| kept.contains(digest), open.ticket()).unwrap();
                    model.retain(|digest, _| kept.contains(digest));
                }
                Op::Reopen => open = store(&dir),
            }
            for (digest, bytes) in &model {
                let found = open.get(digest).unwrap();
                prop_assert_eq!(found.as_ref(), Some(bytes));
            }
        }
    }
}

#[test]
fn a_damaged_copy_does_not_hide_the_good_one_after_a_restart() {
    for other in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let first = store(&dir);
        let beside = format!("beside {other}");
        put(&first, &["a", &beside]);
        let path = files(&first).remove(0);
        let (_, place) = first.index().find(&digest("a")).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[place.offset as usize] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(first.get(&digest("a")).is_err());
        assert_eq!(put(&first, &["a"]), 1);
        // Whichever of the two files comes first when the folder is read.
        assert_eq!(store(&dir).get(&digest("a")).unwrap().unwrap(), b"a");
    }
}

#[test]
fn what_cannot_be_read_is_damaged_and_stops_neither_the_store_nor_its_repair() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir);
    put(&first, &["a"]);
    put(&first, &["b", "c"]);
    let (name, _) = first.index().find(&digest("a")).unwrap();
    fs::remove_file(first.path(&name)).unwrap();
    fs::create_dir(first.path(&name)).unwrap();
    assert!(matches!(first.get(&digest("a")), Err(ContentError::Damaged(_))));
    assert_eq!(put(&first, &["a", "d"]), 2);
    let again = store(&dir);
    assert_eq!(again.missing(&["a", "b", "c", "d"].map(digest)), [].into());
}
