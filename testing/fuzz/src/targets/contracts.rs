//! Contracts of the shared ledger: contents and commands as they come from other companies, and lives made of any commands.

use stateset_contracts::invoice::{Adjustment, FactorIt, Finance, Pay, SettleDispute, Terms, Transfer};
use stateset_contracts::rules::{args, check_invariants, read_args};
use stateset_contracts::{
    Facts, Invoice, InvoiceCommand, Move, PaymentEvidence, Proven, Resolved, StateType, Transaction,
    assemble, draft, registry, validate,
};
use stateset_ledger_types::bank::{Settlement, SettlementKind, SettlementStatus, payment_reference};
use stateset_ledger_types::body::{Header, SaltedBody, TimeWindow};
use stateset_ledger_types::codec::{Blob, List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Role, Roles};
use stateset_ledger_types::ids::{
    Amount, ChainId, Denom, EntityId, LinearId, SettlementId, StateRef, TxId, Units,
};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose};
use stateset_ledger_types::registry::{PublicOutput, RegistryCommand};
use stateset_ledger_types::tree::{Mode, Nonce, Salt};
use stateset_ledger_types::{Decode, Encode, Params};
use ves::Digest;

use super::ledger::canonical;
use crate::Input;

const LINEAR: LinearId = LinearId([9; 16]);
const NOW: u64 = 1_000_000;

/// The first byte says as what the others are read.
pub fn values(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 6 {
        0 => canonical::<Invoice>(bytes),
        1 => canonical::<InvoiceCommand>(bytes),
        2 => canonical::<PaymentEvidence>(bytes),
        3 => canonical::<RegistryCommand>(bytes),
        4 => canonical::<PublicOutput>(bytes),
        _ => {
            let Some((tag, bytes)) = bytes.split_first() else { return false };
            let Ok((linear_id, command)) = read_args::<Invoice>((*tag).into(), bytes) else { return false };
            assert_eq!(args::<Invoice>(&linear_id, &command), bytes, "one encoding of arguments");
            true
        }
    }
}

pub fn value_seeds() -> Vec<Vec<u8>> {
    let facts = facts();
    let made = create(&facts);
    let arguments = |command: &InvoiceCommand| {
        [vec![5, Invoice::tag(command) as u8], args::<Invoice>(&LINEAR, command)].concat()
    };
    let commands = commands();
    let invoices = [invoice(&facts), factored(&facts)].map(|invoice| [vec![0], invoice.to_sce()].concat());
    let public = PublicOutput { nonce: Nonce([1; 32]), output: made };
    let evidence = [vec![2], evidence().to_sce()].concat();
    commands
        .iter()
        .map(|command| [vec![1], command.to_sce()].concat())
        .chain(commands.iter().map(arguments))
        .chain(invoices)
        .chain([evidence, [vec![4], public.to_sce()].concat()])
        .collect()
}

/// Commands behind u16 lengths, one after another on one invoice: what is drafted keeps the invariants, and passes
/// participants' validation.
pub fn life(data: &[u8]) -> bool {
    let facts = facts();
    let mut state = invoice(&facts);
    let mut input = Input::new(data);
    let mut moved = false;
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        let length = input.below(2_048);
        let bytes: Vec<u8> = (0..length).map_while(|_| (!input.is_empty()).then(|| input.byte())).collect();
        let Ok(command) = InvoiceCommand::from_sce(&bytes) else { continue };
        let step = Move { linear_id: LINEAR, before: Some(&state), command, at_ms: NOW };
        let Ok(made) = draft(&step, &window(), &facts, &|entity| facts.ledger_key(entity)) else { continue };
        let next = made.content.expect("an invoice never goes");
        assert_eq!(check_invariants(&next), Ok(()));
        assert_eq!(next.head.version, state.head.version + 1);
        assert!(!Invoice::table().is_terminal(state.head.status), "nothing leads on from an end");
        judged(&facts, &state, made.command, made.output);
        (state, moved) = (next, true);
    }
    moved
}

pub fn life_seeds() -> Vec<Vec<u8>> {
    let one = |command: &InvoiceCommand| {
        let bytes = command.to_sce();
        [(bytes.len() as u16).to_be_bytes().to_vec(), bytes].concat()
    };
    let all: Vec<Vec<u8>> = commands().iter().map(one).collect();
    all.iter().cloned().chain([all.concat()]).collect()
}

/// A drafted step as a transaction that everyone is asked to sign.
fn judged(
    facts: &Facts,
    before: &Invoice,
    command: stateset_ledger_types::body::Command,
    output: Option<stateset_ledger_types::body::OutputState>,
) {
    let mut state = create(facts);
    state.content = Blob::new(before.to_sce()).expect("a content fits");
    let place = StateRef { tx_id: TxId([1; 32]), index: 0 };
    let inputs = [Resolved { place, nonce: Nonce([2; 32]), output: state }];
    let body = assemble(header(), window(), &inputs, [(command, output)]).expect("one of each");
    let whole = SaltedBody { salt: Salt([3; 32]), body };
    let tx_id = whole.tx_id(Mode::Private);
    let tx = Transaction {
        tx_id,
        mode: Mode::Private,
        whole: &whole,
        signatures: None,
        inputs: &inputs,
        references: &[],
    };
    assert_eq!(validate(&tx, facts), Ok(()), "what is drafted passes");
}

