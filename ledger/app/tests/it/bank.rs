//! Section 10: every operation with its edges, and C9 over random sequences. Debug builds audit after every block too.

use proptest::prelude::*;
use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_app::{MemoryState, bank};
use stateset_ledger_types::bank::{
    BankCommand, BatchCreate, BatchSettle, Burn, ChannelClaim, ChannelClose, ChannelOpen, Charge, Claim,
    EscrowCreate, EscrowRefund, EscrowRelease, Mandate, Mint, Settlement, SettlementStatus, SignedMandate,
    Transfer,
};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::ids::{SettlementId, Units};
use stateset_ledger_types::{Code, StateKey};
use ves::Digest;

use crate::world::{World, chain, code, dollars, genesis, id, public_key, sign};

fn audit(state: &MemoryState) -> bank::Holding {
    let found = bank::audit(&Overlay::new(state)).unwrap();
    found.into_values().next().expect("one denomination")
}

/// Runs commands in a block of their own; the id of what the last one made.
fn run(world: &mut World, by: u8, salt: u8, commands: &[BankCommand]) -> Result<SettlementId, Code> {
    let tx = world.pay(by, salt, commands);
    let result = world.run(tx);
    assert!(audit(&world.state).is_conserved());
    match code(&result) {
        None => Ok(SettlementId(result.data[result.data.len() - 36..].try_into().unwrap())),
        Some(code) => Err(code),
    }
}

fn transfer(payer: u8, payee: u8, units: u128) -> BankCommand {
    let (payer, payee) = (id(payer), id(payee).account());
    BankCommand::Transfer(Transfer { payer, payee, amount: dollars(units), reference: None })
}

fn escrow(payer: u8, payee: u8, units: u128, expires_at: u64) -> BankCommand {
    BankCommand::EscrowCreate(EscrowCreate {
        payer: id(payer),
        payee: id(payee).account(),
        amount: dollars(units),
        arbiter: Some(id(1)),
        expires_at,
        reference: None,
    })
}

fn status(world: &World, id: &SettlementId) -> SettlementStatus {
    world.get::<Settlement>(&StateKey::settlement(id)).unwrap().status
}

#[test]
fn a_transfer_moves_what_its_payer_signed_for() {
    let mut world = World::new();
    let made = run(&mut world, 1, 1, &[transfer(1, 2, 300)]).unwrap();
    assert_eq!((world.balance(1), world.balance(2)), (999_700, 1_000_300));
    assert_eq!(status(&world, &made), SettlementStatus::Completed);
    assert_eq!(run(&mut world, 1, 2, &[transfer(2, 1, 1)]), Err(Code::NotAuthorised));
    assert_eq!(run(&mut world, 1, 3, &[transfer(1, 2, 1_000_000)]), Err(Code::InsufficientFunds));
    assert_eq!(run(&mut world, 1, 4, &[transfer(1, 2, 0)]), Err(Code::Invariant));
    assert_eq!(run(&mut world, 1, 5, &[transfer(1, 9, 1)]), Err(Code::UnknownEntity));
    // All commands of a transaction, or none.
    assert_eq!(
        run(&mut world, 1, 6, &[transfer(1, 2, 1), transfer(1, 2, 10_000_000)]),
        Err(Code::InsufficientFunds)
    );
    assert_eq!((world.balance(1), world.balance(2)), (999_700, 1_000_300));
    run(&mut world, 1, 7, &[transfer(1, 1, 5)]).unwrap();
    assert_eq!(world.balance(1), 999_700);
}

