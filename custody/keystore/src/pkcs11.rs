//! The back end of hardware tokens, by PKCS#11 (OASIS, 2.40 and 3.x).
//!
//! Signing keys are made in the token and never leave it. Decryption keys are files that a key in the token encrypts: opening
//! a payload needs the X25519 secret in memory, and common tokens have no X25519 (SoftHSM 2 of Debian 12 among them). Such a
//! key is shown as `wrapped`, not as `in-hsm`.

mod objects;
mod signer;
mod token;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ves::ed25519::Signer;
use zeroize::Zeroizing;

use self::signer::TokenSigner;
use self::token::Token;
use crate::backup::{self, Backup, Section};
use crate::file::{files_of, make_private_folder, read_private, refuse_wide_mode, sync_folder, write_new};
use crate::key::public_key_of;
use crate::{
    AgreementKey, Algorithm, KeyInfo, KeyName, KeyPlace, Keystore, KeystoreError, Passphrase, TokenProblem,
    seal, wrapped,
};

/// Which token, and how it is opened.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The module: a shared library of the token's maker.
    pub module: PathBuf,
    /// Label of the token, as it was initialised.
    pub token_label: String,
    /// The user's PIN. `None` reads the public parts only.
    pub pin: Option<Passphrase>,
    /// Where wrapped decryption keys lie; `None` has none.
    pub folder: Option<PathBuf>,
}

/// Keys in a token.
pub struct Pkcs11Keystore {
    token: Arc<Token>,
    folder: Option<PathBuf>,
}

impl Pkcs11Keystore {
    /// Connects to the token, and logs in where a PIN was given.
    ///
    /// # Errors
    /// [`KeystoreError::Token`] says what is wrong; [`KeystoreError::ModeTooWide`] when others may read the folder.
    pub fn open(config: Pkcs11Config) -> Result<Self, KeystoreError> {
        if let Some(folder) = config.folder.as_ref().filter(|folder| folder.is_dir()) {
            refuse_wide_mode(folder, 0o700)?;
            for path in files_of(folder, "wrapped")? {
                refuse_wide_mode(&path, 0o600)?;
            }
        }
        let token = Token::new(config.module, config.token_label, config.pin);
        token.repeatable(|session, _| Ok(session.get_session_info().map(drop)?))?;
        Ok(Self { token: Arc::new(token), folder: config.folder })
    }

    fn need_pin(&self) -> Result<(), KeystoreError> {
        match self.token.has_pin() {
            true => Ok(()),
            false => Err(self.token.problem(TokenProblem::NoPin)),
        }
    }

    fn in_token(&self, name: &KeyName) -> Result<KeyInfo, KeystoreError> {
        self.token.repeatable(|session, _| objects::info(session, name))
    }

