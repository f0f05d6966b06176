//! The secret that opens key files.

use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::KeystoreError;

/// Read of a passphrase file: more than the longest first line.
const FIRST_LINE_BYTES_MAX: u64 = 2048;

/// A passphrase: 1 to 1024 bytes of UTF-8 on one line. Zeroised when dropped; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text, which is kept as it is.
    pub fn new(text: String) -> Result<Self, KeystoreError> {
        let text = Zeroizing::new(text);
        if text.is_empty() || text.len() > 1024 || text.contains(['\n', '\r', '\0']) {
            return Err(KeystoreError::BadPassphrase);
        }
        Ok(Self(text))
    }

    /// 32 random bytes as 64 hex digits.
    pub fn random() -> Result<Self, KeystoreError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|_| KeystoreError::NoRandomness)?;
        Self::new(ves::hex::encode(bytes.as_ref()))
    }

    /// The first line of a file that only its owner may read; what follows it is ignored.
    pub fn from_file(path: &Path) -> Result<Self, KeystoreError> {
        crate::file::refuse_wide_mode(path, 0o600)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(FIRST_LINE_BYTES_MAX as usize));
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(FIRST_LINE_BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(KeystoreError::io("read", path))?;
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| KeystoreError::BadPassphrase)?;
        Self::new(text.to_owned())
    }

    /// Writes the passphrase to a new file of mode 0600. An existing file is never replaced.
    pub fn keep_in_file(&self, path: &Path) -> Result<(), KeystoreError> {
        let line = Zeroizing::new(format!("{}\n", self.0.as_str()));
        crate::file::write_new(path, line.as_bytes()).map_err(KeystoreError::io("write", path))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}
