//! What the sequencer's own agent tells of payments: signed events in the stream of the intent (x402, A.3).
//!
//! An intent that got its number is told of by a place in the sequence of its stream; what changes later lies in the store
//! beside the change itself, until it is told. Ids of events come from a secret of the log, the intent and the status:
//! after a crash the same event is sent again and is a replay, and nobody else can take its id before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::{Map, Value, json};
use stateset_event_log::{Document, DocumentChange, Table};
use uuid::Uuid;
use ves::draft::Draft;
use ves::keys::{AgentKey, KeyAlgorithm, KeyStatus};
use ves::{
    AgentId, Domain, Envelope, EventId, Hasher, KeyId, Rejection, SequenceNumber, StreamKey, TenantId,
    TimestampMs,
};

use super::Payments;
use super::change::Tell;
use super::error::PaymentError;
use super::own_words::{BATCH, PAYMENT};
use super::record::{BatchStatus, Payment, PaymentBatch, PaymentStatus};
use super::stored::{
    SECRET, TO_TELL, TOLD, batch_of, listed_payment, of_stream, payment_at, put, read, split_stream,
    unreadable,
};
use crate::error::{RegisterError, ServiceError};
use crate::ingest::{EventResult, random_bytes};
use crate::sequencer::Sequencer;
use crate::unchanged::Unchanged;

/// Intents told of in one step; each takes two events, or three where it settled before.
const TELL_INTENTS: u64 = 128;
/// Changes read at once.
const TELL_CHANGES: usize = 64;
/// Events of one ingest.
const TELL_EVENTS: usize = 256;
/// After an event was refused, before it is told again.
const REFUSED_PAUSE_MS: i64 = 60_000;
/// Keys of the agent that are tried before the registration is given up.
const KEY_IDS_MAX: u32 = 64;

/// One step of telling.
struct Teller<'s> {
    service: &'s Sequencer,
    stream: StreamKey,
    secret: [u8; 32],
    key_id: KeyId,
}

