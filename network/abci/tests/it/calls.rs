//! Plays CometBFT for one node of the ledger: the same calls in the same order, on a disk that loses power when the test says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stateset_abci::{Abci, Node, Options};
use stateset_fixtures::FaultyDisk;
use stateset_fixtures::ledger::{GENESIS_TIME, chain, genesis};
use stateset_ledger_app::Ledger;
use stateset_ledger_store::Store;
use tendermint::abci::types::CommitInfo;
use tendermint::abci::{request, types::ExecTxResult};
use tendermint::v0_38::abci::{
    ConsensusRequest as Asked, ConsensusResponse as Said, InfoRequest, InfoResponse, MempoolRequest,
    MempoolResponse,
};
use tendermint::{AppHash, Hash, Time, account, block, consensus};
use tokio::runtime::Runtime;
use tower::Service;

use crate::checked::{Checked, History};

/// Looks whether the application has failed, which then answers nothing.
const LOOK: Duration = Duration::from_millis(2);
const BLOCK_BYTES_MAX: i64 = 1 << 20;

/// A block as decided, and the app hash after it where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub transactions: Vec<Bytes>,
    pub app_hash: AppHash,
    pub results: Vec<ExecTxResult>,
}

/// One run of the application after another, over one disk after another.
pub struct Played {
    pub history: Arc<History>,
    pub disk: FaultyDisk,
    runtime: Arc<Runtime>,
    running: Option<(Abci, Checked)>,
}

impl Played {
    /// A node that is not started, on `disk`.
    pub fn on(disk: FaultyDisk, runtime: &Arc<Runtime>) -> Self {
        Self { history: Arc::default(), disk, runtime: Arc::clone(runtime), running: None }
    }

    /// Ends the application, and starts it as CometBFT's handshake does, on what `disk` holds: gives it the genesis when its
    /// state is of no block, and each of `decided` that it has not. `None` when the power goes meanwhile.
    pub fn start(&mut self, disk: FaultyDisk, decided: &[Decided]) -> Option<()> {
        self.running = None;
        self.disk = disk;
        let store = Store::with_backend(self.disk.clone()).ok()?;
        let node = Node::new(Arc::new(Ledger::new()), Arc::new(store), Options::default()).expect("a state");
        let abci = Abci::new(node);
        self.running = Some((abci.clone(), Checked::new(abci, Arc::clone(&self.history))));
        let asked = InfoRequest::Info(request::Info {
            version: "0.38".to_owned(),
            block_version: 11,
            p2p_version: 8,
            abci_version: "2.0.0".to_owned(),
        });
        let Some(InfoResponse::Info(info)) = self.call(asked) else { panic!("Info is answered") };
        let has = info.last_block_height.value() as usize;
        if has == 0 {
            self.init_chain()?;
        } else {
            assert_eq!(info.last_block_app_hash, decided[has - 1].app_hash, "the state of height {has}");
        }
        for (height, block) in (has + 1..).zip(&decided[has..]) {
            let made = self.deliver(height as u64, &block.transactions)?;
            assert_eq!(made, *block, "height {height}");
        }
        Some(())
    }

    fn init_chain(&mut self) -> Option<()> {
        let (time, params) = (at(0), consensus_params());
        let asked = request::InitChain {
            time,
            chain_id: chain().to_string(),
            consensus_params: params,
            validators: Vec::new(),
            app_state_bytes: genesis().to_json().into_bytes().into(),
            initial_height: block::Height::from(1u32),
        };
        match self.call(Asked::InitChain(asked))? {
            Said::InitChain(_) => Some(()),
            other => panic!("{other:?}"),
        }
    }

    /// The codes of CheckTx, asked of as many at once as there are.
    pub fn check(&mut self, transactions: &[Bytes]) -> Vec<u32> {
        let (_, checked) = self.running.as_mut().expect("running");
        let asked: Vec<_> = transactions
            .iter()
            .map(|tx| {
                let kind = request::CheckTxKind::New;
                let answer = checked.call(MempoolRequest::CheckTx(request::CheckTx { tx: tx.clone(), kind }));
                self.runtime.spawn(answer)
            })
            .collect();
        let answers = asked.into_iter().map(|answer| {
            let MempoolResponse::CheckTx(said) = self.runtime.block_on(answer).unwrap().unwrap();
            said.code.value()
        });
        answers.collect()
    }