/// What stands behind a reference is paid once, whoever asks again: the same transfer, another, an escrow, a batch.
#[test]
fn a_payer_uses_a_reference_once() {
    let mut world = World::new();
    let named = |payer: u8, units: u128, name: u8| {
        BankCommand::Transfer(Transfer {
            payer: id(payer),
            payee: id(2).account(),
            amount: dollars(units),
            reference: Some(Digest([name; 32])),
        })
    };
    let first = run(&mut world, 1, 1, &[named(1, 300, 7)]).unwrap();
    assert_eq!(world.get(&StateKey::payment(&id(1), &Digest([7; 32]))), Some(first), "it is found by it");
    assert_eq!(run(&mut world, 1, 2, &[named(1, 300, 7)]), Err(Code::Conflict));
    assert_eq!(
        run(&mut world, 1, 3, &[named(1, 1, 8), named(1, 1, 8)]),
        Err(Code::Conflict),
        "in one request"
    );
    assert_eq!(world.balance(1), 999_700, "nothing of a refused request is written");
    let mut held = escrow(1, 2, 5, 9_000_000);
    if let BankCommand::EscrowCreate(create) = &mut held {
        create.reference = Some(Digest([7; 32]));
    }
    assert_eq!(run(&mut world, 1, 4, &[held]), Err(Code::Conflict));
    let mut twice = charge(1, 100, 60, 9_000_000);
    twice.reference = Some(Digest([7; 32]));
    let charges = List::new([twice]).unwrap();
    let create = BankCommand::BatchCreate(BatchCreate { merchant: id(2), charges });
    let batch = run(&mut world, 2, 5, &[create]).unwrap();
    let settle = BankCommand::BatchSettle(BatchSettle { merchant: id(2), batch });
    assert_eq!(run(&mut world, 2, 6, &[settle]), Err(Code::Conflict));
    // In one block: the first of the two.
    let both = [world.pay(1, 7, &[named(1, 10, 9)]), world.pay(1, 8, &[named(1, 10, 9)])];
    let results = world.block(&both).results;
    assert_eq!(results.iter().map(code).collect::<Vec<_>>(), [None, Some(Code::Conflict)]);
    assert_eq!(world.balance(1), 999_690);
    run(&mut world, 3, 9, &[named(3, 300, 7)]).expect("another payer's reference is its own");
}

#[test]
fn fees_go_to_the_collector() {
    let mut genesis = genesis();
    genesis.params.set("default_fee_bps", 30).unwrap();
    let mut world = World::of(&genesis);
    let made = run(&mut world, 1, 1, &[transfer(1, 2, 1_000)]).unwrap();
    assert_eq!((world.balance(1), world.balance(2), world.balance(4)), (999_000, 1_000_997, 3));
    assert_eq!(world.get::<Settlement>(&StateKey::settlement(&made)).unwrap().fee, Units(3));
}

#[test]
fn a_sanctioned_or_lapsed_profile_moves_nothing() {
    for sanctioned in [true, false] {
        let mut genesis = genesis();
        let mut entities = genesis.entities.to_vec();
        entities[1].compliance.sanctioned = sanctioned;
        entities[1].compliance.expires_at = if sanctioned { u64::MAX } else { 1_001_000 };
        genesis.entities = List::new(entities).unwrap();
        let mut world = World::of(&genesis);
        assert_eq!(run(&mut world, 1, 1, &[transfer(1, 2, 1)]), Err(Code::ComplianceBlocked));
        assert_eq!(run(&mut world, 2, 2, &[transfer(2, 1, 1)]), Err(Code::ComplianceBlocked));
    }
}

/// What was locked or deposited before the profile ran out is not paid after it; it goes back at its time.
#[test]
fn nothing_is_paid_for_a_payer_whose_profile_has_run_out_since() {
    let mut genesis = genesis();
    let mut entities = genesis.entities.to_vec();
    entities[2].compliance.expires_at = 1_004_000;
    genesis.entities = List::new(entities).unwrap();
    let mut world = World::of(&genesis);
    let locked = run(&mut world, 3, 1, &[escrow(3, 2, 100, 9_000_000)]).unwrap();
    let open = BankCommand::ChannelOpen(ChannelOpen {
        payer: id(3),
        payee: id(2),
        deposit: dollars(100),
        expires_at: 9_000_000,
    });
    let channel = run(&mut world, 3, 2, &[open]).unwrap();
    world.block_at(1_004_000, &[]);
    let release = |by| BankCommand::EscrowRelease(EscrowRelease { escrow: locked, by: id(by) });
    assert_eq!(run(&mut world, 3, 3, &[release(3)]), Err(Code::ComplianceBlocked));
    assert_eq!(run(&mut world, 1, 4, &[release(1)]), Err(Code::ComplianceBlocked), "the arbiter");
    assert_eq!(run(&mut world, 2, 5, &[claim(channel, 30, 1, 3)]), Err(Code::ComplianceBlocked));
    world.block_at(9_000_000, &[]);
    assert_eq!((status(&world, &locked), world.balance(2)), (SettlementStatus::Cancelled, 1_000_000));
}