fn key(n: u8) -> PublicKey {
    PublicKey::ed25519(ves::SigningKey::from_seed([n; 32]).public_key())
}

fn entity(n: u8) -> Entity {
    Entity {
        entity_id: EntityId([n; 20]),
        name: Text::default(),
        jurisdiction: Text::default(),
        registration_no: Text::default(),
        lei: None,
        cert_hash: Digest([n; 32]),
        keys: List::new([KeyRecord::new(Purpose::LedgerSigning, key(n))]).expect("one key"),
        roles: Roles::of(&[Role::Member]),
        issuer_of: Set::default(),
        status: EntityStatus::Admitted,
        suspended_until: None,
        voting_power: 1,
        quota: Quota::default(),
        compliance: Compliance { kyc_level: 0, risk: 0, sanctioned: false, expires_at: u64::MAX },
    }
}

fn facts() -> Facts {
    let chain = ChainId::new("ssn-test-1").expect("a chain id");
    let network = Facts::new(chain, NOW, Params::default(), registry::native_set());
    let mut facts = network.with_entities((1..=4).map(entity));
    let evidence = evidence();
    let settlement = Settlement {
        kind: SettlementKind::Instant,
        payer: EntityId([2; 20]),
        payee: EntityId([1; 20]).account(),
        amount: Amount { denom: Denom::new("eur").expect("a denomination"), units: Units(19) },
        fee: Units(0),
        status: SettlementStatus::Completed,
        reference: Some(payment_reference(&LINEAR, evidence.version, &evidence.blind)),
        height: 3,
    };
    let proven = Proven { settlement, height: evidence.height, time_ms: NOW };
    facts.settlements.insert(evidence.settlement, proven);
    facts
}

fn window() -> TimeWindow {
    TimeWindow { from_ms: Some(NOW), until_ms: Some(NOW + 1) }
}

fn header() -> Header {
    Header {
        format: 1,
        chain_id: ChainId::new("ssn-test-1").expect("a chain id"),
        not_before_height: 0,
        expires_height: 0,
        params_hash: Params::default().hash(),
        contract_set_hash: registry::native_set().hash(),
        attester_policy: None,
    }
}

fn terms() -> Box<Terms> {
    Box::new(Terms {
        number: Text::new("1").expect("short"),
        party: EntityId([1; 20]),
        counterparty: EntityId([2; 20]),
        extensions: Default::default(),
        name: Text::default(),
        billing_reason: Text::default(),
        denom: Denom::new("eur").expect("a denomination"),
        lines: List::default(),
        subtotal: Units(100),
        tax: Units(19),
        due_date: 1,
        period: None,
        po_ref: None,
        agreement_ref: None,
    })
}

fn evidence() -> PaymentEvidence {
    PaymentEvidence {
        settlement: SettlementId([1; 36]),
        height: 5,
        proof: Blob::default(),
        linear_id: LINEAR,
        version: 1,
        blind: Digest([5; 32]),
    }
}

fn commands() -> Vec<InvoiceCommand> {
    let adjusted = Adjustment { lines: List::default(), subtotal: Units(50), tax: Units(1) };
    let (advance, discount) = (Units(100), Units(19));
    let factor = EntityId([3; 20]);
    vec![
        InvoiceCommand::Create(terms()),
        InvoiceCommand::Accept(()),
        InvoiceCommand::Dispute(()),
        InvoiceCommand::SettleDispute(SettleDispute { adjusted: Some(adjusted) }),
        InvoiceCommand::MarkOverdue(()),
        InvoiceCommand::Transfer(Transfer { party: EntityId([4; 20]) }),
        InvoiceCommand::Pay(Pay { amount: Units(19), evidence: evidence() }),
        InvoiceCommand::Factor(FactorIt { factor, advance, discount, recourse: true, evidence: evidence() }),
        InvoiceCommand::Void(()),
    ]
}

fn create(facts: &Facts) -> stateset_ledger_types::body::OutputState {
    made(facts).1
}

fn invoice(facts: &Facts) -> Invoice {
    made(facts).0
}

fn made(facts: &Facts) -> (Invoice, stateset_ledger_types::body::OutputState) {
    let command = InvoiceCommand::Create(terms());
    let step = Move { linear_id: LINEAR, before: None, command, at_ms: NOW };
    let made = draft(&step, &window(), facts, &|entity| facts.ledger_key(entity)).expect("good terms");
    (made.content.expect("an invoice"), made.output.expect("an output"))
}

fn factored(facts: &Facts) -> Invoice {
    let finance = Finance { advance: Units(100), discount: Units(19), recourse: true, factored_at: NOW };
    Invoice { factor: Some(EntityId([3; 20])), finance: Some(finance), ..invoice(facts) }
}
