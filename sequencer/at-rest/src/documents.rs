//! Documents that hold a payload or a proof: events of older streams (their payload alone), the bytes of proofs, and what
//! is derived from payloads ([`crate::derived`]).
//!
//! | what | lies in | sealed |
//! |---|---|---|
//! | an older event | `events`, at stream and number | `payload` of the text is null, the blob is the content |
//! | a proof's bytes | `ves_proof_ids`, at the proof's id | the text says `"sealed":true`, the blob is the content |

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stateset_event_log::{Document, DocumentChange, LogError, LogReader, Table};
use ves::at_rest::{self, AtRestError, ProofRecord, compliance_aad, payload_aad, validity_aad};
use ves::{BatchId, Digest, EventId, SequenceNumber, StoreId, StreamKey, TenantId};

use crate::derived;
use crate::events::{in_clear, nonces};
use crate::keys::{Keys, Mode};

/// Key of an older event: tenant, store, number.
const EVENT_KEY_BYTES: usize = 40;

/// Finds the record of a proof by its table and key.
type RecordAt<'f> = dyn Fn(Table, &[u8]) -> Result<Option<Document>, LogError> + 'f;

/// A document whose content or payload is sealed, or is to be.
struct Sealable<'a> {
    tenant: TenantId,
    aad: Digest,
    is_sealed: bool,
    /// What is, or would be, sealed: the blob or the bytes in clear.
    bytes: &'a [u8],
    form: Form<'a>,
}

enum Form<'a> {
    /// An older event, its text before and after the payload.
    Event {
        before: &'a str,
        after: &'a str,
    },
    Proof(Place<'a>),
    /// What is derived from payloads, with the text that stays in clear.
    Derived(Cow<'a, str>),
}

/// Text of the document at a proof's id.
#[derive(Clone, Serialize, Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sealed: bool,
}

#[derive(Deserialize)]
struct EventText<'a> {
    #[serde(borrow)]
    envelope: EnvelopeText<'a>,
}

#[derive(Deserialize)]
struct EnvelopeText<'a> {
    event_id: EventId,
    #[serde(borrow)]
    entity_type: Cow<'a, str>,
    #[serde(borrow)]
    entity_id: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// What a proof's record says that its seal is bound to.
#[derive(Deserialize)]
pub(crate) struct ProofText {
    pub proof_id: uuid::Uuid,
    batch_id: Option<BatchId>,
    event_id: Option<EventId>,
    pub tenant_id: TenantId,
    pub store_id: StoreId,
    proof_type: String,
    proof_version: u32,
    policy_hash: Option<Digest>,
    proof_hash: Digest,
}

impl ProofText {
    pub fn read(record: &Document) -> Result<Self, LogError> {
        serde_json::from_str(&record.text).map_err(|error| broken("a proof's record", &error))
    }

    fn aad(&self) -> Result<Digest, LogError> {
        let stream = StreamKey { tenant_id: self.tenant_id, store_id: self.store_id };
        let proof = ProofRecord {
            proof_id: self.proof_id,
            proof_type: &self.proof_type,
            proof_version: self.proof_version,
            proof_hash: self.proof_hash,
        };
        match (self.batch_id, self.event_id, &self.policy_hash) {
            (Some(batch), None, _) => Ok(validity_aad(&stream, &batch, &proof)),
            (None, Some(event), Some(policy)) => Ok(compliance_aad(&stream, &event, policy, &proof)),
            _ => Err(LogError::corrupt("a proof's record", "it names no batch, and no event and policy")),
        }
    }
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> LogError {
    LogError::corrupt(what, error.to_string())
}

fn hex_key(key: &[u8]) -> String {
    ves::hex::encode(key)
}

/// Whether documents of this table may be sealed.
pub(crate) fn is_sealable(table: Table) -> bool {
    matches!(table, Table::LegacyEvents | Table::ProofIds) || derived::is_derived(table)
}

impl<'a> Sealable<'a> {
    /// `None` for a document that holds nothing to seal. `record_at` finds the record of a proof.
    fn of(table: Table, document: &'a Document, record_at: &RecordAt<'_>) -> Result<Option<Self>, LogError> {
        match table {
            Table::LegacyEvents => match event_place(&document.key) {
                Some((stream, number)) => Self::event(document, stream, number).map(Some),
                None => Ok(None),
            },
            Table::ProofIds => Self::proof(document, record_at).map(Some),
            table if derived::is_derived(table) => Ok(Self::derived(table, document)),
            _ => Ok(None),
        }
    }