/// What a command does besides reading its bytes is paid for: else a member could have a block's worth of work for a few of them.
#[test]
fn signatures_in_commands_and_charges_in_the_state_cost_gas() {
    let mut world = World::new();
    let gas = |world: &mut World, salt, commands: &[BankCommand]| {
        let tx = world.pay(2, salt, commands);
        let bytes = 10 * tx.len() as u64;
        u64::try_from(world.run(tx).gas_used).unwrap() - bytes
    };
    let charges: Vec<Charge> = (0..20).map(|_| charge(1, 100, 1, 9_000_000)).collect();
    let charges = List::new(charges).unwrap();
    let plain = gas(&mut world, 1, &[transfer(2, 1, 1)]);
    let create = BankCommand::BatchCreate(BatchCreate { merchant: id(2), charges });
    assert_eq!(gas(&mut world, 2, &[create]) - plain, 20 * 500);
    let settle = || BankCommand::BatchSettle(BatchSettle { merchant: id(2), batch: SettlementId([7; 36]) });
    let most = 1_000 * world.params().max_batch;
    assert_eq!(gas(&mut world, 3, &[settle()]) - plain, most);
    assert_eq!(gas(&mut world, 4, &[claim(SettlementId([7; 36]), 1, 1, 1)]) - plain, 500);
    // More than a transaction may have are refused before the first is carried out.
    let many: Vec<BankCommand> = (0..101).map(|_| settle()).collect();
    assert_eq!(run(&mut world, 2, 5, &many), Err(Code::OutOfGas));
}

#[test]
fn only_an_issuer_changes_the_supply() {
    let mut world = World::new();
    let mint =
        |issuer| BankCommand::Mint(Mint { issuer: id(issuer), to: id(2).account(), amount: dollars(7) });
    assert_eq!(run(&mut world, 1, 1, &[mint(1)]), Err(Code::NotAuthorised));
    run(&mut world, 4, 2, &[mint(4)]).unwrap();
    assert_eq!((audit(&world.state).supply, world.balance(2)), (3_000_007, 1_000_007));
    run(&mut world, 2, 3, &[transfer(2, 4, 5)]).unwrap();
    let burn = |units| BankCommand::Burn(Burn { issuer: id(4), amount: dollars(units) });
    assert_eq!(run(&mut world, 4, 4, &[burn(6)]), Err(Code::InsufficientFunds));
    run(&mut world, 4, 5, &[burn(5)]).unwrap();
    assert_eq!(audit(&world.state).supply, 3_000_002);
}

