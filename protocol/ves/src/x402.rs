//! x402 payment intents: what a payer signs (section 16.1) and the tree over a batch of them (section 16.2).
//!
//! The signing hash concatenates texts without lengths. [`Terms::check`] in the strict format closes that gap
//! (section 22): both addresses must be `0x` and 40 or 64 lowercase hex digits, so no text can slide into its neighbour.
//! [`Terms::signing_hash_v2`] frames its members, and binds what the first form leaves out: stream, token, resource and
//! order.

mod authorization;
mod batch;
mod token;

use uuid::Uuid;

pub use authorization::authorization_nonce;
pub use batch::{BatchTree, chained_state_root};
pub use token::{TokenAddress, TokenError, TokenTable};

use crate::ed25519::PublicKey;
use crate::hash::{Digest, Domain, Hasher};
use crate::hex::Format;
use crate::ids::{AgentId, BatchId, KeyId, SequenceNumber, StreamKey};

/// Longest address text, `0x` included.
pub const ADDRESS_CHARS_MAX: usize = 66;
/// Largest amount, in the smallest unit.
pub const AMOUNT_MAX: u64 = i64::MAX as u64;
/// Longest life of an intent.
pub const VALIDITY_S_MAX: u64 = 86_400;
/// Intents in a batch unless the caller asks for another number, and the most it may ask for.
pub const BATCH_INTENTS_DEFAULT: usize = 100;
pub const BATCH_INTENTS_MAX: usize = 1000;

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($name:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind { $($name),+ }

        impl $kind {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The text on the wire and in the hash.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The value of that exact text.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.text() == text)
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.text())
            }
        }
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                let texts: Vec<&str> = Self::ALL.iter().map(|value| value.text()).collect();
                Self::from_text(&text).ok_or_else(|| {
                    serde::de::Error::custom(format!("{text:?} is none of {}", texts.join(", ")))
                })
            }
        }
    };
}

named! {
    /// What is paid with.
    Asset { Usdc = "usdc", Usdt = "usdt", SsUsd = "ssusd", WssUsd = "wssusd", Dai = "dai", Eth = "eth" }
}

named! {
    /// Where it settles.
    Network {
        SetChain = "set_chain",
        SetChainTestnet = "set_chain_testnet",
        Arc = "arc",
        ArcTestnet = "arc_testnet",
        Base = "base",
        BaseSepolia = "base_sepolia",
        Ethereum = "ethereum",
        EthereumSepolia = "ethereum_sepolia",
        Arbitrum = "arbitrum",
        Optimism = "optimism",
    }
}

impl Asset {
    /// The value of a name: its text, or one of the aliases `ss_usd` and `wss_usd`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ss_usd" => Some(Self::SsUsd),
            "wss_usd" => Some(Self::WssUsd),
            text => Self::from_text(text),
        }
    }

    /// Decimal places of the display unit.
    pub const fn decimals(self) -> u8 {
        match self {
            Self::Usdc | Self::Usdt | Self::SsUsd | Self::WssUsd => 6,
            Self::Dai | Self::Eth => 18,
        }
    }

    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Usdc => "USDC",
            Self::Usdt => "USDT",
            Self::SsUsd => "ssUSD",
            Self::WssUsd => "wssUSD",
            Self::Dai => "DAI",
            Self::Eth => "ETH",
        }
    }
}

impl Network {
    pub const fn chain_id(self) -> u64 {
        match self {
            Self::SetChain => 84_532_001,
            Self::SetChainTestnet => 84_532_002,
            Self::Arc => 5_042_001,
            Self::ArcTestnet => 5_042_002,
            Self::Base => 8453,
            Self::BaseSepolia => 84_532,
            Self::Ethereum => 1,
            Self::EthereumSepolia => 11_155_111,
            Self::Arbitrum => 42_161,
            Self::Optimism => 10,
        }
    }
}

