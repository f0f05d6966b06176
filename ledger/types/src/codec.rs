//! The canonical encoding SCE (section 2.1): one writer, one reader, and exactly one valid encoding of a value.
//!
//! Integers are fixed width and big endian; bytes, texts and lists carry a u32 length; an option is one byte; an enum is
//! a u16 tag and its body. Whatever else a value may be is said by its type, so that a decoded value is a valid one.

mod bounded;
mod macros;

use std::fmt;

pub use bounded::{Blob, List, Map, Set, Text, TooMany};
pub use macros::{choice, codes, fixed_bytes, record};

/// Most bytes of any value on its own: the upper bound of `max_tx_bytes` and of a peer's frame (section 12.2).
pub const VALUE_BYTES_MAX: usize = 4_194_304;

/// A value that can be written.
pub trait Encode {
    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding in a buffer of its own.
    fn to_sce(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A value that can be read.
pub trait Decode: Sized {
    /// Fewest bytes of an encoding: a list's count is held against it before anything is kept.
    const BYTES_MIN: usize;

    /// Reads the value at the front of `reader`.
    ///
    /// # Errors
    /// [`DecodeError`] with the place and the rule that is broken.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads `bytes` as this value and nothing more.
    ///
    /// # Errors
    /// [`DecodeError`], also for bytes behind the value.
    fn from_sce(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(reader.problem(Problem::TooLong { found: bytes.len(), max: VALUE_BYTES_MAX }));
        }
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// What is wrong with an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{missing} more bytes are needed")]
    Truncated { missing: usize },
    #[error("{count} bytes follow the value")]
    Trailing { count: usize },
    #[error("entries are not in ascending order")]
    Order,
    #[error("an entry stands twice")]
    Duplicate,
    #[error("{tag} is no tag of {of}")]
    UnknownTag { of: &'static str, tag: u64 },
    #[error("length {found} is above {max}")]
    TooLong { found: usize, max: usize },
    #[error("{0} is no option byte: 0 or 1")]
    OptionByte(u8),
    #[error("{0} is no truth value: 0 or 1")]
    BoolByte(u8),
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("the text holds a NUL")]
    Nul,
    #[error("{0}")]
    Invalid(&'static str),
}

/// An encoding that is refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {problem}")]
pub struct DecodeError {
    /// Offset of the field that is wrong.
    pub at: usize,
    pub problem: Problem,
}

/// Reads values from the front of a slice.
pub struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }
    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.whole.len() - self.at
    }
    /// What was read since `from`, an earlier [`position`](Self::position).
    pub fn since(&self, from: usize) -> &'a [u8] {
        &self.whole[from..self.at]
    }

    /// A refusal at the present place.
    pub fn problem(&self, problem: Problem) -> DecodeError {
        DecodeError { at: self.at, problem }
    }

    /// # Errors
    /// [`Problem::Truncated`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.remaining() {
            return Err(self.problem(Problem::Truncated { missing: count - self.remaining() }));
        }
        let from = self.at;
        self.at += count;
        Ok(&self.whole[from..self.at])
    }

    /// # Errors
    /// [`Problem::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// A u32 length of at most `max`.
    ///
    /// # Errors
    /// [`Problem::TooLong`], [`Problem::Truncated`].
    pub fn length(&mut self, max: usize) -> Result<usize, DecodeError> {
        let start = self.at;
        let found = u32::from_be_bytes(self.array()?) as usize;
        if found > max {
            return Err(DecodeError { at: start, problem: Problem::TooLong { found, max } });
        }
        Ok(found)
    }

    /// `BYTES` of at most `max`, where they lie.
    ///
    /// # Errors
    /// [`Problem::TooLong`], [`Problem::Truncated`].
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(max)?;
        self.take(length)
    }

    /// `STR` of at most `max` bytes, where it lies.
    ///
    /// # Errors
    /// As of [`bytes`](Self::bytes), [`Problem::NotUtf8`] and [`Problem::Nul`].
    pub fn text(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let bytes = self.bytes(max)?;
        let refused = |problem| DecodeError { at: start, problem };
        let text = std::str::from_utf8(bytes).map_err(|_| refused(Problem::NotUtf8))?;
        if bytes.contains(&0) { Err(refused(Problem::Nul)) } else { Ok(text) }
    }

    /// A list's count: at most `max`, and no more than the bytes that are left could hold.
    ///
    /// # Errors
    /// [`Problem::TooLong`], [`Problem::Truncated`].
    pub fn count<T: Decode>(&mut self, max: usize) -> Result<usize, DecodeError> {
        let count = self.length(max)?;
        let needed = count.saturating_mul(T::BYTES_MIN);
        if needed > self.remaining() {
            return Err(self.problem(Problem::Truncated { missing: needed - self.remaining() }));
        }
        Ok(count)
    }

    /// A list of at most `max` values.
    ///
    /// # Errors
    /// Of the count and of each value.
    pub fn list<T: Decode>(&mut self, max: usize) -> Result<Vec<T>, DecodeError> {
        let count = self.count::<T>(max)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(T::decode(self)?);
        }
        Ok(values)
    }

    /// # Errors
    /// [`Problem::Trailing`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.problem(Problem::Trailing { count })),
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader(at {} of {})", self.at, self.whole.len())
    }
}

/// Writes `BYTES(bytes)`.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes `STR(text)`.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Writes a u32 length.
pub fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("no value is longer than VALUE_BYTES_MAX");
    out.extend_from_slice(&length.to_be_bytes());
}

/// Writes a list.
pub fn put_list<T: Encode>(out: &mut Vec<u8>, values: &[T]) {
    put_length(out, values.len());
    for value in values {
        value.encode(out);
    }
}

macro_rules! integers {
    ($($int:ty),+) => {$(
        impl Encode for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
        impl Decode for $int {
            const BYTES_MIN: usize = size_of::<$int>();
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array().map(<$int>::from_be_bytes)
            }
        }
    )+};
}
integers!(u8, u16, u32, u64, u128, i64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}
impl Decode for bool {
    const BYTES_MIN: usize = 1;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.position();
        match u8::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError { at: start, problem: Problem::BoolByte(other) }),
        }
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }
}
impl<T: Decode> Decode for Option<T> {
    const BYTES_MIN: usize = 1;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.position();
        match u8::decode(reader)? {
            0 => Ok(None),
            1 => T::decode(reader).map(Some),
            other => Err(DecodeError { at: start, problem: Problem::OptionByte(other) }),
        }
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}
impl<const N: usize> Decode for [u8; N] {
    const BYTES_MIN: usize = N;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

impl<T: Encode> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}
impl<T: Decode> Decode for Box<T> {
    const BYTES_MIN: usize = T::BYTES_MIN;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode(reader).map(Self::new)
    }
}

impl Encode for ves::Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}
impl Decode for ves::Digest {
    const BYTES_MIN: usize = 32;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

#[cfg(test)]
mod tests;
