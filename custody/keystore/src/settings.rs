//! Which keystore a node has, as every program is told: `KEYSTORE`, `PKCS11_MODULE`, `PKCS11_TOKEN_LABEL`, and
//! `PKCS11_PIN_FILE` or `PKCS11_PIN`. Where the texts come from is the caller's: this reads no environment.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{BackEnd, FileKeystore, Keystore, KeystoreError, Passphrase, refuse_split};
#[cfg(feature = "pkcs11")]
use crate::{Pkcs11Config, Pkcs11Keystore};

/// What keeps the keys of a node.
#[derive(Debug, Clone, Default)]
pub enum KeysIn {
    #[default]
    Files,
    Token(TokenSettings),
}

/// A token, and what opens it.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    pub module: PathBuf,
    pub label: String,
    pub pin: Pin,
}

/// Where the PIN comes from; it is read when the token is opened.
#[derive(Clone)]
pub enum Pin {
    File(PathBuf),
    Given(Zeroizing<String>),
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "Pin({})", path.display()),
            Self::Given(_) => f.write_str("Pin(..)"),
        }
    }
}

/// A setting that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct SettingProblem {
    pub name: &'static str,
    pub problem: String,
}

impl KeysIn {
    /// Names of the settings.
    pub const SETTINGS: [&'static str; 5] =
        ["KEYSTORE", "PKCS11_MODULE", "PKCS11_TOKEN_LABEL", "PKCS11_PIN_FILE", "PKCS11_PIN"];

    /// Reads the settings by `text_of`, which gives `None` for one that is not set.
    ///
    /// # Errors
    /// Every problem, not only the first.
    pub fn read(text_of: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let mut refuse = |name, problem: &str| {
            problems.push(SettingProblem { name, problem: problem.to_owned() });
        };
        match text_of("KEYSTORE").as_deref().map(str::trim) {
            None | Some("" | "file") => return Ok(Self::Files),
            Some("pkcs11") if cfg!(feature = "pkcs11") => {}
            Some("pkcs11") => {
                refuse("KEYSTORE", "this program was built without the feature pkcs11; use file")
            }
            Some(other) => {
                refuse("KEYSTORE", &format!("{other:?} is neither file nor pkcs11"));
                return Err(problems);
            }
        }
        let mut needed = |name, what: &str| match text_of(name) {
            Some(text) => text.trim().to_owned(),
            None => {
                refuse(name, &format!("KEYSTORE=pkcs11 needs it: {what}"));
                String::new()
            }
        };
        let module = PathBuf::from(needed("PKCS11_MODULE", "the file of the token's module"));
        let label = needed("PKCS11_TOKEN_LABEL", "the label of the token");
        let pin = match (text_of("PKCS11_PIN_FILE"), text_of("PKCS11_PIN").map(Zeroizing::new)) {
            (Some(file), None) => Pin::File(PathBuf::from(file.trim())),
            (None, Some(pin)) => Pin::Given(pin),
            (Some(_), Some(_)) => {
                refuse("PKCS11_PIN", "PKCS11_PIN_FILE gives the PIN too; leave one of the two out");
                Pin::Given(Zeroizing::default())
            }
            (None, None) => {
                let problem = "KEYSTORE=pkcs11 needs it, or PKCS11_PIN: the PIN of the token's user";
                refuse("PKCS11_PIN_FILE", problem);
                Pin::Given(Zeroizing::default())
            }
        };
        if problems.is_empty() {
            Ok(Self::Token(TokenSettings { module, label, pin }))
        } else {
            Err(problems)
        }
    }

    pub fn back_end(&self) -> BackEnd {
        match self {
            Self::Files => BackEnd::File,
            Self::Token(_) => BackEnd::Pkcs11,
        }
    }

    /// Opens the keystore, to use keys. Key files, or the wrapped keys of a token, lie in `folder`; `passphrase` is asked for
    /// files alone.
    ///
    /// # Errors
    /// [`KeystoreError::Split`] when a key in `folder` is of the other back end than the key `name` would be; those of
    /// [`FileKeystore::open`] and of the token.
    pub fn open<E: From<KeystoreError>>(
        &self,
        folder: &Path,
        name: &str,
        passphrase: impl FnOnce() -> Result<Passphrase, E>,
    ) -> Result<Box<dyn Keystore>, E> {
        refuse_split(folder, name, self.back_end())?;
        match self {
            Self::Files => Ok(Box::new(FileKeystore::open(folder, passphrase()?)?)),
            Self::Token(token) => Ok(token.open(folder)?),
        }
    }

    /// The same to look at public parts: neither passphrase nor PIN is read.
    ///
    /// # Errors
    /// Those of [`KeysIn::open`].
    pub fn open_public(&self, folder: &Path) -> Result<Box<dyn Keystore>, KeystoreError> {
        match self {
            Self::Files => Ok(Box::new(FileKeystore::open_public(folder)?)),
            Self::Token(token) => token.open_public(folder),
        }
    }
}

#[cfg(feature = "pkcs11")]
impl TokenSettings {
    /// The token as the keystore wants it, to use keys. Wrapped keys lie in `folder`.
    ///
    /// # Errors
    /// Those of [`Passphrase::from_file`].
    pub fn config(&self, folder: Option<PathBuf>) -> Result<Pkcs11Config, KeystoreError> {
        let pin = match &self.pin {
            Pin::File(path) => Passphrase::from_file(path)?,
            Pin::Given(text) => Passphrase::new(text.as_str().to_owned())?,
        };
        Ok(Pkcs11Config { pin: Some(pin), ..self.public_config(folder) })
    }

