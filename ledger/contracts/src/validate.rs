//! Participants' validation (section 4.2): before signing, and of every transaction that is resolved.

use std::collections::BTreeMap;

use stateset_ledger_types::anchor::ANCHOR;
use stateset_ledger_types::bank::BANK;
use stateset_ledger_types::body::{Body, Command, HEADER_FORMAT, OutputState, SaltedBody};
use stateset_ledger_types::governance::ContractSet;
use stateset_ledger_types::ids::{ContractId, Nullifier, StateRef, TxId};
use stateset_ledger_types::keys::{BusinessSignature, business_message};
use stateset_ledger_types::policy::{blind, nullifier};
use stateset_ledger_types::registry::REGISTRY;
use stateset_ledger_types::tree::{Group, Mode, Nonce};
use stateset_ledger_types::{Code, Refusal};

use crate::contract::{CommandView, Seen, SignerView, TxView};
use crate::evidence::PaymentEvidence;
use crate::facts::Facts;
use crate::registry;

/// An output of an earlier transaction, with what consuming it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub place: StateRef,
    /// Of its leaf in the transaction that made it.
    pub nonce: Nonce,
    pub output: OutputState,
}

impl Resolved {
    /// Output `index` of a transaction; `None` beyond the last.
    pub fn of(whole: &SaltedBody, tx_id: &TxId, index: u32) -> Option<Self> {
        let output = whole.body.outputs.get(usize::try_from(index).ok()?)?.clone();
        let place = StateRef { tx_id: *tx_id, index };
        Some(Self { place, nonce: whole.salt.nonce(Group::Outputs, index), output })
    }

    /// What consuming it publishes (3.3).
    pub fn nullifier(&self) -> Nullifier {
        nullifier(&blind(&self.place, &self.nonce), &self.output.policy.hash())
    }
}

/// A transaction with everything that it rests on. That the inputs and references were made by valid transactions is the
/// caller's to know (8.3).
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    pub tx_id: TxId,
    pub mode: Mode,
    pub whole: &'a SaltedBody,
    /// `None` while they are being collected: the window need not be open, and signatures are not asked for.
    pub signatures: Option<&'a [BusinessSignature]>,
    /// In the order of group 7.
    pub inputs: &'a [Resolved],
    /// In the order of group 3.
    pub references: &'a [Resolved],
}

/// Whether a participant may sign `tx`, or take it as valid: steps 1 to 10 of section 4.2, as far as they rest on the
/// transaction and on `facts`.
///
/// # Errors
/// The code of the first step that fails; among them NULLIFIER_MISMATCH (step 6) for a transaction that was notarised under
/// another list than the derived one.
pub fn validate(tx: &Transaction<'_>, facts: &Facts) -> Result<(), Refusal> {
    steps(tx, facts, true)
}

/// [`validate`] of a transaction whose signatures the caller has verified.
///
/// # Errors
/// As of [`validate`].
pub fn judge(tx: &Transaction<'_>, facts: &Facts) -> Result<(), Refusal> {
    steps(tx, facts, false)
}

fn steps(tx: &Transaction<'_>, facts: &Facts, verifies: bool) -> Result<(), Refusal> {
    let body = &tx.whole.body;
    has_its_id(tx, facts)?;
    resolves(tx)?;
    encumbrances(tx)?;
    if let Some(signatures) = tx.signatures {
        if verifies {
            verify_signatures(tx, facts, signatures)?;
        }
        signed(tx, signatures)?;
    }
    let set = contract_set(body, facts)?;
    contracts(tx, facts, set)?;
    nullifiers(tx)?;
    window(tx, facts)?;
    if !facts.params_hashes.contains(&body.header.0.params_hash) {
        let said = "the header's params_hash held at no height within the grace";
        return Err(Refusal::new(Code::ParamsMismatch, said));
    }
    for participant in body.outputs.iter().flat_map(|output| output.participants.iter()) {
        let unbound = || Refusal::new(Code::UnknownEntity, "a participant's key is not bound to an entity");
        facts.admitted(&facts.participant(participant).ok_or_else(unbound)?)?;
    }
    Ok(())
}

/// The payments that a transaction's commands rest on; to be proven before [`validate`] is asked.
///
/// # Errors
/// MALFORMED, CONTRACT_UNKNOWN for a contract that is not compiled in.
pub fn evidence(body: &Body) -> Result<Vec<PaymentEvidence>, Refusal> {
    let mut found = Vec::new();
    for command in body.commands.iter().filter(|command| !is_of_chain(&command.contract_id)) {
        let id = &command.contract_id;
        let unknown = || Refusal::new(Code::ContractUnknown, format!("this program has no contract {id}"));
        found.extend(registry::find(id).ok_or_else(unknown)?.evidence(command.tag, &command.args)?);
    }
    Ok(found)
}

