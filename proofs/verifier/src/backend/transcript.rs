//! The transcript: every message in, every challenge out, by BLAKE3 (sections 3.2 and 7).
//!
//! A state of 32 bytes is the key of the next hash. Messages carry a label and a length, so no two sequences of
//! messages give the same state.

use ves_stark_air::{Felt, felt_bytes, felt_from_canonical};
use zeroize::Zeroize;

use super::extension::{self, Ext};

const ABSORB: u8 = 1;
const DRAW: u8 = 2;
const AFTER_DRAW: u8 = 3;
const GRIND: u8 = 4;

/// Bits of a word that can be an element of the field.
const ELEMENT_MASK: u32 = (1 << 31) - 1;

/// The running transcript of one proof.
#[derive(Clone)]
pub struct Transcript {
    state: [u8; 32],
}

impl Default for Transcript {
    fn default() -> Self {
        Self { state: blake3::derive_key("stateset ves-stark transcript v1", &[]) }
    }
}

impl Transcript {
    /// Takes one message.
    pub fn absorb(&mut self, label: &str, message: &[u8]) {
        let mut hasher = self.hasher(ABSORB, label);
        hasher.update(&(message.len() as u64).to_le_bytes()).update(message);
        self.state = *hasher.finalize().as_bytes();
    }

    /// Takes elements of the base field in canonical form.
    pub fn absorb_felts(&mut self, label: &str, elements: &[Felt]) {
        let bytes: Vec<u8> = elements.iter().flat_map(|&element| felt_bytes(element)).collect();
        self.absorb(label, &bytes);
    }

    /// Takes elements of the extension, coordinate by coordinate.
    pub fn absorb_exts(&mut self, label: &str, elements: &[Ext]) {
        let felts: Vec<Felt> = elements.iter().flat_map(|&element| extension::coordinates(element)).collect();
        self.absorb_felts(label, &felts);
    }

    /// A uniformly drawn element of the extension.
    pub fn challenge(&mut self, label: &str) -> Ext {
        let mut words = self.draw(label);
        element(&mut words)
    }

    /// A challenge outside the base field, so that it lies on no domain of a trace or of a commitment.
    pub fn point(&mut self, label: &str) -> Ext {
        let mut words = self.draw(label);
        loop {
            let point = element(&mut words);
            if extension::coordinates(point)[1..].iter().any(|&c| felt_bytes(c) != [0; 4]) {
                return point;
            }
        }
    }

    /// Whether `nonce` shows the work of `bits` (at most 32) zero bits at this state. One compression.
    pub fn shows_work(&self, nonce: u64, bits: u32) -> bool {
        let mut message = [GRIND; 9];
        message[1..].copy_from_slice(&nonce.to_le_bytes());
        let hash = blake3::keyed_hash(&self.state, &message);
        let word = u32::from_le_bytes(std::array::from_fn(|i| hash.as_bytes()[i]));
        word & ((1u64 << bits) - 1) as u32 == 0
    }

    /// `count` different positions below `2^log_size`, ascending: a position drawn twice is drawn again, so it is
    /// never counted twice.
    pub fn positions(&mut self, label: &str, count: usize, log_size: usize) -> Vec<usize> {
        let mut words = self.draw(label);
        let mut positions = std::collections::BTreeSet::new();
        while positions.len() < count {
            positions.insert(words.next_word() as usize & ((1 << log_size) - 1));
        }
        positions.into_iter().collect()
    }

    fn draw(&mut self, label: &str) -> Words {
        // Most draws are of a few words.
        let words = Words::read(self.hasher(DRAW, label).finalize_xof(), 64);
        self.state = *self.hasher(AFTER_DRAW, label).finalize().as_bytes();
        words
    }

    fn hasher(&self, kind: u8, label: &str) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.state);
        hasher.update(&[kind, label.len() as u8]).update(label.as_bytes());
        hasher
    }
}

/// Bytes that a stream computes at once: a reader computes a whole block for each read, however short.
const BUFFER_BYTES: usize = 1024;

/// An endless stream of words.
pub struct Words {
    reader: blake3::OutputReader,
    buffer: [u8; BUFFER_BYTES],
    /// Bytes of the buffer that were given out.
    given: usize,
}

impl Words {
    /// The stream that `key` and `context` determine.
    pub fn keyed(key: &[u8; 32], context: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(context);
        let words = Self::read(hasher.finalize_xof(), BUFFER_BYTES);
        hasher.zeroize();
        words
    }

    /// The reader's stream, of which `first_bytes` are computed at once.
    fn read(mut reader: blake3::OutputReader, first_bytes: usize) -> Self {
        let mut buffer = [0; BUFFER_BYTES];
        let given = BUFFER_BYTES - first_bytes;
        reader.fill(&mut buffer[given..]);
        Self { reader, buffer, given }
    }

    /// The next 32 bits.
    pub fn next_word(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill(&mut word);
        u32::from_le_bytes(word)
    }

    /// Fills `bytes` with the next ones of the stream.
    pub fn fill(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.given == BUFFER_BYTES {
                self.reader.fill(&mut self.buffer);
                self.given = 0;
            }
            let count = bytes.len().min(BUFFER_BYTES - self.given);
            let (now, later) = bytes.split_at_mut(count);
            now.copy_from_slice(&self.buffer[self.given..][..count]);
            self.given += count;
            bytes = later;
        }
    }
}

impl Zeroize for Words {
    /// Forgets key and position; the stream is another one afterwards.
    fn zeroize(&mut self) {
        self.reader.zeroize();
        self.buffer.zeroize();
    }
}

/// The next uniformly distributed element: words that are no element are passed over.
pub fn next_felt(words: &mut Words) -> Felt {
    loop {
        if let Some(felt) = felt_from_canonical(words.next_word() & ELEMENT_MASK) {
            return felt;
        }
    }
}

fn element(words: &mut Words) -> Ext {
    extension::from_coordinates(std::array::from_fn(|_| next_felt(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_changes_every_later_challenge() {
        let challenge = |messages: &[(&str, &[u8])]| {
            let mut transcript = Transcript::default();
            for (label, message) in messages {
                transcript.absorb(label, message);
            }
            transcript.challenge("c")
        };
        let base = challenge(&[("a", b"1"), ("b", b"23")]);
        assert_eq!(base, challenge(&[("a", b"1"), ("b", b"23")]));
        for other in [
            challenge(&[("a", b"2"), ("b", b"23")]),
            challenge(&[("a", b"12"), ("b", b"3")]),
            challenge(&[("b", b"23"), ("a", b"1")]),
            challenge(&[("ab", b"1"), ("b", b"23")]),
            challenge(&[("a", b"1")]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn two_draws_differ() {
        let mut transcript = Transcript::default();
        assert_ne!(transcript.challenge("c"), transcript.challenge("c"));
    }

    /// Section 11, item 11.
    #[test]
    fn positions_are_distinct_even_when_few_exist() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.positions("q", 8, 3), (0..8).collect::<Vec<_>>());
    }
}