impl Payments<'_> {
    /// Tells everything there is to tell; how many events were new. A stream in which that fails is left for the next
    /// time, and holds up no other.
    ///
    /// # Errors
    /// That of the first stream in which it failed.
    pub async fn announce(&self) -> Result<usize, PaymentError> {
        let _one_at_a_time = self.service.shared().payments.telling.lock().await;
        self.filed().await?;
        let (mut told, mut failed) = (0, BTreeMap::new());
        let mut after: Option<Vec<u8>> = None;
        loop {
            // What changed is read before: an intent has its number before anything else is told of it.
            let place = after.as_deref();
            let changes =
                self.service.documents(Table::PaymentLists, &[TO_TELL], place, TELL_CHANGES).await?;
            for (stream, head) in self.heads() {
                told += keep_error(&mut failed, stream, self.announce_new(stream, head)).await;
            }
            for change in &changes {
                let (stream, _) = split_stream(&change.key[1..])?;
                told += keep_error(&mut failed, stream, self.announce_change(stream, change)).await;
            }
            match changes.into_iter().nth(TELL_CHANGES - 1) {
                Some(last) => after = Some(last.key),
                None => break,
            }
        }
        failed.into_values().next().map_or(Ok(told), Err)
    }

    fn heads(&self) -> Vec<(StreamKey, u64)> {
        let heads = self.service.shared().payments.heads.read().unwrap_or_else(PoisonError::into_inner);
        heads.iter().map(|(stream, head)| (*stream, *head)).collect()
    }

    /// Whether an event was refused in this stream just now. A clock that was set back does not make it longer.
    fn is_refused(&self, stream: &StreamKey) -> bool {
        let mut refused =
            self.service.shared().payments.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.service.now().0;
        refused.retain(|_, again| (1..=REFUSED_PAUSE_MS).contains(&(again.0 - now)));
        refused.contains_key(stream)
    }

    /// Intents that got their numbers.
    async fn announce_new(&self, stream: StreamKey, head: u64) -> Result<usize, PaymentError> {
        if self.is_refused(&stream) {
            return Ok(0);
        }
        let place = of_stream(TOLD, &stream);
        let found = self.service.document(Table::PaymentLists, &place).await?;
        let mut told: u64 = found.as_ref().map(read).transpose()?.unwrap_or(0);
        let mut count = 0;
        while told < head {
            let teller = self.teller(stream).await?;
            let through = head.min(told + TELL_INTENTS);
            let payments = self.service.read_much::<_, PaymentError>(move |reader| {
                let numbers = told + 1..=through;
                numbers.map(|number| Ok(listed_payment(reader, &stream, number)?)).collect()
            });
            let payments: Vec<Payment> = payments.await?;
            let mut events = Vec::with_capacity(2 * payments.len());
            for payment in &payments {
                let settled = payment.authorization.is_some().then_some(PaymentStatus::Settled);
                for status in [PaymentStatus::Pending, PaymentStatus::Sequenced].into_iter().chain(settled) {
                    events.push(teller.of_payment(payment, status, None, payment.sequenced_at)?);
                }
            }
            count += teller.tell(events).await?;
            told = through;
            let moved = put(Table::PaymentLists, place.clone(), told.to_string(), Vec::new());
            self.service.put_documents(vec![moved]).await?;
        }
        Ok(count)
    }

    /// What changed later.
    async fn announce_change(&self, stream: StreamKey, change: &Document) -> Result<usize, PaymentError> {
        if self.is_refused(&stream) {
            return Ok(0);
        }
        let tell: Tell = read(change)?;
        let teller = self.teller(stream).await?;
        let wanted = tell.clone();
        let (batch, payments) = self
            .service
            .read_much::<_, PaymentError>(move |reader| {
                let batch = match &wanted.batch {
                    Some(id) => Some(batch_of(reader, id)?.ok_or_else(unreadable)?.0),
                    None => None,
                };
                let numbers = wanted.payments.iter().map(|told| told.sequence_number);
                let payments =
                    numbers.map(|number| payment_at(reader, &stream, number)?.ok_or_else(unreadable));
                Ok((batch, payments.collect::<Result<Vec<_>, ServiceError>>()?))
            })
            .await?;
        let (at, mut events) = (TimestampMs(tell.at_ms), Vec::new());
        for status in &tell.batch_statuses {
            let batch = batch.as_ref().ok_or_else(unreadable)?;
            events.push(teller.of_batch(batch, *status, at)?);
        }
        for (payment, told) in payments.iter().zip(&tell.payments) {
            events.push(teller.of_payment(payment, told.status, batch.as_ref(), at)?);
        }
        let count = teller.tell(events).await?;
        let done = DocumentChange::Remove(Table::PaymentLists, change.key.clone());
        self.service.put_documents(vec![done]).await?;
        Ok(count)
    }

    async fn teller(&self, stream: StreamKey) -> Result<Teller<'_>, PaymentError> {
        let key_id = self.own_key(&stream.tenant_id).await?;
        Ok(Teller { service: self.service, stream, secret: self.secret().await?, key_id })
    }

    /// Made once for the log.
    async fn secret(&self) -> Result<[u8; 32], PaymentError> {
        for _ in 0..2 {
            if let Some(found) = self.service.document(Table::PaymentLists, &[SECRET]).await? {
                return Ok(found.content.as_slice().try_into().map_err(|_| unreadable())?);
            }
            let secret = [random_bytes()?, random_bytes()?].concat();
            let made = put(Table::PaymentLists, vec![SECRET], "null".to_owned(), secret);
            let unchanged = Unchanged { table: Table::PaymentLists, key: vec![SECRET], found: None };
            self.service.put_documents_if(unchanged, vec![made]).await?;
        }
        Err(unreadable().into())
    }

    /// The sequencer's own agent in a tenant, registered where it is not.
    async fn own_key(&self, tenant_id: &TenantId) -> Result<KeyId, PaymentError> {
        let service = self.service;
        let (agent_id, public_key) = (self.agent_id(), service.public_key());
        let held = service.agent_keys(tenant_id, Some(&agent_id));
        let now = service.now();
        let own = held.iter().find(|key| key.public_key == public_key && key.check_at(now).is_ok());
        if let Some(own) = own {
            return Ok(own.key_id);
        }
        let taken = |id: u32| held.iter().any(|key| key.key_id.0 == id);
        let free = (1..=KEY_IDS_MAX).find(|id| !taken(*id));
        let Some(key_id) = free.map(KeyId) else {
            let problem =
                format!("the sequencer's agent {agent_id} has used up its key ids in tenant {tenant_id}");
            return Err(ServiceError::Internal(problem).into());
        };
        let key = AgentKey {
            tenant_id: *tenant_id,
            agent_id,
            key_id,
            public_key,
            algorithm: KeyAlgorithm::Ed25519,
            ml_dsa_65: None,
            status: KeyStatus::Active,
            valid_from: None,
            valid_to: None,
            revoked_at: None,
            created_at: now,
            metadata: None,
        };
        match service.register_own_agent_key(key).await {
            Ok(()) => Ok(key_id),
            Err(RegisterError::Service(error)) => Err(error.into()),
            Err(error) => Err(ServiceError::Internal(format!("the sequencer's own agent: {error}")).into()),
        }
    }

    /// The agent that tells of payments: it has the sequencer's id, and signs with its key.
    pub fn agent_id(&self) -> AgentId {
        self.service.own_agent()
    }
}

