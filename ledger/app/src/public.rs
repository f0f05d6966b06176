//! Public mode (section 3.4): every node sees the whole transaction and runs its contracts. The rules are those that
//! participants run; what they are told is read from the state.

use std::collections::{BTreeMap, BTreeSet};

use stateset_contracts::{Facts, Proven, Resolved, Transaction, judge, registry as contracts};
use stateset_ledger_types::anchor::ANCHOR;
use stateset_ledger_types::bank::BANK;
use stateset_ledger_types::body::{OutputState, Participant};
use stateset_ledger_types::codec::Decode;
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::envelope::PublicTx;
use stateset_ledger_types::governance::ContractSet;
use stateset_ledger_types::ids::{EntityId, SettlementId, StateRef, TxId};
use stateset_ledger_types::keys::{PublicKey, Purpose};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::registry::{Promote, PublicOutput, REGISTRY, RegistryCommand};
use stateset_ledger_types::tree::{Group, Mode};
use stateset_ledger_types::{Code, Refusal, StateKey};

use crate::context::Context;
use crate::members::{Moved, Signers, Use};
use crate::overlay::{Overlay, Stop};
use crate::{anchor, bank, registry};

/// Most members who take part in the states of one Public transaction: each costs every node the read of a record.
const MEMBERS_MAX: usize = 64;

/// Runs commands and contracts of a transaction whose notary checks have passed. Returns what the last command answers.
///
/// # Errors
/// The codes of the contracts; NOT_FOUND for an input that is nowhere public, NULLIFIER_MISMATCH, PROMOTION_REFUSED,
/// CONTRACT_UNKNOWN, UNSUPPORTED.
pub fn execute(
    overlay: &mut Overlay<'_>,
    context: &Context,
    tx_id: &TxId,
    request: &PublicTx,
) -> Result<Vec<u8>, Stop> {
    let promoted = promotions(overlay, request)?;
    let states = !(request.content.body.inputs.is_empty() && request.content.body.outputs.is_empty());
    let moved = Moved::default();
    if states {
        self::states(overlay, context, tx_id, request, &promoted, &moved)?;
    } else if !promoted.is_empty() {
        return Err(Refusal::new(Code::PromotionRefused, "nothing that is promoted is consumed").into());
    }
    commands(overlay, context, tx_id, request, &moved)
}

/// Commands of the chain's own contracts, in order. Those of others are judged with their states.
fn commands(
    overlay: &mut Overlay<'_>,
    context: &Context,
    tx_id: &TxId,
    request: &PublicTx,
    moved: &Moved,
) -> Result<Vec<u8>, Stop> {
    let body = &request.content.body;
    let signed: Vec<(PublicKey, Purpose)> =
        request.signatures.iter().map(|signed| (signed.key, signed.purpose)).collect();
    let mut data = Vec::new();
    for (place, command) in (0..).zip(body.commands.iter()) {
        // A key that signed the transaction speaks in a command only where the command lists it.
        let listed: Vec<(PublicKey, Purpose)> =
            signed.iter().filter(|(key, _)| command.signers.contains(key)).copied().collect();
        let signers = Signers { keys: &listed, moved };
        match command.contract_id.as_str() {
            BANK => {
                let id = SettlementId::of(tx_id, place);
                let mut call = bank::Call { overlay, context, signers, id, tag: command.tag };
                data = bank::execute(&mut call, &command.args)?;
            }
            ANCHOR => data = anchor::execute(overlay, context, signers, command.tag, &command.args)?,
            REGISTRY => data = registry::execute(overlay, context, signers, command.tag, &command.args)?,
            other
                if body.inputs.is_empty()
                    && body.outputs.is_empty()
                    && contracts::find(&command.contract_id).is_some() =>
            {
                let said =
                    format!("command {place} of {other} moves no state: none is consumed and none is made");
                return Err(Refusal::new(Code::BadTransition, said).into());
            }
            other if body.inputs.is_empty() && body.outputs.is_empty() => {
                let said = format!("no contract {other} runs in Public mode on this network");
                return Err(Refusal::new(Code::ContractUnknown, said).into());
            }
            _ => {}
        }
    }
    Ok(data)
}

