//! A backup of keys: the files of a store one after another, each as encrypted as it lies there.
//!
//! The text is PEM with explanatory lines, so what is in it can be read, and a single key can be taken out, with an editor.
//! It holds no passphrase and no PIN: without them it is worth nothing.

use zeroize::Zeroizing;

use crate::seal::SEALED_BYTES;
use crate::{KeyInfo, KeyName, KeystoreError, pem, wrapped};

/// A backup is read up to this length.
pub(crate) const BACKUP_BYTES_MAX: usize = 4 * 1024 * 1024;
const HEAD: &str = "Stateset keys, backup 1. The passphrase or the token that opens them is not in it.\n";
/// The line before the key that wraps data keys.
pub(crate) const WRAPPING_KEY: &str = "Wrapping-Key: AES-256-GCM\n";

/// What [`crate::Keystore::backup`] gives out.
#[derive(Debug)]
pub struct Backup {
    /// Everything that may leave the store, encrypted.
    pub text: Zeroizing<String>,
    /// The keys in it.
    pub held: Vec<KeyName>,
    /// The keys that can't leave their token, and so are not in it.
    pub left_out: Vec<KeyName>,
}

/// One file of a backup.
#[derive(Debug)]
#[cfg_attr(not(feature = "pkcs11"), expect(dead_code, reason = "only a token opens a wrapped key"))]
pub(crate) enum Section<'a> {
    /// A key under a passphrase.
    File { info: KeyInfo, text: &'a str },
    /// A key under a key in a token: what it says, and the sealed bytes.
    Wrapped(Box<(KeyInfo, [u8; SEALED_BYTES])>),
    /// The key that wraps data keys, under a passphrase.
    WrappingKey { text: &'a str },
}

/// The whole text of a backup of these files.
pub(crate) fn join<'a>(files: impl IntoIterator<Item = &'a str>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(HEAD.to_owned());
    files.into_iter().for_each(|file| text.push_str(file));
    text
}

/// The files of a backup, in their order.
pub(crate) fn split(text: &str) -> Result<Vec<Section<'_>>, KeystoreError> {
    let wrong = |problem| KeystoreError::NotABackup { problem };
    if text.len() > BACKUP_BYTES_MAX {
        return Err(wrong("it is longer than any backup"));
    }
    let mut rest = text.strip_prefix(HEAD).ok_or_else(|| wrong("its first line is another"))?;
    let mut sections = Vec::new();
    while !rest.trim().is_empty() {
        let ends = [pem::END, wrapped::END].map(|end| rest.find(end).map(|at| at + end.len()));
        let end = ends.into_iter().flatten().min().ok_or_else(|| wrong("its last key does not end"))?;
        let (file, after) = rest.split_at(end);
        // The line break after the block belongs to its file.
        let with_break = if after.starts_with('\n') { end + 1 } else { end };
        let section = &rest[..with_break];
        rest = &rest[with_break..];
        sections.push(if file.ends_with(wrapped::END) {
            Section::Wrapped(Box::new(wrapped::read_wrapped_file(section).map_err(wrong)?))
        } else if section.starts_with(WRAPPING_KEY) {
            Section::WrappingKey { text: section }
        } else {
            Section::File { info: pem::read_info(section).map_err(wrong)?, text: section }
        });
    }
    Ok(sections)
}
