//! Section 3.4: contracts run by the chain, demotion, promotion; the registry's commands.

use proptest::prelude::*;
use stateset_contracts::invoice::{Pay, SettleDispute, Terms, Transfer as TransferIt};
use stateset_contracts::{
    Facts, Invoice, InvoiceCommand, InvoiceStatus, Move, PaymentEvidence, Resolved, assemble, draft, registry,
};
use stateset_ledger_app::Ledger;
use stateset_ledger_app::application::{Application, Block};
use stateset_ledger_types::bank::{BankCommand, Settlement, Transfer, payment_reference};
use stateset_ledger_types::body::{Body, Command, Participant, SaltedBody, TimeWindow};
use stateset_ledger_types::codec::{Blob, List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, Role};
use stateset_ledger_types::envelope::{Notarise, NotariseContent, PublicTx, Request};
use stateset_ledger_types::genesis::Genesis;
use stateset_ledger_types::ids::{
    Amount, ContractId, EntityId, LinearId, Nullifier, SettlementId, StateRef, TxId, Units,
};
use stateset_ledger_types::keys::{
    BusinessSignature, KeyRecord, PublicKey, Purpose, Scope, business_message,
};
use stateset_ledger_types::policy::{Opening, blind, spend_message};
use stateset_ledger_types::registry::{
    FingerprintRecord, Promote, PublicOutput, REGISTRY, RecordFingerprint, RegistryCommand, SetCompliance,
};
use stateset_ledger_types::tearoff::TearOff;
use stateset_ledger_types::tree::{Group, Mode, Salt};
use stateset_ledger_types::{Code, Decode, Encode, Refusal, StateKey, Substore};
use ves::Digest;

use crate::world::{World, chain, code, dollars, entity, id, public_key, sign, signed, submission, usd};

const SELLER: u8 = 1;
const BUYER: u8 = 2;

fn genesis() -> Genesis {
    let mut genesis = crate::world::genesis();
    genesis.contracts = List::new(registry::versions()).unwrap();
    genesis
}

fn linear() -> LinearId {
    LinearId([9; 16])
}

fn terms() -> Terms {
    Terms {
        number: Text::new("7").unwrap(),
        party: id(SELLER),
        counterparty: id(BUYER),
        extensions: Default::default(),
        name: Text::default(),
        billing_reason: Text::default(),
        denom: usd(),
        lines: List::default(),
        subtotal: Units(100),
        tax: Units(19),
        due_date: 1,
        period: None,
        po_ref: None,
        agreement_ref: None,
    }
}

/// A transaction on one invoice, to be changed before it is signed.
struct Tx {
    whole: SaltedBody,
    inputs: Vec<Resolved>,
    content: Option<Invoice>,
    /// Who sign; the first submits.
    by: Vec<u8>,
}

fn header(world: &World) -> stateset_ledger_types::body::Header {
    stateset_ledger_types::body::Header { contract_set_hash: registry::native_set().hash(), ..world.header() }
}

fn facts(world: &World) -> Facts {
    Facts::new(chain(), world.time_ms, world.params(), registry::native_set()).with_entities(
        (1..=4).map(|n| world.get::<Entity>(&StateKey::entity(&id(n))).unwrap_or_else(|| entity(n))),
    )
}

fn try_transaction(
    world: &World,
    salt: u8,
    before: Option<&Resolved>,
    command: InvoiceCommand,
    facts: &Facts,
) -> Result<Tx, Refusal> {
    let content = before.map(|before| Invoice::from_sce(&before.output.content).unwrap());
    let step = Move { linear_id: linear(), before: content.as_ref(), command, at_ms: world.time_ms };
    let window = TimeWindow { from_ms: Some(world.time_ms), until_ms: Some(world.time_ms + 100_000) };
    let made = draft(&step, &window, facts, &|entity| facts.ledger_key(entity))?;
    let by = made.signers.iter().map(|entity| entity.0[0]).collect();
    let inputs: Vec<Resolved> = before.cloned().into_iter().collect();
    let body = assemble(header(world), window, &inputs, [(made.command, made.output)]).unwrap();
    Ok(Tx { whole: SaltedBody { salt: Salt([salt; 32]), body }, inputs, content: made.content, by })
}

fn transaction(
    world: &World,
    salt: u8,
    before: Option<&Resolved>,
    command: InvoiceCommand,
    facts: &Facts,
) -> Tx {
    try_transaction(world, salt, before, command, facts).unwrap()
}

