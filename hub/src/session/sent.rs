//! What was sent to spokes, counted by what it is: that one changed object is
//! one object sent is a promise, and this is where it can be read.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// A kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plan.
    Plan,
    /// A bundle's index.
    Index,
    /// An object.
    Object,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
}

impl From<Kind> for Labels {
    fn from(kind: Kind) -> Self {
        let kind = match kind {
            Kind::Plan => "plan",
            Kind::Index => "index",
            Kind::Object => "object",
        };
        Self { kind }
    }
}

/// Content handed to the transport, by kind.
#[derive(Debug, Default)]
pub struct Sent {
    counts: Family<Labels, Counter>,
}

impl Sent {
    /// So many more were sent.
    pub fn add(&self, kind: Kind, count: usize) {
        self.counts.get_or_create(&kind.into()).inc_by(count as u64);
    }

    /// How many were sent so far.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get_or_create(&kind.into()).get()
    }

    /// The same counts as a metric, to be registered.
    pub fn metric(&self) -> impl prometheus_client::registry::Metric + use<> {
        self.counts.clone()
    }
}
