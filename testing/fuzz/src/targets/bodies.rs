//! REST bodies: what is read is written so that it reads the same.

use std::fmt::Debug;

use serde_json::{from_str, to_string};
use stateset_fixtures::{Agent, Seed, plain_event, sequencer_key, stream};
use ves::commitment::Commitment;
use ves::hash::Digest;
use ves::ids::{BatchId, SequenceNumber, SequencerId};
use ves::receipt::{Receipt, receipt_hash};
use ves::time::TimestampMs;
use ves_wire::ReceiptBody;
use ves_wire::anchor::{
    AnchorAnswer, AnchoredNotice, CommitAndAnchorAnswer, CommitAndAnchorRequest, PendingCommitments,
};
use ves_wire::commitments::{CommitRequest, CommitmentBody};
use ves_wire::compliance::{ComplianceVerification, WitnessBody};
use ves_wire::keys::{AgentKeyBody, RegisterKeyRequest, RevokeKeyRequest};
use ves_wire::legacy::{LegacyCommitmentBody, LegacyProofBody, LegacyVerifyRequest};
use ves_wire::policies::{GroupWithKeys, RotationPolicyBody};
use ves_wire::proofs::{ConsistencyBody, InclusionProofBody, VerifyProofRequest};
use ves_wire::validity::ValidityVerification;
use ves_wire::webhooks::{
    CreateWebhookRequest, ReplayWebhookRequest, RotateWebhookSecretRequest, UpdateWebhookRequest,
    WebhookBody, WebhookDeliveryList,
};

pub fn bodies(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    // Each reader judges every text: one kind of body may stand where another is expected.
    [
        settles::<RegisterKeyRequest>(text),
        settles::<RevokeKeyRequest>(text),
        settles::<AgentKeyBody>(text),
        settles::<RotationPolicyBody>(text),
        settles::<GroupWithKeys>(text),
        settles::<CommitRequest>(text),
        settles::<InclusionProofBody>(text),
        settles::<VerifyProofRequest>(text),
        settles::<ConsistencyBody>(text),
        settles::<LegacyCommitmentBody>(text),
        settles::<LegacyProofBody>(text),
        settles::<LegacyVerifyRequest>(text),
        settles::<WitnessBody>(text),
        settles::<ValidityVerification>(text),
        settles::<ComplianceVerification>(text),
        settles::<AnchorAnswer>(text),
        settles::<AnchoredNotice>(text),
        settles::<CommitAndAnchorRequest>(text),
        settles::<CommitAndAnchorAnswer>(text),
        settles::<PendingCommitments>(text),
        settles::<CreateWebhookRequest>(text),
        settles::<UpdateWebhookRequest>(text),
        settles::<RotateWebhookSecretRequest>(text),
        settles::<ReplayWebhookRequest>(text),
        settles::<WebhookBody>(text),
        settles::<WebhookDeliveryList>(text),
        commitment(text),
        receipt(text),
    ]
    .contains(&true)
}

/// Reads, writes, and reads the same again.
fn settles<T>(text: &str) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let Ok(body) = from_str::<T>(text) else { return false };
    let written = to_string(&body).expect("a body can be written");
    let again: T = from_str(&written).unwrap_or_else(|problem| panic!("{written}: {problem}"));
    assert_eq!(again, body);
    true
}

fn commitment(text: &str) -> bool {
    if !settles::<CommitmentBody>(text) {
        return false;
    }
    let body: CommitmentBody = from_str(text).expect("read before");
    let claim = Commitment::from(&body);
    let again = CommitmentBody {
        is_anchored: body.is_anchored,
        chain_id: body.chain_id,
        chain_tx_hash: body.chain_tx_hash,
        chain_block_number: body.chain_block_number,
        anchored_at: body.anchored_at,
        ..CommitmentBody::from(&claim)
    };
    assert_eq!(again, body);
    if claim.check().is_ok() {
        let events = claim.sequence_end.get() - claim.sequence_start.get() + 1;
        assert_eq!(events, u64::from(claim.leaf_count));
        assert!(claim.padded_leaf_count.is_power_of_two() && claim.padded_leaf_count >= claim.leaf_count);
        assert!(claim.covers(claim.sequence_start) && claim.covers(claim.sequence_end));
    }
    true
}

fn receipt(text: &str) -> bool {
    let Ok(body) = from_str::<ReceiptBody>(text) else { return false };
    let Ok(receipt) = body.to_receipt(stream(1)) else { return false };
    let back = ReceiptBody::from(&receipt).to_receipt(stream(1)).expect("written by us");
    assert_eq!(back, receipt);
    true
}

