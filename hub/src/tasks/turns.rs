//! Who may look at a source now. A server that hangs holds up its own sources
//! and nobody else's: looks wait for their mirror first, then for their server,
//! and only then for one of the turns that all sources share.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::model::{GitSpec, SourceId};
use crate::source::{check_url, mirror_name};

/// Looks at once: three servers that begin to hang leave room for others until they are known to.
const LOOKS: usize = 24;
/// Of those, at one server: enough to hide its latency, few enough to be polite.
const OF_ONE: u32 = 8;

/// All turns.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    /// The fleet repo's own turn: without it nothing can be corrected.
    fleet: Arc<Semaphore>,
    servers: HashMap<String, Arc<Semaphore>>,
    mirrors: HashMap<String, Arc<Semaphore>>,
}

/// A look's place in all queues.
#[derive(Debug)]
pub struct Queue {
    mirror: Arc<Semaphore>,
    server: Option<Arc<Semaphore>>,
    /// Turns at the server that it takes.
    share: u32,
    all: Arc<Semaphore>,
}

/// A look's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] Vec<OwnedSemaphorePermit>);

impl Default for Turns {
    fn default() -> Self {
        let (all, fleet) = (Arc::new(Semaphore::new(LOOKS)), Arc::new(Semaphore::new(1)));
        Self { all, fleet, servers: HashMap::new(), mirrors: HashMap::new() }
    }
}

impl Turns {
    /// A place in the queues for a look. A server that is `failing` is asked by one look at a time.
    pub fn queue(&mut self, id: &SourceId, git: &GitSpec, failing: bool) -> Queue {
        let of = |queues: &mut HashMap<String, Arc<Semaphore>>, name: String, turns: u32| {
            // What nobody waits for or holds is made anew when it is needed.
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            queues.entry(name).or_insert_with(|| Arc::new(Semaphore::new(turns as usize))).clone()
        };
        let mirror = of(&mut self.mirrors, mirror_name(git), 1);
        if *id == SourceId::Fleet {
            return Queue { mirror, server: None, share: 0, all: self.fleet.clone() };
        }
        // A URL that names no server is refused before anyone is asked.
        let server = of(&mut self.servers, check_url(&git.url).unwrap_or_default(), OF_ONE);
        let share = if failing { OF_ONE } else { 1 };
        Queue { mirror, server: Some(server), share, all: self.all.clone() }
    }
}

impl Queue {
    /// Waits for the turn.
    pub async fn turn(self) -> Turn {
        let Self { mirror, server, share, all } = self;
        // In this order everywhere, so that nobody waits for somebody who waits for them.
        let mut held = Vec::new();
        held.extend(mirror.acquire_owned().await);
        if let Some(server) = server {
            held.extend(server.acquire_many_owned(share).await);
        }
        held.extend(all.acquire_owned().await);
        Turn(held)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::model::GitRef;

    fn git(url: &str) -> GitSpec {
        GitSpec { url: url.into(), reference: GitRef::Head, path: ".".into(), credentials: None }
    }

    fn source(n: usize) -> SourceId {
        SourceId::try_from(format!("t/s{n}")).unwrap()
    }

    async fn now(queue: Queue) -> Option<Turn> {
        tokio::time::timeout(Duration::from_millis(1), queue.turn()).await.ok()
    }

    #[tokio::test]
    async fn a_server_that_hangs_holds_up_its_own_sources_only() {
        let mut turns = Turns::default();
        let mut held = Vec::new();
        for n in 0..100 {
            held.extend(now(turns.queue(&source(n), &git(&format!("https://hung/{n}")), false)).await);
        }
        assert_eq!(held.len(), OF_ONE as usize);
        assert!(now(turns.queue(&source(200), &git("https://good/a"), false)).await.is_some());
        assert!(now(turns.queue(&SourceId::Fleet, &git("https://hung/fleet"), false)).await.is_some());
        held.clear();
        // Known to fail, it is asked once at a time.
        for n in 0..100 {
            held.extend(now(turns.queue(&source(n), &git(&format!("https://hung/{n}")), true)).await);
        }
        assert_eq!(held.len(), 1);
    }

    #[tokio::test]
    async fn sources_of_one_mirror_wait_for_each_other_without_a_turn() {
        let mut turns = Turns::default();
        let first = now(turns.queue(&source(0), &git("https://one/a"), false)).await.unwrap();
        let mut waiting = Vec::new();
        for n in 1..100 {
            let queue = turns.queue(&source(n), &git("https://one/a"), false);
            waiting.push(tokio::spawn(queue.turn()));
        }
        tokio::task::yield_now().await;
        assert!(now(turns.queue(&source(100), &git("https://one/b"), false)).await.is_some());
        drop(first);
        for turn in waiting {
            drop(turn.await.unwrap());
        }
        turns.queue(&source(0), &git("https://two/a"), false);
        assert_eq!((turns.mirrors.len(), turns.servers.len()), (1, 1), "what is not in use is forgotten");
    }
}
