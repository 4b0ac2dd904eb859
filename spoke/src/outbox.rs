//! What waits for the hub: bounded, and coalescing, so that a slow hub costs a
//! fixed amount of memory and gets the newest state instead of history.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use prost::Message;
use rimward_proto::report::Report;
use rimward_proto::session::{Ack, SpokeMessage};
use rimward_proto::{convert, limits};
use tokio::sync::Notify;

/// Messages that may wait. A hub that lets more pile up is cut, and catches up by digest at the next Hello.
const WAITING: usize = 256;
/// Reports are sent at most this often: many changes of one moment become one report.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// The queue between the loop and the session.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    open: bool,
    overflow: bool,
    waiting: VecDeque<SpokeMessage>,
    last_report: Option<Instant>,
}

/// What the session gets.
#[derive(Debug)]
pub enum Next {
    /// Send this.
    Message(Box<SpokeMessage>),
    /// Too much waits: the session is to be cut.
    Overflow,
}

impl Outbox {
    /// A session opened: what waited for another is forgotten, the core says it again.
    pub fn open(&self) {
        *self.lock() = Queue { open: true, ..Queue::default() };
    }

    /// The session is gone.
    pub fn close(&self) {
        *self.lock() = Queue::default();
    }

    /// Queues a message, if a session is open.
    pub fn push(&self, message: SpokeMessage) {
        let mut queue = self.lock();
        if queue.open {
            queue.push(message);
            drop(queue);
            self.changed.notify_one();
        }
    }

