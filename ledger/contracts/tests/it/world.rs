//! A network in memory: members, payments, and transactions on invoices.

use std::collections::BTreeSet;

use stateset_contracts::invoice::{Finance, Line, Period, Terms};
use stateset_contracts::table::{From, To};
use stateset_contracts::{
    Draft, Facts, Invoice, InvoiceCommand, InvoiceStatus, Move, PaymentEvidence, Proven, Resolved, Row,
    StateType, Transaction, assemble, draft, registry, validate,
};
use stateset_ledger_types::bank::{Settlement, SettlementKind, SettlementStatus, payment_reference};
use stateset_ledger_types::body::{Header, OutputState, SaltedBody, TimeWindow};
use stateset_ledger_types::codec::{Blob, List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Role, Roles};
use stateset_ledger_types::ids::{
    Amount, ChainId, Denom, EntityId, LinearId, SettlementId, StateRef, TxId, Units,
};
use stateset_ledger_types::keys::{
    BusinessSignature, KeyRecord, PublicKey, Purpose, Signature, business_message,
};
use stateset_ledger_types::tree::{Mode, Nonce, Salt};
use stateset_ledger_types::{Params, Refusal};
use ves::Digest;

pub const SELLER: u8 = 1;
pub const BUYER: u8 = 2;
pub const BANK: u8 = 3;
pub const OTHER_BANK: u8 = 4;
pub const OTHER_SELLER: u8 = 5;
/// A time inside every window of these tests, and after the due date of [`terms`].
pub const NOW: u64 = 1_000_000;
pub const DUE: u64 = 900_000;

pub fn chain() -> ChainId {
    ChainId::new("ssn-test-1").unwrap()
}
pub fn id(n: u8) -> EntityId {
    EntityId([n; 20])
}
pub fn key_of(n: u8) -> ves::SigningKey {
    ves::SigningKey::from_seed([n; 32])
}
pub fn public_key(n: u8) -> PublicKey {
    PublicKey::ed25519(key_of(n).public_key())
}
pub fn linear() -> LinearId {
    LinearId([9; 16])
}
pub fn eur() -> Denom {
    Denom::new("eur").unwrap()
}

pub fn entity(n: u8) -> Entity {
    Entity {
        entity_id: id(n),
        name: Text::new(format!("Company {n}")).unwrap(),
        jurisdiction: Text::new("DE").unwrap(),
        registration_no: Text::default(),
        lei: None,
        cert_hash: Digest([n; 32]),
        keys: List::new([KeyRecord::new(Purpose::LedgerSigning, public_key(n))]).unwrap(),
        roles: Roles::of(&[Role::Member]),
        issuer_of: Set::default(),
        status: EntityStatus::Admitted,
        suspended_until: None,
        voting_power: 1,
        quota: Quota::default(),
        compliance: Compliance { kyc_level: 1, risk: 0, sanctioned: false, expires_at: u64::MAX },
    }
}

pub fn facts() -> Facts {
    Facts::new(chain(), NOW, Params::default(), registry::native_set()).with_entities((1..=6).map(entity))
}

pub fn window() -> TimeWindow {
    TimeWindow { from_ms: Some(NOW - 10), until_ms: Some(NOW + 10) }
}

pub fn header() -> Header {
    Header {
        format: 1,
        chain_id: chain(),
        not_before_height: 0,
        expires_height: 0,
        params_hash: Params::default().hash(),
        contract_set_hash: registry::native_set().hash(),
        attester_policy: None,
    }
}

pub fn line(quantity: u64, unit_price: u128) -> Line {
    Line {
        sku: Text::new("bolt").unwrap(),
        description: Text::default(),
        quantity,
        unit_price: Units(unit_price),
        total: Units(u128::from(quantity) * unit_price),
    }
}

/// 1000 and 190 tax.
pub fn terms() -> Terms {
    Terms {
        number: Text::new("2026-1").unwrap(),
        party: id(SELLER),
        counterparty: id(BUYER),
        extensions: Default::default(),
        name: Text::new("Bolts").unwrap(),
        billing_reason: Text::new("order 7").unwrap(),
        denom: eur(),
        lines: List::new([line(10, 60), line(4, 100)]).unwrap(),
        subtotal: Units(1_000),
        tax: Units(190),
        due_date: DUE,
        period: Some(Period { from_ms: 1, until_ms: 2 }),
        po_ref: None,
        agreement_ref: None,
    }
}