/// Outputs of private transactions that the commands show, by place.
fn promotions(overlay: &Overlay<'_>, request: &PublicTx) -> Result<BTreeMap<StateRef, PublicOutput>, Stop> {
    let mut found = BTreeMap::new();
    for command in request.content.body.commands.iter().filter(|it| it.contract_id.as_str() == REGISTRY) {
        if let RegistryCommand::Promote(promote) = registry::read(command.tag, &command.args)? {
            let (place, shown) = promotion(overlay, request, &promote)?;
            if found.insert(place, shown).is_some() {
                return Err(refused("an output is promoted twice").into());
            }
        }
    }
    Ok(found)
}

fn refused(said: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::PromotionRefused, said)
}

/// The output that a promotion shows: part of a transaction that was notarised, and not in public.
fn promotion(
    overlay: &Overlay<'_>,
    request: &PublicTx,
    promote: &Promote,
) -> Result<(StateRef, PublicOutput), Stop> {
    let tear_off = &promote.tear_off;
    if tear_off.chain_id != request.content.body.header.0.chain_id {
        return Err(refused("the tear-off is of another chain").into());
    }
    let tx_id = tear_off.tx_id().map_err(refused)?;
    let record: Option<NotaryRecord> = overlay.get(&StateKey::tx(&tx_id))?;
    let record = record.ok_or_else(|| refused(format!("{tx_id} is not notarised")))?;
    if record.mode != tear_off.mode || record.mode == Mode::Public {
        return Err(refused(format!("{tx_id} was notarised in mode {:?}", record.mode)).into());
    }
    let missing = || refused(format!("the tear-off does not show output {}", promote.index));
    let shown = tear_off.shown(Group::Outputs, promote.index).ok_or_else(missing)?;
    let output = OutputState::from_sce(&shown.component).map_err(refused)?;
    let contract = contracts::of_type(output.type_id).filter(|contract| contract.id() == output.contract_id);
    if !contract.is_some_and(|contract| contract.may_be_promoted()) {
        let said = format!("states of type {} of {} are not promoted", output.type_id, output.contract_id);
        return Err(refused(said).into());
    }
    Ok((StateRef { tx_id, index: promote.index }, PublicOutput { nonce: shown.nonce, output }))
}

/// Judges the states that the transaction consumes and makes, and writes them.
fn states(
    overlay: &mut Overlay<'_>,
    context: &Context,
    tx_id: &TxId,
    request: &PublicTx,
    promoted: &BTreeMap<StateRef, PublicOutput>,
    moved: &Moved,
) -> Result<(), Stop> {
    let (whole, body) = (&request.content, &request.content.body);
    if !body.references.is_empty() {
        let said =
            "a Public transaction on states has no references: the chain cannot show them to contracts";
        return Err(Refusal::new(Code::Unsupported, said).into());
    }
    let inputs = inputs(overlay, body.inputs.iter(), promoted)?;
    let facts = facts(overlay, context, request, &inputs)?;
    let tx = Transaction {
        tx_id: *tx_id,
        mode: Mode::Public,
        whole,
        signatures: Some(&request.signatures),
        inputs: &inputs,
        references: &[],
    };
    judge(&tx, &facts)?;
    count_agents(overlay, context, request, &inputs, &facts, moved)?;
    for input in &inputs {
        overlay.delete(StateKey::utxo(&input.place));
    }
    for (index, output) in (0..).zip(body.outputs.iter()) {
        let nonce = whole.salt.nonce(Group::Outputs, index);
        let place = StateRef { tx_id: *tx_id, index };
        overlay.put(StateKey::utxo(&place), &PublicOutput { nonce, output: output.clone() });
    }
    Ok(())
}

