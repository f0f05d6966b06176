//! The state machine of the ledger with a block for every request: what an engine and a light client do, without waiting.
//! Every height's state is kept, so that reads are of the height that was asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use stateset_ledger_app::application::{Application, Block, TxResult};
use stateset_ledger_app::state::Place;
use stateset_ledger_app::{Ledger, MemoryState};
use stateset_ledger_types::codec::{Blob, Decode, List, Text};
use stateset_ledger_types::ids::{ChainId, TxId};
use stateset_ledger_types::notary::{CapsuleEntry, CapsulePage, CapsulePlace, CertificateRecord};
use stateset_ledger_types::{Code, Genesis, Refusal, StateKey, Substore};
use stateset_node::ChainError;
use stateset_node::ports::{Chain, Clock, ProvenValue, Tip};
use ves::hash::Hasher;

use crate::world::TestClock;

struct State {
    state: MemoryState,
    /// Rows after each height, from the one before the first block.
    heights: Vec<BTreeMap<Place, Vec<u8>>>,
    times: Vec<u64>,
    blocks: Vec<Vec<Vec<u8>>>,
    results: BTreeMap<[u8; 32], TxResult>,
    pool: Vec<Vec<u8>>,
    /// Requests wait in the pool until it is false again.
    holds: bool,
    reachable: bool,
}

pub struct TestChain {
    ledger: Ledger,
    chain_id: ChainId,
    clock: Arc<TestClock>,
    state: Mutex<State>,
}

impl TestChain {
    pub fn new(genesis: &Genesis, clock: Arc<TestClock>) -> Self {
        let ledger = Ledger::new();
        let initial = ledger.init_chain(genesis.to_json().as_bytes()).expect("a good genesis");
        assert_eq!(initial.initial_height, 1);
        let state = MemoryState::default();
        state.apply(&initial.writes);
        let heights = vec![state.rows()];
        let state = State {
            state,
            heights,
            times: vec![genesis.genesis_time],
            blocks: vec![Vec::new()],
            results: BTreeMap::new(),
            pool: Vec::new(),
            holds: false,
            reachable: true,
        };
        let chain = Self { ledger, chain_id: genesis.chain_id.clone(), clock, state: Mutex::new(state) };
        chain.block();
        chain
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it reads")
    }

    fn reached(&self) -> Result<MutexGuard<'_, State>, ChainError> {
        let state = self.state();
        if state.reachable { Ok(state) } else { Err(ChainError::Unreachable("the line is cut".to_owned())) }
    }

    pub fn set_reachable(&self, reachable: bool) {
        self.state().reachable = reachable;
    }

    /// While it holds, requests wait.
    pub fn set_holds(&self, holds: bool) {
        self.state().holds = holds;
        if !holds {
            self.block();
        }
    }

    pub fn drop_pool(&self) {
        self.state().pool.clear();
    }

    /// Makes a block of what waits.
    pub fn block(&self) {
        let state = &mut *self.state();
        let requests = if state.holds { Vec::new() } else { std::mem::take(&mut state.pool) };
        let height = state.heights.len() as u64;
        let time_ms = self.clock.now_ms().max(state.times.last().expect("genesis") + 1);
        let transactions = requests.iter().map(Vec::as_slice).collect();
        let block = Block { height, time_ms, transactions };
        let outcome = self.ledger.finalize_block(&state.state, &block).expect("no fault");
        assert!(outcome.panicked.is_empty());
        for (request, result) in requests.iter().zip(outcome.results) {
            state.results.insert(Hasher::bare().bytes(request).finish().0, result);
        }
        state.state.apply(&outcome.writes);
        self.ledger.commit(height);
        let rows = state.state.rows();
        state.heights.push(rows);
        state.times.push(time_ms);
        state.blocks.push(requests);
    }
}

fn refusal(result: &TxResult) -> Refusal {
    let code = Code::from_code(result.code).expect("a code");
    let text = result.log.strip_prefix(&format!("{}: ", code.name())).unwrap_or(&result.log);
    Refusal::new(code, text).with_data(result.data.clone())
}

