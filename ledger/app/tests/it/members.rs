//! C19: suspended entities and keys that end, at the exact height; who may submit at all.

use stateset_ledger_app::Ledger;
use stateset_ledger_app::application::Application;
use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::entity::{Entity, Role, Roles};
use stateset_ledger_types::governance::{Action, EntitySuspend, GovernanceMessage, Submit, Vote, VoteChoice};
use stateset_ledger_types::keys::Purpose;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Genesis};

use crate::world::{World, code, genesis, id, private_body, submit_private};

/// A genesis in which entity `n` is changed.
fn with(n: u8, change: impl Fn(&mut Entity)) -> Genesis {
    let mut genesis = genesis();
    let mut entities = genesis.entities.to_vec();
    change(&mut entities[usize::from(n) - 1]);
    genesis.entities = List::new(entities).unwrap();
    genesis
}

#[test]
fn a_key_ends_at_the_exact_time_of_the_block() {
    for (revoke, until) in [(true, 1_003_000), (false, 1_003_000)] {
        let genesis = with(3, |entity| {
            let mut keys = entity.keys.to_vec();
            if revoke {
                keys[0].revoked_at = Some(until)
            } else {
                keys[0].valid_until = Some(until)
            }
            entity.keys = List::new(keys).unwrap();
        });
        let mut world = World::of(&genesis);
        let (before, after) = (world.private(3, 1, &[10], &[]), world.private(3, 2, &[11], &[]));
        assert_eq!(code(&world.block_at(until - 1, &[before]).results[0]), None);
        assert_eq!(code(&world.block_at(until, &[after]).results[0]), Some(Code::NotAuthorised));
    }
}

#[test]
fn the_pool_judges_keys_at_the_last_block_also_after_a_start() {
    let genesis = with(3, |entity| {
        let mut keys = entity.keys.to_vec();
        keys[0].valid_from = 1_002_000;
        entity.keys = List::new(keys).unwrap();
    });
    let mut world = World::of(&genesis);
    let tx = world.private(3, 1, &[10], &[]);
    let pooled = |ledger: &Ledger| code(&ledger.check_tx(&world.state, &tx).unwrap());
    assert_eq!(pooled(&world.ledger), Some(Code::NotAuthorised), "valid a second later");
    let started = Ledger::new();
    started.resume(1, 1_001_999);
    assert_eq!(pooled(&started), Some(Code::NotAuthorised));
    started.resume(2, 1_002_000);
    assert_eq!(pooled(&started), None);
}

#[test]
fn a_suspension_holds_from_the_next_transaction_until_it_lapses() {
    let mut world = World::new();
    let submit = GovernanceMessage::Submit(Box::new(Submit {
        title: Text::new("stop").unwrap(),
        actions: List::new([Action::EntitySuspend(EntitySuspend {
            entity: id(3),
            reason: Text::default(),
            until: Some(1_010_000),
        })])
        .unwrap(),
        expedited: true,
    }));
    let vote = |proposal| GovernanceMessage::Vote(Vote { proposal, choice: VoteChoice::Yes });
    let proposed = world.govern(1, submit);
    assert_eq!(code(&world.run(proposed)), None);
    let one = world.govern(1, vote(1));
    let (before, two, after) =
        (world.private(3, 1, &[10], &[]), world.govern(2, vote(1)), world.private(3, 2, &[11], &[]));
    // Two of two notaries: the second vote carries it out, in the middle of the block.
    let outcome = world.block(&[one, before, two, after.clone()]);
    let codes: Vec<_> = outcome.results.iter().map(code).collect();
    assert_eq!(codes, [None, None, None, Some(Code::EntityNotActive)]);
    assert_eq!(
        code(&world.block_at(1_009_999, std::slice::from_ref(&after)).results[0]),
        Some(Code::EntityNotActive)
    );
    assert_eq!(code(&world.block_at(1_010_000, &[after]).results[0]), None);
}

#[test]
fn only_members_with_their_own_ledger_keys_submit() {
    let mut world = World::new();
    let whole = private_body(world.header(), 1, &[10], &[], None);
    // Entity 9 is nobody.
    let stranger = submit_private(&whole, Mode::Private, 9, 1, &[10], &[]);
    assert_eq!(code(&world.run(stranger)), Some(Code::UnknownEntity));
    // Without the role MEMBER.
    let mut world = World::of(&with(3, |entity| entity.roles = Roles::of(&[Role::Attester])));
    let tx = world.private(3, 1, &[10], &[]);
    assert_eq!(code(&world.run(tx)), Some(Code::NotAuthorised));
    // With a key of another purpose.
    let mut world = World::of(&with(3, |entity| {
        let mut keys = entity.keys.to_vec();
        keys[0].purpose = Purpose::Identity;
        entity.keys = List::new(keys).unwrap();
    }));
    let tx = world.private(3, 1, &[10], &[]);
    assert_eq!(code(&world.run(tx)), Some(Code::NotAuthorised));
}

