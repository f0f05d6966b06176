//! The signed key directory (section 9.4).

use stateset_fixtures::{Agent, NOW, Recipient, sequencer_key, stream};
use ves::directory::{DirectoryHead, DirectoryKey, Expected, KeyDirectory, verify};
use ves::ed25519::PublicKey;
use ves::hash::Digest;
use ves::ids::{SequenceNumber, SequencerId};
use ves::keys::{AgentKey, KeyAlgorithm};

/// The input is an answer of a server: what verifies is the one directory that was signed, however it is spelt.
pub fn directory(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let key = PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a sound key");
    let signed = signed();
    let head = signed.stream.as_ref().expect("it names a stream");
    let expected = Expected {
        tenant_id: signed.tenant_id,
        agent_id: signed.agent_id,
        stream: Some((head.store_id, head.head_sequence)),
        now: NOW,
        age_ms_max: 0,
    };
    match verify(text, &key, &expected) {
        Ok(read) => {
            assert_eq!(read, signed, "only this was signed");
            true
        }
        Err(_) => false,
    }
}

fn signed() -> KeyDirectory {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    let hybrid = AgentKey {
        algorithm: KeyAlgorithm::Ed25519MlDsa65,
        ml_dsa_65: Some(Box::new([7; 1952])),
        ..agent.registered_key()
    };
    KeyDirectory {
        tenant_id: stream.tenant_id,
        agent_id: agent.agent_id,
        sequencer_id: SequencerId::from_bytes([3; 16]),
        sequencer_key_version: 1,
        as_of: NOW,
        stream: Some(DirectoryHead {
            store_id: stream.store_id,
            head_sequence: SequenceNumber(9),
            state_root: Digest([1; 32]),
        }),
        signing_keys: vec![
            DirectoryKey::from(&agent.registered_key().revoked(NOW)),
            DirectoryKey::from(&hybrid),
        ],
        encryption_keys: vec![DirectoryKey::from(&Recipient::new(4).registered_key(stream.tenant_id))],
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let signed = signed().sign(&sequencer_key(1)).expect("a key in memory signs");
    let text = serde_json::to_string(&signed).expect("it is JSON");
    let spaced = text.replace(',', ", ").replace(':', " : ");
    // Times hold colons, so this one is another directory.
    vec![
        text.clone().into_bytes(),
        text.replace(',', " ,\n").into_bytes(),
        spaced.into_bytes(),
        b"{}".to_vec(),
    ]
}