/// What was told, unless something before it in the same stream was not.
async fn keep_error(
    failed: &mut BTreeMap<StreamKey, PaymentError>,
    stream: StreamKey,
    telling: impl Future<Output = Result<usize, PaymentError>>,
) -> usize {
    if failed.contains_key(&stream) {
        return 0;
    }
    telling.await.unwrap_or_else(|error| {
        failed.insert(stream, error);
        0
    })
}

/// Largest whole number that every reader of JSON keeps exactly, 2^53 - 1.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

impl Teller<'_> {
    fn of_payment(
        &self,
        payment: &Payment,
        status: PaymentStatus,
        batch: Option<&PaymentBatch>,
        at: TimestampMs,
    ) -> Result<Envelope<'static>, PaymentError> {
        let content = &payment.content;
        let mut payload = json!({
            "intent_id": payment.intent_id, "status": status, "sequence_number": payment.sequence_number,
            "agent_id": content.agent_id,
            "payer_address": content.payer_address, "payee_address": content.payee_address,
            // Text, since a number loses digits where it is read as a double.
            "amount": content.amount.to_string(), "asset": content.asset, "network": content.network,
            "chain_id": content.network.chain_id(), "nonce": content.nonce.to_string(),
            "valid_until": content.valid_until, "signing_hash": content.signing_hash.to_0x(),
        });
        let mut more = Map::new();
        if let (Some(authorization), Some(members)) = (&payment.authorization, payload.as_object_mut()) {
            // It has no nonce of its own.
            members.remove("nonce");
            more.insert("authorization_nonce".to_owned(), json!(authorization.nonce.to_0x()));
        }
        // Canonical JSON has no such number, and an end that far is none: a member less is better than an event that is never told.
        if content.valid_until > SAFE_INTEGER_MAX
            && let Some(members) = payload.as_object_mut()
        {
            members.remove("valid_until");
        }
        if let Some(order_id) = content.order_id {
            more.insert("order_id".to_owned(), json!(order_id));
        }
        if let Some(batch) = batch {
            more.insert("batch_id".to_owned(), json!(batch.batch_id));
        }
        if matches!(status, PaymentStatus::Settled | PaymentStatus::Failed) {
            more.extend(payment.tx_hash.map(|hash| ("tx_hash".to_owned(), json!(hash.to_0x()))));
            more.extend(payment.block_number.map(|block| ("block_number".to_owned(), json!(block))));
        }
        if status == payment.status {
            more.extend(payment.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
        }
        if let Some(members) = payload.as_object_mut() {
            members.append(&mut more);
        }
        let word = if status == PaymentStatus::Pending { "created" } else { status.text() };
        self.event(PAYMENT, payment.intent_id, word, at, &payload)
    }

    fn of_batch(
        &self,
        batch: &PaymentBatch,
        status: BatchStatus,
        at: TimestampMs,
    ) -> Result<Envelope<'static>, PaymentError> {
        let mut payload = json!({
            "batch_id": batch.batch_id, "status": status, "network": batch.network, "asset": batch.asset,
            "payment_count": batch.members.len(), "total_amount": batch.total_amount.to_string(),
            "merkle_root": batch.merkle_root.to_0x(), "prev_state_root": batch.prev_state_root.to_0x(),
            "new_state_root": batch.new_state_root.to_0x(),
            "sequence_start": batch.sequence_start(), "sequence_end": batch.sequence_end(),
        });
        let is_sent = !matches!(status, BatchStatus::Pending | BatchStatus::Committed);
        // What is told of a status is the same whenever it is told: of one that was replaced, the first.
        let first = batch.attempts.first().map(|attempt| attempt.tx_hash);
        let tx_hash = if status == BatchStatus::Submitted { first.or(batch.tx_hash) } else { batch.tx_hash };
        if let (true, Some(hash), Some(members)) = (is_sent, tx_hash, payload.as_object_mut()) {
            members.insert("tx_hash".to_owned(), json!(hash.to_0x()));
            if status != BatchStatus::Submitted {
                members.extend(batch.block_number.map(|block| ("block_number".to_owned(), json!(block))));
            }
        }
        let word = if status == BatchStatus::Pending { "created" } else { status.text() };
        self.event(BATCH, batch.batch_id.0, word, at, &payload)
    }

    fn event(
        &self,
        entity_type: &'static str,
        entity_id: Uuid,
        word: &str,
        at: TimestampMs,
        payload: &Value,
    ) -> Result<Envelope<'static>, PaymentError> {
        let event_type = format!("{entity_type}.{word}");
        let draft = Draft {
            stream: self.stream,
            event_id: self.event_id(&event_type, &entity_id),
            source_agent_id: self.service.payments().agent_id(),
            agent_key_id: self.key_id,
            entity_type: Cow::Borrowed(entity_type),
            entity_id: Cow::Owned(entity_id.to_string()),
            event_type: Cow::Owned(event_type),
            created_at: Cow::Owned(at.to_string()),
            command_id: None,
            base_version: None,
        };
        let signer = self.service.inner.config.signer.as_ref();
        draft.sign(&payload.to_string(), signer).map_err(|error| {
            ServiceError::Internal(format!("an event about {entity_id} can't be made: {error}")).into()
        })
    }

    fn event_id(&self, event_type: &str, entity_id: &Uuid) -> EventId {
        let hash =
            Hasher::new(Domain::X402Event).bytes(&self.secret).str(event_type).uuid(entity_id).finish();
        let (bytes, _) = hash.0.split_first_chunk::<16>().expect("a digest has 32 bytes");
        EventId(uuid::Builder::from_custom_bytes(*bytes).into_uuid())
    }

    /// Sends events into their stream; how many were new.
    async fn tell(&self, mut events: Vec<Envelope<'static>>) -> Result<usize, PaymentError> {
        let mut new = 0;
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(TELL_EVENTS));
            let sent = std::mem::replace(&mut events, rest);
            let outcome = self.service.ingest(self.stream, sent.into_iter().map(Ok).collect()).await?;
            for result in outcome.results {
                new += usize::from(self.is_new(result)?);
            }
        }
        Ok(new)
    }

    fn is_new(&self, result: EventResult) -> Result<bool, PaymentError> {
        match result {
            EventResult::Accepted(_) => Ok(true),
            // Told before a crash, perhaps with another key.
            EventResult::Replayed(_)
            | EventResult::Rejected { rejection: Rejection::DuplicateEventId, .. } => Ok(false),
            // The key was revoked or is worn: with the next one it is told.
            EventResult::Rejected { rejection: Rejection::AgentKeyInvalid(problem), .. } => {
                let problem =
                    format!("the sequencer's own agent can't sign in stream {}: {problem}", self.stream);
                Err(ServiceError::Internal(problem).into())
            }
            // What it tells of stands, so it is told again until it is taken; no other stream waits for it.
            EventResult::Rejected { rejection, .. } => {
                let again = TimestampMs(self.service.now().0.saturating_add(REFUSED_PAUSE_MS));
                let refused = &self.service.shared().payments.refused;
                refused.lock().unwrap_or_else(PoisonError::into_inner).insert(self.stream, again);
                let problem = format!(
                    "an event about a payment in stream {} was refused and is told again: {rejection}",
                    self.stream
                );
                Err(ServiceError::Internal(problem).into())
            }
        }
    }
}

/// Where an intent stands in the telling, for tests and monitors.
impl Payments<'_> {
    /// Up to which number intents of a stream are told of.
    pub async fn announced(&self, stream: &StreamKey) -> Result<SequenceNumber, ServiceError> {
        let found = self.service.document(Table::PaymentLists, &of_stream(TOLD, stream)).await?;
        Ok(SequenceNumber(found.as_ref().map(read).transpose()?.unwrap_or(0)))
    }
}
