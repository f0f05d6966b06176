//! Agents whose keys live in a token, the one store of their node.

use std::path::{Path, PathBuf};

use serde_json::json;
use stateset_acceptance::Service;
use stateset_softhsm::SoftToken;

use super::agent::Agent;

/// The settings that every program of a node reads.
pub fn variables(token: &SoftToken) -> Vec<(String, PathBuf)> {
    let (variable, conf) = token.env();
    vec![
        (variable.to_owned(), conf),
        ("KEYSTORE".to_owned(), "pkcs11".into()),
        ("PKCS11_MODULE".to_owned(), token.module().to_owned()),
        ("PKCS11_TOKEN_LABEL".to_owned(), token.label().into()),
        ("PKCS11_PIN_FILE".to_owned(), token.pin_file()),
    ]
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder.join("keys")).expect("a folder").flatten();
    let mut names: Vec<String> = names.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn agents_of_one_node_sign_and_open_with_keys_in_one_token() {
    let Some(token) = SoftToken::new() else { return };
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let [writer, reader] = ["writer", "reader"]
        .map(|name| Agent::with(&service, data.path().join(name), "rest", variables(&token)));
    let places: Vec<_> = writer.good(&["keys:list"]).as_array().expect("a list").clone();
    let places: Vec<_> = places.iter().map(|key| key["place"].clone()).collect();
    assert_eq!(
        places,
        [json!("in-hsm"), json!("wrapped")],
        "its own keys alone, though the token has others"
    );
    let kept = files(&writer.folder);
    assert!(kept.len() == 1 && kept[0].ends_with(".wrapped"), "neither keys nor a passphrase: {kept:?}");

    let draft = ["--entity-type", "order", "--entity-id", "ORD-1", "--type", "order.created"];
    let reader_id = reader.id();
    let sealed =
        [&["append"], &draft[..], &["--payload", r#"{"total":1}"#, "--seal-to", &reader_id]].concat();
    let id = writer.good(&sealed)["events"][0]["event_id"].as_str().expect("an id").to_owned();
    assert_eq!(writer.good(&["push"])["receipted"], 1);
    reader.good(&["keys:rotate"]);
    assert_eq!(reader.good(&["pull"])["events"], 1);
    assert_eq!(
        reader.good(&["show", &id])["payload"],
        json!({"total": 1}),
        "with the key of before the rotation"
    );
    let checks = reader.good(&["doctor"]);
    assert!(checks.to_string().contains("the token"), "{checks}");

    // The same folder without the token's settings, and one with files beside a token.
    let without = Agent::bare(writer.folder.clone(), Vec::new());
    assert_eq!(without.refused(&["keys:rotate", "--offline"]).1, "SPLIT_KEYS");
    let plain = Agent::new(&service, data.path().join("plain"), "rest");
    let moved = Agent::bare(plain.folder.clone(), variables(&token));
    assert_eq!(moved.refused(&["keys:rotate", "--offline"]), (Some(2), "SPLIT_KEYS".to_owned()));
    let mut half = variables(&token);
    half.retain(|(name, _)| name != "PKCS11_MODULE");
    let half = Agent::bare(writer.folder.clone(), half);
    assert_eq!(half.refused(&["keys:list"]), (Some(2), "CONFIGURATION".to_owned()));

    token.pull();
    let draft = [&["append"], &draft[..], &["--payload", "{}"]].concat();
    assert_eq!(writer.refused(&draft), (Some(1), "TOKEN".to_owned()), "nothing else signs for it");
    token.put_back();
    writer.good(&draft);
}
