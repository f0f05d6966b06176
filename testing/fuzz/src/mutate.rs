//! Seeded mutation: the same seed gives the same inputs on every machine.

use stateset_fixtures::Seed;

/// Pieces that decoders treat specially.
const TOKENS: &[&[u8]] = &[
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"-0",
    b"1e999",
    b"1e-400",
    b"1E5",
    b"9007199254740993",
    b"18446744073709551615",
    b"0.1",
    b"01",
    b"\\/",
    b"\"a\":1,\"a\":2",
    b",",
    b":",
    b"0x",
    b"0X",
    b"=",
    b"==",
    b"-",
    b"_",
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b" ",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"+00:00",
    b":60Z",
    b"ves_version",
    b"payload",
    b"payload_encrypted",
    b"eventId",
];
/// Bytes at the edges of ranges.
const EDGES: &[u8] = &[0, 1, 0x1f, 0x20, 0x7f, 0x80, 0xfe, 0xff];
/// Inputs stay below this, so that iterations stay quick.
const BYTES_MAX: usize = 16 * 1024;
/// Accepted inputs that are kept to go on from, beside the seeds.
const POOL_MAX: usize = 256;

/// Makes inputs from seeds and from what was accepted before.
pub struct Mutator {
    draw: Seed,
    pool: Vec<Vec<u8>>,
    seeds: usize,
}

impl Mutator {
    /// `seeds` must not be empty.
    pub fn new(name: &str, round: u64, seeds: Vec<Vec<u8>>) -> Self {
        assert!(!seeds.is_empty(), "{name} has no seeds");
        Self { draw: Seed::new(name, round), seeds: seeds.len(), pool: seeds }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut data = self.any_of_pool();
        // Mostly few changes, so that the input stays close to valid.
        let changes = 1 + self.below(4) * self.below(3);
        for _ in 0..changes {
            self.change(&mut data);
        }
        data.truncate(BYTES_MAX);
        data
    }

    /// Keeps an accepted input to go on from; seeds stay for ever.
    pub fn keep(&mut self, data: Vec<u8>) {
        if self.pool.len() < self.seeds + POOL_MAX {
            self.pool.push(data);
        } else {
            let place = self.seeds + self.below(POOL_MAX);
            self.pool[place] = data;
        }
    }

    fn change(&mut self, data: &mut Vec<u8>) {
        let at = self.below(data.len() + 1);
        match self.below(9) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 if at < data.len() => data[at] = EDGES[self.below(EDGES.len())],
            2 if at < data.len() => data[at] = self.below(256) as u8,
            3 => {
                let token = TOKENS[self.below(TOKENS.len())];
                data.splice(at..at, token.iter().copied());
            }
            4 => {
                let token = TOKENS[self.below(TOKENS.len())];
                let end = (at + token.len()).min(data.len());
                data.splice(at..end, token.iter().copied());
            }
            5 => {
                let end = (at + 1 + self.below(16)).min(data.len());
                data.drain(at..end);
            }
            6 => {
                let end = (at + 1 + self.below(32)).min(data.len());
                let piece = data[at..end].to_vec();
                let to = self.below(data.len() + 1);
                data.splice(to..to, piece);
            }
            7 => {
                let other = self.any_of_pool();
                let from = self.below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => self.change_digit(data),
        }
    }

    /// Replaces a digit by another: sizes, counts and hashes stay well-formed.
    fn change_digit(&mut self, data: &mut [u8]) {
        let start = self.below(data.len().max(1));
        if let Some(digit) = data.iter_mut().skip(start).find(|byte| byte.is_ascii_digit()) {
            *digit = b'0' + self.draw.below(10) as u8;
        }
    }

    fn any_of_pool(&mut self) -> Vec<u8> {
        let index = self.below(self.pool.len());
        self.pool[index].clone()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.draw.below(bound as u64) as usize
    }
}
