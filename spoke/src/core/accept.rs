//! The verdict table of the protocol: what a spoke does with each thing it is
//! offered, by name. Checked in the order root, head, proof, assignment, plan;
//! nothing later is looked at before everything earlier holds.

use std::fmt;

use jiff::Timestamp;
use rimward_proto::envelope::{Envelope, EnvelopeError};
use rimward_proto::head::{self, Assignment, Head};
use rimward_proto::merkle;
use rimward_proto::plan::{Plan, PlanBundle, PlanError};
use rimward_proto::root::{Root, RootError};
use rimward_proto::session::Offer;
use rimward_proto::{Digest, limits};

use super::event::Settings;
use super::glob;
use super::trust::Trust;

/// The names of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table in the protocol documentation defines each name")]
pub enum Verdict {
    Accept,
    Duplicate,
    Equivocation,
    Rollback,
    EpochUnauthorised,
    RootGap,
    RootSignature,
    CrossDelivery,
    BadProof,
    WrongType,
    BadSignature,
    Refused,
    Incomplete,
    Resume,
    Preempt,
    Stale,
    Unaccounted,
    Removed,
    Unsupported,
    WrongDomain,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Verdict {
    /// True for refusals that somebody should hear of, whatever comes next: they do not happen by accident.
    pub fn is_alarming(self) -> bool {
        use Verdict::*;
        matches!(
            self,
            Equivocation | Rollback | EpochUnauthorised | CrossDelivery | BadProof | WrongType | BadSignature
        ) || matches!(self, RootSignature | WrongDomain)
    }
}

/// A refusal: its name, for people why, and both heads when two contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The verdict.
    pub verdict: Verdict,
    /// For people.
    pub message: String,
    /// For [`Verdict::Equivocation`]: the envelope held and the one received.
    pub evidence: Vec<Vec<u8>>,
}

impl Refusal {
    fn new(verdict: Verdict, message: impl Into<String>) -> Self {
        Self { verdict, message: message.into(), evidence: Vec::new() }
    }
}

/// A publication that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// [`Verdict::Duplicate`] when nothing changes for this cluster but freshness and floor; else
    /// [`Verdict::Accept`].
    pub verdict: Verdict,
    /// The head.
    pub head: Head,
    /// Its envelope.
    pub head_bytes: Vec<u8>,
    /// The assignment.
    pub assignment: Assignment,
    /// Its exact bytes.
    pub assignment_bytes: Vec<u8>,
    /// The plan and its exact bytes; none for a duplicate.
    pub plan: Option<(Plan, Vec<u8>)>,
}

/// A plan held already, with the assignment it came by.
#[derive(Debug, Clone, Copy)]
pub struct HeldPlan<'a> {
    /// The assignment's exact bytes.
    pub assignment: &'a [u8],
    /// The plan's digest.
    pub digest: Digest,
    /// The plan's exact bytes.
    pub plan: &'a [u8],
}

/// Roots after the one in `trust`, each signed by the thresholds of its predecessor and itself; expiry of those on the
/// way is ignored. Returns the newest with its envelope, and the refusal of the first that does not follow. What came
/// before a refused one stays good.
pub fn accept_roots(trust: &Trust, envelopes: &[Vec<u8>]) -> (Option<(Root, Vec<u8>)>, Option<Refusal>) {
    let mut newest: Option<(Root, Vec<u8>)> = None;
    for bytes in envelopes.iter().take(limits::ROOT_CHAIN) {
        let held = newest.as_ref().map_or(&trust.root, |(root, _)| root);
        match next_root(held, bytes) {
            Ok(Some(root)) => newest = Some((root, bytes.clone())),
            Ok(None) => {}
            Err(refusal) => return (newest, Some(refusal)),
        }
    }
    (newest, None)
}

/// The chain of an enrolment: root 1 is the one `pin` names, each next one follows (trust row 1).
pub fn accept_enrolment(envelopes: &[Vec<u8>], pin: Digest) -> Result<(Root, Vec<u8>), Refusal> {
    let missing = || Refusal::new(Verdict::RootGap, "the hub sent no root 1");
    let (first, rest) = envelopes.split_first().ok_or_else(missing)?;
    let envelope = Envelope::parse(first).map_err(root_envelope)?;
    let mut newest = (Root::first(&envelope, pin).map_err(root_refusal)?, first.clone());
    for bytes in rest.iter().take(limits::ROOT_CHAIN) {
        if let Some(root) = next_root(&newest.0, bytes)? {
            newest = (root, bytes.clone());
        }
    }
    Ok(newest)
}

