//! Fetching missing content: asked for by digest, checked against it, and kept
//! in batches, so that a large fetch that breaks off has not been for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rimward_content::{ContentError, Store};
use rimward_proto::session::Content;
use rimward_proto::wire::content_client::ContentClient;
use rimward_proto::{Digest, convert, limits};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use crate::core::Outcome;

/// Content kept at once: large enough that syncing the disk costs little for each, small enough to hold in memory.
const BATCH_BYTES: usize = 8 << 20;
/// The same as a count, for many small objects: what a fetch that breaks off loses.
const BATCH_ITEMS: usize = 4096;
/// A hub that sends nothing for this long is asked again.
const IDLE: Duration = Duration::from_secs(30);
/// An index of the largest size, and the frame around it.
const ITEM_BYTES: usize = limits::INDEX_BYTES as usize + (64 << 10);

/// Fetches over whatever session is open.
#[derive(Debug, Clone)]
pub struct Fetcher {
    channel: watch::Receiver<Option<Channel>>,
    store: Arc<Store>,
}

#[derive(Default)]
struct Got {
    stored: Vec<Digest>,
    corrupt: Vec<Digest>,
    batch: Vec<Content>,
    bytes: usize,
    /// The batch before, on its way to the disk while this one arrives.
    keeping: Option<JoinHandle<Result<Kept, ContentError>>>,
}

/// What of a batch was good, and what was not.
type Kept = (Vec<Digest>, Vec<Digest>);

impl Fetcher {
    /// Over the channel in `channel`, into `store`.
    pub fn new(channel: watch::Receiver<Option<Channel>>, store: Arc<Store>) -> Self {
        Self { channel, store }
    }

    /// Fetches `digests`, as many as the hub sends.
    pub async fn fetch(&self, digests: Vec<Digest>) -> Outcome {
        let mut got = Got::default();
        let mut error = None;
        for part in digests.chunks(limits::FETCH_DIGESTS) {
            if let Err(text) = self.part(part, &mut got).await {
                error = Some(text);
                break;
            }
        }
        for last in [self.keep(&mut got).await, got.kept().await] {
            if let Err(text) = last {
                error.get_or_insert(text);
            }
        }
        Outcome::Fetched { stored: got.stored, corrupt: got.corrupt, error }
    }

    async fn part(&self, digests: &[Digest], got: &mut Got) -> Result<(), String> {
        let channel = self.channel.borrow().clone().ok_or("no session is open")?;
        let mut client = ContentClient::new(channel)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(ITEM_BYTES);
        let request = convert::fetch_to_wire(digests);
        let mut stream =
            client.fetch(request).await.map_err(|status| status.message().to_owned())?.into_inner();
        let mut wanted: BTreeSet<Digest> = digests.iter().copied().collect();
        loop {
            let next = tokio::time::timeout(IDLE, stream.message()).await;
            let item = match next.map_err(|_| "the hub sends nothing".to_owned())? {
                Ok(Some(item)) => convert::content_from_wire(item).map_err(|error| error.to_string())?,
                Ok(None) => return Ok(()),
                Err(status) => return Err(status.message().to_owned()),
            };
            if !wanted.remove(&item.digest) {
                return Err("the hub sends what nobody asked for".to_owned());
            }
            got.bytes += item.bytes.len();
            got.batch.push(item);
            if got.bytes >= BATCH_BYTES || got.batch.len() >= BATCH_ITEMS {
                self.keep(got).await?;
            }
        }
    }

    /// Checks and stores what was gathered, once the batch before is stored.
    async fn keep(&self, got: &mut Got) -> Result<(), String> {
        got.kept().await?;
        let batch = std::mem::take(&mut got.batch);
        got.bytes = 0;
        let store = self.store.clone();
        got.keeping = Some(tokio::task::spawn_blocking(move || {
            let (good, bad): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|content| Digest::of(&content.bytes) == content.digest);
            let digests = |list: &[Content]| list.iter().map(|content| content.digest).collect::<Vec<_>>();
            let kept = (digests(&good), digests(&bad));
            store.put(good.iter().map(|content| (content.digest, content.bytes.as_slice()))).map(|_| kept)
        }));
        Ok(())
    }
}

impl Got {
    /// Waits for the batch that is on its way to the disk.
    async fn kept(&mut self) -> Result<(), String> {
        let Some(keeping) = self.keeping.take() else { return Ok(()) };
        let kept = keeping.await.map_err(|_| "the store is gone".to_owned())?;
        let (stored, corrupt) = kept.map_err(|error| crate::cluster::errors::chain(&error))?;
        self.stored.extend(stored);
        self.corrupt.extend(corrupt);
        Ok(())
    }
}

/// A handle that sessions put their channel into.
pub type ChannelSlot = Arc<watch::Sender<Option<Channel>>>;
