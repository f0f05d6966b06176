//! Where the keys of a node live: in encrypted files, or in a token. The part of the settings that every program shares.

use std::ffi::OsString;
use std::path::PathBuf;

#[cfg(feature = "pkcs11")]
use stateset_keystore::{Passphrase, Pkcs11Config};
use zeroize::Zeroizing;

use super::gather::Gathered;
use super::setting::{Kind, Setting};
use super::settings::is_word;
use super::value::check;
use super::{Problem, gather};

const WITHOUT: &str = "keys in a token";

/// In the order of the documentation.
pub(super) const TOKEN: &[Setting] = &[
    of_tokens(Setting::new(
        "KEYSTORE",
        "file",
        Kind::Word(&["file", "pkcs11"]),
        "Where the keys of this node live: in encrypted files, or in a token reached by PKCS#11",
    )),
    of_tokens(Setting::new("PKCS11_MODULE", "", Kind::Text, "File of the token's module, a shared library")),
    of_tokens(Setting::new(
        "PKCS11_TOKEN_LABEL",
        "",
        Kind::Text,
        "Label of the token, as it was initialised",
    )),
    of_tokens(Setting::new(
        "PKCS11_PIN_FILE",
        "",
        Kind::Text,
        "File of mode 0600 whose first line is the PIN of the token's user",
    )),
    of_tokens(Setting::new("PKCS11_PIN", "", Kind::Text, "The PIN itself, where there is no file").secret()),
];

/// A setting of tokens, which a build may leave out.
const fn of_tokens(setting: Setting) -> Setting {
    if cfg!(feature = "pkcs11") { setting } else { setting.not_yet(WITHOUT) }
}

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

impl KeysIn {
    /// Reads the variables about the token; others are left alone. `keystore` stands above the variable of that name.
    ///
    /// # Errors
    /// Every problem, not only the first.
    pub fn read(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        keystore: Option<&str>,
    ) -> Result<Self, Vec<Problem>> {
        let is_ours = |name: &OsString| TOKEN.iter().any(|setting| name.to_str() == Some(setting.name));
        let given = keystore.map(|word| (OsString::from("KEYSTORE"), OsString::from(word)));
        let environment = environment.into_iter().filter(|(name, _)| is_ours(name)).chain(given);
        let gathered = gather(environment, None)?;
        let forms = TOKEN.iter().filter_map(|setting| {
            let problem = check(setting, gathered.set(setting.name)?).err()?;
            Some(Problem::new(setting.name, &problem))
        });
        let mut problems: Vec<Problem> = forms.collect();
        let keys = Self::of(&gathered, &mut problems);
        if problems.is_empty() { Ok(keys) } else { Err(problems) }
    }

    /// Of values whose forms were checked.
    pub(super) fn of(gathered: &Gathered, problems: &mut Vec<Problem>) -> Self {
        if !is_word(gathered, "KEYSTORE", "pkcs11") {
            return Self::Files;
        }
        let mut refuse = |name: &str, what: &str| problems.push(Problem::new(name, what));
        if !cfg!(feature = "pkcs11") {
            refuse("KEYSTORE", "this program was built without the feature pkcs11; use file");
        }
        if gathered.set("VES_SEQUENCER_SIGNING_KEY").is_some() {
            refuse(
                "VES_SEQUENCER_SIGNING_KEY",
                "it gives a key in the configuration, while KEYSTORE=pkcs11 keeps the key sequencer in the token; the keys \
                 of a node live in one back end: leave one of the two out",
            );
        }
        let mut needed = |name: &str, what: &str| match gathered.set(name) {
            Some(text) => text.trim().to_owned(),
            None => {
                refuse(name, &format!("KEYSTORE=pkcs11 needs it: {what}"));
                String::new()
            }
        };
        let module = PathBuf::from(needed("PKCS11_MODULE", "the file of the token's module"));
        let label = needed("PKCS11_TOKEN_LABEL", "the label of the token");
        let pin = match (gathered.set("PKCS11_PIN_FILE"), gathered.set("PKCS11_PIN")) {
            (Some(file), None) => Pin::File(PathBuf::from(file.trim())),
            (None, Some(pin)) => Pin::Given(Zeroizing::new(pin.to_owned())),
            (Some(_), Some(_)) => {
                refuse("PKCS11_PIN", "PKCS11_PIN_FILE gives the PIN too; leave one of the two out");
                Pin::Given(Zeroizing::default())
            }
            (None, None) => {
                refuse(
                    "PKCS11_PIN_FILE",
                    "KEYSTORE=pkcs11 needs it, or PKCS11_PIN: the PIN of the token's user",
                );
                Pin::Given(Zeroizing::default())
            }
        };
        Self::Token(TokenSettings { module, label, pin })
    }
}

#[cfg(feature = "pkcs11")]
impl TokenSettings {
    /// The token as the keystore wants it, to use keys. Wrapped keys lie in `folder`.
    pub fn config(&self, folder: Option<PathBuf>) -> Result<Pkcs11Config, stateset_keystore::KeystoreError> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<KeysIn, String> {
        let environment = set.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        KeysIn::read(environment, None)
            .map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
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