#[test]
fn c20_an_agent_acts_inside_its_scope_only() {
    use stateset_ledger_types::bank::{BANK, BankCommand, Transfer};
    use stateset_ledger_types::ids::ContractId;
    use stateset_ledger_types::keys::Scope;

    use crate::world::dollars;

    let genesis = with(3, |entity| {
        let mut keys = entity.keys.to_vec();
        keys[0].purpose = Purpose::Agent;
        keys[0].scope = Some(Scope {
            contracts: Set::new([ContractId::new(BANK).unwrap()]).unwrap(),
            commands: Set::new([1]).unwrap(),
            amount_per_tx_max: Some(dollars(100)),
            amount_per_day_max: Some(dollars(150)),
            expires_at: Some(200_000_000),
            quote_hash: None,
        });
        entity.keys = List::new(keys).unwrap();
    });
    let mut world = World::of(&genesis);
    let transfer = |units| {
        BankCommand::Transfer(Transfer {
            payer: id(3),
            payee: id(1).account(),
            amount: dollars(units),
            reference: None,
        })
    };
    let pay = |world: &mut World, salt, units, time| {
        let tx = world.agent_pay(3, salt, &[transfer(units)]);
        code(&world.block_at(time, &[tx]).results[0])
    };
    let day = 86_400_000;
    assert_eq!(pay(&mut world, 1, 101, 2_000_000), Some(Code::NotAuthorised));
    assert_eq!(pay(&mut world, 2, 100, 3_000_000), None);
    assert_eq!(pay(&mut world, 3, 51, 4_000_000), Some(Code::NotAuthorised), "the day's amount");
    assert_eq!(pay(&mut world, 4, 50, 5_000_000), None);
    assert_eq!(pay(&mut world, 5, 100, day), None, "another day");
    // The limit of a transaction is that of its commands together.
    let many = world.agent_pay(3, 7, &[transfer(50), transfer(51)]);
    assert_eq!(code(&world.block_at(2 * day, &[many]).results[0]), Some(Code::NotAuthorised));
    let two = world.agent_pay(3, 8, &[transfer(50), transfer(50)]);
    assert_eq!(code(&world.block_at(2 * day, &[two]).results[0]), None);
    assert_eq!(pay(&mut world, 6, 1, 200_000_000), Some(Code::NotAuthorised), "expired");
}

/// What another key of the entity has locked is no way around the limits of its agent.
#[test]
fn an_agent_decides_on_escrows_inside_its_amounts_only() {
    use stateset_ledger_types::bank::{
        BANK, BankCommand, ChannelClose, ChannelOpen, EscrowCreate, EscrowRefund, EscrowRelease,
    };
    use stateset_ledger_types::ids::{ContractId, SettlementId, Units};
    use stateset_ledger_types::keys::Scope;

    use crate::world::dollars;

    let genesis = with(3, |entity| {
        entity.roles = entity.roles.with(Role::Arbiter);
        let mut keys = entity.keys.to_vec();
        keys[0].purpose = Purpose::Agent;
        keys[0].scope = Some(Scope {
            contracts: Set::new([ContractId::new(BANK).unwrap()]).unwrap(),
            commands: Set::new([3, 4, 9]).unwrap(),
            amount_per_tx_max: Some(dollars(100)),
            amount_per_day_max: Some(dollars(150)),
            expires_at: None,
            quote_hash: None,
        });
        entity.keys = List::new(keys).unwrap();
    });
    let mut world = World::of(&genesis);
    let made = |world: &mut World, salt, payee| {
        let (payer, amount) = (id(1), dollars(101));
        let (arbiter, reference, expires_at) = (Some(id(3)), None, 90_000_000);
        let payee = id(payee).account();
        let create = EscrowCreate { payer, payee, amount, arbiter, expires_at, reference };
        let tx = world.pay(1, salt, &[BankCommand::EscrowCreate(create)]);
        let result = world.run(tx);
        SettlementId(result.data[result.data.len() - 36..].try_into().unwrap())
    };
    let (to_agent, to_other) = (made(&mut world, 1, 3), made(&mut world, 2, 2));
    let open = ChannelOpen { payer: id(1), payee: id(3), deposit: dollars(101), expires_at: 90_000_000 };
    let tx = world.pay(1, 9, &[BankCommand::ChannelOpen(open)]);
    let result = world.run(tx);
    let channel = SettlementId(result.data[result.data.len() - 36..].try_into().unwrap());
    let refund =
        |escrow, units| BankCommand::EscrowRefund(EscrowRefund { escrow, by: id(3), units: Units(units) });
    let release = |escrow| BankCommand::EscrowRelease(EscrowRelease { escrow, by: id(3) });
    let mut act = |salt, command| {
        let tx = world.agent_pay(3, salt, &[command]);
        code(&world.run(tx))
    };
    assert_eq!(act(3, refund(to_agent, 101)), Some(Code::NotAuthorised), "as the payee");
    assert_eq!(act(4, release(to_other)), Some(Code::NotAuthorised), "as the arbiter");
    let close = BankCommand::ChannelClose(ChannelClose { channel, by: id(3) });
    assert_eq!(act(10, close), Some(Code::NotAuthorised), "what the payee of a channel gives up");
    assert_eq!(act(5, refund(to_other, 100)), None);
    assert_eq!(act(6, refund(to_agent, 51)), Some(Code::NotAuthorised), "the day's amount");
    assert_eq!(act(7, release(to_other)), None, "what is left of it");
}

