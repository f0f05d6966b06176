//! Names of keys: safe as file names on every system.

use std::fmt;
use std::str::FromStr;

use crate::KeystoreError;

/// 1 to 64 of `a-z 0-9 - _ .`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeystoreError;

    fn from_str(text: &str) -> Result<Self, KeystoreError> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.len() <= 64 && starts_well && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeystoreError::BadName { text: text.to_owned() })
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        for good in ["a", "sequencer", "agent-1.b_c", "0"] {
            assert!(good.parse::<KeyName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../a", "a/b", "A", "-a", "a b", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }
}