impl Tx {
    fn openings(&self, tx_id: &TxId) -> List<Opening, 4096> {
        let message = spend_message(&chain(), tx_id);
        let opening = |input: &Resolved| {
            let key = input.output.policy.keys()[0];
            let n = (1..=4).find(|n| public_key(*n) == key).unwrap();
            Opening {
                blind: blind(&input.place, &input.nonce),
                policy: input.output.policy.clone(),
                signatures: List::new([Some(sign(n, &message))]).unwrap(),
            }
        };
        List::new(self.inputs.iter().map(opening).collect::<Vec<_>>()).unwrap()
    }

    fn id(&self, mode: Mode) -> TxId {
        self.whole.tx_id(mode)
    }

    fn output(&self, mode: Mode) -> Resolved {
        Resolved::of(&self.whole, &self.id(mode), 0).unwrap()
    }

    fn public(&self, world: &mut World) -> Vec<u8> {
        let tx_id = self.id(Mode::Public);
        let purpose = Purpose::LedgerSigning;
        let signature = |n: &u8| {
            let key = public_key(*n);
            BusinessSignature {
                purpose,
                key,
                signature: sign(*n, &business_message(&chain(), &tx_id, purpose, &key)),
            }
        };
        let request = PublicTx {
            content: self.whole.clone(),
            signatures: List::new(self.by.iter().map(signature).collect::<Vec<_>>()).unwrap(),
            openings: self.openings(&tx_id),
            submission: submission(self.by[0], world.next_seq(self.by[0])),
        };
        signed(Request::PublicTx(Box::new(request)), self.by[0])
    }

    fn private(&self, world: &mut World) -> Vec<u8> {
        let content = NotariseContent::of(&self.whole, Mode::Private);
        let request = Notarise {
            openings: self.openings(&content.tx_id()),
            attestations: List::default(),
            receipts: List::default(),
            submission: submission(self.by[0], world.next_seq(self.by[0])),
            content,
        };
        signed(Request::Notarise(Box::new(request)), self.by[0])
    }

    fn change(mut self, change: impl FnOnce(&mut Body)) -> Self {
        change(&mut self.whole.body);
        self
    }

    fn with_command(self, command: &RegistryCommand, by: u8) -> Self {
        let sce = command.to_sce();
        let command = Command {
            contract_id: ContractId::new(REGISTRY).unwrap(),
            tag: command.tag(),
            args: Blob::new(&sce[2..]).unwrap(),
            signers: Set::new([public_key(by)]).unwrap(),
        };
        self.change(|body| {
            let mut commands = body.commands.clone().into_vec();
            commands.insert(0, command);
            body.commands = List::new(commands).unwrap();
        })
    }
}

/// A world whose first block makes a public invoice; with it, the output.
fn issued() -> (World, Resolved) {
    let mut world = World::of(&genesis());
    let tx = transaction(&world, 1, None, InvoiceCommand::Create(Box::new(terms())), &facts(&world));
    let bytes = tx.public(&mut world);
    let result = world.run(bytes);
    assert_eq!(code(&result), None, "{}", result.log);
    let output = tx.output(Mode::Public);
    (world, output)
}

fn accept(world: &World, salt: u8, before: &Resolved) -> Tx {
    transaction(world, salt, Some(before), InvoiceCommand::Accept(()), &facts(world))
}

fn run(world: &mut World, tx: &Tx) -> Option<Code> {
    let bytes = tx.public(world);
    let result = world.run(bytes);
    code(&result)
}

#[test]
fn a_public_state_lives_by_its_table_on_the_chain() {
    let (mut world, first) = issued();
    let stored: PublicOutput = world.get(&StateKey::utxo(&first.place)).unwrap();
    assert_eq!((stored.nonce, &stored.output), (first.nonce, &first.output));

    let tx = accept(&world, 2, &first);
    assert_eq!(run(&mut world, &tx), None);
    let second = tx.output(Mode::Public);
    assert_eq!(world.get::<PublicOutput>(&StateKey::utxo(&first.place)), None, "it was consumed");
    assert!(world.get::<PublicOutput>(&StateKey::utxo(&second.place)).is_some());
    let spent = first.nullifier().spent_key();
    assert_eq!(world.get::<TxId>(&StateKey::spent(&spent)), Some(tx.id(Mode::Public)));

    // The first again, by another transaction.
    let again = accept(&world, 3, &first);
    assert_eq!(run(&mut world, &again), Some(Code::Conflict));
    // A step that the table does not have, forged out of a good one.
    let forged = accept(&world, 4, &first);
    let forged = Tx { inputs: vec![second.clone()], ..forged }.change(|body| {
        body.inputs = List::new([second.place]).unwrap();
        body.nullifiers = List::new([second.nullifier()]).unwrap();
    });
    assert_eq!(run(&mut world, &forged), Some(Code::BadTransition));
    assert!(world.get::<PublicOutput>(&StateKey::utxo(&second.place)).is_some(), "a refusal changes nothing");
}

