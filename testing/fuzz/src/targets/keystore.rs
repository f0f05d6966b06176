//! Key files: text, then an encrypted block.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use stateset_keystore::{Algorithm, FileKeystore, KeyName, Keystore as _, Passphrase};

struct Store {
    folder: tempfile::TempDir,
    keys: FileKeystore,
    name: KeyName,
    genuine: String,
    public_key: [u8; 32],
}

thread_local! {
    static STORE: OnceCell<Store> = const { OnceCell::new() };
}

fn with_store<T>(use_it: impl FnOnce(&Store) -> T) -> T {
    STORE.with(|store| use_it(store.get_or_init(new_store)))
}

fn new_store() -> Store {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let passphrase = Passphrase::new("only for tests".to_owned()).expect("one line");
    let keys = FileKeystore::open(&folder.path().join("keys"), passphrase).expect("an empty store");
    let name: KeyName = "agent".parse().expect("a name");
    let labels = BTreeMap::from([("Agent".to_owned(), "one".to_owned())]);
    let info = keys.generate(&name, Algorithm::Ed25519, &labels).expect("a new key");
    let genuine = std::fs::read_to_string(path_of_key(&folder)).expect("the file just written");
    Store { folder, keys, name, genuine, public_key: info.public_key }
}

fn path_of_key(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder.path().join("keys")).expect("the store's folder");
    files.next().expect("one key").expect("a readable entry").path()
}

/// Writes the input as the file of a key, then asks the store for it.
pub fn key_file(data: &[u8]) -> bool {
    with_store(|store| {
        std::fs::write(path_of_key(&store.folder), data).expect("our own file");
        let info = store.keys.info(&store.name);
        let listed = store.keys.list();
        match (&info, listed) {
            (Ok(info), Ok(all)) => assert!(all.contains(info), "listed as it is shown"),
            (Ok(_), Err(problem)) => panic!("shown, but the list says {problem}"),
            _ => {}
        }
        // Opening costs a tenth of a second when the block is whole, so ask only once the clear part is good.
        let Ok(info) = info else { return false };
        match store.keys.signer(&store.name) {
            Ok(signer) => {
                assert_eq!(signer.public_key(), info.public_key, "opens as the key that it names");
                assert_eq!(signer.public_key(), store.public_key, "no other key was ever written");
                true
            }
            Err(problem) => {
                assert_ne!(data, store.genuine.as_bytes(), "{problem}");
                false
            }
        }
    })
}

pub fn seeds() -> Vec<Vec<u8>> {
    with_store(|store| vec![store.genuine.clone().into_bytes()])
}
