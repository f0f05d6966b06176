//! A filter of known transactions (8.5): a Bloom filter that the asker of a recovery sends, so that it is not sent what it
//! has.

use stateset_ledger_types::codec::Blob;
use stateset_ledger_types::ids::TxId;
use stateset_peer::message::{FILTER_BYTES_MAX, KnownTransactions};

/// Bits for each transaction: with [`HASHES`] less than one in a hundred million unknown ones looks known. What looks known is
/// not sent, and a recovery has to be whole (8.5).
const BITS_PER_TRANSACTION: usize = 64;
const HASHES: u8 = 11;
/// In a small filter the bits of an id too often fall together.
const BYTES_MIN: usize = 4096;

/// The filter of `known`.
pub fn filter(known: &[TxId]) -> KnownTransactions {
    let bytes = (known.len() * BITS_PER_TRANSACTION / 8).clamp(BYTES_MIN, FILTER_BYTES_MAX);
    let mut bits = vec![0u8; bytes];
    for tx_id in known {
        for place in places(tx_id, HASHES, bytes) {
            bits[place / 8] |= 1 << (place % 8);
        }
    }
    KnownTransactions { hashes: HASHES, bits: Blob::new(bits).expect("no more than a filter has") }
}

/// Whether `tx_id` is in the filter, or looks as if. An empty filter knows nothing.
pub fn is_known(filter: &KnownTransactions, tx_id: &TxId) -> bool {
    let bytes = filter.bits.len();
    bytes > 0
        && filter.hashes > 0
        && places(tx_id, filter.hashes, bytes).all(|place| filter.bits[place / 8] & (1 << (place % 8)) != 0)
}

/// The bits of a transaction in a filter of `bytes`.
fn places(tx_id: &TxId, hashes: u8, bytes: usize) -> impl Iterator<Item = usize> {
    let half = |at: usize| u64::from_be_bytes(*tx_id.0[at..].first_chunk().expect("an id has 32 bytes"));
    let (a, b, bits) = (half(0), half(8), bytes as u64 * 8);
    (0..u64::from(hashes)).map(move |n| (a.wrapping_add(n.wrapping_mul(b)) % bits) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::hash::Hasher;

    fn id(n: u32) -> TxId {
        TxId(Hasher::bare().bytes(&n.to_be_bytes()).finish().0)
    }

    #[test]
    fn what_is_known_is_found_and_little_else() {
        for count in [0, 1, 100, 5_000] {
            let known: Vec<TxId> = (0..count).map(id).collect();
            let filter = filter(&known);
            assert!(known.iter().all(|tx_id| is_known(&filter, tx_id)));
            let false_answers = (1_000_000..1_004_000).filter(|n| is_known(&filter, &id(*n))).count();
            assert_eq!(false_answers, 0, "of 4000 with {count} known");
        }
    }

    #[test]
    fn a_filter_without_bits_or_hashes_knows_nothing() {
        for (hashes, bits) in [(0, vec![255]), (3, Vec::new())] {
            let filter = KnownTransactions { hashes, bits: Blob::new(bits).unwrap() };
            assert!(!is_known(&filter, &id(1)));
        }
    }
}
