//! Conditions, invariants and outputs of the invoice, one by one.

use stateset_contracts::invoice::{
    Adjustment, FactorIt, Pay, Period, Recourse, Refactor, SettleDispute, Transfer,
};
use stateset_contracts::rules::check_invariants;
use stateset_contracts::{
    Facts, Invoice, InvoiceCommand, InvoiceStatus as S, Move, StateType, draft, registry,
};
use stateset_ledger_types::bank::{SettlementKind, SettlementStatus};
use stateset_ledger_types::body::{DataClass, Participant, TimeWindow};
use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::ids::{Amount, ContractId, Denom, LinearId, Units};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose, Scope};
use stateset_ledger_types::policy::Policy;
use stateset_ledger_types::{Code, Decode, Encode, Refusal};
use ves::Digest;

use crate::world::{
    BANK, BUYER, DUE, NOW, OTHER_BANK, OTHER_SELLER, SELLER, Tx, chain, entity, evidence, facts, id, invoice,
    key_of, line, linear, make, public_key, terms, window,
};

fn refused(result: Result<impl std::fmt::Debug, Refusal>, text: &str) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.code, Code::Invariant, "{refusal}");
    assert!(refusal.text.contains(text), "{refusal} does not say {text:?}");
}

fn pay(facts: &mut Facts, before: &Invoice, units: u128) -> InvoiceCommand {
    let evidence = evidence(facts, before.head.version, id(BUYER), before.payee(), units);
    InvoiceCommand::Pay(Pay { amount: Units(units), evidence })
}

fn adjusted(subtotal: u128, tax: u128) -> InvoiceCommand {
    let adjusted = Adjustment { lines: List::default(), subtotal: Units(subtotal), tax: Units(tax) };
    InvoiceCommand::SettleDispute(SettleDispute { adjusted: Some(adjusted) })
}

#[test]
fn an_issued_invoice_begins_with_its_terms() {
    let made = make(&facts(), None, InvoiceCommand::Create(Box::new(terms()))).unwrap();
    let content = made.content.unwrap();
    assert_eq!((content.head.version, content.head.created_at, content.head.updated_at), (1, NOW, NOW));
    assert_eq!(
        (content.total, content.amount_paid, content.amount_remaining),
        (Units(1190), Units(0), Units(1190))
    );
    assert_eq!(content.status(), S::Issued);
    assert!(content.active);
    let output = made.output.unwrap();
    assert_eq!(Invoice::from_sce(&output.content), Ok(content));
    assert_eq!(output.policy.keys(), [public_key(SELLER)]);
    assert_eq!(made.signers, [id(SELLER), id(BUYER)].into());
    assert_eq!(made.participants, [id(SELLER), id(BUYER)].into());
}

#[test]
fn payments_lead_from_part_to_whole() {
    let mut facts = facts();
    let first = invoice(S::Accepted, 0, false);
    let command = pay(&mut facts, &first, 190);
    let second = make(&facts, Some(&first), command).unwrap().content.unwrap();
    assert_eq!(
        (second.status(), second.amount_paid, second.amount_remaining),
        (S::PartiallyPaid, Units(190), Units(1000))
    );
    let command = pay(&mut facts, &second, 1_000);
    let third = make(&facts, Some(&second), command).unwrap().content.unwrap();
    assert_eq!((third.status(), third.active, third.amount_remaining), (S::Paid, false, Units(0)));
}

#[test]
fn a_payment_is_of_something_and_at_most_what_remains() {
    for (units, text) in [(0, "0 of 1190 are paid"), (1_191, "1191 of 1190 are paid")] {
        let (mut facts, before) = (facts(), invoice(S::Accepted, 0, false));
        let command = pay(&mut facts, &before, units);
        refused(make(&facts, Some(&before), command), text);
    }
}

