//! The back end of encrypted files: one file a key, mode 0600, in a folder of mode 0700.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ves::ed25519::Signer;
use zeroize::Zeroizing;

use crate::backup::{self, Backup, Section, WRAPPING_KEY};
use crate::key::public_key_of;
use crate::{
    AgreementKey, Algorithm, Ed25519Signer, KeyInfo, KeyName, KeyPlace, Keystore, KeystoreError, Passphrase,
    pem, seal,
};

/// A key file is a few hundred bytes; anything longer is not read.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;
/// Name of the file of the key that wraps data keys. It is no key of the list: it has no public part.
const WRAPPING_KEY_FILE: &str = "wrapping-key";
/// DER of a version 1 PrivateKeyInfo of a key for AES-256-GCM (2.16.840.1.101.3.4.1.46) up to its 32 secret bytes.
const WRAPPING_KEY_DER: [u8; 20] = [
    0x30, 0x32, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01,
    0x2e, 0x04, 0x20,
];

/// Keys as `NAME.pem` in one folder, each encrypted under the same passphrase.
pub struct FileKeystore {
    folder: PathBuf,
    /// `None` reads the public parts only.
    passphrase: Option<Passphrase>,
}

impl FileKeystore {
    /// Opens `folder`, making it with mode 0700 where it is missing.
    ///
    /// # Errors
    /// [`KeystoreError::ModeTooWide`] when others may enter the folder or read a file in it.
    pub fn open(folder: &Path, passphrase: Passphrase) -> Result<Self, KeystoreError> {
        make_private_folder(folder)?;
        Self::check(folder)?;
        Ok(Self { folder: folder.to_owned(), passphrase: Some(passphrase) })
    }

    /// Opens an existing folder to look at public parts; every use of a secret is refused.
    pub fn open_public(folder: &Path) -> Result<Self, KeystoreError> {
        Self::check(folder)?;
        Ok(Self { folder: folder.to_owned(), passphrase: None })
    }

    fn check(folder: &Path) -> Result<(), KeystoreError> {
        refuse_wide_mode(folder, 0o700)?;
        for path in files_of(folder, "pem")? {
            refuse_wide_mode(&path, 0o600)?;
        }
        Ok(())
    }

    fn passphrase(&self, name: &KeyName) -> Result<&Passphrase, KeystoreError> {
        self.passphrase.as_ref().ok_or_else(|| KeystoreError::CannotOpen { name: name.clone() })
    }

