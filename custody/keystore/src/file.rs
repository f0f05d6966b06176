//! The back end of encrypted files: one file a key, mode 0600, in a folder of mode 0700.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ves::ed25519::Signer;
use zeroize::Zeroizing;

use crate::key::public_key_of;
use crate::{
    AgreementKey, Algorithm, Ed25519Signer, KeyInfo, KeyName, Keystore, KeystoreError, Passphrase, pem,
};

/// A key file is a few hundred bytes; anything longer is not read.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;

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
        for path in key_files(folder)? {
            refuse_wide_mode(&path, 0o600)?;
        }
        Ok(())
    }

    /// Refuses a passphrase that opens none of the keys that are there: keys of one folder share theirs, and a key made
    /// under a mistyped one would be lost.
    fn refuse_other_passphrase(&self, passphrase: &Passphrase) -> Result<(), KeystoreError> {
        let mut files = key_files(&self.folder)?;
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
        let passphrase =
            self.passphrase.as_ref().ok_or_else(|| KeystoreError::CannotOpen { name: name.clone() })?;
        pem::decrypt(&text, &info, passphrase)
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
        let passphrase =
            self.passphrase.as_ref().ok_or_else(|| KeystoreError::CannotOpen { name: name.clone() })?;
        let path = self.path(name);
        if path.exists() {
            return Err(KeystoreError::Exists { name: name.clone() });
        }
        self.refuse_other_passphrase(passphrase)?;
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(|_| KeystoreError::NoRandomness)?;
        let public_key = public_key_of(algorithm, &secret, name)?;
        let info = KeyInfo { name: name.clone(), algorithm, public_key, labels: labels.clone() };
        let text = pem::encrypt(&info, &secret, passphrase)?;
        match write_new(&path, text.as_bytes()) {
            Ok(()) => Ok(info),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeystoreError::Exists { name: name.clone() })
            }
            Err(source) => Err(KeystoreError::Io { action: "write", path, source }),
        }
    }

    fn list(&self) -> Result<Vec<KeyInfo>, KeystoreError> {
        let mut keys: Vec<KeyInfo> = key_files(&self.folder)?
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
}

fn key_files(folder: &Path) -> Result<Vec<PathBuf>, KeystoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(KeystoreError::io("read", folder))? {
        let path = entry.map_err(KeystoreError::io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_key_file(path: &Path) -> Result<(Zeroizing<String>, KeyInfo), KeystoreError> {
    refuse_wide_mode(path, 0o600)?;
    let length = fs::metadata(path).map_err(KeystoreError::io("read", path))?.len();
    let wrong = |problem| KeystoreError::NotAKeyFile { path: path.to_owned(), problem };
    if length > KEY_FILE_BYTES_MAX {
        return Err(wrong("it is longer than any key"));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(KeystoreError::io("read", path))?);
    let info = pem::read_info(&text).map_err(wrong)?;
    Ok((text, info))
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

fn make_private_folder(folder: &Path) -> Result<(), KeystoreError> {
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

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