    /// The same, to look at public parts: no PIN is read.
    pub fn public_config(&self, folder: Option<PathBuf>) -> Pkcs11Config {
        Pkcs11Config { module: self.module.clone(), token_label: self.label.clone(), pin: None, folder }
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Keystore>, KeystoreError> {
        Ok(Box::new(Pkcs11Keystore::open(self.config(Some(folder.to_owned()))?)?))
    }

    fn open_public(&self, folder: &Path) -> Result<Box<dyn Keystore>, KeystoreError> {
        Ok(Box::new(Pkcs11Keystore::open(self.public_config(Some(folder.to_owned())))?))
    }
}

/// A build that leaves tokens out refuses their settings before anything is opened.
#[cfg(not(feature = "pkcs11"))]
impl TokenSettings {
    fn open(&self, _: &Path) -> Result<Box<dyn Keystore>, KeystoreError> {
        Err(self.left_out())
    }

    fn open_public(&self, _: &Path) -> Result<Box<dyn Keystore>, KeystoreError> {
        Err(self.left_out())
    }

    fn left_out(&self) -> KeystoreError {
        let problem =
            crate::TokenProblem::Failed("this program was built without the feature pkcs11".to_owned());
        KeystoreError::Token { token: self.label.clone(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<KeysIn, String> {
        let text_of =
            |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, text)| (*text).to_owned());
        KeysIn::read(text_of)
            .map_err(|problems| problems.iter().map(SettingProblem::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_token_is_named_whole_or_refused_and_its_pin_is_not_shown() {
        assert!(matches!(read(&[("PKCS11_MODULE", "/m.so")]), Ok(KeysIn::Files)));
        let said = read(&[("KEYSTORE", "pkcs11")]).unwrap_err();
        for name in ["PKCS11_MODULE", "PKCS11_TOKEN_LABEL", "PKCS11_PIN_FILE"] {
            assert!(said.contains(name), "{said}");
        }
        let whole = [
            ("KEYSTORE", "pkcs11"),
            ("PKCS11_MODULE", "/m.so"),
            ("PKCS11_TOKEN_LABEL", "node"),
            ("PKCS11_PIN", "secret-pin"),
        ];
        if cfg!(feature = "pkcs11") {
            let shown = format!("{:?}", read(&whole).unwrap());
            assert!(shown.contains("node") && !shown.contains("secret-pin"), "{shown}");
        } else {
            assert!(read(&whole).unwrap_err().contains("built without"));
        }
        let twice = [&whole[..], &[("PKCS11_PIN_FILE", "/pin")]].concat();
        let said = read(&twice).unwrap_err();
        assert!(said.contains("PKCS11_PIN:") && !said.contains("secret-pin"), "{said}");
        assert!(read(&[("KEYSTORE", "usb")]).unwrap_err().contains("KEYSTORE"));
    }
}
