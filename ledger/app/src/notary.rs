//! The notary commit (section 5.1): all checks of a request, then all writes.

use stateset_ledger_types::body::{Capsule, Header, TimeWindow};
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::envelope::{Notarise, Request};
use stateset_ledger_types::governance::AttesterPolicy;
use stateset_ledger_types::ids::{EntityId, SpentKey, TxId};
use stateset_ledger_types::keys::{PublicKey, Purpose};
use stateset_ledger_types::notary::{CapsuleEntry, ConflictData, NotaryRecord};
use stateset_ledger_types::stateless::Checked;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Encode, Params, Refusal, StateKey, Substore};

use crate::context::{Context, Used};
use crate::gas::gas;
use crate::members;
use crate::overlay::{Overlay, Stop};

/// How far a sequence may be above the last.
const SEQUENCE_STEP_MAX: u64 = 1 << 20;
/// How far the clock of a member that counts by it may be ahead of the chain's: a day.
const SEQUENCE_AHEAD_MS: u64 = 86_400_000;

/// Step 1: a transaction that was notarised is so once; its record is the answer's data.
///
/// # Errors
/// ALREADY_NOTARISED.
pub fn refuse_notarised(overlay: &Overlay<'_>, tx_id: &TxId) -> Result<(), Stop> {
    match overlay.get::<NotaryRecord>(&StateKey::tx(tx_id))? {
        None => Ok(()),
        Some(record) => {
            let said = format!("{tx_id} was notarised at height {}", record.height);
            Err(Refusal::new(Code::AlreadyNotarised, said).with_data(record.to_sce()).into())
        }
    }
}

/// Step 2: whether the submitter may submit; returns its record.
///
/// # Errors
/// UNKNOWN_ENTITY, ENTITY_NOT_ACTIVE, NOT_AUTHORISED, QUOTA, BAD_SEQUENCE.
pub fn admit(overlay: &Overlay<'_>, context: &Context, checked: &Checked) -> Result<Entity, Stop> {
    let submission = checked.request().submission();
    let entity = members::active(overlay, context, &submission.entity)?;
    let governance = matches!(checked.request(), Request::Governance(_));
    if !governance {
        members::require(&entity, Role::Member)?;
    }
    let signs = |purpose| entity.signs_with(&submission.key, purpose, context.time_ms);
    // What an agent may do is a matter of each command; it may not govern.
    if !signs(Purpose::LedgerSigning) && (governance || !signs(Purpose::Agent)) {
        let said = format!("key {} may not submit for entity {}", submission.key.id(), submission.entity);
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    }
    quota(context, &entity, checked)?;
    let last: Option<u64> = overlay.get(&StateKey::seq(&submission.entity))?;
    sequence(context, last, submission.seq)?;
    Ok(entity)
}

/// A sequence is above the last, and leaves room for others: the largest of all would be a member's last word, and an agent's key
/// or a lying node could make it say that. A member may count by ones, or by the clock in any unit down to nanoseconds.
fn sequence(context: &Context, last: Option<u64>, seq: u64) -> Result<(), Refusal> {
    if last.is_some_and(|last| seq <= last) {
        let said = format!("sequence {seq} is not above {}", last.unwrap_or(0));
        return Err(Refusal::new(Code::BadSequence, said));
    }
    let by_clock = context.time_ms.saturating_add(SEQUENCE_AHEAD_MS).saturating_mul(1_000_000);
    let most = last.unwrap_or(0).saturating_add(SEQUENCE_STEP_MAX).max(by_clock);
    if seq > most {
        let said = format!("sequence {seq} is too far above {}: at most {most}", last.unwrap_or(0));
        return Err(Refusal::new(Code::BadSequence, said));
    }
    Ok(())
}

/// What `entity` may bring into one block.
pub fn quota_of(entity: &Entity, params: &Params) -> Used {
    let or_default = |own: u64, default: u64| if own == 0 { default } else { own };
    Used {
        transactions: or_default(entity.quota.tx_per_block, params.quota_tx_per_block),
        bytes: or_default(entity.quota.bytes_per_block, params.quota_bytes_per_block),
        gas: or_default(entity.quota.gas_per_block, params.quota_gas_per_block),
    }
}

