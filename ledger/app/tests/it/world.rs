//! A chain in memory with a few members, driven block by block.

use stateset_ledger_app::application::{Application, Block, TxResult};
use stateset_ledger_app::{Ledger, MemoryState, Outcome};
use stateset_ledger_types::bank::{BANK, BankCommand};
use stateset_ledger_types::body::{Header, SaltedBody, TimeWindow};
use stateset_ledger_types::envelope::{GovernanceTx, Request};
use stateset_ledger_types::genesis::Genesis;
use stateset_ledger_types::governance::GovernanceMessage;
use stateset_ledger_types::ids::Units;
use stateset_ledger_types::keys::Purpose;
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Code, Decode, Encode, Params, StateKey};

pub use stateset_fixtures::ledger::*;

pub struct World {
    pub ledger: Ledger,
    pub state: MemoryState,
    pub height: u64,
    pub time_ms: u64,
    /// Last sequence of each entity.
    seqs: [u64; 256],
}

impl World {
    pub fn new() -> Self {
        Self::of(&genesis())
    }

    pub fn of(genesis: &Genesis) -> Self {
        let ledger = Ledger::new();
        let initial = ledger.init_chain(genesis.to_json().as_bytes()).expect("a good genesis");
        let state = MemoryState::default();
        state.apply(&initial.writes);
        let height = genesis.initial_height - 1;
        Self { ledger, state, height, time_ms: genesis.genesis_time, seqs: [0; 256] }
    }

    /// Executes the next block, a second later.
    pub fn block(&mut self, txs: &[Vec<u8>]) -> Outcome {
        self.block_at(self.time_ms + 1_000, txs)
    }

    pub fn block_at(&mut self, time_ms: u64, txs: &[Vec<u8>]) -> Outcome {
        (self.height, self.time_ms) = (self.height + 1, time_ms);
        let transactions = txs.iter().map(Vec::as_slice).collect();
        let block = Block { height: self.height, time_ms, transactions };
        let outcome = self.ledger.finalize_block(&self.state, &block).expect("no fault");
        self.state.apply(&outcome.writes);
        self.ledger.commit(self.height);
        outcome
    }

    /// One transaction in a block of its own.
    pub fn run(&mut self, tx: Vec<u8>) -> TxResult {
        self.block(&[tx]).results.remove(0)
    }

    pub fn empty_blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.block(&[]);
        }
    }

    pub fn get<T: Decode>(&self, key: &StateKey) -> Option<T> {
        let rows = self.state.rows();
        let value = rows.get(&(key.substore, key.path.clone()))?;
        Some(T::from_sce(value).expect("a value of its type"))
    }

    pub fn balance(&self, n: u8) -> u128 {
        self.get::<Units>(&StateKey::balance(&id(n).account(), &usd())).unwrap_or_default().0
    }

    pub fn params(&self) -> Params {
        self.get(&StateKey::params()).unwrap()
    }

    pub fn header(&self) -> Header {
        header(&self.params())
    }

    pub fn next_seq(&mut self, n: u8) -> u64 {
        self.seqs[usize::from(n)] += 1;
        self.seqs[usize::from(n)]
    }

    /// Private, submitted by `by`, consuming states and referencing others; `salt` makes it another one.
    pub fn private(&mut self, by: u8, salt: u8, inputs: &[u8], references: &[u8]) -> Vec<u8> {
        let header = self.header();
        let whole = private_body(header, salt, inputs, references, None);
        let seq = self.next_seq(by);
        submit_private(&whole, Mode::Private, by, seq, inputs, &[])
    }

    /// Commands of one contract, signed with the ledger key of `by` and submitted by it.
    pub fn commands(&mut self, by: u8, salt: u8, contract: &str, commands: &[Vec<u8>]) -> Vec<u8> {
        self.signed_commands(by, Purpose::LedgerSigning, salt, contract, commands)
    }

    /// As [`pay`](Self::pay), by the key as an agent's.
    pub fn agent_pay(&mut self, by: u8, salt: u8, commands: &[BankCommand]) -> Vec<u8> {
        let commands: Vec<Vec<u8>> = commands.iter().map(Encode::to_sce).collect();
        self.signed_commands(by, Purpose::Agent, salt, BANK, &commands)
    }

    fn signed_commands(
        &mut self,
        by: u8,
        purpose: Purpose,
        salt: u8,
        contract: &str,
        commands: &[Vec<u8>],
    ) -> Vec<u8> {
        let signer = (by, purpose, self.next_seq(by));
        let (_, request) = public_tx(signer, self.header(), Salt([salt; 32]), contract, commands);
        signed(Request::PublicTx(Box::new(request)), by)
    }

    pub fn pay(&mut self, by: u8, salt: u8, commands: &[BankCommand]) -> Vec<u8> {
        self.commands(by, salt, BANK, &commands.iter().map(Encode::to_sce).collect::<Vec<_>>())
    }

    pub fn govern(&mut self, by: u8, message: GovernanceMessage) -> Vec<u8> {
        let seq = self.next_seq(by);
        signed(Request::Governance(Box::new(GovernanceTx { message, submission: submission(by, seq) })), by)
    }
}

/// The fixture with a salt of one byte.
pub fn private_body(
    header: Header,
    salt: u8,
    inputs: &[u8],
    references: &[u8],
    window: Option<TimeWindow>,
) -> SaltedBody {
    stateset_fixtures::ledger::private_body(header, [salt; 32], inputs, references, window)
}

/// `attesters`: who sign an attestation under the header's policy.
pub fn submit_private(
    whole: &SaltedBody,
    mode: Mode,
    by: u8,
    seq: u64,
    inputs: &[u8],
    attesters: &[u8],
) -> Vec<u8> {
    signed(Request::Notarise(Box::new(notarise(whole, mode, (by, seq), inputs, attesters))), by)
}

/// The result's code; `None` for success.
pub fn code(result: &TxResult) -> Option<Code> {
    Code::from_code(result.code)
}
