//! Collections that carry their bound in the type.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Decode, DecodeError, Encode, Problem, Reader, put_bytes, put_length, put_list, put_str};

/// A collection that breaks its bound or its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    #[error("{found} entries, at most {max}")]
    Entries { found: usize, max: usize },
    #[error("an entry stands twice")]
    Duplicate,
    #[error("the text holds a NUL")]
    Nul,
}

fn within(found: usize, max: usize) -> Result<(), TooMany> {
    if found > max { Err(TooMany::Entries { found, max }) } else { Ok(()) }
}

/// `STR` of at most `MAX` bytes, without NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// # Errors
    /// [`TooMany`] for a text that is too long or holds a NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, TooMany> {
        let text = text.into();
        within(text.len(), MAX)?;
        if text.contains('\0') { Err(TooMany::Nul) } else { Ok(Self(text)) }
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl<const MAX: usize> Encode for Text<MAX> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, &self.0);
    }
}
impl<const MAX: usize> Decode for Text<MAX> {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.text(MAX).map(|text| Self(text.to_owned()))
    }
}
impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// `BYTES` of at most `MAX`. Text form: lowercase hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// # Errors
    /// [`TooMany`] for more than `MAX` bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TooMany> {
        let bytes = bytes.into();
        within(bytes.len(), MAX)?;
        Ok(Self(bytes))
    }
}

impl<const MAX: usize> Deref for Blob<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ves::hex::encode(&self.0))
    }
}
impl<const MAX: usize> Encode for Blob<MAX> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.0);
    }
}
impl<const MAX: usize> Decode for Blob<MAX> {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.bytes(MAX).map(|bytes| Self(bytes.to_vec()))
    }
}
impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ves::hex::encode(&self.0))
    }
}
impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            ves::hex::decode_vec(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}

/// A list of at most `MAX` values, in the order given.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// # Errors
    /// [`TooMany`] for more than `MAX` values.
    pub fn new(values: impl Into<Vec<T>>) -> Result<Self, TooMany> {
        let values = values.into();
        within(values.len(), MAX)?;
        Ok(Self(values))
    }
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}
impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<T: Encode, const MAX: usize> Encode for List<T, MAX> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_list(out, &self.0);
    }
}
impl<T: Decode, const MAX: usize> Decode for List<T, MAX> {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.list(MAX).map(Self)
    }
}
impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// At most `MAX` pairs, by strictly ascending encoding of the key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Map<K, V, const MAX: usize>(Vec<(K, V)>);

impl<K: Encode, V, const MAX: usize> Map<K, V, MAX> {
    /// Sorts the pairs.
    ///
    /// # Errors
    /// [`TooMany`] for more than `MAX` pairs, or a key that stands twice.
    pub fn new(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, TooMany> {
        let mut keyed: Vec<(Vec<u8>, (K, V))> =
            pairs.into_iter().map(|pair| (pair.0.to_sce(), pair)).collect();
        within(keyed.len(), MAX)?;
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        if keyed.windows(2).any(|two| two[0].0 == two[1].0) {
            return Err(TooMany::Duplicate);
        }
        Ok(Self(keyed.into_iter().map(|(_, pair)| pair).collect()))
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V>
    where
        K: PartialEq,
    {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }
}

impl<K, V, const MAX: usize> Default for Map<K, V, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
impl<K, V, const MAX: usize> Deref for Map<K, V, MAX> {
    type Target = [(K, V)];
    fn deref(&self) -> &[(K, V)] {
        &self.0
    }
}
impl<K: fmt::Debug, V: fmt::Debug, const MAX: usize> fmt::Debug for Map<K, V, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, value))).finish()
    }
}
impl<K: Encode, V: Encode, const MAX: usize> Encode for Map<K, V, MAX> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_length(out, self.0.len());
        for (key, value) in &self.0 {
            key.encode(out);
            value.encode(out);
        }
    }
}
impl<K: Decode, V: Decode, const MAX: usize> Decode for Map<K, V, MAX> {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.count::<Pair<K, V>>(MAX)?;
        let mut pairs = Vec::with_capacity(count);
        let mut last: Option<&[u8]> = None;
        for _ in 0..count {
            let start = reader.position();
            let key = K::decode(reader)?;
            let encoded = reader.since(start);
            ascending(last, encoded).map_err(|problem| DecodeError { at: start, problem })?;
            last = Some(encoded);
            pairs.push((key, V::decode(reader)?));
        }
        Ok(Self(pairs))
    }
}
impl<K: Serialize, V: Serialize, const MAX: usize> Serialize for Map<K, V, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, value)| (key, value)))
    }
}
impl<'de, K: Encode + Deserialize<'de>, V: Deserialize<'de>, const MAX: usize> Deserialize<'de>
    for Map<K, V, MAX>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<(K, V)>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Only for the fewest bytes of a pair.
struct Pair<K, V>(std::marker::PhantomData<(K, V)>);

impl<K: Decode, V: Decode> Decode for Pair<K, V> {
    const BYTES_MIN: usize = K::BYTES_MIN + V::BYTES_MIN;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        K::decode(reader)?;
        V::decode(reader)?;
        Ok(Self(std::marker::PhantomData))
    }
}

fn ascending(last: Option<&[u8]>, next: &[u8]) -> Result<(), Problem> {
    match last.map(|last| last.cmp(next)) {
        None | Some(std::cmp::Ordering::Less) => Ok(()),
        Some(std::cmp::Ordering::Equal) => Err(Problem::Duplicate),
        Some(std::cmp::Ordering::Greater) => Err(Problem::Order),
    }
}

/// At most `MAX` distinct values, by strictly ascending encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set<T, const MAX: usize>(Vec<T>);

impl<T: Encode, const MAX: usize> Set<T, MAX> {
    /// Sorts the values.
    ///
    /// # Errors
    /// [`TooMany`] for more than `MAX` values, or one that stands twice.
    pub fn new(values: impl IntoIterator<Item = T>) -> Result<Self, TooMany> {
        let pairs: Map<T, (), MAX> = Map::new(values.into_iter().map(|value| (value, ())))?;
        Ok(Self(pairs.0.into_iter().map(|(value, ())| value).collect()))
    }
}

impl<T, const MAX: usize> Default for Set<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
impl<T, const MAX: usize> Deref for Set<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}
impl<T: fmt::Debug, const MAX: usize> fmt::Debug for Set<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}
impl<T: Encode, const MAX: usize> Encode for Set<T, MAX> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_list(out, &self.0);
    }
}
impl<T: Decode, const MAX: usize> Decode for Set<T, MAX> {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let pairs: Map<T, (), MAX> = Map::decode(reader)?;
        Ok(Self(pairs.0.into_iter().map(|(value, ())| value).collect()))
    }
}
impl<T: Serialize, const MAX: usize> Serialize for Set<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, T: Encode + Deserialize<'de>, const MAX: usize> Deserialize<'de> for Set<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<T>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Encode for () {
    fn encode(&self, _: &mut Vec<u8>) {}
}
impl Decode for () {
    const BYTES_MIN: usize = 0;
    fn decode(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}
