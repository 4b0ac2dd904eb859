//! From an offer to a plan that is being completed: judge, remember the floor,
//! say no by name, and keep freshness.

use jiff::Timestamp;
use rimward_proto::Digest;
use rimward_proto::session::{Ack, AckKind, Offer, SpokeMessage};

use super::accept::{self, Accepted, HeldPlan, Refusal, Verdict};
use super::content::Pending;
use super::effect::{Effect, Work};
use super::event::StoredPlan;
use super::flight::Flight;
use super::state::State;
use super::trust::{CLOCK_SKEW, FLOOR_WRITE};

impl State {
    /// The hub offers a publication.
    pub(crate) fn offered(&mut self, offer: Offer, now: Timestamp) {
        self.take_roots(&offer.roots, now);
        let judged = accept::accept(&self.trust, &offer, &self.held(), &self.settings, now);
        match judged {
            Ok(accepted) => self.accepted(accepted, offer.inline, now),
            Err(refusal) => self.refuse(&refusal, &offer, now),
        }
    }

    /// Roots that follow the one held.
    pub(crate) fn take_roots(&mut self, envelopes: &[Vec<u8>], now: Timestamp) {
        let (newest, refusal) = accept::accept_roots(&self.trust, envelopes);
        if let Some((root, bytes)) = newest {
            if root.expires <= now {
                let message = format!("root {} expired at {}; it stays in force", root.version, root.expires);
                self.outbox.event("RootExpired", message, None, None, now);
            }
            self.trust.adopt_root(root, bytes);
            self.trust_writer.change();
            self.settle = true;
        }
        if let Some(refusal) = refusal {
            self.alarm(&refusal, now);
        }
    }

    fn held(&self) -> Vec<HeldPlan<'_>> {
        let next = self.next.as_ref().map(|next| (&next.stored, next.digest));
        let pending = self.pending.as_ref().map(|pending| (&pending.stored, pending.digest));
        let active = self.active.as_ref().map(|active| (&active.stored, active.digest));
        let all = [next, pending, active].into_iter().flatten();
        all.map(|(stored, digest)| HeldPlan { assignment: &stored.assignment, digest, plan: &stored.plan })
            .collect()
    }

    fn accepted(&mut self, accepted: Accepted, inline: Vec<rimward_proto::session::Content>, now: Timestamp) {
        let Accepted { verdict, head, head_bytes, assignment, assignment_bytes, plan } = accepted;
        if head.issued > now + CLOCK_SKEW {
            let message = format!("ClockSkew: the head was issued at {}, this clock says {now}", head.issued);
            self.outbox.event("Stale", message, None, None, now);
        }
        let seq = head.seq;
        let moved = self.trust.floor != Some(head.floor());
        let was_fresh = self.trust.is_fresh(now);
        self.say_meant(assignment.plan);
        self.trust.adopt_head(head, head_bytes);
        if !was_fresh {
            (self.settle, self.stale_said) = (true, false);
        }
        match plan {
            None if verdict == Verdict::Duplicate => {
                self.floor_lazy |= moved;
                self.take_inline(inline);
            }
            None => {}
            Some((plan, bytes)) => {
                self.trust_writer.change();
                let stored = StoredPlan {
                    assignment: assignment_bytes,
                    plan: bytes,
                    seq,
                    carried: self.carried(&plan),
                };
                let accepted = Pending::new(stored, assignment, plan, self.trust_writer.wanted);
                self.content.retry.kick();
                self.recall_deletes(now);
                if self.pending.as_ref().is_some_and(|pending| pending.resumed) {
                    self.next = Some(accepted);
                } else {
                    self.pending = Some(accepted);
                    self.take_inline(inline);
                }
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal, offer: &Offer, now: Timestamp) {
        if refusal.verdict == Verdict::RootGap {
            self.out.push(Effect::Send(SpokeMessage::NeedRoots { after: self.trust.root.version }));
        }
        self.alarm(refusal, now);
        let digest = offer.plan.as_deref().map(Digest::of).or_else(|| {
            rimward_proto::head::Assignment::parse(&offer.assignment).map(|assignment| assignment.plan)
        });
        self.ack(AckKind::Refused, digest.unwrap_or_else(|| Digest::of(b"")), 0, Some(refusal));
    }

    fn alarm(&mut self, refusal: &Refusal, now: Timestamp) {
        if !refusal.verdict.is_alarming() && refusal.verdict != Verdict::Stale {
            return;
        }
        let evidence: Vec<String> =
            refusal.evidence.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        let mut message = refusal.message.clone();
        if !evidence.is_empty() {
            message = format!("{message}; evidence: {}", evidence.join(" "));
        }
        self.outbox.event(&refusal.verdict.to_string(), message, None, None, now);
    }

    /// Says something of a plan.
    pub(crate) fn ack(&mut self, kind: AckKind, plan: Digest, seq: u64, refusal: Option<&Refusal>) {
        let code = refusal.map(|refusal| refusal.verdict.to_string()).unwrap_or_default();
        let message = refusal.map(|refusal| refusal.message.clone()).unwrap_or_default();
        self.out.push(Effect::Send(SpokeMessage::Ack(Ack { kind, plan, seq, code, message })));
    }

    /// To a new stream: how far the plan in force and the one being completed are.
    pub(crate) fn say_again(&mut self) {
        let active = self.active.as_ref().map(|active| (active.digest, active.seq, active.applied));
        if let Some((digest, seq, applied)) = active {
            self.ack(if applied { AckKind::Applied } else { AckKind::Ready }, digest, seq, None);
        }
        let pending = self.pending.as_ref().filter(|pending| pending.held_said && !pending.resumed);
        if let Some((digest, seq)) = pending.map(|pending| (pending.digest, pending.stored.seq)) {
            self.ack(AckKind::Held, digest, seq, None);
        }
    }

    /// Writes the floor when it must be, or when it has waited long enough; notes when freshness ends.
    pub(crate) fn advance_trust(&mut self, now: Timestamp) {
        if self.floor_lazy && now >= self.floor_written + FLOOR_WRITE {
            self.trust_writer.change();
        }
        if self.trust_writer.is_due(now) {
            self.trust_writer.start();
            (self.floor_lazy, self.floor_written) = (false, now);
            self.start_work(Flight::Trust, Work::WriteTrust(Box::new(self.trust.stored())));
        }
        if !self.stale_said && self.trust.head.is_some() && !self.trust.is_fresh(now) {
            (self.stale_said, self.settle) = (true, true);
            self.recall_deletes(now);
            let expires = self.trust.head.as_ref().map(|head| head.expires.to_string()).unwrap_or_default();
            let message =
                format!("the head held expired at {expires}; deletes wait, everything else goes on");
            self.outbox.event("Stale", message, None, None, now);
        }
    }
}
