//! All keys of a node live in one back end.
//!
//! A node whose keys are half in files and half in a token is no safer than its files, and its backup is neither the one
//! nor the other. So what lies in the folder of keys has to be of the back end that is configured.

use std::fmt;
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

impl fmt::Display for BackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "an encrypted file",
            Self::Pkcs11 => "the token",
        })
    }
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
/// `folder` may be missing. Files `*.pem` are keys of [`BackEnd::File`], files `*.wrapped` of [`BackEnd::Pkcs11`].
///
/// # Errors
/// [`KeystoreError::Split`] with both keys' names.
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
    let Some(file) = found.first() else { return Ok(()) };
    Err(KeystoreError::Split {
        first: file.display().to_string(),
        first_in: match chosen {
            BackEnd::File => BackEnd::Pkcs11,
            BackEnd::Pkcs11 => BackEnd::File,
        },
        second: name.to_owned(),
        second_in: chosen,
    })
}
