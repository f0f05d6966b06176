//! The service with a checker around it: the grammar of calls, the app hash of each height, and a stop before a Commit.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use stateset_abci::Abci;
use stateset_abci::grammar::{Call, Grammar};
use tendermint::v0_38::abci::{
    ConsensusRequest, ConsensusResponse, InfoRequest, InfoResponse, MempoolRequest, MempoolResponse,
    SnapshotRequest, SnapshotResponse,
};
use tower::Service;
use tower_abci::BoxError;

type Answer<R> = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;

/// What one validator was asked and said, over all its runs.
#[derive(Default)]
pub struct History {
    pub violations: Mutex<Vec<String>>,
    /// App hashes said at FinalizeBlock. Saying another one for the same height is a violation.
    pub app_hashes: Mutex<BTreeMap<u64, String>>,
    /// How often each height was executed.
    pub executions: Mutex<BTreeMap<u64, usize>>,
    pub chunks_applied: AtomicU64,
    /// The next Commit is not answered, and not done.
    pub stop_before_commit: AtomicBool,
    /// A Commit is being held back.
    pub is_held: AtomicBool,
}

/// One run of the application.
#[derive(Clone)]
pub struct Checked {
    inner: Abci,
    grammar: Arc<Mutex<Grammar>>,
    history: Arc<History>,
}

impl Checked {
    pub fn new(inner: Abci, history: Arc<History>) -> Self {
        Self { inner, grammar: Arc::default(), history }
    }

    fn note(&self, call: Call) {
        if let Err(violation) = self.grammar.lock().unwrap().call(call) {
            self.history.violations.lock().unwrap().push(violation.to_string());
        }
    }
}

fn executed(history: &History, height: u64, app_hash: String) {
    *history.executions.lock().unwrap().entry(height).or_default() += 1;
    let before = history.app_hashes.lock().unwrap().insert(height, app_hash.clone());
    if before.is_some_and(|before| before != app_hash) {
        history.violations.lock().unwrap().push(format!("height {height} has another app hash now"));
    }
}

impl Service<ConsensusRequest> for Checked {
    type Response = ConsensusResponse;
    type Error = BoxError;
    type Future = Answer<ConsensusResponse>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ConsensusRequest) -> Self::Future {
        let height = match &request {
            ConsensusRequest::FinalizeBlock(asked) => asked.height.value(),
            _ => 0,
        };
        self.note(match &request {
            ConsensusRequest::InitChain(asked) => {
                Call::InitChain { initial_height: asked.initial_height.value() }
            }
            ConsensusRequest::PrepareProposal(asked) => {
                Call::PrepareProposal { height: asked.height.value() }
            }
            ConsensusRequest::ProcessProposal(asked) => {
                Call::ProcessProposal { height: asked.height.value() }
            }
            ConsensusRequest::FinalizeBlock(_) => Call::FinalizeBlock { height },
            ConsensusRequest::Commit => Call::Commit,
            ConsensusRequest::ExtendVote(_) | ConsensusRequest::VerifyVoteExtension(_) => Call::VoteExtension,
        });
        let is_commit = matches!(request, ConsensusRequest::Commit);
        if is_commit && self.history.stop_before_commit.swap(false, Ordering::SeqCst) {
            self.history.is_held.store(true, Ordering::SeqCst);
            return Box::pin(pending());
        }
        let (answer, history) = (self.inner.call(request), Arc::clone(&self.history));
        Box::pin(async move {
            let answer = answer.await?;
            if let ConsensusResponse::FinalizeBlock(said) = &answer {
                executed(&history, height, said.app_hash.to_string());
            }
            Ok(answer)
        })
    }
}

impl Service<SnapshotRequest> for Checked {
    type Response = SnapshotResponse;
    type Error = BoxError;
    type Future = Answer<SnapshotResponse>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: SnapshotRequest) -> Self::Future {
        match &request {
            SnapshotRequest::OfferSnapshot(asked) => {
                self.note(Call::OfferSnapshot { height: asked.snapshot.height.value() });
            }
            SnapshotRequest::ApplySnapshotChunk(_) => {
                self.history.chunks_applied.fetch_add(1, Ordering::SeqCst);
                self.note(Call::ApplySnapshotChunk);
            }
            SnapshotRequest::ListSnapshots | SnapshotRequest::LoadSnapshotChunk(_) => {}
        }
        self.inner.call(request)
    }
}

impl Service<InfoRequest> for Checked {
    type Response = InfoResponse;
    type Error = BoxError;
    type Future = Answer<InfoResponse>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: InfoRequest) -> Self::Future {
        if matches!(request, InfoRequest::Info(_)) {
            self.note(Call::Info);
        }
        self.inner.call(request)
    }
}

impl Service<MempoolRequest> for Checked {
    type Response = MempoolResponse;
    type Error = BoxError;
    type Future = Answer<MempoolResponse>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: MempoolRequest) -> Self::Future {
        self.inner.call(request)
    }
}