    /// The next message, as soon as it may be sent.
    pub async fn next(&self) -> Next {
        loop {
            let changed = self.changed.notified();
            let wait = match self.lock().take(Instant::now()) {
                Ok(next) => return next,
                Err(wait) => wait,
            };
            match wait {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // The queue is whole between any two lines that could panic.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, message: SpokeMessage) {
        match message {
            SpokeMessage::Report(report) => self.push_report(report),
            SpokeMessage::Ack(ack) => {
                self.waiting.retain(|waiting| !superseded(waiting, &ack));
                self.waiting.push_back(SpokeMessage::Ack(ack));
            }
            other => self.waiting.push_back(other),
        }
        self.overflow |= self.waiting.len() > WAITING;
    }

    /// A waiting report takes in the newer one, unless that makes it too large.
    fn push_report(&mut self, newer: Report) {
        if let Some(SpokeMessage::Report(older)) = self.waiting.back() {
            let merged = merge(older.clone(), newer.clone());
            if encoded_len(&merged) <= limits::REPORT_BYTES {
                self.waiting.pop_back();
                self.waiting.push_back(SpokeMessage::Report(merged));
                return;
            }
        }
        self.waiting.push_back(SpokeMessage::Report(newer));
    }

    /// The first message that may go, or how long to wait for one.
    fn take(&mut self, now: Instant) -> Result<Next, Option<Duration>> {
        if self.overflow {
            return Ok(Next::Overflow);
        }
        let rest = self.last_report.map(|last| REPORT_EVERY.saturating_sub(now.duration_since(last)));
        let rest = rest.filter(|rest| !rest.is_zero());
        let may_go = |message: &SpokeMessage| rest.is_none() || !matches!(message, SpokeMessage::Report(_));
        let Some(message) = self.waiting.iter().position(may_go).and_then(|at| self.waiting.remove(at))
        else {
            return Err(if self.waiting.is_empty() { None } else { rest });
        };
        if matches!(message, SpokeMessage::Report(_)) {
            self.last_report = Some(now);
        }
        Ok(Next::Message(Box::new(message)))
    }
}

/// True if nobody needs `waiting` once `newer` is said: the same about the same publication.
fn superseded(waiting: &SpokeMessage, newer: &Ack) -> bool {
    match waiting {
        SpokeMessage::Ack(older) => {
            older.kind == newer.kind && older.plan == newer.plan && older.seq <= newer.seq
        }
        _ => false,
    }
}

fn encoded_len(report: &Report) -> usize {
    convert::spoke_to_wire(SpokeMessage::Report(report.clone())).encoded_len()
}

/// One report that says what both say: an acknowledgement of it is one of both. Lists that are complete in every report
/// are the newer's; of an App the newer state counts; drift and events are everybody's.
fn merge(older: Report, newer: Report) -> Report {
    let mut apps = if newer.full { Vec::new() } else { older.apps };
    apps.retain(|app| !newer.apps.iter().any(|new| new.id == app.id));
    apps.extend(newer.apps);
    let mut drift = older.drift;
    drift.retain(|drift| !newer.drift.iter().any(|new| new.id == drift.id));
    drift.extend(newer.drift);
    let mut events = older.events;
    events.retain(|event| !newer.events.iter().any(|new| new.id == event.id));
    events.extend(newer.events);
    Report { apps, drift, events, full: older.full || newer.full, ..newer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use rimward_proto::Digest;
    use rimward_proto::report::{AppReport, State};
    use rimward_proto::session::AckKind;

    fn app(name: &str, state: State) -> AppReport {
        AppReport {
            id: format!("shop/{name}").parse().unwrap(),
            bundle: None,
            state,
            reason: String::new(),
            message: String::new(),
            objects: 1,
            ready: 1,
            exceptions: Vec::new(),
            taken: Vec::new(),
        }
    }

    fn report(counter: u64, full: bool, apps: Vec<AppReport>) -> Report {
        Report {
            boot_id: "b".into(),
            counter,
            as_of: Timestamp::UNIX_EPOCH,
            plan: None,
            full,
            apps,
            cleared: Vec::new(),
            unaccounted: Vec::new(),
            holds: Vec::new(),
            drift: Vec::new(),
            events: Vec::new(),
            lists: None,
        }
    }

    fn ack(kind: AckKind, seq: u64) -> SpokeMessage {
        SpokeMessage::Ack(Ack {
            kind,
            plan: Digest::of(b"p"),
            seq,
            code: String::new(),
            message: String::new(),
        })
    }

    fn taken(queue: &mut Queue, now: Instant) -> Option<SpokeMessage> {
        match queue.take(now) {
            Ok(Next::Message(message)) => Some(*message),
            _ => None,
        }
    }

    #[test]
    fn waiting_reports_become_one() {
        let mut queue = Queue::default();
        let push = |queue: &mut Queue, report| queue.push(SpokeMessage::Report(report));
        push(&mut queue, report(1, true, vec![app("a", State::Progressing), app("b", State::Ready)]));
        push(&mut queue, report(2, false, vec![app("a", State::Ready)]));
        let SpokeMessage::Report(merged) = taken(&mut queue, Instant::now()).unwrap() else { panic!() };
        assert!(merged.full);
        assert_eq!(merged.counter, 2);
        let states: Vec<_> = merged.apps.iter().map(|app| (app.id.app.as_str(), app.state)).collect();
        assert_eq!(states, [("b", State::Ready), ("a", State::Ready)]);
        assert!(queue.waiting.is_empty());
    }

    #[test]
    fn reports_are_spaced_and_acks_are_not() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(SpokeMessage::Report(report(1, false, Vec::new())));
        assert!(taken(&mut queue, now).is_some());
        queue.push(SpokeMessage::Report(report(2, false, Vec::new())));
        queue.push(ack(AckKind::Applied, 1));
        assert!(matches!(taken(&mut queue, now), Some(SpokeMessage::Ack(_))));
        assert!(matches!(queue.take(now), Err(Some(_))));
        assert!(taken(&mut queue, now + REPORT_EVERY).is_some());
        assert!(matches!(queue.take(now), Err(None)));
    }

    #[test]
    fn acks_supersede_their_like_and_too_many_cut_the_session() {
        let mut queue = Queue::default();
        queue.push(ack(AckKind::Held, 1));
        queue.push(ack(AckKind::Ready, 1));
        queue.push(ack(AckKind::Held, 2));
        assert_eq!(queue.waiting.len(), 2);
        for after in 0..=WAITING as u64 {
            queue.push(SpokeMessage::NeedRoots { after });
        }
        assert!(matches!(queue.take(Instant::now()), Ok(Next::Overflow)));
    }

    #[tokio::test]
    async fn nothing_is_kept_without_a_session() {
        let outbox = Outbox::default();
        outbox.push(ack(AckKind::Held, 1));
        outbox.open();
        outbox.push(ack(AckKind::Held, 2));
        let Next::Message(message) = outbox.next().await else { panic!() };
        assert_eq!(*message, ack(AckKind::Held, 2));
    }
}