/// Step 1.
fn has_its_id(tx: &Transaction<'_>, facts: &Facts) -> Result<(), Refusal> {
    let header = &tx.whole.body.header.0;
    if header.format != HEADER_FORMAT {
        return Err(Refusal::new(Code::Malformed, format!("header format {} is not known", header.format)));
    }
    if header.chain_id != facts.chain_id {
        let said = format!("the header names chain {}, this is {}", header.chain_id, facts.chain_id);
        return Err(Refusal::new(Code::BadTxId, said));
    }
    let found = tx.whole.tx_id(tx.mode);
    if found != tx.tx_id {
        return Err(Refusal::new(Code::BadTxId, format!("the body is that of {found}, not of {}", tx.tx_id)));
    }
    Ok(())
}

/// Steps 2 and 7: every input and reference is at hand, in order.
fn resolves(tx: &Transaction<'_>) -> Result<(), Refusal> {
    let body = &tx.whole.body;
    let places: Vec<StateRef> = tx.inputs.iter().map(|input| input.place).collect();
    if places != *body.inputs {
        return Err(Refusal::new(Code::NotFound, "the inputs are not resolved, one for each of group 7"));
    }
    let keys: Vec<_> = tx.references.iter().map(|state| state.nullifier().spent_key()).collect();
    if keys != *body.references {
        return Err(Refusal::new(Code::NotFound, "the references are not resolved, one for each of group 3"));
    }
    Ok(())
}

/// Step 3.
fn encumbrances(tx: &Transaction<'_>) -> Result<(), Refusal> {
    let broken = |said: String| Err(Refusal::new(Code::Invariant, said));
    for input in tx.inputs {
        let Some(index) = input.output.encumbrance else { continue };
        let with = StateRef { tx_id: input.place.tx_id, index };
        if !tx.whole.body.inputs.contains(&with) {
            return broken(format!(
                "{}/{} is consumed together with output {index}",
                with.tx_id, input.place.index
            ));
        }
    }
    let outputs = &tx.whole.body.outputs;
    for (place, output) in (0u32..).zip(outputs.iter()) {
        if output.encumbrance.is_some_and(|with| with == place || with as usize >= outputs.len()) {
            return broken(format!("output {place} is encumbered by no other output"));
        }
    }
    Ok(())
}

fn verify_signatures(
    tx: &Transaction<'_>,
    facts: &Facts,
    signatures: &[BusinessSignature],
) -> Result<(), Refusal> {
    for (place, signed) in signatures.iter().enumerate() {
        let message = business_message(&facts.chain_id, &tx.tx_id, signed.purpose, &signed.key);
        if !signed.key.verify(&message.0, &signed.signature) {
            return Err(Refusal::new(Code::BadSignature, format!("business signature {place} is wrong")));
        }
    }
    Ok(())
}

/// Step 4: every key that a command lists signed.
fn signed(tx: &Transaction<'_>, signatures: &[BusinessSignature]) -> Result<(), Refusal> {
    for (place, command) in tx.whole.body.commands.iter().enumerate() {
        for key in command.signers.iter() {
            if !signatures.iter().any(|signed| signed.key == *key) {
                let said = format!("command {place} lists key {}, which did not sign", key.id());
                return Err(Refusal::new(Code::NotAuthorised, said));
            }
        }
    }
    Ok(())
}

/// The set of step 9 that the header names.
fn contract_set<'f>(body: &Body, facts: &'f Facts) -> Result<&'f ContractSet, Refusal> {
    let named = body.header.0.contract_set_hash;
    facts.contract_sets.iter().find(|set| set.hash() == named).ok_or_else(|| {
        let said = "the header's contract_set_hash held at no height within the grace";
        Refusal::new(Code::ParamsMismatch, said)
    })
}

/// What the chain itself executes in Public mode.
fn is_of_chain(contract: &ContractId) -> bool {
    [BANK, ANCHOR, REGISTRY].contains(&contract.as_str())
}

