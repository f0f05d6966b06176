//! A company that has its node here: what is public of it, and its keys once they are unlocked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stateset_keystore::{KeyName, Keystore};
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::{PublicKey, Signature};
use stateset_ledger_types::x509::{Issuer, Kind, Template, common_name, issue};
use stateset_node::NodeKeys;
use stateset_node::trust::Resolutions;
use stateset_peer::Identity;

use crate::genesis::now;
use crate::output::Failure;

/// Milliseconds; certificates hold from a day before they are made, for clocks that differ.
const BEFORE: u64 = 86_400_000;
const NODE_VALID: u64 = 5 * 365 * 86_400_000;

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
    let template = Template {
        kind: Kind::Node,
        subject: &of_node,
        key: &own,
        from_ms: now().saturating_sub(BEFORE),
        until_ms: now().saturating_add(NODE_VALID),
    };
    let by = Issuer { subject: &of_entity, key: &PublicKey::ed25519(issuer.public_key()) };
    let mut signed = Ok(());
    let certificate = issue(&template, &by, |message| {
        issuer.sign(message).map(Signature).unwrap_or_else(|error| {
            signed = Err(keys(error));
            Signature([0; 64])
        })
    });
    signed?;
    certificate.map_err(|error| Failure::failed("CERTIFICATE", error))
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