    fn derived(table: Table, document: &'a Document) -> Option<Self> {
        let (tenant, _) = derived::owner(table, &document.key)?;
        // In clear it is all text.
        let is_sealed = !document.content.is_empty();
        let (bytes, open) = match is_sealed {
            true => (&document.content[..], Cow::Borrowed(&document.text[..])),
            false => (document.text.as_bytes(), derived::open_part(table, document)),
        };
        let aad = derived::aad(table, &document.key);
        Some(Self { tenant, aad, is_sealed, bytes, form: Form::Derived(open) })
    }

    fn event(document: &'a Document, stream: StreamKey, number: SequenceNumber) -> Result<Self, LogError> {
        let text = &document.text;
        let EventText { envelope } =
            serde_json::from_str(text).map_err(|error| broken("an older event", &error))?;
        let EnvelopeText { event_id, entity_type, entity_id, event_type, payload } = envelope;
        let aad = payload_aad(&stream, &event_id, number, &entity_type, &entity_id, &event_type);
        // The payload borrows from the text, so this is its place there.
        let start = payload.get().as_ptr() as usize - text.as_ptr() as usize;
        let (before, rest) = text.split_at(start);
        let (payload, after) = rest.split_at(payload.get().len());
        // An event in clear is all text.
        let is_sealed = !document.content.is_empty();
        let bytes = if is_sealed { &document.content[..] } else { payload.as_bytes() };
        Ok(Self { tenant: stream.tenant_id, aad, is_sealed, bytes, form: Form::Event { before, after } })
    }

    fn proof(document: &'a Document, record_at: &RecordAt<'_>) -> Result<Self, LogError> {
        let what = "the place of a proof";
        let place: Place<'a> = serde_json::from_str(&document.text).map_err(|error| broken(what, &error))?;
        let table = [Table::ValidityProofs, Table::ComplianceProofs];
        let table = table.into_iter().find(|table| table.name() == place.table);
        let key = ves::hex::decode_vec(&place.key).map_err(|error| broken(what, &error))?;
        let record = table.map(|table| record_at(table, &key)).transpose()?.flatten();
        let record = record.ok_or_else(|| LogError::corrupt(what, "there is no record of the proof"))?;
        let text = ProofText::read(&record)?;
        let (aad, is_sealed) = (text.aad()?, place.sealed);
        Ok(Self {
            tenant: text.tenant_id,
            aad,
            is_sealed,
            bytes: &document.content,
            form: Form::Proof(place),
        })
    }

    /// The document with these bytes, in clear or sealed.
    fn with(&self, key: &[u8], bytes: &[u8], is_sealed: bool) -> Result<Document, LogError> {
        let (text, content) = match &self.form {
            Form::Event { before, after } => match is_sealed {
                true => (format!("{before}null{after}"), bytes.to_vec()),
                false => {
                    let payload =
                        std::str::from_utf8(bytes).map_err(|error| broken("an older event", &error))?;
                    (format!("{before}{payload}{after}"), Vec::new())
                }
            },
            Form::Proof(place) => {
                let place = Place { sealed: is_sealed, ..place.clone() };
                let text =
                    serde_json::to_string(&place).map_err(|error| broken("the place of a proof", &error))?;
                (text, bytes.to_vec())
            }
            Form::Derived(open) if is_sealed => (open.clone().into_owned(), bytes.to_vec()),
            Form::Derived(_) => {
                let text =
                    std::str::from_utf8(bytes).map_err(|error| broken("a derived document", &error))?;
                (text.to_owned(), Vec::new())
            }
        };
        Ok(Document { key: key.to_vec(), text, content })
    }