#[test]
fn evidence_pays_one_step_of_one_state() {
    type Change = fn(&mut stateset_contracts::PaymentEvidence, &mut stateset_contracts::Proven);
    let cases: [(&str, Change); 13] = [
        ("was proven at height 5", |evidence, _| evidence.height = 4),
        ("another state or version", |evidence, _| evidence.linear_id = LinearId([1; 16])),
        ("another state or version", |evidence, _| evidence.version += 1),
        ("reference is not to this state", |evidence, _| evidence.blind = Digest([1; 32])),
        ("reference is not to this state", |_, proven| proven.settlement.reference = None),
        ("Escrow Pending", |_, proven| {
            proven.settlement.kind = SettlementKind::Escrow;
            proven.settlement.status = SettlementStatus::Pending;
        }),
        ("Instant Refunded", |_, proven| proven.settlement.status = SettlementStatus::Refunded),
        ("Channel Completed", |_, proven| proven.settlement.kind = SettlementKind::Channel),
        ("has to", |_, proven| proven.settlement.payer = id(BANK)),
        ("has to be", |_, proven| proven.settlement.payee = id(BANK).account()),
        ("99 eur were paid, 100 eur have to be", |_, proven| proven.settlement.amount.units = Units(99)),
        ("100 usd were paid", |_, proven| proven.settlement.amount.denom = Denom::new("usd").unwrap()),
        ("older than 14 days", |_, proven| proven.time_ms = 0),
    ];
    for (text, change) in cases {
        let mut facts = facts();
        let before = invoice(S::Accepted, 0, false);
        let command = pay(&mut facts, &before, 100);
        let InvoiceCommand::Pay(Pay { amount, mut evidence }) = command else { unreachable!() };
        let at_ms = if text.starts_with("older") { 15 * 86_400_000 } else { NOW };
        let settlement = evidence.settlement;
        change(&mut evidence, facts.settlements.get_mut(&settlement).unwrap());
        let command = InvoiceCommand::Pay(Pay { amount, evidence });
        let window = TimeWindow { from_ms: Some(at_ms), until_ms: Some(at_ms + 1) };
        let step = Move { linear_id: linear(), before: Some(&before), command, at_ms };
        refused(draft(&step, &window, &facts, &|entity| facts.ledger_key(entity)), text);
    }
    // An escrow that was released pays as well as a transfer; what is not proven at all pays nothing.
    let (mut facts, before) = (facts(), invoice(S::Accepted, 0, false));
    let command = pay(&mut facts, &before, 100);
    facts.settlements.values_mut().for_each(|proven| proven.settlement.kind = SettlementKind::Escrow);
    assert!(make(&facts, Some(&before), command.clone()).is_ok());
    facts.settlements.clear();
    refused(make(&facts, Some(&before), command), "is not proven");
}

#[test]
fn a_dispute_ends_in_what_is_still_owed() {
    for (paid, total, status) in
        [(0, 600, S::Accepted), (300, 600, S::PartiallyPaid), (600, 600, S::Paid), (0, 2_000, S::Accepted)]
    {
        let before = invoice(S::Disputed, paid, false);
        let after = make(&facts(), Some(&before), adjusted(total - 100, 100)).unwrap().content.unwrap();
        assert_eq!((after.status(), after.amount_remaining), (status, Units(total - paid)));
    }
    let void = || InvoiceCommand::SettleDispute(SettleDispute { adjusted: None });
    let before = invoice(S::Disputed, 0, true);
    let made = make(&facts(), Some(&before), void()).unwrap();
    assert_eq!(made.content.unwrap().status(), S::Void);
    assert_eq!(made.signers, [id(SELLER), id(BUYER), id(BANK)].into(), "the factor too, where there is one");
    refused(make(&facts(), Some(&invoice(S::Disputed, 1, false)), void()), "a part is paid");
    refused(make(&facts(), Some(&invoice(S::Disputed, 700, false)), adjusted(500, 100)), "700 are paid, 600");
    refused(
        make(&facts(), Some(&invoice(S::Disputed, 0, false)), adjusted(0, 0)),
        "total = subtotal + tax > 0",
    );
}

#[test]
fn a_claim_is_sold_once_for_what_remains() {
    let factor = |facts: &mut Facts, before: &Invoice, advance: u128, discount: u128| {
        let evidence = evidence(facts, before.head.version, id(BANK), id(SELLER), advance);
        let (advance, discount) = (Units(advance), Units(discount));
        InvoiceCommand::Factor(FactorIt { factor: id(BANK), advance, discount, recourse: false, evidence })
    };
    let (mut facts, before) = (facts(), invoice(S::Accepted, 0, false));
    let command = factor(&mut facts, &before, 1_000, 190);
    let made = make(&facts, Some(&before), command).unwrap();
    let after = made.content.unwrap();
    assert_eq!((after.payee(), after.status()), (id(BANK), S::Accepted));
    assert_eq!(made.output.unwrap().policy.keys(), [public_key(BANK)]);
    assert_eq!(made.participants, [id(SELLER), id(BUYER), id(BANK)].into());

    let command = factor(&mut facts, &before, 1_000, 189);
    refused(make(&facts, Some(&before), command), "1189 is not 1190");
    let command = factor(&mut facts, &after, 1_000, 190);
    refused(make(&facts, Some(&after), command), "it is factored");
    let evidence = evidence(&mut facts, before.head.version, id(BANK), id(SELLER), 900);
    let terms =
        FactorIt { factor: id(BANK), advance: Units(1_000), discount: Units(190), recourse: false, evidence };
    refused(make(&facts, Some(&before), InvoiceCommand::Factor(terms)), "900 eur were paid, 1000 eur");
}

