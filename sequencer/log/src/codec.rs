//! Little-endian reading and writing of the formats of this crate. A reader checks every length before it allocates.

use uuid::Uuid;
use ves::Digest;

/// Bytes that are not a value of the expected format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("format version {0} is unknown")]
    Version(u8),
    #[error("it ends before its {0}")]
    Short(&'static str),
    #[error("its {0} is not UTF-8")]
    Text(&'static str),
    #[error("its {0} has a value that is not allowed")]
    Value(&'static str),
    #[error("{0} bytes follow its end")]
    Trailing(usize),
    /// Whole, but for its payload, which nobody here has opened.
    #[error("its payload is sealed at rest, and no key that is known here opens it")]
    Sealed,
}

/// A cursor over borrowed bytes. `what` names the part for the error.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }
    pub fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], RecordError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(RecordError::Short(what))?;
        self.rest = rest;
        Ok(head)
    }
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(RecordError::Short(what))?;
        self.rest = rest;
        Ok(*head)
    }
    pub fn u8(&mut self, what: &'static str) -> Result<u8, RecordError> {
        self.array::<1>(what).map(|[byte]| byte)
    }
    pub fn u32(&mut self, what: &'static str) -> Result<u32, RecordError> {
        self.array(what).map(u32::from_le_bytes)
    }
    pub fn u64(&mut self, what: &'static str) -> Result<u64, RecordError> {
        self.array(what).map(u64::from_le_bytes)
    }
    pub fn i64(&mut self, what: &'static str) -> Result<i64, RecordError> {
        self.array(what).map(i64::from_le_bytes)
    }
    pub fn flag(&mut self, what: &'static str) -> Result<bool, RecordError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Value(what)),
        }
    }
    pub fn uuid(&mut self, what: &'static str) -> Result<Uuid, RecordError> {
        self.array(what).map(Uuid::from_bytes)
    }
    pub fn digest(&mut self, what: &'static str) -> Result<Digest, RecordError> {
        self.array(what).map(Digest)
    }
    /// A length of four bytes, then that many bytes.
    pub fn blob(&mut self, what: &'static str) -> Result<&'a [u8], RecordError> {
        let count = self.u32(what)? as usize;
        self.bytes(count, what)
    }
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.blob(what)?).map_err(|_| RecordError::Text(what))
    }
    /// How many items follow; refused when fewer than `count * item_bytes_min` bytes are left.
    pub fn count(&mut self, item_bytes_min: usize, what: &'static str) -> Result<usize, RecordError> {
        let count = self.u32(what)? as usize;
        let fits = count.checked_mul(item_bytes_min).is_some_and(|bytes| bytes <= self.rest.len());
        if fits { Ok(count) } else { Err(RecordError::Short(what)) }
    }
    pub fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        if self.flag(what)? { read(self).map(Some) } else { Ok(None) }
    }
    pub fn end(self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Trailing(self.rest.len())) }
    }
}

/// The writing side, over one growing buffer.
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
    pub fn u8(&mut self, n: u8) -> &mut Self {
        self.0.push(n);
        self
    }
    pub fn u32(&mut self, n: u32) -> &mut Self {
        self.bytes(&n.to_le_bytes())
    }
    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.bytes(&n.to_le_bytes())
    }
    pub fn i64(&mut self, n: i64) -> &mut Self {
        self.bytes(&n.to_le_bytes())
    }
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.u8(u8::from(flag))
    }
    pub fn uuid(&mut self, id: &Uuid) -> &mut Self {
        self.bytes(id.as_bytes())
    }
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("a record holds fewer than 2^32 items and bytes"))
    }
    pub fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).bytes(bytes)
    }
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
        self
    }
}
