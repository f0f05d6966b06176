//! SHA-256 with a domain string in front: every hash of the protocol names what it is of (section 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use uuid::Uuid;

use crate::hex::{self, HexError};

/// A SHA-256 value: 32 raw bytes. Text form: 64 lowercase hex digits without `0x`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// 32 zero bytes: the cipher hash of a plaintext event, the state root before the first batch.
    pub const ZERO: Self = Self([0; 32]);

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// The envelope's text form: `0x` and 64 lowercase digits.
    pub fn to_0x(self) -> String {
        hex::encode_0x(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
impl FromStr for Digest {
    type Err = HexError;
    /// Reads 64 digits of either case, with or without `0x`.
    fn from_str(text: &str) -> Result<Self, HexError> {
        hex::decode_lenient(text).map(Self)
    }
}
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// The domain strings of section 4: bare ASCII at the front of the preimage. No one is a prefix of another.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Domain { $($(#[$doc])* $name),+ }

        impl Domain {
            /// Every domain, in the order of section 4.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The ASCII text that enters the hash.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

domains! {
    /// 6.1
    PayloadPlain = "VES_PAYLOAD_PLAIN_V1",
    /// 7.2
    PayloadAad = "VES_PAYLOAD_AAD_V1",
    /// 7.5
    PayloadCipher = "VES_PAYLOAD_CIPHER_V1",
    /// 7.4
    Recipients = "VES_RECIPIENTS_V1",
    /// 8.1
    EventSignature = "VES_EVENTSIG_V1",
    /// 13.1
    Leaf = "VES_LEAF_V1",
    /// 13.2
    Node = "VES_NODE_V1",
    /// 13.2
    PadLeaf = "VES_PAD_LEAF_V1",
    /// 14.1
    Stream = "VES_STREAM_V1",
    /// 12
    Receipt = "VES_RECEIPT_V1",
    /// 14.2
    StateRoot = "VES_STATE_ROOT_V1",
    /// 9.3
    PossessionV1 = "VES_POP_V1",
    /// 16.1
    X402Payment = "X402_PAYMENT_V1",
    /// Framed form of 16.1 (x402, A.5)
    X402PaymentV2 = "X402_PAYMENT_V2",
    /// Nonce of the authorization that settles an intent (ours)
    X402Authorization = "X402_AUTHORIZATION_V1",
    /// Chain of payment batches (x402, A.5)
    X402State = "X402_STATE_V1",
    /// 15
    LegacyLeaf = "STATESET_COMMITMENT_LEAF_V1",
    /// 17.1
    CompliancePolicy = "STATESET_VES_COMPLIANCE_POLICY_HASH_V1",
    /// 17.4
    ComplianceProof = "STATESET_VES_COMPLIANCE_PROOF_HASH_V1",
    /// 18
    ValidityProof = "STATESET_VES_VALIDITY_PROOF_HASH_V1",
    /// Batch proofs of the STARK system
    BatchProof = "STATESET_VES_BATCH_PROOF_HASH_V1",
    /// 17.3
    AmountBinding = "STATESET_VES_PAYLOAD_AMOUNT_BINDING_HASH_V1",
    /// 19
    AtRestPayload = "STATESET_PAYLOAD_ATREST_AAD_V1",
    /// 19
    AtRestValidity = "STATESET_VES_VALIDITY_PROOF_ATREST_AAD_V1",
    /// 19
    AtRestCompliance = "STATESET_VES_COMPLIANCE_PROOF_ATREST_AAD_V1",
    /// 22: possession bound to tenant, agent and key id
    PossessionV2 = "VES_POP_V2",
    /// 22: extended receipt
    ReceiptV2 = "VES_RECEIPT_V2",
    /// Proofs, 3.2: the statement of a proof
    ProofStatement = "VES_PROOF_STATEMENT_V2",
    /// Proofs, 4.1: which field a commitment is of
    FieldCommitment = "VES_FIELD_COMMIT_V1",
    /// Proofs, 4.2: what an agent signs over its commitments
    CommitmentBinding = "VES_COMMITMENT_BINDING_V1",
    /// Proofs, 9: the commitments of one shard of a batch
    BatchShard = "VES_BATCH_SHARD_V1",
    /// Proofs, 9: all shards of a batch
    BatchCommitments = "VES_BATCH_COMMITMENTS_V1",
    /// Proofs, 9: the statement of one shard's proof
    BatchShardStatement = "VES_BATCH_SHARD_STATEMENT_V1",
    /// Anchoring, 3: header of a batch below an aggregated root
    AggregateLeaf = "SET_AGG_LEAF_V1",
    /// Anchoring, 3
    AggregateNode = "SET_AGG_NODE_V1",
    /// Anchoring, 3
    AggregatePad = "SET_AGG_PAD_V1",
    /// Ours: what a signed key directory says
    KeyDirectory = "VES_KEY_DIRECTORY_V1",
    /// Ours: short name of an entity inside the sequencer
    EntityKey = "STATESET_ENTITY_KEY_V1",
    /// Ours: id of an event by which the sequencer tells of a payment
    X402Event = "STATESET_X402_EVENT_V1",
    /// Ours: one record of the audit log
    AuditRecord = "STATESET_AUDIT_RECORD_V1",
    /// Ours: how far the audit log reaches, signed
    AuditStatement = "STATESET_AUDIT_STATEMENT_V1",
}

/// Preimages up to this length are put together before they are hashed; the signing preimage of an ordinary event
/// is about 230 bytes.
const GATHERED_BYTES_MAX: usize = 320;

/// Hash of the pieces one after another, behind the domain: what [`Hasher`] computes, without its many short
/// updates, which cost more than SHA-256 itself. For hashes that every event pays for.
#[inline]
pub fn hash_pieces(domain: Domain, pieces: &[&[u8]]) -> Digest {
    hash_gathered(std::iter::once(domain.text().as_bytes()).chain(pieces.iter().copied()))
}

/// [`hash_pieces`] whose first piece is the domain: for layers that have a list of domains of their own.
#[inline]
pub fn hash_gathered<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Digest {
    let mut gathered = [0; GATHERED_BYTES_MAX];
    let mut len = 0;
    for piece in pieces.clone() {
        let end = len + piece.len();
        if end > GATHERED_BYTES_MAX {
            return pieces.fold(Hasher::bare(), |hasher, piece| hasher.bytes(piece)).finish();
        }
        gathered[len..end].copy_from_slice(piece);
        len = end;
    }
    Digest(sha2::Sha256::digest(&gathered[..len]).into())
}

/// Builds a preimage piece by piece (section 2) and hashes it with SHA-256.
pub struct Hasher(sha2::Sha256);

impl Hasher {
    pub fn new(domain: Domain) -> Self {
        Self(sha2::Sha256::new_with_prefix(domain.text()))
    }
    /// For the few hashes that the specification leaves without a domain (15, 16.2, 17.2) and for RFC 9162.
    pub fn bare() -> Self {
        Self(sha2::Sha256::new())
    }
    pub fn u8(self, n: u8) -> Self {
        self.bytes(&[n])
    }
    /// `U32(n)`: big-endian.
    pub fn u32(self, n: u32) -> Self {
        self.bytes(&n.to_be_bytes())
    }
    /// `U64(n)`: big-endian.
    pub fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_be_bytes())
    }
    pub fn uuid(self, id: &Uuid) -> Self {
        self.bytes(id.as_bytes())
    }
    /// `STR(s)`: length in bytes as `U32`, then the UTF-8.
    pub fn str(self, s: &str) -> Self {
        self.u32(s.len() as u32).bytes(s.as_bytes())
    }
    /// Raw bytes, no length.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }
    pub fn digest(self, digest: &Digest) -> Self {
        self.bytes(&digest.0)
    }
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_domain_is_a_prefix_of_another() {
        for a in Domain::ALL {
            for b in Domain::ALL {
                assert!(a == b || !b.text().starts_with(a.text()), "{} begins {}", a.text(), b.text());
            }
        }
    }

    #[test]
    fn pieces_of_any_length_hash_like_the_whole() {
        let whole: Vec<u8> = (0..2000u32).map(|i| (i * 7) as u8).collect();
        for len in (0..700).chain([1999, 2000]) {
            for piece in [1, 3, 64, 309, 310, 321, 2000] {
                let pieces: Vec<&[u8]> = whole[..len].chunks(piece).collect();
                let expected = Hasher::new(Domain::Node).bytes(&whole[..len]).finish();
                assert_eq!(hash_pieces(Domain::Node, &pieces), expected, "{len} by {piece}");
            }
        }
    }
}
