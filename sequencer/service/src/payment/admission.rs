//! The writer's side of a submission: all intents that wait in one pass are admitted one after the other and written
//! as one row of the journal.
//!
//! A caller says what the store held of its keys, as of a count of filed intents and holds. The desk remembers the intents
//! since, filed or not, and the authorizations that sales took since, so that both together are exact without a read on
//! the writer's thread. A caller whose count is older than what the desk remembers is looked up again here.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use stateset_event_log::{LogReader, Table};
use uuid::Uuid;
use ves::x402::{Party, TokenAddress};
use ves::{Digest, StreamKey, TimestampMs};

use super::PaymentShared;
use super::journal::{Entry, Journal};
use super::public::SettledBefore;
use super::record::{Payment, PaymentContent, PaymentStatus};
use super::stored::{FORGOTTEN, HEADS, HeadText, read, split_stream, unreadable};
use super::submit::{Keys, look_up, seconds};
use crate::error::{ServiceError, StartError};
use crate::reply::Reply;
use crate::turn::TurnLoop;

/// Intents that the desk remembers: more than wait in any queue while a caller looks up its keys.
const REMEMBERED_MAX: usize = 1 << 16;
/// Heads of streams read at once when a term begins.
const HEADS_PAGE: usize = 1_024;

/// One intent, verified by its caller.
pub(crate) struct PaymentSubmission {
    pub(super) prepared: PreparedPayment,
    /// Count of filed intents and holds before the caller looked its keys up.
    pub(super) as_of: u64,
    pub(super) facts: Facts,
    pub(super) reply: Reply<Admitted, ServiceError>,
}

impl PaymentSubmission {
    /// About what it adds to a transaction, in bytes.
    pub(crate) fn size(&self) -> usize {
        let content = &self.prepared.content;
        let texts = [&content.resource_uri, &content.description, &content.merchant_id];
        let metadata = content.metadata.as_ref().map_or(0, |metadata| metadata.to_string().len());
        2_048 + metadata + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

pub(super) struct PreparedPayment {
    pub intent_id: Uuid,
    pub content: PaymentContent,
    pub content_hash: Digest,
    pub version: u8,
    pub token: Option<TokenAddress>,
    pub keys: Keys,
    /// Of a payment of the public protocol.
    pub settled: Option<SettledBefore>,
}

/// What the store held of an intent's keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub nonce_used: bool,
    pub old_form_used: bool,
    pub authorization_used: bool,
    /// The intent that holds the idempotency key, and the hash of its request.
    pub key: Option<(u64, Digest)>,
}

/// The writer's word.
pub(super) enum Admitted {
    Sequenced(Box<Payment>),
    Repeated {
        number: u64,
        is_same: bool,
    },
    NonceUsed,
    ReplayedOldForm,
    /// By another intent, or by a payment of the public protocol, settled or on its way.
    AuthorizationUsed,
    /// While it waited.
    Expired,
    /// The stream has no more numbers.
    Full,
}

/// What the writer remembers of payments.
#[derive(Default)]
pub(crate) struct Desk {
    pub(super) heads: HashMap<StreamKey, HeadText>,
    pub(super) journal: Journal,
    /// Durable intents and holds of this term, those intents included that an earlier one did not file.
    pub(super) ticks: u64,
    /// What came up to this count is forgotten here, and known to the store alone.
    floor: u64,
    nonces: HashSet<Vec<u8>>,
    keys: HashMap<Vec<u8>, (u64, Digest)>,
    /// Authorizations that sales hold, and at which count they were taken.
    holds: HashMap<Vec<u8>, u64>,
    /// Oldest first.
    recent: VecDeque<Remembered>,
}

enum Remembered {
    Payment(Keys),
    Hold(Vec<u8>),
}

impl Desk {
    /// Reads the counters of all streams, and until when nonces are forgotten.
    pub(crate) fn open(reader: &dyn LogReader, shared: &PaymentShared) -> Result<Self, StartError> {
        let broken = |_| StartError::Document { table: Table::PaymentLists.name() };
        let mut desk = Self::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = reader.documents(Table::PaymentLists, &[HEADS], after.as_deref(), HEADS_PAGE)?;
            for found in &page {
                let (stream, _) = split_stream(&found.key[1..]).map_err(broken)?;
                desk.heads.insert(stream, read(found).map_err(broken)?);
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last.key),
                None => break,
            }
        }
        let mut heads = shared.heads.write().unwrap_or_else(PoisonError::into_inner);
        heads.extend(desk.heads.iter().map(|(stream, head)| (*stream, head.current_sequence)));
        drop(heads);
        if let Some(found) = reader.document(Table::PaymentLists, &[FORGOTTEN])? {
            shared.forgotten_s.store(read(&found).map_err(broken)?, Ordering::Release);
        }
        desk.journal = Journal::open(reader).map_err(broken)?;
        desk.remember_waiting().map_err(broken)?;
        shared.waiting.store(desk.journal.waiting().len() as u64, Ordering::Release);
        Ok(desk)
    }

    /// What an ended term left in the journal.
    fn remember_waiting(&mut self) -> Result<(), ServiceError> {
        let mut taken = Vec::with_capacity(self.journal.waiting().len());
        for entry in self.journal.waiting() {
            let payment = &entry.payment;
            let payer = Party::parse(&payment.content.payer_address).ok_or_else(unreadable)?;
            let head = HeadText {
                current_sequence: payment.sequence_number,
                sequenced_at_ms: payment.sequenced_at.0,
            };
            self.heads.insert(payment.stream(), head);
            taken.push((Keys::of(payment, &payer)?, payment.sequence_number, entry.content_hash));
        }
        self.remember(taken);
        Ok(())
    }

    fn remember(&mut self, taken: Vec<(Keys, u64, Digest)>) {
        for (keys, number, hash) in taken {
            self.ticks += 1;
            self.nonces.insert(keys.nonce.clone());
            self.nonces.extend(keys.old_form.clone());
            self.nonces.extend(keys.authorization.clone());
            self.keys.extend(keys.idempotency.clone().map(|key| (key, (number, hash))));
            self.recent.push_back(Remembered::Payment(keys));
        }
        self.forget_oldest();
    }

    /// A sale holds that authorization, and the store says so.
    pub(super) fn note_hold(&mut self, key: Vec<u8>) {
        self.ticks += 1;
        self.holds.insert(key.clone(), self.ticks);
        self.recent.push_back(Remembered::Hold(key));
        self.forget_oldest();
    }

    pub(super) fn note_release(&mut self, key: &[u8]) {
        self.holds.remove(key);
    }

    /// Whether a payment that is remembered here has this authorization.
    pub(super) fn has_taken(&self, key: &[u8]) -> bool {
        self.nonces.contains(key)
    }

    fn forget_oldest(&mut self) {
        while self.recent.len() > REMEMBERED_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.floor += 1;
            match oldest {
                Remembered::Payment(keys) => {
                    self.nonces.remove(&keys.nonce);
                    for key in keys.old_form.iter().chain(&keys.authorization) {
                        self.nonces.remove(key);
                    }
                    if let Some(key) = &keys.idempotency {
                        self.keys.remove(key);
                    }
                }
                // It may have been released and taken again since.
                Remembered::Hold(key) if self.holds.get(&key) == Some(&self.floor) => {
                    self.holds.remove(&key);
                }
                Remembered::Hold(_) => {}
            }
        }
    }
}

