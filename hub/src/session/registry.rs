//! Which cluster has which session: the newest wins, and anyone can be cut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rimward_proto::ClusterName;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Sessions at once: twice the fleet one hub is built for, so that a reconnecting fleet is never refused.
pub const SESSIONS: usize = 20_000;

/// Open sessions by cluster.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<ClusterName, Ticket>,
    count: u64,
}

/// A session's place in the registry.
#[derive(Debug, Clone)]
pub struct Ticket {
    number: u64,
    /// Cancelled when a newer session replaces this one, or its cluster is cut.
    pub cut: CancellationToken,
    /// Told when the spoke shall look again at everything; many requests before it is told are one.
    pub look: Arc<Notify>,
}

impl Registry {
    /// A place for a new session; the cluster's older one is cut. None if there are too many.
    pub fn enter(&self, cluster: &ClusterName) -> Option<Ticket> {
        let mut sessions = self.lock();
        if sessions.open.len() >= SESSIONS && !sessions.open.contains_key(cluster) {
            return None;
        }
        sessions.count += 1;
        let ticket = Ticket { number: sessions.count, cut: CancellationToken::new(), look: Arc::default() };
        if let Some(older) = sessions.open.insert(cluster.clone(), ticket.clone()) {
            older.cut.cancel();
        }
        Some(ticket)
    }

    /// Gives the place back; true if the session was still the cluster's.
    pub fn leave(&self, cluster: &ClusterName, ticket: &Ticket) -> bool {
        let mut sessions = self.lock();
        let current = sessions.open.get(cluster).is_some_and(|now| now.number == ticket.number);
        if current {
            sessions.open.remove(cluster);
        }
        current
    }

    /// Cuts a cluster's session. It keeps its place until it leaves, so that whoever ends it is told that it was the
    /// cluster's.
    pub fn cut(&self, cluster: &ClusterName) {
        if let Some(ticket) = self.lock().open.get(cluster) {
            ticket.cut.cancel();
        }
    }

    /// Has a cluster's spoke look again at everything; false if it has no session to be told by.
    pub fn look_again(&self, cluster: &ClusterName) -> bool {
        let sessions = self.lock();
        let ticket = sessions.open.get(cluster).filter(|ticket| !ticket.cut.is_cancelled());
        ticket.inspect(|ticket| ticket.look.notify_one()).is_some()
    }

    /// True while a cluster has a session, even one that is being cut.
    pub fn has(&self, cluster: &ClusterName) -> bool {
        self.lock().open.contains_key(cluster)
    }

    /// Number of open sessions.
    pub fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// True if none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_session_wins() {
        let registry = Registry::default();
        let cluster = ClusterName::new("eu-1").unwrap();
        let old = registry.enter(&cluster).unwrap();
        let new = registry.enter(&cluster).unwrap();
        assert!(old.cut.is_cancelled() && !new.cut.is_cancelled());
        assert!(!registry.leave(&cluster, &old), "the old one must not throw the new one out");
        assert_eq!(registry.len(), 1);
        assert!(registry.look_again(&cluster));
        registry.cut(&cluster);
        assert!(!registry.look_again(&cluster), "nobody would hear of it");
        assert!(new.cut.is_cancelled() && registry.has(&cluster), "it is gone when it has left");
        assert!(registry.leave(&cluster, &new), "a session that was cut was the cluster's");
        assert!(registry.is_empty());
    }
}