#[test]
fn an_escrow_ends_by_release_refund_or_expiry() {
    let mut world = World::new();
    let release = |escrow, by| BankCommand::EscrowRelease(EscrowRelease { escrow, by: id(by) });
    let refund = |escrow, by, units| {
        BankCommand::EscrowRefund(EscrowRefund { escrow, by: id(by), units: Units(units) })
    };

    let made = run(&mut world, 3, 1, &[escrow(3, 2, 100, 9_000_000)]).unwrap();
    assert_eq!((world.balance(3), audit(&world.state).escrows), (999_900, 100));
    // The payee gives back, the payer gives away, nobody else.
    assert_eq!(run(&mut world, 2, 2, &[release(made, 2)]), Err(Code::NotAuthorised));
    assert_eq!(run(&mut world, 3, 3, &[refund(made, 3, 1)]), Err(Code::NotAuthorised));
    assert_eq!(run(&mut world, 2, 4, &[refund(made, 2, 101)]), Err(Code::InsufficientFunds));
    run(&mut world, 2, 5, &[refund(made, 2, 40)]).unwrap();
    assert_eq!(status(&world, &made), SettlementStatus::Pending);
    run(&mut world, 3, 6, &[release(made, 3)]).unwrap();
    assert_eq!(status(&world, &made), SettlementStatus::Completed);
    assert_eq!((world.balance(3), world.balance(2)), (999_940, 1_000_060));
    let settlement: Settlement = world.get(&StateKey::settlement(&made)).unwrap();
    assert_eq!(settlement.amount, dollars(60), "evidence of what was paid, not of what was locked");
    assert_eq!(run(&mut world, 3, 7, &[release(made, 3)]), Err(Code::BadTransition));

    // Who lacks the role, or is nobody, decides nothing and is named for nothing.
    let named = |arbiter| match escrow(3, 2, 100, 9_000_000) {
        BankCommand::EscrowCreate(create) => {
            BankCommand::EscrowCreate(EscrowCreate { arbiter: Some(arbiter), ..create })
        }
        other => other,
    };
    assert_eq!(run(&mut world, 3, 71, &[named(id(4))]), Err(Code::NotAuthorised));
    assert_eq!(run(&mut world, 3, 72, &[named(id(9))]), Err(Code::UnknownEntity));
    // The arbiter may decide either way.
    let made = run(&mut world, 3, 8, &[escrow(3, 2, 100, 9_000_000)]).unwrap();
    run(&mut world, 1, 9, &[refund(made, 1, 100)]).unwrap();
    assert_eq!(status(&world, &made), SettlementStatus::Refunded);

    // At its time it lapses, not a millisecond before.
    let made = run(&mut world, 3, 10, &[escrow(3, 2, 100, 9_000_000)]).unwrap();
    world.block_at(8_999_999, &[]);
    assert_eq!(status(&world, &made), SettlementStatus::Pending);
    world.block_at(9_000_000, &[]);
    assert_eq!(status(&world, &made), SettlementStatus::Cancelled);
    assert_eq!(world.balance(3), 999_940);
    assert_eq!(run(&mut world, 3, 11, &[escrow(3, 2, 100, 9_000_000)]), Err(Code::Invariant), "in the past");
    let late = 9_000_000 + 366 * 86_400_000;
    assert_eq!(run(&mut world, 3, 12, &[escrow(3, 2, 100, late)]), Err(Code::Invariant), "too far");
}

#[test]
fn expiries_come_in_order_and_so_many_a_block() {
    let mut genesis = genesis();
    genesis.params.set("max_expiries_per_block", 2).unwrap();
    let mut world = World::of(&genesis);
    let times = [9_000_002, 9_000_000, 9_000_001];
    let made: Vec<SettlementId> = (1..)
        .zip(times)
        .map(|(salt, time)| run(&mut world, 3, salt, &[escrow(3, 2, 1, time)]).unwrap())
        .collect();
    let open = |world: &World| -> Vec<bool> {
        made.iter().map(|id| status(world, id) == SettlementStatus::Pending).collect()
    };
    world.block_at(9_000_010, &[]);
    assert_eq!(open(&world), [true, false, false]);
    world.block_at(9_000_020, &[]);
    assert_eq!(open(&world), [false, false, false]);
}

fn charge(payer: u8, cap: u128, units: u128, expires_at: u64) -> Charge {
    let mandate = Mandate { payer: id(payer), merchant: id(2), cap: dollars(cap), expires_at };
    let signature = sign(payer, &mandate.message(&chain()));
    Charge {
        mandate: SignedMandate { mandate, key: public_key(payer), signature },
        units: Units(units),
        reference: None,
    }
}

