//! The network's registry in Public mode: fingerprints of financed invoices (11.12) and compliance profiles (1.1).
//! Promotions are read with the states that they show ([`crate::public`]).

use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::registry::{
    FingerprintRecord, REGISTRY, RecordFingerprint, RegistryCommand, SetCompliance,
};
use stateset_ledger_types::{Code, Decode, Refusal, StateKey};

use crate::context::Context;
use crate::members::{self, Signers, Use};
use crate::overlay::{Overlay, Stop};

/// Reads a command.
///
/// # Errors
/// MALFORMED, TOO_LARGE.
pub fn read(tag: u16, args: &[u8]) -> Result<RegistryCommand, Refusal> {
    Ok(RegistryCommand::from_sce(&[&tag.to_be_bytes(), args].concat())?)
}

/// Executes one command; what it is about is the result's data.
///
/// # Errors
/// NOT_AUTHORISED, UNKNOWN_ENTITY, ENTITY_NOT_ACTIVE, DUPLICATE_FINANCE.
pub fn execute(
    overlay: &mut Overlay<'_>,
    context: &Context,
    signers: Signers<'_>,
    tag: u16,
    args: &[u8],
) -> Result<Vec<u8>, Stop> {
    let use_ = Use { contract: REGISTRY, command: tag, amount: None };
    match read(tag, args)? {
        RegistryCommand::RecordFingerprint(command) => {
            record_fingerprint(overlay, context, signers, use_, &command)?;
            Ok(command.fingerprint.0.to_vec())
        }
        RegistryCommand::Promote(_) => Ok(Vec::new()),
        RegistryCommand::SetCompliance(command) => {
            set_compliance(overlay, context, signers, use_, &command)?;
            Ok(command.entity.0.to_vec())
        }
    }
}

fn record_fingerprint(
    overlay: &mut Overlay<'_>,
    context: &Context,
    signers: Signers<'_>,
    use_: Use<'_>,
    command: &RecordFingerprint,
) -> Result<(), Stop> {
    let factor = members::active(overlay, context, &command.factor)?;
    members::require(&factor, Role::Member)?;
    signers.speak_for(overlay, context, &factor, use_)?;
    let key = StateKey::fingerprint(&command.fingerprint);
    if let Some(record) = overlay.get::<FingerprintRecord>(&key)? {
        let said = format!("the invoice is financed by {} since height {}", record.factor, record.height);
        return Err(Refusal::new(Code::DuplicateFinance, said).into());
    }
    overlay.put(key, &FingerprintRecord { factor: command.factor, height: context.height });
    Ok(())
}

fn set_compliance(
    overlay: &mut Overlay<'_>,
    context: &Context,
    signers: Signers<'_>,
    use_: Use<'_>,
    command: &SetCompliance,
) -> Result<(), Stop> {
    let officer = members::active(overlay, context, &command.by)?;
    members::require(&officer, Role::Compliance)?;
    signers.speak_for(overlay, context, &officer, use_)?;
    let key = StateKey::entity(&command.entity);
    let entity: Option<Entity> = overlay.get(&key)?;
    let unknown = || Refusal::new(Code::UnknownEntity, format!("{} is no entity", command.entity));
    let entity = entity.ok_or_else(unknown)?;
    if entity.entity_id == command.by {
        return Err(Refusal::new(Code::NotAuthorised, "nobody writes its own compliance profile").into());
    }
    overlay.put(key, &Entity { compliance: command.profile, ..entity });
    Ok(())
}
