//! The records that a proposal replaces, as they were when it was made: an EntityUpdate names a whole record, and must not take back
//! what was decided on it meanwhile, as a suspension.

use stateset_ledger_types::codec::{Encode as _, List};
use stateset_ledger_types::entity::{Compliance, Entity};
use stateset_ledger_types::governance::{Action, Proposal, RecordBase, RecordBases};
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::{Code, Refusal, StateKey};
use ves::Digest;
use ves::hash::Hasher;

use crate::application::Fault;
use crate::overlay::{Overlay, Stop};

/// Notes the records that `proposal` is to replace.
///
/// # Errors
/// [`Fault`].
pub(super) fn note(overlay: &mut Overlay<'_>, proposal: &Proposal) -> Result<(), Fault> {
    let mut records = Vec::new();
    for action in proposal.content.actions.iter() {
        if let Action::EntityUpdate(update) = action
            && let Some(hash) = hash(overlay, &update.record.entity_id)?
        {
            records.push(RecordBase { entity: update.record.entity_id, hash });
        }
    }
    if !records.is_empty() {
        let records = List::new(records).expect("no more than actions");
        overlay.put(StateKey::record_bases(proposal.id), &RecordBases { records });
    }
    Ok(())
}

/// Refuses a proposal whose records are not those that it was made for.
///
/// # Errors
/// INVARIANT, naming the first.
pub(super) fn unchanged(overlay: &Overlay<'_>, proposal: &Proposal) -> Result<(), Stop> {
    let noted: Option<RecordBases> = overlay.get(&StateKey::record_bases(proposal.id))?;
    for base in noted.iter().flat_map(|noted| noted.records.iter()) {
        if hash(overlay, &base.entity)? != Some(base.hash) {
            let said = format!("the record of {} has changed since this was proposed", base.entity);
            return Err(Refusal::new(Code::Invariant, said).into());
        }
    }
    Ok(())
}

/// In the place of each profile: others write them.
const NO_PROFILE: Compliance = Compliance { kyc_level: 0, risk: 0, sanctioned: false, expires_at: 0 };

fn hash(overlay: &Overlay<'_>, id: &EntityId) -> Result<Option<Digest>, Fault> {
    let entity: Option<Entity> = overlay.get(&StateKey::entity(id))?;
    Ok(entity.map(|entity| {
        let judged = Entity { compliance: NO_PROFILE, ..entity };
        Hasher::bare().bytes(&judged.to_sce()).finish()
    }))
}