/// What a request takes of a quota.
pub fn use_of(checked: &Checked, params: &Params) -> Used {
    let bytes = checked.envelope().bytes().len() as u64;
    Used { transactions: 1, bytes, gas: gas(checked, params) }
}

fn quota(context: &Context, entity: &Entity, checked: &Checked) -> Result<(), Refusal> {
    let used = context.quota.get(&entity.entity_id).copied().unwrap_or_default();
    let used = used.and(use_of(checked, &context.params));
    match used.over(quota_of(entity, &context.params)) {
        None => Ok(()),
        Some((what, needed, limit)) => {
            Err(Refusal::new(Code::Quota, format!("{needed} {what} in one block, at most {limit}")))
        }
    }
}

/// After step 2, whatever follows: the sequence is used up, and so much of the quota.
pub fn charge(overlay: &mut Overlay<'_>, context: &mut Context, checked: &Checked) {
    let submission = checked.request().submission();
    overlay.put(StateKey::seq(&submission.entity), &submission.seq);
    let taken = use_of(checked, &context.params);
    let used = context.quota.entry(submission.entity).or_default();
    *used = used.and(taken);
}

/// What steps 3 to 6 and the writes of step 8 need of a transaction of any mode.
pub struct Commit<'a> {
    pub tx_id: &'a TxId,
    pub mode: Mode,
    pub header: &'a Header,
    pub window: Option<&'a TimeWindow>,
    pub spent: &'a [SpentKey],
    pub references: Vec<&'a SpentKey>,
    pub capsules: Vec<&'a Capsule>,
}

impl<'a> Commit<'a> {
    pub fn of_notarise(checked: &'a Checked, request: &'a Notarise) -> Self {
        let content = &request.content;
        Self {
            tx_id: checked.tx_id(),
            mode: content.mode,
            header: content.header(),
            window: content.time_window.first().map(|shown| &shown.component),
            spent: checked.spent(),
            references: content.references.iter().map(|shown| &shown.component).collect(),
            capsules: content.capsules.iter().map(|shown| &shown.component).collect(),
        }
    }

    /// Steps 3 to 6.
    ///
    /// # Errors
    /// WINDOW_NOT_OPEN, EXPIRED, PARAMS_MISMATCH, WINDOW_CLOSED, CONFLICT, REFERENCE_SPENT.
    pub fn check(&self, overlay: &Overlay<'_>, context: &Context) -> Result<(), Stop> {
        self.check_header(context)?;
        self.check_window(context)?;
        for (index, spent) in self.spent.iter().enumerate() {
            if let Some(consumer) = overlay.get::<TxId>(&StateKey::spent(spent))? {
                let said = format!("input {index} was consumed by {consumer}");
                let data = ConflictData { index: index as u32, consumer };
                return Err(Refusal::new(Code::Conflict, said).with_data(data.to_sce()).into());
            }
        }
        for (index, reference) in self.references.iter().enumerate() {
            if let Some(consumer) = overlay.get::<TxId>(&StateKey::spent(reference))? {
                let said = format!("reference {index} was consumed by {consumer}");
                let data = ConflictData { index: index as u32, consumer };
                return Err(Refusal::new(Code::ReferenceSpent, said).with_data(data.to_sce()).into());
            }
        }
        Ok(())
    }

    fn check_header(&self, context: &Context) -> Result<(), Refusal> {
        let (header, height) = (self.header, context.height);
        if height < header.not_before_height {
            let said = format!("not before height {}, this is {height}", header.not_before_height);
            return Err(Refusal::new(Code::WindowNotOpen, said));
        }
        if header.expires_height != 0 && header.expires_height < height {
            let said = format!("expired at height {}, this is {height}", header.expires_height);
            return Err(Refusal::new(Code::Expired, said));
        }
        if !context.params_hashes.contains(&header.params_hash) {
            let said =
                "the header's params_hash held at no height within the grace: build the transaction anew";
            return Err(Refusal::new(Code::ParamsMismatch, said));
        }
        Ok(())
    }