#[test]
fn a_payment_on_the_chain_is_read_from_it() {
    let (mut world, first) = issued();
    let reference = |version| payment_reference(&linear(), version, &Digest([5; 32]));
    let transfer = |version| {
        BankCommand::Transfer(Transfer {
            payer: id(BUYER),
            payee: id(SELLER).account(),
            amount: dollars(119),
            reference: Some(reference(version)),
        })
    };
    let paid = world.pay(BUYER, 7, &[transfer(1), transfer(2)]);
    let result = world.run(paid);
    assert_eq!(code(&result), None, "{}", result.log);
    let last = SettlementId(result.data[result.data.len() - 36..].try_into().unwrap());
    let of = |place: u32| SettlementId::of(&TxId(last.0[..32].try_into().unwrap()), place);
    let height = world.height;
    let pay = |world: &World, salt, settlement: SettlementId| {
        let mut facts = facts(world);
        let evidence = PaymentEvidence {
            settlement,
            height,
            proof: Blob::default(),
            linear_id: linear(),
            version: 1,
            blind: Digest([5; 32]),
        };
        // The builder is told of a payment that may not be there.
        let record: Settlement = world.get(&StateKey::settlement(&of(0))).unwrap();
        let proven = stateset_contracts::Proven { settlement: record, height, time_ms: world.time_ms };
        facts.settlements.insert(settlement, proven);
        let command = InvoiceCommand::Pay(Pay { amount: Units(119), evidence });
        transaction(world, salt, Some(&first), command, &facts)
    };
    // One that is not there, and one that pays another version.
    let tx = pay(&world, 2, SettlementId([1; 36]));
    assert_eq!(run(&mut world, &tx), Some(Code::Invariant));
    let tx = pay(&world, 3, of(1));
    assert_eq!(run(&mut world, &tx), Some(Code::Invariant));
    let tx = pay(&world, 4, of(0));
    assert_eq!(run(&mut world, &tx), None);
    assert_eq!(tx.content.unwrap().status(), InvoiceStatus::Paid);
}

#[test]
fn signers_nullifiers_and_what_is_not_supported_are_named() {
    let (mut world, first) = issued();
    let mut check = |tx: Tx, expected| assert_eq!(run(&mut world, &tx), Some(expected));
    let good = |salt| accept(&issued().0, salt, &first);
    let no_signer = good(10).change(|body| {
        let mut commands = body.commands.clone().into_vec();
        commands[0].signers = Set::new([public_key(SELLER)]).unwrap();
        body.commands = List::new(commands).unwrap();
    });
    check(Tx { by: vec![SELLER], ..no_signer }, Code::NotAuthorised);
    // Nullifier of another state, which its policy opens all the same.
    let other = Resolved { nonce: stateset_ledger_types::tree::Nonce([1; 32]), ..first.clone() };
    let wrong = good(11).change(|body| body.nullifiers = List::new([other.nullifier()]).unwrap());
    check(Tx { inputs: vec![other], ..wrong }, Code::NullifierMismatch);
    let unknown = Resolved { place: StateRef { tx_id: TxId([1; 32]), index: 0 }, ..first.clone() };
    let nowhere = good(12).change(|body| {
        body.inputs = List::new([unknown.place]).unwrap();
        body.nullifiers = List::new([unknown.nullifier()]).unwrap();
    });
    check(Tx { inputs: vec![unknown], ..nowhere }, Code::NotFound);
    let refers =
        good(13).change(|body| body.references = List::new([Nullifier([3; 32]).spent_key()]).unwrap());
    check(refers, Code::Unsupported);
    let hidden = good(14).change(|body| {
        let mut outputs = body.outputs.clone().into_vec();
        outputs[0].participants = Set::new([Participant::OneTimeKey(public_key(9))]).unwrap();
        body.outputs = List::new(outputs).unwrap();
    });
    check(hidden, Code::Unsupported);
    let crowded = good(16).change(|body| {
        let mut outputs = body.outputs.clone().into_vec();
        let crowd = (100..164).map(|n| Participant::Entity(EntityId([n; 20])));
        outputs[0].participants = Set::new(crowd).unwrap();
        body.outputs = List::new(outputs).unwrap();
    });
    check(crowded, Code::TooLarge);
    let other_set = good(15).change(|body| body.header.0.contract_set_hash = Digest::ZERO);
    check(other_set, Code::ParamsMismatch);
    // A command that moves no state: the contract is known, the transaction is none of its table.
    let alone = [1u16.to_be_bytes().to_vec()];
    for (salt, contract, code_) in
        [(17, "native:invoice", Code::BadTransition), (18, "native:none", Code::ContractUnknown)]
    {
        let tx = world.commands(1, salt, contract, &alone);
        assert_eq!(code(&world.run(tx)), Some(code_), "{contract}");
    }
    // A network that never registered the contract.
    let mut bare = World::new();
    let tx = transaction(&bare, 1, None, InvoiceCommand::Create(Box::new(terms())), &facts(&bare));
    let tx = tx.change(|body| {
        let empty = stateset_ledger_types::governance::ContractSet { contracts: List::default() };
        body.header.0.contract_set_hash = empty.hash();
    });
    assert_eq!(run(&mut bare, &tx), Some(Code::ContractUnknown));
}

