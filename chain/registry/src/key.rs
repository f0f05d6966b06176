//! The account that sends: a secp256k1 key that signs and is never shown.

use std::fmt;
use std::path::Path;

use alloy_primitives::{Address, B256, Signature, hex};
use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

/// A private key of an EVM account. Its memory is wiped when it is dropped.
pub struct ChainKey {
    signing: SigningKey,
    address: Address,
}

/// Why a text is no key. It never repeats the text.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("a chain key is 64 hex digits, with or without 0x")]
    Shape,
    #[error("this number is no key of secp256k1: it is zero, or too large")]
    OutOfRange,
    #[error("the key file {path} can't be read: {problem}")]
    File { path: String, problem: std::io::Error },
}

impl ChainKey {
    /// From 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeyError::Shape`], [`KeyError::OutOfRange`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|_| KeyError::Shape)?;
        let signing = SigningKey::from_slice(bytes.as_ref()).map_err(|_| KeyError::OutOfRange)?;
        let address = Address::from_public_key(signing.verifying_key());
        Ok(Self { signing, address })
    }

    /// From a file that holds the hex digits and nothing else.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|problem| KeyError::File { path: path.display().to_string(), problem })?;
        Self::from_hex(&Zeroizing::new(text))
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a hash as it is. The signature is the low one of the two (EIP-2), and the same for the same hash (RFC 6979).
    pub fn sign(&self, hash: &B256) -> Signature {
        let (signature, recovery) = self
            .signing
            .sign_prehash_recoverable(hash.as_slice())
            .expect("32 bytes are a prehash, and RFC 6979 finds a nonce for each");
        Signature::from_signature_and_parity(signature, recovery.is_y_odd()).normalized_s()
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainKey({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first account of every anvil, so in no way secret.
    const WELL_KNOWN: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_key_has_its_account_and_signs_for_it() {
        let key = ChainKey::from_hex(WELL_KNOWN).unwrap();
        assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let hash = B256::repeat_byte(7);
        assert_eq!(key.sign(&hash).recover_address_from_prehash(&hash).unwrap(), key.address());
        assert_eq!(key.sign(&hash), key.sign(&hash));
    }

    #[test]
    fn a_bad_key_is_refused_without_repeating_it() {
        for bad in ["", "0x", "abc", &"0".repeat(64), &"f".repeat(64), &"g".repeat(64), &"1".repeat(66)] {
            let problem = ChainKey::from_hex(bad).unwrap_err().to_string();
            assert!(bad.len() < 4 || !problem.contains(bad), "{problem}");
        }
        let key = ChainKey::from_hex(WELL_KNOWN).unwrap();
        assert_eq!(format!("{key:?}"), "ChainKey(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
    }
}
