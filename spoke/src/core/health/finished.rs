//! Jobs that remove themselves: one that was seen complete and is gone has not
//! drifted. It is written into the ledger, beside the objects, so that neither
//! a restart nor a lost disk runs it again; only a change of its body does.

use rimward_proto::{Digest, ObjectKey};

use super::super::ledger::LedgerEntry;
use super::super::managed::Must;
use super::super::observed::Observed;
use super::super::state::State;
use super::Health;

impl LedgerEntry {
    /// True if a Job of this body is done, and gone.
    pub(crate) fn is_over(&self, body: &Digest) -> bool {
        self.uid.is_none() && self.finished.as_ref() == Some(body)
    }
}

impl State {
    /// A Job of ours was seen as it was applied: whether it is done, and will be gone.
    pub(crate) fn note_finished(&mut self, key: &ObjectKey, observed: &Observed, digest: Digest) {
        let Some(entry) = self.ledger.entries.get_mut(key) else { return };
        let want = self.objects.get(key).and_then(|managed| managed.want.as_ref());
        let as_wanted =
            want.filter(|want| want.digest == digest && entry.uid.as_ref() == Some(&observed.uid));
        let finished = as_wanted.filter(|_| observed.finished).map(|want| want.body);
        if entry.finished != finished {
            entry.finished = finished;
            self.ledger_writer.change();
            self.settle = true;
        }
    }

    /// An object is not there, or about to be gone. True if it is a Job that was done: then nothing is missing.
    pub(crate) fn is_gone_for_good(&mut self, key: &ObjectKey) -> bool {
        let Some(managed) = self.objects.get_mut(key) else { return false };
        let entry = self.ledger.entries.get_mut(key);
        let Some((want, entry)) = managed.want.as_ref().zip(entry) else { return false };
        if entry.finished.as_ref() != Some(&want.body) {
            return false;
        }
        if entry.uid.take().is_some() {
            self.ledger_writer.change();
        }
        (managed.base, managed.case, managed.problem) = (None, None, None);
        (managed.must, managed.noticed, managed.fails) = (Must::Nothing, None, 0);
        managed.resource_version.clear();
        (managed.health, managed.seen, managed.over) = (Health::Ready, true, true);
        managed.restart_clock();
        self.settle = true;
        true
    }
}