    /// The transactions that this node proposes of `pool`; another node, or itself, is asked by [`Played::accepts`].
    pub fn propose(&mut self, height: u64, pool: &[Bytes]) -> Vec<Bytes> {
        let asked = request::PrepareProposal {
            max_tx_bytes: BLOCK_BYTES_MAX,
            txs: pool.to_vec(),
            local_last_commit: None,
            misbehavior: Vec::new(),
            height: number(height),
            time: at(height),
            next_validators_hash: Hash::None,
            proposer_address: account::Id::new([1; 20]),
        };
        match self.call(Asked::PrepareProposal(asked)) {
            Some(Said::PrepareProposal(said)) => said.txs,
            other => panic!("{other:?}"),
        }
    }

    pub fn accepts(&mut self, height: u64, transactions: &[Bytes]) -> bool {
        let asked = request::ProcessProposal {
            txs: transactions.to_vec(),
            proposed_last_commit: None,
            misbehavior: Vec::new(),
            hash: Hash::None,
            height: number(height),
            time: at(height),
            next_validators_hash: Hash::None,
            proposer_address: account::Id::new([1; 20]),
        };
        match self.call(Asked::ProcessProposal(asked)) {
            Some(Said::ProcessProposal(said)) => said == tendermint::abci::response::ProcessProposal::Accept,
            other => panic!("{other:?}"),
        }
    }

    /// Executes a block.
    pub fn execute(&mut self, height: u64, transactions: &[Bytes]) -> Decided {
        let asked = request::FinalizeBlock {
            txs: transactions.to_vec(),
            decided_last_commit: CommitInfo { round: 0u8.into(), votes: Vec::new() },
            misbehavior: Vec::new(),
            hash: Hash::None,
            height: number(height),
            time: at(height),
            next_validators_hash: Hash::None,
            proposer_address: account::Id::new([1; 20]),
        };
        let Some(Said::FinalizeBlock(said)) = self.call(Asked::FinalizeBlock(asked)) else {
            panic!("nothing is written yet");
        };
        // Without what is no part of consensus.
        let results = said.tx_results.into_iter();
        let results = results.map(|result| ExecTxResult { log: String::new(), events: Vec::new(), ..result });
        Decided { transactions: transactions.to_vec(), app_hash: said.app_hash, results: results.collect() }
    }

    /// Commits what was executed. `None` when the power goes.
    pub fn commit(&mut self) -> Option<()> {
        match self.call(Asked::Commit)? {
            Said::Commit(_) => Some(()),
            other => panic!("{other:?}"),
        }
    }

    /// Executes and commits. `None` when the power goes.
    pub fn deliver(&mut self, height: u64, transactions: &[Bytes]) -> Option<Decided> {
        let made = self.execute(height, transactions);
        self.commit()?;
        Some(made)
    }

    /// `None` once the application has failed, which answers nothing from then on.
    fn call<A, S>(&mut self, asked: A) -> Option<S>
    where
        Checked: Service<A, Response = S, Error = tower_abci::BoxError>,
        <Checked as Service<A>>::Future: Unpin,
    {
        let (abci, checked) = self.running.as_mut().expect("running");
        let mut answer = checked.call(asked);
        self.runtime.block_on(async {
            loop {
                match tokio::time::timeout(LOOK, &mut answer).await {
                    Ok(said) => return Some(said.expect("failures are silent")),
                    Err(_) if abci.failure().is_some() => return None,
                    Err(_) => {}
                }
            }
        })
    }
}

fn number(height: u64) -> block::Height {
    block::Height::try_from(height).expect("a small height")
}

/// When the block of `height` was made; genesis is at 0.
fn at(height: u64) -> Time {
    let ms = GENESIS_TIME + 1_000 * height;
    Time::from_unix_timestamp((ms / 1_000) as i64, (ms % 1_000) as u32 * 1_000_000).expect("a time")
}

fn consensus_params() -> consensus::Params {
    consensus::Params {
        block: block::Size { max_bytes: BLOCK_BYTES_MAX as u64, max_gas: -1, time_iota_ms: 0 },
        evidence: tendermint::evidence::Params {
            max_age_num_blocks: 100,
            max_age_duration: tendermint::evidence::Duration(Duration::from_secs(1_000)),
            max_bytes: 1 << 16,
        },
        validator: consensus::params::ValidatorParams {
            pub_key_types: vec![tendermint::public_key::Algorithm::Ed25519],
        },
        version: None,
        abci: consensus::params::AbciParams::default(),
    }
}
