//! The peer protocol's bytes, and certificates of members and nodes.

use std::sync::OnceLock;

use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::ids::{ChainId, EntityId, TxId};
use stateset_ledger_types::keys::{PublicKey, Signature};
use stateset_ledger_types::x509::{
    Issuer, Kind, Root, Template, check_entity, check_node, issue, self_issue,
};
use stateset_peer::Message;
use stateset_peer::frame::{Decoder, FRAME_BYTES_MAX, Frame, MessageType, SessionId};
use stateset_peer::message::{
    Certificates, GetCertChain, GetTx, Hello, Liveness, Ping, Received, Reject, RejectCode, Transactions,
    Watermark,
};
use ves::Digest;

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;

/// The first byte says how the connection cuts the others: the same frames come of it as of all bytes at once, they are
/// written as they came, and their messages have one encoding.
pub fn frames(data: &[u8]) -> bool {
    let Some((cut, bytes)) = data.split_first() else { return false };
    let whole = decoded(bytes, bytes.len().max(1));
    assert_eq!(whole, decoded(bytes, usize::from(*cut) + 1), "frames do not depend on cuts");
    let mut written = Vec::new();
    let mut accepted = false;
    for frame in &whole {
        frame.encode(FRAME_BYTES_MAX, &mut written).expect("what was read can be written");
        if let Ok(message) = Message::decode(frame.kind, &frame.payload) {
            assert_eq!(message.frame(frame.session, frame.sequence), *frame, "one encoding of a message");
            accepted = true;
        }
    }
    assert!(bytes.starts_with(&written));
    accepted
}

/// Frames up to the first that is none.
fn decoded(bytes: &[u8], cut: usize) -> Vec<Frame> {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut frames = Vec::new();
    for piece in bytes.chunks(cut) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    let messages: [Message; 6] = [
        Hello {
            versions: Set::new([1]).expect("one"),
            entity_id: EntityId([1; 20]),
            chain_id: ChainId::new("fuzz-1").expect("a chain"),
            height: 7,
            contract_set_hash: Digest([2; 32]),
        }
        .into(),
        Reject { code: RejectCode::Declined, text: Text::new("no").expect("short") }.into(),
        Transactions::Get(GetTx { ids: Set::new([TxId([3; 32]), TxId([4; 32])]).expect("two") }).into(),
        Certificates::Get(GetCertChain { entity: EntityId([5; 20]) }).into(),
        Liveness::Ping(Ping { nonce: 6 }).into(),
        Liveness::Received(Received {
            watermarks: List::new([Watermark { session: 8, sequence: 9 }]).expect("one"),
        })
        .into(),
    ];
    let mut all = vec![0];
    let mut seeds = Vec::new();
    for (message, n) in messages.iter().zip(1..) {
        let mut one = vec![n];
        let frame = message.frame(SessionId(n.into()), n.into());
        frame.encode(FRAME_BYTES_MAX, &mut one).expect("small");
        all.extend_from_slice(&one[1..]);
        seeds.push(one);
    }
    let unreadable =
        Frame { kind: MessageType::Finalised, session: SessionId(1), sequence: 1, payload: vec![1, 2] };
    unreadable.encode(FRAME_BYTES_MAX, &mut all).expect("small");
    seeds.push(all);
    seeds
}

/// The network's own chain is the only one that holds. The first byte says what the others are put in place of: the
/// node's certificate, the entity's, or the root's.
pub fn certificates(data: &[u8]) -> bool {
    let Some((place, der)) = data.split_first() else { return false };
    let (root, chain) = network();
    let known = Root::parse(root).expect("a root");
    let genuine = check_node(chain, std::slice::from_ref(&known), NOW).expect("the network's own");
    match place % 3 {
        2 => {
            let Ok(other) = Root::parse(der) else { return false };
            let holds = check_node(chain, std::slice::from_ref(&other), NOW).is_ok();
            assert!(
                !holds || other.certificate().key() == known.certificate().key(),
                "another key did not sign"
            );
            true
        }
        place => {
            let mut changed = chain.clone();
            changed[usize::from(place)] = der.to_vec();
            let found = check_node(&changed, std::slice::from_ref(&known), NOW);
            let entity = check_entity(&changed[1..], std::slice::from_ref(&known), NOW);
            assert!(entity.is_err() || changed[1] == chain[1], "only this was signed");
            assert!(found.is_err() || found == Ok(genuine), "only this was signed");
            changed == *chain
        }
    }
}

/// Root, and the chain of a node.
fn network() -> &'static (Vec<u8>, Vec<Vec<u8>>) {
    static NETWORK: OnceLock<(Vec<u8>, Vec<Vec<u8>>)> = OnceLock::new();
    NETWORK.get_or_init(issued)
}

fn issued() -> (Vec<u8>, Vec<Vec<u8>>) {
    let party = |seed: u8| {
        let key = ves::SigningKey::from_seed([seed; 32]);
        let public = PublicKey::ed25519(key.public_key());
        (key, public)
    };
    let [(root_key, root), (entity_key, entity), (_, node)] = [1, 2, 3].map(party);
    let template =
        |kind, subject, key| Template { kind, subject, key, from_ms: NOW - DAY, until_ms: NOW + DAY };
    let (root_name, entity_name) = ("CN=Root", "CN=Acme,O=Acme GmbH,C=DE");
    let root_der = self_issue(&template(Kind::Root, root_name, &root), |tbs| Signature(root_key.sign(tbs)));
    let by_root = Issuer { subject: root_name, key: &root };
    let entity_der =
        issue(&template(Kind::Entity, entity_name, &entity), &by_root, |tbs| Signature(root_key.sign(tbs)));
    let by_entity = Issuer { subject: entity_name, key: &entity };
    let node_der =
        issue(&template(Kind::Node, "CN=node", &node), &by_entity, |tbs| Signature(entity_key.sign(tbs)));
    let [root, entity, node] = [root_der, entity_der, node_der].map(|der| der.expect("a good template"));
    (root, vec![node, entity])
}

pub fn certificate_seeds() -> Vec<Vec<u8>> {
    let (root, chain) = network();
    [(2, root), (1, &chain[1]), (0, &chain[0])]
        .map(|(place, der)| [vec![place], der.clone()].concat())
        .to_vec()
}
