//! Certificates as people read them. Headers and commits have the shape that Tendermint's RPC gives them, proofs are
//! protobuf in base 64, other bytes are lowercase hexadecimal.

use base64ct::{Base64, Encoding as _};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use stateset_ledger_types::ids::ChainId;
use tendermint::block::signed_header::SignedHeader;
use tendermint::validator::Set;

use crate::certificate::{commitment, state_key};
use crate::{CERTIFICATE_BYTES_MAX, Certificate, FormError, LightBlock, validators};

const FORMAT: &str = "stateset-certificate-1";

/// One validator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListedValidator {
    /// Ed25519, hexadecimal.
    public_key: String,
    /// Decimal.
    voting_power: String,
}

impl ListedValidator {
    pub(crate) fn list(set: &Set) -> Vec<Self> {
        let one = |(key, power): (Vec<u8>, u64)| Self {
            public_key: ves::hex::encode(&key),
            voting_power: power.to_string(),
        };
        validators::listed(set).map(one).collect()
    }

    pub(crate) fn set(listed: &[Self]) -> Result<Set, String> {
        let one = |listed: &Self| {
            let key = ves::hex::decode_vec(&listed.public_key).map_err(|problem| problem.to_string())?;
            let power = listed.voting_power.parse().map_err(|_| "voting_power is a decimal number")?;
            validators::validator(&key, power)
        };
        validators::set(listed.iter().map(one).collect::<Result<_, String>>()?)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateJson {
    format: String,
    chain_id: ChainId,
    height: u64,
    substore: String,
    key: String,
    /// Null: the key is absent.
    value: Option<String>,
    key_proof: String,
    substore_proof: String,
    #[serde(deserialize_with = "crate::tendermint_json::deserialize")]
    signed_header: SignedHeader,
    validators: Vec<ListedValidator>,
}

fn base64(field: &'static str, text: &str) -> Result<Vec<u8>, FormError> {
    Base64::decode_vec(text).map_err(|_| FormError::field(field, "it is not base 64"))
}

impl Certificate {
    /// The JSON file, ending with a line feed.
    pub fn to_json(&self) -> String {
        let json = CertificateJson {
            format: FORMAT.to_owned(),
            chain_id: self.chain_id.clone(),
            height: self.height,
            substore: self.key.substore.name().to_owned(),
            key: String::from_utf8_lossy(&self.key.path).into_owned(),
            value: self.value.as_deref().map(ves::hex::encode),
            key_proof: Base64::encode_string(&self.key_proof.encode_to_vec()),
            substore_proof: Base64::encode_string(&self.substore_proof.encode_to_vec()),
            signed_header: self.block.signed_header.clone(),
            validators: ListedValidator::list(&self.block.validators),
        };
        serde_json::to_string_pretty(&json).expect("plain values") + "\n"
    }

    /// Reads the JSON file; white space and the order of members are free.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn from_json(text: &[u8]) -> Result<Self, FormError> {
        if text.len() > CERTIFICATE_BYTES_MAX {
            return Err(FormError::TooLarge { found: text.len(), max: CERTIFICATE_BYTES_MAX });
        }
        let json: CertificateJson =
            serde_json::from_slice(text).map_err(|problem| FormError::Json(problem.to_string()))?;
        if json.format != FORMAT {
            return Err(FormError::field("format", format!("it is {:?}, not {FORMAT:?}", json.format)));
        }
        let value = json.value.as_deref().map(ves::hex::decode_vec).transpose();
        let certificate = Self {
            chain_id: json.chain_id,
            height: json.height,
            key: state_key(&json.substore, json.key.as_bytes())?,
            value: value.map_err(|problem| FormError::field("value", problem))?,
            key_proof: commitment("key_proof", &base64("key_proof", &json.key_proof)?)?,
            substore_proof: commitment("substore_proof", &base64("substore_proof", &json.substore_proof)?)?,
            block: LightBlock {
                signed_header: json.signed_header,
                validators: ListedValidator::set(&json.validators)
                    .map_err(|problem| FormError::field("validators", problem))?,
            },
        };
        certificate.check()?;
        // What has no bytes within the bounds is no certificate.
        Self::from_bytes(&certificate.to_bytes()?)
    }
}