/// An invoice of [`terms`] in a status, with as much paid as the status allows; factored by [`BANK`] with recourse or not.
pub fn invoice(status: InvoiceStatus, paid: u128, factored: bool) -> Invoice {
    let mut invoice = Invoice::created(&InvoiceCommand::Create(Box::new(terms()))).unwrap();
    invoice.head.status = status.code();
    (invoice.head.version, invoice.head.created_at, invoice.head.updated_at) = (4, 10, 20);
    invoice.total = Units(1_190);
    invoice.amount_paid = Units(paid);
    invoice.amount_remaining = Units(1_190 - paid);
    invoice.active = !Invoice::table().is_terminal(status.code());
    if factored {
        invoice.factor = Some(id(BANK));
        let (advance, discount) = (Units(1_000u128.saturating_sub(paid)), Units(190));
        invoice.finance = Some(Finance { advance, discount, recourse: true, factored_at: 15 });
    }
    invoice
}

/// A settlement that pays the step from `version`, put among the facts.
pub fn evidence(
    facts: &mut Facts,
    version: u64,
    payer: EntityId,
    payee: EntityId,
    units: u128,
) -> PaymentEvidence {
    let blind = Digest([77; 32]);
    let settlement = SettlementId([version as u8; 36]);
    let record = Settlement {
        kind: SettlementKind::Instant,
        payer,
        payee: payee.account(),
        amount: Amount { denom: eur(), units: Units(units) },
        fee: Units(0),
        status: SettlementStatus::Completed,
        reference: Some(payment_reference(&linear(), version, &blind)),
        height: 3,
    };
    facts.settlements.insert(settlement, Proven { settlement: record, height: 5, time_ms: NOW - 100 });
    PaymentEvidence { settlement, height: 5, proof: Blob::default(), linear_id: linear(), version, blind }
}

/// A whole transaction, with everything to change before it is judged.
pub struct Tx {
    pub facts: Facts,
    pub whole: SaltedBody,
    pub inputs: Vec<Resolved>,
    pub references: Vec<Resolved>,
    /// Seeds of the keys that sign.
    pub signers: Vec<u8>,
}

impl Tx {
    /// The transaction of one command, by the library's own builder.
    pub fn of(facts: Facts, before: Option<&Invoice>, command: InvoiceCommand) -> Result<Self, Refusal> {
        let made = make(&facts, before, command)?;
        Ok(Self::from_draft(facts, before, made))
    }

    pub fn from_draft(facts: Facts, before: Option<&Invoice>, made: Draft<Invoice>) -> Self {
        let inputs: Vec<Resolved> = before.map(|before| resolved(&facts, before)).into_iter().collect();
        let signers = made.signers.iter().map(|entity| entity.0[0]).collect();
        let body = assemble(header(), window(), &inputs, [(made.command, made.output)]).unwrap();
        let whole = SaltedBody { salt: Salt([8; 32]), body };
        Self { facts, whole, inputs, references: Vec::new(), signers }
    }

    pub fn signatures(&self, tx_id: &TxId) -> Vec<BusinessSignature> {
        let purpose = Purpose::LedgerSigning;
        let sign = |n: &u8| {
            let key = public_key(*n);
            let message = business_message(&chain(), tx_id, purpose, &key);
            BusinessSignature { purpose, key, signature: Signature(key_of(*n).sign(&message.0)) }
        };
        self.signers.iter().map(sign).collect()
    }

    pub fn judge(&self) -> Result<(), Refusal> {
        let tx_id = self.whole.tx_id(Mode::Private);
        self.judge_as(tx_id, Some(&self.signatures(&tx_id)))
    }

    pub fn judge_as(&self, tx_id: TxId, signatures: Option<&[BusinessSignature]>) -> Result<(), Refusal> {
        let tx = Transaction {
            tx_id,
            mode: Mode::Private,
            whole: &self.whole,
            signatures,
            inputs: &self.inputs,
            references: &self.references,
        };
        validate(&tx, &self.facts)
    }

    /// Changes the only output.
    pub fn change_output(&mut self, change: impl FnOnce(&mut OutputState)) {
        let mut outputs = self.whole.body.outputs.clone().into_vec();
        change(&mut outputs[0]);
        self.whole.body.outputs = List::new(outputs).unwrap();
    }

    /// Changes the content of the only output.
    pub fn change_content(&mut self, change: impl FnOnce(&mut Invoice)) {
        use stateset_ledger_types::{Decode, Encode};
        self.change_output(|output| {
            let mut content = Invoice::from_sce(&output.content).unwrap();
            change(&mut content);
            output.content = Blob::new(content.to_sce()).unwrap();
        });
    }

