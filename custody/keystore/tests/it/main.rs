//! What a keystore promises, checked on the file back end.

#[cfg(feature = "pkcs11")]
mod token;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use stateset_keystore::{Algorithm, FileKeystore, KeyName, Keystore, KeystoreError, Passphrase};

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_survives_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let labels = BTreeMap::from([("Agent".to_owned(), "11111111-2222-3333-4444-555555555555".to_owned())]);
    let store = FileKeystore::open(&folder, passphrase("correct horse")).unwrap();
    let made = store.generate(&name("agent"), Algorithm::Ed25519, &labels).unwrap();
    let sealed_to = store.generate(&name("inbox"), Algorithm::X25519, &BTreeMap::new()).unwrap();
    let signature = store.sign(&name("agent"), b"message").unwrap();
    drop(store);

    let store = FileKeystore::open(&folder, passphrase("correct horse")).unwrap();
    assert_eq!(store.list().unwrap(), [made.clone(), sealed_to.clone()]);
    assert_eq!(store.info(&name("agent")).unwrap().labels, labels);
    let signer = store.signer(&name("agent")).unwrap();
    assert_eq!(signer.public_key(), made.public_key);
    assert_eq!(signer.sign(b"message").unwrap(), signature, "signatures are deterministic");
    assert_eq!(store.agreement_key(&name("inbox")).unwrap().public_key(), sealed_to.public_key);
}

#[test]
fn signatures_are_those_of_another_implementation() {
    for seed in [[0u8; 32], [7; 32], [255; 32]] {
        let ours = stateset_keystore::Ed25519Signer::from_seed(&seed, &name("k")).unwrap();
        let theirs = ed25519_dalek::SigningKey::from_bytes(&seed);
        use ed25519_dalek::Signer as _;
        use ves::ed25519::Signer as _;
        assert_eq!(ours.public_key(), theirs.verifying_key().to_bytes());
        for message in [&b""[..], b"m", &[0x5a; 32], &[1; 300]] {
            assert_eq!(ours.sign(message).unwrap(), theirs.sign(message).to_bytes());
        }
    }
}

