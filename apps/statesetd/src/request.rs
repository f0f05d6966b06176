//! What a company and whoever admits it hand each other: the request with its public keys, and the admission with its
//! certificate. Both are JSON files that may be shown to anybody.

use std::path::Path;

use serde::{Deserialize, Serialize};
use stateset_ledger_types::entity::Roles;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::{PublicKey, Purpose, Signature};
use stateset_node_client::files::Address;
use ves::{Digest, Signer};

use crate::local::Newcomer;
use crate::output::Failure;
use crate::participant::HexBytes;

/// What stands before what a request's signature is over, so that it is a signature of nothing else.
const SIGNED: &[u8] = b"stateset-org-request-1\n";

/// A company asks to be a member. `signature`, by the key `identity` over the other fields, shows that the company has that
/// key; that it is the company, whoever admits it has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgRequest {
    pub asks: Asks,
    pub signature: HexBytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    pub name: String,
    /// ISO 3166 code.
    pub jurisdiction: String,
    pub registration_no: String,
    pub lei: Option<String>,
    pub roles: Roles,
    /// Ed25519: of its certificate.
    pub identity: PublicKey,
    /// Ed25519: signs its requests and transactions.
    pub ledger: PublicKey,
    /// X25519: opens its capsules.
    pub view: PublicKey,
}

/// Canonical: JSON of the fields in their order.
fn signed(asks: &Asks) -> Result<Vec<u8>, Failure> {
    let json = serde_json::to_vec(asks).map_err(|error| Failure::failed("REQUEST", error))?;
    Ok([SIGNED, &json].concat())
}

impl OrgRequest {
    /// # Errors
    /// Where the key does not sign.
    pub fn sign(asks: Asks, identity: &dyn Signer) -> Result<Self, Failure> {
        let signature = identity.sign(&signed(&asks)?).map_err(|error| Failure::failed("KEYS", error))?;
        Ok(Self { asks, signature: HexBytes(signature.to_vec()) })
    }

    /// The company of a request whose signature holds.
    ///
    /// # Errors
    /// BAD_REQUEST for a file that is none, or a signature that does not hold.
    pub fn read(file: &Path) -> Result<Newcomer, Failure> {
        let wrong = |problem: &dyn ToString| {
            Failure::input("BAD_REQUEST", format!("{}: {}", file.display(), problem.to_string()))
        };
        let text = std::fs::read(file).map_err(|error| Failure::io("read", file, &error))?;
        let Self { asks, signature } = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        let signature =
            <[u8; 64]>::try_from(signature.0.as_slice()).map_err(|_| wrong(&"a signature has 64 bytes"))?;
        if !asks.identity.verify(&signed(&asks)?, &Signature(signature)) {
            return Err(wrong(&"its signature does not hold: it was changed, or signed by another key"));
        }
        Ok(Newcomer {
            name: asks.name,
            jurisdiction: asks.jurisdiction,
            registration_no: asks.registration_no,
            lei: asks.lei,
            roles: asks.roles,
            identity: asks.identity,
            keys: vec![(Purpose::LedgerSigning, asks.ledger), (Purpose::View, asks.view)],
        })
    }
}

/// A company is admitted once the proposal is executed. Nothing in it is secret, and nothing is believed: the certificate has
/// to lead to a root that the ledger proves, and the addresses are those of who shows the members' certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgAdmission {
    pub chain_id: String,
    /// Hash of the genesis, so that nobody joins by another one.
    pub genesis_hash: Digest,
    pub name: String,
    pub entity_id: EntityId,
    /// DER of its certificate, and of the root that issued it.
    pub certificate: HexBytes,
    pub root: HexBytes,
    pub proposal: u64,
    /// Capsule stores of notaries, as whoever admitted knows them.
    pub notaries: Vec<Address>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_changed_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("acme.json");
        let key = |seed| ves::SigningKey::from_seed([seed; 32]);
        let public = |seed| PublicKey::ed25519(key(seed).public_key());
        let asks = Asks {
            name: "Acme".to_owned(),
            jurisdiction: "ZZ".to_owned(),
            registration_no: String::new(),
            lei: None,
            roles: Roles::default(),
            identity: public(1),
            ledger: public(2),
            view: public(3),
        };
        let good = OrgRequest::sign(asks.clone(), &key(1)).expect("signed");
        let write = |request: &OrgRequest| {
            std::fs::write(&file, serde_json::to_string_pretty(request).expect("JSON")).expect("written");
        };
        write(&good);
        assert_eq!(OrgRequest::read(&file).expect("read").name, "Acme");
        let renamed = Asks { name: "Globex".to_owned(), ..asks.clone() };
        let of_other = OrgRequest::sign(asks, &key(2)).expect("signed");
        for wrong in [OrgRequest { asks: renamed, ..good.clone() }, of_other] {
            write(&wrong);
            assert_eq!(OrgRequest::read(&file).expect_err("refused").code, "BAD_REQUEST");
        }
        std::fs::write(&file, "{}").expect("written");
        assert_eq!(OrgRequest::read(&file).expect_err("refused").code, "BAD_REQUEST");
    }
}
