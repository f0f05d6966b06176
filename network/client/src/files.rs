//! What is in the ledger's folder of a data directory beside the nodes' own data.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stateset_ledger_types::ids::EntityId;

use crate::error::FileError;

/// `node.json`: where the nodes of this machine are called, readable by its owner alone. Written anew at each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostedAt {
    pub url: String,
    /// To be sent as `Authorization: Bearer …`.
    pub token: String,
}

impl HostedAt {
    /// Its place in the ledger's folder.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("node.json")
    }

    /// # Errors
    /// [`FileError`], BAD_FILE for what is no such file.
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        read(&Self::file(folder), "BAD_FILE")
    }

    /// # Errors
    /// [`FileError`].
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let (file, new) = (Self::file(folder), folder.join("node.json.new"));
        let text = serde_json::to_string(self).expect("it is JSON") + "\n";
        // Made anew, so that nobody holds it open from a time when others could read it.
        let _ = fs::remove_file(&new);
        let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        written
            .and_then(|mut out| out.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&new, &file))
            .map_err(|error| FileError::io("write", &file, error))
    }
}

/// One line of the address book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// What the member is called here.
    pub name: String,
    pub entity_id: EntityId,
    /// `HOST:PORT`.
    pub address: String,
}

/// `peers.json`: the part of the address book that people write, by commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeersFile {
    pub peers: Vec<Address>,
}

impl PeersFile {
    /// Its place in a ledger's folder.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("peers.json")
    }

    /// What is written there; nothing where there is no file.
    ///
    /// # Errors
    /// [`FileError`], BAD_PEERS for a file that is no address book.
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        match read(&Self::file(folder), "BAD_PEERS") {
            Err(FileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            read => read,
        }
    }

    /// Enters a member, in place of what stood there of its name or its id.
    pub fn set(&mut self, entry: Address) {
        self.peers.retain(|known| known.name != entry.name && known.entity_id != entry.entity_id);
        self.peers.push(entry);
        self.peers.sort_by(|one, other| one.name.cmp(&other.name));
    }

    pub fn named(&self, name: &str) -> Option<&Address> {
        self.peers.iter().find(|known| known.name == name)
    }
}

/// What is needed of `orgs/ORG.json`.
#[derive(Deserialize)]
struct Org {
    entity_id: EntityId,
}

/// Where the companies of this machine are, one file each.
pub fn orgs(folder: &Path) -> PathBuf {
    folder.join("orgs")
}

/// The companies that were made on this machine, by name.
pub fn org_names(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".json").map(str::to_owned)
    };
    let entries = fs::read_dir(orgs(folder)).into_iter().flatten();
    let mut names: Vec<String> = entries.filter_map(Result::ok).filter_map(name).collect();
    names.sort();
    names
}

/// A company of this machine or of the address book by its name, any member by its id; `None`: there is none of that name.
///
/// # Errors
/// [`FileError`], BAD_ORG and BAD_PEERS for what stands in the files.
pub fn entity(folder: &Path, name: &str) -> Result<Option<EntityId>, FileError> {
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    // A name that leads out of the folder is none of a company.
    if org_names(folder).iter().any(|org| org == name) {
        let org: Org = read(&orgs(folder).join(format!("{name}.json")), "BAD_ORG")?;
        return Ok(Some(org.entity_id));
    }
    Ok(PeersFile::read(folder)?.named(name).map(|peer| peer.entity_id))
}

fn read<T: DeserializeOwned>(file: &Path, code: &'static str) -> Result<T, FileError> {
    let text = fs::read(file).map_err(|error| FileError::io("read", file, error))?;
    serde_json::from_slice(&text).map_err(|error| FileError::bad(code, file, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_company_here_or_of_the_address_book() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let id = |byte: &str| byte.repeat(20).parse::<EntityId>().unwrap();
        fs::create_dir_all(orgs(at)).unwrap();
        fs::write(orgs(at).join("acme.json"), format!(r#"{{"entity_id": "{}"}}"#, "0a".repeat(20))).unwrap();
        fs::write(orgs(at).join("globex.json"), "{}").unwrap();
        let mut peers = PeersFile::default();
        let there = |name: &str, byte| Address {
            name: name.to_owned(),
            entity_id: id(byte),
            address: "127.0.0.1:1".to_owned(),
        };
        peers.set(there("initech", "0c"));
        peers.set(there("acme", "0d"));
        fs::write(PeersFile::file(at), serde_json::to_string(&peers).unwrap()).unwrap();
        assert_eq!(entity(at, "acme").unwrap(), Some(id("0a")), "one's own before others");
        assert_eq!(entity(at, "initech").unwrap(), Some(id("0c")));
        assert_eq!(entity(at, &"0b".repeat(20)).unwrap(), Some(id("0b")));
        assert_eq!(entity(at, "../orgs/acme").unwrap(), None);
        assert_eq!(entity(at, "globex").unwrap_err().code(), "BAD_ORG");
        fs::write(PeersFile::file(at), "[]").unwrap();
        assert_eq!(entity(at, "umbrella").unwrap_err().code(), "BAD_PEERS");
        assert_eq!(org_names(at), ["acme", "globex"]);
    }

    #[test]
    fn where_the_nodes_are_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let at = HostedAt { url: "http://127.0.0.1:1".to_owned(), token: "t".to_owned() };
        at.write(folder.path()).unwrap();
        assert_eq!(HostedAt::read(folder.path()).unwrap(), at);
        let mode = fs::metadata(HostedAt::file(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