#[test]
fn a_private_transaction_takes_a_state_out_of_the_public() {
    let (mut world, first) = issued();
    let hidden = accept(&world, 2, &first);
    let bytes = hidden.private(&mut world);
    assert_eq!(code(&world.run(bytes)), None);
    assert!(
        world.get::<PublicOutput>(&StateKey::utxo(&first.place)).is_some(),
        "the entry stays, but is dead"
    );
    let again = accept(&world, 3, &first);
    assert_eq!(run(&mut world, &again), Some(Code::Conflict));
    // Its successor is in no public place until it is promoted.
    let second = hidden.output(Mode::Private);
    let dispute = |salt, world: &World| {
        transaction(world, salt, Some(&second), InvoiceCommand::Dispute(()), &facts(world))
    };
    let tx = dispute(4, &world);
    assert_eq!(run(&mut world, &tx), Some(Code::NotFound));
    let promote = promotion(&hidden.whole, Mode::Private, 0);
    let tx = dispute(5, &world).with_command(&promote, BUYER);
    assert_eq!(run(&mut world, &tx), None);
    assert!(world.get::<PublicOutput>(&StateKey::utxo(&tx.output(Mode::Public).place)).is_some());
}

fn promotion(whole: &SaltedBody, mode: Mode, index: u32) -> RegistryCommand {
    let show = |group, i| group == Group::Outputs && i == index;
    let tear_off = TearOff::of(whole, mode, show, |_| false);
    RegistryCommand::Promote(Box::new(Promote { tear_off, index }))
}

#[test]
fn a_promotion_shows_an_output_of_a_notarised_private_transaction() {
    let mut world = World::of(&genesis());
    let made = transaction(&world, 1, None, InvoiceCommand::Create(Box::new(terms())), &facts(&world));
    let first = made.output(Mode::Private);
    let good = |world: &World, salt| {
        accept(world, salt, &first).with_command(&promotion(&made.whole, Mode::Private, 0), BUYER)
    };
    let early = good(&world, 2);
    assert_eq!(run(&mut world, &early), Some(Code::PromotionRefused), "nobody notarised it");
    let bytes = made.private(&mut world);
    assert_eq!(code(&world.run(bytes)), None);
    let mut refused = |command: &RegistryCommand, salt| {
        let tx = accept(&world, salt, &first).with_command(command, BUYER);
        assert_eq!(run(&mut world, &tx), Some(Code::PromotionRefused), "{salt}");
    };
    refused(&promotion(&made.whole, Mode::Attested, 0), 3);
    refused(&promotion(&made.whole, Mode::Private, 1), 4);
    let RegistryCommand::Promote(mut other_chain) = promotion(&made.whole, Mode::Private, 0) else {
        panic!()
    };
    other_chain.tear_off.chain_id = stateset_ledger_types::ids::ChainId::new("other-1").unwrap();
    refused(&RegistryCommand::Promote(other_chain), 5);
    let twice = good(&world, 6).with_command(&promotion(&made.whole, Mode::Private, 0), BUYER);
    assert_eq!(run(&mut world, &twice), Some(Code::PromotionRefused));
    // Shown, but not consumed.
    let idle = transaction(&world, 7, None, InvoiceCommand::Create(Box::new(terms())), &facts(&world));
    let idle = idle.with_command(&promotion(&made.whole, Mode::Private, 0), BUYER);
    assert_eq!(run(&mut world, &idle), Some(Code::PromotionRefused));
    let alone = world.commands(BUYER, 8, REGISTRY, &[promotion(&made.whole, Mode::Private, 0).to_sce()]);
    assert_eq!(code(&world.run(alone)), Some(Code::PromotionRefused));
    let tx = good(&world, 9);
    assert_eq!(run(&mut world, &tx), None);
    let again = good(&world, 10);
    assert_eq!(run(&mut world, &again), Some(Code::Conflict));
}

