//! The bytes of a proof.
//!
//! A header that names every parameter, then parts whose lengths follow from them: there is no length field, so there
//! is none to check. Field elements are four bytes, little endian, canonical; extension elements are five of them.

use ves_stark_air::{Felt, felt_bytes, felt_from_canonical};
use ves_stark_primitives::ProofError;

use super::extension::{self, Ext};
use super::merkle::Hash;
use super::shape::Shape;

const MAGIC: [u8; 4] = *b"VSTK";
const VERSION: u8 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 4 + 8 + 12 + 8;

/// The header of every proof of this shape. It is also what enters the transcript as the parameters' description.
pub fn header(shape: &Shape) -> [u8; HEADER_BYTES] {
    let p = &shape.parameters;
    let mut folds = [0u8; 8];
    for (byte, &fold) in folds.iter_mut().zip(p.folds) {
        *byte = fold as u8;
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend(MAGIC);
    header.extend([VERSION, p.profile.number(), shape.circuit, shape.log_rows as u8]);
    header.extend([p.log_domain as u8, p.queries as u8, p.grinding_bits as u8, shape.chunks as u8]);
    for size in [shape.columns, shape.next_columns, p.trace_masks, p.quotient_masks] {
        header.extend((size as u16).to_le_bytes());
    }
    header.extend((p.degree_bound as u32).to_le_bytes());
    header.extend(folds);
    header.try_into().expect("the header has a fixed length")
}

/// What a header claims, once magic and version are known.
pub struct Claimed {
    pub circuit: u8,
    pub profile: u8,
    pub log_rows: u8,
    pub columns: u16,
}

/// Reads a header's claims.
pub fn claimed(bytes: &[u8]) -> Result<Claimed, ProofError> {
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(ends_early)?;
    if header[..4] != MAGIC {
        return Err(malformed("the first four bytes are not `VSTK`"));
    }
    if header[4] != VERSION {
        return Err(ProofError::Parameters { what: "the format is not version 1" });
    }
    Ok(Claimed {
        profile: header[5],
        circuit: header[6],
        log_rows: header[7],
        columns: u16::from_le_bytes([header[12], header[13]]),
    })
}

/// The part of a proof that precedes the openings.
#[derive(Debug, Clone)]
pub struct Opening {
    pub trace_root: Hash,
    pub second_root: Hash,
    /// Every column at the drawn point.
    pub local: Vec<Ext>,
    /// The columns that are read a row further, there.
    pub next: Vec<Ext>,
    /// The parts of the quotient at the drawn point.
    pub chunks: Vec<Ext>,
    /// Root of each fold.
    pub fold_roots: Vec<Hash>,
    /// Coefficients of the polynomial after the last fold.
    pub last: Vec<Ext>,
    pub nonce: u64,
}

/// Reads all but the openings. The reader then stands at their first byte.
pub fn read<'a>(shape: &Shape, bytes: &'a [u8]) -> Result<(Opening, Reader<'a>), ProofError> {
    if bytes.len() > shape.bytes_max() {
        return Err(ProofError::TooLarge { bytes: bytes.len(), bytes_max: shape.bytes_max() });
    }
    claimed(bytes)?;
    let mut reader = Reader(bytes);
    if reader.take(HEADER_BYTES)? != header(shape) {
        return Err(ProofError::Parameters { what: "another suite or circuit than the statement's" });
    }
    let opening = Opening {
        trace_root: reader.hash()?,
        second_root: reader.hash()?,
        local: reader.exts(shape.columns)?,
        next: reader.exts(shape.next_columns)?,
        chunks: reader.exts(shape.chunks)?,
        fold_roots: reader.hashes(shape.parameters.folds.len())?,
        last: reader.exts(shape.parameters.final_coefficients())?,
        nonce: u64::from_le_bytes(reader.array()?),
    };
    Ok((opening, reader))
}

/// Writes what [`read`] reads.
pub fn write(shape: &Shape, opening: &Opening) -> Vec<u8> {
    let mut bytes = header(shape).to_vec();
    bytes.extend(opening.trace_root);
    bytes.extend(opening.second_root);
    for values in [&opening.local, &opening.next, &opening.chunks] {
        values.iter().for_each(|&value| put_ext(&mut bytes, value));
    }
    opening.fold_roots.iter().for_each(|root| bytes.extend(root));
    opening.last.iter().for_each(|&value| put_ext(&mut bytes, value));
    bytes.extend(opening.nonce.to_le_bytes());
    bytes
}

/// Appends an element's coordinates.
pub fn put_ext(bytes: &mut Vec<u8>, value: Ext) {
    extension::coordinates(value).iter().for_each(|&coordinate| bytes.extend(felt_bytes(coordinate)));
}

/// Reads parts of known length.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ProofError> {
        let (part, rest) = self.0.split_at_checked(count).ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(part)
    }

    /// `count` hashes.
    pub fn hashes(&mut self, count: usize) -> Result<Vec<Hash>, ProofError> {
        (0..count).map(|_| self.hash()).collect()
    }

    /// `count` extension elements.
    pub fn exts(&mut self, count: usize) -> Result<Vec<Ext>, ProofError> {
        (0..count)
            .map(|_| {
                let felts = felts(self.take(4 * extension::DEGREE)?)?;
                Ok(extension::from_coordinates(std::array::from_fn(|i| felts[i])))
            })
            .collect()
    }

    /// Nothing may follow.
    pub fn finish(self) -> Result<(), ProofError> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed("bytes follow it")) }
    }

    fn hash(&mut self) -> Result<Hash, ProofError> {
        self.array()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProofError> {
        let (part, rest) = self.0.split_first_chunk::<N>().ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(*part)
    }
}

/// The bytes are not a proof.
pub(crate) fn malformed(what: &'static str) -> ProofError {
    ProofError::Malformed { what }
}

fn ends_early() -> ProofError {
    malformed("it ends early")
}

/// Canonical elements, four bytes each.
pub fn felts(bytes: &[u8]) -> Result<Vec<Felt>, ProofError> {
    let (words, _) = bytes.as_chunks::<4>();
    words
        .iter()
        .map(|&word| {
            felt_from_canonical(u32::from_le_bytes(word))
                .ok_or_else(|| malformed("a field element is not below the modulus"))
        })
        .collect()
}
