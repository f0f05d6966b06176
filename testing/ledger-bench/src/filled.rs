//! The ledger on a state that has seen much: what earlier notarisations left is part of its first state.

use stateset_ledger_app::application::{
    Application, Block, Fault, Info, Initial, Outcome, Proposal, QueryAnswer, TxBytes, TxResult,
};
use stateset_ledger_app::{Ledger, StateReader};
use stateset_ledger_types::ids::{SpentKey, TxId};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Encode, StateKey};
use ves::hash::Hasher;

/// [`Ledger`], with so many notarisations of one input behind it: a record and a spent key of each.
pub struct Filled {
    pub ledger: Ledger,
    pub notarisations: u32,
}

fn hash(n: u32, what: u8) -> [u8; 32] {
    Hasher::bare().bytes(&n.to_be_bytes()).bytes(&[what]).finish().0
}

impl Application for Filled {
    fn init_chain(&self, genesis_json: &[u8]) -> Result<Initial, String> {
        let mut initial = self.ledger.init_chain(genesis_json)?;
        for n in 0..self.notarisations {
            let (tx_id, spent) = (TxId(hash(n, 0)), SpentKey(hash(n, 1)));
            let record = NotaryRecord { height: 0, index: n, mode: Mode::Private, inputs: 1 };
            for (key, value) in
                [(StateKey::tx(&tx_id), record.to_sce()), (StateKey::spent(&spent), tx_id.to_sce())]
            {
                initial.writes.insert((key.substore, key.path), Some(value));
            }
        }
        Ok(initial)
    }

    fn info(&self) -> Info {
        self.ledger.info()
    }

    fn resume(&self, height: u64, time_ms: u64) {
        self.ledger.resume(height, time_ms);
    }

    fn check_tx(&self, state: &dyn StateReader, tx: TxBytes<'_>) -> Result<TxResult, Fault> {
        self.ledger.check_tx(state, tx)
    }

    fn prepare_proposal(
        &self,
        state: &dyn StateReader,
        proposal: &Proposal<'_>,
    ) -> Result<Vec<usize>, Fault> {
        self.ledger.prepare_proposal(state, proposal)
    }

    fn process_proposal(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<bool, Fault> {
        self.ledger.process_proposal(state, block)
    }

    fn finalize_block(&self, state: &dyn StateReader, block: &Block<'_>) -> Result<Outcome, Fault> {
        self.ledger.finalize_block(state, block)
    }

    fn commit(&self, height: u64) {
        self.ledger.commit(height);
    }

    fn query(
        &self,
        state: &dyn StateReader,
        height: u64,
        path: &str,
        data: &[u8],
    ) -> Result<QueryAnswer, Fault> {
        self.ledger.query(state, height, path, data)
    }
}
