//! Bytes as a source of small decisions, for targets whose input is not a text.

/// Takes values from the front of the input; zeros when it is used up.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let n = N.min(self.0.len());
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        out
    }
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }
    /// A number in `0..bound`, from two bytes; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_be_bytes(self.bytes())) % bound.max(1)
    }
    pub fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
