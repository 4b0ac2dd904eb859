//! Whom the spoke believes, and up to where: the newest root, the floor it never
//! goes back behind, and the newest head with its freshness.

use jiff::{SignedDuration, Timestamp};
use rimward_proto::envelope::Envelope;
use rimward_proto::head::{Floor, Head};
use rimward_proto::root::{Root, RootError};
use rimward_proto::{ClusterName, ClusterUid, Digest, TrustDomain};

use super::event::StoredTrust;

/// A head whose assignment here is unchanged advances the floor in memory; the Secret follows at most this often,
/// so that other clusters' changes cost this one no write. What is lost by a crash is at most an hour of replay of
/// heads that change nothing here.
pub const FLOOR_WRITE: SignedDuration = SignedDuration::from_hours(1);

/// A head issued this far in the future means that this cluster's clock is behind: more than NTP ever leaves.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What acceptance is judged by.
#[derive(Debug, Clone)]
pub struct Trust {
    /// This cluster's name.
    pub cluster: ClusterName,
    /// Its kube-system namespace UID.
    pub cluster_uid: ClusterUid,
    /// The fleet.
    pub trust_domain: TrustDomain,
    /// The newest root.
    pub root: Root,
    /// Its envelope.
    pub root_bytes: Vec<u8>,
    /// Never back behind this.
    pub floor: Option<Floor>,
    /// The newest head.
    pub head: Option<Head>,
    /// Its envelope.
    pub head_bytes: Option<Vec<u8>>,
}

impl Trust {
    /// From what is stored, which was verified before it was stored.
    pub fn load(
        cluster: ClusterName,
        cluster_uid: ClusterUid,
        trust_domain: TrustDomain,
        stored: StoredTrust,
    ) -> Result<Self, RootError> {
        let envelope = Envelope::parse(&stored.root).map_err(RootError::RootSignature)?;
        let payload = envelope.payload_unverified().map_err(RootError::RootSignature)?;
        let root = Root::parse(&payload)?;
        let head = stored.head.as_deref().and_then(read_head);
        let (root_bytes, head_bytes) = (stored.root, stored.head);
        Ok(Self {
            cluster,
            cluster_uid,
            trust_domain,
            root,
            root_bytes,
            floor: stored.floor,
            head,
            head_bytes,
        })
    }

    /// What to store.
    pub fn stored(&self) -> StoredTrust {
        StoredTrust { root: self.root_bytes.clone(), floor: self.floor, head: self.head_bytes.clone() }
    }

    /// Takes a newer root; one of a newer epoch moves the floor to that epoch's beginning (trust row 9).
    pub fn adopt_root(&mut self, root: Root, bytes: Vec<u8>) {
        if self.floor.is_some_and(|floor| floor.epoch < root.epoch) {
            self.floor = Some(Floor { epoch: root.epoch, seq: 0, tree: Digest::of(b"") });
        }
        self.root = root;
        self.root_bytes = bytes;
    }

    /// Takes a head that was accepted. Freshness is never shortened by an older renewal of the same head.
    pub fn adopt_head(&mut self, head: Head, bytes: Vec<u8>) {
        let older = self
            .head
            .as_ref()
            .is_some_and(|held| held.floor() == head.floor() && held.expires > head.expires);
        self.floor = Some(head.floor());
        if !older {
            self.head = Some(head);
            self.head_bytes = Some(bytes);
        }
    }

    /// True while deletes may go: the head held has not expired and is of the root's epoch.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.head.as_ref().is_some_and(|head| now < head.expires && head.epoch == self.root.epoch)
    }

    /// When freshness ends, if it has not ended yet.
    pub fn fresh_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.is_fresh(now).then(|| self.head.as_ref().map(|head| head.expires)).flatten()
    }
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let payload = Envelope::parse(bytes).ok()?.payload_unverified().ok()?;
    Head::parse(&payload).ok()
}
