//! Who signs the receipts: a key that was given, or one kept beside a SQLite database.
//!
//! A receipt is worth something as long as its key can be known, so a key that was used is never replaced quietly: every
//! key that signs is recorded in the log under a version of its own, and the one of a SQLite database is made once and
//! kept. A PostgreSQL database has no folder to keep one in, and its instances have to share theirs: in production it
//! has to be given.
//!
//! A key in a token (`KEYSTORE=pkcs11`) is made there once where the database is a SQLite file. Instances of one PostgreSQL
//! database share a token, and its key is made by hand before the first of them starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stateset_keystore::{
    Algorithm, BackEnd, Ed25519Signer, FileKeystore, KeyName, Keystore, KeystoreError, Passphrase,
    refuse_split,
};
use ves::SequencerId;
use ves::ed25519::Signer;
use zeroize::Zeroizing;

use crate::config::{Database, Identity, KeysIn};
use crate::failure::Failure;
use crate::places::keys_of;

/// Name of the key that signs receipts.
pub const SEQUENCER_KEY: &str = "sequencer";
/// Label of its file: the sequencer's id.
pub const SEQUENCER_LABEL: &str = "Sequencer-Id";
/// Label of its file: the version it was first recorded under.
pub const VERSION_LABEL: &str = "Key-Version";
/// Name of the file that holds a passphrase no one chose.
const PASSPHRASE_FILE: &str = "passphrase";

/// The signer of receipts and its name.
pub struct Signing {
    pub sequencer_id: SequencerId,
    pub signer: Arc<dyn Signer>,
    /// What was made now, in sentences.
    pub made: Vec<String>,
    /// What an operator should know of this choice.
    pub warning: Option<String>,
}

/// Finds the signer, or makes one where that is safe.
pub fn signing(identity: &Identity, database: &Database, is_production: bool) -> Result<Signing, Failure> {
    if let Some(seed) = &identity.signing_seed {
        let signer: Arc<dyn Signer> = Arc::new(Ed25519Signer::from_seed(seed, &name())?);
        return Ok(Signing {
            sequencer_id: identity.sequencer_id.unwrap_or_else(|| id_of(&signer.public_key())),
            signer,
            made: Vec::new(),
            warning: None,
        });
    }
    if let KeysIn::Token(token) = &identity.keys_in {
        return in_token(identity, token, database);
    }
    match database {
        Database::Sqlite(file) => kept(identity, &keys_of(file)),
        Database::Postgres(_) if is_production => Err(Failure::input(
            "CONFIGURATION",
            "VES_SEQUENCER_SIGNING_KEY: it is not set, and in production receipts are signed by a key that lasts",
        )
        .hint("make one with `openssl rand -hex 32`, keep it as a secret, and give the same to every instance")),
        Database::Postgres(_) => fleeting(identity),
    }
}

/// A key for this start alone.
fn fleeting(identity: &Identity) -> Result<Signing, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| Failure::failed("NO_RANDOMNESS", error.to_string()))?;
    let signer: Arc<dyn Signer> = Arc::new(Ed25519Signer::from_seed(&seed, &name())?);
    Ok(Signing {
        sequencer_id: identity.sequencer_id.unwrap_or_else(|| id_of(&signer.public_key())),
        signer,
        made: Vec::new(),
        warning: Some(
            "VES_SEQUENCER_SIGNING_KEY is not set: this start signs receipts with a key of its own, recorded in the \
             log under a new version; clients that pinned another refuse them"
                .to_owned(),
        ),
    })
}

/// The key kept in `folder`, made where there is none.
fn kept(identity: &Identity, folder: &Path) -> Result<Signing, Failure> {
    refuse_split(folder, SEQUENCER_KEY, BackEnd::File)?;
    let mut made = Vec::new();
    let passphrase = passphrase(identity, folder, &mut made)?;
    let keys = FileKeystore::open(folder, passphrase)?;
    found_or_made(identity, &keys, &folder.join("sequencer.pem").display().to_string(), made)
}

/// The key in a token.
#[cfg(feature = "pkcs11")]
fn in_token(
    identity: &Identity,
    token: &crate::config::TokenSettings,
    database: &Database,
) -> Result<Signing, Failure> {
    let folder = match database {
        Database::Sqlite(file) => Some(keys_of(file)),
        Database::Postgres(_) => None,
    };
    if let Some(folder) = &folder {
        refuse_split(folder, SEQUENCER_KEY, BackEnd::Pkcs11)?;
    }
    let may_make = folder.is_some();
    let keys = stateset_keystore::Pkcs11Keystore::open(token.config(folder)?)?;
    if !may_make && matches!(keys.info(&name()), Err(KeystoreError::NotFound { .. })) {
        let problem = format!("the token {} holds no key {SEQUENCER_KEY} to sign receipts with", token.label);
        return Err(Failure::input("NO_KEY", problem).hint(
            "make it once with `stateset key generate sequencer` and the same settings; then let every instance use this token",
        ));
    }
    let place = format!("{SEQUENCER_KEY} in the token {}", token.label);
    found_or_made(identity, &keys, &place, Vec::new())
}

