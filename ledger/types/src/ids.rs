//! Names of things: a type for each kind, so that two values of 32 bytes can't be swapped.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ves::Digest;
use ves::hash::Hasher;

use crate::codec::{Decode, DecodeError, Encode, Problem, Reader, fixed_bytes, put_str, record};
use crate::hash::{Domain, hash, length};

fixed_bytes! {
    /// A legal person that the network knows (1.1).
    EntityId[20],
    /// An owner of balances: an entity's id, or an address of the account lane.
    AccountId[20],
    /// First eight bytes of the SHA-256 of a public key (1.2).
    KeyId[8],
    /// A transaction: the root of its component tree (2.3).
    TxId[32],
    /// What consuming a state publishes (3.3).
    Nullifier[32],
    /// What the chain remembers of a consumed state, and what a reference shows (3.3).
    SpentKey[32],
    /// Hash of a spend policy (3.3).
    PolicyHash[32],
    /// One state through its versions (3.2).
    LinearId[16],
    /// A settlement, an escrow, a batch or a payment channel (10.2): the transaction that made it and the place of its
    /// command.
    SettlementId[36],
}

impl EntityId {
    /// The id of `subject_dn` (RFC 4514, upper-case attribute names) in the network named `network_root` (1.1).
    pub fn derive(network_root: &str, subject_dn: &str) -> Self {
        let digest = hash(
            Domain::Entity,
            &[
                &length(network_root.as_bytes()),
                network_root.as_bytes(),
                &length(subject_dn.as_bytes()),
                subject_dn.as_bytes(),
            ],
        );
        Self(std::array::from_fn(|i| digest.0[i]))
    }

    /// The account that the entity's balances stand under.
    pub const fn account(self) -> AccountId {
        AccountId(self.0)
    }
}

impl KeyId {
    pub fn of(public_key: &[u8]) -> Self {
        let digest = Hasher::bare().bytes(public_key).finish();
        Self(std::array::from_fn(|i| digest.0[i]))
    }
}

impl From<Digest> for TxId {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}
impl SettlementId {
    /// What command `index` of a transaction made.
    pub fn of(tx_id: &TxId, index: u32) -> Self {
        let mut id = [0; 36];
        id[..32].copy_from_slice(&tx_id.0);
        id[32..].copy_from_slice(&index.to_be_bytes());
        Self(id)
    }
}

record! {
    /// An output of a transaction (3.1).
    #[derive(Copy, PartialOrd, Ord)]
    pub struct StateRef {
        pub tx_id: TxId,
        pub index: u32,
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident(max $max:literal, $wrong:literal, $good:expr)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub const BYTES_MAX: usize = $max;

            /// # Errors
            /// What the text should be.
            pub fn new(text: impl Into<String>) -> Result<Self, &'static str> {
                let text = text.into();
                let good: fn(&str) -> bool = $good;
                if text.len() <= $max && good(&text) { Ok(Self(text)) } else { Err($wrong) }
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
        impl std::str::FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }
        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                put_str(out, &self.0);
            }
        }
        impl Decode for $name {
            const BYTES_MIN: usize = 5;
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let at = reader.position();
                Self::new(reader.text($max)?).map_err(|wrong| DecodeError { at, problem: Problem::Invalid(wrong) })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

fn is_plain(text: &str, signs: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
}

texts! {
    /// A chain's name, of the form `<name>-<revision>` where other chains follow it (13.1).
    ChainId(max 50, "a chain id has 1 to 50 letters, digits, '-', '_' or '.'", |text| is_plain(text, "-_.")),
    /// A denomination.
    Denom(
        max 128,
        "a denomination has 3 to 128 letters, digits, '/', ':', '.', '_' or '-' and begins with a letter",
        |text| text.len() >= 3 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_plain(text, "/:._-")
    ),
    /// A contract: `native:<name>`, `wasm:<hash>` or `js:<hash>` (9.2).
    ContractId(
        max 80,
        "a contract id is native:<name>, wasm:<64 hex digits> or js:<64 hex digits>",
        is_contract_id
    ),
}

fn is_contract_id(text: &str) -> bool {
    let is_hash =
        |rest: &str| rest.len() == 64 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match text.split_once(':') {
        Some(("native", name)) => {
            !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        }
        Some(("wasm" | "js", rest)) => is_hash(rest),
        _ => false,
    }
}

/// Minor units of a denomination. Text form: decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Units(pub u128);

impl Units {
    /// In the main unit: `12.50` of 1250 units with two decimal places.
    pub fn decimal(self, exponent: u8) -> String {
        let places = usize::from(exponent);
        let digits = format!("{:0>width$}", self.0, width = places + 1);
        match digits.split_at(digits.len() - places) {
            (whole, "") => whole.to_owned(),
            (whole, minor) => format!("{whole}.{minor}"),
        }
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl Encode for Units {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}
impl Decode for Units {
    const BYTES_MIN: usize = 16;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u128::decode(reader).map(Self)
    }
}
impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| serde::de::Error::custom("an amount is decimal digits in a string"))
    }
}

record! {
    /// So much of a denomination (2.1).
    pub struct Amount {
        pub denom: Denom,
        pub units: Units,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_written_to_their_last_decimal() {
        let write = |units: u128, exponent: u8| Units(units).decimal(exponent);
        assert_eq!((write(1250, 2), write(5, 2), write(7, 0)), ("12.50".into(), "0.05".into(), "7".into()));
        assert_eq!(write(0, 6), "0.000000");
    }
}