impl Chain for TestChain {
    fn tip(&self) -> Result<Tip, ChainError> {
        let state = self.reached()?;
        let height = state.heights.len() - 1;
        Ok(Tip { height: height as u64, time_ms: state.times[height] })
    }

    fn prove(&self, key: &StateKey, height: u64) -> Result<ProvenValue, ChainError> {
        let state = self.reached()?;
        let rows = state.heights.get(height as usize);
        let rows = rows.ok_or_else(|| ChainError::NotProven(format!("height {height} is in the future")))?;
        let value = rows.get(&(key.substore, key.path.clone())).cloned();
        Ok(ProvenValue { value, proof: Vec::new() })
    }

    fn block_time(&self, height: u64) -> Result<u64, ChainError> {
        Ok(self.reached()?.times[height as usize])
    }

    fn certificate(&self, tx_id: &TxId) -> Result<Option<CertificateRecord>, ChainError> {
        let (key, height) = (StateKey::tx(tx_id), self.tip()?.height);
        let Some(value) = self.prove(&key, height)?.value else { return Ok(None) };
        Ok(Some(CertificateRecord {
            version: 1,
            chain_id: self.chain_id.clone(),
            height,
            substore: Text::new(key.substore.name()).expect("short"),
            key: Blob::new(key.path).expect("short"),
            value: Some(Blob::new(value).expect("short")),
            key_proof: Blob::default(),
            substore_proof: Blob::default(),
            light_block: Blob::default(),
        }))
    }

    fn submit(&self, envelope: &[u8]) -> Result<Result<(), Refusal>, ChainError> {
        let mut state = self.reached()?;
        if state.pool.iter().any(|waiting| waiting == envelope) {
            return Ok(Ok(()));
        }
        let result = self.ledger.check_tx(&state.state, envelope).expect("no fault");
        if result.code != 0 {
            return Ok(Err(refusal(&result)));
        }
        state.pool.push(envelope.to_vec());
        let holds = state.holds;
        drop(state);
        if !holds {
            self.block();
        }
        Ok(Ok(()))
    }

    fn refusal(&self, envelope: &[u8]) -> Result<Option<Refusal>, ChainError> {
        let state = self.reached()?;
        let result = state.results.get(&Hasher::bare().bytes(envelope).finish().0);
        let refused =
            result.filter(|result| result.code != 0 && result.code != Code::AlreadyNotarised.code());
        Ok(refused.map(refusal))
    }

    /// Pages of two, so that every search goes over several.
    fn capsules(&self, from: &CapsulePlace) -> Result<CapsulePage, ChainError> {
        const PAGE: usize = 2;
        let state = self.reached()?;
        let first = StateKey::capsule(from.height, from.index, from.n).path;
        let rows = state.heights.last().expect("genesis");
        let found: Vec<_> = rows
            .range((Substore::Capsule, first)..)
            .take_while(|((substore, _), _)| *substore == Substore::Capsule)
            .filter(|((_, key), _)| key.first().is_some_and(u8::is_ascii_digit))
            .take(PAGE + 1)
            .collect();
        let place = |key: &[u8]| {
            let mut numbers = std::str::from_utf8(key)
                .expect("ASCII")
                .split('/')
                .map(|n| n.parse::<u64>().expect("a number"));
            let mut number = || numbers.next().expect("three numbers");
            CapsulePlace { height: number(), index: number() as u32, n: number() as u32 }
        };
        let next = found.get(PAGE).map(|((_, key), _)| place(key));
        let read = |value: &Vec<u8>| CapsuleEntry::from_sce(value).expect("an entry");
        let entries: Vec<_> = found.iter().take(PAGE).map(|(_, value)| read(value)).collect();
        Ok(CapsulePage { entries: List::new(entries).expect("few"), next })
    }

    fn request(&self, height: u64, index: u32) -> Result<Vec<u8>, ChainError> {
        Ok(self.reached()?.blocks[height as usize][index as usize].clone())
    }
}

/// What the ledger holds at a key now.
pub fn read<T: Decode>(chain: &dyn Chain, key: &StateKey) -> Option<T> {
    let value = chain.prove(key, chain.tip().expect("reachable").height).expect("readable").value;
    value.map(|value| T::from_sce(&value).expect("a value of its type"))
}
