//! A chain that another implementation made: `testing/vectors/ledger/certificates.json`.

use serde_json::Value;
use stateset_ledger_types::keys::Scheme;
use stateset_ledger_types::x509::{ChainError, Kind, Root, check_entity, check_node};

const VECTOR: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testing/vectors/ledger/certificates.json"));

#[test]
fn a_chain_of_another_implementation_holds_and_makes_the_entitys_id() {
    let vector: Value = serde_json::from_str(VECTOR).unwrap();
    let text = |name: &str| vector[name].as_str().unwrap();
    let der = |value: &Value| ves::hex::decode_vec(value.as_str().unwrap()).unwrap();
    let time_ms = vector["time_ms"].as_u64().unwrap();
    let roots = [Root::parse(&der(&vector["root"])).unwrap()];
    assert_eq!(roots[0].id(), text("network_root_id"));
    let chain: Vec<Vec<u8>> = vector["chain"].as_array().unwrap().iter().map(der).collect();
    let node = check_node(&chain, &roots, time_ms).unwrap();
    let entity = check_entity(&chain[1..], &roots, time_ms).unwrap();
    assert_eq!(node.entity(), &entity);
    assert_eq!(entity.certificate().subject(), text("subject"));
    assert_eq!(entity.entity_id().to_string(), text("entity_id"));
    assert_eq!(entity.certificate().hash().to_string(), text("cert_hash"));
    let schemes =
        [node.certificate(), entity.certificate(), roots[0].certificate()].map(|it| it.key().scheme());
    assert_eq!(schemes, [Scheme::P256, Scheme::Ed25519, Scheme::P256]);

    // The middle is missed by name, and nothing signed by ECDSA survives a change.
    let without: Vec<Vec<u8>> = chain[..2].to_vec();
    let missing = ChainError::UnknownRoot("CN=Example Issuing CA 1,O=Example Trade Network,C=CH".to_owned());
    assert_eq!(check_node(&without, &roots, time_ms), Err(missing));
    for at in [1, 2] {
        for byte in 0..chain[at].len() {
            let mut changed = chain.clone();
            changed[at][byte] ^= 0x10;
            assert!(check_entity(&changed[1..], &roots, time_ms).is_err(), "certificate {at}, byte {byte}");
        }
    }
    let early = check_node(&chain, &roots, 1_000_000);
    assert!(matches!(early, Err(ChainError::NotYetValid { kind: Kind::Node, .. })), "{early:?}");
}