#[cfg(not(feature = "pkcs11"))]
fn in_token(_: &Identity, _: &crate::config::TokenSettings, _: &Database) -> Result<Signing, Failure> {
    Err(Failure::input(
        "CONFIGURATION",
        "KEYSTORE: this program was built without the feature pkcs11; use file",
    ))
}

/// The key in its keystore, made where there is none.
fn found_or_made(
    identity: &Identity,
    keys: &dyn Keystore,
    place: &str,
    mut made: Vec<String>,
) -> Result<Signing, Failure> {
    let info = match keys.info(&name()) {
        Ok(info) => info,
        Err(KeystoreError::NotFound { .. }) => {
            let id = match identity.sequencer_id {
                Some(id) => id,
                None => SequencerId::random(random()?),
            };
            let labels = [(SEQUENCER_LABEL, id.to_string()), (VERSION_LABEL, "1".to_owned())];
            let labels: BTreeMap<String, String> =
                labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
            made.push(format!("made the key that signs receipts, {place}"));
            keys.generate(&name(), Algorithm::Ed25519, &labels)?
        }
        Err(error) => return Err(error.into()),
    };
    let labelled = info.labels.get(SEQUENCER_LABEL).and_then(|text| text.parse().ok());
    Ok(Signing {
        sequencer_id: identity.sequencer_id.or(labelled).unwrap_or_else(|| id_of(&info.public_key)),
        signer: keys.signer(&name())?,
        made,
        warning: None,
    })
}

fn passphrase(identity: &Identity, folder: &Path, made: &mut Vec<String>) -> Result<Passphrase, Failure> {
    if let Some(text) = &identity.passphrase {
        return Ok(Passphrase::new(text.as_str().to_owned())?);
    }
    let file = folder.join(PASSPHRASE_FILE);
    if file.exists() {
        return Ok(Passphrase::from_file(&file)?);
    }
    if folder.join("sequencer.pem").exists() {
        return Err(Failure::input(
            "NO_PASSPHRASE",
            format!("nothing opens the keys in {}", folder.display()),
        )
        .hint("set STATESET_PASSPHRASE, or give the key itself in VES_SEQUENCER_SIGNING_KEY"));
    }
    make_private_folder(folder)?;
    let passphrase = Passphrase::random()?;
    passphrase.keep_in_file(&file)?;
    made.push(format!(
        "no passphrase was given, so a random one opens the keys; it lies beside them in {}, and whoever reads that \
         file can use the keys",
        file.display()
    ));
    Ok(passphrase)
}

fn make_private_folder(folder: &Path) -> Result<(), Failure> {
    crate::places::make_folder_of(&folder.join(PASSPHRASE_FILE))
}

/// An id that goes with a key wherever it is used: a version 8 UUID of its first bytes (RFC 9562, section 5.8).
fn id_of(public_key: &[u8; 32]) -> SequencerId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&public_key[..16]);
    SequencerId::from_bytes(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
}

fn name() -> KeyName {
    SEQUENCER_KEY.parse().expect("it is a key name")
}

fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::failed("NO_RANDOMNESS", error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(seed: u8) -> Identity {
        Identity { signing_seed: Some(Zeroizing::new([seed; 32])), ..Identity::default() }
    }

    #[test]
    fn the_key_of_a_file_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("log.db"));
        let first = signing(&Identity::default(), &database, true).unwrap();
        assert_eq!(first.made.len(), 2);
        let again = signing(&Identity::default(), &database, true).unwrap();
        assert!(again.made.is_empty());
        assert_eq!(first.sequencer_id, again.sequencer_id);
        assert_eq!(first.signer.public_key(), again.signer.public_key());

        let chosen = SequencerId::from_bytes([7; 16]);
        let pinned = Identity { sequencer_id: Some(chosen), ..Identity::default() };
        assert_eq!(signing(&pinned, &database, true).unwrap().sequencer_id, chosen);
    }

    #[test]
    fn postgres_needs_a_lasting_key_in_production_and_one_key_has_one_name() {
        let database = Database::Postgres(Zeroizing::new("postgres://db/x".to_owned()));
        let refused = signing(&Identity::default(), &database, true).err().unwrap();
        assert!(
            refused.message.contains("VES_SEQUENCER_SIGNING_KEY") && refused.exit == 2,
            "{}",
            refused.message
        );
        assert!(signing(&Identity::default(), &database, false).unwrap().warning.is_some());

        let (one, two) =
            (signing(&given(1), &database, true).unwrap(), signing(&given(1), &database, true).unwrap());
        assert_eq!(one.sequencer_id, two.sequencer_id);
        assert_ne!(one.sequencer_id, signing(&given(2), &database, true).unwrap().sequencer_id);
    }
}
