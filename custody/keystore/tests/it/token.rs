//! What a keystore promises, checked on a token in software; and what happens when it goes away.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use stateset_keystore::{
    Algorithm, BackEnd, FileKeystore, KeyName, KeyPlace, Keystore, KeystoreError, Passphrase, Pkcs11Config,
    Pkcs11Keystore, TokenProblem, refuse_split,
};
use stateset_softhsm::{SoftToken, in_own_process};
use ves::ed25519::PublicKey;

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn pin(text: &str) -> Option<Passphrase> {
    Some(Passphrase::new(text.to_owned()).unwrap())
}

fn folder(token: &SoftToken) -> PathBuf {
    token.folder().join("keys")
}

fn config(token: &SoftToken) -> Pkcs11Config {
    Pkcs11Config {
        module: token.module().to_owned(),
        token_label: token.label().to_owned(),
        pin: pin(token.pin()),
        folder: Some(folder(token)),
    }
}

fn open(token: &SoftToken) -> Pkcs11Keystore {
    Pkcs11Keystore::open(config(token)).unwrap()
}

fn no_labels() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn problem(error: KeystoreError) -> TokenProblem {
    match error {
        KeystoreError::Token { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// The module as the keystore in this process uses it.
fn module(token: &SoftToken) -> Pkcs11 {
    Pkcs11::new(token.module()).unwrap()
}

#[test]
fn a_key_in_a_token_signs_after_closing_and_opening() {
    in_own_process("token::a_key_in_a_token_signs_after_closing_and_opening", |token| {
        let store = open(token);
        let labels =
            BTreeMap::from([("Agent".to_owned(), "11111111-2222-3333-4444-555555555555".to_owned())]);
        let agent = store.generate(&name("agent"), Algorithm::Ed25519, &labels).unwrap();
        let inbox = store.generate(&name("inbox"), Algorithm::X25519, &no_labels()).unwrap();
        assert_eq!((agent.place, inbox.place), (KeyPlace::InHsm, KeyPlace::Wrapped));
        let secret = *store.agreement_key(&name("inbox")).unwrap().secret();
        drop(store);

        let store = open(token);
        assert_eq!(store.list().unwrap(), [agent.clone(), inbox.clone()]);
        assert_eq!(store.info(&name("agent")).unwrap().labels, labels);
        let key = PublicKey::from_bytes(&agent.public_key).unwrap();
        for message in [&b""[..], b"m", &[0x5a; 32], &[1; 3000]] {
            let signature = store.sign(&name("agent"), message).unwrap();
            assert!(key.verify(message, &signature));
            assert_eq!(store.sign(&name("agent"), message).unwrap(), signature, "deterministic (RFC 8032)");
        }
        assert_eq!(store.agreement_key(&name("inbox")).unwrap().secret(), &secret);
        let text = fs::read_to_string(folder(token).join("inbox.wrapped")).unwrap();
        assert!(!text.contains(&ves::hex::encode(&secret)));
        let mode = fs::metadata(folder(token).join("inbox.wrapped")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);

        let wrong =
            |found: Result<_, KeystoreError>| matches!(found, Err(KeystoreError::WrongAlgorithm { .. }));
        assert!(wrong(store.agreement_key(&name("agent")).map(drop)));
        assert!(wrong(store.signer(&name("inbox")).map(drop)));
    });
}

#[test]
fn a_private_key_cannot_be_exported_from_the_token() {
    in_own_process("token::a_private_key_cannot_be_exported_from_the_token", |token| {
        let store = open(token);
        store.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
        store.generate(&name("inbox"), Algorithm::X25519, &no_labels()).unwrap();
        let backup = store.backup().unwrap();
        assert_eq!(backup.left_out, [name("agent")]);
        assert_eq!(backup.held, [name("inbox")]);

        // Whoever knows the PIN and asks the token itself is refused too.
        let module = module(token);
        let slot = module.get_slots_with_initialized_token().unwrap()[0];
        let session = module.open_rw_session(slot).unwrap();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
            let found = session.find_objects(&[Attribute::Class(class)]).unwrap();
            assert_eq!(found.len(), 1);
            let said = session.get_attributes(found[0], &[AttributeType::Value]).unwrap();
            assert!(said.is_empty(), "{class}");
            assert!(session.update_attributes(found[0], &[Attribute::Extractable(true)]).is_err());
            assert!(session.update_attributes(found[0], &[Attribute::Sensitive(false)]).is_err());
        }
    });
}

#[test]
fn without_a_pin_public_parts_are_shown_and_secrets_are_not_used() {
    in_own_process("token::without_a_pin_public_parts_are_shown_and_secrets_are_not_used", |token| {
        // One process of a token is logged in as a whole, so the keys are made and left first.
        let made = {
            let store = open(token);
            let agent = store.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
            let inbox = store.generate(&name("inbox"), Algorithm::X25519, &no_labels()).unwrap();
            [agent, inbox]
        };
        let public = Pkcs11Keystore::open(Pkcs11Config { pin: None, ..config(token) }).unwrap();
        assert_eq!(public.list().unwrap(), made);
        let refused = [
            public.signer(&name("agent")).map(drop),
            public.agreement_key(&name("inbox")).map(drop),
            public.generate(&name("x"), Algorithm::Ed25519, &no_labels()).map(drop),
            public.destroy(&name("agent")),
            public.wrap(&[1; 32], b"").map(drop),
        ];
        for refused in refused {
            assert_eq!(problem(refused.unwrap_err()), TokenProblem::NoPin);
        }
    });
}

#[test]
fn names_are_taken_once_over_token_and_files_and_a_rename_keeps_the_key() {
    in_own_process("token::names_are_taken_once_over_token_and_files_and_a_rename_keeps_the_key", |token| {
        let store = open(token);
        let labels = BTreeMap::from([("Key-Id".to_owned(), "1".to_owned())]);
        let agent = store.generate(&name("agent"), Algorithm::Ed25519, &labels).unwrap();
        let inbox = store.generate(&name("inbox"), Algorithm::X25519, &labels).unwrap();
        for algorithm in [Algorithm::Ed25519, Algorithm::X25519] {
            for taken in ["agent", "inbox"] {
                let again = store.generate(&name(taken), algorithm, &labels);
                assert!(matches!(again, Err(KeystoreError::Exists { .. })), "{taken}");
            }
        }
        assert!(matches!(store.rename(&name("agent"), &name("inbox")), Err(KeystoreError::Exists { .. })));
        for (from, to, before) in [("agent", "agent.1", &agent), ("inbox", "inbox.1", &inbox)] {
            store.rename(&name(from), &name(to)).unwrap();
            assert!(matches!(store.info(&name(from)), Err(KeystoreError::NotFound { .. })));
            let after = store.info(&name(to)).unwrap();
            assert_eq!((after.public_key, &after.labels), (before.public_key, &before.labels));
        }
        assert_eq!(store.signer(&name("agent.1")).unwrap().public_key(), agent.public_key);
        assert_eq!(store.agreement_key(&name("inbox.1")).unwrap().public_key(), inbox.public_key);
        for gone in ["agent.1", "inbox.1"] {
            store.destroy(&name(gone)).unwrap();
            assert!(matches!(store.destroy(&name(gone)), Err(KeystoreError::NotFound { .. })));
        }
        assert!(store.list().unwrap().is_empty());
    });
}

#[test]
fn data_keys_are_wrapped_by_the_token_and_bound_to_their_use() {
    in_own_process("token::data_keys_are_wrapped_by_the_token_and_bound_to_their_use", |token| {
        let store = open(token);
        let wrapped = store.wrap(&[7; 32], b"payloads").unwrap();
        assert_eq!(wrapped.len(), 61);
        assert_ne!(store.wrap(&[7; 32], b"payloads").unwrap(), wrapped, "a nonce of its own each");
        assert_eq!(*open(token).unwrap(&wrapped, b"payloads").unwrap(), [7; 32]);
        let mut bad =
            vec![(wrapped.clone(), &b"proofs"[..]), (wrapped[..60].to_vec(), b"payloads"), (Vec::new(), b"")];
        for at in 0..wrapped.len() {
            let mut other = wrapped.clone();
            other[at] ^= 1;
            bad.push((other, b"payloads"));
        }
        for (bytes, context) in bad {
            assert!(matches!(store.unwrap(&bytes, context), Err(KeystoreError::CannotUnwrap)));
        }
        assert_eq!(*store.unwrap(&wrapped, b"payloads").unwrap(), [7; 32], "the token still works");
    });
}

#[test]
fn a_wrapped_key_is_opened_only_whole_and_by_its_token() {
    in_own_process("token::a_wrapped_key_is_opened_only_whole_and_by_its_token", |token| {
        let store = open(token);
        let inbox = store.generate(&name("inbox"), Algorithm::X25519, &no_labels()).unwrap();
        let backup = store.backup().unwrap();
        let path = folder(token).join("inbox.wrapped");
        let text = fs::read_to_string(&path).unwrap();
        // A digit of the public key, and one of the block.
        for at in [text.find("Public-Key: ").unwrap() + 12, text.find("KEY-----\n").unwrap() + 12] {
            let mut damaged = text.clone();
            let swap = if &text[at..at + 1] == "0" { "1" } else { "0" };
            damaged.replace_range(at..at + 1, swap);
            fs::write(&path, damaged).unwrap();
            assert!(matches!(store.agreement_key(&name("inbox")), Err(KeystoreError::CannotOpen { .. })));
        }
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(store.agreement_key(&name("inbox")), Err(KeystoreError::ModeTooWide { .. })));
        assert!(matches!(Pkcs11Keystore::open(config(token)), Err(KeystoreError::ModeTooWide { .. })));
        fs::remove_file(&path).unwrap();
        assert!(store.list().unwrap().is_empty());
        assert_eq!(store.restore(&backup.text).unwrap(), std::slice::from_ref(&inbox));
        assert!(store.restore(&backup.text).unwrap().is_empty(), "what is there stays");
        assert_eq!(store.agreement_key(&name("inbox")).unwrap().public_key(), inbox.public_key);

        token.add("another");
        let elsewhere = Pkcs11Config {
            token_label: "another".to_owned(),
            folder: Some(token.folder().join("elsewhere")),
            ..config(token)
        };
        // The module has listed its slots before the second token came.
        module(token).finalize().unwrap();
        let elsewhere = Pkcs11Keystore::open(elsewhere).unwrap();
        assert!(matches!(elsewhere.restore(&backup.text), Err(KeystoreError::CannotOpen { .. })));
    });
}

#[test]
fn a_session_that_ended_is_connected_to_anew() {
    in_own_process("token::a_session_that_ended_is_connected_to_anew", |token| {
        let store = open(token);
        let made = store.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
        let signer = store.signer(&name("agent")).unwrap();
        let key = PublicKey::from_bytes(&made.public_key).unwrap();
        let signs = || key.verify(b"m", &signer.sign(b"m").unwrap());
        assert!(signs());

        // Somebody logs the process out.
        let module = module(token);
        let slot = module.get_slots_with_initialized_token().unwrap()[0];
        module.open_ro_session(slot).unwrap().logout().unwrap();
        assert!(signs());
        // The module forgets everything.
        module.finalize().unwrap();
        assert!(signs());
        assert!(signer.ready().is_ok());
    });
}

#[test]
fn a_token_that_was_pulled_out_fails_closed_and_comes_back_after_a_pause() {
    in_own_process("token::a_token_that_was_pulled_out_fails_closed_and_comes_back_after_a_pause", |token| {
        let store = open(token);
        store.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
        let signer = store.signer(&name("agent")).unwrap();
        token.pull();
        std::thread::sleep(Duration::from_millis(10));
        let first = signer.sign(b"m").unwrap_err();
        assert!(first.0.contains("the token stateset test"), "{first}");
        let started = Instant::now();
        let waiting = signer.sign(b"m").unwrap_err();
        assert!(waiting.0.contains("is tried again in"), "{waiting}");
        assert!(started.elapsed() < Duration::from_millis(50), "it fails at once");
        std::thread::sleep(Duration::from_millis(600));
        assert!(signer.ready().is_err());
        assert!(store.sign(&name("agent"), b"m").is_err());

        token.put_back();
        let started = Instant::now();
        while let Err(error) = signer.ready() {
            assert!(started.elapsed() < Duration::from_secs(20), "{error}");
            std::thread::sleep(Duration::from_millis(50));
        }
        signer.sign(b"m").unwrap();
    });
}

#[test]
fn a_wrong_pin_is_shown_to_the_token_once() {
    in_own_process("token::a_wrong_pin_is_shown_to_the_token_once", |token| {
        let refused = Pkcs11Keystore::open(Pkcs11Config { pin: pin("wrong"), ..config(token) });
        let error = refused.err().unwrap();
        assert!(!error.to_string().contains("wrong\""), "{error}");
        assert_eq!(problem(error), TokenProblem::PinIncorrect);

        // A token that is logged in to and then comes back with another PIN.
        let store = open(token);
        store.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
        let signer = store.signer(&name("agent")).unwrap();
        let module = module(token);
        let slot = module.get_slots_with_initialized_token().unwrap()[0];
        {
            let session = module.open_rw_session(slot).unwrap();
            let (old, new) = (AuthPin::from(token.pin().to_owned()), AuthPin::from("another".to_owned()));
            session.set_pin(&old, &new).unwrap();
            session.logout().unwrap();
        }
        assert!(signer.sign(b"m").unwrap_err().0.contains("the PIN is wrong"));
        // The PIN is the old one again: only a start anew may find that out.
        {
            let session = module.open_rw_session(slot).unwrap();
            let (old, new) = (AuthPin::from("another".to_owned()), AuthPin::from(token.pin().to_owned()));
            session.login(UserType::User, Some(&old)).unwrap();
            session.set_pin(&old, &new).unwrap();
            session.logout().unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(signer.sign(b"m").unwrap_err().0.contains("the PIN is wrong"));
        assert!(open(token).sign(&name("agent"), b"m").is_ok());
    });
}

#[test]
fn what_is_wrong_with_a_token_is_named() {
    in_own_process("token::what_is_wrong_with_a_token_is_named", |token| {
        let said = |config: Pkcs11Config| problem(Pkcs11Keystore::open(config).err().unwrap());
        let label = |label: &str| Pkcs11Config { token_label: label.to_owned(), ..config(token) };
        assert_eq!(said(label("no such token")), TokenProblem::NotFound);
        let missing = Pkcs11Config { module: "/nowhere/libtoken.so".into(), ..config(token) };
        assert!(matches!(said(missing), TokenProblem::Module { .. }));
        let no_module = Pkcs11Config { module: std::env::current_exe().unwrap(), ..config(token) };
        assert!(matches!(said(no_module), TokenProblem::Module { .. }));
        // The module was ended after the look that found nothing, so it sees these when it starts anew.
        token.add("twin");
        token.add("twin");
        assert_eq!(said(label("twin")), TokenProblem::Ambiguous);
        let homeless = Pkcs11Keystore::open(Pkcs11Config { folder: None, ..config(token) }).unwrap();
        let refused = homeless.generate(&name("inbox"), Algorithm::X25519, &no_labels());
        assert!(matches!(refused, Err(KeystoreError::NoFolder { .. })));
    });
}

#[test]
fn many_threads_sign_through_one_pool() {
    in_own_process("token::many_threads_sign_through_one_pool", |token| {
        let store = open(token);
        let made = store.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
        let signer = store.signer(&name("agent")).unwrap();
        let key = PublicKey::from_bytes(&made.public_key).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..24u8 {
                let (signer, key) = (&signer, &key);
                scope.spawn(move || {
                    for round in 0..20u8 {
                        let message = [thread, round];
                        assert!(key.verify(&message, &signer.sign(&message).unwrap()));
                    }
                });
            }
        });
    });
}

