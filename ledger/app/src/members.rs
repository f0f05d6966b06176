//! Members: reading their records, and who may speak for them (section 1).

use std::cell::RefCell;
use std::collections::BTreeMap;

use stateset_ledger_types::bank::AgentDay;
use stateset_ledger_types::codec::Blob;
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::governance::{EntityRecord, RootChange};
use stateset_ledger_types::ids::{Amount, Denom, EntityId, KeyId, Units};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose};
use stateset_ledger_types::x509::{CERTIFICATE_BYTES_MAX, Root, check_entity};
use stateset_ledger_types::{Code, Refusal, StateKey, Substore};

use crate::application::Fault;
use crate::context::Context;
use crate::overlay::{Overlay, Stop, decode};

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// Most roots of a network at once.
pub const ROOTS_MAX: usize = 16;

/// The network's roots as they stand now (1.1).
///
/// # Errors
/// [`Fault`].
pub fn roots(overlay: &Overlay<'_>) -> Result<Vec<Root>, Fault> {
    let mut roots = Vec::new();
    for (key, bytes) in overlay.prefix(Substore::Entities, "root/", ROOTS_MAX)? {
        let der: Blob<CERTIFICATE_BYTES_MAX> = decode(&key, &bytes)?;
        let root = Root::parse(&der);
        let corrupt = |error| Fault::Corrupt { place: key.to_string(), problem: format!("{error}") };
        roots.push(root.map_err(corrupt)?);
    }
    Ok(roots)
}

/// Adds, replaces or removes a root.
///
/// # Errors
/// INVARIANT for what is no root, and for more than [`ROOTS_MAX`].
pub fn change_root(overlay: &mut Overlay<'_>, change: &RootChange) -> Result<(), Stop> {
    let key = StateKey::root(change.number);
    if change.certificate.is_empty() {
        overlay.delete(key);
        return Ok(());
    }
    let refused = |said: String| Stop::from(Refusal::new(Code::Invariant, said));
    let named = |error| refused(format!("root {}: {error}", change.number));
    Root::parse(&change.certificate).map_err(named)?;
    let is_new = overlay.get_raw(&key)?.is_none();
    if is_new && overlay.prefix(Substore::Entities, "root/", ROOTS_MAX)?.len() == ROOTS_MAX {
        return Err(refused(format!("a network has at most {ROOTS_MAX} roots")));
    }
    overlay.put(key, &change.certificate);
    Ok(())
}

/// Whether the certificates of a record lead to a root of the network at the block's time, make the record's id, and
/// hold a live key of it with purpose IDENTITY (1.1).
///
/// # Errors
/// INVARIANT with the reason.
pub fn certify(overlay: &Overlay<'_>, context: &Context, record: &EntityRecord) -> Result<(), Stop> {
    let chain: Vec<&[u8]> = record.certificates.iter().map(|der| &**der).collect();
    let certified = check_entity(&chain, &roots(overlay)?, context.time_ms)
        .and_then(|certificate| certificate.is_of(&record.record, context.time_ms));
    certified.map_err(|error| Refusal::new(Code::Invariant, error).into())
}

/// The record of `id`, who may act now.
///
/// # Errors
/// UNKNOWN_ENTITY, ENTITY_NOT_ACTIVE.
pub fn active(overlay: &Overlay<'_>, context: &Context, id: &EntityId) -> Result<Entity, Stop> {
    let entity: Option<Entity> = overlay.get(&StateKey::entity(id))?;
    let entity = entity.ok_or_else(|| Refusal::new(Code::UnknownEntity, format!("{id} is no entity")))?;
    if !entity.is_active(context.time_ms) {
        let said = format!("entity {id} is {:?}", entity.status);
        return Err(Refusal::new(Code::EntityNotActive, said).into());
    }
    Ok(entity)
}

