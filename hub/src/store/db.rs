//! Small records in sled, with a checksum each, written in batches that hold
//! expectations, so that whoever decided on old knowledge never wins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rimward_proto::Digest;

use crate::datadir;

/// The largest value: half of the size at which sled would put it into a blob file that is never synced.
pub const VALUE_BYTES: usize = 64 << 10;
/// sled's page cache. Everything kept is small; what is asked for often is kept in memory by its owner.
const CACHE_BYTES: u64 = 16 << 20;
/// Bytes of a record's checksum: a prefix of its SHA-256, against damage, not against attackers.
const CHECKSUM: usize = 16;
/// Times that opening is tried, [`LOCK_PAUSE`] apart, while the database is locked: sled's own threads let go of the file
/// a moment after the value that owned it is gone.
const LOCK_TRIES: u32 = 50;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// The record that every store has: it tells an empty store from a lost one.
const FORMAT: (&str, &[u8]) = ("meta/format", b"1");
/// The record with the number of the last commit.
const GENERATION: &str = "meta/generation";

/// Why the store cannot be used, or refused a batch.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error(
        "{} has no store. If it was lost, restore a backup; to go on without (every spoke must then be enrolled \
         again), remove VERSION and run `rimward-hub init`",
        .0.display()
    )]
    Missing(PathBuf),
    /// It is damaged; it was put aside.
    #[error("the store is damaged ({what}); it was moved to {}. Restore a backup", moved.display())]
    Damaged {
        /// What is wrong with it.
        what: String,
        /// Where it is now.
        moved: PathBuf,
    },
    /// It is damaged, and nobody was to do anything about it.
    #[error("the store is damaged ({0}); it was left where it is")]
    Unsound(String),
    /// An expectation of the batch does not hold: someone else was faster.
    #[error("the record {0} is not what it was")]
    Conflict(String),
    /// A value is too large for a record.
    #[error("the record {key} has {found} bytes, at most {VALUE_BYTES}")]
    TooLarge {
        /// Which.
        key: String,
        /// Its size.
        found: usize,
    },
    /// A record is damaged.
    #[error("the record {0} is damaged")]
    Checksum(String),
    /// A record is not what this version writes.
    #[error("the record {key} cannot be read")]
    Parse {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The database refused.
    #[error("the database failed")]
    Database(#[from] sled::Error),
    /// The system refused.
    #[error("the store's files cannot be used")]
    Io(#[from] io::Error),
}

/// A change of some records, all or nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    expect: Vec<(String, Option<Vec<u8>>)>,
    put: Vec<(String, Vec<u8>)>,
    delete: Vec<String>,
}

impl Batch {
    /// The record must be exactly this, or absent.
    pub fn expect(&mut self, key: impl Into<String>, value: Option<Vec<u8>>) -> &mut Self {
        self.expect.push((key.into(), value));
        self
    }

    /// Writes a record.
    pub fn put(&mut self, key: impl Into<String>, value: Vec<u8>) -> &mut Self {
        self.put.push((key.into(), value));
        self
    }

    /// Removes a record.
    pub fn delete(&mut self, key: impl Into<String>) -> &mut Self {
        self.delete.push(key.into());
        self
    }
}

/// The open store. Cheap to read from any thread; commits take turns.
#[derive(Debug)]
pub struct Store {
    tree: sled::Tree,
    writing: Mutex<Writing>,
    // Last, so that it is dropped after the tree: closing waits for sled's own threads.
    _database: sled::Db,
}

#[derive(Debug)]
struct Writing {
    generation: u64,
    database: File,
    mark: File,
}

impl Store {
    /// Makes a store in an empty folder; one that is there is left as it is.
    pub fn create(folder: &Path) -> Result<(), StoreError> {
        if folder.join("db").join("db").exists() {
            return Store::open(folder).map(drop);
        }
        let store = Self::start(folder).map_err(StoreError::Database)?;
        let mut batch = Batch::default();
        batch.put(FORMAT.0, FORMAT.1.to_vec());
        store.commit(batch)
    }

    /// Opens a store that was made before, and checks all of it. What is damaged is moved aside; what only cannot be opened
    /// now (no file descriptors, no rights, a disk that fails) stays where it is.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        match Self::sound(folder) {
            Err(StoreError::Unsound(what)) => Err(quarantine(folder, what)),
            opened => opened,
        }
    }

    /// Opens a store as [`Self::open`] does, but leaves a damaged one where it is, too.
    pub fn sound(folder: &Path) -> Result<Self, StoreError> {
        if !folder.join("db").join("db").exists() {
            return Err(StoreError::Missing(folder.to_owned()));
        }
        for _ in 0..LOCK_TRIES {
            match Self::open_once(folder) {
                Err(StoreError::Database(error)) if is_locked(&error) => std::thread::sleep(LOCK_PAUSE),
                opened => return opened,
            }
        }
        Self::open_once(folder)
    }

    fn open_once(folder: &Path) -> Result<Self, StoreError> {
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let store = Self::start(folder)?;
            store.verify(folder)?;
            Ok::<_, StoreError>(store)
        }));
        match checked {
            Ok(Err(error)) if is_damage(&error) => Err(StoreError::Unsound(error.to_string())),
            Ok(opened) => opened,
            Err(_) => Err(StoreError::Unsound("the database panicked at open".to_owned())),
        }
    }

    fn start(folder: &Path) -> Result<Self, sled::Error> {
        let path = folder.join("db");
        let database = sled::Config::new()
            .path(&path)
            .cache_capacity(CACHE_BYTES)
            // Nothing is written between commits, and each commit flushes.
            .flush_every_ms(None)
            .open()?;
        for durable in [path.join("conf"), path.join("db"), path.clone(), folder.to_owned()] {
            File::open(&durable)?.sync_all()?;
        }
        let tree = database.open_tree("rimward")?;
        let file = File::open(path.join("db"))?;
        let mark_path = folder.join("generation");
        let mark = OpenOptions::new().create(true).truncate(false).write(true).open(&mark_path)?;
        datadir::sync_parent(&mark_path)?;
        let generation = read_generation(&tree).unwrap_or(0);
        let writing = Mutex::new(Writing { generation, database: file, mark });
        Ok(Self { tree, writing, _database: database })
    }

    fn verify(&self, folder: &Path) -> Result<(), StoreError> {
        for record in &self.tree {
            let (key, value) = record?;
            unwrap_value(&String::from_utf8_lossy(&key), &value)?;
        }
        if self.get(FORMAT.0)?.as_deref() != Some(FORMAT.1) {
            return Err(StoreError::Checksum(FORMAT.0.to_owned()));
        }
        let text = fs::read_to_string(folder.join("generation"))?;
        // An unreadable mark was torn by the cut that also ended its commit: then the database is the newer one.
        let mark: u64 = text.trim().parse().unwrap_or(0);
        if self.writing().generation < mark {
            return Err(StoreError::Checksum(format!(
                "{GENERATION} (commits up to {mark} were acknowledged)"
            )));
        }
        Ok(())
    }

    /// A record.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.tree.get(key)?.map(|value| unwrap_value(key, &value)).transpose()
    }

    /// All records whose key begins with `prefix`, in key order.
    pub fn scan(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        for record in self.tree.scan_prefix(prefix) {
            let (key, value) = record?;
            let key = String::from_utf8_lossy(&key).into_owned();
            let value = unwrap_value(&key, &value)?;
            found.push((key, value));
        }
        Ok(found)
    }

    /// Applies a batch if all its expectations hold. When it returns, the batch survives a power cut.
    pub fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut writing = self.writing();
        for (key, expected) in &batch.expect {
            if self.get(key)? != *expected {
                return Err(StoreError::Conflict(key.clone()));
            }
        }
        let next = writing.generation + 1;
        let mut changes = sled::Batch::default();
        for (key, value) in &batch.put {
            if value.len() > VALUE_BYTES {
                return Err(StoreError::TooLarge { key: key.clone(), found: value.len() });
            }
            changes.insert(key.as_str(), wrap_value(value));
        }
        batch.delete.iter().for_each(|key| changes.remove(key.as_str()));
        changes.insert(GENERATION, wrap_value(next.to_string().as_bytes()));
        self.tree.apply_batch(changes)?;
        self.tree.flush()?;
        writing.database.sync_all()?;
        writing.generation = next;
        writing.mark(next)?;
        Ok(())
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, Writing> {
        // A panic while committing leaves no half state behind: the batch is sled's, the rest is one number.
        self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Writing {
    /// Fixed width at offset 0, within one disk sector: never a mix of two numbers.
    fn mark(&mut self, generation: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.mark.write_all_at(format!("{generation:020}\n").as_bytes(), 0)?;
        self.mark.flush()?;
        self.mark.sync_all()
    }
}

fn read_generation(tree: &sled::Tree) -> Option<u64> {
    let value = tree.get(GENERATION).ok()??;
    let value = unwrap_value(GENERATION, &value).ok()?;
    std::str::from_utf8(&value).ok()?.parse().ok()
}

fn wrap_value(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + CHECKSUM);
    bytes.extend_from_slice(&Digest::of(value).as_bytes()[..CHECKSUM]);
    bytes.extend_from_slice(value);
    bytes
}

fn unwrap_value(key: &str, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::Checksum(key.to_owned());
    let (checksum, value) = bytes.split_at_checked(CHECKSUM).ok_or_else(damaged)?;
    if Digest::of(value).as_bytes()[..CHECKSUM] == *checksum { Ok(value.to_vec()) } else { Err(damaged()) }
}

/// Whether the database is in use. sled says so in words only.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Whether what is on the disk is wrong, and not only the way to it.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Checksum(_) | StoreError::Database(sled::Error::Corruption { .. }))
}

/// Moves a damaged store out of the way, so that its evidence stays and nothing is built on it.
fn quarantine(folder: &Path, what: String) -> StoreError {
    let name = |n: u32| folder.with_file_name(format!("state.damaged-{n}"));
    let moved = (1..).map(name).find(|path| !path.exists()).expect("a free number below 2^32");
    match fs::rename(folder, &moved) {
        Ok(()) => StoreError::Damaged { what, moved },
        Err(error) => StoreError::Io(error),
    }
}

#[cfg(test)]
mod tests;
