//! The ledger in the cluster: one compressed ConfigMap, or, when that would be
//! too large, parts that a small one points to. The small one is written last
//! and against the version last seen, so that a crash in between leaves the old
//! ledger in force, and two spokes cannot both write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_proto::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::object::{Objects, StoreError, version_of};
use super::pack::{pack, unpack};
use crate::cluster::Connection;
use crate::core::Ledger;

/// The ConfigMap that decides.
pub const NAME: &str = "rimward-spoke-ledger";
/// Bytes in one ConfigMap: the API server's limit is 1 MiB with everything in it.
const PART_BYTES: usize = 900 << 10;
/// Parts of one ledger: about 7 MiB compressed, some 400,000 objects.
const PARTS: usize = 8;
/// What a ledger may unpack to.
const UNPACKED_BYTES: u64 = 256 << 20;

/// The ledger's ConfigMaps, as last seen and written.
#[derive(Debug)]
pub struct LedgerStore {
    objects: Objects,
    held: Mutex<Held>,
}

/// What we know of the deciding ConfigMap.
#[derive(Debug, Default)]
struct Held {
    seen: Option<Seen>,
    /// What a write without an answer would have left there.
    unsure: Option<Digest>,
}

#[derive(Debug, Clone)]
struct Seen {
    version: String,
    index: Index,
}

/// Writes that meet somebody else's hand, a person's label or a deletion, before one is given up.
const TRIES: usize = 5;

/// What the deciding ConfigMap says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    /// Which of the two sets of parts is in force; the other is free to be written.
    slot: u8,
    /// Number of parts; 0 = the ledger is in the deciding ConfigMap itself.
    parts: usize,
    /// Digest of the compressed ledger.
    digest: Option<Digest>,
}

impl LedgerStore {
    /// In `namespace`.
    pub fn new(connection: Connection, namespace: &str) -> Self {
        Self { objects: Objects::new(connection, namespace, "configmaps"), held: Mutex::default() }
    }

    /// The ledger; none if there is none, or it is damaged: then everything is looked at before it is taken for ours.
    pub async fn load(&self) -> Result<Option<Ledger>, StoreError> {
        let mut held = self.held.lock().await;
        *held = Held::default();
        let Some(object) = self.objects.get(NAME).await? else { return Ok(None) };
        let index = index_of(&object).unwrap_or_default();
        let mut packed = binary(&object, "ledger").unwrap_or_default();
        for part in 0..index.parts.min(PARTS) {
            let object = self.objects.get(&part_name(index.slot, part)).await?;
            packed.extend(object.as_ref().and_then(|object| binary(object, "part")).unwrap_or_default());
        }
        let version = version_of(Some(&object)).ok_or_else(|| self.objects.damaged(NAME, "no version"))?;
        let ledger =
            if index.digest == Some(Digest::of(&packed)) { unpack(&packed, UNPACKED_BYTES) } else { None };
        if ledger.is_none() {
            tracing::warn!("the ledger is damaged; nothing is pruned until it is rebuilt");
        }
        held.seen = Some(Seen { version, index });
        Ok(ledger)
    }

    /// Writes all of the ledger. A conflict means another spoke: what a write of ours left there without an answer, and
    /// what a person did to the ConfigMap without changing the ledger, is none.
    pub async fn save(&self, ledger: &Ledger) -> Result<(), StoreError> {
        let mut held = self.held.lock().await;
        let packed = pack(ledger).map_err(|_| self.objects.damaged(NAME, "it cannot be written"))?;
        for _ in 0..TRIES {
            if held.unsure.is_some() {
                self.look(&mut held).await?;
            }
            let before = held.seen.clone();
            match self.write(before.as_ref(), &packed).await {
                Ok(now) => {
                    let old = before.map(|seen| seen.index).unwrap_or_default();
                    held.seen = Some(now);
                    self.remove_parts(&old).await;
                    return Ok(());
                }
                Err(error) => {
                    held.unsure = Some(Digest::of(&packed));
                    if !error.is_conflict() && !error.is_gone() {
                        return Err(error);
                    }
                }
            }
        }
        Err(StoreError::Conflict { what: self.objects.what(NAME) })
    }

