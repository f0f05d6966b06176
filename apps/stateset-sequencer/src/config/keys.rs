//! Where the keys of a node live: in encrypted files, or in a token. The settings are those that every program shares,
//! [`KeysIn`]; here they stand in the table.

use std::ffi::OsString;

use stateset_keystore::KeysIn;

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

/// Reads the variables about the token; others are left alone. `keystore` stands above the variable of that name.
///
/// # Errors
/// Every problem, not only the first.
pub fn keys_in(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    keystore: Option<&str>,
) -> Result<KeysIn, Vec<Problem>> {
    let is_ours = |name: &OsString| TOKEN.iter().any(|setting| name.to_str() == Some(setting.name));
    let given = keystore.map(|word| (OsString::from("KEYSTORE"), OsString::from(word)));
    let environment = environment.into_iter().filter(|(name, _)| is_ours(name)).chain(given);
    let gathered = gather(environment, None)?;
    let forms = TOKEN.iter().filter_map(|setting| {
        let problem = check(setting, gathered.set(setting.name)?).err()?;
        Some(Problem::new(setting.name, &problem))
    });
    let mut problems: Vec<Problem> = forms.collect();
    let keys = of(&gathered, &mut problems);
    if problems.is_empty() { Ok(keys) } else { Err(problems) }
}

/// Of values whose forms were checked.
pub(super) fn of(gathered: &Gathered, problems: &mut Vec<Problem>) -> KeysIn {
    if !is_word(gathered, "KEYSTORE", "pkcs11") {
        return KeysIn::Files;
    }
    if gathered.set("VES_SEQUENCER_SIGNING_KEY").is_some() {
        problems.push(Problem::new(
            "VES_SEQUENCER_SIGNING_KEY",
            "it gives a key in the configuration, while KEYSTORE=pkcs11 keeps the key sequencer in the token; the keys of a \
             node live in one back end: leave one of the two out",
        ));
    }
    match KeysIn::read(|name| gathered.set(name).map(str::to_owned)) {
        Ok(keys) => keys,
        Err(found) => {
            problems.extend(found.iter().map(|one| Problem::new(one.name, &one.problem)));
            KeysIn::Files
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_table_are_those_that_every_program_reads() {
        let names: Vec<&str> = TOKEN.iter().map(|setting| setting.name).collect();
        assert_eq!(names, KeysIn::SETTINGS);
    }

    #[test]
    fn a_word_given_stands_above_the_variable_and_a_token_is_named_whole() {
        let set = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
        };
        assert!(matches!(keys_in(set(&[("KEYSTORE", "pkcs11")]), Some("file")), Ok(KeysIn::Files)));
        let problems = keys_in(set(&[]), Some("pkcs11")).unwrap_err();
        let said = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
        for name in ["PKCS11_MODULE", "PKCS11_TOKEN_LABEL", "PKCS11_PIN_FILE"] {
            assert!(said.contains(name), "{said}");
        }
        let problems = keys_in(set(&[("KEYSTORE", "usb")]), None).unwrap_err();
        assert!(problems[0].to_string().contains("KEYSTORE"), "{problems:?}");
    }
}
