//! Payment intents and their batches (section 3.8).

use serde_json::json;
use stateset_sequencer::Action;
use ves_wire::payments::{
    CreatePaymentBatch, PaymentAnswer, PaymentBatchAnswer, PaymentBatchFound, PaymentList, PaymentNetworks,
    PaymentReceiptAnswer, SettlePaymentBatch, SettlementAnswer, SubmitPayment,
};

use super::Routes;
use crate::openapi::operation::{Operation, get, number, one_of, post, text, uuid};
use crate::payments;

pub(crate) fn routes() -> Routes {
    of_intents().merge(of_batches())
}

fn of_intents() -> Routes {
    let all = "/api/v1/x402/payments";
    Routes::default()
        .add(
            payment(post(all, "submitPayment", "Give a signed payment intent its number"))
                .writes()
                .body::<SubmitPayment>()
                .records_nothing()
                .answers::<PaymentAnswer>()
                .refuses([409]),
            payments::submit,
        )
        .add(filters(payment(get(all, "listPayments", "Payment intents"))), payments::list)
        .add(
            intent(get("/api/v1/x402/payments/{intent_id}", "getPayment", "Where an intent stands"))
                .answers::<PaymentAnswer>(),
            payments::one,
        )
        .add(
            intent(get(
                "/api/v1/x402/payments/{intent_id}/receipt",
                "getPaymentReceipt",
                "Proof that an intent is in its batch",
            ))
            .answers::<PaymentReceiptAnswer>(),
            payments::receipt,
        )
        .add(
            payment(get("/api/v1/x402/networks", "listPaymentNetworks", "What a payer has to sign"))
                .reads()
                .answers::<PaymentNetworks>(),
            payments::networks,
        )
}

fn of_batches() -> Routes {
    Routes::default()
        .add(
            payment(post("/api/v1/x402/batches", "createPaymentBatch", "Put open intents under one root"))
                .administers()
                .body::<CreatePaymentBatch>()
                .records(&[Action::PaymentBatchCommitted])
                .answers::<PaymentBatchAnswer>(),
            payments::create_batch,
        )
        .add(
            payment(get("/api/v1/x402/batches/{batch_id}", "getPaymentBatch", "A batch of intents"))
                .reads()
                .segment("batch_id", uuid(), "The batch")
                .answers::<PaymentBatchFound>()
                .refuses([404])
                .compressed(),
            payments::batch,
        )
        .add(
            payment(post(
                "/api/v1/x402/batches/settle",
                "settlePaymentBatch",
                "Say which transaction carries a batch, and ask the chain what became of it",
            ))
            .administers()
            .body::<SettlePaymentBatch>()
            .records(&[Action::PaymentBatchSettled])
            .answers::<SettlementAnswer>()
            .refuses([404]),
            payments::settle,
        )
}

fn filters(operation: Operation) -> Operation {
    let date = || json!({"type": "string", "format": "date-time"});
    operation
        .reads()
        .needs("tenant_id", uuid(), "The tenant")
        .query("store_id", uuid(), "Every store when left out; needed by credentials of some stores")
        .query("payer_address", text(40, 66), "The payer")
        .query("payee_address", text(40, 66), "The payee")
        .query(
            "status",
            one_of(&["pending", "sequenced", "batched", "settled", "expired", "failed"]),
            "The status",
        )
        .query("network", text(1, 64), "The network")
        .query("asset", text(1, 64), "The asset")
        .query("batch_id", uuid(), "The batch of intents")
        .query("from_date", date(), "Sequenced then or later")
        .query("to_date", date(), "Sequenced then or before")
        .page(100, 1000)
        .query("offset", number(0, 10_000), "Entries passed over")
        .answers::<PaymentList>()
        .compressed()
}

fn intent(operation: Operation) -> Operation {
    payment(operation).reads().segment("intent_id", uuid(), "The intent").refuses([404])
}

fn payment(operation: Operation) -> Operation {
    operation.tag("payments")
}
