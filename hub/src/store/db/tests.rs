//! The store against restarts, races, damage and full batches.

use super::*;

fn store() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("state");
    fs::create_dir(&folder).unwrap();
    Store::create(&folder).unwrap();
    (temp, folder)
}

fn put(store: &Store, key: &str, value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(key, value.to_vec());
    store.commit(batch).unwrap();
}

#[test]
fn survives_reopening_and_scans_by_prefix() {
    let (_temp, folder) = store();
    {
        let store = Store::open(&folder).unwrap();
        put(&store, "a/1", b"one");
        put(&store, "a/2", b"two");
        put(&store, "b/1", b"three");
    }
    let store = Store::open(&folder).unwrap();
    let found = store.scan("a/").unwrap();
    assert_eq!(found, [("a/1".into(), b"one".to_vec()), ("a/2".into(), b"two".to_vec())]);
    Store::create(&store_copy(&folder)).unwrap_err();
}

/// `create` on a store that lost its mark of generation fails instead of making a new one.
fn store_copy(folder: &Path) -> PathBuf {
    let copy = folder.with_file_name("copy");
    fs::create_dir_all(copy.join("db")).unwrap();
    fs::write(copy.join("db").join("db"), b"not a database").unwrap();
    copy
}

#[test]
fn a_batch_with_a_failed_expectation_changes_nothing() {
    let (_temp, folder) = store();
    let store = Store::open(&folder).unwrap();
    put(&store, "x", b"1");
    let mut batch = Batch::default();
    batch.expect("x", Some(b"0".to_vec())).put("x", b"2".to_vec()).put("y", b"2".to_vec());
    assert!(matches!(store.commit(batch), Err(StoreError::Conflict(key)) if key == "x"));
    assert_eq!((store.get("x").unwrap(), store.get("y").unwrap()), (Some(b"1".to_vec()), None));
}

#[test]
fn of_many_racers_one_wins() {
    let (_temp, folder) = store();
    let store = Store::open(&folder).unwrap();
    put(&store, "token", b"free");
    let wins = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for racer in 0..100_u8 {
            let (store, wins) = (&store, &wins);
            scope.spawn(move || {
                let mut batch = Batch::default();
                batch.expect("token", Some(b"free".to_vec())).put("token", vec![racer]);
                if store.commit(batch).is_ok() {
                    wins.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(wins.into_inner(), 1);
}

/// Turns one bit of a record.
fn damage(folder: &Path) {
    put(&Store::open(folder).unwrap(), "x", &[7; 1000]);
    let file = folder.join("db").join("db");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(100).position(|w| w == [7; 100]).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(&file, bytes).unwrap();
}

#[test]
fn an_intact_store_that_cannot_be_opened_now_stays_where_it_is() {
    let (_temp, folder) = store();
    put(&Store::open(&folder).unwrap(), "x", b"1");
    // What a missing right or a lack of file descriptors is for another user.
    let (mark, away) = (folder.join("generation"), folder.join("away"));
    fs::rename(&mark, &away).unwrap();
    fs::create_dir(&mark).unwrap();
    let error = Store::open(&folder).unwrap_err();
    assert!(matches!(error, StoreError::Database(_) | StoreError::Io(_)), "{error}");
    fs::remove_dir(&mark).unwrap();
    fs::rename(&away, &mark).unwrap();
    assert_eq!(Store::open(&folder).unwrap().get("x").unwrap(), Some(b"1".to_vec()));
}

#[test]
fn who_only_looks_moves_nothing() {
    let (_temp, folder) = store();
    damage(&folder);
    for _ in 0..2 {
        let error = Store::sound(&folder).unwrap_err();
        assert!(matches!(&error, StoreError::Unsound(_)), "{error}");
    }
    assert!(matches!(Store::open(&folder), Err(StoreError::Damaged { .. })));
}

#[test]
fn damage_is_put_aside_and_never_built_upon() {
    let (_temp, folder) = store();
    damage(&folder);
    let error = Store::open(&folder).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { moved, .. } if moved.exists()), "{error}");
    assert!(matches!(Store::open(&folder), Err(StoreError::Missing(_))));
}

#[test]
fn a_store_older_than_what_was_acknowledged_is_refused() {
    let (_temp, folder) = store();
    let old = fs::read(folder.join("db").join("db")).unwrap();
    for n in 0..3 {
        put(&Store::open(&folder).unwrap(), &format!("x{n}"), b"1");
    }
    for file in fs::read_dir(folder.join("db")).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
            fs::remove_file(file).unwrap();
        }
    }
    fs::write(folder.join("db").join("db"), old).unwrap();
    let error = Store::open(&folder).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_value_that_sled_would_not_sync_is_refused() {
    let (_temp, folder) = store();
    let store = Store::open(&folder).unwrap();
    let mut batch = Batch::default();
    batch.put("x", vec![0; VALUE_BYTES + 1]);
    assert!(matches!(store.commit(batch), Err(StoreError::TooLarge { .. })));
}
