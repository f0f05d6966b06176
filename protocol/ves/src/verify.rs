//! Steps 8, 9 and 10 of section 10: hash, key, signature. What passes is marked by its type.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ed25519::{self, Check, CheckKey, KeyTable};
use crate::event::Envelope;
use crate::hash::Digest;
use crate::ids::{AgentId, KeyId, TenantId};
use crate::keys::{KeyRing, MlDsaVerifier, RingKey, SecurityProfile, SignatureScheme};
use crate::reject::{KeyProblem, Rejection};
use crate::time::TimestampMs;

/// An event whose hash, key and signature were checked. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a> {
    envelope: Envelope<'a>,
    signing_hash: Digest,
}

impl<'a> Verified<'a> {
    pub fn envelope(&self) -> &Envelope<'a> {
        &self.envelope
    }
    /// Of section 8.1, as the agent signed it.
    pub fn signing_hash(&self) -> &Digest {
        &self.signing_hash
    }
    pub fn into_parts(self) -> (Envelope<'a>, Digest) {
        (self.envelope, self.signing_hash)
    }
    /// The same event, owning its texts.
    pub fn into_owned(self) -> Verified<'static> {
        Verified { envelope: self.envelope.into_owned(), signing_hash: self.signing_hash }
    }
}

/// An event that was refused, with the reason.
pub type Refused<'a> = (Envelope<'a>, Rejection);

/// A key that events of this batch use.
struct BatchKey {
    key: Arc<RingKey>,
    state: Result<(), KeyProblem>,
    table: Option<Arc<KeyTable>>,
    /// Expanded at the first signature that needs it.
    ml_dsa_65: OnceCell<Option<MlDsaVerifier>>,
    uses: u32,
}

/// [`verify_batch_under`] the profile `legacy`: what the key accepts is accepted.
pub fn verify_batch<'a>(
    events: Vec<Envelope<'a>>,
    keys: &KeyRing,
    now: TimestampMs,
) -> Vec<Result<Verified<'a>, Refused<'a>>> {
    verify_batch_under(SecurityProfile::Legacy, events, keys, now)
}

/// Checks hash, key at `now` and signature of each event, in this order, whoever sent them; answers in order.
///
/// A signature scheme that the profile or the key does not accept is refused with the key (section 21).
/// Signatures are checked key by key, so that each table is in the cache while it is used, and share one inversion.
pub fn verify_batch_under<'a>(
    profile: SecurityProfile,
    events: Vec<Envelope<'a>>,
    keys: &KeyRing,
    now: TimestampMs,
) -> Vec<Result<Verified<'a>, Refused<'a>>> {
    let mut ring = BatchKeys::default();
    let found: Vec<Result<usize, Rejection>> = events
        .iter()
        .map(|event| {
            event.check_payload_hash()?;
            let place = ring.find(event, keys, now)?;
            ring.keys[place].check_scheme(profile, event.signature_scheme())?;
            Ok(place)
        })
        .collect();
    ring.draw_tables(keys);

    let hashes: Vec<Digest> = events.iter().map(Envelope::signing_hash).collect();
    let mut order: Vec<(usize, usize)> = found
        .iter()
        .enumerate()
        .filter_map(|(event, key)| key.as_ref().ok().map(|key| (*key, event)))
        .collect();
    order.sort_unstable();
    let checks: Vec<(usize, Check<'_>)> = order
        .into_iter()
        .filter_map(|(key, event)| {
            let key = ring.keys[key].check_key()?;
            Some((event, Check { key, message: &hashes[event].0, signature: &events[event].agent_signature }))
        })
        .collect();
    let mut signed = vec![false; events.len()];
    let verdicts = ed25519::verify_many(&checks.iter().map(|(_, check)| *check).collect::<Vec<_>>());
    for ((event, _), verdict) in checks.iter().zip(verdicts) {
        signed[*event] = verdict;
    }
    for (event, envelope) in events.iter().enumerate() {
        let (Some(signature), Ok(key)) = (&envelope.ml_dsa_65_signature, &found[event]) else { continue };
        // Of a hybrid both have to hold; the Ed25519 check above has spoken for that half.
        let classical = signed[event] || envelope.signature_scheme() == SignatureScheme::MlDsa65;
        signed[event] = classical
            && ring.keys[*key].ml_dsa_65().is_some_and(|key| key.verify(&hashes[event].0, signature));
    }

    let mut outcomes = Vec::with_capacity(events.len());
    for (((envelope, signing_hash), found), signed) in events.into_iter().zip(hashes).zip(found).zip(signed) {
        outcomes.push(match (found, signed) {
            (Err(rejection), _) => Err((envelope, rejection)),
            (Ok(_), false) => Err((envelope, Rejection::InvalidSignature)),
            (Ok(_), true) => Ok(Verified { envelope, signing_hash }),
        });
    }
    outcomes
}

/// [`verify_batch`] of one event.
///
/// # Errors
/// The [`Rejection`] of the first step that fails.
pub fn verify_one<'a>(
    event: Envelope<'a>,
    keys: &KeyRing,
    now: TimestampMs,
) -> Result<Verified<'a>, Rejection> {
    let outcome = verify_batch(vec![event], keys, now).pop().expect("one event has one outcome");
    outcome.map_err(|(_, rejection)| rejection)
}