pub fn seeds() -> Vec<Vec<u8>> {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let digest = |n: u64| Digest(Seed::new("body", n).bytes());
    let batch = Commitment::new(
        BatchId::random([1; 16]),
        stream,
        Digest::ZERO,
        SequenceNumber(1),
        digest(1),
        5,
        TimestampMs(1_766_253_070_243),
    );
    let event = plain_event(&agent, &stream, 1);
    let hash = receipt_hash(&stream, &event.event_id, SequenceNumber(1), &event.signing_hash());
    let receipt = Receipt {
        sequencer_id: SequencerId::random([2; 16]),
        stream,
        event_id: event.event_id,
        sequence_number: SequenceNumber(1),
        sequenced_at: TimestampMs(1_766_253_070_243),
        receipt_hash: hash,
        signature: Some(sequencer_key(1).sign(&hash.0)),
        key_version: 1,
    };
    let (public_key, proof) =
        (ves::hex::encode(&agent.public_key()), ves::hex::encode_0x(&agent.possession()));
    let (tenant, store, agent) = (stream.tenant_id, stream.store_id, agent.agent_id);
    let texts = [
        to_string(&CommitmentBody::from(&batch)).expect("a body can be written"),
        to_string(&LegacyCommitmentBody::from(&batch)).expect("a body can be written"),
        to_string(&ReceiptBody::from(&receipt)).expect("a body can be written"),
        format!(
            r#"{{"tenantId":"{tenant}","agentId":"{agent}","keyId":2,"publicKey":"{public_key}","keyAlgorithm":1,"validFrom":"2025-01-01T00:00:00Z","proofOfPossession":"{proof}","metadata":{{"a":[1]}}}}"#
        ),
        format!(r#"{{"tenantId":"{tenant}","agentId":"{agent}","keyId":2}}"#),
        format!(r#"{{"tenant_id":"{tenant}","store_id":"{store}","sequence_start":1,"sequence_end":5}}"#),
        format!(
            r#"{{"leaf_hash":"{0}","merkle_root":"{1}","proof_path":["{0}","{1}"],"leaf_index":3}}"#,
            digest(2),
            digest(3)
        ),
        format!(
            r#"{{"leaf_hash":"{0}","events_root":"{1}","proof_path":["{1}"],"leaf_index":1,"leaf_count":2}}"#,
            digest(2),
            digest(3)
        ),
        format!(
            r#"{{"from":1,"to":5,"from_root":"{0}","to_root":"{1}","hashes":["{0}"]}}"#,
            digest(2),
            digest(3)
        ),
        "[1,2,18446744073709551615,4]".to_owned(),
        format!(
            r#"{{"proof_id":"{tenant}","event_id":"{store}","tenant_id":"{tenant}","store_id":"{store}","proof_type":"stark","proof_version":1,"policy_id":"p","policy_hash":"{0}","proof_hash":"{0}","witness_commitment":[1,2,3,4],"witness_commitment_hex":null,"proof_hash_match":true,"public_inputs_hash":"{0}","canonical_public_inputs_hash":"{0}","public_inputs_match":true,"stark_valid":null,"valid":false,"reason":"verifier_not_available"}}"#,
            digest(2)
        ),
        format!(
            r#"{{"tenant_id":"{tenant}","url":"https://example.com/","event_types":["order.*"],"store_id":"{store}","format":"event","description":"d","status":"paused"}}"#
        ),
        format!(r#"{{"tenant_id":"{tenant}","overlap_hours":24}}"#),
        format!(r#"{{"tenant_id":"{tenant}","store_id":"{store}","from_sequence":7}}"#),
        format!(
            r#"{{"webhook_id":"{agent}","tenant_id":"{tenant}","url":"https://example.com/","event_types":[],"store_id":null,"format":"cloudevents","description":null,"created_at":"2025-01-01T00:00:00.000Z","status":"gone","status_since":"2025-01-01T00:00:00.000Z","earlier_secret_until":null,"streams":[{{"store_id":"{store}","next_sequence":1,"head_sequence":2,"delivered":3,"given_up":0,"dead_letters":0,"failures":1,"retry_at":null,"last_error":"e"}}]}}"#
        ),
        format!(r#"{{"chain_tx_hash":"0x{}","chain_id":84532001,"block_number":7}}"#, digest(3)),
    ];
    texts.map(String::into_bytes).to_vec()
}