/// Each input from where it is public, or as it is promoted. Whether it is consumed already, its spent key has told.
fn inputs<'a>(
    overlay: &Overlay<'_>,
    places: impl Iterator<Item = &'a StateRef>,
    promoted: &BTreeMap<StateRef, PublicOutput>,
) -> Result<Vec<Resolved>, Stop> {
    let mut found: Vec<Resolved> = Vec::new();
    for place in places {
        let public: Option<PublicOutput> = overlay.get(&StateKey::utxo(place))?;
        let state = public.or_else(|| promoted.get(place).cloned()).ok_or_else(|| {
            let said = format!("output {} of {} is not public: promote it", place.index, place.tx_id);
            Refusal::new(Code::NotFound, said)
        })?;
        found.push(Resolved { place: *place, nonce: state.nonce, output: state.output });
    }
    if let Some(unused) = promoted.keys().find(|place| !found.iter().any(|input| input.place == **place)) {
        return Err(refused(format!("output {} of {} is not consumed", unused.index, unused.tx_id)).into());
    }
    Ok(found)
}

/// What the state tells of those who take part and of the payments that are named.
fn facts(
    overlay: &Overlay<'_>,
    context: &Context,
    request: &PublicTx,
    inputs: &[Resolved],
) -> Result<Facts, Stop> {
    let body = &request.content.body;
    let set: ContractSet = overlay.expect(&StateKey::contract_set())?;
    let mut facts = Facts::new(context.chain_id.clone(), context.time_ms, context.params.clone(), set);
    facts.params_hashes.extend(context.params_hashes.iter().copied());
    let states = inputs.iter().map(|input| &input.output).chain(body.outputs.iter());
    for id in members(states)? {
        if let Some(entity) = overlay.get::<Entity>(&StateKey::entity(&id))? {
            facts.entities.insert(id, entity);
        }
    }
    for evidence in stateset_contracts::validate::evidence(body)? {
        if let Some(settlement) = overlay.get(&StateKey::settlement(&evidence.settlement))? {
            // Read now: as fresh as can be, whatever height the evidence names.
            let proven = Proven { settlement, height: evidence.height, time_ms: context.time_ms };
            facts.settlements.insert(evidence.settlement, proven);
        }
    }
    Ok(facts)
}

/// Who takes part in states.
fn members<'a>(states: impl Iterator<Item = &'a OutputState>) -> Result<BTreeSet<EntityId>, Refusal> {
    let mut found = BTreeSet::new();
    for participant in states.flat_map(|state| state.participants.iter()) {
        let Participant::Entity(id) = participant else {
            let said =
                "one-time keys take part in private states only: nobody tells the chain whose they are";
            return Err(Refusal::new(Code::Unsupported, said));
        };
        found.insert(*id);
        if found.len() > MEMBERS_MAX {
            let said = format!("more than {MEMBERS_MAX} members take part in the states");
            return Err(Refusal::new(Code::TooLarge, said));
        }
    }
    Ok(found)
}

/// Agents' keys that sign for states: inside their scope, amounts of the day counted (1.2).
fn count_agents(
    overlay: &mut Overlay<'_>,
    context: &Context,
    request: &PublicTx,
    inputs: &[Resolved],
    facts: &Facts,
    moved: &Moved,
) -> Result<(), Stop> {
    let own: Vec<&OutputState> = inputs.iter().map(|input| &input.output).collect();
    for command in request.content.body.commands.iter() {
        let Some(contract) = contracts::find(&command.contract_id) else { continue };
        let stake = contract.stake(command.tag, &command.args, &own)?;
        for key in command.signers.iter() {
            let Some((signer, Purpose::Agent)) = facts.signer(key) else { continue };
            let id: EntityId = signer.entity;
            let entity = facts.admitted(&id)?;
            let use_ =
                Use { contract: command.contract_id.as_str(), command: command.tag, amount: stake.as_ref() };
            let keys = [(*key, Purpose::Agent)];
            Signers { keys: &keys, moved }.speak_for(overlay, context, entity, use_)?;
        }
    }
    Ok(())
}
