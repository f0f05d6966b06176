//! A small application, and chains of it.

use std::path::Path;
use std::sync::Arc;

use stateset_ledger_app::application::{
    Application, Attribute, Block, BlockBounds, Event, Info, Initial, Outcome, Proposal, QueryAnswer,
    TxResult, ValidatorUpdate,
};
use stateset_ledger_app::{Fault, StateReader, Writes};
use stateset_ledger_store::Store;
use stateset_ledger_types::Substore;
use stateset_solo::block::UnixNanos;
use stateset_solo::{Committed, Engine, EngineError, EngineParts, LastSigned};
use ves::{Signer, SigningKey};

/// Genesis of the tests: 2026-01-01, in milliseconds.
pub const GENESIS_MS: u64 = 1_767_225_600_000;
pub const INITIAL_HEIGHT: u64 = 5;

/// Transactions are `key=value`, written to `notary/tx/<key>`; `!validator` announces the key of [`key`] 2. One of the key `never`
/// is good for the pool and for no block, and of those of the key `once` one: when it is written, the others are refused.
#[derive(Debug)]
pub struct Notes {
    pub app_version: u64,
}

impl Default for Notes {
    fn default() -> Self {
        Self { app_version: 1 }
    }
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

impl Application for Notes {
    fn info(&self) -> Info {
        Info { data: "notes", version: "0.1.0", app_version: self.app_version }
    }

    fn init_chain(&self, genesis_json: &[u8]) -> Result<Initial, String> {
        let chain_id = String::from_utf8(genesis_json.to_vec()).map_err(|error| error.to_string())?;
        Ok(Initial {
            chain_id,
            genesis_time_ms: GENESIS_MS,
            initial_height: INITIAL_HEIGHT,
            genesis_hash: [0; 32],
            writes: Writes::from([((Substore::Gov, b"params".to_vec()), Some(b"first".to_vec()))]),
            validators: vec![ValidatorUpdate { public_key: key(1).public_key(), power: 1 }],
            bounds: BlockBounds { bytes_max: 1 << 20, gas_max: 200_000_000 },
        })
    }

    fn check_tx(&self, state: &dyn StateReader, tx: &[u8]) -> Result<TxResult, Fault> {
        let is_late = tx.starts_with(b"once=") && state.get(Substore::Notary, b"tx/once")?.is_some();
        let code = u32::from(is_late || !tx.contains(&b'=') && tx != b"!validator");
        Ok(TxResult {
            code,
            log: if code == 0 { String::new() } else { "no = in it".into() },
            ..TxResult::default()
        })
    }

    fn prepare_proposal(
        &self,
        state: &dyn StateReader,
        proposal: &Proposal<'_>,
    ) -> Result<Vec<usize>, Fault> {
        let mut chosen = Vec::new();
        for (place, tx) in proposal.transactions.iter().enumerate() {
            let comes_first =
                |once: &[u8]| proposal.transactions[..place].iter().any(|tx| tx.starts_with(once));
            let is_late = comes_first(b"once=") || state.get(Substore::Notary, b"tx/once")?.is_some();
            if !tx.starts_with(b"never=") && (!tx.starts_with(b"once=") || !is_late) {
                chosen.push(place);
            }
        }
        Ok(chosen)
    }

    fn process_proposal(&self, _: &dyn StateReader, _: &Block<'_>) -> Result<bool, Fault> {
        Ok(true)
    }

    fn finalize_block(&self, _: &dyn StateReader, block: &Block<'_>) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::default();
        for tx in &block.transactions {
            let text = String::from_utf8_lossy(tx);
            if let Some((key, value)) = text.split_once('=') {
                outcome.writes.insert((Substore::Notary, format!("tx/{key}").into()), Some(value.into()));
            }
            if text == "!validator" {
                outcome.validators = vec![
                    ValidatorUpdate { public_key: key(1).public_key(), power: 0 },
                    ValidatorUpdate { public_key: key(2).public_key(), power: 3 },
                ];
            }
            let attribute = Attribute { key: "text".into(), value: text.into(), index: true };
            let events = vec![Event { kind: "note".into(), attributes: vec![attribute] }];
            outcome.results.push(TxResult {
                data: b"ok".to_vec(),
                gas_wanted: 7,
                gas_used: 5,
                events,
                ..Default::default()
            });
        }
        Ok(outcome)
    }

    fn commit(&self, _: u64) {}

    fn query(&self, state: &dyn StateReader, _: u64, path: &str, _: &[u8]) -> Result<QueryAnswer, Fault> {
        let key = path.trim_start_matches("/ssn/notary/").as_bytes().to_vec();
        let value = state.get(Substore::Notary, &key)?.unwrap_or_default();
        Ok(QueryAnswer { value, place: Some((Substore::Notary, key)), ..QueryAnswer::default() })
    }
}

pub fn start(
    application: Notes,
    store: &Arc<Store>,
    folder: &Path,
    chain_id: &str,
) -> Result<(Engine<Notes>, Option<Committed>), EngineError> {
    let keys: Vec<Arc<dyn Signer>> = vec![Arc::new(key(1)), Arc::new(key(2))];
    let last_signed = LastSigned::open(folder).expect("readable");
    let (application, store) = (Arc::new(application), Arc::clone(store));
    let parts = EngineParts { application, store, keys, last_signed, trust_stored_height: false };
    Engine::start(parts, chain_id.as_bytes())
}

/// A chain with its blocks; the clock goes 200 ms a block.
pub struct Chain {
    pub store: Arc<Store>,
    pub engine: Engine<Notes>,
    pub blocks: Vec<Committed>,
    pub clock: UnixNanos,
    pub folder: tempfile::TempDir,
}

impl Chain {
    pub fn new(chain_id: &str) -> Self {
        let (store, folder) =
            (Arc::new(Store::in_memory().expect("memory")), tempfile::tempdir().expect("a folder"));
        let (engine, pending) = start(Notes::default(), &store, folder.path(), chain_id).expect("genesis");
        assert!(pending.is_none());
        let clock = UnixNanos::from_ms(GENESIS_MS + 3_000);
        Self { store, engine, blocks: Vec::new(), clock, folder }
    }

    pub fn block(&mut self, transactions: &[&str]) -> Committed {
        let candidates: Vec<Arc<[u8]>> = transactions.iter().map(|tx| tx.as_bytes().into()).collect();
        self.clock = self.clock.plus(200 * UnixNanos::MILLISECOND);
        let (block, picked) = self.engine.next_block(&candidates, self.clock).expect("a block");
        assert_eq!(picked.len(), transactions.len());
        self.blocks.push(block.clone());
        block
    }
}
