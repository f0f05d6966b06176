//! The network's root, and the certificates of those who found a chain (network.md 1.1).

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use stateset_ledger_types::Genesis;
use stateset_ledger_types::codec::{Blob, List};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose, Signature};
use stateset_ledger_types::x509::{Issuer, Kind, Root, Template, check_node, common_name, issue, self_issue};
use ves::Signer;

use crate::home::Home;
use crate::output::Failure;

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// Days that certificates hold from the time they are made; from a day before it, for clocks that differ.
const ROOT_DAYS: u64 = 20 * 365;
pub const ENTITY_DAYS: u64 = 10 * 365;
pub const NODE_DAYS: u64 = 5 * 365;

/// File of the seed of the root's key: who has it decides who may be a member.
pub const ROOT_SEED: &str = "root.seed";

/// File of the seed of the key of a node's certificate.
pub const NODE_SEED: &str = "node.seed";
/// File of the certificates that a node shows to peers: its own first.
pub const NODE_CERTIFICATES: &str = "node.pem";

/// A key that issues certificates under its name.
pub struct Authority<'a> {
    pub subject: &'a str,
    pub key: &'a dyn Signer,
    /// Unix milliseconds: from when its certificates count.
    pub time_ms: u64,
}

impl Authority<'_> {
    pub fn template<'b>(&self, kind: Kind, subject: &'b str, key: &'b PublicKey, days: u64) -> Template<'b> {
        let (from_ms, until_ms) = (self.time_ms.saturating_sub(DAY), self.time_ms.saturating_add(days * DAY));
        Template { kind, subject, key, from_ms, until_ms }
    }

    /// DER.
    ///
    /// # Errors
    /// Of a subject that no certificate can have, and where the key does not sign.
    pub fn issues(&self, template: &Template<'_>) -> Result<Vec<u8>, Failure> {
        let key = PublicKey::ed25519(self.key.public_key());
        let mut signed = Ok(());
        let sign = |message: &[u8]| {
            self.key.sign(message).map(Signature).unwrap_or_else(|error| {
                signed = Err(Failure::failed("KEYS", error));
                Signature([0; 64])
            })
        };
        let issued = match template.kind {
            Kind::Root => self_issue(template, sign),
            _ => issue(template, &Issuer { subject: self.subject, key: &key }, sign),
        };
        signed?;
        issued.map_err(failed)
    }
}

fn failed(error: impl ToString) -> Failure {
    Failure::failed("CERTIFICATE", error)
}

/// Gives a new chain a root with the key `root`, and its members certificates under it, from which they have their ids.
///
/// `homes`: those of the genesis's members and validators, in their order. Each gets the seeds of the keys of its entity's
/// and its node's certificate, the chain that its node shows to peers, and the root's certificate.
pub fn certify(genesis: &mut Genesis, root: &ves::SigningKey, homes: &[&Home]) -> Result<(), Failure> {
    let (time_ms, subject) = (genesis.genesis_time, common_name(&format!("Root of {}", genesis.chain_id)));
    let authority = Authority { subject: &subject, key: root, time_ms };
    let root_key = PublicKey::ed25519(root.public_key());
    let root_der = authority.issues(&authority.template(Kind::Root, &subject, &root_key, ROOT_DAYS))?;
    let roots = [Root::parse(&root_der).map_err(failed)?];
    let (mut entities, mut validators) = (genesis.entities.to_vec(), genesis.validators.to_vec());
    for ((home, entity), validator) in homes.iter().zip(&mut entities).zip(&mut validators) {
        let chain = chain(home, &authority, &entity.name)?;
        let node = check_node(&chain, &roots, time_ms).map_err(failed)?;
        let certified = node.entity();
        entity.entity_id = certified.entity_id();
        entity.cert_hash = certified.certificate().hash();
        let identity = KeyRecord::new(Purpose::Identity, *certified.certificate().key());
        entity.keys = List::new([entity.keys.to_vec(), vec![identity]].concat()).map_err(failed)?;
        validator.entity = entity.entity_id;
        node.speaks_for(entity, time_ms).map_err(failed)?;
        write(home, NODE_CERTIFICATES, &chain)?;
        write(home, "root.pem", std::slice::from_ref(&root_der))?;
    }
    genesis.entities = List::new(entities).map_err(failed)?;
    genesis.validators = List::new(validators).map_err(failed)?;
    genesis.roots = List::new([Blob::new(root_der).map_err(failed)?]).map_err(failed)?;
    Ok(())
}

/// Node and entity of `home`.
fn chain(home: &Home, root: &Authority<'_>, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let (entity, node) = (home.seed("identity.seed")?, home.seed(NODE_SEED)?);
    let (subject, time_ms) = (common_name(name), root.time_ms);
    let authority = Authority { subject: &subject, key: &entity, time_ms };
    let (entity_key, node_key) =
        (PublicKey::ed25519(entity.public_key()), PublicKey::ed25519(node.public_key()));
    let of_node = common_name(&format!("node of {name}"));
    Ok(vec![
        authority.issues(&authority.template(Kind::Node, &of_node, &node_key, NODE_DAYS))?,
        root.issues(&root.template(Kind::Entity, &subject, &entity_key, ENTITY_DAYS))?,
    ])
}

fn write(home: &Home, name: &str, certificates: &[Vec<u8>]) -> Result<(), Failure> {
    let text: String = certificates.iter().map(|der| pem(der)).collect();
    let file = home.file(name);
    fs::write(&file, text).map_err(|error| Failure::io("write", &file, &error))
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let encoded = Base64::encode_string(der);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, c) in encoded.char_indices() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text + "\n-----END CERTIFICATE-----\n"
}

/// DER of each certificate in a file of this form.
///
/// # Errors
/// A file that cannot be read, or has something else in it.
pub fn certificates_of(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::io("read", file, &error))?;
    let wrong = || failed(format!("{}: it holds no certificates", file.display()));
    let decoded = |part: &str| {
        let (encoded, _) = part.split_once("-----END CERTIFICATE-----").ok_or_else(wrong)?;
        let bare: String = encoded.split_whitespace().collect();
        Base64::decode_vec(&bare).map_err(|_| wrong())
    };
    let found = text.split("-----BEGIN CERTIFICATE-----").skip(1).map(decoded);
    let found = found.collect::<Result<Vec<_>, Failure>>()?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("node.pem");
        let ders: Vec<Vec<u8>> = vec![(0..200).collect(), vec![7; 48], vec![]];
        fs::write(&file, ders.iter().map(|der| pem(der)).collect::<String>()).expect("written");
        assert_eq!(certificates_of(&file).expect("read"), ders);
        for wrong in [
            "",
            "-----BEGIN CERTIFICATE-----\nMIIB",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        ] {
            fs::write(&file, wrong).expect("written");
            assert!(certificates_of(&file).is_err(), "{wrong}");
        }
    }
}
