//! An upgrade under the engine: it stops before the block, signs nothing of it, and goes on under a program that has it.

use std::path::Path;
use std::sync::Arc;

use stateset_fixtures::ledger::{genesis, key_of, signed, submission};
use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_app::upgrade::KNOWN;
use stateset_ledger_app::{Fault, Ledger, Upgrade, Upgrades};
use stateset_ledger_store::Store;
use stateset_ledger_types::Genesis;
use stateset_ledger_types::codec::{List, Text};
use stateset_ledger_types::envelope::{GovernanceTx, Request};
use stateset_ledger_types::governance::{
    Action, GovernanceMessage, SoftwareUpgrade, Sponsor, Submit, Vote, VoteChoice,
};
use stateset_solo::block::UnixNanos;
use stateset_solo::{Committed, Engine, EngineError, EngineParts, LastSigned};
use ves::Digest;

const AT: u64 = 20;
const TWO: Upgrade = Upgrade { name: "two", app_version: 2, migrate: nothing };

fn nothing(_: &mut Overlay<'_>, _: &SoftwareUpgrade) -> Result<(), Fault> {
    Ok(())
}

fn old() -> Ledger {
    Ledger::with(Upgrades::new(KNOWN))
}

fn new() -> Ledger {
    Ledger::with(Upgrades::new(&[TWO]))
}

fn one_validator() -> Genesis {
    let mut genesis = genesis();
    let first = genesis.validators.first().cloned().expect("two validators");
    genesis.validators = List::new([first]).expect("one");
    genesis
}

fn open(folder: &Path, ledger: Ledger) -> Result<Engine<Ledger>, EngineError> {
    let parts = EngineParts {
        application: Arc::new(ledger),
        store: Arc::new(Store::open(&folder.join("state.redb")).expect("the state")),
        keys: vec![Arc::new(key_of(101))],
        last_signed: LastSigned::open(folder).expect("a record"),
        trust_stored_height: false,
    };
    Ok(Engine::start(parts, one_validator().to_json().as_bytes())?.0)
}

/// Messages that decide on the upgrade, by member and its number.
fn decision() -> Vec<Arc<[u8]>> {
    let plan = Action::SoftwareUpgrade(SoftwareUpgrade {
        name: Text::new("two").expect("short"),
        height: AT,
        binary_hash: Digest::ZERO,
        info: Text::default(),
    });
    let actions = List::new([plan]).expect("one");
    let submit = Submit { title: Text::default(), actions, expedited: false };
    let vote = GovernanceMessage::Vote(Vote { proposal: 1, choice: VoteChoice::Yes });
    let messages = [
        (1, 1, GovernanceMessage::Submit(Box::new(submit))),
        (2, 1, GovernanceMessage::Sponsor(Sponsor { proposal: 1 })),
        (1, 2, vote.clone()),
        (2, 2, vote.clone()),
        (3, 1, vote),
    ];
    let request = |(by, seq, message)| {
        let tx = GovernanceTx { message, submission: submission(by, seq) };
        signed(Request::Governance(Box::new(tx)), by).into()
    };
    messages.into_iter().map(request).collect()
}

fn block(engine: &mut Engine<Ledger>) -> Result<Committed, EngineError> {
    let height = engine.next_height();
    let message = decision().get(height as usize - 1).cloned();
    let clock = UnixNanos::from_ms(1_000_000 + 1_000 * height);
    Ok(engine.next_block(message.as_slice(), clock)?.0)
}

fn app_version(block: &Committed) -> u64 {
    block.block.header.as_ref().and_then(|header| header.version.as_ref()).expect("a header").app
}

#[test]
fn it_stops_before_the_block_and_goes_on_under_a_program_that_has_the_upgrade() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = open(folder.path(), old()).expect("it starts");
    let mut chain = Vec::new();
    for height in 1..AT {
        let made = block(&mut engine).expect("a block");
        assert_eq!((made.height, app_version(&made)), (height, 1));
        chain.push(made);
    }
    for _ in 0..2 {
        let stopped = block(&mut engine).map(drop);
        assert!(
            matches!(stopped, Err(EngineError::Application(Fault::UpgradeNeeded(_)))),
            "{stopped:?}: more than a refused decision"
        );
        drop(engine);
        let signed = LastSigned::open(folder.path()).expect("readable");
        assert_eq!(signed.newest().map(|newest| newest.height), Some(AT - 1));
        engine = open(folder.path(), old()).expect("it starts, and stops again");
    }
    drop(engine);
    let mut engine = open(folder.path(), new()).expect("it goes on");
    for _ in 0..3 {
        chain.push(block(&mut engine).expect("a block"));
    }
    drop(engine);
    // The version is of the state, not of the memory that made it.
    let mut engine = open(folder.path(), new()).expect("it goes on");
    chain.push(block(&mut engine).expect("a block"));
    drop(engine);
    let versions: Vec<u64> = chain[AT as usize - 2..].iter().map(app_version).collect();
    assert_eq!(versions, [1, 1, 2, 2, 2], "the header after the block of the upgrade has the new version");
    let back = open(folder.path(), old()).map(drop);
    assert!(
        matches!(back, Err(EngineError::Application(Fault::RulesUnknown { app_version: 2, .. }))),
        "{back:?}"
    );

    // The new program alone makes the same chain from genesis.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut engine = open(elsewhere.path(), new()).expect("it starts");
    for expected in &chain {
        assert_eq!(block(&mut engine).expect("a block").id, expected.id, "height {}", expected.height);
    }
}