/// A member stood in front of all others for as long as it liked, by requests that fail and cost it nothing.
#[test]
fn a_member_has_no_more_waiting_than_four_blocks_take_from_it() {
    let mut genesis = genesis();
    genesis.params.set("quota_tx_per_block", 3).unwrap();
    let mut world = World::of(&genesis);
    let txs: Vec<_> = (1..=14).map(|n| world.private(1, n, &[n], &[])).collect();
    let other = world.private(2, 20, &[20], &[]);
    let pooled = |world: &World, tx: &Vec<u8>| code(&world.ledger.check_tx(&world.state, tx).unwrap());
    for tx in &txs[..12] {
        assert_eq!((pooled(&world, tx), pooled(&world, tx)), (None, None), "also when it is asked again");
    }
    assert_eq!(pooled(&world, &txs[12]), Some(Code::Quota));
    assert_eq!(pooled(&world, &other), None);
    // Two come into a block, and one is refused by it: none of them waits any more.
    world.block(&txs[..2]);
    assert_eq!((pooled(&world, &txs[12]), pooled(&world, &txs[13])), (None, None));
    assert_eq!(pooled(&world, &txs[0]), Some(Code::AlreadyNotarised));
}

/// The largest of all sequences was a member's last word, and its agent's key could say it.
#[test]
fn a_sequence_leaves_room_for_others() {
    let mut world = World::new();
    let header = world.header();
    let submitted = |salt: u8, seq: u64| {
        let whole = private_body(header.clone(), salt, &[salt], &[], None);
        submit_private(&whole, Mode::Private, 1, seq, &[salt], &[])
    };
    let mut run = |salt, seq, time| code(&world.block_at(time, &[submitted(salt, seq)]).results[0]);
    assert_eq!(run(1, u64::MAX, 2_000_000), Some(Code::BadSequence));
    assert_eq!(run(2, 7, 3_000_000), None);
    // A member may count by the clock: here in nanoseconds, and a day ahead of the chain's.
    let by_clock = (4_000_000 + 86_400_000) * 1_000_000;
    assert_eq!(run(3, by_clock + 1, 4_000_000), Some(Code::BadSequence));
    assert_eq!(run(4, by_clock, 4_000_000), None);
    assert_eq!(run(5, by_clock + (1 << 20) + 1, 4_000_000), Some(Code::BadSequence));
    assert_eq!(run(6, by_clock + (1 << 20), 4_000_000), None);
}

/// At the head of a pool, what fits into no block stopped the chain: nothing behind it came into one, and no vote.
#[test]
fn what_no_block_takes_does_not_enter_the_pool() {
    use stateset_ledger_types::bank::{BankCommand, BatchSettle};
    use stateset_ledger_types::codec::Blob;
    use stateset_ledger_types::governance::RootChange;
    use stateset_ledger_types::ids::SettlementId;

    let mut genesis = genesis();
    genesis.params.set("max_block_bytes", 65_536).unwrap();
    genesis.params.set("max_block_gas", 1_000_000).unwrap();
    let mut world = World::of(&genesis);
    let pooled = |world: &World, tx: &Vec<u8>| code(&world.ledger.check_tx(&world.state, tx).unwrap());
    let root = |number| {
        let certificate = Blob::new(vec![7; 8_192]).unwrap();
        Action::RootChange(RootChange { number, certificate })
    };
    let actions = List::new((0..7).map(root).collect::<Vec<_>>()).unwrap();
    let submit = Submit { title: Text::new("").unwrap(), actions, expedited: false };
    let large = world.govern(4, GovernanceMessage::Submit(Box::new(submit)));
    assert_eq!(pooled(&world, &large), Some(Code::TooLarge));
    let settle = |n| BankCommand::BatchSettle(BatchSettle { merchant: id(1), batch: SettlementId([n; 36]) });
    let dear = world.pay(1, 1, &(0..12).map(settle).collect::<Vec<_>>());
    assert_eq!(pooled(&world, &dear), Some(Code::OutOfGas));
    let small = world.private(1, 2, &[1], &[]);
    assert_eq!(pooled(&world, &small), None);
}