#[test]
fn a_wrong_passphrase_and_a_damaged_file_are_the_same_error() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let store = FileKeystore::open(&folder, passphrase("right")).unwrap();
    store.generate(&name("k"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    let wrong = FileKeystore::open(&folder, passphrase("wrong")).unwrap();
    let said = wrong.signer(&name("k")).err().unwrap().to_string();

    let path = folder.join("k.pem");
    let text = fs::read_to_string(&path).unwrap();
    // One digit in the middle of the block, one in the public key line: neither tells which.
    let middle = text.len() - 80;
    let swap = if &text[middle..middle + 1] == "A" { "B" } else { "A" };
    let mut damaged = text.clone();
    damaged.replace_range(middle..middle + 1, swap);
    fs::write(&path, &damaged).unwrap();
    assert_eq!(store.signer(&name("k")).err().unwrap().to_string(), said);

    let at = text.find("Public-Key: ").unwrap() + 12;
    let mut other_key = text.clone();
    other_key.replace_range(at..at + 1, if &text[at..at + 1] == "0" { "1" } else { "0" });
    fs::write(&path, &other_key).unwrap();
    assert_eq!(store.signer(&name("k")).err().unwrap().to_string(), said);

    fs::write(&path, &text).unwrap();
    assert!(store.signer(&name("k")).is_ok());
}

#[test]
fn wide_modes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let store = FileKeystore::open(&folder, passphrase("p")).unwrap();
    store.generate(&name("k"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    assert_eq!(mode(&folder), 0o700);
    let file = folder.join("k.pem");
    assert_eq!(mode(&file), 0o600);

    for wide in [0o640, 0o604, 0o666, 0o700] {
        set_mode(&file, wide);
        let refused = FileKeystore::open(&folder, passphrase("p")).err().unwrap();
        assert!(matches!(refused, KeystoreError::ModeTooWide { mode, .. } if mode == wide), "{refused}");
        assert!(store.signer(&name("k")).is_err(), "an open store looks again");
    }
    set_mode(&file, 0o600);
    set_mode(&folder, 0o750);
    assert!(matches!(FileKeystore::open(&folder, passphrase("p")), Err(KeystoreError::ModeTooWide { .. })));
    set_mode(&folder, 0o700);
    assert!(FileKeystore::open(&folder, passphrase("p")).is_ok());
}

#[test]
fn nothing_is_overwritten_and_destroyed_means_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileKeystore::open(&dir.path().join("keys"), passphrase("p")).unwrap();
    let first = store.generate(&name("k"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    let again = store.generate(&name("k"), Algorithm::X25519, &BTreeMap::new());
    assert!(matches!(again, Err(KeystoreError::Exists { .. })));
    assert_eq!(store.info(&name("k")).unwrap(), first);
    store.destroy(&name("k")).unwrap();
    assert!(matches!(store.info(&name("k")), Err(KeystoreError::NotFound { .. })));
    assert!(matches!(store.destroy(&name("k")), Err(KeystoreError::NotFound { .. })));
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn public_parts_need_no_passphrase_and_secrets_do() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let store = FileKeystore::open(&folder, passphrase("p")).unwrap();
    let made = store.generate(&name("k"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    let public = FileKeystore::open_public(&folder).unwrap();
    assert_eq!(public.list().unwrap(), [made]);
    assert!(matches!(public.signer(&name("k")), Err(KeystoreError::CannotOpen { .. })));
    assert!(matches!(store.agreement_key(&name("k")), Err(KeystoreError::WrongAlgorithm { .. })));
}

#[test]
fn labels_cannot_forge_the_lines_that_matter() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileKeystore::open(&dir.path().join("keys"), passphrase("p")).unwrap();
    for (label, value) in [
        ("Name", "x"),
        ("Public-Key", "x"),
        ("A b", "x"),
        ("A", "x\nName: y"),
        ("A", "-----BEGIN"),
        ("", "x"),
    ] {
        let labels = BTreeMap::from([(label.to_owned(), value.to_owned())]);
        let refused = store.generate(&name("k"), Algorithm::Ed25519, &labels);
        assert!(matches!(refused, Err(KeystoreError::BadLabel { .. })), "{label}: {value}");
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let secret = passphrase("hunter22");
    assert!(!format!("{secret:?}").contains("hunter22"));
    let store = FileKeystore::open(&folder, secret).unwrap();
    let info = store.generate(&name("k"), Algorithm::X25519, &BTreeMap::new()).unwrap();
    let key = store.agreement_key(&name("k")).unwrap();
    assert!(!format!("{key:?} {info:?}").contains(&ves::hex::encode(key.secret())));
}

#[test]
fn a_passphrase_file_must_be_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passphrase");
    Passphrase::random().unwrap().keep_in_file(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert!(Passphrase::from_file(&path).is_ok());
    assert!(Passphrase::random().unwrap().keep_in_file(&path).is_err(), "never replaced");
    set_mode(&path, 0o644);
    assert!(matches!(Passphrase::from_file(&path), Err(KeystoreError::ModeTooWide { .. })));
    for bad in ["", "two\nlines", "a\0b"] {
        assert!(Passphrase::new(bad.to_owned()).is_err());
    }
}

#[test]
fn a_passphrase_is_the_first_line_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, folder) = (dir.path().join("passphrase"), dir.path().join("keys"));
    let store = FileKeystore::open(&folder, passphrase("hunter22")).unwrap();
    store.generate(&name("k"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    for text in ["hunter22", "hunter22\n", "hunter22\r\n", "hunter22\nfurther\n\u{0}lines"] {
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        let store = FileKeystore::open(&folder, Passphrase::from_file(&path).unwrap()).unwrap();
        assert!(store.signer(&name("k")).is_ok(), "{text:?}");
    }
    for text in ["", "\nhunter22"] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Passphrase::from_file(&path), Err(KeystoreError::BadPassphrase)), "{text:?}");
    }
}

#[test]
fn no_key_is_made_under_a_passphrase_that_does_not_open_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let labels = BTreeMap::new();
    let right = FileKeystore::open(&folder, passphrase("right")).unwrap();
    right.generate(&name("first"), Algorithm::Ed25519, &labels).unwrap();
    let wrong = FileKeystore::open(&folder, passphrase("wrong")).unwrap();
    let refused = wrong.generate(&name("second"), Algorithm::Ed25519, &labels);
    assert!(matches!(refused, Err(KeystoreError::CannotOpen { .. })));
    assert_eq!(right.list().unwrap().len(), 1);
    right.generate(&name("second"), Algorithm::X25519, &labels).unwrap();
}

#[test]
fn a_backup_is_put_back_whole_and_only_under_its_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileKeystore::open(&dir.path().join("keys"), passphrase("p")).unwrap();
    let agent = store.generate(&name("agent"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    let inbox = store.generate(&name("inbox"), Algorithm::X25519, &BTreeMap::new()).unwrap();
    let wrapped = store.wrap(&[7; 32], b"payloads").unwrap();
    let backup = store.backup().unwrap();
    assert_eq!(backup.held, [name("agent"), name("inbox")]);
    assert!(backup.left_out.is_empty());

    let other = FileKeystore::open(&dir.path().join("other"), passphrase("q")).unwrap();
    assert!(matches!(other.restore(&backup.text), Err(KeystoreError::CannotOpen { .. })));
    assert!(other.list().unwrap().is_empty());

    let place = dir.path().join("new");
    let new = FileKeystore::open(&place, passphrase("p")).unwrap();
    assert_eq!(new.restore(&backup.text).unwrap(), [agent.clone(), inbox.clone()]);
    assert_eq!(*new.unwrap(&wrapped, b"payloads").unwrap(), [7; 32]);
    assert!(new.restore(&backup.text).unwrap().is_empty(), "what is there stays");
    assert_eq!(mode(&place.join("agent.pem")), 0o600);
    assert_eq!(new.signer(&name("agent")).unwrap().public_key(), agent.public_key);

    // A name that another key has stops all of it.
    let third = FileKeystore::open(&dir.path().join("third"), passphrase("p")).unwrap();
    let taken = third.generate(&name("inbox"), Algorithm::X25519, &BTreeMap::new()).unwrap();
    assert!(matches!(third.restore(&backup.text), Err(KeystoreError::Exists { .. })));
    assert_eq!(third.list().unwrap(), [taken]);

    for bad in
        ["", "Stateset keys", &backup.text[..backup.text.len() - 40], &format!("{}x", backup.text.as_str())]
    {
        assert!(matches!(new.restore(bad), Err(KeystoreError::NotABackup { .. })), "{bad:?}");
    }
}

#[test]
fn a_rename_keeps_the_key_and_takes_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileKeystore::open(&dir.path().join("keys"), passphrase("p")).unwrap();
    let made = store.generate(&name("agent"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    store.generate(&name("other"), Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    assert!(matches!(store.rename(&name("agent"), &name("other")), Err(KeystoreError::Exists { .. })));
    store.rename(&name("agent"), &name("agent.1")).unwrap();
    assert!(matches!(store.info(&name("agent")), Err(KeystoreError::NotFound { .. })));
    assert_eq!(store.signer(&name("agent.1")).unwrap().public_key(), made.public_key);
}

#[test]
fn data_keys_are_wrapped_under_the_passphrase_and_bound_to_their_use() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let store = FileKeystore::open(&folder, passphrase("p")).unwrap();
    assert!(matches!(store.unwrap(&[1; 61], b"payloads"), Err(KeystoreError::CannotUnwrap)));
    let wrapped = store.wrap(&[7; 32], b"payloads").unwrap();
    assert_eq!(wrapped.len(), 61);
    assert_ne!(store.wrap(&[7; 32], b"payloads").unwrap(), wrapped, "a nonce of its own each");
    assert_eq!(*store.unwrap(&wrapped, b"payloads").unwrap(), [7; 32]);
    assert_eq!(mode(&folder.join("wrapping-key")), 0o600);
    assert!(store.list().unwrap().is_empty(), "it is no key of the list");
    let mut other = wrapped.clone();
    other[20] ^= 1;
    for (bytes, context) in
        [(&other[..], &b"payloads"[..]), (&wrapped, b"proofs"), (&wrapped[..60], b"payloads")]
    {
        assert!(matches!(store.unwrap(bytes, context), Err(KeystoreError::CannotUnwrap)));
    }
    let wrong = FileKeystore::open(&folder, passphrase("q")).unwrap();
    assert!(matches!(wrong.unwrap(&wrapped, b"payloads"), Err(KeystoreError::CannotUnwrap)));
    assert!(matches!(wrong.wrap(&[7; 32], b"payloads"), Err(KeystoreError::CannotUnwrap)));
}
