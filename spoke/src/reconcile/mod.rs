//! The loop: one task owns the core's state. Everything that happens comes in
//! through one bounded channel, everything the core wants goes out to tasks
//! whose results come back the same way. Nothing is decided here.

pub mod effects;
pub mod limiter;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rimward_proto::ClusterUid;
use rimward_proto::session::{Hello, PROTOCOL};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::cluster::watch::Watches;
use crate::core::{Effect, Event, State, Work, step};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use effects::Executor;

/// Inputs that may wait. The senders wait when it is full: a watch that sees more than we can take must slow down.
pub const INPUTS: usize = 1024;
/// How often the loop proves that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a stopping spoke waits for what is in flight; Kubernetes kills after 30 s.
const DRAIN: Duration = Duration::from_secs(25);
/// A wake-up further away than this is looked at again then: timers have limits.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What the loop is told.
#[derive(Debug)]
pub enum Input {
    /// An event for the core.
    Event(Box<Event>),
    /// What to say in Hello; asked right before it is sent.
    Hello(oneshot::Sender<Hello>),
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self::Event(Box::new(event))
    }
}

/// What does not change while we run.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Random, new at each start.
    pub boot_id: String,
    /// UID of the kube-system namespace.
    pub cluster_uid: ClusterUid,
    /// The API server's version.
    pub kubernetes_version: String,
}

/// The loop's task.
#[derive(Debug)]
pub struct Reconciler {
    /// The core.
    pub state: State,
    /// For Hello.
    pub facts: Facts,
    /// What happened.
    pub inputs: mpsc::Receiver<Input>,
    /// Does what the core wants.
    pub executor: Arc<Executor>,
    /// The watches that run.
    pub watches: Watches,
    /// What waits for the hub.
    pub outbox: Arc<Outbox>,
    /// Counted here: events and effects.
    pub metrics: Arc<Metrics>,
    /// Ends the loop.
    pub stop: CancellationToken,
}

impl Reconciler {
    /// Runs until stopped, beginning with the effects of [`State::start`].
    pub async fn run(mut self, first: Vec<Effect>) {
        let mut wake = Instant::now() + LONGEST_SLEEP;
        let mut flying = 0_usize;
        self.dispatch(first, &mut wake, &mut flying, true);
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let input = tokio::select! {
                input = self.inputs.recv() => input,
                () = tokio::time::sleep_until(wake.into()) => {
                    wake = Instant::now() + LONGEST_SLEEP;
                    Some(Event::Tick.into())
                }
                _ = heartbeat.tick() => {
                    self.metrics.tick();
                    continue;
                }
                () = self.stop.cancelled() => break,
            };
            match input {
                Some(Input::Event(event)) => self.take(*event, &mut wake, &mut flying, true),
                Some(Input::Hello(answer)) => self.hello(answer),
                None => break,
            }
        }
        self.drain(wake, flying).await;
    }

    /// Lets what is in flight end and what must be durable be written; starts nothing else.
    async fn drain(&mut self, mut wake: Instant, mut flying: usize) {
        self.watches.set(&Default::default());
        let deadline = Instant::now() + DRAIN;
        tracing::info!(in_flight = flying, "stopping");
        while flying > 0 {
            let input = tokio::time::timeout_at(deadline.into(), self.inputs.recv()).await;
            match input {
                Ok(Some(Input::Event(event))) if matches!(*event, Event::Done(..)) => {
                    self.take(*event, &mut wake, &mut flying, false);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    tracing::warn!(in_flight = flying, "stopping without waiting any longer");
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: Event, wake: &mut Instant, flying: &mut usize, all: bool) {
        if matches!(event, Event::Done(..)) {
            *flying = flying.saturating_sub(1);
        }
        let before = Instant::now();
        let effects = step(&mut self.state, event, Timestamp::now());
        self.metrics.step_seconds.observe(before.elapsed().as_secs_f64());
        self.metrics.events.inc();
        self.dispatch(effects, wake, flying, all);
    }

    fn dispatch(&mut self, effects: Vec<Effect>, wake: &mut Instant, flying: &mut usize, all: bool) {
        for effect in effects {
            match effect {
                Effect::Send(message) => self.outbox.push(message),
                Effect::WakeAt(at) => *wake = instant(at),
                Effect::SetWatches(wanted) if all => {
                    self.watches.set(&wanted);
                    self.metrics.watches.set(self.watches.len() as i64);
                }
                Effect::KeepContent(keep) if all => self.executor.collect(keep),
                Effect::Do(id, work) if all || is_write(&work) => {
                    *flying += 1;
                    self.executor.start(id, work);
                }
                Effect::SetWatches(_) | Effect::KeepContent(_) | Effect::Do(..) => {}
            }
        }
        self.metrics.in_flight.set(*flying as i64);
    }

    fn hello(&self, answer: oneshot::Sender<Hello>) {
        let held = self.state.hello_facts();
        let hello = Hello {
            protocol: PROTOCOL,
            spoke_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.facts.boot_id.clone(),
            cluster_uid: self.facts.cluster_uid.clone(),
            kubernetes_version: self.facts.kubernetes_version.clone(),
            held_head: held.held_head,
            held_plan: held.held_plan,
            root_version: held.root_version,
        };
        // A session that broke in the meantime asks again.
        let _ = answer.send(hello);
    }
}

/// True for what makes durable what has happened, as opposed to what starts something new.
fn is_write(work: &Work) -> bool {
    matches!(work, Work::WriteTrust(_) | Work::WriteLedger(_) | Work::StorePlan(_) | Work::StoreBaselines(_))
}

fn instant(at: Timestamp) -> Instant {
    let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    Instant::now() + wait.min(LONGEST_SLEEP)
}