#[test]
fn a_batch_is_collected_whole_within_its_mandates() {
    let mut world = World::new();
    let create = |charges: Vec<Charge>| {
        BankCommand::BatchCreate(BatchCreate { merchant: id(2), charges: List::new(charges).unwrap() })
    };
    let settle = |batch| BankCommand::BatchSettle(BatchSettle { merchant: id(2), batch });
    let good = || vec![charge(1, 100, 60, 9_000_000), charge(3, 50, 50, 9_000_000)];
    let batch = run(&mut world, 2, 1, &[create(good())]).unwrap();
    assert_eq!(world.balance(2), 1_000_000, "nothing moves before it is settled");
    run(&mut world, 2, 2, &[settle(batch)]).unwrap();
    assert_eq!((world.balance(1), world.balance(2), world.balance(3)), (999_940, 1_000_110, 999_950));
    assert_eq!(run(&mut world, 2, 3, &[settle(batch)]), Err(Code::BadTransition));
    // The cap is for all charges together.
    let batch = run(&mut world, 2, 4, &[create(good())]).unwrap();
    assert_eq!(run(&mut world, 2, 5, &[settle(batch)]), Err(Code::NotAuthorised));
    assert_eq!(world.balance(2), 1_000_110);
    let mut forged = charge(1, 100, 1, 9_000_000);
    forged.mandate.mandate.cap = dollars(1_000);
    assert_eq!(run(&mut world, 2, 6, &[create(vec![forged])]), Err(Code::BadSignature));
    assert_eq!(
        run(&mut world, 2, 7, &[create(vec![charge(1, 9, 1, 1)])]),
        Err(Code::NotAuthorised),
        "expired"
    );
    assert_eq!(run(&mut world, 2, 8, &[create(vec![])]), Err(Code::TooLarge));
    let stolen = BankCommand::BatchCreate(BatchCreate {
        merchant: id(3),
        charges: List::new([charge(1, 9, 1, 9_000_000)]).unwrap(),
    });
    assert_eq!(run(&mut world, 3, 9, &[stolen]), Err(Code::NotAuthorised), "another merchant's mandate");
}

fn claim(channel: SettlementId, cumulative: u128, nonce: u64, signer: u8) -> BankCommand {
    let claim = Claim { channel, cumulative: Units(cumulative), nonce };
    let signature = sign(signer, &claim.message(&chain()));
    BankCommand::ChannelClaim(ChannelClaim { claim, key: public_key(signer), signature })
}

#[test]
fn a_channel_pays_rising_claims_and_returns_the_rest() {
    let mut world = World::new();
    let open = BankCommand::ChannelOpen(ChannelOpen {
        payer: id(1),
        payee: id(2),
        deposit: dollars(100),
        expires_at: 9_000_000,
    });
    let close = |channel, by| BankCommand::ChannelClose(ChannelClose { channel, by: id(by) });
    let channel = run(&mut world, 1, 1, std::slice::from_ref(&open)).unwrap();
    run(&mut world, 2, 2, &[claim(channel, 30, 1, 1)]).unwrap();
    assert_eq!(run(&mut world, 2, 3, &[claim(channel, 60, 1, 1)]), Err(Code::BadSequence));
    assert_eq!(run(&mut world, 2, 4, &[claim(channel, 30, 2, 1)]), Err(Code::Invariant));
    assert_eq!(run(&mut world, 2, 5, &[claim(channel, 101, 2, 1)]), Err(Code::InsufficientFunds));
    assert_eq!(run(&mut world, 2, 6, &[claim(channel, 60, 2, 2)]), Err(Code::NotAuthorised));
    assert_eq!(
        run(&mut world, 1, 7, &[claim(channel, 60, 2, 1)]),
        Err(Code::NotAuthorised),
        "the payee claims"
    );
    run(&mut world, 2, 8, &[claim(channel, 60, 2, 1)]).unwrap();
    assert_eq!(run(&mut world, 1, 9, &[close(channel, 1)]), Err(Code::NotAuthorised), "not expired");
    run(&mut world, 2, 10, &[close(channel, 2)]).unwrap();
    assert_eq!((world.balance(1), world.balance(2)), (999_940, 1_000_060));
    assert_eq!(run(&mut world, 2, 11, &[claim(channel, 70, 3, 1)]), Err(Code::NotFound));

    let channel = run(&mut world, 1, 12, &[open]).unwrap();
    world.block_at(9_000_000, &[]);
    run(&mut world, 1, 13, &[close(channel, 1)]).unwrap();
    assert_eq!((world.balance(1), world.balance(2)), (999_940, 1_000_060));
}

