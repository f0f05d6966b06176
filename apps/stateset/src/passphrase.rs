//! Where the passphrase of the keys comes from, in this order: `--passphrase-file`, `STATESET_PASSPHRASE`,
//! `keys/passphrase` in the data directory, a prompt at a terminal.

use std::io::IsTerminal as _;
use std::path::Path;

use stateset_keystore::{KeystoreError, Passphrase};

use crate::data_dir::DataDir;
use crate::error::CliError;

/// The variable that may hold it.
pub const VARIABLE: &str = "STATESET_PASSPHRASE";

/// A passphrase from a file named on the command line or from the environment.
pub fn given(file: Option<&Path>) -> Result<Option<Passphrase>, CliError> {
    if let Some(path) = file {
        return Passphrase::from_file(path).map(Some).map_err(|error| match error {
            KeystoreError::Io { .. } => CliError::input("BAD_PASSPHRASE_FILE", error.to_string()),
            error => error.into(),
        });
    }
    match std::env::var(VARIABLE) {
        Ok(text) => Ok(Some(Passphrase::new(text)?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(CliError::input("BAD_PASSPHRASE", format!("{VARIABLE} is not UTF-8"))),
    }
}

/// The same, else the file beside the keys.
pub fn without_asking(file: Option<&Path>, data: &DataDir) -> Result<Option<Passphrase>, CliError> {
    match given(file)? {
        Some(passphrase) => Ok(Some(passphrase)),
        None if data.passphrase_file().exists() => Ok(Some(Passphrase::from_file(&data.passphrase_file())?)),
        None => Ok(None),
    }
}

/// The same, else the person at the terminal.
pub fn find(file: Option<&Path>, data: &DataDir) -> Result<Passphrase, CliError> {
    if let Some(passphrase) = without_asking(file, data)? {
        return Ok(passphrase);
    }
    ask("Passphrase of the keys: ")
}

/// The same for a key that is made: for the first one the person is asked twice, as no key shows a slip.
pub fn find_for_new(file: Option<&Path>, data: &DataDir) -> Result<Passphrase, CliError> {
    if let Some(passphrase) = without_asking(file, data)? {
        return Ok(passphrase);
    }
    let mut entries = std::fs::read_dir(data.keys()).into_iter().flatten().flatten();
    if entries.any(|entry| entry.path().extension().is_some_and(|extension| extension == "pem")) {
        return ask("Passphrase of the keys: ");
    }
    let (first, again) = (ask("New passphrase of the keys: ")?, ask("The same again: ")?);
    if first != again {
        return Err(CliError::input("BAD_PASSPHRASE", "the two passphrases differ"));
    }
    Ok(first)
}

fn ask(question: &str) -> Result<Passphrase, CliError> {
    let terminal = console::Term::stderr();
    if !std::io::stdin().is_terminal() || !terminal.is_term() {
        return Err(CliError::input("NO_PASSPHRASE", "no passphrase for the keys was given")
            .hint(format!("use --passphrase-file or {VARIABLE}")));
    }
    let asked = terminal.write_str(question).and_then(|()| terminal.read_secure_line());
    let text =
        asked.map_err(|error| CliError::failure("IO", format!("cannot read the passphrase: {error}")))?;
    Ok(Passphrase::new(text)?)
}
