//! Section 12.3: a program with a plan's upgrade goes on with new rules at its height, one without it stops before the block.

use stateset_ledger_app::application::{Application, Block};
use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_app::{Fault, Ledger, MemoryState, Outcome, Upgrade, Upgrades};
use stateset_ledger_types::codec::Text;
use stateset_ledger_types::genesis::ChainRecord;
use stateset_ledger_types::governance::{Action, Proposal, ProposalStatus, SoftwareUpgrade};
use stateset_ledger_types::{Params, StateKey};
use ves::Digest;

use crate::governance::{ALL_YES, decide};
use crate::world::{World, genesis};

/// A program of the next version: its blocks have room for more.
const TWO: Upgrade = Upgrade { name: "two", app_version: 2, migrate: more_room };
const AT: u64 = 20;

fn more_room(overlay: &mut Overlay<'_>, plan: &SoftwareUpgrade) -> Result<(), Fault> {
    let params: Params = overlay.expect(&StateKey::params())?;
    let params = Params { max_block_gas: params.max_block_gas + 1, ..params };
    overlay.put(StateKey::params_hash(plan.height), &params.hash());
    overlay.put(StateKey::params(), &params);
    Ok(())
}

fn plan(name: &str, height: u64) -> Vec<Action> {
    vec![Action::SoftwareUpgrade(SoftwareUpgrade {
        name: Text::new(name).unwrap(),
        height,
        binary_hash: Digest([7; 32]),
        info: Text::new("release 0.2").unwrap(),
    })]
}

/// A chain that decided on the upgrade and stands at the block before it.
fn before_the_upgrade() -> World {
    let mut world = World::new();
    assert_eq!(decide(&mut world, plan("two", AT), ALL_YES).status, ProposalStatus::Executed);
    world.empty_blocks(AT - 1 - world.height);
    world
}

fn next(world: &World, ledger: &Ledger) -> Result<Outcome, Fault> {
    let block = Block { height: world.height + 1, time_ms: world.time_ms + 1_000, transactions: Vec::new() };
    ledger.finalize_block(&world.state, &block)
}

fn chain(world: &World) -> ChainRecord {
    world.get(&StateKey::chain()).unwrap()
}

#[test]
fn a_program_without_the_upgrade_stops_before_the_block_and_says_what_to_install() {
    let world = before_the_upgrade();
    let Err(fault) = next(&world, &Ledger::new()) else { panic!("it went on") };
    assert!(matches!(&fault, Fault::UpgradeNeeded(plan) if plan.height == AT), "{fault:?}");
    let said = fault.to_string();
    for part in ["\"two\"", "block 20", "install", "release 0.2", &"07".repeat(32)] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert_eq!(world.ledger.app_version(&world.state), Ok(1));
}

#[test]
fn a_program_with_the_upgrade_migrates_and_goes_on_with_the_new_version() {
    let mut world = before_the_upgrade();
    let gas = world.params().max_block_gas;
    world.ledger = Ledger::with(Upgrades::new(&[TWO]));
    assert_eq!(world.ledger.app_version(&world.state), Ok(1), "not before its height");
    let outcome = world.block(&[]);
    assert_eq!(outcome.app_version, Some(2));
    assert_eq!(outcome.bounds.map(|bounds| bounds.gas_max), Some(gas + 1));
    assert_eq!(outcome.events[0].kind, "upgrade");
    assert!(outcome.notes[0].contains("two"), "{:?}", outcome.notes);
    assert_eq!((chain(&world).app_version, chain(&world).upgrade.as_str()), (2, "two"));
    assert_eq!(world.get::<u64>(&StateKey::upgraded("two")), Some(AT));
    assert_eq!(world.params().max_block_gas, gas + 1);
    let after = world.block(&[]);
    assert_eq!((after.app_version, after.events.len()), (None, 0), "once");
    assert_eq!(world.ledger.app_version(&world.state), Ok(2));

    // The old program does not go on with old rules, and the upgrade does not happen twice.
    let old = Ledger::new();
    let lacks = Err(Fault::RulesUnknown { app_version: 2, upgrade: "two".to_owned() });
    assert_eq!(next(&world, &old).map(drop), lacks);
    assert_eq!(old.app_version(&world.state).map(drop), lacks);
    let again = decide(&mut world, plan("two", AT + 40), ALL_YES);
    assert_eq!(again.status, ProposalStatus::Failed);
    assert!(again.reason.as_str().contains("has happened"), "{}", again.reason);
}