#[test]
fn only_types_whose_contract_allows_it_are_promoted() {
    let mut world = World::of(&genesis());
    let made = transaction(&world, 1, None, InvoiceCommand::Create(Box::new(terms())), &facts(&world));
    // A promise of its issuer (type 18), made in private.
    let made = made.change(|body| {
        let mut outputs = body.outputs.clone().into_vec();
        outputs[0].type_id = 18;
        outputs[0].contract_id = ContractId::new("native:iou").unwrap();
        body.outputs = List::new(outputs).unwrap();
    });
    let bytes = made.private(&mut world);
    assert_eq!(code(&world.run(bytes)), None);
    let first = made.output(Mode::Private);
    let tx = accept(&world, 2, &first).with_command(&promotion(&made.whole, Mode::Private, 0), BUYER);
    assert_eq!(run(&mut world, &tx), Some(Code::PromotionRefused));
}

#[test]
fn one_receivable_has_one_financier() {
    let mut world = World::of(&genesis());
    let fingerprint = Digest([7; 32]);
    let record = |factor: u8| {
        RegistryCommand::RecordFingerprint(RecordFingerprint { factor: id(factor), fingerprint }).to_sce()
    };
    let forged = world.commands(2, 1, REGISTRY, &[record(3)]);
    assert_eq!(code(&world.run(forged)), Some(Code::NotAuthorised));
    let first = world.commands(3, 2, REGISTRY, &[record(3)]);
    assert_eq!(code(&world.run(first)), None);
    let expected = FingerprintRecord { factor: id(3), height: 2 };
    assert_eq!(world.get(&StateKey::fingerprint(&fingerprint)), Some(expected));
    for (salt, by) in [(3, 2), (4, 3)] {
        let again = world.commands(by, salt, REGISTRY, &[record(by)]);
        assert_eq!(code(&world.run(again)), Some(Code::DuplicateFinance));
    }
}

#[test]
fn compliance_is_written_by_its_role() {
    let mut genesis = genesis();
    let mut entities = genesis.entities.into_vec();
    entities[2].roles = entities[2].roles.with(Role::Compliance);
    genesis.entities = List::new(entities).unwrap();
    let mut world = World::of(&genesis);
    let profile = Compliance { kyc_level: 2, risk: 9, sanctioned: true, expires_at: u64::MAX };
    let set = |by: u8, entity: EntityId| {
        RegistryCommand::SetCompliance(SetCompliance { by: id(by), entity, profile }).to_sce()
    };
    let mut run = |by: u8, salt: u8, command: Vec<u8>| {
        let tx = world.commands(by, salt, REGISTRY, &[command]);
        code(&world.run(tx))
    };
    assert_eq!(run(1, 1, set(1, id(2))), Some(Code::NotAuthorised), "without the role");
    assert_eq!(run(2, 2, set(3, id(2))), Some(Code::NotAuthorised), "without its signature");
    assert_eq!(run(3, 3, set(3, id(3))), Some(Code::NotAuthorised), "its own");
    assert_eq!(run(3, 4, set(3, EntityId([77; 20]))), Some(Code::UnknownEntity));
    assert_eq!(run(3, 5, set(3, id(2))), None);
    assert_eq!(world.get::<Entity>(&StateKey::entity(&id(2))).unwrap().compliance, profile);
    let transfer = Transfer { payer: id(2), payee: id(1).account(), amount: dollars(1), reference: None };
    let tx = world.pay(2, 6, &[BankCommand::Transfer(transfer)]);
    assert_eq!(code(&world.run(tx)), Some(Code::ComplianceBlocked));
}