    fn check_window(&self, context: &Context) -> Result<(), Refusal> {
        let Some(window) = self.window else { return Ok(()) };
        let time = context.time_ms;
        if let Some(from) = window.from_ms.filter(|from| time < *from) {
            return Err(Refusal::new(Code::WindowNotOpen, format!("opens at {from} ms, this is {time}")));
        }
        if let Some(until) = window.until_ms.filter(|until| *until <= time) {
            return Err(Refusal::new(Code::WindowClosed, format!("closed at {until} ms, this is {time}")));
        }
        Ok(())
    }

    /// Step 8. `index`: place in the block.
    pub fn write(&self, overlay: &mut Overlay<'_>, context: &Context, index: u32) -> NotaryRecord {
        for spent in self.spent {
            overlay.put(StateKey::spent(spent), self.tx_id);
        }
        let inputs = self.spent.len() as u32;
        let record = NotaryRecord { height: context.height, index, mode: self.mode, inputs };
        overlay.put(StateKey::tx(self.tx_id), &record);
        for (n, capsule) in (0..).zip(&self.capsules) {
            let entry = CapsuleEntry {
                tx_id: *self.tx_id,
                lookup: capsule.lookup,
                ciphertext_hash: capsule.ciphertext_hash,
                size: capsule.size,
            };
            overlay.put(StateKey::capsule(context.height, index, n), &entry);
        }
        record
    }
}

/// Step 7, and receipts of capsules where the network asks for them (8.4).
///
/// # Errors
/// ATTESTATION_MISSING, CAPSULE_MISSING.
pub fn check_endorsements(overlay: &Overlay<'_>, context: &Context, request: &Notarise) -> Result<(), Stop> {
    if request.content.mode == Mode::Attested {
        attested(overlay, context, request)?;
    }
    if context.params.capsules_required == 1 {
        receipts(overlay, context, request)?;
    }
    Ok(())
}

fn attested(overlay: &Overlay<'_>, context: &Context, request: &Notarise) -> Result<(), Stop> {
    let missing = |said: String| Stop::from(Refusal::new(Code::AttestationMissing, said));
    let id = request.content.header().attester_policy.unwrap_or_default();
    let policy: Option<AttesterPolicy> = overlay.get(&StateKey::attester_policy(id))?;
    let policy = policy.ok_or_else(|| missing(format!("attester policy {id} does not exist")))?;
    // Each attester stands there once (4.1). One whose key does not count any more spoils nothing where others suffice.
    let mut counted = 0;
    for attestation in request.attestations.iter() {
        let id = attestation.attester;
        let named = policy.entities.contains(&id);
        if named && speaks(overlay, context, &id, &attestation.key, Role::Attester)? {
            counted += 1;
        }
    }
    if counted < policy.threshold {
        return Err(missing(format!("{counted} of {} attesters signed", policy.threshold)));
    }
    Ok(())
}

/// f + 1 notaries for each capsule, of n >= 3 f + 1.
fn receipts(overlay: &Overlay<'_>, context: &Context, request: &Notarise) -> Result<(), Stop> {
    let notaries = overlay.prefix(Substore::Gov, "validator/", usize::MAX)?.len();
    let needed = notaries.saturating_sub(1) / 3 + 1;
    for (place, shown) in request.content.capsules.iter().enumerate() {
        let hash = shown.component.ciphertext_hash;
        let mut counted: Vec<EntityId> = Vec::new();
        for receipt in request.receipts.iter().filter(|receipt| receipt.ciphertext_hash == hash) {
            let id = receipt.notary;
            if !counted.contains(&id) && speaks(overlay, context, &id, &receipt.key, Role::Notary)? {
                counted.push(id);
            }
        }
        if counted.len() < needed {
            let said =
                format!("capsule {place} has receipts of {} notaries, {needed} are needed", counted.len());
            return Err(Refusal::new(Code::CapsuleMissing, said).into());
        }
    }
    Ok(())
}

/// Whether `key` is a live ledger key of `id`, which is active and has `role`.
fn speaks(
    overlay: &Overlay<'_>,
    context: &Context,
    id: &EntityId,
    key: &PublicKey,
    role: Role,
) -> Result<bool, Stop> {
    let entity: Option<Entity> = overlay.get(&StateKey::entity(id))?;
    Ok(entity.is_some_and(|entity| {
        entity.is_active(context.time_ms)
            && entity.roles.has(role)
            && entity.signs_with(key, Purpose::LedgerSigning, context.time_ms)
    }))
}