/// Refuses an entity without `role`.
///
/// # Errors
/// NOT_AUTHORISED.
pub fn require(entity: &Entity, role: Role) -> Result<(), Refusal> {
    if entity.roles.has(role) {
        return Ok(());
    }
    let said = format!("entity {} has not the role {role:?}", entity.entity_id);
    Err(Refusal::new(Code::NotAuthorised, said))
}

/// What a signature is used for, for the scope of agent keys (1.2).
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    pub contract: &'a str,
    pub command: u16,
    /// What leaves the entity's account, or what it decides on in an escrow.
    pub amount: Option<&'a Amount>,
}

/// What agents' keys moved or decided on in one transaction so far: its limit is that of all its commands together.
#[derive(Debug, Default)]
pub struct Moved(RefCell<BTreeMap<(KeyId, Denom), u128>>);

/// The keys that signed a command, each with the purpose it signed for.
#[derive(Debug, Clone, Copy)]
pub struct Signers<'a> {
    pub keys: &'a [(PublicKey, Purpose)],
    /// Of the transaction.
    pub moved: &'a Moved,
}

impl Signers<'_> {
    /// Whether one of the keys speaks for `entity` in this use; an agent's daily amount is counted.
    ///
    /// # Errors
    /// NOT_AUTHORISED.
    pub fn speak_for(
        &self,
        overlay: &mut Overlay<'_>,
        context: &Context,
        entity: &Entity,
        use_: Use<'_>,
    ) -> Result<(), Stop> {
        let mut reason = "none of its keys signed";
        for (key, purpose) in self.keys {
            let Some(record) = entity.key(key).filter(|record| record.purpose == *purpose) else { continue };
            if !record.is_live(context.time_ms) {
                reason = "its key that signed is not valid now";
                continue;
            }
            match purpose {
                Purpose::LedgerSigning => return Ok(()),
                Purpose::Agent if agent_may(overlay, context, record, use_, self.moved)? => return Ok(()),
                Purpose::Agent => reason = "its agent's key signed outside its scope",
                _ => reason = "its key that signed has another purpose",
            }
        }
        let said = format!("entity {} did not sign: {reason}", entity.entity_id);
        Err(Refusal::new(Code::NotAuthorised, said).into())
    }
}

/// Whether `record` may do this, by its scope; counts the amount for the transaction and the day if so.
fn agent_may(
    overlay: &mut Overlay<'_>,
    context: &Context,
    record: &KeyRecord,
    use_: Use<'_>,
    moved: &Moved,
) -> Result<bool, Stop> {
    let Some(scope) = &record.scope else { return Ok(false) };
    let named = scope.contracts.iter().any(|contract| contract.as_str() == use_.contract)
        && scope.commands.contains(&use_.command)
        && scope.expires_at.is_none_or(|expires| context.time_ms < expires);
    if !named {
        return Ok(false);
    }
    let Some(amount) = use_.amount else { return Ok(true) };
    let within = |max: &Option<Amount>, units: u128| {
        max.as_ref().is_none_or(|max| max.denom == amount.denom && units <= max.units.0)
    };
    let mut moved = moved.0.borrow_mut();
    let of_tx = moved.entry((record.key_id, amount.denom.clone())).or_default();
    let Some(in_tx) = of_tx.checked_add(amount.units.0) else { return Ok(false) };
    if !within(&scope.amount_per_tx_max, in_tx) {
        return Ok(false);
    }
    *of_tx = in_tx;
    if scope.amount_per_day_max.is_none() {
        return Ok(true);
    }
    let key = StateKey::agent_day(&record.key_id, &amount.denom);
    let today = context.time_ms / DAY_MS;
    let counted: Option<AgentDay> = overlay.get(&key)?;
    let before = counted.filter(|counted| counted.day == today).map_or(0, |counted| counted.units.0);
    let Some(total) = before.checked_add(amount.units.0) else { return Ok(false) };
    if !within(&scope.amount_per_day_max, total) {
        return Ok(false);
    }
    overlay.put(key, &AgentDay { day: today, units: Units(total) });
    Ok(true)
}
