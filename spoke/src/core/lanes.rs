//! The queue: which object is due, and whose turn it is. Each App has a lane in
//! which one wave of kinds is done, or has failed, before the next begins; the
//! lanes take turns under one limit, so that a slow App delays nobody else.
//! Namespaces and definitions of all Apps come before anything else, and
//! prunes, in one lane for the whole plan, after everything else.

use std::collections::{BTreeMap, BTreeSet};

use rimward_proto::{AppId, ObjectKey};

use super::order::Rank;

/// Where in the queue an object is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The App whose lane it is; none for prunes.
    pub app: Option<AppId>,
    /// The wave within the lane.
    pub rank: Rank,
}

/// Which lanes go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// What other Apps may need to exist: [`Rank::OPENING`].
    Opening,
    /// The rest of the applies.
    Apply,
    /// Prunes.
    Prune,
}

/// A lane's ticket: classes in order, within one whoever waits longest.
type Ticket = (Class, u64);

#[derive(Debug, Clone, Default)]
struct Lane {
    queued: BTreeSet<(Rank, ObjectKey)>,
    flying: BTreeMap<Rank, usize>,
    /// The ticket it holds while something of it may start.
    ticket: Option<Ticket>,
}

impl Lane {
    /// The wave that may start something now, if any: not while one before it is still in flight.
    fn due(&self) -> Option<Rank> {
        let (rank, _) = self.queued.first()?;
        let lowest = self.flying.keys().next();
        lowest.is_none_or(|lowest| rank <= lowest).then_some(*rank)
    }
}

/// All lanes.
#[derive(Debug, Clone, Default)]
pub struct Lanes {
    lanes: BTreeMap<Option<AppId>, Lane>,
    tickets: BTreeMap<Ticket, Option<AppId>>,
    turn: u64,
    queued: usize,
    flying: usize,
    opening: usize,
}

impl Lanes {
    /// Queues an object.
    pub fn push(&mut self, place: &Place, key: ObjectKey) {
        let lane = self.lanes.entry(place.app.clone()).or_default();
        self.queued += usize::from(lane.queued.insert((place.rank, key)));
        self.settle(&place.app);
    }

    /// Takes an object out of the queue.
    pub fn remove(&mut self, place: &Place, key: &ObjectKey) {
        if let Some(lane) = self.lanes.get_mut(&place.app) {
            self.queued -= usize::from(lane.queued.remove(&(place.rank, key.clone())));
            self.settle(&place.app);
        }
    }

    /// Takes out the object whose turn it is, if anything may start now.
    pub fn pop(&mut self) -> Option<ObjectKey> {
        let ((class, _), app) = self.tickets.first_key_value()?;
        let (class, app) = (*class, app.clone());
        let blocked = match class {
            Class::Opening => false,
            Class::Apply => self.opening > 0,
            Class::Prune => self.flying > self.flying_in(&app),
        };
        if blocked {
            return None;
        }
        let (_, key) = self.lanes.get_mut(&app)?.queued.pop_first()?;
        self.queued -= 1;
        // Served: the others first, before it is its turn again.
        self.hand_back(&app);
        self.settle(&app);
        Some(key)
    }

    /// A request of this place has started.
    pub fn start(&mut self, place: &Place) {
        let lane = self.lanes.entry(place.app.clone()).or_default();
        *lane.flying.entry(place.rank).or_default() += 1;
        self.flying += 1;
        self.opening += usize::from(place.rank == Rank::OPENING);
        self.settle(&place.app);
    }

    /// It ended.
    pub fn finish(&mut self, place: &Place) {
        let Some(lane) = self.lanes.get_mut(&place.app) else { return };
        let Some(count) = lane.flying.get_mut(&place.rank) else { return };
        *count -= 1;
        if *count == 0 {
            lane.flying.remove(&place.rank);
        }
        self.flying -= 1;
        self.opening -= usize::from(place.rank == Rank::OPENING);
        self.settle(&place.app);
    }

    /// Requests in flight.
    pub fn flying(&self) -> usize {
        self.flying
    }

