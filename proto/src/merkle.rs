//! The Merkle tree over all assignments: one signature vouches for every
//! cluster's, and each spoke checks only its own. Hashing and proofs are those
//! of RFC 9162 §2.1 (0x00 before a leaf, 0x01 before a node).

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::limits;

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the inclusion proof does not lead to the tree hash")]
pub struct BadProof;

/// Where a leaf stands in its tree and the siblings that lead to the root (RFC 9162 §2.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// Index of the leaf, from 0.
    pub index: u64,
    /// Number of leaves in the tree.
    pub size: u64,
    /// Sibling hashes, from the leaf up.
    pub hashes: Vec<Digest>,
}

/// The hash of a leaf with these data.
pub fn leaf_hash(data: &[u8]) -> Digest {
    let mut bytes = Vec::with_capacity(data.len() + 1);
    bytes.push(0);
    bytes.extend_from_slice(data);
    Digest::of(&bytes)
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1_u8; 65];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::of(&bytes)
}

/// A tree with all its levels kept, so that each proof costs O(log n).
#[derive(Debug, Clone)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over `leaves`, which are already leaf hashes, in order.
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            // An odd node moves up unpaired: the same shape as RFC 9162's split at the largest power of two.
            let next = last
                .chunks(2)
                .map(|pair| if let [left, right] = pair { node_hash(left, right) } else { pair[0] })
                .collect();
            levels.push(next);
        }
        Self { levels }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// The root hash; of the empty tree, the hash of nothing (RFC 9162 §2.1.1).
    pub fn hash(&self) -> Digest {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_else(|| Digest::of(b""))
    }

    /// The proof for the leaf at `index`, if there is one.
    pub fn prove(&self, index: u64) -> Option<InclusionProof> {
        if index >= self.size() {
            return None;
        }
        let mut at = usize::try_from(index).ok()?;
        let mut hashes = Vec::new();
        for level in &self.levels {
            hashes.extend(level.get(at ^ 1).copied());
            at /= 2;
        }
        Some(InclusionProof { index, size: self.size(), hashes })
    }
}

impl InclusionProof {
    /// Checks that the leaf with hash `leaf` is in the tree with root `root` (RFC 9162 §2.1.3.2).
    pub fn verify(&self, leaf: Digest, root: Digest) -> Result<(), BadProof> {
        if self.index >= self.size || self.hashes.len() > limits::PROOF_HASHES {
            return Err(BadProof);
        }
        let (mut node, mut last, mut hash) = (self.index, self.size - 1, leaf);
        for sibling in &self.hashes {
            if last == 0 {
                return Err(BadProof);
            }
            if node & 1 == 1 || node == last {
                hash = node_hash(sibling, &hash);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node_hash(&hash, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        if last == 0 && hash == root { Ok(()) } else { Err(BadProof) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<Digest> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// RFC 9162 §2.1.1, as it is written: split at the largest power of two below n.
    fn reference(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                node_hash(&reference(&many[..k]), &reference(&many[k..]))
            }
        }
    }

    #[test]
    fn equals_the_rfc_definition_and_every_proof_holds() {
        for n in 0..70 {
            let leaves = leaves(n);
            let tree = Tree::new(leaves.clone());
            assert_eq!(tree.hash(), reference(&leaves), "size {n}");
            for (i, leaf) in leaves.iter().enumerate() {
                let proof = tree.prove(i as u64).unwrap();
                proof.verify(*leaf, tree.hash()).unwrap();
                for j in 0..n as u64 {
                    let moved = InclusionProof { index: j, ..proof.clone() };
                    assert_eq!(moved.verify(*leaf, tree.hash()).is_ok(), j == i as u64, "{n} {i} {j}");
                }
            }
            assert!(tree.prove(n as u64).is_none());
        }
    }

    #[test]
    fn a_changed_or_missing_hash_is_refused() {
        let tree = Tree::new(leaves(11));
        let proof = tree.prove(10).unwrap();
        let leaf = leaves(11)[10];
        for i in 0..proof.hashes.len() {
            let mut bad = proof.clone();
            bad.hashes[i] = Digest::of(b"other");
            assert_eq!(bad.verify(leaf, tree.hash()), Err(BadProof));
            let mut short = proof.clone();
            short.hashes.remove(i);
            assert_eq!(short.verify(leaf, tree.hash()), Err(BadProof));
        }
        let mut long = proof.clone();
        long.hashes.push(leaf);
        assert_eq!(long.verify(leaf, tree.hash()), Err(BadProof));
    }
}
