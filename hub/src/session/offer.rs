//! What a cluster is offered, and which content it may therefore ask for. Both
//! are shared by clusters that want the same, so each is worked out once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::Plan;
use rimward_proto::session::{Content as Item, Offer};
use rimward_proto::{ClusterName, Digest, limits};

use super::sent::Kind;
use crate::core::world::Published;
use crate::store::content::{Content, ContentError};

/// Plans whose content is kept worked out. Beyond this many different plans in use it is worked out again.
const PLANS: usize = 64;
/// Differences between plans that are kept ready to send: at most 64 MiB.
const DIFFERENCES: usize = 64;
/// What a content item costs on the wire beyond its bytes.
const ITEM_OVERHEAD: usize = 64;

/// Works out offers; blocks on content files.
#[derive(Debug)]
pub struct Offers {
    content: Arc<Content>,
    reachable: Cache<Digest, HashMap<Digest, Kind>>,
    inline: Cache<(Option<Digest>, Digest), Inline>,
}

/// Content that is sent along with an offer.
#[derive(Debug, Clone, Default)]
struct Inline {
    items: Vec<Item>,
    objects: usize,
}

/// An offer that was made.
#[derive(Debug)]
pub struct Made {
    /// What to send.
    pub offer: Offer,
    /// How many of its inline items are objects; the others are indexes.
    pub objects: usize,
}

/// What a spoke holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Its plan, durable with all content.
    pub plan: Option<Digest>,
    /// Its newest root.
    pub root: u64,
}

impl Offers {
    /// Offers of content in `content`.
    pub fn new(content: Arc<Content>) -> Self {
        Self { content, reachable: Cache::new(PLANS), inline: Cache::new(DIFFERENCES) }
    }

    /// The offer for a cluster that holds `held`; none if nothing is assigned to it.
    pub fn make(
        &self,
        published: &Published,
        cluster: &ClusterName,
        held: Held,
    ) -> Result<Option<Made>, ContentError> {
        let Some((assignment, bytes, proof)) = published.assignment(cluster) else { return Ok(None) };
        let holds = held.plan == Some(assignment.plan);
        let plan = published.plan(cluster).filter(|_| !holds);
        let inline = match plan {
            Some(plan) => Inline::clone(&*self.inline(held.plan, assignment.plan, plan)?),
            None => Inline::default(),
        };
        let lacks = usize::try_from(held.root).unwrap_or(usize::MAX).min(published.roots.len());
        let offer = Offer {
            roots: published.roots[lacks..].to_vec(),
            head: published.envelope.clone(),
            assignment: bytes,
            proof,
            plan: plan.map(|plan| plan.to_bytes()),
            inline: inline.items,
        };
        Ok(Some(Made { offer, objects: inline.objects }))
    }

    /// A plan and everything below it. Empty if the plan is not known any more.
    pub fn reachable(&self, plan: Digest) -> Result<Arc<HashMap<Digest, Kind>>, ContentError> {
        let Some(parsed) = self.plan(&plan)? else { return Ok(Arc::default()) };
        self.reachable.get(plan, || {
            let mut all = HashMap::from([(plan, Kind::Plan)]);
            for bundle in &parsed.bundles {
                all.insert(bundle.digest, Kind::Index);
                // Not kept: it may be written again, and what it names is this cluster's.
                let index = self.index(&bundle.digest)?;
                let index = index.ok_or_else(|| self.content.missing(&bundle.digest))?;
                all.extend(index.entries().iter().map(|entry| (entry.sha256, Kind::Object)));
            }
            Ok(all)
        })
    }

    /// What the new plan has beyond the old one, as far as it may be sent along.
    fn inline(&self, old: Option<Digest>, new: Digest, plan: &Plan) -> Result<Arc<Inline>, ContentError> {
        self.inline.get((old, new), || {
            let old = old.map(|old| self.plan(&old)).transpose()?.flatten().unwrap_or_default();
            let before: BTreeMap<_, _> =
                old.bundles.iter().map(|bundle| (bundle.id(), bundle.digest)).collect();
            let (mut inline, mut sent, mut room) = (Inline::default(), HashSet::new(), limits::INLINE_BYTES);
            for bundle in &plan.bundles {
                let was = before.get(&bundle.id());
                if was == Some(&bundle.digest) {
                    continue;
                }
                let had = was.map(|was| self.index(was)).transpose()?.flatten();
                let had: HashSet<Digest> =
                    had.iter().flat_map(|i| i.entries()).map(|entry| entry.sha256).collect();
                let Some(index) = self.index(&bundle.digest)? else { continue };
                let objects = index.entries().iter().map(|entry| entry.sha256);
                for digest in [bundle.digest].into_iter().chain(objects) {
                    if had.contains(&digest) || !sent.insert(digest) {
                        continue;
                    }
                    let Some(bytes) = self.content.get(&digest)? else { continue };
                    match room.checked_sub(bytes.len() + ITEM_OVERHEAD) {
                        Some(rest) => room = rest,
                        // The spoke asks for the rest; a large remainder is faster as a stream of its own.
                        None => return Ok(inline),
                    }
                    inline.items.push(Item { digest, bytes });
                    inline.objects += usize::from(digest != bundle.digest);
                }
            }
            Ok(inline)
        })
    }

    fn plan(&self, digest: &Digest) -> Result<Option<Plan>, ContentError> {
        Ok(self.content.get(digest)?.and_then(|bytes| Plan::parse(&bytes).ok()))
    }

    fn index(&self, digest: &Digest) -> Result<Option<BundleIndex>, ContentError> {
        Ok(self.content.get(digest)?.and_then(|bytes| BundleIndex::parse(&bytes).ok()))
    }
}

/// A bounded cache; when full, it starts anew, which costs only time.
#[derive(Debug)]
struct Cache<K, V> {
    entries: Mutex<HashMap<K, Arc<V>>>,
    limit: usize,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    fn new(limit: usize) -> Self {
        Self { entries: Mutex::default(), limit }
    }

    /// The value of `key`, made once: who comes meanwhile waits, because making it twice would cost more. A failure is
    /// not kept.
    fn get<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = entries.get(&key) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(make()?);
        if entries.len() >= self.limit {
            entries.clear();
        }
        entries.insert(key, Arc::clone(&value));
        Ok(value)
    }
}
