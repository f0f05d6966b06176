//! The members of a list file, read strictly: an error names the member or the entry.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::Number;
use super::LEAVES_MAX;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    pub version: String,
    pub valid_from: u64,
    pub valid_until: u64,
    /// Of the tree; the least that holds the leaves where it is missing.
    pub depth: Option<u8>,
    #[serde(default)]
    pub absence: bool,
    pub entries: Entries,
}

pub struct Entries(pub Vec<Entry>);

/// One entry as it is spelt.
#[derive(Debug, Clone, Copy)]
pub enum Entry {
    Number(u64),
    Pair(u64, u64),
}

impl Entry {
    /// Key and value of the leaf.
    pub const fn leaf(&self) -> (u64, u64) {
        match self {
            Self::Number(number) => (*number, 0),
            Self::Pair(key, value) => (*key, *value),
        }
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;
        impl<'de> Visitor<'de> for Named {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of numbers, or of pairs of numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Entries, A::Error> {
                let mut read = Vec::new();
                loop {
                    let place = read.len();
                    let next = entries.next_element::<Entry>();
                    match next
                        .map_err(|error| de::Error::custom(format_args!("entries[{place}]: {error}")))?
                    {
                        None => return Ok(Entries(read)),
                        // Before the memory is filled; with its ends a list may have two fewer.
                        Some(_) if place == LEAVES_MAX => {
                            return Err(de::Error::custom(format_args!("entries: more than {LEAVES_MAX}")));
                        }
                        Some(entry) => read.push(entry),
                    }
                }
            }
        }
        deserializer.deserialize_seq(Named)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrPair;
        impl<'de> Visitor<'de> for NumberOrPair {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an integer up to 2^53 - 1, a larger one of 64 bits as a decimal text, or a pair of such",
                )
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Entry, E> {
                Number::deserialize(de::value::U64Deserializer::new(number))
                    .map(|number| Entry::Number(number.0))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
                Number::deserialize(de::value::StrDeserializer::new(text))
                    .map(|number| Entry::Number(number.0))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Entry, A::Error> {
                let two = |found| de::Error::invalid_length(found, &"a pair of key and value");
                let key = pair.next_element::<Number>()?.ok_or_else(|| two(0))?;
                let value = pair.next_element::<Number>()?.ok_or_else(|| two(1))?;
                match pair.next_element::<de::IgnoredAny>()? {
                    None => Ok(Entry::Pair(key.0, value.0)),
                    Some(_) => Err(two(3)),
                }
            }
        }
        deserializer.deserialize_any(NumberOrPair)
    }
}