/// What one pass would write.
#[derive(Default)]
struct Pass {
    heads: BTreeMap<StreamKey, HeadText>,
    nonces: HashSet<Vec<u8>>,
    keys: HashMap<Vec<u8>, (u64, Digest)>,
    taken: Vec<(Keys, u64, Digest)>,
    entries: Vec<Entry>,
}

impl TurnLoop {
    /// Admits, numbers and writes what waited; answers when all of it is durable, or none.
    pub(crate) fn sequence_payments(&mut self, submissions: Vec<PaymentSubmission>) {
        let now = self.clock.now();
        let mut pass = Pass::default();
        let mut answers = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let PaymentSubmission { prepared, as_of, facts, reply } = submission;
            let admitted = self.admit_payment(&mut pass, prepared, as_of, facts, now);
            answers.push((reply, admitted));
        }
        let written = self.write_pass(&mut pass);
        if written.is_ok() && !pass.taken.is_empty() {
            self.publish_payments(pass);
        }
        for (reply, admitted) in answers {
            let answer = written.clone().and(admitted);
            // A caller that went away does not need its answer.
            drop(reply.send(answer));
        }
    }

    fn admit_payment(
        &mut self,
        pass: &mut Pass,
        prepared: PreparedPayment,
        as_of: u64,
        facts: Facts,
        now: TimestampMs,
    ) -> Result<Admitted, ServiceError> {
        let PreparedPayment { intent_id, content, content_hash, version, token, keys, settled } = prepared;
        let facts = match as_of < self.payments.floor {
            true => look_up(self.reader.as_ref(), &keys)?,
            false => facts,
        };
        let desk = &self.payments;
        let held =
            keys.idempotency.as_ref().and_then(|key| pass.keys.get(key).or_else(|| desk.keys.get(key)));
        if let Some((number, hash)) = held.copied().or(facts.key) {
            return Ok(Admitted::Repeated { number, is_same: hash == content_hash });
        }
        let is_used = |key: &Vec<u8>| pass.nonces.contains(key) || desk.nonces.contains(key);
        if facts.nonce_used || is_used(&keys.nonce) {
            return Ok(Admitted::NonceUsed);
        }
        if facts.old_form_used && version == 1 || keys.old_form.as_ref().is_some_and(is_used) {
            return Ok(Admitted::ReplayedOldForm);
        }
        let is_used_or_held = |key: &Vec<u8>| is_used(key) || desk.holds.contains_key(key);
        if facts.authorization_used || keys.authorization.as_ref().is_some_and(is_used_or_held) {
            return Ok(Admitted::AuthorizationUsed);
        }
        let forgotten_s = self.shared.payments.forgotten_s.load(Ordering::Acquire);
        let is_over = content.valid_until < seconds(now) || content.valid_until <= forgotten_s;
        // What has settled stays settled, whenever it is told.
        if is_over && settled.is_none() {
            return Ok(Admitted::Expired);
        }
        let stream = content.stream();
        let head = pass.heads.get(&stream).or_else(|| desk.heads.get(&stream)).copied();
        let number = head.map_or(0, |head| head.current_sequence) + 1;
        if i64::try_from(number).is_err() {
            return Ok(Admitted::Full);
        }
        // Numbers and times rise together, so that a range of dates is a range of numbers.
        let at = head.map_or(now, |head| now.max(TimestampMs(head.sequenced_at_ms)));
        let payment = Payment {
            intent_id,
            status: if settled.is_some() { PaymentStatus::Settled } else { PaymentStatus::Sequenced },
            sequence_number: number,
            sequenced_at: at,
            updated_at: at,
            x402_version: version,
            authorization: settled.map(|settled| settled.authorization),
            token_address: token,
            batch_id: None,
            leaf_index: None,
            tx_hash: settled.map(|settled| settled.transaction),
            block_number: settled.map(|settled| settled.block_number),
            settled_at_ms: settled.map(|_| at.0),
            reason: None,
            content,
        };
        pass.nonces.insert(keys.nonce.clone());
        pass.nonces.extend(keys.old_form.clone());
        pass.nonces.extend(keys.authorization.clone());
        pass.keys.extend(keys.idempotency.clone().map(|key| (key, (number, content_hash))));
        pass.entries.push(Entry { payment: payment.clone(), content_hash });
        pass.heads.insert(stream, HeadText { current_sequence: number, sequenced_at_ms: at.0 });
        pass.taken.push((keys, number, content_hash));
        Ok(Admitted::Sequenced(Box::new(payment)))
    }

    fn write_pass(&mut self, pass: &mut Pass) -> Result<(), ServiceError> {
        if self.poisoned {
            return Err(ServiceError::Poisoned);
        }
        if pass.entries.is_empty() {
            return Ok(());
        }
        self.bound_journal()?;
        let (row, change) = self.payments.journal.row(&pass.entries)?;
        let started = Instant::now();
        let written = self.write(|log| log.put_documents(&[change]));
        self.rhythm.note_append(started.elapsed());
        match &written {
            Ok(()) => self.payments.journal.keep(row, std::mem::take(&mut pass.entries)),
            Err(error) => {
                tracing::error!(%error, intents = pass.taken.len(), "a pass of payments was refused by the store")
            }
        }
        written
    }

    /// The pass is on disk: the worker may file it and tell of it.
    fn publish_payments(&mut self, pass: Pass) {
        let (desk, shared) = (&mut self.payments, &self.shared.payments);
        desk.heads.extend(pass.heads);
        desk.remember(pass.taken);
        shared.waiting.store(desk.journal.waiting().len() as u64, Ordering::Release);
        shared.tell_worker();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The count of an older hold must not end the memory of a newer one.
    #[test]
    fn a_hold_is_remembered_from_its_last_count_on() {
        let mut desk = Desk::default();
        let key = |at: usize| at.to_be_bytes().to_vec();
        desk.note_hold(key(0));
        desk.note_release(&key(0));
        desk.note_hold(key(1));
        desk.note_hold(key(0));
        (2..REMEMBERED_MAX).for_each(|at| desk.note_hold(key(at)));
        let held = |desk: &Desk| [0, 1, 2].map(|at| desk.holds.contains_key(&key(at)));
        assert_eq!((desk.floor, held(&desk)), (1, [true; 3]));
        desk.note_hold(key(REMEMBERED_MAX));
        assert_eq!((desk.floor, held(&desk)), (2, [true, false, true]));
        desk.note_hold(key(REMEMBERED_MAX + 1));
        assert_eq!((desk.floor, held(&desk)), (3, [false, false, true]), "then the store is asked");
    }
}
