//! C10: two nodes of the ledger, on other numbers of cores and with restarts at chance, have the same app hash at every height.
//!
//! One checks on one thread and runs through. The other checks on many threads at once and is started anew at chance: with
//! nothing in memory, and also with its newest block signed but not stored. A third executes each block before the one before it
//! is stored.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use stateset_fixtures::ledger::{chain, genesis, key_of};
use stateset_fixtures::ledger_requests::{Random, Requests};
use stateset_ledger_app::Ledger;
use stateset_ledger_store::Store;
use stateset_ledger_types::Genesis;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::entity::Role;
use stateset_solo::block::UnixNanos;
use stateset_solo::{Committed, Engine, EngineParts, LastSigned, Sealed};

const BLOCKS: u64 = 40;
const THREADS: usize = 8;

/// Members 1 to 4; the first one validates.
fn one_validator() -> Genesis {
    let mut genesis = genesis();
    let first = genesis.validators.first().cloned().expect("two validators");
    assert!(genesis.entities.first().expect("members").roles.has(Role::Notary));
    genesis.validators = List::new([first]).expect("one");
    genesis
}

/// A node's folder: the state, and what was signed last.
struct Machine {
    folder: tempfile::TempDir,
    threads: usize,
    engine: Option<Engine<Ledger>>,
}

impl Machine {
    fn new(genesis: &Genesis, threads: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Some(open(folder.path(), genesis).0);
        Self { folder, threads, engine }
    }

    fn block(&mut self, candidates: &[Arc<[u8]>], clock: UnixNanos) -> Committed {
        let engine = self.engine.as_mut().expect("running");
        let (application, view) = (engine.application(), engine.store().view().expect("the state"));
        thread::scope(|scope| {
            for at in 0..self.threads {
                let (application, view, threads) = (&application, &view, self.threads);
                scope.spawn(move || {
                    use stateset_ledger_app::Application as _;
                    for candidate in candidates.iter().skip(at).step_by(threads) {
                        application.check_tx(view, candidate).expect("no fault");
                    }
                });
            }
        });
        drop(view);
        engine.next_block(candidates, clock).expect("a block").0
    }

    /// Ends, and starts again from what is on disk.
    fn restart(&mut self, genesis: &Genesis) -> Option<Committed> {
        self.engine = None;
        let (engine, pending) = open(self.folder.path(), genesis);
        self.engine = Some(engine);
        pending
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state.redb")
    }
}

fn open(folder: &Path, genesis: &Genesis) -> (Engine<Ledger>, Option<Committed>) {
    let parts = EngineParts {
        application: Arc::new(Ledger::new()),
        store: Arc::new(Store::open(&folder.join("state.redb")).expect("the state")),
        keys: vec![Arc::new(key_of(101))],
        last_signed: LastSigned::open(folder).expect("a record"),
        trust_stored_height: false,
    };
    Engine::start(parts, genesis.to_json().as_bytes()).expect("it goes on")
}

#[test]
fn nodes_on_other_cores_with_restarts_have_the_same_app_hash_at_every_height() {
    let genesis = one_validator();
    let (mut plain, mut other) = (Machine::new(&genesis, 1), Machine::new(&genesis, THREADS));
    let (mut hasty, mut sealed) = (Machine::new(&genesis, 1), None::<(Sealed<Ledger>, Committed)>);
    let mut requests = Requests::new(10, &genesis.params);
    let (mut random, mut carried, mut refused, mut lost) = (Random(11), 0, 0, 0);
    for n in 1..=BLOCKS {
        let clock = UnixNanos::from_ms(genesis.genesis_time + n * 1_000);
        let candidates: Vec<Arc<[u8]>> = requests.some(30).into_iter().map(Into::into).collect();
        let expected = plain.block(&candidates, clock);
        let before = other.folder.path().join("before.redb");
        std::fs::copy(other.state(), &before).expect("a copy");
        let mut made = other.block(&candidates, clock);
        match random.below(4) {
            0 => assert!(other.restart(&genesis).is_none()),
            1 => {
                // The power went after signing: the state is that of the block before.
                other.engine = None;
                std::fs::rename(&before, other.state()).expect("the old state");
                made = other.restart(&genesis).expect("the block that was signed");
                lost += 1;
            }
            _ => {}
        }
        assert_eq!((made.height, &made.id), (expected.height, &expected.id));
        assert_eq!(made.results.0, expected.results.0, "height {n}");
        let hash = |machine: &Machine| {
            let engine = machine.engine.as_ref().expect("running");
            engine.store().view().expect("the state").app_hash()
        };
        assert_eq!(hash(&plain), hash(&other), "height {n}");
        let engine = hasty.engine.as_mut().expect("running");
        let (executed, _) = engine.execute_next(&candidates, clock).expect("a block");
        if let Some((sealed, expected)) = sealed.take() {
            assert_eq!(sealed.store().expect("stored").results.0, expected.results.0, "height {}", n - 1);
        }
        sealed = Some((engine.seal(executed).expect("signed"), expected.clone()));
        let results = &expected.results.0.tx_results;
        carried += results.iter().filter(|result| result.code == 0).count();
        refused += candidates.len() - results.iter().filter(|result| result.code == 0).count();
    }
    let (sealed, expected) = sealed.expect("blocks");
    let last = sealed.store().expect("stored");
    assert_eq!(
        (last.id, last.results.0.app_hash.clone()),
        (expected.id, expected.results.0.app_hash.clone())
    );
    assert_eq!(chain().to_string(), plain.engine.as_ref().expect("running").chain_id());
    assert!(carried > 100 && refused > 100 && lost > 3, "{carried} carried out, {refused} not, {lost} lost");
}
