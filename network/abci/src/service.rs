//! The node as the four services that `tower-abci` serves.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tendermint::abci::response;
use tendermint::v0_38::abci::{
    ConsensusRequest, ConsensusResponse, InfoRequest, InfoResponse, MempoolRequest, MempoolResponse,
    SnapshotRequest, SnapshotResponse,
};
use tower::Service;
use tower_abci::BoxError;

use crate::{EngineError, Node};

/// An answer under way.
pub(crate) type Answer<R> = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;

/// Answers the calls of one CometBFT process; clones share the node.
#[derive(Clone)]
pub struct Abci {
    node: Arc<Node>,
    failure: Arc<OnceLock<EngineError>>,
}

impl Abci {
    pub fn new(node: Node) -> Self {
        Self { node: Arc::new(node), failure: Arc::new(OnceLock::new()) }
    }

    /// Why the application stopped answering, if it did: the process that runs it has to stop, CometBFT first.
    pub fn failure(&self) -> Option<&EngineError> {
        self.failure.get()
    }

    /// Runs `work` off the threads that read sockets, since it reads and writes files.
    fn answer<R: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Node) -> Result<R, EngineError> + Send + 'static,
    ) -> Answer<R> {
        let this = self.clone();
        Box::pin(async move {
            if this.failure.get().is_none() {
                let node = Arc::clone(&this.node);
                let done = tokio::task::spawn_blocking(move || work(&node)).await;
                return this.said(name, done.unwrap_or(Err(EngineError::Panicked(name)))).await;
            }
            pending().await
        })
    }

    /// Runs `work` on the thread that reads the socket: for calls that are short and come by the thousand. CometBFT asks again
    /// for its whole pool after each block and waits for the answers; a thread for each cost more than the check itself.
    fn answer_here<R: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Node) -> Result<R, EngineError> + Send + 'static,
    ) -> Answer<R> {
        let this = self.clone();
        Box::pin(async move {
            if this.failure.get().is_none() {
                // After a panic nothing is asked of the node any more.
                let done = catch_unwind(AssertUnwindSafe(|| work(&this.node)));
                return this.said(name, done.unwrap_or(Err(EngineError::Panicked(name)))).await;
            }
            pending().await
        })
    }

    /// After a failure there is no answer at all: ABCI knows no errors, and a wrong answer would enter the chain.
    async fn said<R>(&self, name: &'static str, done: Result<R, EngineError>) -> Result<R, BoxError> {
        match done {
            Ok(answer) => Ok(answer),
            Err(problem) => {
                tracing::error!(call = name, %problem, "the application stops");
                // Only the first failure is the cause.
                let _ = self.failure.set(problem);
                pending().await
            }
        }
    }
}

/// Implements one of the four services; each is always ready, since CometBFT bounds what is under way.
macro_rules! service {
    ($request:ident => $response:ident, |$this:ident, $asked:ident| $body:expr) => {
        impl Service<$request> for Abci {
            type Response = $response;
            type Error = BoxError;
            type Future = Answer<$response>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, $asked: $request) -> Self::Future {
                let $this = &*self;
                $body
            }
        }
    };
}

service!(ConsensusRequest => ConsensusResponse, |this, request| {
    use ConsensusRequest as Asked;
    use ConsensusResponse as Said;
    match request {
        Asked::InitChain(asked) => this.answer("init_chain", |node| node.init_chain(asked).map(Said::InitChain)),
        Asked::PrepareProposal(asked) => {
            this.answer("prepare_proposal", |node| node.prepare_proposal(asked).map(Said::PrepareProposal))
        }
        Asked::ProcessProposal(asked) => this.answer("process_proposal", move |node| {
            node.process_proposal(&asked).map(Said::ProcessProposal)
        }),
        Asked::FinalizeBlock(asked) => {
            this.answer("finalize_block", |node| node.finalize_block(asked).map(Said::FinalizeBlock))
        }
        Asked::Commit => this.answer("commit", |node| node.commit().map(Said::Commit)),
        // Vote extensions are off: CometBFT asks neither.
        Asked::ExtendVote(_) => this.answer("extend_vote", |_| {
            Ok(Said::ExtendVote(response::ExtendVote { vote_extension: Default::default() }))
        }),
        Asked::VerifyVoteExtension(asked) => this.answer("verify_vote_extension", move |_| {
            Ok(Said::VerifyVoteExtension(if asked.vote_extension.is_empty() {
                response::VerifyVoteExtension::Accept
            } else {
                response::VerifyVoteExtension::Reject
            }))
        }),
    }
});

service!(MempoolRequest => MempoolResponse, |this, request| {
    let MempoolRequest::CheckTx(asked) = request;
    this.answer_here("check_tx", move |node| node.check_tx(&asked.tx).map(MempoolResponse::CheckTx))
});

service!(InfoRequest => InfoResponse, |this, request| {
    match request {
        InfoRequest::Info(_) => this.answer("info", |node| node.info().map(InfoResponse::Info)),
        InfoRequest::Query(asked) => {
            this.answer("query", move |node| node.query(&asked).map(InfoResponse::Query))
        }
        InfoRequest::Echo(asked) => this.answer("echo", |_| {
            Ok(InfoResponse::Echo(response::Echo { message: asked.message }))
        }),
    }
});

service!(SnapshotRequest => SnapshotResponse, |this, request| {
    use SnapshotRequest as Asked;
    use SnapshotResponse as Said;
    match request {
        Asked::ListSnapshots => {
            this.answer("list_snapshots", |node| node.list_snapshots().map(Said::ListSnapshots))
        }
        Asked::OfferSnapshot(asked) => this.answer("offer_snapshot", move |node| {
            node.offer_snapshot(&asked).map(Said::OfferSnapshot)
        }),
        Asked::LoadSnapshotChunk(asked) => this.answer("load_snapshot_chunk", move |node| {
            node.load_snapshot_chunk(&asked).map(Said::LoadSnapshotChunk)
        }),
        Asked::ApplySnapshotChunk(asked) => this.answer("apply_snapshot_chunk", |node| {
            node.apply_snapshot_chunk(asked).map(Said::ApplySnapshotChunk)
        }),
    }
});
