//! The Secret `rimward-spoke-identity`: who we are, and the point never to go
//! back behind. It lives in the cluster it speaks of, so that a restored etcd
//! restores both together.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::object::{Objects, StoreError, version_of};
use crate::cluster::Connection;
use crate::core::event::StoredTrust;
use crate::session::identity::{Identity, Pending};

/// The Secret's name.
pub const NAME: &str = "rimward-spoke-identity";
const IDENTITY: &str = "identity.json";
const PENDING: &str = "pending.json";
const ROOT: &str = "root";
const HEAD: &str = "head";
const FLOOR: &str = "floor.json";
const WRITER: &str = "writer";
/// Tries of one write when a person has touched the Secret in between.
const TRIES: usize = 3;

/// The Secret, as last seen and written.
#[derive(Debug)]
pub struct SecretStore {
    objects: Objects,
    writer: String,
    seen: Mutex<Seen>,
}

#[derive(Default, Clone)]
struct Seen {
    version: Option<String>,
    data: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What the Secret holds.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Who we are; none before enrolment.
    pub identity: Option<Identity>,
    /// A key that was asked a certificate for.
    pub pending: Option<Pending>,
    /// Root, floor and head; none before enrolment.
    pub trust: Option<StoredTrust>,
}

impl SecretStore {
    /// `writer` tells this run from any other.
    pub fn new(connection: Connection, namespace: &str, writer: &str) -> Self {
        let objects = Objects::new(connection, namespace, "secrets");
        Self { objects, writer: writer.to_owned(), seen: Mutex::default() }
    }

    /// Reads the Secret; an absent one holds nothing.
    pub async fn load(&self) -> Result<Stored, StoreError> {
        let mut seen = self.seen.lock().await;
        *seen = self.read().await?;
        self.decode(&seen.data)
    }

    /// The key that was asked a certificate for, as last read or written.
    pub async fn pending(&self) -> Result<Option<Pending>, StoreError> {
        let seen = self.seen.lock().await;
        self.part(&seen.data, PENDING)
    }

    /// Puts our mark on what is there, so that a spoke still running elsewhere fails its next write.
    pub async fn claim(&self) -> Result<(), StoreError> {
        self.update(|_| Ok(())).await
    }

    /// Writes a key before a certificate is asked for it.
    pub async fn save_pending(&self, pending: &Pending) -> Result<(), StoreError> {
        self.update(|data| insert(data, PENDING, pending)).await
    }

    /// Writes an enrolment's or a renewal's result; nothing is pending any more.
    pub async fn save_identity(&self, identity: &Identity, root: Option<&[u8]>) -> Result<(), StoreError> {
        self.update(|data| {
            data.remove(PENDING);
            if let Some(root) = root {
                data.insert(ROOT.to_owned(), root.to_vec());
            }
            insert(data, IDENTITY, identity)
        })
        .await
    }

