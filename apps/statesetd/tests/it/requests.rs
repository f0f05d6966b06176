//! Signed requests of a testnet's members.

use std::path::Path;

use stateset_ledger_types::body::{Body, Header, One, SaltedBody};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::envelope::{GovernanceTx, Notarise, NotariseContent, Request, Submission};
use stateset_ledger_types::governance::GovernanceMessage;
use stateset_ledger_types::ids::{SpentKey, StateRef, TxId};
use stateset_ledger_types::keys::{PublicKey, Signature};
use stateset_ledger_types::policy::{self, Blind, Opening, Policy, spend_message};
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Envelope, Genesis};
use ves::Digest;

/// A member of a network, by the home of its validator.
pub struct Member {
    key: ves::SigningKey,
    genesis: Genesis,
    place: usize,
}

/// A request, and what it does.
pub struct Notarisation {
    pub bytes: Vec<u8>,
    pub tx_id: TxId,
    pub spent: SpentKey,
}

impl Member {
    /// The member whose home is `validator-<place + 1>` in `network`.
    pub fn of(network: &Path, place: usize) -> Self {
        let home = network.join(format!("validator-{}", place + 1));
        let seed = std::fs::read_to_string(home.join("member.seed")).unwrap();
        let seed: [u8; 32] = ves::hex::decode_vec(&seed).unwrap().try_into().unwrap();
        let genesis = Genesis::from_json(&std::fs::read(home.join("genesis.json")).unwrap()).unwrap();
        Self { key: ves::SigningKey::from_seed(seed), genesis, place }
    }

    /// A message of the member about proposals.
    pub fn govern(&self, message: GovernanceMessage, seq: u64) -> Vec<u8> {
        let request =
            Request::Governance(Box::new(GovernanceTx { message, submission: self.submission(seq) }));
        let chain = &self.genesis.chain_id;
        Envelope::signed(request, chain, |message| Signature(self.key.sign(&message.0))).bytes().to_vec()
    }

    fn submission(&self, seq: u64) -> Submission {
        Submission {
            entity: self.genesis.entities[self.place].entity_id,
            seq,
            key: PublicKey::ed25519(self.key.public_key()),
            signature: Signature([0; 64]),
        }
    }

    /// Consumes the state that `state` names, by a transaction that `salt` makes different from others.
    pub fn notarise(&self, state: u8, salt: u8, seq: u64) -> Notarisation {
        let owner = ves::SigningKey::from_seed([state; 32]);
        let policy = Policy::new(1, [PublicKey::ed25519(owner.public_key())]).unwrap();
        let blind = Blind([state; 32]);
        let nullifier = policy::nullifier(&blind, &policy.hash());
        let chain = &self.genesis.chain_id;
        let header = Header {
            format: 1,
            chain_id: chain.clone(),
            not_before_height: 0,
            expires_height: 0,
            params_hash: self.genesis.params.hash(),
            contract_set_hash: Digest::ZERO,
            attester_policy: None,
        };
        let body = Body {
            nullifiers: List::new([nullifier]).unwrap(),
            outputs: List::default(),
            commands: List::default(),
            references: List::default(),
            attachments: List::default(),
            time_window: List::default(),
            header: One(header),
            inputs: List::new([StateRef { tx_id: TxId([state; 32]), index: 0 }]).unwrap(),
            capsules: List::default(),
            memo: List::default(),
        };
        let content = NotariseContent::of(&SaltedBody { salt: Salt([salt; 32]), body }, Mode::Private);
        let tx_id = content.tx_id();
        let spend = Signature(owner.sign(&spend_message(chain, &tx_id).0));
        let opening = Opening { blind, policy, signatures: List::new([Some(spend)]).unwrap() };
        let submission = self.submission(seq);
        let request = Notarise {
            content,
            openings: List::new([opening]).unwrap(),
            submission,
            attestations: List::default(),
            receipts: List::default(),
        };
        let request = Request::Notarise(Box::new(request));
        let envelope = Envelope::signed(request, chain, |message| Signature(self.key.sign(&message.0)));
        Notarisation { bytes: envelope.bytes().to_vec(), tx_id, spent: nullifier.spent_key() }
    }
}
