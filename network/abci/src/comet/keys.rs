//! Keys of a CometBFT node, in its own files: unencrypted, readable by their owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What others need to know of a node's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys {
    /// 40 hexadecimal digits, as peers name the node.
    pub node_id: String,
    /// Ed25519 key that signs blocks.
    pub validator: [u8; 32],
}

/// Reads the key at `file`, or makes one and writes it. An existing file is never replaced.
pub(super) fn read_or_make(file: &Path, layout: fn(&SigningKey) -> String) -> io::Result<[u8; 32]> {
    match fs::read(file) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            public_key(&text).ok_or_else(|| {
                io::Error::other(format!("{}: it holds no Ed25519 key of CometBFT", file.display()))
            })
        }
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut()).map_err(io::Error::other)?;
            let key = SigningKey::from_bytes(&seed);
            let text = Zeroizing::new(layout(&key));
            let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            made.write_all(text.as_bytes())?;
            made.sync_all()?;
            Ok(key.verifying_key().to_bytes())
        }
        Err(problem) => Err(problem),
    }
}

/// CometBFT writes seed ‖ public key.
fn public_key(text: &[u8]) -> Option<[u8; 32]> {
    let file: Value = serde_json::from_slice(text).ok()?;
    let value = file["priv_key"]["value"]
        .as_str()
        .filter(|_| file["priv_key"]["type"] == "tendermint/PrivKeyEd25519")?;
    let pair = Zeroizing::new(Base64::decode_vec(value).ok()?);
    let pair: &[u8; 64] = pair.as_slice().try_into().ok()?;
    Some(SigningKey::from_keypair_bytes(pair).ok()?.verifying_key().to_bytes())
}

fn private(key: &SigningKey) -> Value {
    let pair = Zeroizing::new(key.to_keypair_bytes());
    json!({"type": "tendermint/PrivKeyEd25519", "value": Base64::encode_string(pair.as_slice())})
}

/// `node_key.json`.
pub(super) fn node_key(key: &SigningKey) -> String {
    json!({"priv_key": private(key)}).to_string()
}

/// `priv_validator_key.json`.
pub(super) fn validator_key(key: &SigningKey) -> String {
    let public = key.verifying_key().to_bytes();
    json!({
        "address": address(&public).to_uppercase(),
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": Base64::encode_string(&public)},
        "priv_key": private(key),
    })
    .to_string()
}

/// First 20 bytes of the key's SHA-256, in hexadecimal.
pub(super) fn address(public_key: &[u8; 32]) -> String {
    Sha256::digest(public_key)[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `cometbft init` of v0.38.17.
    const OF_COMETBFT: &str = r#"{
      "address": "095DB68C6273155E44659015ADACFCDE820E8E94",
      "pub_key": {"type": "tendermint/PubKeyEd25519", "value": "bLgASItZ2LwkfWS64A5VY+WTANhGHaigQ5iS7jdj3f8="},
      "priv_key": {"type": "tendermint/PrivKeyEd25519",
        "value": "JpPS6YAupiWnE75nXQMcSw42ccMDUaCpu2ghU+uug+xsuABIi1nYvCR9ZLrgDlVj5ZMA2EYdqKBDmJLuN2Pd/w=="}
    }"#;

    #[test]
    fn a_key_of_cometbft_is_read_and_written_as_it_does() {
        let public = public_key(OF_COMETBFT.as_bytes()).unwrap();
        let theirs: Value = serde_json::from_str(OF_COMETBFT).unwrap();
        let pair = Base64::decode_vec(theirs["priv_key"]["value"].as_str().unwrap()).unwrap();
        let key = SigningKey::from_keypair_bytes(pair.as_slice().try_into().unwrap()).unwrap();
        assert_eq!(key.verifying_key().to_bytes(), public);
        assert_eq!(serde_json::from_str::<Value>(&validator_key(&key)).unwrap(), theirs);
        assert_eq!(public_key(node_key(&key).as_bytes()), Some(public));
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node_key.json");
        let made = read_or_make(&file, node_key).unwrap();
        assert_eq!(read_or_make(&file, node_key).unwrap(), made);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "{}").unwrap();
        assert!(read_or_make(&file, node_key).unwrap_err().to_string().contains("no Ed25519 key"));
    }
}