#[derive(Debug, Clone)]
enum Step {
    Transfer(u8, u8, u128),
    Escrow(u8, u8, u128, u64),
    Release(usize),
    Refund(usize, u128),
    Mint(u128),
    Burn(u128),
    Open(u8, u128),
    Claim(usize, u128),
    Close(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let units = prop_oneof![0u128..10, 0u128..2_000_000, Just(u128::MAX)];
    prop_oneof![
        (1u8..4, 1u8..5, units.clone()).prop_map(|(a, b, n)| Step::Transfer(a, b, n)),
        (1u8..4, 1u8..5, units.clone(), 0u64..20_000).prop_map(|(a, b, n, t)| Step::Escrow(a, b, n, t)),
        (0usize..8).prop_map(Step::Release),
        (0usize..8, units.clone()).prop_map(|(i, n)| Step::Refund(i, n)),
        units.clone().prop_map(Step::Mint),
        units.clone().prop_map(Step::Burn),
        (1u8..4, units.clone()).prop_map(|(a, n)| Step::Open(a, n)),
        (0usize..4, units).prop_map(|(i, n)| Step::Claim(i, n)),
        (0usize..4).prop_map(Step::Close),
        (0u64..20_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// C9: whatever is asked, by whomever, the supply is where it should be, and nothing panics.
    #[test]
    fn c9_value_is_conserved(steps in prop::collection::vec(step(), 1..30), fee in 0u64..1_000) {
        let mut genesis = genesis();
        genesis.params.set("default_fee_bps", fee).unwrap();
        let mut world = World::of(&genesis);
        let (mut escrows, mut channels): (Vec<(SettlementId, u8, u8)>, Vec<SettlementId>) = Default::default();
        for (salt, step) in (1..).zip(steps) {
            let amount = dollars;
            let (by, command) = match step {
                Step::Transfer(a, b, n) => (a, transfer(a, b, n)),
                Step::Escrow(a, b, n, after) => (a, escrow(a, b, n, world.time_ms + after)),
                Step::Release(i) => {
                    let Some((escrow, payer, _)) = escrows.get(i) else { continue };
                    (*payer, BankCommand::EscrowRelease(EscrowRelease { escrow: *escrow, by: id(*payer) }))
                }
                Step::Refund(i, n) => {
                    let Some((escrow, _, payee)) = escrows.get(i) else { continue };
                    let by = id(*payee);
                    (*payee, BankCommand::EscrowRefund(EscrowRefund { escrow: *escrow, by, units: Units(n) }))
                }
                Step::Mint(n) => (4, BankCommand::Mint(Mint { issuer: id(4), to: id(4).account(), amount: amount(n) })),
                Step::Burn(n) => (4, BankCommand::Burn(Burn { issuer: id(4), amount: amount(n) })),
                Step::Open(a, n) => {
                    let expires_at = world.time_ms + 5_000;
                    (a, BankCommand::ChannelOpen(ChannelOpen { payer: id(a), payee: id(2), deposit: amount(n), expires_at }))
                }
                Step::Claim(i, n) => {
                    let Some(channel) = channels.get(i) else { continue };
                    (2, claim(*channel, n, u64::from(salt), 1))
                }
                Step::Close(i) => {
                    let Some(channel) = channels.get(i) else { continue };
                    (2, BankCommand::ChannelClose(ChannelClose { channel: *channel, by: id(2) }))
                }
                Step::Wait(ms) => {
                    world.block_at(world.time_ms + 1 + ms, &[]);
                    prop_assert!(audit(&world.state).is_conserved());
                    continue;
                }
            };
            let tx = world.pay(by, salt, std::slice::from_ref(&command));
            let outcome = world.block(&[tx]);
            prop_assert!(outcome.panicked.is_empty());
            let result = &outcome.results[0];
            let holding = audit(&world.state);
            prop_assert!(holding.is_conserved(), "{:?} after {:?}", holding, command);
            if code(result).is_none() {
                let made = SettlementId(result.data[result.data.len() - 36..].try_into().unwrap());
                match command {
                    BankCommand::EscrowCreate(e) => escrows.push((made, e.payer.0[0], e.payee.0[0])),
                    BankCommand::ChannelOpen(_) => channels.push(made),
                    _ => {}
                }
            }
        }
    }
}