/// The root after `held`; `None` if it is `held` or one before it, which a hub may well send again.
fn next_root(held: &Root, bytes: &[u8]) -> Result<Option<Root>, Refusal> {
    let envelope = Envelope::parse(bytes).map_err(root_envelope)?;
    match held.next(&envelope) {
        Ok(root) => Ok(Some(root)),
        Err(RootError::RootGap { held, found }) if found <= held => Ok(None),
        Err(error) => Err(root_refusal(error)),
    }
}

fn root_envelope(error: EnvelopeError) -> Refusal {
    root_refusal(RootError::RootSignature(error))
}

fn root_refusal(error: RootError) -> Refusal {
    let verdict = match &error {
        RootError::RootSignature(EnvelopeError::WrongType { .. }) => Verdict::WrongType,
        RootError::RootGap { .. } => Verdict::RootGap,
        RootError::WrongDomain { .. } => Verdict::WrongDomain,
        RootError::EpochBack { .. } => Verdict::EpochUnauthorised,
        RootError::Unsupported(_) => Verdict::Unsupported,
        RootError::RootSignature(_) | RootError::Parse(_) | RootError::Pin { .. } => Verdict::RootSignature,
    };
    Refusal::new(verdict, error.to_string())
}

/// Judges an offer; its roots were taken by [`accept_roots`] before. `held` is the newest plan first: what is being
/// completed, then what is in force.
pub fn accept(
    trust: &Trust,
    offer: &Offer,
    held: &[HeldPlan<'_>],
    settings: &Settings,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let head = accept_head(trust, &offer.head, now)?;
    let assignment = accept_assignment(trust, &head, offer)?;
    let accepted = |verdict, plan| Accepted {
        verdict,
        head: head.clone(),
        head_bytes: offer.head.clone(),
        assignment: assignment.clone(),
        assignment_bytes: offer.assignment.clone(),
        plan,
    };
    if held.first().is_some_and(|held| held.assignment == offer.assignment) {
        return Ok(accepted(Verdict::Duplicate, None));
    }
    let known = held.iter().find(|held| held.digest == assignment.plan).map(|held| held.plan);
    let missing = || Refusal::new(Verdict::Incomplete, "the plan was not sent and is not held");
    let bytes = offer.plan.as_deref().or(known).ok_or_else(missing)?;
    let plan = accept_plan(bytes, assignment.plan, settings)?;
    Ok(accepted(Verdict::Accept, Some((plan, bytes.to_vec()))))
}

fn accept_head(trust: &Trust, bytes: &[u8], now: Timestamp) -> Result<Head, Refusal> {
    let malformed = |what: &str| Refusal::new(Verdict::Refused, format!("the head {what}"));
    let envelope = Envelope::parse(bytes).map_err(|error| malformed(&error.to_string()))?;
    let payload = match envelope.verify(head::MEDIA_TYPE, &trust.root.head_keys) {
        Ok(payload) => payload,
        Err(error) => return Err(head_refusal(trust, &envelope, &error)),
    };
    let head = Head::parse(&payload).map_err(|_| malformed("is malformed"))?;
    if let Some(field) = head.critical.first() {
        return Err(Refusal::new(Verdict::Unsupported, format!("the head needs {field:?}")));
    }
    if head.trust_domain != trust.trust_domain {
        return Err(Refusal::new(
            Verdict::WrongDomain,
            format!("the head is for {}, not {}", head.trust_domain, trust.trust_domain),
        ));
    }
    if head.epoch > trust.root.epoch {
        let message = format!("the head is of epoch {}, the root of epoch {}", head.epoch, trust.root.epoch);
        return Err(Refusal::new(Verdict::EpochUnauthorised, message));
    }
    above_floor(trust, &head, bytes)?;
    if head.expires <= now {
        let message = format!(
            "the head expired at {}, this clock says {now}: the hub does not renew it, or the clock is ahead (ClockSkew)",
            head.expires
        );
        return Err(Refusal::new(Verdict::Stale, message));
    }
    Ok(head)
}

/// A head signed by a key we do not know: by a root we lack, or by nobody.
fn head_refusal(trust: &Trust, envelope: &Envelope, error: &EnvelopeError) -> Refusal {
    let version = envelope.payload_unverified().ok().and_then(|payload| Head::parse(&payload).ok());
    match error {
        EnvelopeError::WrongType { .. } => Refusal::new(Verdict::WrongType, error.to_string()),
        EnvelopeError::BadSignature { .. } => match version {
            Some(head) if head.root_version > trust.root.version => {
                let message =
                    format!("the head names root {}, held is {}", head.root_version, trust.root.version);
                Refusal::new(Verdict::RootGap, message)
            }
            _ => Refusal::new(Verdict::BadSignature, error.to_string()),
        },
        _ => Refusal::new(Verdict::Refused, format!("the head {error}")),
    }
}

fn above_floor(trust: &Trust, head: &Head, bytes: &[u8]) -> Result<(), Refusal> {
    // A root of a newer epoch has moved the floor already, also of a spoke that holds no head yet.
    let Some(floor) = trust.floor else {
        return if head.epoch == trust.root.epoch {
            Ok(())
        } else {
            Err(rollback(head, trust.root.epoch, 0))
        };
    };
    if (head.epoch, head.seq) < (floor.epoch, floor.seq) {
        return Err(rollback(head, floor.epoch, floor.seq));
    }
    if (head.epoch, head.seq) == (floor.epoch, floor.seq) && head.tree.hash != floor.tree {
        let message =
            format!("two trees at {}/{}: {} and {}", head.epoch, head.seq, floor.tree, head.tree.hash);
        let evidence = trust.head_bytes.iter().cloned().chain([bytes.to_vec()]).collect();
        return Err(Refusal { evidence, ..Refusal::new(Verdict::Equivocation, message) });
    }
    Ok(())
}

fn rollback(head: &Head, epoch: u64, seq: u64) -> Refusal {
    let message = format!("the head is {}/{}, the floor {epoch}/{seq}", head.epoch, head.seq);
    Refusal::new(Verdict::Rollback, message)
}

fn accept_assignment(trust: &Trust, head: &Head, offer: &Offer) -> Result<Assignment, Refusal> {
    let bad_proof = || Refusal::new(Verdict::BadProof, merkle::BadProof.to_string());
    if offer.proof.size != head.tree.size {
        return Err(bad_proof());
    }
    let leaf = merkle::leaf_hash(&offer.assignment);
    offer.proof.verify(leaf, head.tree.hash).map_err(|_| bad_proof())?;
    let malformed = || Refusal::new(Verdict::Refused, "the assignment is malformed or over its limit");
    let assignment = Assignment::parse(&offer.assignment).ok_or_else(malformed)?;
    if assignment.cluster != trust.cluster || assignment.cluster_uid != trust.cluster_uid {
        let (cluster, uid) = (&assignment.cluster, &assignment.cluster_uid);
        return Err(Refusal::new(
            Verdict::CrossDelivery,
            format!(
                "the assignment is for {cluster} ({uid}), this is {} ({})",
                trust.cluster, trust.cluster_uid
            ),
        ));
    }
    Ok(assignment)
}

fn accept_plan(bytes: &[u8], digest: Digest, settings: &Settings) -> Result<Plan, Refusal> {
    let found = Digest::of(bytes);
    if found != digest {
        return Err(Refusal::new(
            Verdict::Incomplete,
            format!("the plan is {found}, the assignment names {digest}"),
        ));
    }
    let plan = Plan::parse(bytes).map_err(|error| match error {
        PlanError::Unsupported(_) => Refusal::new(Verdict::Unsupported, error.to_string()),
        _ => Refusal::new(Verdict::Refused, error.to_string()),
    })?;
    for bundle in &plan.bundles {
        let problem = over_ceiling(bundle, settings);
        if let Some(problem) = problem {
            return Err(Refusal::new(Verdict::Refused, format!("{}: {problem}", bundle.id())));
        }
    }
    Ok(plan)
}

fn over_ceiling(bundle: &PlanBundle, settings: &Settings) -> Option<String> {
    let account = &bundle.service_account;
    if account.split('/').count() != 2 || account.split('/').any(str::is_empty) {
        return Some(format!("serviceAccount {account:?} is not namespace/name"));
    }
    if !glob::any_matches(&settings.service_accounts, account) {
        return Some(format!("serviceAccount {account} is beyond ceilings.serviceAccounts"));
    }
    let beyond = bundle.namespaces.iter().find(|pattern| !glob::covers(&settings.namespaces, pattern))?;
    Some(format!("namespace {beyond} is beyond ceilings.namespaces"))
}