    /// Reads what is there after a write that may or may not have happened.
    async fn look(&self, held: &mut Held) -> Result<(), StoreError> {
        let object = self.objects.get(NAME).await?;
        let found = object.as_ref().map(|object| {
            let index = index_of(object).unwrap_or_default();
            let version = version_of(Some(object)).ok_or_else(|| self.objects.damaged(NAME, "no version"))?;
            Ok(Seen { version, index })
        });
        let found = found.transpose()?;
        let digest = found.as_ref().and_then(|seen| seen.index.digest);
        let known = held.seen.as_ref().and_then(|seen| seen.index.digest);
        if found.is_some() && digest != known && digest != held.unsure {
            return Err(StoreError::Conflict { what: self.objects.what(NAME) });
        }
        (held.seen, held.unsure) = (found, None);
        Ok(())
    }

    async fn write(&self, before: Option<&Seen>, packed: &[u8]) -> Result<Seen, StoreError> {
        let digest = Some(Digest::of(packed));
        let slot = before.map(|seen| seen.index.slot).unwrap_or_default() ^ 1;
        let (index, inline) = if packed.len() <= PART_BYTES {
            (Index { slot, parts: 0, digest }, Some(packed))
        } else {
            (Index { slot, parts: self.write_parts(slot, packed).await?, digest }, None)
        };
        let version = before.map(|seen| seen.version.as_str());
        let version = self.objects.put(NAME, version, head(&index, inline)?).await?;
        Ok(Seen { version, index })
    }

    async fn remove_parts(&self, old: &Index) {
        for part in 0..old.parts {
            // What is left over costs space and nothing else; the next write of this slot replaces it.
            if let Err(error) = self.objects.delete(&part_name(old.slot, part)).await {
                tracing::debug!(%error, "an old part of the ledger stays");
            }
        }
    }

    async fn write_parts(&self, slot: u8, packed: &[u8]) -> Result<usize, StoreError> {
        let parts: Vec<_> = packed.chunks(PART_BYTES).collect();
        if parts.len() > PARTS {
            let what = self.objects.what(NAME);
            return Err(StoreError::TooLarge { what, parts: parts.len(), limit: PARTS });
        }
        for (i, part) in parts.iter().enumerate() {
            let name = part_name(slot, i);
            let version = version_of(self.objects.get(&name).await?.as_ref());
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {},
                "binaryData": {"part": STANDARD.encode(part)}});
            self.objects.put(&name, version.as_deref(), body).await?;
        }
        Ok(parts.len())
    }
}

fn part_name(slot: u8, part: usize) -> String {
    format!("{NAME}-{}-{part}", if slot == 0 { 'a' } else { 'b' })
}

fn head(index: &Index, inline: Option<&[u8]>) -> Result<Value, StoreError> {
    let text = serde_json::to_string(index)
        .map_err(|_| StoreError::Damaged { what: NAME.to_owned(), part: "its index cannot be written" })?;
    let mut body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"index.json": text}});
    if let Some(packed) = inline {
        body["binaryData"] = json!({"ledger": STANDARD.encode(packed)});
    }
    Ok(body)
}

fn index_of(object: &Value) -> Option<Index> {
    serde_json::from_str(object.pointer("/data/index.json")?.as_str()?).ok()
}