/// Why an intent is refused; the first rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    #[error("{field} must not be the nil UUID")]
    NilId { field: &'static str },
    #[error("agent_key_id must not be 0")]
    KeyIdZero,
    #[error("amount must be 1 to {AMOUNT_MAX}, in the smallest unit")]
    Amount,
    #[error("{field} must be hex text of at most {ADDRESS_CHARS_MAX} characters")]
    Address { field: &'static str },
    #[error("payer and payee must differ")]
    SameParty,
    #[error("valid_until has passed")]
    Expired,
    #[error("valid_until lies more than {VALIDITY_S_MAX} s ahead")]
    TooFarAhead,
    #[error("signing_hash is not the hash of the terms")]
    HashMismatch,
    #[error("payer_signature does not verify")]
    InvalidSignature,
}

/// A party of a payment: a wallet of 20 bytes, or an Ed25519 key of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    Wallet([u8; 20]),
    Key([u8; 32]),
}

impl Party {
    /// Reads 40 or 64 digits of either case, with or without `0x`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        match digits.len() {
            40 => crate::hex::decode_lenient(digits).ok().map(Self::Wallet),
            64 => crate::hex::decode_lenient(digits).ok().map(Self::Key),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Wallet(bytes) => bytes,
            Self::Key(bytes) => bytes,
        }
    }
}

/// What the second form binds besides the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    pub stream: StreamKey,
    /// Contract of the asset on the network.
    pub token: TokenAddress,
    pub resource_uri: Option<&'a str>,
    pub order_id: Option<Uuid>,
}

/// What the payer signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The exact text given: case and `0x` enter the hash.
    pub payer: String,
    pub payee: String,
    /// In the smallest unit of the asset.
    pub amount: u64,
    pub asset: Asset,
    pub network: Network,
    /// Unix seconds.
    pub valid_until_s: u64,
    /// Used once by this payer in this stream.
    pub nonce: u64,
}

impl Terms {
    /// Section 16.1.
    pub fn signing_hash(&self) -> Digest {
        Hasher::new(Domain::X402Payment)
            .bytes(self.payer.as_bytes())
            .bytes(self.payee.as_bytes())
            .u64(self.amount)
            .bytes(self.asset.text().as_bytes())
            .bytes(self.network.text().as_bytes())
            .u64(self.network.chain_id())
            .u64(self.valid_until_s)
            .u64(self.nonce)
            .finish()
    }

    /// The framed form: SHA-256(`X402_PAYMENT_V2` ‖ tenant ‖ store ‖ BYTES(payer) ‖ BYTES(payee) ‖ U64(amount) ‖
    /// STR(asset) ‖ BYTES(token) ‖ STR(network) ‖ U64(chain id) ‖ U64(valid until) ‖ U64(nonce) ‖ SHA-256(resource URI) ‖
    /// order id), lengths U32, addresses as their bytes; no resource hashes as the empty text, no order is 16 zeros.
    ///
    /// `None` where an address is neither of 20 nor of 32 bytes.
    pub fn signing_hash_v2(&self, binding: &Binding<'_>) -> Option<Digest> {
        let (payer, payee) = (Party::parse(&self.payer)?, Party::parse(&self.payee)?);
        let framed = |hasher: Hasher, bytes: &[u8]| hasher.u32(bytes.len() as u32).bytes(bytes);
        let resource = Hasher::bare().bytes(binding.resource_uri.unwrap_or_default().as_bytes()).finish();
        let hasher = Hasher::new(Domain::X402PaymentV2)
            .uuid(&binding.stream.tenant_id.0)
            .uuid(&binding.stream.store_id.0);
        let hasher = framed(framed(hasher, payer.as_bytes()), payee.as_bytes());
        let hasher = framed(hasher.u64(self.amount).str(self.asset.text()), &binding.token.0);
        let hash = hasher
            .str(self.network.text())
            .u64(self.network.chain_id())
            .u64(self.valid_until_s)
            .u64(self.nonce)
            .digest(&resource)
            .uuid(&binding.order_id.unwrap_or_default())
            .finish();
        Some(hash)
    }

    /// The rules of section 16.1 that need nothing but the terms and the time, `now_s` in Unix seconds.
    ///
    /// # Errors
    /// [`IntentError`].
    pub fn check(&self, now_s: u64, format: Format) -> Result<(), IntentError> {
        if !(1..=AMOUNT_MAX).contains(&self.amount) {
            return Err(IntentError::Amount);
        }
        for (field, text) in [("payer_address", &self.payer), ("payee_address", &self.payee)] {
            if !is_address(text, format) {
                return Err(IntentError::Address { field });
            }
        }
        let bare = |text: &str| text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
        if bare(&self.payer) == bare(&self.payee) {
            return Err(IntentError::SameParty);
        }
        match self.valid_until_s.checked_sub(now_s) {
            None => Err(IntentError::Expired),
            Some(ahead) if ahead > VALIDITY_S_MAX => Err(IntentError::TooFarAhead),
            Some(_) => Ok(()),
        }
    }