#[test]
fn keys_of_files_and_of_a_token_are_not_mixed() {
    in_own_process("token::keys_of_files_and_of_a_token_are_not_mixed", |token| {
        let folder = folder(token);
        assert!(refuse_split(&folder, "sequencer", BackEnd::Pkcs11).is_ok(), "no folder, no keys");
        let files = FileKeystore::open(&folder, Passphrase::new("p".to_owned()).unwrap()).unwrap();
        files.generate(&name("agent"), Algorithm::Ed25519, &no_labels()).unwrap();
        let said = refuse_split(&folder, "sequencer", BackEnd::Pkcs11).unwrap_err().to_string();
        assert!(
            said.contains("agent.pem is a key in an encrypted file, and the other, sequencer, "),
            "{said}"
        );
        assert!(said.contains("would be kept in a token; set KEYSTORE=file"), "{said}");
        assert!(refuse_split(&folder, "sequencer", BackEnd::File).is_ok());
        files.destroy(&name("agent")).unwrap();
        open(token).generate(&name("inbox"), Algorithm::X25519, &no_labels()).unwrap();
        let said = refuse_split(&folder, "sequencer", BackEnd::File).unwrap_err().to_string();
        // It is a file as well: it was said to lie in the token, with nothing to do about it but to move it.
        assert!(
            said.contains("inbox.wrapped is a key wrapped by one in a token, and the other, sequencer, "),
            "{said}"
        );
        assert!(
            said.contains("would be kept in an encrypted file; set KEYSTORE=pkcs11, and PKCS11_* "),
            "{said}"
        );
        assert!(refuse_split(&folder, "sequencer", BackEnd::Pkcs11).is_ok());
    });
}