/// The keys of one batch, each looked up once.
#[derive(Default)]
struct BatchKeys {
    keys: Vec<BatchKey>,
    places: BTreeMap<(TenantId, AgentId, KeyId), Option<usize>>,
    last: Option<((TenantId, AgentId, KeyId), usize)>,
}

impl BatchKeys {
    /// Place of the event's key, if it may sign at `now` (step 9).
    fn find(&mut self, event: &Envelope<'_>, ring: &KeyRing, now: TimestampMs) -> Result<usize, Rejection> {
        let address = (event.stream.tenant_id, event.source_agent_id, event.agent_key_id);
        let place = match self.last {
            Some((last, place)) if last == address => Some(place),
            _ => {
                let keys = &mut self.keys;
                *self.places.entry(address).or_insert_with(|| {
                    let key = ring.get(&address.0, &address.1, address.2)?;
                    let state = key.key().check_at(now);
                    keys.push(BatchKey { key, state, table: None, ml_dsa_65: OnceCell::new(), uses: 0 });
                    Some(keys.len() - 1)
                })
            }
        };
        let place = place.ok_or(Rejection::AgentKeyInvalid(KeyProblem::NotFound))?;
        self.last = Some((address, place));
        let key = &mut self.keys[place];
        key.state.map_err(Rejection::AgentKeyInvalid)?;
        key.uses += 1;
        Ok(place)
    }

    fn draw_tables(&mut self, ring: &KeyRing) {
        for key in self.keys.iter_mut().filter(|key| key.uses > 0 && key.key.public_key().is_some()) {
            key.table = ring.table_for(&key.key, key.uses);
        }
    }
}

impl BatchKey {
    fn check_scheme(&self, profile: SecurityProfile, scheme: SignatureScheme) -> Result<(), Rejection> {
        if profile.admits(scheme) && self.key.key().algorithm.accepts(scheme) {
            return Ok(());
        }
        Err(Rejection::UnsupportedSignatureScheme { scheme: scheme.number().into() })
    }

    fn ml_dsa_65(&self) -> Option<&MlDsaVerifier> {
        let expand = || self.key.key().ml_dsa_65.as_deref().map(MlDsaVerifier::new);
        self.ml_dsa_65.get_or_init(expand).as_ref()
    }

    /// `None` when the registered bytes cannot verify any Ed25519 signature.
    fn check_key(&self) -> Option<CheckKey<'_>> {
        match &self.table {
            Some(table) => Some(CheckKey::Table(table)),
            None => self.key.public_key().map(CheckKey::Plain),
        }
    }
}
