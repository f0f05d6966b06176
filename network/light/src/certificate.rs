//! The certificate and its canonical bytes.

use ics23::CommitmentProof;
use prost::Message as _;
use stateset_ledger_types::codec::{Blob, Decode as _, Encode as _, Text, TooMany};
use stateset_ledger_types::ids::ChainId;
use stateset_ledger_types::notary::CertificateRecord;
use stateset_ledger_types::{StateKey, Substore};
use tendermint::block::Height;
use tendermint::block::signed_header::SignedHeader;
use tendermint::validator;
use tendermint_proto::v0_38::types as raw;

use crate::{FormError, validators};

/// Most bytes of a certificate, in either form.
pub const CERTIFICATE_BYTES_MAX: usize = 4 << 20;

const VERSION: u16 = 1;

/// A header with the commit that signs it, and the set of those who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LightBlock {
    pub signed_header: SignedHeader,
    pub validators: validator::Set,
}

impl LightBlock {
    /// The parts, with the set in its one form.
    ///
    /// # Errors
    /// What is wrong with the set.
    pub fn new(signed_header: SignedHeader, validators: Vec<validator::Info>) -> Result<Self, String> {
        Ok(Self { signed_header, validators: validators::set(validators)? })
    }

    pub fn height(&self) -> u64 {
        self.signed_header.header.height.value()
    }

    pub(crate) fn to_protobuf(&self) -> Vec<u8> {
        let block = raw::LightBlock {
            signed_header: Some(self.signed_header.clone().into()),
            validator_set: Some(self.validators.clone().into()),
        };
        block.encode_to_vec()
    }

    pub(crate) fn from_protobuf(bytes: &[u8]) -> Result<Self, FormError> {
        let wrong = |problem: &dyn ToString| FormError::field("light_block", problem.to_string());
        let block = raw::LightBlock::decode(bytes).map_err(|problem| wrong(&problem))?;
        let header = block.signed_header.ok_or_else(|| wrong(&"the signed header is missing"))?;
        let set = block.validator_set.ok_or_else(|| wrong(&"the validators are missing"))?;
        let header = SignedHeader::try_from(header).map_err(|problem| wrong(&problem))?;
        let set = validator::Set::try_from(set).map_err(|problem| wrong(&problem))?;
        Self::new(header, set.validators).map_err(|problem| wrong(&problem))
    }
}

/// What the state of one height holds at a key, with all that proves it.
///
/// Its fields are claims until [`verify`](Self::verify) or [`verify_at`](Self::verify_at) has accepted it.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    pub chain_id: ChainId,
    /// Height of the state.
    pub height: u64,
    pub key: StateKey,
    /// `None`: the key is absent.
    pub value: Option<Vec<u8>>,
    /// The key under its substore's root.
    pub key_proof: CommitmentProof,
    /// The substore's name and root under the app hash.
    pub substore_proof: CommitmentProof,
    /// Of the height after `height`, whose header holds the app hash.
    pub block: LightBlock,
}

fn blob<const MAX: usize>(field: &'static str, bytes: Vec<u8>) -> Result<Blob<MAX>, FormError> {
    Blob::new(bytes).map_err(|problem: TooMany| FormError::field(field, problem))
}

pub(crate) fn commitment(field: &'static str, bytes: &[u8]) -> Result<CommitmentProof, FormError> {
    CommitmentProof::decode(bytes).map_err(|problem| FormError::field(field, problem))
}

/// Keys of the state are printable ASCII.
pub(crate) fn state_key(substore: &str, path: &[u8]) -> Result<StateKey, FormError> {
    let substore = Substore::from_name(substore)
        .ok_or_else(|| FormError::field("substore", format!("there is no substore {substore:?}")))?;
    if path.is_empty() || !path.iter().all(u8::is_ascii_graphic) {
        return Err(FormError::field("key", "a key is printable ASCII and not empty"));
    }
    Ok(StateKey { substore, path: path.to_vec() })
}

impl Certificate {
    /// The canonical bytes: the encoding SCE of a [`CertificateRecord`].
    ///
    /// # Errors
    /// [`FormError::Field`]: a part is larger than its bound, which is so for none that was read or fetched.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FormError> {
        let record = CertificateRecord {
            version: VERSION,
            chain_id: self.chain_id.clone(),
            height: self.height,
            substore: Text::new(self.key.substore.name())
                .map_err(|problem| FormError::field("substore", problem))?,
            key: blob("key", self.key.path.clone())?,
            value: self.value.clone().map(|value| blob("value", value)).transpose()?,
            key_proof: blob("key_proof", self.key_proof.encode_to_vec())?,
            substore_proof: blob("substore_proof", self.substore_proof.encode_to_vec())?,
            light_block: blob("light_block", self.block.to_protobuf())?,
        };
        Ok(record.to_sce())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes, and nothing else.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(FormError::TooLarge { found: bytes.len(), max: CERTIFICATE_BYTES_MAX });
        }
        let record = CertificateRecord::from_sce(bytes)?;
        if record.version != VERSION {
            return Err(FormError::Version(record.version));
        }
        let certificate = Self {
            chain_id: record.chain_id.clone(),
            height: record.height,
            key: state_key(&record.substore, &record.key)?,
            value: record.value.as_ref().map(|value| value.to_vec()),
            key_proof: commitment("key_proof", &record.key_proof)?,
            substore_proof: commitment("substore_proof", &record.substore_proof)?,
            block: LightBlock::from_protobuf(&record.light_block)?,
        };
        certificate.check()?;
        // Protobuf has many encodings of a message.
        if certificate.to_bytes()? == bytes { Ok(certificate) } else { Err(FormError::NotCanonical) }
    }

    /// What both forms hold to.
    pub(crate) fn check(&self) -> Result<(), FormError> {
        if Height::try_from(self.height).is_err() {
            return Err(FormError::field("height", "it is larger than any block's"));
        }
        match self.value.as_deref() {
            Some([]) => Err(FormError::field("value", "values are never empty")),
            _ => Ok(()),
        }
    }
}