    /// Writes root, floor and head.
    pub async fn save_trust(&self, trust: &StoredTrust) -> Result<(), StoreError> {
        self.update(|data| {
            data.insert(ROOT.to_owned(), trust.root.clone());
            match &trust.head {
                Some(head) => data.insert(HEAD.to_owned(), head.clone()),
                None => data.remove(HEAD),
            };
            match &trust.floor {
                Some(floor) => insert(data, FLOOR, floor),
                None => {
                    data.remove(FLOOR);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn update(
        &self,
        change: impl Fn(&mut BTreeMap<String, Vec<u8>>) -> Result<(), &'static str>,
    ) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        for _ in 0..TRIES {
            let mut data = seen.data.clone();
            data.insert(WRITER.to_owned(), self.writer.clone().into_bytes());
            change(&mut data).map_err(|part| self.objects.damaged(NAME, part))?;
            match self.objects.put(NAME, seen.version.as_deref(), body(&data)).await {
                Ok(version) => {
                    *seen = Seen { version: Some(version), data };
                    return Ok(());
                }
                // Deleted under us: what it held is here.
                Err(error) if error.is_gone() => seen.version = None,
                Err(error) if error.is_conflict() => {
                    // A person may have touched it; another spoke has put its own mark on it.
                    let ours = seen.data.get(WRITER).cloned();
                    let now = self.read().await?;
                    if now.data.get(WRITER).cloned() != ours {
                        return Err(error);
                    }
                    *seen = now;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict { what: self.objects.what(NAME) })
    }

    async fn read(&self) -> Result<Seen, StoreError> {
        let object = self.objects.get(NAME).await?;
        let mut data = BTreeMap::new();
        let encoded = object.as_ref().and_then(|object| object.get("data")?.as_object());
        for (name, value) in encoded.into_iter().flatten() {
            let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
            data.insert(name.clone(), bytes.ok_or_else(|| self.objects.damaged(NAME, "base64"))?);
        }
        Ok(Seen { version: version_of(object.as_ref()), data })
    }

    fn decode(&self, data: &BTreeMap<String, Vec<u8>>) -> Result<Stored, StoreError> {
        let trust = match data.get(ROOT) {
            Some(root) => {
                let floor = self.part(data, FLOOR)?;
                Some(StoredTrust { root: root.clone(), floor, head: data.get(HEAD).cloned() })
            }
            None => None,
        };
        Ok(Stored { identity: self.part(data, IDENTITY)?, pending: self.part(data, PENDING)?, trust })
    }

    fn part<T: DeserializeOwned>(
        &self,
        data: &BTreeMap<String, Vec<u8>>,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let parse =
            |bytes: &Vec<u8>| serde_json::from_slice(bytes).map_err(|_| self.objects.damaged(NAME, name));
        data.get(name).map(parse).transpose()
    }
}

fn insert<T: Serialize>(
    data: &mut BTreeMap<String, Vec<u8>>,
    name: &'static str,
    value: &T,
) -> Result<(), &'static str> {
    data.insert(name.to_owned(), serde_json::to_vec(value).map_err(|_| name)?);
    Ok(())
}

fn body(data: &BTreeMap<String, Vec<u8>>) -> Value {
    let encoded: BTreeMap<&String, String> =
        data.iter().map(|(name, bytes)| (name, STANDARD.encode(bytes))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {}, "data": encoded})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Memory, serve};
    use crate::session::identity::SecretPem;
    use rimward_proto::Digest;
    use rimward_proto::head::Floor;

    async fn store(memory: &Memory, writer: &str) -> SecretStore {
        let memory = memory.clone();
        SecretStore::new(serve(move |asked| memory.answer(asked)).await.0, "rimward-system", writer)
    }

    fn trust(seq: u64) -> StoredTrust {
        let floor = Floor { epoch: 1, seq, tree: Digest::of(b"tree") };
        StoredTrust { root: vec![1, 2], floor: Some(floor), head: Some(vec![3]) }
    }

    #[tokio::test]
    async fn what_is_written_is_read_by_the_next_run() {
        let memory = Memory::default();
        let first = store(&memory, "run-1").await;
        assert!(first.load().await.unwrap().trust.is_none());
        let pending = Pending { key: SecretPem::generate().unwrap(), counter: 3 };
        first.save_pending(&pending).await.unwrap();
        first.save_trust(&trust(7)).await.unwrap();
        assert_eq!(first.pending().await.unwrap().unwrap().counter, 3);
        let stored = store(&memory, "run-2").await.load().await.unwrap();
        assert_eq!(stored.trust, Some(trust(7)));
        assert_eq!(stored.pending.unwrap().key.private_key().unwrap(), pending.key.private_key().unwrap());
    }

    #[tokio::test]
    async fn a_second_spoke_stops_the_first() {
        let memory = Memory::default();
        let (one, two) = (store(&memory, "run-1").await, store(&memory, "run-2").await);
        one.save_trust(&trust(1)).await.unwrap();
        two.load().await.unwrap();
        two.claim().await.unwrap();
        assert!(one.save_trust(&trust(2)).await.unwrap_err().is_conflict());
        two.save_trust(&trust(3)).await.unwrap();
    }

    #[tokio::test]
    async fn a_person_who_adds_an_annotation_does_not() {
        let memory = Memory::default();
        let one = store(&memory, "run-1").await;
        one.save_trust(&trust(1)).await.unwrap();
        memory.change(NAME, |object| object["metadata"]["resourceVersion"] = json!("999"));
        one.save_trust(&trust(2)).await.unwrap();
        assert_eq!(one.load().await.unwrap().trust, Some(trust(2)));
    }

    #[tokio::test]
    async fn damage_is_named_and_secrets_are_not_printed() {
        let memory = Memory::default();
        let one = store(&memory, "run-1").await;
        one.save_pending(&Pending { key: SecretPem::generate().unwrap(), counter: 0 }).await.unwrap();
        memory.change(NAME, |object| object["data"]["floor.json"] = json!(STANDARD.encode("{")));
        memory.change(NAME, |object| object["data"]["root"] = json!(STANDARD.encode("x")));
        let error = one.load().await.unwrap_err().to_string();
        assert!(error.contains("floor.json"), "{error}");
        assert!(!format!("{one:?}").contains("PRIVATE"));
    }
}