#[test]
fn a_skipped_height_is_noted_and_keeps_the_old_rules() {
    let mut world = before_the_upgrade();
    let gas = world.params().max_block_gas;
    let another = Ledger::with(Upgrades::new(&[]).skipping([AT + 1]));
    assert!(matches!(next(&world, &another), Err(Fault::UpgradeNeeded(_))), "another height");
    // Whoever has it may skip it too.
    let skips = |known: &[Upgrade]| Ledger::with(Upgrades::new(known).skipping([AT]));
    assert_eq!(next(&world, &skips(&[TWO])), next(&world, &skips(&[])));
    world.ledger = skips(&[]);
    let outcome = world.block(&[]);
    assert_eq!((outcome.app_version, outcome.events[0].kind.as_str()), (None, "upgrade_skipped"));
    assert!(outcome.notes[0].contains("skipped"), "{:?}", outcome.notes);
    assert_eq!((chain(&world).app_version, world.params().max_block_gas), (1, gas));
    world.ledger = Ledger::new();
    world.empty_blocks(2);
    // It may be decided on again.
    assert_eq!(decide(&mut world, plan("two", 60), ALL_YES).status, ProposalStatus::Executed);
}

#[test]
fn a_later_decision_takes_the_place_of_a_plan() {
    let mut world = World::new();
    assert_eq!(decide(&mut world, plan("two", 40), ALL_YES).status, ProposalStatus::Executed);
    let second: Proposal = decide(&mut world, plan("two", 60), ALL_YES);
    assert_eq!(second.status, ProposalStatus::Executed);
    world.empty_blocks(59 - world.height);
    assert!(matches!(next(&world, &Ledger::new()), Err(Fault::UpgradeNeeded(plan)) if plan.height == 60));
}

#[test]
fn a_replay_from_genesis_with_the_new_program_passes_both_sides_of_the_height() {
    let ledger = Ledger::with(Upgrades::new(&[TWO]));
    let mut world = World::new();
    // As it was: the old program up to the height, then the new one. Blocks as `decide` and the world make them.
    let mut blocks: Vec<(u64, u64, Vec<Vec<u8>>, Outcome)> = Vec::new();
    let mut run = |world: &mut World, txs: Vec<Vec<u8>>| {
        let outcome = world.block(&txs);
        blocks.push((world.height, world.time_ms, txs, outcome));
    };
    for (by, message) in crate::governance::decision(1, plan("two", AT)) {
        let tx = world.govern(by, message);
        run(&mut world, vec![tx]);
    }
    while world.height < AT - 1 {
        run(&mut world, Vec::new());
    }
    world.ledger = Ledger::with(Upgrades::new(&[TWO]));
    for salt in 1..=5 {
        let tx = world.private(3, salt, &[salt], &[]);
        run(&mut world, vec![tx]);
    }
    assert_eq!(chain(&world).app_version, 2);

    let state = MemoryState::default();
    state.apply(&ledger.init_chain(genesis().to_json().as_bytes()).unwrap().writes);
    for (height, time_ms, txs, expected) in &blocks {
        let transactions = txs.iter().map(Vec::as_slice).collect();
        let block = Block { height: *height, time_ms: *time_ms, transactions };
        assert_eq!(ledger.finalize_block(&state, &block).as_ref(), Ok(expected), "height {height}");
        state.apply(&expected.writes);
        ledger.commit(*height);
    }
    assert_eq!(state.rows(), world.state.rows());
}