    /// The payer's consent: `given_hash` is the hash of these terms, and `key` signed it.
    ///
    /// # Errors
    /// [`IntentError::HashMismatch`], [`IntentError::InvalidSignature`].
    pub fn check_consent(
        &self,
        given_hash: &Digest,
        key: &PublicKey,
        signature: &[u8; 64],
    ) -> Result<(), IntentError> {
        if self.signing_hash() != *given_hash {
            return Err(IntentError::HashMismatch);
        }
        if key.verify(&given_hash.0, signature) { Ok(()) } else { Err(IntentError::InvalidSignature) }
    }
}

/// Who asks for the payment; none of the ids may be nil.
///
/// # Errors
/// [`IntentError::NilId`], [`IntentError::KeyIdZero`].
pub fn check_ids(stream: &StreamKey, agent_id: &AgentId, key_id: KeyId) -> Result<(), IntentError> {
    let ids = [
        ("tenant_id", stream.tenant_id.is_nil()),
        ("store_id", stream.store_id.is_nil()),
        ("agent_id", agent_id.is_nil()),
    ];
    match ids.into_iter().find(|(_, is_nil)| *is_nil) {
        Some((field, _)) => Err(IntentError::NilId { field }),
        None if key_id.0 == 0 => Err(IntentError::KeyIdZero),
        None => Ok(()),
    }
}

/// Lenient: hex of even length, optional `0x`. Strict: `0x` and 40 or 64 lowercase digits.
fn is_address(text: &str, format: Format) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hex =
        !digits.is_empty() && digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    match format {
        Format::Lenient => is_hex && text.len() <= ADDRESS_CHARS_MAX,
        Format::Strict => {
            let is_lower = !digits.bytes().any(|b| b.is_ascii_uppercase());
            is_hex && is_lower && text.starts_with("0x") && matches!(digits.len(), 40 | 64)
        }
    }
}

/// An intent that has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencedIntent {
    pub intent_id: Uuid,
    /// Counts the intents of one stream, from 1; not the stream's event numbers.
    pub sequence_number: SequenceNumber,
    pub terms: Terms,
    pub signing_hash: Digest,
    pub payer_signature: [u8; 64],
}

impl SequencedIntent {
    /// Leaf of the batch tree (section 16.2): no domain, and nonce before `valid_until`, unlike the signing hash.
    pub fn leaf_hash(&self) -> Digest {
        self.leaf_preimage(Hasher::bare())
    }

    fn leaf_preimage(&self, hasher: Hasher) -> Digest {
        let terms = &self.terms;
        hasher
            .uuid(&self.intent_id)
            .u64(self.sequence_number.get())
            .bytes(terms.payer.as_bytes())
            .bytes(terms.payee.as_bytes())
            .u64(terms.amount)
            .bytes(terms.asset.text().as_bytes())
            .bytes(terms.network.text().as_bytes())
            .u64(terms.network.chain_id())
            .u64(terms.nonce)
            .u64(terms.valid_until_s)
            .digest(&self.signing_hash)
            .bytes(&self.payer_signature)
            .finish()
    }
}

