//! Proofs under the public inputs that they are made for (section 11, items 2, 3, 4 and 14): from every other member follows
//! another statement, and the proof is none of it.

use ves::compliance::{Bindings, EventFacts};
use ves::ids::StreamKey;
use ves::{Digest, EventId, SequenceNumber, StoreId, TenantId, TimestampMs};
use ves_stark_primitives::{
    AmountPolicy, BindingLevel, CommittedField, EventInputs, FieldDescription, Opening, PayloadTable,
    ProofError, PublicInputs, Statement, SuiteId,
};
use ves_stark_prover::prove_one_event;
use ves_stark_verifier::verify_statement;

use crate::support::{Seeded, opening};

const NOW: TimestampMs = TimestampMs(0);

fn field(path: &str, unit: &str) -> FieldDescription {
    FieldDescription::new("amount", path, "amount", unit, 2).unwrap()
}

fn committed(field: FieldDescription, opening: &Opening) -> Vec<CommittedField> {
    vec![CommittedField { commitment: opening.commit(&field), field }]
}

/// Complete inputs about an amount below 10,001.
fn inputs(opening: &Opening) -> PublicInputs {
    let facts = EventFacts {
        event_id: EventId::from_bytes([1; 16]),
        stream: StreamKey {
            tenant_id: TenantId::from_bytes([2; 16]),
            store_id: StoreId::from_bytes([3; 16]),
        },
        sequence_number: SequenceNumber(42),
        payload_kind: 1,
        payload_plain_hash: Digest([4; 32]),
        payload_cipher_hash: Digest([5; 32]),
        event_signing_hash: Digest([6; 32]),
    };
    let bindings = Bindings {
        amount_binding_hash: Some(Digest([7; 32])),
        authorization_receipt_hash: Some(Digest([8; 32])),
    };
    let policy = AmountPolicy::with_limit("aml.threshold", 10_001, None).unwrap().policy();
    PublicInputs {
        event: EventInputs { facts, policy, bindings, witness_commitment: None },
        suite: SuiteId::Standard,
        commitments: committed(field("total", "USD"), opening),
        binding_level: BindingLevel::Signed,
        chain_context: "test".to_owned(),
        valid_until: Some(1_800_000_000),
    }
}

#[test]
fn no_member_of_the_public_inputs_can_be_changed() {
    let opening = opening(5_000, 1);
    let own = inputs(&opening);
    let statement = own.statement().unwrap();
    let Statement::Amount(event) = &statement else { panic!("level signed is of the amount") };
    let proof = prove_one_event(event, &opening, &mut Seeded::new(1)).unwrap();
    assert!(verify_statement(&statement, NOW, &proof).is_ok());

    let policy = |id: &str, limit| AmountPolicy::with_limit(id, limit, None).unwrap().policy();
    let table = PayloadTable::for_payload(300, true).unwrap();
    let mut refused = 0;
    let mut other = |what: &str, change: &dyn Fn(&mut PublicInputs)| {
        let mut other = own.clone();
        change(&mut other);
        let found = verify_statement(&other.statement().unwrap(), NOW, &proof);
        assert!(
            matches!(
                found,
                Err(ProofError::Invalid { .. } | ProofError::Parameters { .. } | ProofError::TooLarge { .. })
            ),
            "{what}: {found:?}"
        );
        refused += 1;
    };
    other("eventId", &|i| i.event.facts.event_id = EventId::from_bytes([9; 16]));
    other("tenantId", &|i| i.event.facts.stream.tenant_id = TenantId::from_bytes([9; 16]));
    other("storeId", &|i| i.event.facts.stream.store_id = StoreId::from_bytes([9; 16]));
    other("sequenceNumber", &|i| i.event.facts.sequence_number.0 += 1);
    other("payloadKind", &|i| i.event.facts.payload_kind = 0);
    other("payloadPlainHash", &|i| i.event.facts.payload_plain_hash.0[31] ^= 1);
    other("payloadCipherHash", &|i| i.event.facts.payload_cipher_hash.0[0] ^= 1);
    other("eventSigningHash", &|i| i.event.facts.event_signing_hash.0[0] ^= 1);
    other("policyParams, lower", &|i| i.event.policy = policy("aml.threshold", 10_000));
    other("policyParams, higher", &|i| i.event.policy = policy("aml.threshold", 10_002));
    // Item 3: the circuit sees the same limit.
    other("policyId with the same limit", &|i| i.event.policy = policy("order_total.cap", 10_000));
    other("amountBindingHash", &|i| i.event.bindings.amount_binding_hash = Some(Digest([9; 32])));
    other("amountBindingHash missing", &|i| i.event.bindings.amount_binding_hash = None);
    other("authorizationReceiptHash", &|i| i.event.bindings.authorization_receipt_hash = None);
    other("suite", &|i| i.suite = SuiteId::Proven);
    other("bindingLevel", &|i| i.binding_level = BindingLevel::Circuit { table });
    other("chainContext", &|i| i.chain_context = "elsewhere".to_owned());
    other("validUntil", &|i| i.valid_until = Some(1_800_000_001));
    other("validUntil missing", &|i| i.valid_until = None);
    other("path", &|i| i.commitments = committed(field("subtotal", "USD"), &opening));
    other("unit", &|i| i.commitments = committed(field("total", "EUR"), &opening));
    other("unit beside the old commitment", &|i| i.commitments[0].field = field("total", "EUR"));
    other("value", &|i| i.commitments = committed(field("total", "USD"), &crate::support::opening(5_000, 2)));
    assert_eq!(refused, 23);
}
