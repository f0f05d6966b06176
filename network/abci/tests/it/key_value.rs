//! The smallest state machine, where a test is about the adapter alone: `key=value` may be written once per key, in substore
//! `bank`, and the key `fault` stops the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use stateset_ledger_app::application::{
    Application, Block, BlockBounds, Fault, Info, Initial, Outcome, Proposal, QueryAnswer, TxBytes, TxResult,
    ValidatorUpdate,
};
use stateset_ledger_app::{StateReader, Writes};
use stateset_ledger_types::Substore;

use crate::world::App;

pub const MALFORMED: u32 = 1;
pub const CONFLICT: u32 = 10;
pub const INTERNAL: u32 = 255;

pub struct KeyValue;

pub const KEY_VALUE: App = App { chain: "abci-test-1", start: || Arc::new(KeyValue), genesis };

fn genesis(validators: &[[u8; 32]], time_ms: u64) -> String {
    let hex = |key: &[u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "chain_id": KEY_VALUE.chain, "genesis_time": time_ms, "initial_height": 1,
        "validators": validators.iter().map(hex).collect::<Vec<_>>(),
    })
    .to_string()
}

fn parse(transaction: TxBytes<'_>) -> Option<(&[u8], &[u8])> {
    let at = transaction.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&transaction[..at], &transaction[at + 1..]);
    (!key.is_empty() && !value.is_empty()).then_some((key, value))
}

fn result(code: u32) -> TxResult {
    TxResult { code, gas_wanted: 1, gas_used: 1, ..TxResult::default() }
}

impl Application for KeyValue {
    fn info(&self) -> Info {
        Info { data: "key-value", version: "test", app_version: 7 }
    }

    fn init_chain(&self, genesis_json: &[u8]) -> Result<Initial, String> {
        let genesis: Value = serde_json::from_slice(genesis_json).map_err(|problem| problem.to_string())?;
        let keys = genesis["validators"].as_array().ok_or("validators are missing")?;
        let validators = keys.iter().map(|key| {
            let key = key.as_str()?;
            let mut public_key = [0; 32];
            for (byte, digits) in public_key.iter_mut().zip(key.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            }
            Some(ValidatorUpdate { public_key, power: 10 })
        });
        Ok(Initial {
            chain_id: genesis["chain_id"].as_str().ok_or("chain_id is missing")?.to_owned(),
            genesis_time_ms: genesis["genesis_time"].as_u64().ok_or("genesis_time is missing")?,
            initial_height: genesis["initial_height"].as_u64().ok_or("initial_height is missing")?,
            genesis_hash: [7; 32],
            writes: Writes::from([((Substore::Bank, b"first".to_vec()), Some(b"genesis".to_vec()))]),
            validators: validators.collect::<Option<_>>().ok_or("a validator is no key")?,
            bounds: BlockBounds { bytes_max: 1 << 20, gas_max: 1_000_000 },
        })
    }

    fn check_tx(&self, state: &dyn StateReader, tx: TxBytes<'_>) -> Result<TxResult, Fault> {
        let Some((key, _)) = parse(tx) else { return Ok(result(MALFORMED)) };
        Ok(result(if state.get(Substore::Bank, key)?.is_some() { CONFLICT } else { 0 }))
    }

    fn prepare_proposal(&self, _: &dyn StateReader, proposal: &Proposal<'_>) -> Result<Vec<usize>, Fault> {
        Ok((0..proposal.transactions.len())
            .filter(|at| parse(proposal.transactions[*at]).is_some())
            .collect())
    }

    fn process_proposal(&self, _: &dyn StateReader, block: &Block<'_>) -> Result<bool, Fault> {
        Ok(block.transactions.iter().all(|tx| parse(tx).is_some()))
    }

    fn finalize_block(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<Outcome, Fault> {
        let mut writes: BTreeMap<_, Option<Vec<u8>>> = Writes::new();
        let mut outcome = Outcome::default();
        for transaction in &block.transactions {
            let (key, value) = parse(transaction).expect("proposals were processed");
            if key == b"fault" {
                let problem = "as the test asked".to_owned();
                return Err(Fault::Corrupt { place: "fault".to_owned(), problem });
            }
            let place = (Substore::Bank, key.to_vec());
            let taken = writes.contains_key(&place) || state.get(Substore::Bank, key)?.is_some();
            if !taken {
                writes.insert(place, Some(value.to_vec()));
            }
            outcome.results.push(result(if taken { CONFLICT } else { 0 }));
        }
        outcome.writes = writes;
        Ok(outcome)
    }

    fn commit(&self, _: u64) {}

    fn query(&self, state: &dyn StateReader, _: u64, path: &str, data: &[u8]) -> Result<QueryAnswer, Fault> {
        if path != "/store/bank/key" {
            return Ok(QueryAnswer {
                code: INTERNAL,
                log: "another path".to_owned(),
                ..QueryAnswer::default()
            });
        }
        Ok(QueryAnswer {
            value: state.get(Substore::Bank, data)?.unwrap_or_default(),
            place: Some((Substore::Bank, data.to_vec())),
            ..QueryAnswer::default()
        })
    }
}
