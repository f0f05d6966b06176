//! A company that has its node here: what is public of it, and its keys once they are unlocked.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stateset_keystore::{KeyName, Keystore};
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::{PublicKey, Signature};
use stateset_ledger_types::x509::{Kind, common_name};
use stateset_node::NodeKeys;
use stateset_node::trust::Resolutions;
use stateset_peer::Identity;

use crate::certificates::{Authority, NODE_DAYS};
use crate::genesis::now;
use crate::output::Failure;

/// `orgs/<org>.json`: what is public of a company that was made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgRecord {
    pub org: String,
    pub name: String,
    pub entity_id: EntityId,
    pub chain_id: String,
    /// Names of its keys in the keystore.
    pub identity_key: String,
    pub ledger_key: String,
    pub view_key: String,
    /// Of its node's certificate.
    pub node_key: String,
    /// DER of its certificate, of the root that issued it, and of its node's.
    pub certificate: HexBytes,
    pub root: HexBytes,
    pub node_certificate: HexBytes,
    /// Where its node listens for those of other companies; at a free port of this machine where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// How far back its node goes before it takes a state, by contract; to the issuance where none is named.
    #[serde(default, skip_serializing_if = "Resolutions::is_empty")]
    pub resolutions: Resolutions,
}

/// Bytes as lowercase hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ves::hex::encode(&self.0))
    }
}
impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ves::hex::decode_vec(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

fn keys(error: impl ToString) -> Failure {
    Failure::failed("KEYS", error)
}

fn key_name(name: &str) -> Result<KeyName, Failure> {
    name.parse().map_err(|error| Failure::failed("BAD_ORG", format!("key {name}: {error}")))
}

/// The certificate of a company's node, issued by the company under the key of its own certificate (1.1).
///
/// # Errors
/// Where the key does not sign.
pub fn node_certificate(
    keystore: &dyn Keystore,
    name: &str,
    identity: &KeyName,
    node: &KeyName,
) -> Result<Vec<u8>, Failure> {
    let (issuer, own) = (keystore.signer(identity).map_err(keys)?, keystore.info(node).map_err(keys)?);
    let own = own.public_key.as_slice().try_into().map(PublicKey::ed25519).map_err(|_| keys("no Ed25519"))?;
    let (of_entity, of_node) = (common_name(name), common_name(&format!("node of {name}")));
    let entity = Authority { subject: &of_entity, key: &*issuer, time_ms: now() };
    entity.issues(&entity.template(Kind::Node, &of_node, &own, NODE_DAYS))
}

/// What a node signs and opens with.
pub struct OrgKeys {
    pub node: Arc<NodeKeys>,
    pub identity: Identity,
}

impl OrgKeys {
    /// Unlocks the keys that `record` names.
    ///
    /// # Errors
    /// Those of the keystore.
    pub fn open(keystore: &dyn Keystore, record: &OrgRecord) -> Result<Self, Failure> {
        let (ledger, view) = (key_name(&record.ledger_key)?, key_name(&record.view_key)?);
        let node = NodeKeys::open(keystore, record.entity_id, &ledger, &view).map_err(keys)?;
        let signer = keystore.signer(&key_name(&record.node_key)?).map_err(keys)?;
        let identity = Identity {
            chain: vec![record.node_certificate.0.clone(), record.certificate.0.clone()],
            sign: Arc::new(move |message| {
                signer.sign(message).map(Signature).map_err(|error| error.to_string())
            }),
        };
        Ok(Self { node: Arc::new(node), identity })
    }
}
