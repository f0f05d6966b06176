//! From records to the bodies of answers.

use stateset_sequencer::{Payment, PaymentBatch, PaymentReceipt, Payments, Settled};
use ves::TimestampMs;
use ves::x402::Network;
use ves_wire::Rfc3339;
use ves_wire::anchor::Hex0x;
use ves_wire::payments::{
    Exact, PaymentAnswer, PaymentAsset, PaymentBatchAnswer, PaymentBatchBody, PaymentBody, PaymentNetwork,
    PaymentNetworks, PaymentReceiptBody, PaymentTotal, SettlementAnswer, Signature0x,
};

pub(super) fn answer(payment: &Payment) -> PaymentAnswer {
    PaymentAnswer {
        intent_id: payment.intent_id,
        status: payment.status.to_string(),
        sequence_number: payment.sequence_number,
        sequenced_at: Rfc3339(payment.sequenced_at),
        batch_id: payment.batch_id,
        reason: payment.reason.clone(),
    }
}

pub(super) fn whole(payment: &Payment) -> PaymentBody {
    let content = payment.content.clone();
    let public = payment.authorization.map(|authorization| authorization.nonce);
    let authorization_nonce = public.or(content.authorization.map(|authorization| authorization.nonce));
    PaymentBody {
        intent_id: payment.intent_id,
        x402_version: payment.x402_version,
        status: payment.status.to_string(),
        tenant_id: content.tenant_id,
        store_id: content.store_id,
        agent_id: content.agent_id,
        agent_key_id: content.agent_key_id.0,
        payer_address: content.payer_address,
        payee_address: content.payee_address,
        amount: Exact(content.amount),
        asset: content.asset.text().to_owned(),
        network: content.network.text().to_owned(),
        chain_id: content.network.chain_id(),
        token_address: payment.token_address.map(|token| token.to_string()),
        created_at_unix: payment.sequenced_at.0.div_euclid(1000),
        valid_until: Exact(content.valid_until),
        nonce: Exact(content.nonce),
        idempotency_key: content.idempotency_key,
        resource_uri: content.resource_uri,
        description: content.description,
        order_id: content.order_id,
        merchant_id: content.merchant_id,
        signing_hash: Hex0x(content.signing_hash),
        payer_signature: Signature0x(content.payer_signature),
        payer_public_key: content.payer_public_key.map(Hex0x),
        sequence_number: payment.sequence_number,
        sequenced_at: Rfc3339(payment.sequenced_at),
        batch_id: payment.batch_id,
        tx_hash: payment.tx_hash.map(Hex0x),
        block_number: payment.block_number,
        settled_at: payment.settled_at_ms.map(at),
        reason: payment.reason.clone(),
        authorization_nonce: authorization_nonce.map(Hex0x),
        metadata: content.metadata,
        created_at: Rfc3339(payment.sequenced_at),
        updated_at: Rfc3339(payment.updated_at),
    }
}

pub(super) fn receipt(receipt: PaymentReceipt) -> PaymentReceiptBody {
    let PaymentReceipt { receipt_id, payment, batch, proof, total_leaves } = receipt;
    let content = payment.content;
    PaymentReceiptBody {
        receipt_id,
        intent_id: payment.intent_id,
        sequence_number: payment.sequence_number,
        batch_id: batch.batch_id,
        merkle_root: Hex0x(batch.merkle_root),
        inclusion_proof: proof.path.into_iter().map(Hex0x).collect(),
        leaf_index: proof.leaf_index,
        total_leaves,
        payer_address: content.payer_address,
        payee_address: content.payee_address,
        amount: Exact(content.amount),
        asset: content.asset.text().to_owned(),
        network: content.network.text().to_owned(),
        chain_id: content.network.chain_id(),
        nonce: Exact(content.nonce),
        valid_until: Exact(content.valid_until),
        signing_hash: Hex0x(content.signing_hash),
        payer_signature: Signature0x(content.payer_signature),
        tx_hash: payment.tx_hash.or(batch.tx_hash).map(Hex0x),
        block_number: payment.block_number.or(batch.block_number),
        created_at: Rfc3339(batch.committed_at),
    }
}

pub(super) fn batch_answer(batch: &PaymentBatch) -> PaymentBatchAnswer {
    PaymentBatchAnswer {
        batch_id: batch.batch_id,
        status: batch.status.to_string(),
        payment_count: batch.members.len(),
        merkle_root: Hex0x(batch.merkle_root),
        sequence_range: [batch.sequence_start(), batch.sequence_end()],
    }
}

pub(super) fn batch(batch: &PaymentBatch) -> PaymentBatchBody {
    PaymentBatchBody {
        batch_id: batch.batch_id,
        status: batch.status.to_string(),
        tenant_id: batch.tenant_id,
        store_id: batch.store_id,
        network: batch.network.text().to_owned(),
        token_address: batch.token_address.map(|token| token.to_string()),
        payment_count: batch.members.len(),
        total_amounts: vec![PaymentTotal {
            asset: batch.asset.text().to_owned(),
            total_amount: batch.total_amount.to_string(),
            payment_count: batch.members.len(),
        }],
        authorized: batch.is_authorized,
        merkle_root: Some(Hex0x(batch.merkle_root)),
        prev_state_root: Some(Hex0x(batch.prev_state_root)),
        new_state_root: Some(Hex0x(batch.new_state_root)),
        sequence_start: batch.sequence_start(),
        sequence_end: batch.sequence_end(),
        intent_ids: batch.members.iter().map(|member| member.intent_id).collect(),
        tx_hash: batch.tx_hash.map(Hex0x),
        block_number: batch.block_number,
        gas_used: batch.gas_used,
        created_at: Rfc3339(batch.created_at),
        committed_at: Some(Rfc3339(batch.committed_at)),
        submitted_at: batch.submitted_at_ms.map(at),
        settled_at: batch.settled_at_ms.map(at),
        undone_at: batch.undone_at_ms.map(at),
    }
}

pub(super) fn settled(settled: &Settled) -> SettlementAnswer {
    let batch = &settled.batch;
    SettlementAnswer {
        batch_id: batch.batch_id,
        status: batch.status.to_string(),
        tx_hash: batch.tx_hash.map(Hex0x),
        block_number: batch.block_number,
        gas_used: batch.gas_used,
        message: settled.message.to_owned(),
    }
}

pub(super) fn networks(payments: &Payments<'_>) -> PaymentNetworks {
    let mut forms = vec!["X402_PAYMENT_V2".into()];
    if payments.admits_old_intents() {
        forms.push("X402_PAYMENT_V1".into());
    }
    let networks = Network::ALL.iter().map(|network| PaymentNetwork {
        network: network.text().to_owned(),
        chain_id: network.chain_id(),
        assets: payments
            .tokens()
            .entries()
            .filter(|(of, ..)| of == network)
            .map(|(_, asset, token)| PaymentAsset {
                asset: asset.text().to_owned(),
                display_name: asset.display_name().to_owned(),
                decimals: asset.decimals(),
                token_address: token.to_string(),
            })
            .collect(),
    });
    PaymentNetworks {
        forms,
        settles: payments.can_settle(),
        settles_authorized: payments.sends(),
        networks: networks.collect(),
    }
}

fn at(ms: i64) -> Rfc3339 {
    Rfc3339(TimestampMs(ms))
}