/// State root of a batch. It does not chain to the batch before.
pub fn batch_state_root(stream: &StreamKey, batch_id: &BatchId, merkle_root: &Digest) -> Digest {
    Hasher::bare()
        .uuid(&stream.tenant_id.0)
        .uuid(&stream.store_id.0)
        .uuid(&batch_id.0)
        .digest(merkle_root)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            payer: format!("0x{}", "a1".repeat(20)),
            payee: format!("0x{}", "b2".repeat(32)),
            amount: 1,
            asset: Asset::Usdc,
            network: Network::Base,
            valid_until_s: 1_000_100,
            nonce: 7,
        }
    }

    #[test]
    fn each_rule_of_the_terms_has_its_own_refusal() {
        let now = 1_000_000;
        let refused = |change: fn(&mut Terms), format| {
            let mut changed = terms();
            change(&mut changed);
            changed.check(now, format).unwrap_err()
        };
        assert_eq!(terms().check(now, Format::Strict), Ok(()));
        assert_eq!(refused(|t| t.amount = 0, Format::Lenient), IntentError::Amount);
        assert_eq!(refused(|t| t.amount = 1 << 63, Format::Lenient), IntentError::Amount);
        assert_eq!(
            refused(|t| t.payee.push_str("00"), Format::Lenient),
            IntentError::Address { field: "payee_address" }
        );
        assert_eq!(
            refused(|t| t.payer = "0xzz".into(), Format::Lenient),
            IntentError::Address { field: "payer_address" }
        );
        assert_eq!(
            refused(|t| t.payer = "0x".into(), Format::Lenient),
            IntentError::Address { field: "payer_address" }
        );
        assert_eq!(
            refused(|t| t.payee = t.payer.to_uppercase().replace("0X", ""), Format::Lenient),
            IntentError::SameParty
        );
        assert_eq!(
            refused(|t| t.payer = "ab".into(), Format::Strict),
            IntentError::Address { field: "payer_address" }
        );
        assert_eq!(refused(|t| t.valid_until_s = 999_999, Format::Lenient), IntentError::Expired);
        assert_eq!(refused(|t| t.valid_until_s += 86_400, Format::Lenient), IntentError::TooFarAhead);
    }

    /// From the text of the specification, with nothing of this module.
    #[test]
    fn the_second_form_is_the_framed_hash_of_every_member() {
        use sha2::Digest as _;

        let stream = StreamKey {
            tenant_id: crate::TenantId::from_bytes([1; 16]),
            store_id: crate::StoreId::from_bytes([2; 16]),
        };
        let binding = Binding {
            stream,
            token: TokenAddress([9; 20]),
            resource_uri: Some("https://x.example/a"),
            order_id: Some(Uuid::from_bytes([7; 16])),
        };
        let terms = terms();
        let mut preimage = b"X402_PAYMENT_V2".to_vec();
        let mut put = |bytes: &[u8]| preimage.extend_from_slice(bytes);
        put(&[1; 16]);
        put(&[2; 16]);
        put(&[0, 0, 0, 20]);
        put(&[0xa1; 20]);
        put(&[0, 0, 0, 32]);
        put(&[0xb2; 32]);
        put(&1u64.to_be_bytes());
        put(&[0, 0, 0, 4]);
        put(b"usdc");
        put(&[0, 0, 0, 20]);
        put(&[9; 20]);
        put(&[0, 0, 0, 4]);
        put(b"base");
        put(&8453u64.to_be_bytes());
        put(&1_000_100u64.to_be_bytes());
        put(&7u64.to_be_bytes());
        put(&sha2::Sha256::digest("https://x.example/a"));
        put(&[7; 16]);
        let expected: [u8; 32] = sha2::Sha256::digest(&preimage).into();
        let hash = terms.signing_hash_v2(&binding).unwrap();
        assert_eq!(hash.0, expected);

        let other_store = StreamKey { store_id: crate::StoreId::from_bytes([3; 16]), ..stream };
        for changed in [
            Binding { stream: other_store, ..binding },
            Binding { token: TokenAddress::NATIVE, ..binding },
            Binding { resource_uri: None, ..binding },
            Binding { order_id: None, ..binding },
        ] {
            assert_ne!(terms.signing_hash_v2(&changed), Some(hash), "{changed:?}");
        }
        let spelled = Terms { payer: terms.payer.to_uppercase().replace("0X", ""), ..terms.clone() };
        assert_eq!(spelled.signing_hash_v2(&binding), Some(hash), "bytes count, not their spelling");
        let short = Terms { payer: "0xab".into(), ..terms };
        assert_eq!(short.signing_hash_v2(&binding), None);
    }

    #[test]
    fn names_read_back() {
        for asset in Asset::ALL {
            assert_eq!(Asset::from_text(asset.text()), Some(*asset));
        }
        for network in Network::ALL {
            assert_eq!(Network::from_text(network.text()), Some(*network));
        }
        assert_eq!(Asset::from_text("USDC"), None);
        assert_eq!(Asset::from_name("wss_usd"), Some(Asset::WssUsd));
        assert_eq!(Asset::from_name("usdt"), Some(Asset::Usdt));
    }
}
