//! Transactions to test with: every group filled, everything from a seed.

use stateset_ledger_types::body::{
    Attachment, Body, Capsule, CapsuleLookup, Command, DataClass, Header, Memo, One, OutputState,
    Participant, SaltedBody, TimeWindow,
};
use stateset_ledger_types::codec::{Blob, List, Set};
use stateset_ledger_types::envelope::{Notarise, NotariseContent, PublicTx, Request, Submission};
use stateset_ledger_types::ids::{ChainId, ContractId, EntityId, LinearId, SpentKey, StateRef, TxId};
use stateset_ledger_types::keys::{BusinessSignature, PublicKey, Purpose, Signature, business_message};
use stateset_ledger_types::policy::{self, Blind, Opening, Policy, spend_message};
use stateset_ledger_types::stateless::Rules;
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Envelope, Params};
use ves::Digest;

pub fn chain() -> ChainId {
    ChainId::new("ssn-test-1").unwrap()
}

pub fn rules() -> Rules {
    Rules::new(chain(), &Params::default())
}

pub fn signing_key(n: u8) -> ves::SigningKey {
    ves::SigningKey::from_seed([n; 32])
}

pub fn public_key(n: u8) -> PublicKey {
    PublicKey::ed25519(signing_key(n).public_key())
}

pub fn sign(n: u8, message: &Digest) -> Signature {
    Signature(signing_key(n).sign(&message.0))
}

/// Policy of `threshold` of keys 1, 2, 3.
pub fn policy_of(threshold: u8) -> Policy {
    Policy::new(threshold, [1, 2, 3].map(public_key)).unwrap()
}

pub fn blind_of(n: u8) -> Blind {
    Blind([n; 32])
}

pub fn header() -> Header {
    Header {
        format: 1,
        chain_id: chain(),
        not_before_height: 0,
        expires_height: 0,
        params_hash: Digest::ZERO,
        contract_set_hash: Digest::ZERO,
        attester_policy: None,
    }
}

/// `inputs` consumed states under [`policy_of`] threshold 2, and `n` components in every other group that may have them.
pub fn body(inputs: u8, n: u8) -> SaltedBody {
    let policy = policy_of(2);
    let spent = |i| policy::nullifier(&blind_of(i), &policy.hash());
    let output = |i: u8| OutputState {
        type_id: 13,
        schema_version: 1,
        linear_id: Some(LinearId([i; 16])),
        contract_id: ContractId::new("native:invoice").unwrap(),
        participants: Set::new([
            Participant::Entity(EntityId([i; 20])),
            Participant::OneTimeKey(public_key(9)),
        ])
        .unwrap(),
        policy: policy.clone(),
        encumbrance: (i == 1).then_some(0),
        data_class: DataClass::Business,
        content: Blob::new(vec![i; usize::from(i) * 7]).unwrap(),
    };
    let command = |i: u8| Command {
        contract_id: ContractId::new("native:invoice").unwrap(),
        tag: i.into(),
        args: Blob::new(vec![i]).unwrap(),
        signers: Set::new([public_key(4)]).unwrap(),
    };
    let list = |n: u8| 0..n;
    let body = Body {
        nullifiers: List::new(list(inputs).map(spent).collect::<Vec<_>>()).unwrap(),
        outputs: List::new(list(n).map(output).collect::<Vec<_>>()).unwrap(),
        commands: List::new(list(n).map(command).collect::<Vec<_>>()).unwrap(),
        references: List::new(list(n).map(|i| SpentKey([100 + i; 32])).collect::<Vec<_>>()).unwrap(),
        attachments: List::new(
            list(n)
                .map(|i| Attachment { content_hash: Digest([i; 32]), kind: 1, size: i.into() })
                .collect::<Vec<_>>(),
        )
        .unwrap(),
        time_window: List::new(
            list(n.min(1)).map(|_| TimeWindow { from_ms: Some(1), until_ms: None }).collect::<Vec<_>>(),
        )
        .unwrap(),
        header: One(header()),
        inputs: List::new(
            list(inputs).map(|i| StateRef { tx_id: TxId([i; 32]), index: i.into() }).collect::<Vec<_>>(),
        )
        .unwrap(),
        capsules: List::new(
            list(n)
                .map(|i| Capsule {
                    lookup: CapsuleLookup([i; 33]),
                    ciphertext_hash: Digest([i; 32]),
                    size: 1024,
                })
                .collect::<Vec<_>>(),
        )
        .unwrap(),
        memo: List::new(list(n).map(|i| Memo { bytes: Blob::new(vec![i; 3]).unwrap() }).collect::<Vec<_>>())
            .unwrap(),
    };
    SaltedBody { salt: Salt(std::array::from_fn(|i| i as u8)), body }
}

/// Openings by keys of the policy in order, those for which `by` holds.
pub fn openings(inputs: u8, tx_id: &TxId, by: impl Fn(u8) -> bool) -> Vec<Opening> {
    let (policy, message) = (policy_of(2), spend_message(&chain(), tx_id));
    let signature = |key: &PublicKey| {
        let n = [1, 2, 3].into_iter().find(|n| public_key(*n) == *key).unwrap();
        by(n).then(|| sign(n, &message))
    };
    let signatures: Vec<Option<Signature>> = policy.keys().iter().map(signature).collect();
    (0..inputs)
        .map(|i| Opening {
            blind: blind_of(i),
            policy: policy.clone(),
            signatures: List::new(signatures.clone()).unwrap(),
        })
        .collect()
}

pub fn submission(key: u8, seq: u64) -> Submission {
    Submission { entity: EntityId([key; 20]), seq, key: public_key(key), signature: Signature([0; 64]) }
}

/// Signed by key 5, opened by keys 1 and 2.
pub fn notarise(whole: &SaltedBody, inputs: u8) -> Envelope {
    let content = NotariseContent::of(whole, Mode::Private);
    let openings = openings(inputs, &content.tx_id(), |n| n < 3);
    let request = Notarise {
        content,
        openings: List::new(openings).unwrap(),
        submission: submission(5, 1),
        attestations: List::default(),
        receipts: List::default(),
    };
    Envelope::signed(Request::Notarise(Box::new(request)), &chain(), |message| sign(5, message))
}

/// As [`notarise`], with everything shown and the commands signed by key 4.
pub fn public(whole: &SaltedBody, inputs: u8) -> Envelope {
    let tx_id = whole.tx_id(Mode::Public);
    let key = public_key(4);
    let purpose = Purpose::LedgerSigning;
    let signature = sign(4, &business_message(&chain(), &tx_id, purpose, &key));
    let request = PublicTx {
        content: whole.clone(),
        signatures: List::new([BusinessSignature { purpose, key, signature }]).unwrap(),
        openings: List::new(openings(inputs, &tx_id, |n| n < 3)).unwrap(),
        submission: submission(5, 1),
    };
    Envelope::signed(Request::PublicTx(Box::new(request)), &chain(), |message| sign(5, message))
}
