//! A crash between any two steps of sending settles nothing twice and loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stateset_sequencer::{
    BatchSettlement, BatchStatus, Followed, Note, PayerAuthorization, PaymentError, PaymentStatus,
    Settlement, SettlementError, SettlementReport,
};
use stateset_sequencer_app::joined::settlement::ChainSettlement;
use ves::Digest;
use ves::x402::{Network, TokenAddress};

use super::chain::{MERCHANT, PAYER, POOR, PRICE, SETTLER, World};

/// Where a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    /// The transaction is signed, and not put down.
    BeforeItIsPutDown,
    /// It is put down, and not sent.
    BeforeItIsSent,
    /// It is sent, and nothing is heard of it.
    AfterItIsSent,
    /// It stands in a block, and that is not written down.
    BeforeTheOutcomeIsWritten,
}

struct Dying {
    inner: ChainSettlement,
    crash: Crash,
    is_dead: AtomicBool,
}

fn dead<T>() -> Result<T, SettlementError> {
    Err(SettlementError::Unavailable("the process is dead".to_owned()))
}

impl Settlement for Dying {
    fn outcome(&self, _: &BatchSettlement, _: &Digest) -> Result<SettlementReport, SettlementError> {
        dead()
    }
    fn settles(&self) -> bool {
        true
    }
    fn check(
        &self,
        network: Network,
        token: &TokenAddress,
        authorization: &PayerAuthorization,
    ) -> Result<(), SettlementError> {
        self.inner.check(network, token, authorization)
    }
    fn advance(
        &self,
        batch: &BatchSettlement,
        note: Note,
        followed: Followed,
    ) -> Result<SettlementReport, SettlementError> {
        if self.is_dead.load(Ordering::SeqCst) {
            return dead();
        }
        // One from before, that is looked at still.
        if batch.batch.status == BatchStatus::Settled {
            return self.inner.advance(batch, note, followed);
        }
        let crash = self.crash;
        let dies: Note = Arc::new(move |attempt| {
            let note = note.clone();
            Box::pin(async move {
                match crash {
                    Crash::BeforeItIsPutDown => Err("dead".to_owned()),
                    Crash::BeforeItIsSent => note(attempt).await.and(Err("dead".to_owned())),
                    _ => note(attempt).await,
                }
            })
        });
        let report = self.inner.advance(batch, dies, followed);
        let is_in_block = report.as_ref().is_ok_and(|report| report.block_number.is_some());
        if self.crash != Crash::BeforeTheOutcomeIsWritten || is_in_block {
            self.is_dead.store(true, Ordering::SeqCst);
            return dead();
        }
        report
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_steps_settles_nothing_twice_and_loses_nothing() {
    let Some(world) = World::open() else { return };
    let crashes = [
        Crash::BeforeItIsPutDown,
        Crash::BeforeItIsSent,
        Crash::AfterItIsSent,
        Crash::BeforeTheOutcomeIsWritten,
    ];
    for (n, crash) in (0..).zip(crashes) {
        let port = Dying { inner: world.port(Some(SETTLER)), crash, is_dead: AtomicBool::new(false) };
        let service = world.service_with(Arc::new(port)).await;
        for nonce in 1..=3 {
            let wallet = if nonce == 2 { POOR } else { PAYER };
            service.pay(world.intent(&service, 3 * n + nonce, wallet)).await;
        }
        for _ in 0..4 {
            service.round().await;
        }
        let batch = service.listed().await[3 * n as usize].batch_id.unwrap();
        let batch = service.sequencer.payments().batch(None, &batch).await.unwrap().unwrap();
        let is_noted = crash != Crash::BeforeItIsPutDown;
        let status = if is_noted { BatchStatus::Submitted } else { BatchStatus::Committed };
        assert_eq!((batch.status, batch.attempts.len()), (status, usize::from(is_noted)), "{crash:?}");
        service.close().await;

        let service = world.service().await;
        service.settle_all(3 * n as usize + 3).await;
        let settled: Vec<_> = service.listed().await.into_iter().skip(3 * n as usize).collect();
        let statuses: Vec<_> = settled.iter().map(|payment| payment.status).collect();
        let (paid, failed) = (PaymentStatus::Settled, PaymentStatus::Failed);
        assert_eq!(statuses, [paid, failed, paid], "{crash:?}");
        assert_eq!(world.balance(MERCHANT), (n + 1) * 2 * PRICE, "{crash:?}");
        assert_eq!(world.sent_by_settler(), n + 1, "{crash:?}: one transaction for each batch");
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_record_was_lost_is_not_paid_again() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let content = world.intent(&service, 1, PAYER);
    service.pay(content.clone()).await;
    service.settle_all(1).await;
    service.close().await;
    // The store is lost, and the payer sends his intent again: another batch, the same authorization.
    for file in ["log.db", "log.db-wal", "log.db-shm"] {
        let _ = std::fs::remove_file(world.folder.path().join(file));
    }
    let service = world.service().await;
    service.pay(content).await;
    service.settle_all(1).await;
    assert_eq!(service.listed().await[0].status, PaymentStatus::Settled, "its money did move");
    assert_eq!(world.balance(MERCHANT), PRICE);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_hash_from_a_caller_does_not_keep_a_batch_from_being_sent() {
    let Some(world) = World::open() else { return };
    let dying = || Dying {
        inner: world.port(Some(SETTLER)),
        crash: Crash::BeforeItIsPutDown,
        is_dead: AtomicBool::new(false),
    };
    let service = world.service_with(Arc::new(dying())).await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    service.round().await;
    let batch_id = service.listed().await[0].batch_id.unwrap();
    let wrong = Some(Digest([7; 32]));
    let refused = service.sequencer.payments().settle_batch(batch_id, wrong, None, None).await.unwrap_err();
    assert!(matches!(refused, PaymentError::Invalid { field: "tx_hash", .. }), "{refused}");
    service.close().await;

    // While nothing is sent from here any hash is taken down; that does not hold it up for ever.
    let service = world.service_with(Arc::new(world.port(None))).await;
    let told = service.sequencer.payments().settle_batch(batch_id, wrong, None, None).await.unwrap();
    assert_eq!((told.batch.status, told.batch.tx_hash), (BatchStatus::Submitted, wrong));
    service.close().await;
    let service = world.service().await;
    service.settle_all(1).await;
    assert_eq!(service.listed().await[0].status, PaymentStatus::Settled);
    assert_eq!((world.sent_by_settler(), world.balance(MERCHANT)), (1, PRICE));
    service.close().await;
}