#[test]
fn an_agents_day_is_counted_over_public_states() {
    let agent = PublicKey::ed25519(crate::world::key_of(70).public_key());
    let mut genesis = genesis();
    let mut entities = genesis.entities.into_vec();
    let scope = Scope {
        contracts: Set::new([ContractId::new("native:invoice").unwrap()]).unwrap(),
        commands: Set::new([1]).unwrap(),
        amount_per_tx_max: None,
        amount_per_day_max: Some(Amount { denom: usd(), units: Units(2 * 119) }),
        expires_at: None,
        quote_hash: None,
    };
    let buyer = &mut entities[usize::from(BUYER) - 1];
    let mut keys = buyer.keys.clone().into_vec();
    keys.push(KeyRecord { scope: Some(scope), ..KeyRecord::new(Purpose::Agent, agent) });
    buyer.keys = List::new(keys).unwrap();
    genesis.entities = List::new(entities).unwrap();
    let mut world = World::of(&genesis);
    let mut codes = Vec::new();
    for salt in 1..=3 {
        let tx = transaction(&world, salt, None, InvoiceCommand::Create(Box::new(terms())), &facts(&world));
        let tx = tx.change(|body| {
            let mut commands = body.commands.clone().into_vec();
            commands[0].signers = Set::new([public_key(SELLER), agent]).unwrap();
            body.commands = List::new(commands).unwrap();
        });
        let tx_id = tx.id(Mode::Public);
        let signature = |n: u8, purpose| {
            let key = public_key(n);
            BusinessSignature {
                purpose,
                key,
                signature: sign(n, &business_message(&chain(), &tx_id, purpose, &key)),
            }
        };
        let signatures = [signature(SELLER, Purpose::LedgerSigning), signature(70, Purpose::Agent)];
        let request = PublicTx {
            content: tx.whole.clone(),
            signatures: List::new(signatures).unwrap(),
            openings: List::default(),
            submission: submission(SELLER, world.next_seq(SELLER)),
        };
        codes.push(code(&world.run(signed(Request::PublicTx(Box::new(request)), SELLER))));
    }
    assert_eq!(codes, [None, None, Some(Code::NotAuthorised)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whoever consumes what, in whatever order: of one invoice one output is public at any time, its successor is what the
    /// table makes, and a node with nothing remembered does the same.
    #[test]
    fn one_output_of_an_invoice_is_live_at_any_time(steps in prop::collection::vec((0u8..6, 0usize..3), 1..10)) {
        let (mut world, first) = issued();
        let mut outputs = vec![first];
        for (salt, (wish, back)) in (2..).zip(steps) {
            let command = match wish {
                0 => InvoiceCommand::Accept(()),
                1 => InvoiceCommand::Dispute(()),
                2 => InvoiceCommand::SettleDispute(SettleDispute { adjusted: None }),
                3 => InvoiceCommand::MarkOverdue(()),
                4 => InvoiceCommand::Transfer(TransferIt { party: id(3) }),
                _ => InvoiceCommand::Void(()),
            };
            let back = back.min(outputs.len() - 1);
            let before = outputs[outputs.len() - 1 - back].clone();
            let Ok(tx) = try_transaction(&world, salt, Some(&before), command, &facts(&world)) else { continue };
            let bytes = tx.public(&mut world);
            let (height, time_ms) = (world.height + 1, world.time_ms + 1_000);
            let block = Block { height, time_ms, transactions: vec![&bytes] };
            let other = Ledger::new().finalize_block(&world.state, &block).unwrap();
            let outcome = world.block(std::slice::from_ref(&bytes));
            prop_assert_eq!(&other, &outcome);
            let expected = (back > 0).then_some(Code::Conflict);
            prop_assert_eq!(code(&outcome.results[0]), expected, "{}", outcome.results[0].log);
            if back == 0 {
                outputs.push(tx.output(Mode::Public));
            }
            let live = world.state.rows().into_keys().filter(|(substore, key)| {
                *substore == Substore::Utxo && key != Substore::FIRST_KEY
            });
            let last = StateKey::utxo(&outputs.last().unwrap().place).path;
            prop_assert_eq!(live.map(|(_, key)| key).collect::<Vec<_>>(), [last]);
        }
    }
}