    /// The key that wraps data keys; `None` where there is none yet.
    fn wrapping_key(&self) -> Result<Option<Zeroizing<[u8; 32]>>, KeystoreError> {
        let path = self.folder.join(WRAPPING_KEY_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = read_private(&path)?;
        let passphrase = self.passphrase.as_ref().ok_or(KeystoreError::CannotUnwrap)?;
        let key = pem::open_block(&text, &WRAPPING_KEY_DER, passphrase);
        key.map(Some).ok_or(KeystoreError::CannotUnwrap)
    }

    /// The same, made where there is none.
    fn wrapping_key_or_new(&self) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        if let Some(key) = self.wrapping_key()? {
            return Ok(key);
        }
        let passphrase = self.passphrase.as_ref().ok_or(KeystoreError::CannotUnwrap)?;
        self.refuse_other_passphrase(passphrase)?;
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(|_| KeystoreError::NoRandomness)?;
        let block = pem::seal_block(&WRAPPING_KEY_DER, &key, passphrase)?;
        let text = WRAPPING_KEY.to_owned() + &block;
        let path = self.folder.join(WRAPPING_KEY_FILE);
        match write_new(&path, text.as_bytes()) {
            Ok(()) => Ok(key),
            // Another process was first: its key is the one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.wrapping_key()?.ok_or(KeystoreError::CannotUnwrap)
            }
            Err(source) => Err(KeystoreError::Io { action: "write", path, source }),
        }
    }

    /// What a section of a backup would become, after it was opened: a key that could never be used is not put back.
    fn to_restore(&self, section: &Section<'_>) -> Result<Option<(PathBuf, String)>, KeystoreError> {
        match section {
            Section::Wrapped(_) => Err(KeystoreError::NotABackup {
                problem: "its keys were wrapped by a token, and this keystore is of files",
            }),
            Section::File { info, text } => {
                pem::decrypt(text, info, self.passphrase(&info.name)?)?;
                match self.info(&info.name) {
                    Ok(there) if there.public_key == info.public_key => Ok(None),
                    Ok(_) => Err(KeystoreError::Exists { name: info.name.clone() }),
                    Err(KeystoreError::NotFound { .. }) => {
                        Ok(Some((self.path(&info.name), (*text).to_owned())))
                    }
                    Err(error) => Err(error),
                }
            }
            Section::WrappingKey { text } => {
                let passphrase = self.passphrase.as_ref().ok_or(KeystoreError::CannotUnwrap)?;
                let key = pem::open_block(text, &WRAPPING_KEY_DER, passphrase);
                let key = key.ok_or(KeystoreError::CannotUnwrap)?;
                match self.wrapping_key()? {
                    Some(there) if there == key => Ok(None),
                    Some(_) => Err(KeystoreError::NotABackup {
                        problem: "another key wraps data keys here; move the file wrapping-key away first",
                    }),
                    None => Ok(Some((self.folder.join(WRAPPING_KEY_FILE), (*text).to_owned()))),
                }
            }
        }
    }

    /// Refuses a passphrase that opens none of the keys that are there: keys of one folder share theirs, and a key made
    /// under a mistyped one would be lost.
    fn refuse_other_passphrase(&self, passphrase: &Passphrase) -> Result<(), KeystoreError> {
        let mut files = files_of(&self.folder, "pem")?;
        files.sort();
        let mut refused = None;
        for path in files {
            let (text, info) = read_key_file(&path)?;
            match pem::decrypt(&text, &info, passphrase) {
                Ok(_) => return Ok(()),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn path(&self, name: &KeyName) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    fn text(&self, name: &KeyName) -> Result<(Zeroizing<String>, KeyInfo), KeystoreError> {
        let path = self.path(name);
        if !path.is_file() {
            return Err(KeystoreError::NotFound { name: name.clone() });
        }
        let (text, info) = read_key_file(&path)?;
        if info.name != *name {
            return Err(KeystoreError::NotAKeyFile { path, problem: "its Name line is not its file name" });
        }
        Ok((text, info))
    }

    fn secret(&self, name: &KeyName, wanted: Algorithm) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let (text, info) = self.text(name)?;
        if info.algorithm != wanted {
            return Err(KeystoreError::WrongAlgorithm { name: name.clone(), found: info.algorithm, wanted });
        }
        pem::decrypt(&text, &info, self.passphrase(name)?)
    }
}

impl Keystore for FileKeystore {
    fn backing(&self) -> String {
        format!("encrypted files in {}", self.folder.display())
    }

    fn generate(
        &self,
        name: &KeyName,
        algorithm: Algorithm,
        labels: &BTreeMap<String, String>,
    ) -> Result<KeyInfo, KeystoreError> {
        let passphrase = self.passphrase(name)?;
        let path = self.path(name);
        if path.exists() {
            return Err(KeystoreError::Exists { name: name.clone() });
        }
        self.refuse_other_passphrase(passphrase)?;
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(|_| KeystoreError::NoRandomness)?;
        let public_key = public_key_of(algorithm, &secret, name)?;
        let (name, labels) = (name.clone(), labels.clone());
        let info = KeyInfo { name, algorithm, public_key, place: KeyPlace::File, labels };
        let text = pem::encrypt(&info, &secret, passphrase)?;
        match write_new(&path, text.as_bytes()) {
            Ok(()) => Ok(info),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeystoreError::Exists { name: info.name })
            }
            Err(source) => Err(KeystoreError::Io { action: "write", path, source }),
        }
    }

    fn list(&self) -> Result<Vec<KeyInfo>, KeystoreError> {
        let mut keys: Vec<KeyInfo> = files_of(&self.folder, "pem")?
            .iter()
            .map(|path| Ok(read_key_file(path)?.1))
            .collect::<Result<_, KeystoreError>>()?;
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    fn info(&self, name: &KeyName) -> Result<KeyInfo, KeystoreError> {
        Ok(self.text(name)?.1)
    }

    fn signer(&self, name: &KeyName) -> Result<Arc<dyn Signer>, KeystoreError> {
        let seed = self.secret(name, Algorithm::Ed25519)?;
        Ok(Arc::new(Ed25519Signer::from_seed(&seed, name)?))
    }

    fn agreement_key(&self, name: &KeyName) -> Result<AgreementKey, KeystoreError> {
        Ok(AgreementKey::new(*self.secret(name, Algorithm::X25519)?))
    }

    fn destroy(&self, name: &KeyName) -> Result<(), KeystoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder).map_err(KeystoreError::io("sync", &self.folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(KeystoreError::NotFound { name: name.clone() })
            }
            Err(source) => Err(KeystoreError::Io { action: "remove", path, source }),
        }
    }

    /// The new file is there before the old one goes: a crash in between leaves the key twice, never not at all.
    fn rename(&self, from: &KeyName, to: &KeyName) -> Result<(), KeystoreError> {
        let (text, _) = self.text(from)?;
        let path = self.path(to);
        let renamed = Zeroizing::new(text.replacen(&format!("Name: {from}\n"), &format!("Name: {to}\n"), 1));
        match write_new(&path, renamed.as_bytes()) {
            Ok(()) => self.destroy(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeystoreError::Exists { name: to.clone() })
            }
            Err(source) => Err(KeystoreError::Io { action: "write", path, source }),
        }
    }

    fn wrap(&self, data_key: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        seal::seal(&*self.wrapping_key_or_new()?, data_key, &seal::data_key_aad(context))
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let key = self.wrapping_key()?.ok_or(KeystoreError::CannotUnwrap)?;
        seal::open(&key, wrapped, &seal::data_key_aad(context)).ok_or(KeystoreError::CannotUnwrap)
    }

    fn backup(&self) -> Result<Backup, KeystoreError> {
        let held: Vec<KeyName> = self.list()?.into_iter().map(|info| info.name).collect();
        let mut files = Vec::with_capacity(held.len() + 1);
        for name in &held {
            files.push(self.text(name)?.0);
        }
        let wrapping_key = self.folder.join(WRAPPING_KEY_FILE);
        if wrapping_key.is_file() {
            files.push(read_private(&wrapping_key)?);
        }
        let text = backup::join(files.iter().map(|text| text.as_str()));
        Ok(Backup { text, held, left_out: Vec::new() })
    }

    fn restore(&self, backup: &str) -> Result<Vec<KeyInfo>, KeystoreError> {
        let sections = backup::split(backup)?;
        let mut missing = Vec::new();
        for section in &sections {
            missing.extend(self.to_restore(section)?.map(|file| (section, file)));
        }
        let mut restored = Vec::new();
        for (section, (path, text)) in missing {
            write_new(&path, text.as_bytes()).map_err(KeystoreError::io("write", &path))?;
            if let Section::File { info, .. } = section {
                restored.push(info.clone());
            }
        }
        Ok(restored)
    }
}

