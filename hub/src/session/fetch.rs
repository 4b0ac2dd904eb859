//! Content by digest, to the cluster whose plan names it. A spoke that takes
//! nothing, or asks for too much at once, holds nobody else up: a stream that
//! stalls is cut, and each cluster has a few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rimward_proto::convert;
use rimward_proto::session::Content as Item;
use rimward_proto::wire::ContentItem;
use rimward_proto::{ClusterName, Digest};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tonic::Status;

use super::offer::Offers;
use super::open::STALLED;
use crate::state::{State, causes};
use crate::store::content::ContentError;

/// Content streams at once: what a restarting fleet asks for is the same content, so these soon end.
const FETCHING: usize = 64;
/// Of those, for one cluster: a spoke has one, and for a moment another when a newer plan came in between.
const OF_ONE: usize = 4;
/// Content items waiting for the transport.
const ITEMS: usize = 32;
/// Time for one stream: one over a slow line gets far, and goes on with another where it was; one that only pretends to
/// take something gives its place back.
const FETCH_TIME: Duration = Duration::from_secs(600);

/// A stream of content, as tonic sends it.
pub type Items = mpsc::Receiver<Result<ContentItem, Status>>;

/// Gives out content.
pub struct Fetches {
    state: Arc<State>,
    offers: Arc<Offers>,
    turns: Arc<Semaphore>,
    shares: Shares,
}

/// How many streams each cluster has open.
#[derive(Debug, Default, Clone)]
struct Shares(Arc<Mutex<HashMap<ClusterName, usize>>>);

/// One of a cluster's streams, until it is dropped.
#[derive(Debug)]
struct Share {
    shares: Shares,
    cluster: ClusterName,
}

impl Shares {
    /// A stream more for `cluster`, if it may have one.
    fn take(&self, cluster: &ClusterName) -> Option<Share> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(cluster.clone()).or_default();
        if *count >= OF_ONE {
            return None;
        }
        *count += 1;
        Some(Share { shares: self.clone(), cluster: cluster.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.cluster) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.cluster);
            }
        }
    }
}

impl Fetches {
    /// Content of the plans that `offers` works out.
    pub fn new(state: Arc<State>, offers: Arc<Offers>) -> Self {
        Self { state, offers, turns: Arc::new(Semaphore::new(FETCHING)), shares: Shares::default() }
    }

    /// Begins to send `digests` to `cluster`.
    pub async fn open(self: Arc<Self>, cluster: ClusterName, digests: Vec<Digest>) -> Result<Items, Status> {
        let share = self.shares.take(&cluster);
        let share = share.ok_or_else(|| {
            Status::resource_exhausted(format!("{OF_ONE} fetches of this cluster are open; try again later"))
        })?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Status::unavailable("stopping"))?;
        let (items, stream) = mpsc::channel(ITEMS);
        tokio::task::spawn_blocking(move || {
            let _held = (share, turn);
            if let Err(status) = self.send(&cluster, &digests, &items) {
                tracing::info!(%cluster, code = ?status.code(), "fetch ended: {}", status.message());
                // The spoke may be gone already, or take nothing.
                let _ = items.try_send(Err(status));
            }
        });
        Ok(stream)
    }

    /// Sends content that is below the cluster's offered or held plan, and nothing else.
    fn send(
        &self,
        cluster: &ClusterName,
        digests: &[Digest],
        items: &mpsc::Sender<Result<ContentItem, Status>>,
    ) -> Result<(), Status> {
        let offered =
            self.state.published.borrow().as_ref().and_then(|now| Some(now.assignments.get(cluster)?.1.plan));
        let held = self.state.look(|world| world.clusters.get(cluster).and_then(|status| status.held_plan));
        let unreadable = |error: ContentError| {
            tracing::error!(error = causes(&error), "content cannot be read");
            self.state.plan_needed.notify_one();
            Status::internal("content cannot be read")
        };
        let below = |plan| self.offers.reachable(plan).map_err(unreadable);
        let offered = offered.map(|plan| Ok::<_, Status>((plan, below(plan)?))).transpose()?;
        if let Some((plan, _)) = offered.as_ref().filter(|(_, reached)| reached.is_empty()) {
            return Err(self.lost(plan));
        }
        let held = held.map(below).transpose()?;
        let below: Vec<_> = offered.map(|(_, reached)| reached).into_iter().chain(held).collect();
        let kind = |digest: &Digest| below.iter().find_map(|plan| plan.get(digest)).copied();
        if let Some(foreign) = digests.iter().find(|digest| kind(digest).is_none()) {
            let message = format!("asked for content that is not in its plans: {foreign}");
            tracing::warn!(%cluster, "{message}");
            self.state.event("ForeignContent", Some(cluster), message, "");
            return Err(Status::permission_denied("not in this cluster's plans"));
        }
        let deadline = Instant::now() + FETCH_TIME;
        for digest in digests {
            let bytes = self.state.content.get(digest).map_err(unreadable)?;
            let bytes = bytes.ok_or_else(|| self.lost(digest))?;
            let item = convert::content_to_wire(Item { digest: *digest, bytes });
            if Instant::now() > deadline {
                return Err(Status::deadline_exceeded("this fetch takes long; ask for the rest"));
            }
            if !pass(items, item, STALLED)? {
                break;
            }
            if let Some(kind) = kind(digest) {
                self.state.sent.add(kind, 1);
            }
        }
        Ok(())
    }
}

impl Fetches {
    /// Content that a plan names is not there: planning may know it, and write it again until the spoke asks again.
    fn lost(&self, digest: &Digest) -> Status {
        self.state.content.lose(digest);
        self.state.plan_needed.notify_one();
        Status::data_loss(format!("{digest} is missing on the hub"))
    }
}

/// Passes an item to the transport. False if nobody wants it any more; an error if it is not taken in time.
fn pass(
    items: &mpsc::Sender<Result<ContentItem, Status>>,
    item: ContentItem,
    patience: Duration,
) -> Result<bool, Status> {
    // Called on a blocking thread of the runtime, which reads the files.
    match Handle::current().block_on(tokio::time::timeout(patience, items.send(Ok(item)))) {
        Ok(sent) => Ok(sent.is_ok()),
        Err(_) => Err(Status::resource_exhausted("the spoke does not take what it asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_nobody_reads_is_cut_and_one_that_is_gone_ends() {
        let (items, mut stream) = mpsc::channel(1);
        let pass = move || pass(&items, ContentItem::default(), Duration::from_millis(20));
        let (first, second, pass) =
            tokio::task::spawn_blocking(move || (pass(), pass(), pass)).await.unwrap();
        assert!(first.unwrap());
        assert_eq!(second.unwrap_err().code(), tonic::Code::ResourceExhausted);
        stream.close();
        stream.recv().await.unwrap().unwrap();
        assert!(!tokio::task::spawn_blocking(pass).await.unwrap().unwrap());
    }

    #[test]
    fn each_cluster_has_a_few() {
        let (eu, us) = (ClusterName::new("eu-1").unwrap(), ClusterName::new("us-1").unwrap());
        let shares = Shares::default();
        let mut mine: Vec<Share> = (0..OF_ONE).map(|_| shares.take(&eu).unwrap()).collect();
        assert!(shares.take(&eu).is_none() && shares.take(&us).is_some());
        mine.pop();
        assert!(shares.take(&eu).is_some());
        drop(mine);
        assert!(shares.0.lock().unwrap().is_empty());
    }
}
