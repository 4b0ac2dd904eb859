//! Who a cluster is: tokens, enrolment, renewal. Every change is one batch with
//! expectations, so of any number of racers one wins, and a lost reply is given
//! again, not made again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rimward_proto::token::Token;
use rimward_proto::{ClusterName, ClusterUid, Digest, TrustDomain, ids};

use crate::pki::{Authority, PkiError, SpokeRequest};
use crate::store::records::{self, Enrolment, TokenRecord, encode};
use crate::store::{Batch, Store, StoreError};

/// What a renewal is signed over, before counter and request.
const RENEW_CONTEXT: &[u8] = b"rimward-renew-v1\0";
/// How often a batch is tried again when someone else was faster: each time someone else has made progress.
const ATTEMPTS: usize = 5;
/// Used and expired tokens are kept this long, so that their holder is told what happened.
const TOKEN_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Why someone is not given an identity. Says nothing that helps to guess one.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No such token, or another secret: not told apart.
    #[error("the token is not known here")]
    UnknownToken,
    /// Too late.
    #[error("the token has expired; make a new one with `rimward enroll`")]
    Expired,
    /// Someone with another key used it.
    #[error("the token was used already; make a new one with `rimward enroll`")]
    Used,
    /// For another cluster.
    #[error("the token is for another cluster")]
    OtherCluster,
    /// The name is taken.
    #[error(
        "{0} is enrolled with another cluster uid; if that cluster is gone, `rimward enroll {0} --replace`"
    )]
    OtherUid(ClusterName),
    /// Locked or revoked.
    #[error("{cluster} is locked ({why}); `rimward enroll {cluster} --replace` unlocks it")]
    Locked {
        /// Which.
        cluster: ClusterName,
        /// Why.
        why: String,
    },
    /// Not enrolled.
    #[error("{0} is not enrolled")]
    NotEnrolled(ClusterName),
    /// The certificate is not the registered one, or possession is not proved.
    #[error("not the registered key of {0}")]
    WrongKey(ClusterName),
    /// A token is asked for a cluster that is enrolled.
    #[error("{0} is enrolled; to replace it, ask with --replace")]
    Enrolled(ClusterName),
    /// Certificates.
    #[error("certificate")]
    Pki(#[from] PkiError),
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Too many at once changed the same records.
    #[error("too many changes at once; try again")]
    Busy,
    /// No randomness.
    #[error("the system gives no random numbers")]
    Random,
}

/// A spoke that asks to be enrolled, as it came off the wire.
#[derive(Debug)]
pub struct Applicant<'a> {
    /// Token id.
    pub token: &'a str,
    /// Token secret.
    pub secret: &'a [u8],
    /// The name it says it has.
    pub cluster: ClusterName,
    /// The uid it says it has.
    pub uid: ClusterUid,
    /// Its certificate request.
    pub csr: &'a [u8],
}

/// A spoke that asks for a new certificate.
#[derive(Debug)]
pub struct Renewal<'a> {
    /// The leaf it holds, expired or not.
    pub certificate: &'a [u8],
    /// Request for the new key.
    pub csr: &'a [u8],
    /// Number of this renewal.
    pub counter: u64,
    /// Made with the key of `certificate`.
    pub signature: &'a [u8],
}

/// Enrolments, cached in memory, durable in the store.
pub struct Enrolments {
    store: Arc<Store>,
    cache: RwLock<BTreeMap<ClusterName, Enrolment>>,
}