#[test]
fn a_factor_is_one_where_the_network_asks_for_it() {
    let judged = |required: u64, is_factor: bool| {
        let mut facts = facts();
        facts.params.require_capability = required;
        facts.params_hashes.insert(facts.params.hash());
        let mut other = entity(OTHER_BANK);
        if is_factor {
            other.roles = other.roles.with(stateset_ledger_types::entity::Role::Factor);
        }
        let facts = facts.with_entities([other]);
        let before = invoice(S::Accepted, 0, true);
        let command = InvoiceCommand::Refactor(Refactor { factor: id(OTHER_BANK) });
        Tx::of(facts, Some(&before), command).and_then(|tx| tx.judge())
    };
    assert_eq!(judged(0, false), Ok(()));
    assert_eq!(judged(1, true), Ok(()));
    refused(judged(1, false), "has it not");
}

#[test]
fn recourse_refactor_transfer_and_void_keep_to_their_conditions() {
    let mut facts = facts();
    let recourse = |facts: &mut Facts, before: &Invoice| {
        let evidence = evidence(facts, before.head.version, id(SELLER), id(BANK), 1_195);
        InvoiceCommand::Recourse(Recourse { fee: Units(5), evidence })
    };
    let factored = invoice(S::Overdue, 0, true);
    let command = recourse(&mut facts, &factored);
    let after = make(&facts, Some(&factored), command).unwrap().content.unwrap();
    assert_eq!((after.payee(), after.factor, after.finance), (id(SELLER), None, None));
    let mut without = factored.clone();
    without.finance =
        without.finance.map(|finance| stateset_contracts::invoice::Finance { recourse: false, ..finance });
    let command = recourse(&mut facts, &without);
    refused(make(&facts, Some(&without), command), "factored with recourse");

    let refactor = |n| InvoiceCommand::Refactor(Refactor { factor: id(n) });
    let after = make(&facts, Some(&factored), refactor(OTHER_BANK)).unwrap();
    assert_eq!(after.content.unwrap().finance, factored.finance, "what was agreed stands");
    assert_eq!(
        after.participants,
        [SELLER, BUYER, BANK, OTHER_BANK].map(id).into(),
        "the old factor hears of it"
    );
    refused(make(&facts, Some(&factored), refactor(BANK)), "it is the same");
    refused(make(&facts, Some(&invoice(S::Overdue, 0, false)), refactor(OTHER_BANK)), "it is not factored");

    let transfer = |n| InvoiceCommand::Transfer(Transfer { party: id(n) });
    let plain = invoice(S::Issued, 0, false);
    let after = make(&facts, Some(&plain), transfer(OTHER_SELLER)).unwrap();
    assert_eq!(after.signers, [SELLER, OTHER_SELLER, BUYER].map(id).into());
    refused(make(&facts, Some(&plain), transfer(SELLER)), "it is the same");
    refused(make(&facts, Some(&plain), transfer(BUYER)), "party and counterparty are distinct");
    refused(make(&facts, Some(&factored), transfer(OTHER_SELLER)), "it is factored");

    let void = || InvoiceCommand::Void(());
    refused(make(&facts, Some(&invoice(S::Accepted, 0, true)), void()), "it is factored");
    refused(make(&facts, Some(&invoice(S::Accepted, 1, false)), void()), "a part is paid");
}

#[test]
fn an_invoice_is_overdue_when_the_whole_window_is_after_its_date() {
    for (due, good) in [(NOW - 11, true), (NOW - 10, false), (NOW, false)] {
        let before = Invoice { due_date: due, ..invoice(S::Accepted, 0, false) };
        let made = make(&facts(), Some(&before), InvoiceCommand::MarkOverdue(()));
        assert_eq!(made.is_ok(), good, "due {due}");
    }
    const { assert!(DUE < NOW - 10, "the terms of these tests are past due") };
}