fn binary(object: &Value, name: &str) -> Option<Vec<u8>> {
    STANDARD.decode(object.get("binaryData")?.get(name)?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::LedgerEntry;
    use crate::scripted::{Memory, serve};
    use rimward_proto::ObjectKey;

    /// Names and UIDs that do not repeat, as real ones do not.
    fn ledger(objects: usize) -> Ledger {
        let mut ledger = Ledger::default();
        for i in 0..objects {
            let uid = Digest::of(&i.to_be_bytes()).hex();
            let (group, kind) = (String::new(), "ConfigMap".to_owned());
            let key = ObjectKey::new(group, kind, "shop", format!("config-{}", &uid[32..]));
            let entry = LedgerEntry {
                finished: None,
                keep: false,
                found: false,
                counted: None,
                key: key.clone(),
                version: "v1".into(),
                uid: Some(uid[..32].to_owned()),
                app: "shop/web".parse().unwrap(),
                service_account: "rimward-tenants/shop".into(),
                taken_from: Vec::new(),
                latch: Default::default(),
            };
            ledger.entries.insert(key, entry);
        }
        ledger
    }

    async fn store(memory: &Memory) -> LedgerStore {
        let memory = memory.clone();
        LedgerStore::new(serve(move |asked| memory.answer(asked)).await.0, "rimward-system")
    }

    #[tokio::test]
    async fn ten_thousand_objects_fit_in_one_config_map() {
        let memory = Memory::default();
        let one = store(&memory).await;
        assert_eq!(one.load().await.unwrap(), None);
        let ledger = ledger(10_000);
        one.save(&ledger).await.unwrap();
        assert_eq!(memory.names(), [NAME]);
        assert_eq!(store(&memory).await.load().await.unwrap(), Some(ledger));
    }

    #[tokio::test]
    async fn a_large_ledger_goes_into_parts_and_a_small_one_removes_them() {
        let memory = Memory::default();
        let one = store(&memory).await;
        let large = ledger(40_000);
        one.save(&large).await.unwrap();
        assert!(memory.names().len() > 2, "{:?}", memory.names());
        assert_eq!(store(&memory).await.load().await.unwrap(), Some(large));
        one.save(&ledger(3)).await.unwrap();
        assert_eq!(memory.names(), [NAME]);
        assert_eq!(one.load().await.unwrap(), Some(ledger(3)));
    }

    #[tokio::test]
    async fn a_lost_answer_a_touch_and_a_deletion_are_no_other_spoke() {
        let memory = Memory::default();
        let lost = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (answers, lose) = (memory.clone(), lost.clone());
        let connection = serve(move |asked| {
            let answer = answers.answer(asked);
            let head = asked.method == http::Method::PUT && asked.uri.ends_with(NAME);
            if head && lose.swap(false, std::sync::atomic::Ordering::SeqCst) {
                return crate::scripted::status(504, "Timeout", "the request did not complete in time");
            }
            answer
        });
        let one = LedgerStore::new(connection.await.0, "rimward-system");
        one.load().await.unwrap();
        one.save(&ledger(40_000)).await.unwrap();
        lost.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(!one.save(&ledger(41_000)).await.unwrap_err().is_conflict());
        // It was written all the same; until the next one is, it is whole.
        assert_eq!(store(&memory).await.load().await.unwrap(), Some(ledger(41_000)));
        one.save(&ledger(42_000)).await.unwrap();
        memory.change(NAME, |object| object["metadata"]["resourceVersion"] = json!("touched"));
        one.save(&ledger(2)).await.unwrap();
        memory.remove(NAME);
        one.save(&ledger(3)).await.unwrap();
        assert_eq!(store(&memory).await.load().await.unwrap(), Some(ledger(3)));
    }

    #[tokio::test]
    async fn two_spokes_cannot_both_write() {
        let memory = Memory::default();
        let (one, two) = (store(&memory).await, store(&memory).await);
        one.save(&ledger(1)).await.unwrap();
        two.load().await.unwrap();
        two.save(&ledger(2)).await.unwrap();
        assert!(one.save(&ledger(3)).await.unwrap_err().is_conflict());
        assert_eq!(two.load().await.unwrap(), Some(ledger(2)));
    }

    #[tokio::test]
    async fn a_damaged_ledger_is_none_and_can_be_written_anew() {
        let memory = Memory::default();
        let one = store(&memory).await;
        one.save(&ledger(5)).await.unwrap();
        memory.change(NAME, |object| object["binaryData"]["ledger"] = json!("AAAA"));
        assert_eq!(one.load().await.unwrap(), None);
        one.save(&ledger(5)).await.unwrap();
        assert_eq!(one.load().await.unwrap(), Some(ledger(5)));
    }
}
