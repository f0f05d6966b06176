//! What lies beside a backup: what it is, and how to know that it is still that.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stateset_sequencer::{Clock as _, SystemClock};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::places::keys_of;
use ves::{Digest, SequencerId};
use ves_wire::{Hex, Rfc3339};

use super::{Contents, Copied};
use crate::args::Target;

const FORMAT: &str = "stateset-backup-1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub made_at: Rfc3339,
    /// Where the log was, without secrets.
    pub database: String,
    pub bytes: u64,
    /// Of the backup's file.
    pub sha256: Digest,
    #[serde(flatten)]
    pub contents: Contents,
    pub keys: Vec<SequencerKey>,
    /// Where the key that signs receipts lies. It is no part of a backup of the log.
    pub private_keys: Option<String>,
}

/// A key by which receipts of the backup are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencerKey {
    pub key_version: u32,
    pub sequencer_id: SequencerId,
    pub public_key: Hex<32>,
}

impl Manifest {
    /// The manifest's place beside a backup.
    pub fn beside(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".json");
        PathBuf::from(name)
    }

    /// Describes the backup in `file` by what is really in it.
    pub fn of(target: &Target, file: &Path, copied: &Copied) -> Result<Self, Failure> {
        let backup = Target {
            database: stateset_sequencer_app::config::Database::Sqlite(file.to_owned()),
            ..target.clone()
        };
        let reader = backup.reader()?;
        let keys = reader.sequencer_keys()?.into_iter().map(|key| SequencerKey {
            key_version: key.key_version,
            sequencer_id: key.sequencer_id,
            public_key: Hex(key.public_key),
        });
        let private = target
            .database
            .file()
            .map(|file| keys_of(file).join("sequencer.pem"))
            .filter(|path| path.exists());
        Ok(Self {
            format: FORMAT.to_owned(),
            made_at: Rfc3339(SystemClock.now()),
            database: target.database.to_string(),
            bytes: copied.bytes,
            sha256: copied.sha256,
            contents: Contents::read(reader.as_ref())?,
            keys: keys.collect(),
            private_keys: private.map(|path| path.display().to_string()),
        })
    }

    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("a manifest serialises to JSON") + "\n";
        let mut draft = path.as_os_str().to_owned();
        draft.push(".partial");
        let draft = PathBuf::from(draft);
        let mut options = fs::File::options();
        options.create(true).truncate(true).write(true);
        // As closed as the backup that it describes.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&draft)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .and_then(|()| fs::rename(&draft, path));
        written.map_err(|error| Failure::io("write", path, &error))
    }

    /// `None` where there is none: the file alone is a backup too.
    pub fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io("read", path, &error)),
        };
        let wrong = |problem: String| {
            Failure::input("BAD_MANIFEST", format!("{}: {problem}", path.display()))
                .hint("a backup is restored without it when the file is taken away; then nothing tells whether it changed")
        };
        let manifest: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match manifest.format == FORMAT {
            true => Ok(Some(manifest)),
            false => Err(wrong(format!("the format {:?} is not {FORMAT:?}", manifest.format))),
        }
    }
}