    pub fn change_command(&mut self, change: impl FnOnce(&mut stateset_ledger_types::body::Command)) {
        let mut commands = self.whole.body.commands.clone().into_vec();
        change(&mut commands[0]);
        self.whole.body.commands = List::new(commands).unwrap();
    }
}

pub fn make(
    facts: &Facts,
    before: Option<&Invoice>,
    command: InvoiceCommand,
) -> Result<Draft<Invoice>, Refusal> {
    let step = Move { linear_id: linear(), before, command, at_ms: NOW };
    draft(&step, &window(), facts, &|entity| facts.ledger_key(entity))
}

/// A state as an earlier transaction made it: its output is what the builder makes of the same content.
pub fn resolved(facts: &Facts, content: &Invoice) -> Resolved {
    use stateset_ledger_types::Encode;
    let mut made = make(facts, None, InvoiceCommand::Create(Box::new(terms()))).unwrap().output.unwrap();
    made.content = Blob::new(content.to_sce()).unwrap();
    let place = StateRef { tx_id: TxId([content.head.version as u8; 32]), index: 0 };
    Resolved { place, nonce: Nonce([6; 32]), output: made }
}

/// A command of a row that is good for `before`, with its payment among the facts.
pub fn good_command(row: &Row<Invoice>, before: Option<&Invoice>, facts: &mut Facts) -> InvoiceCommand {
    use stateset_contracts::invoice as i;
    let version = before.map_or(0, |before| before.head.version);
    let remaining = before.map_or(1, |before| before.amount_remaining.0.max(1));
    let payee = before.map_or(id(SELLER), Invoice::payee);
    let adjusted = i::Adjustment { lines: List::default(), subtotal: Units(1_000), tax: Units(100) };
    match row.command {
        "Create" => InvoiceCommand::Create(Box::new(terms())),
        "Accept" => InvoiceCommand::Accept(()),
        "Dispute" => InvoiceCommand::Dispute(()),
        "SettleDispute" => InvoiceCommand::SettleDispute(i::SettleDispute { adjusted: Some(adjusted) }),
        "Pay" => {
            let evidence = evidence(facts, version, id(BUYER), payee, remaining);
            InvoiceCommand::Pay(i::Pay { amount: Units(remaining), evidence })
        }
        "MarkOverdue" => InvoiceCommand::MarkOverdue(()),
        "Factor" => {
            let advance = remaining * 9 / 10;
            let evidence = evidence(facts, version, id(BANK), id(SELLER), advance);
            let (advance, discount) = (Units(advance), Units(remaining - advance));
            InvoiceCommand::Factor(i::FactorIt {
                factor: id(BANK),
                advance,
                discount,
                recourse: true,
                evidence,
            })
        }
        "Refactor" => InvoiceCommand::Refactor(i::Refactor { factor: id(OTHER_BANK) }),
        "Recourse" => {
            let evidence = evidence(facts, version, id(SELLER), payee, remaining + 5);
            InvoiceCommand::Recourse(i::Recourse { fee: Units(5), evidence })
        }
        "Transfer" => InvoiceCommand::Transfer(i::Transfer { party: id(OTHER_SELLER) }),
        "Void" => InvoiceCommand::Void(()),
        other => panic!("no test knows the command {other}"),
    }
}

/// Whether a row asks for a factored state.
pub fn needs_factor(row: &Row<Invoice>) -> bool {
    ["Refactor", "Recourse"].contains(&row.command)
}

/// The state of a status that a row could start from, if its other conditions are to hold.
pub fn state_for(row: &Row<Invoice>, status: InvoiceStatus) -> Invoice {
    let paid = match status {
        InvoiceStatus::PartiallyPaid => 200,
        InvoiceStatus::Paid => 1_190,
        _ => 0,
    };
    invoice(status, paid, needs_factor(row))
}

/// Statuses that a row allows.
pub fn allowed(row: &Row<Invoice>) -> BTreeSet<u16> {
    match row.from {
        From::Nothing => BTreeSet::new(),
        From::OneOf(statuses) => statuses.iter().copied().collect(),
    }
}

pub fn leads_to(row: &Row<Invoice>, before: Option<u16>) -> Vec<u16> {
    match row.to {
        To::Same => before.into_iter().collect(),
        To::One(status) => vec![status],
        To::OneOf(statuses) => statuses.to_vec(),
        To::Nothing => Vec::new(),
    }
}