    /// True if nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    fn flying_in(&self, app: &Option<AppId>) -> usize {
        self.lanes.get(app).map_or(0, |lane| lane.flying.values().sum())
    }

    fn hand_back(&mut self, app: &Option<AppId>) {
        if let Some(ticket) = self.lanes.get_mut(app).and_then(|lane| lane.ticket.take()) {
            self.tickets.remove(&ticket);
        }
    }

    /// Gives the lane the ticket it should hold, and forgets an idle one.
    fn settle(&mut self, app: &Option<AppId>) {
        let Some(lane) = self.lanes.get_mut(app) else { return };
        let class = lane.due().map(|rank| match app {
            None => Class::Prune,
            Some(_) if rank == Rank::OPENING => Class::Opening,
            Some(_) => Class::Apply,
        });
        if lane.ticket.map(|(class, _)| class) != class {
            let ticket = class.map(|class| (class, self.turn));
            self.turn += 1;
            if let Some(old) = std::mem::replace(&mut lane.ticket, ticket) {
                self.tickets.remove(&old);
            }
            self.tickets.extend(ticket.map(|ticket| (ticket, app.clone())));
        }
        if lane.queued.is_empty() && lane.flying.is_empty() {
            self.lanes.remove(app);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::{apply_rank, prune_rank};
    use super::*;

    fn key(kind: &str, name: &str) -> ObjectKey {
        let group = match kind {
            "Deployment" => "apps",
            "CustomResourceDefinition" => "apiextensions.k8s.io",
            _ => "",
        };
        ObjectKey::new(group, kind, "a", name)
    }

    fn place(app: &str, key: &ObjectKey) -> Place {
        Place { app: Some(app.parse().unwrap()), rank: apply_rank(key) }
    }

    fn push(lanes: &mut Lanes, app: &str, kind: &str, name: &str) -> (Place, ObjectKey) {
        let key = key(kind, name);
        let place = place(app, &key);
        lanes.push(&place, key.clone());
        (place, key)
    }

    #[test]
    fn a_wave_waits_for_the_one_before_it_in_its_own_app_only() {
        let mut lanes = Lanes::default();
        let (slow, map) = push(&mut lanes, "t/slow", "ConfigMap", "a");
        push(&mut lanes, "t/slow", "Deployment", "a");
        assert_eq!(lanes.pop(), Some(map));
        lanes.start(&slow);
        let (_, other) = push(&mut lanes, "t/other", "Deployment", "b");
        assert_eq!(lanes.pop(), Some(other));
        assert_eq!(lanes.pop(), None);
        lanes.finish(&slow);
        assert_eq!(lanes.pop(), Some(key("Deployment", "a")));
        assert!(lanes.is_empty() && lanes.flying() == 0);
    }

    #[test]
    fn lanes_take_turns() {
        let mut lanes = Lanes::default();
        for i in 0..3 {
            push(&mut lanes, "t/large", "ConfigMap", &format!("l{i}"));
        }
        push(&mut lanes, "t/small", "ConfigMap", "s");
        let order: Vec<_> = std::iter::from_fn(|| lanes.pop()).map(|key| key.name.clone()).collect();
        assert_eq!(order, ["l0", "s", "l1", "l2"]);
    }

    #[test]
    fn definitions_of_all_apps_come_first_and_prunes_last() {
        let mut lanes = Lanes::default();
        let gone = key("ConfigMap", "gone");
        let prune = Place { app: None, rank: prune_rank(&gone) };
        lanes.push(&prune, gone.clone());
        let (map, _) = push(&mut lanes, "t/a", "ConfigMap", "a");
        let (definition, crd) = push(&mut lanes, "t/b", "CustomResourceDefinition", "b");
        assert_eq!(lanes.pop(), Some(crd));
        lanes.start(&definition);
        assert_eq!(lanes.pop(), None);
        lanes.finish(&definition);
        assert_eq!(lanes.pop().map(|key| key.name.clone()), Some("a".into()));
        lanes.start(&map);
        assert_eq!(lanes.pop(), None);
        lanes.finish(&map);
        assert_eq!(lanes.pop(), Some(gone));
    }

    #[test]
    fn what_is_taken_out_does_not_come() {
        let mut lanes = Lanes::default();
        let (place, key) = push(&mut lanes, "t/a", "ConfigMap", "a");
        lanes.remove(&place, &key);
        lanes.remove(&place, &key);
        assert_eq!(lanes.pop(), None);
        assert!(lanes.is_empty() && lanes.lanes.is_empty() && lanes.tickets.is_empty());
    }
}