#[test]
fn every_invariant_refuses_what_breaks_it_alone() {
    let breaks: [fn(&mut Invoice); 7] = [
        |invoice| invoice.counterparty = invoice.party,
        |invoice| invoice.lines = List::new([line(1, 999)]).unwrap(),
        |invoice| invoice.tax = Units(191),
        |invoice| invoice.amount_paid = Units(1),
        |invoice| invoice.head.status = S::Paid.code(),
        |invoice| invoice.finance = None,
        |invoice| invoice.period = Some(Period { from_ms: 2, until_ms: 2 }),
    ];
    let invariants = Invoice::table().invariants;
    assert_eq!(breaks.len(), invariants.len());
    for (place, change) in breaks.iter().enumerate() {
        let mut content = invoice(S::Accepted, 0, true);
        assert_eq!(check_invariants(&content), Ok(()));
        change(&mut content);
        let failed: Vec<bool> = invariants.iter().map(|invariant| !(invariant.holds)(&content)).collect();
        let alone: Vec<bool> = (0..invariants.len()).map(|other| other == place).collect();
        assert_eq!(failed, alone, "{}", invariants[place].text);
        refused(check_invariants(&content), invariants[place].text);
    }
    let huge = Invoice { subtotal: Units(u128::MAX), ..invoice(S::Accepted, 0, false) };
    refused(check_invariants(&Invoice { lines: List::default(), ..huge }), "total = subtotal + tax > 0");
    let terms =
        stateset_contracts::invoice::Terms { lines: List::default(), subtotal: Units(u128::MAX), ..terms() };
    refused(make(&facts(), None, InvoiceCommand::Create(Box::new(terms))), "more than can be counted");
}

#[test]
fn c8_an_output_is_what_the_command_makes_and_nothing_else() {
    let tx = || Tx::of(facts(), Some(&invoice(S::Issued, 0, false)), InvoiceCommand::Accept(())).unwrap();
    assert_eq!(tx().judge(), Ok(()));
    type Change = fn(&mut Invoice);
    let fields: [(&str, Change); 12] = [
        ("number", |it| it.head.number = stateset_ledger_types::codec::Text::new("other").unwrap()),
        ("version", |it| it.head.version += 1),
        ("status", |it| it.head.status = S::Overdue.code()),
        ("created_at", |it| it.head.created_at = NOW),
        ("outside the time window", |it| it.head.updated_at = NOW + 10),
        ("counterparty", |it| it.counterparty = id(OTHER_BANK)),
        ("active", |it| it.active = false),
        ("due_date", |it| it.due_date += 1),
        ("total", |it| it.total = Units(1)),
        ("amount_remaining", |it| it.amount_remaining = Units(1)),
        ("factor", |it| it.factor = Some(id(BANK))),
        ("denom", |it| it.denom = Denom::new("usd").unwrap()),
    ];
    for (text, change) in fields {
        let mut changed = tx();
        changed.change_content(change);
        refused(changed.judge(), text);
    }
    let mut policy = tx();
    policy.change_output(|output| output.policy = Policy::new(1, [public_key(BUYER)]).unwrap());
    refused(policy.judge(), "the policy is to be held by");
    let mut policy = tx();
    policy.change_output(|output| {
        output.policy = Policy::new(1, [public_key(SELLER), public_key(BUYER)]).unwrap()
    });
    refused(policy.judge(), "the policy is to be held by");
    let mut policy = tx();
    policy.change_output(|output| output.policy = Policy::new(1, [public_key(99)]).unwrap());
    refused(policy.judge(), "is no entity's");
    let mut participants = tx();
    participants
        .change_output(|output| output.participants = Set::new([Participant::Entity(id(SELLER))]).unwrap());
    refused(participants.judge(), "has to be a participant");
    let mut participants = tx();
    participants.change_output(|output| {
        output.participants = Set::new([SELLER, BUYER, BANK].map(|n| Participant::Entity(id(n)))).unwrap();
    });
    refused(participants.judge(), "is not a participant");
    let mut class = tx();
    class.change_output(|output| output.data_class = DataClass::Public);
    refused(class.judge(), "data_class");
    let mut schema = tx();
    schema.change_output(|output| output.schema_version = 2);
    assert_eq!(schema.judge().unwrap_err().code, Code::Unsupported);
    let mut none = tx();
    none.change_output(|output| output.linear_id = None);
    refused(none.judge(), "has a linear id");
    let mut other = tx();
    other.change_output(|output| output.linear_id = Some(LinearId([1; 16])));
    assert_eq!(other.judge().unwrap_err().code, Code::BadTransition, "one state goes, another comes");
    let mut gone = tx();
    gone.whole.body.outputs = List::default();
    assert_eq!(gone.judge().unwrap_err().code, Code::BadTransition);
    let mut silent = tx();
    silent.whole.body.commands = List::default();
    assert_eq!(silent.judge().unwrap_err().code, Code::BadTransition);
    let mut twice = tx();
    let commands = [twice.whole.body.commands[0].clone(), twice.whole.body.commands[0].clone()];
    twice.whole.body.commands = List::new(commands).unwrap();
    refused(twice.judge(), "more than one command");
    let mut open = tx();
    open.whole.body.time_window = List::new([TimeWindow { until_ms: None, ..window() }]).unwrap();
    refused(open.judge(), "two ends");
}

