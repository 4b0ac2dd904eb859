//! What the parts of the running hub share: the stores, the keys, the world and
//! the publication in force. Whoever changes something writes the store first,
//! then the value here, then wakes whoever waits for it.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rimward_proto::head::Floor;
use rimward_proto::report::EventReport;
use rimward_proto::{ClusterName, TrustDomain};
use tokio::sync::{Notify, watch};

use crate::config::HubConfig;
use crate::core::told;
use crate::core::world::{Event, Published, Task, World};
use crate::pki::Authority;
use crate::session::{Assigned, Enrolments, Registry, Sent};
use crate::sign::Signer;
use crate::store::content::Content;
use crate::store::records::{self, Ahead};
use crate::store::{Store, StoreError};

/// Everything shared.
pub struct State {
    /// The configuration in force.
    pub config: ArcSwap<HubConfig>,
    /// Records.
    pub store: Arc<Store>,
    /// Content files.
    pub content: Arc<Content>,
    /// The head key.
    pub signer: Signer,
    /// The certificate authority.
    pub authority: Authority,
    /// Who is enrolled.
    pub enrolments: Enrolments,
    /// Open sessions.
    pub sessions: Registry,
    /// What spokes were sent.
    pub sent: Sent,
    /// Which plans clusters were assigned lately.
    pub assigned: Assigned,
    /// What the hub knows.
    pub world: Arc<RwLock<World>>,
    /// Counts changes of `world`.
    pub changed: watch::Sender<u64>,
    /// The publication in force, as offered.
    pub published: watch::Sender<Option<Arc<Published>>>,
    /// Something that planning reads has changed.
    pub plan_needed: Notify,
    ahead: Mutex<Option<String>>,
}

impl State {
    /// Puts the parts together; nothing is published yet.
    pub fn new(
        config: HubConfig,
        store: Arc<Store>,
        content: Arc<Content>,
        signer: Signer,
        authority: Authority,
        enrolments: Enrolments,
    ) -> Self {
        Self {
            config: ArcSwap::from_pointee(config),
            store,
            content,
            signer,
            authority,
            enrolments,
            sessions: Registry::default(),
            sent: Sent::default(),
            assigned: Assigned::default(),
            world: Arc::default(),
            changed: watch::Sender::new(0),
            published: watch::Sender::new(None),
            plan_needed: Notify::new(),
            ahead: Mutex::new(None),
        }
    }

    /// The fleet's trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.signer.root().trust_domain
    }

    /// Changes the world and wakes who watches it.
    pub fn update<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.world.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Offers a publication to the spokes. The world has it by then.
    pub fn offer(&self, published: Arc<Published>) {
        self.assigned.remember(published.assignments.values().map(|(_, assignment)| assignment));
        self.published.send_replace(Some(published));
    }

    /// Reads the world.
    pub fn look<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps an event of the hub's own.
    pub fn event(&self, kind: &str, cluster: Option<&ClusterName>, message: impl Into<String>, actor: &str) {
        let (time, message) = (Timestamp::now(), message.into());
        let what = EventReport {
            id: uuid::Uuid::now_v7().to_string(),
            time,
            kind: kind.to_owned(),
            message,
            app: None,
            key: None,
        };
        let event = Event { time, cluster: cluster.cloned(), what, actor: actor.to_owned() };
        self.update(|world| told::event(world, event));
    }

    /// A spoke holds a head of ours that the store does not know: signing on could put two trees under one seq, so
    /// nothing is signed any more, also after a restart. Blocks on the store.
    pub fn raise_ahead(&self, cluster: &ClusterName, held: Floor) {
        let time = Timestamp::now();
        let Floor { epoch, seq, tree } = held;
        let record = Ahead { cluster: cluster.clone(), epoch, seq, tree, time };
        if !self.stop_signing(&record) {
            return;
        }
        tracing::error!("{}", ahead_message(&record));
        if let Err(error) = self.store.write(records::AHEAD, &record) {
            // Signing has stopped all the same; only a restart would forget, and the spoke says it again.
            tracing::error!(error = causes(&error), "that nothing may be signed cannot be kept");
        }
        self.event("Ahead", Some(cluster), ahead_message(&record), "");
    }

    /// Stops signing for what the store remembers. True if it does remember something.
    pub fn recall_ahead(&self) -> Result<bool, StoreError> {
        let record: Option<Ahead> = self.store.read(records::AHEAD)?;
        if let Some(record) = &record {
            tracing::error!("{}", ahead_message(record));
            self.stop_signing(record);
        }
        Ok(record.is_some())
    }

    /// False if it had stopped already.
    fn stop_signing(&self, record: &Ahead) -> bool {
        let message = ahead_message(record);
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ahead.is_none();
        if first {
            *ahead = Some(message.clone());
            drop(ahead);
            self.update(|world| world.went(Task::Signing, Some(message), record.time));
        }
        first
    }

    /// Why nothing may be signed; none if it may.
    pub fn ahead(&self) -> Option<String> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn ahead_message(record: &Ahead) -> String {
    let Ahead { cluster, epoch, seq, .. } = record;
    format!(
        "{cluster} holds a valid head at epoch {epoch} seq {seq} that this hub's store does not know; was an old backup \
         restored? Nothing is signed until `rimward recover` (not built yet)"
    )
}

/// An error and its causes in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