    fn seal(&self, keys: &Keys, key: &[u8], clear: &[u8]) -> Result<Option<Document>, LogError> {
        let Some(ring) = keys.sealing(&self.tenant) else { return Ok(None) };
        let blob = at_rest::seal(&ring.keys, nonces(1)?[0], &self.aad, clear);
        ring.count(1);
        let blob = blob.map_err(|error| broken(&hex_key(key), &error))?;
        self.with(key, &blob, true).map(Some)
    }
}

/// The stream and number in the key of an older event; `None` for what else lies in their table.
pub(crate) fn event_place(key: &[u8]) -> Option<(StreamKey, SequenceNumber)> {
    let bytes: &[u8; EVENT_KEY_BYTES] = key.try_into().ok()?;
    let id = |at: usize| -> Option<[u8; 16]> { bytes[at..at + 16].try_into().ok() };
    let number = u64::from_be_bytes(bytes[32..].try_into().ok()?);
    let stream =
        StreamKey { tenant_id: TenantId::from_bytes(id(0)?), store_id: StoreId::from_bytes(id(16)?) };
    Some((stream, SequenceNumber(number)))
}

/// The changes as they are stored.
pub(crate) fn seal_changes<'c>(
    keys: &Keys,
    reader: &dyn LogReader,
    changes: &'c [DocumentChange],
) -> Result<Cow<'c, [DocumentChange]>, LogError> {
    let has_work = changes.iter().any(|change| match change {
        DocumentChange::Put(table, _) => is_sealable(*table),
        DocumentChange::Remove(..) => false,
    });
    if !has_work {
        return Ok(Cow::Borrowed(changes));
    }
    // A proof comes with its record.
    let records: BTreeMap<(Table, &[u8]), &Document> = changes
        .iter()
        .filter_map(|change| match change {
            DocumentChange::Put(table, document) => Some(((*table, &document.key[..]), document)),
            DocumentChange::Remove(..) => None,
        })
        .collect();
    let record_at = |table: Table, key: &[u8]| match records.get(&(table, key)) {
        Some(record) => Ok(Some((*record).clone())),
        None => reader.document(table, key),
    };
    let stored = changes.iter().map(|change| {
        let DocumentChange::Put(table, document) = change else { return Ok(change.clone()) };
        let sealable = Sealable::of(*table, document, &record_at)?.filter(|sealable| !sealable.is_sealed);
        let sealed =
            sealable.map(|sealable| sealable.seal(keys, &document.key, sealable.bytes)).transpose()?;
        Ok(DocumentChange::Put(*table, sealed.flatten().unwrap_or_else(|| document.clone())))
    });
    Ok(Cow::Owned(stored.collect::<Result<_, LogError>>()?))
}

/// The document as it was before it was sealed; `None`: it lies as it is read.
///
/// # Errors
/// [`LogError::Sealed`] where no key opens it.
pub(crate) fn open_document(
    keys: &Keys,
    reader: &dyn LogReader,
    table: Table,
    document: &Document,
) -> Result<Option<Document>, LogError> {
    if !is_sealable(table) || (derived::is_derived(table) && lies_in_clear(keys, document)) {
        return Ok(None);
    }
    let record_at = |table: Table, key: &[u8]| reader.document(table, key);
    let Some(sealable) = Sealable::of(table, document, &record_at)? else { return Ok(None) };
    let place = || format!("{} {}", table.name(), hex_key(&document.key));
    if !sealable.is_sealed {
        return match keys.mode() {
            Mode::Required => Err(in_clear(&place())),
            _ => Ok(None),
        };
    }
    let sealed = || LogError::Sealed { place: place() };
    let ring = keys.ring(&sealable.tenant).ok_or_else(sealed)?;
    match at_rest::open_blob(&ring.keys, &sealable.aad, sealable.bytes) {
        Ok((clear, _)) => sealable.with(&document.key, &clear, false).map(Some),
        Err(AtRestError::OpenFailed) => Err(sealed()),
        Err(error) => Err(broken(&place(), &error)),
    }
}

/// Whether a derived document is read as it lies: then its text need not be looked into.
fn lies_in_clear(keys: &Keys, document: &Document) -> bool {
    document.content.is_empty() && keys.mode() != Mode::Required
}

/// A document in the form that is written now.
pub(crate) enum Again {
    Not,
    To(Document),
    NotByUs,
}

impl From<Option<Document>> for Again {
    fn from(document: Option<Document>) -> Self {
        document.map_or(Self::Not, Self::To)
    }
}

/// See [`crate::events::rewrite`].
pub(crate) fn rewrite(
    keys: &Keys,
    reader: &dyn LogReader,
    table: Table,
    document: &Document,
    force: bool,
) -> Result<Again, LogError> {
    let record_at = |table: Table, key: &[u8]| reader.document(table, key);
    let Some(sealable) = Sealable::of(table, document, &record_at)? else { return Ok(Again::Not) };
    if !sealable.is_sealed {
        return Ok(sealable.seal(keys, &document.key, sealable.bytes)?.into());
    }
    let Some(ring) = keys.ring(&sealable.tenant) else { return Ok(Again::NotByUs) };
    match at_rest::open_blob(&ring.keys, &sealable.aad, sealable.bytes) {
        Ok((_, 0)) if keys.sealing(&sealable.tenant).is_some() && !force => Ok(Again::Not),
        Ok((clear, _)) => match sealable.seal(keys, &document.key, &clear)? {
            Some(sealed) => Ok(Again::To(sealed)),
            None => sealable.with(&document.key, &clear, false).map(Again::To),
        },
        Err(AtRestError::OpenFailed) => Ok(Again::NotByUs),
        Err(error) => Err(broken(&hex_key(&document.key), &error)),
    }
}