/// The files of `folder` with this extension.
pub(crate) fn files_of(folder: &Path, wanted: &str) -> Result<Vec<PathBuf>, KeystoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(KeystoreError::io("read", folder))? {
        let path = entry.map_err(KeystoreError::io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == wanted) {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_key_file(path: &Path) -> Result<(Zeroizing<String>, KeyInfo), KeystoreError> {
    let text = read_private(path)?;
    let wrong = |problem| KeystoreError::NotAKeyFile { path: path.to_owned(), problem };
    let info = pem::read_info(&text).map_err(wrong)?;
    Ok((text, info))
}

/// The text of a file of a key, which only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeystoreError> {
    refuse_wide_mode(path, 0o600)?;
    let length = fs::metadata(path).map_err(KeystoreError::io("read", path))?.len();
    if length > KEY_FILE_BYTES_MAX {
        return Err(KeystoreError::NotAKeyFile {
            path: path.to_owned(),
            problem: "it is longer than any key",
        });
    }
    fs::read_to_string(path).map(Zeroizing::new).map_err(KeystoreError::io("read", path))
}

/// Refuses a path that grants more than `allowed` (platform requirements, section 1).
pub(crate) fn refuse_wide_mode(path: &Path, allowed: u32) -> Result<(), KeystoreError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path).map_err(KeystoreError::io("read", path))?.permissions().mode() & 0o7777;
        if mode & !allowed != 0 {
            return Err(KeystoreError::ModeTooWide { path: path.to_owned(), mode, allowed });
        }
    }
    #[cfg(not(unix))]
    let _ = (path, allowed);
    Ok(())
}

pub(crate) fn make_private_folder(folder: &Path) -> Result<(), KeystoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(KeystoreError::io("make", folder))
}

/// Writes a new file of mode 0600 so that it is whole or absent after a crash: a sibling is written, synced and linked.
///
/// # Errors
/// `AlreadyExists` when `path` is taken: a secret is never overwritten.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut tag = [0; 8];
    getrandom::fill(&mut tag).map_err(|_| io::Error::other("no randomness"))?;
    let draft = folder.join(format!(".draft-{}", ves::hex::encode(&tag)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    // A hard link fails where the name is taken, as a rename would not.
    let placed = written.and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    placed?;
    removed?;
    sync_folder(folder)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
