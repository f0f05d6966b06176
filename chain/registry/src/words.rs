//! Ids and hashes as words of the EVM.

use alloy_primitives::{Address, B256, keccak256};
use ves::{BatchId, Digest, StreamKey};

/// Why a text is no address of a contract or an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("expected 0x and 40 hex digits")]
    Form,
    #[error(
        "its letters of both cases are not its checksum (EIP-55); look for a digit that is wrong, or write it in lower case"
    )]
    Checksum,
    #[error("it is the zero address, which belongs to nobody")]
    Zero,
}

/// An address that a person has written: with its checksum, or in one case.
///
/// # Errors
/// [`AddressError`].
pub fn address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Form)?;
    let address: Address = text.parse().map_err(|_| AddressError::Form)?;
    let is_mixed = digits.contains(|c: char| c.is_ascii_lowercase())
        && digits.contains(|c: char| c.is_ascii_uppercase());
    if is_mixed && address.to_checksum(None) != text {
        return Err(AddressError::Checksum);
    }
    if address.is_zero() { Err(AddressError::Zero) } else { Ok(address) }
}

/// A UUID as it goes on a chain: its 16 bytes, then 16 zero bytes (anchoring, section 1.1).
pub fn of_uuid(bytes: &[u8; 16]) -> B256 {
    let mut word = B256::ZERO;
    word[..16].copy_from_slice(bytes);
    word
}

/// The UUID of a word; `None` where its last 16 bytes are not zero.
pub fn to_uuid(word: &B256) -> Option<[u8; 16]> {
    let (id, rest) = word.split_first_chunk()?;
    rest.iter().all(|byte| *byte == 0).then_some(*id)
}

/// A batch's id as a word.
pub fn of_batch(batch: &BatchId) -> B256 {
    of_uuid(batch.as_bytes())
}

/// Tenant and store of a stream.
pub fn of_stream(stream: &StreamKey) -> (B256, B256) {
    (of_uuid(stream.tenant_id.as_bytes()), of_uuid(stream.store_id.as_bytes()))
}

/// Name of a stream in `SetRegistry`: Keccak-256 of both words.
pub fn stream_key(stream: &StreamKey) -> B256 {
    let (tenant, store) = of_stream(stream);
    keccak256([tenant, store].concat())
}

/// Id under which `SetRegistry` keeps a stream's batch where another stream had used its id before.
pub fn scoped_batch_id(stream: &StreamKey, batch: &BatchId) -> B256 {
    scoped_id(stream_key(stream), batch)
}

/// The same, where only the stream's name in the contract is known.
pub(crate) fn scoped_id(stream_key: B256, batch: &BatchId) -> B256 {
    keccak256([stream_key, of_batch(batch)].concat())
}

/// A hash of the protocol as a word.
pub fn of_digest(digest: &Digest) -> B256 {
    B256::new(digest.0)
}

/// A word as a hash of the protocol.
pub fn to_digest(word: &B256) -> Digest {
    Digest(word.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_taken_with_its_checksum_or_without_one() {
        // EIP-55's own examples.
        for (text, wrong) in [
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
            ("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", "0xFB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"),
        ] {
            assert!(address(text).is_ok());
            assert_eq!(address(&text.to_lowercase()), address(text));
            assert_eq!(address(wrong), Err(AddressError::Checksum));
        }
        assert_eq!(address(&format!("0x{}", "0".repeat(40))), Err(AddressError::Zero));
        for text in
            ["", "0x", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA"]
        {
            assert_eq!(address(text), Err(AddressError::Form), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_comes_back_from_its_word(id: [u8; 16]) {
            let word = of_uuid(&id);
            prop_assert_eq!(&word[16..], &[0; 16]);
            prop_assert_eq!(to_uuid(&word), Some(id));
        }

        #[test]
        fn a_word_with_more_than_an_id_is_no_id(id: [u8; 16], at in 16usize..32, byte in 1u8..) {
            let mut word = of_uuid(&id);
            word[at] = byte;
            prop_assert_eq!(to_uuid(&word), None);
        }
    }
}