#[test]
fn c20_an_agent_signs_inside_its_scope_alone() {
    let judged = |change: &dyn Fn(&mut Scope), command: InvoiceCommand| {
        let mut scope = Scope {
            contracts: Set::new([ContractId::new("native:invoice").unwrap()]).unwrap(),
            commands: Set::new([1, 2]).unwrap(),
            amount_per_tx_max: Some(Amount { denom: Denom::new("eur").unwrap(), units: Units(1_190) }),
            amount_per_day_max: None,
            expires_at: Some(NOW + 1),
            quote_hash: None,
        };
        change(&mut scope);
        let agent = PublicKey::ed25519(key_of(70).public_key());
        let mut buyer = entity(BUYER);
        let mut keys = buyer.keys.clone().into_vec();
        keys.push(KeyRecord { scope: Some(scope), ..KeyRecord::new(Purpose::Agent, agent) });
        buyer.keys = List::new(keys).unwrap();
        let facts = facts().with_entities([buyer]);
        let before = invoice(S::Issued, 0, false);
        let before = (!matches!(command, InvoiceCommand::Create(_))).then_some(&before);
        let mut tx = Tx::of(facts, before, command).unwrap();
        let others: Vec<u8> = tx.signers.iter().copied().filter(|n| *n != BUYER).collect();
        let keys = others.iter().map(|n| public_key(*n)).chain([agent]);
        tx.change_command(|it| it.signers = Set::new(keys).unwrap());
        tx.signers = others;
        let tx_id = tx.whole.tx_id(stateset_ledger_types::tree::Mode::Private);
        let mut signatures = tx.signatures(&tx_id);
        let message = stateset_ledger_types::keys::business_message(&chain(), &tx_id, Purpose::Agent, &agent);
        let signature = stateset_ledger_types::keys::Signature(key_of(70).sign(&message.0));
        signatures.push(stateset_ledger_types::keys::BusinessSignature {
            purpose: Purpose::Agent,
            key: agent,
            signature,
        });
        tx.judge_as(tx_id, Some(&signatures)).map_err(|refusal| refusal.code)
    };
    let accept = || InvoiceCommand::Accept(());
    assert_eq!(judged(&|_| {}, accept()), Ok(()));
    assert_eq!(judged(&|_| {}, InvoiceCommand::Create(Box::new(terms()))), Ok(()));
    assert_eq!(judged(&|_| {}, InvoiceCommand::Dispute(())), Err(Code::NotAuthorised));
    assert_eq!(judged(&|scope| scope.contracts = Set::default(), accept()), Err(Code::NotAuthorised));
    assert_eq!(judged(&|scope| scope.expires_at = Some(NOW), accept()), Err(Code::NotAuthorised));
    let less = |scope: &mut Scope| scope.amount_per_tx_max.as_mut().unwrap().units = Units(1_189);
    assert_eq!(judged(&less, accept()), Err(Code::NotAuthorised));
    let dollars =
        |scope: &mut Scope| scope.amount_per_tx_max.as_mut().unwrap().denom = Denom::new("usd").unwrap();
    assert_eq!(judged(&dollars, accept()), Err(Code::NotAuthorised));
}

/// Whoever changes this changed the rules: their version has to rise.
#[test]
fn the_rules_have_the_hash_that_networks_register() {
    let versions: Vec<String> = registry::versions()
        .iter()
        .map(|version| format!("{} {} {}", version.contract_id, version.version, version.code_hash))
        .collect();
    assert_eq!(versions, [include_str!("../rules.txt").trim()]);
}

#[test]
fn copies_of_an_invoice_have_one_fingerprint() {
    let (a, b) = (invoice(S::Issued, 0, false), invoice(S::PartiallyPaid, 200, true));
    assert_eq!(a.fingerprint(), b.fingerprint());
    let other = Invoice { total: Units(1_191), ..a.clone() };
    assert_ne!(a.fingerprint(), other.fingerprint());
    let expected = ves::hash::Hasher::bare()
        .bytes(b"SSN_CONTENT_V1")
        .bytes(&a.party.0)
        .bytes(&a.counterparty.0)
        .bytes(b"\0\0\0\x062026-1")
        .bytes(b"\0\0\0\x03eur")
        .bytes(&1_190u128.to_be_bytes())
        .finish();
    assert_eq!(a.fingerprint(), expected);
    assert_eq!(Invoice::from_sce(&a.to_sce()), Ok(a));
}