impl Enrolments {
    /// Reads what the store has.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        let all = store.read_all::<Enrolment>("enrolment/")?;
        let cache = all.into_iter().filter_map(|(name, e)| Some((ClusterName::new(name).ok()?, e))).collect();
        Ok(Self { store, cache: RwLock::new(cache) })
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<ClusterName, Enrolment> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One cluster's.
    pub fn get(&self, cluster: &ClusterName) -> Option<Enrolment> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).get(cluster).cloned()
    }

    fn remember(&self, cluster: &ClusterName, enrolment: &Enrolment) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.insert(cluster.clone(), enrolment.clone());
    }

    /// Makes a token. `ca` and `root` are what the spoke will pin.
    pub fn issue_token(
        &self,
        cluster: &ClusterName,
        replace: bool,
        ttl: Duration,
        (ca, root): (Digest, Digest),
        now: Timestamp,
    ) -> Result<Token, EnrolError> {
        if !replace && self.get(cluster).is_some() {
            return Err(EnrolError::Enrolled(cluster.clone()));
        }
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        aws_lc_rs::rand::fill(&mut id).map_err(|_| EnrolError::Random)?;
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| EnrolError::Random)?;
        let token = Token { id: ids::hex(&id), secret, ca, root };
        let secret = Digest::of(&secret);
        let record =
            TokenRecord { secret, cluster: cluster.clone(), expires: now + ttl, replace, used: None };
        let mut batch = Batch::default();
        for (id, old) in self.store.read_all::<TokenRecord>("token/")? {
            if old.expires + TOKEN_MEMORY < now {
                batch.delete(records::token(&id));
            }
        }
        batch.put(records::token(&token.id), encode(&record));
        self.store.commit(batch)?;
        Ok(token)
    }

    /// Exchanges a token for an identity. The same token with the same key gives the same answer.
    pub fn enroll(
        &self,
        authority: &Authority,
        domain: &TrustDomain,
        who: &Applicant<'_>,
        life: Duration,
        now: Timestamp,
    ) -> Result<Enrolment, EnrolError> {
        for _ in 0..ATTEMPTS {
            match self.try_enroll(authority, domain, who, life, now) {
                Err(EnrolError::Store(StoreError::Conflict(_))) => {}
                other => return other,
            }
        }
        Err(EnrolError::Busy)
    }

    fn try_enroll(
        &self,
        authority: &Authority,
        domain: &TrustDomain,
        who: &Applicant<'_>,
        life: Duration,
        now: Timestamp,
    ) -> Result<Enrolment, EnrolError> {
        let key = records::token(who.token);
        let raw = self.store.get(&key)?.ok_or(EnrolError::UnknownToken)?;
        let token: TokenRecord = serde_json::from_slice(&raw).map_err(|_| EnrolError::UnknownToken)?;
        let given = Digest::of(who.secret);
        verify_slices_are_equal(given.as_bytes(), token.secret.as_bytes())
            .map_err(|_| EnrolError::UnknownToken)?;
        if token.cluster != who.cluster {
            return Err(EnrolError::OtherCluster);
        }
        let request = SpokeRequest::parse(who.csr)?;
        let place = records::enrolment(&who.cluster);
        let held = self.store.get(&place)?;
        let existing: Option<Enrolment> = self.store.read(&place)?;
        if let Some(used) = token.used {
            let same = |e: &Enrolment| {
                used == request.key() && e.key == used && e.uid == who.uid && e.locked.is_none()
            };
            return existing.filter(same).ok_or(EnrolError::Used);
        }
        if token.expires < now {
            return Err(EnrolError::Expired);
        }
        admit(existing.as_ref(), &token, who)?;
        let issued = authority.issue_spoke(&domain.spoke_id(&who.cluster), &request, now, life)?;
        let enrolment = Enrolment {
            uid: who.uid.clone(),
            key: request.key(),
            previous: None,
            used: false,
            counter: 0,
            leaf: STANDARD.encode(&issued.leaf),
            expires: issued.expires,
            enrolled: now,
            locked: None,
        };
        let mut batch = Batch::default();
        batch.expect(key.clone(), Some(raw)).expect(place.clone(), held);
        batch.put(key, encode(&TokenRecord { used: Some(request.key()), ..token }));
        batch.put(place, encode(&enrolment));
        self.store.commit(batch)?;
        self.remember(&who.cluster, &enrolment);
        Ok(enrolment)
    }

    /// Gives a new certificate to the holder of the registered key, also when the old one has expired.
    pub fn renew(
        &self,
        authority: &Authority,
        domain: &TrustDomain,
        renewal: &Renewal<'_>,
        life: Duration,
        now: Timestamp,
    ) -> Result<(ClusterName, Enrolment), EnrolError> {
        let leaf = authority.read_spoke(domain, renewal.certificate)?;
        let request = SpokeRequest::parse(renewal.csr)?;
        let message = [RENEW_CONTEXT, &renewal.counter.to_be_bytes(), renewal.csr].concat();
        let cluster = leaf.cluster;
        if !Authority::signed_by(renewal.certificate, &message, renewal.signature) {
            return Err(EnrolError::WrongKey(cluster));
        }
        let place = records::enrolment(&cluster);
        let held = self.store.get(&place)?;
        let existing: Option<Enrolment> = self.store.read(&place)?;
        let existing = existing.ok_or_else(|| EnrolError::NotEnrolled(cluster.clone()))?;
        if let Some(why) = existing.locked {
            return Err(EnrolError::Locked { cluster, why });
        }
        let renewed = if leaf.key == existing.key && renewal.counter > existing.counter {
            let issued = authority.issue_spoke(&domain.spoke_id(&cluster), &request, now, life)?;
            Enrolment {
                key: request.key(),
                previous: Some(existing.key),
                used: false,
                counter: renewal.counter,
                leaf: STANDARD.encode(&issued.leaf),
                expires: issued.expires,
                ..existing
            }
        } else if existing.previous == Some(leaf.key) && renewal.counter == existing.counter {
            if request.key() == existing.key {
                return Ok((cluster, existing));
            }
            // Two holders of one key: a cloned disk. Neither can be told from the other, so both wait for a person.
            let why = "two spokes renewed with one key: a cloned disk?".to_owned();
            Enrolment { locked: Some(why), ..existing }
        } else {
            return Err(EnrolError::WrongKey(cluster));
        };
        let mut batch = Batch::default();
        batch.expect(place.clone(), held).put(place, encode(&renewed));
        self.store.commit(batch)?;
        self.remember(&cluster, &renewed);
        match renewed.locked.clone() {
            Some(why) => Err(EnrolError::Locked { cluster, why }),
            None => Ok((cluster, renewed)),
        }
    }

    /// The enrolment of a cluster that connects with a certificate of key `key`.
    pub fn admit(&self, cluster: &ClusterName, key: &Digest) -> Result<Enrolment, EnrolError> {
        let enrolment = self.get(cluster).ok_or_else(|| EnrolError::NotEnrolled(cluster.clone()))?;
        if let Some(why) = enrolment.locked {
            return Err(EnrolError::Locked { cluster: cluster.clone(), why });
        }
        // The key before the last renewal stays good until the new one was used: its spoke may still be on its way.
        let previous = enrolment.previous.as_ref().filter(|_| !enrolment.used);
        if enrolment.key == *key || previous == Some(key) {
            Ok(enrolment)
        } else {
            Err(EnrolError::WrongKey(cluster.clone()))
        }
    }

    /// The newest key of a cluster was used to connect: the one before it lets nobody in any more. Blocks on the store the
    /// first time.
    pub fn used(&self, cluster: &ClusterName, key: &Digest) -> Result<(), EnrolError> {
        for _ in 0..ATTEMPTS {
            let place = records::enrolment(cluster);
            let held = self.store.get(&place)?;
            let existing: Option<Enrolment> = self.store.read(&place)?;
            let Some(enrolment) = existing.filter(|e| e.key == *key && !e.used) else { return Ok(()) };
            let enrolment = Enrolment { used: true, ..enrolment };
            let mut batch = Batch::default();
            batch.expect(place.clone(), held).put(place, encode(&enrolment));
            match self.store.commit(batch) {
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.remember(cluster, &enrolment);
                    return Ok(());
                }
            }
        }
        Err(EnrolError::Busy)
    }
}

/// Whether a good token may (re)place what is enrolled.
fn admit(existing: Option<&Enrolment>, token: &TokenRecord, who: &Applicant<'_>) -> Result<(), EnrolError> {
    let Some(existing) = existing.filter(|_| !token.replace) else { return Ok(()) };
    if let Some(why) = existing.locked.clone() {
        return Err(EnrolError::Locked { cluster: who.cluster.clone(), why });
    }
    if existing.uid == who.uid { Ok(()) } else { Err(EnrolError::OtherUid(who.cluster.clone())) }
}