/// Step 5: every contract that an input or output names accepts; no command names another one.
fn contracts(tx: &Transaction<'_>, facts: &Facts, set: &ContractSet) -> Result<(), Refusal> {
    let body = &tx.whole.body;
    // By contract, whether a state of it is made.
    let mut touched: BTreeMap<&ContractId, bool> = BTreeMap::new();
    for (state, makes) in tx
        .inputs
        .iter()
        .map(|input| (&input.output, false))
        .chain(body.outputs.iter().map(|output| (output, true)))
    {
        let owner = registry::of_type(state.type_id).map(|contract| contract.id());
        if owner.as_ref() != Some(&state.contract_id) {
            let said = format!("{} has no states of type {}", state.contract_id, state.type_id);
            return Err(Refusal::new(Code::ContractUnknown, said));
        }
        *touched.entry(&state.contract_id).or_default() |= makes;
    }
    for (place, command) in body.commands.iter().enumerate() {
        let by_chain = tx.mode == Mode::Public && is_of_chain(&command.contract_id);
        if !touched.contains_key(&command.contract_id) && !by_chain {
            let id = &command.contract_id;
            let said = format!("command {place} is of {id}, no state of which is touched");
            let known = registry::find(id).is_some();
            return Err(Refusal::new(if known { Code::BadTransition } else { Code::ContractUnknown }, said));
        }
    }
    for (id, makes) in touched {
        let contract = registry::running(set, id, makes)?;
        if contract.is_public_only() && tx.mode != Mode::Public {
            return Err(Refusal::new(Code::Invariant, format!("states of {id} live in Public mode only")));
        }
        contract.verify(&view(tx, facts, contract.types(), id)?)?;
    }
    Ok(())
}

fn view<'a>(
    tx: &Transaction<'a>,
    facts: &'a Facts,
    types: &[u16],
    contract: &ContractId,
) -> Result<TxView<'a>, Refusal> {
    let body = &tx.whole.body;
    let seen = |state: &'a OutputState| match types.contains(&state.type_id) {
        true => Seen::Own(state),
        false => Seen::Other { type_id: state.type_id, linear_id: state.linear_id },
    };
    let commands = body.commands.iter().filter(|command| command.contract_id == *contract);
    Ok(TxView {
        inputs: tx.inputs.iter().map(|input| seen(&input.output)).collect(),
        outputs: body.outputs.iter().map(seen).collect(),
        references: tx.references.iter().map(|state| seen(&state.output)).collect(),
        commands: commands.map(|command| command_view(command, tx, facts)).collect::<Result<_, _>>()?,
        attachments: &body.attachments,
        window: body.time_window.first(),
        facts,
    })
}

fn command_view<'a>(
    command: &'a Command,
    tx: &Transaction<'a>,
    facts: &'a Facts,
) -> Result<CommandView<'a>, Refusal> {
    let signers: Vec<SignerView<'a>> = command
        .signers
        .iter()
        .map(|key| {
            let unknown = || {
                let said = format!("key {} is no live key of an entity that takes part", key.id());
                Refusal::new(Code::NotAuthorised, said)
            };
            let (signer, purpose) = facts.signer(key).ok_or_else(unknown)?;
            // A signature counts for the purpose that it was made for.
            let given = tx.signatures.is_none_or(|signatures| {
                signatures.iter().any(|signed| signed.key == *key && signed.purpose == purpose)
            });
            given.then_some(signer).ok_or_else(|| {
                let said = format!("key {} did not sign with purpose {purpose:?}", key.id());
                Refusal::new(Code::NotAuthorised, said)
            })
        })
        .collect::<Result<_, Refusal>>()?;
    Ok(CommandView { tag: command.tag, args: &command.args, signers })
}

/// Step 6.
fn nullifiers(tx: &Transaction<'_>) -> Result<(), Refusal> {
    let derived: Vec<Nullifier> = tx.inputs.iter().map(Resolved::nullifier).collect();
    if derived != *tx.whole.body.nullifiers {
        let said = "the nullifiers are not those of the inputs";
        return Err(Refusal::new(Code::NullifierMismatch, said));
    }
    Ok(())
}

/// Step 8. Before it is notarised, a window may still open.
fn window(tx: &Transaction<'_>, facts: &Facts) -> Result<(), Refusal> {
    let Some(window) = tx.whole.body.time_window.first() else { return Ok(()) };
    let time = facts.time_ms;
    if let Some(from) = window.from_ms.filter(|from| tx.signatures.is_some() && time < *from) {
        return Err(Refusal::new(Code::WindowNotOpen, format!("opens at {from} ms, the block is of {time}")));
    }
    if let Some(until) = window.until_ms.filter(|until| *until <= time) {
        return Err(Refusal::new(Code::WindowClosed, format!("closed at {until} ms, the time is {time}")));
    }
    Ok(())
}