    fn path(&self, name: &KeyName) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{name}.wrapped")))
    }

    /// The file of a wrapped key; `None` where there is none.
    fn wrapped_file(&self, name: &KeyName) -> Result<Option<WrappedFile>, KeystoreError> {
        let Some(path) = self.path(name).filter(|path| path.is_file()) else { return Ok(None) };
        let text = read_private(&path)?;
        let wrong = |problem| KeystoreError::NotAKeyFile { path: path.clone(), problem };
        let (info, sealed) = wrapped::read_wrapped_file(&text).map_err(wrong)?;
        match info.name == *name {
            true => Ok(Some(WrappedFile { path, text, info, sealed: sealed.to_vec() })),
            false => Err(wrong("its Name line is not its file name")),
        }
    }

    fn wrapped_files(&self) -> Result<Vec<WrappedFile>, KeystoreError> {
        let Some(folder) = self.folder.as_ref().filter(|folder| folder.is_dir()) else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for path in files_of(folder, "wrapped")? {
            let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let wrong = |problem| KeystoreError::NotAKeyFile { path: path.clone(), problem };
            let name = name.ok_or_else(|| wrong("its name is no key name"))?;
            files.extend(self.wrapped_file(&name)?);
        }
        files.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        Ok(files)
    }

    fn refuse_taken(&self, name: &KeyName) -> Result<(), KeystoreError> {
        match self.info(name) {
            Ok(_) => Err(KeystoreError::Exists { name: name.clone() }),
            Err(KeystoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn generate_wrapped(
        &self,
        name: &KeyName,
        algorithm: Algorithm,
        labels: &BTreeMap<String, String>,
    ) -> Result<KeyInfo, KeystoreError> {
        let no_folder = || KeystoreError::NoFolder { name: name.clone() };
        let (folder, path) =
            (self.folder.as_ref().ok_or_else(no_folder)?, self.path(name).ok_or_else(no_folder)?);
        make_private_folder(folder)?;
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(|_| KeystoreError::NoRandomness)?;
        let public_key = public_key_of(algorithm, &secret, name)?;
        let (name, labels) = (name.clone(), labels.clone());
        let info = KeyInfo { name, algorithm, public_key, place: KeyPlace::Wrapped, labels };
        let sealed = self.seal(&secret, &seal::wrapped_key_aad(&info))?;
        let text = wrapped::write(&info, &sealed)?;
        self.write(&path, &text, &info.name)?;
        Ok(info)
    }

    fn write(&self, path: &std::path::Path, text: &str, name: &KeyName) -> Result<(), KeystoreError> {
        match write_new(path, text.as_bytes()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(KeystoreError::Exists { name: name.clone() })
            }
            Err(source) => Err(KeystoreError::Io { action: "write", path: path.to_owned(), source }),
        }
    }

    /// Sealed by the token's wrapping key, which is made where there is none.
    fn seal(&self, secret: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        self.need_pin()?;
        if self.token.repeatable(|session, _| objects::wrapping_key(session))?.is_none() {
            self.token.once(objects::make_wrapping_key)?;
        }
        let sealed = self.token.repeatable(|session, _| match objects::wrapping_key(session)? {
            Some(key) => objects::seal(session, key, secret, aad),
            None => Ok(None),
        })?;
        sealed.ok_or_else(|| self.token.problem(TokenProblem::Lacks("AES-GCM of the usual form")))
    }

    fn unseal(&self, sealed: &[u8], aad: &[u8]) -> Result<Option<Zeroizing<[u8; 32]>>, KeystoreError> {
        self.need_pin()?;
        self.token.repeatable(|session, _| match objects::wrapping_key(session)? {
            Some(key) => objects::open(session, key, sealed, aad),
            None => Ok(None),
        })
    }

    /// The secret of a wrapped key, which was the one of its public key.
    fn open_wrapped(&self, info: &KeyInfo, sealed: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let cannot_open = || KeystoreError::CannotOpen { name: info.name.clone() };
        let secret = self.unseal(sealed, &seal::wrapped_key_aad(info))?.ok_or_else(cannot_open)?;
        match public_key_of(info.algorithm, &secret, &info.name)? == info.public_key {
            true => Ok(secret),
            false => Err(cannot_open()),
        }
    }
}

struct WrappedFile {
    path: PathBuf,
    text: Zeroizing<String>,
    info: KeyInfo,
    sealed: Vec<u8>,
}

impl Keystore for Pkcs11Keystore {
    fn backing(&self) -> String {
        format!("the token {} through {}", self.token.label(), self.token.module().display())
    }

    fn generate(
        &self,
        name: &KeyName,
        algorithm: Algorithm,
        labels: &BTreeMap<String, String>,
    ) -> Result<KeyInfo, KeystoreError> {
        self.need_pin()?;
        self.refuse_taken(name)?;
        match algorithm {
            Algorithm::X25519 => self.generate_wrapped(name, algorithm, labels),
            Algorithm::Ed25519 => {
                let info = self
                    .token
                    .once(|session| objects::generate(session, self.token.label(), name, labels))?;
                // A key that can't sign is noticed now, not at the first event.
                self.signer(name)?;
                Ok(info)
            }
        }
    }

    fn list(&self) -> Result<Vec<KeyInfo>, KeystoreError> {
        let mut keys = self.token.repeatable(|session, _| objects::list(session))?;
        keys.extend(self.wrapped_files()?.into_iter().map(|file| file.info));
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    fn info(&self, name: &KeyName) -> Result<KeyInfo, KeystoreError> {
        match self.wrapped_file(name)? {
            Some(file) => Ok(file.info),
            None => self.in_token(name),
        }
    }

    fn signer(&self, name: &KeyName) -> Result<Arc<dyn Signer>, KeystoreError> {
        self.need_pin()?;
        let info = self.info(name)?;
        if info.algorithm != Algorithm::Ed25519 {
            let (found, wanted) = (info.algorithm, Algorithm::Ed25519);
            return Err(KeystoreError::WrongAlgorithm { name: name.clone(), found, wanted });
        }
        Ok(Arc::new(TokenSigner::open(self.token.clone(), name.clone(), info.public_key)?))
    }

    fn agreement_key(&self, name: &KeyName) -> Result<AgreementKey, KeystoreError> {
        match self.wrapped_file(name)? {
            Some(file) => Ok(AgreementKey::new(*self.open_wrapped(&file.info, &file.sealed)?)),
            None => {
                let found = self.in_token(name)?.algorithm;
                Err(KeystoreError::WrongAlgorithm { name: name.clone(), found, wanted: Algorithm::X25519 })
            }
        }
    }

    fn destroy(&self, name: &KeyName) -> Result<(), KeystoreError> {
        self.need_pin()?;
        match self.wrapped_file(name)? {
            Some(file) => {
                fs::remove_file(&file.path).map_err(KeystoreError::io("remove", &file.path))?;
                let folder = file.path.parent().expect("a file in the folder");
                sync_folder(folder).map_err(KeystoreError::io("sync", folder))
            }
            None => self.token.once(|session| objects::destroy(session, name)),
        }
    }

    fn rename(&self, from: &KeyName, to: &KeyName) -> Result<(), KeystoreError> {
        self.need_pin()?;
        self.refuse_taken(to)?;
        let Some(file) = self.wrapped_file(from)? else {
            return self.token.once(|session| objects::rename(session, from, to));
        };
        let info = KeyInfo { name: to.clone(), ..file.info };
        let path = self.path(to).expect("there is a folder, since it holds a file");
        self.write(&path, &wrapped::write(&info, &file.sealed)?, to)?;
        self.destroy(from)
    }

    fn wrap(&self, data_key: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        self.seal(data_key, &seal::data_key_aad(context))
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        self.unseal(wrapped, &seal::data_key_aad(context))?.ok_or(KeystoreError::CannotUnwrap)
    }

    fn backup(&self) -> Result<Backup, KeystoreError> {
        let files = self.wrapped_files()?;
        let in_token = self.token.repeatable(|session, _| objects::list(session))?;
        Ok(Backup {
            text: backup::join(files.iter().map(|file| file.text.as_str())),
            held: files.into_iter().map(|file| file.info.name).collect(),
            left_out: in_token.into_iter().map(|info| info.name).collect(),
        })
    }

    fn restore(&self, backup: &str) -> Result<Vec<KeyInfo>, KeystoreError> {
        let mut missing = Vec::new();
        for section in backup::split(backup)? {
            let Section::Wrapped(wrapped) = section else {
                return Err(KeystoreError::NotABackup {
                    problem: "its keys are under a passphrase, and this keystore is a token: keys are made in a token, not put into it",
                });
            };
            let (info, sealed) = *wrapped;
            self.open_wrapped(&info, &sealed)?;
            match self.info(&info.name) {
                Ok(there) if there.public_key == info.public_key => {}
                Ok(_) => return Err(KeystoreError::Exists { name: info.name }),
                Err(KeystoreError::NotFound { .. }) => missing.push((info, sealed)),
                Err(error) => return Err(error),
            }
        }
        let mut restored = Vec::new();
        for (info, sealed) in missing {
            let no_folder = || KeystoreError::NoFolder { name: info.name.clone() };
            make_private_folder(self.folder.as_ref().ok_or_else(no_folder)?)?;
            let path = self.path(&info.name).ok_or_else(no_folder)?;
            self.write(&path, &wrapped::write(&info, &sealed)?, &info.name)?;
            restored.push(info);
        }
        Ok(restored)
    }
}
