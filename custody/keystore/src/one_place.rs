//! All keys of a node live in one back end.
//!
//! A node whose keys are half in files and half in a token is no safer than its files, and its backup is neither the one
//! nor the other. So what lies in the folder of keys has to be of the back end that is configured.

use std::path::Path;
use std::str::FromStr;

use crate::KeystoreError;

/// What keeps the keys of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackEnd {
    /// Files, encrypted under a passphrase.
    #[default]
    File,
    /// A token, reached through its PKCS#11 module.
    Pkcs11,
}

impl FromStr for BackEnd {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "pkcs11" => Ok(Self::Pkcs11),
            other => Err(format!("{other:?} is neither file nor pkcs11")),
        }
    }
}

/// Refuses a node whose key `name`, kept in `chosen`, would live elsewhere than a key in `folder`.
///
/// - `folder` may be missing. Files `*.pem` are keys of [`BackEnd::File`], files `*.wrapped` of [`BackEnd::Pkcs11`].
/// - `name`: of the key, or words for several; for people alone.
///
/// # Errors
/// [`KeystoreError::Split`], which names both and the cure.
pub fn refuse_split(folder: &Path, name: &str, chosen: BackEnd) -> Result<(), KeystoreError> {
    let foreign = match chosen {
        BackEnd::File => "wrapped",
        BackEnd::Pkcs11 => "pem",
    };
    if !folder.is_dir() {
        return Ok(());
    }
    let mut found = crate::file::files_of(folder, foreign)?;
    found.sort();
    let Some(held) = found.into_iter().next() else { return Ok(()) };
    Err(KeystoreError::Split { held, other: name.to_owned(), chosen })
}

/// What is said of two keys in two places. A wrapped key is a file, too: only what opens it lies in the token.
pub(crate) fn split(held: &Path, other: &str, chosen: BackEnd) -> String {
    let (is, cure) = match chosen {
        BackEnd::File => (
            "a key wrapped by one in a token",
            "set KEYSTORE=pkcs11, and PKCS11_* as they were when the first was made",
        ),
        BackEnd::Pkcs11 => ("a key in an encrypted file", "set KEYSTORE=file, or leave it out"),
    };
    let would_be = match chosen {
        BackEnd::File => "in an encrypted file",
        BackEnd::Pkcs11 => "in a token",
    };
    format!(
        "the keys of a node live in one back end: {} is {is}, and the other, {other}, would be kept {would_be}; {cure}, \
         or begin with another folder, since no key is moved from one to the other",
        held.display()
    )
}
