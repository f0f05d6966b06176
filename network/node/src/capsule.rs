//! Capsules (8.4): a transaction sealed to each of its recipients, so that a lost vault can be made anew from the chain,
//! the capsules and the view key.
//!
//! A capsule is HPKE in the suite of the event protocol, to the recipient's view key. Its plaintext is the length of the
//! content, the content, and zeros up to a ciphertext of 2^n bytes, 1 KiB at least, so that its size tells little.

use stateset_ledger_types::body::{Body, Capsule, CapsuleLookup, SaltedBody};
use stateset_ledger_types::codec::{Blob, Decode, Encode, List, Reader, VALUE_BYTES_MAX, put_bytes, record};
use stateset_ledger_types::ids::{ChainId, TxId};
use stateset_ledger_types::tree::{GROUPS, Mode, Salt, capsule_info, core_id, view_tag};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::{Signatures, SignedTransaction, Whole};
use ves::Digest;
use ves::hash::Hasher;
use ves::hpke::{self, HpkeError, TAG_BYTES};
use x25519_dalek::{PublicKey, StaticSecret};

/// Least bytes of a ciphertext.
const CIPHERTEXT_BYTES_MIN: usize = 1024;
/// Bytes of an encapsulated key.
const KEY_BYTES: usize = 32;

record! {
    /// The key of an attachment that is stored encrypted.
    pub struct AttachmentKey {
        pub content_hash: Digest,
        pub key: Blob<64>,
    }

    /// What a capsule holds: everything of a transaction but the capsules themselves.
    pub struct CapsuleContent {
        pub mode: Mode,
        pub salt: Salt,
        /// Its group 8 is empty here.
        pub body: Body,
        pub attachment_keys: List<AttachmentKey, 256>,
    }
}

/// What one capsule is sealed with. With it the ciphertext can be made again; it opens nothing but that capsule, and lies
/// in the vault beside the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// X25519 view key of the recipient.
    pub view_key: [u8; 32],
    /// Fresh random bytes, for this capsule alone.
    pub ephemeral_secret: [u8; 32],
}

/// A sealed capsule: its component of group 8, and what notaries store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub component: Capsule,
    pub ciphertext: Vec<u8>,
}

/// Why a capsule does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapsuleError {
    #[error("the view key of a recipient is of no use: {0}")]
    ViewKey(HpkeError),
    #[error("the capsule does not open under this view key")]
    NotMine,
    #[error("the capsule's content is malformed: {0}")]
    Malformed(String),
    #[error("the capsule's content is of transaction {found}")]
    OtherTransaction { found: TxId },
}

impl From<CapsuleError> for Refusal {
    fn from(error: CapsuleError) -> Self {
        Self::new(Code::Malformed, error)
    }
}

/// Seals `whole`, whose group 8 is empty yet, with each of `seals`.
///
/// # Errors
/// [`CapsuleError::ViewKey`].
pub fn seal(chain_id: &ChainId, whole: &Whole, seals: &[Seal]) -> Result<Vec<Sealed>, CapsuleError> {
    assert!(whole.body.body.capsules.is_empty(), "nothing in a capsule depends on group 8");
    let content = CapsuleContent {
        mode: whole.mode,
        salt: whole.body.salt,
        body: whole.body.body.clone(),
        attachment_keys: List::default(),
    };
    let plaintext = padded(&content.to_sce());
    let info = capsule_info(chain_id, &core_id(&whole.body.group_hashes()));
    seals.iter().map(|seal| seal_one(&info, &plaintext, seal)).collect()
}

fn seal_one(info: &[u8], plaintext: &[u8], seal: &Seal) -> Result<Sealed, CapsuleError> {
    let (key, ciphertext) =
        hpke::seal(&seal.view_key, &seal.ephemeral_secret, info, plaintext).map_err(CapsuleError::ViewKey)?;
    let shared = StaticSecret::from(seal.ephemeral_secret).diffie_hellman(&PublicKey::from(seal.view_key));
    let mut lookup = [0; 33];
    lookup[0] = view_tag(shared.as_bytes());
    lookup[1..].copy_from_slice(&key);
    let component = Capsule {
        lookup: CapsuleLookup(lookup),
        ciphertext_hash: Hasher::bare().bytes(&ciphertext).finish(),
        size: u32::try_from(ciphertext.len()).expect("a value of the ledger is shorter"),
    };
    Ok(Sealed { component, ciphertext })
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut plaintext = Vec::new();
    put_bytes(&mut plaintext, content);
    let ciphertext = (plaintext.len() + TAG_BYTES).next_power_of_two().max(CIPHERTEXT_BYTES_MIN);
    plaintext.resize(ciphertext - TAG_BYTES, 0);
    plaintext
}

/// What was [`padded`].
fn unpadded(plaintext: &[u8]) -> Result<&[u8], CapsuleError> {
    let malformed = |problem: &str| CapsuleError::Malformed(problem.to_owned());
    let mut reader = Reader::new(plaintext);
    let content = reader.bytes(VALUE_BYTES_MAX).map_err(|problem| malformed(&problem.to_string()))?;
    let rest = &plaintext[reader.position()..];
    if rest.iter().any(|byte| *byte != 0) { Err(malformed("bytes follow it")) } else { Ok(content) }
}

/// Whether a capsule may be for this view key: of others' capsules one in 256 is.
pub fn may_be_mine(view_secret: &[u8; 32], lookup: &CapsuleLookup) -> bool {
    let shared = StaticSecret::from(*view_secret).diffie_hellman(&PublicKey::from(encapsulated(lookup)));
    view_tag(shared.as_bytes()) == lookup.0[0]
}

fn encapsulated(lookup: &CapsuleLookup) -> [u8; 32] {
    *lookup.0.last_chunk().expect("a tag and 32 bytes")
}

/// Opens a capsule of the transaction that has `groups` as group hashes and `capsules` as group 8.
///
/// # Errors
/// [`CapsuleError`].
pub fn open(
    chain_id: &ChainId,
    view_secret: &[u8; 32],
    lookup: &CapsuleLookup,
    groups: &[Digest; GROUPS],
    capsules: &[Capsule],
    ciphertext: &[u8],
) -> Result<Whole, CapsuleError> {
    let info = capsule_info(chain_id, &core_id(groups));
    let plaintext = hpke::open(&encapsulated(lookup), view_secret, &info, ciphertext)
        .map_err(|_| CapsuleError::NotMine)?;
    let malformed = |problem: String| CapsuleError::Malformed(problem);
    let content =
        CapsuleContent::from_sce(unpadded(&plaintext)?).map_err(|problem| malformed(problem.to_string()))?;
    if !content.body.capsules.is_empty() {
        return Err(malformed("it has capsules of its own".to_owned()));
    }
    let capsules = List::new(capsules).map_err(|problem| malformed(problem.to_string()))?;
    let body = SaltedBody { salt: content.salt, body: Body { capsules, ..content.body } };
    // What was sealed may be any body: only that of this transaction counts.
    if body.group_hashes() != *groups {
        return Err(CapsuleError::OtherTransaction { found: body.tx_id(content.mode) });
    }
    Ok(Whole { mode: content.mode, body })
}

/// Seals the signatures of a transaction to one recipient. They are over its id, so no capsule can hold them: they lie
/// beside, found by the id.
///
/// # Errors
/// [`CapsuleError::ViewKey`].
pub fn seal_signatures(
    chain_id: &ChainId,
    signatures: &Signatures,
    seal: &Seal,
) -> Result<Vec<u8>, CapsuleError> {
    seal_beside(chain_id, &signatures.tx_id, &signatures.to_sce(), seal)
}

/// Seals what lies beside the capsules of a transaction: the encapsulated key, then the ciphertext.
fn seal_beside(
    chain_id: &ChainId,
    tx_id: &TxId,
    content: &[u8],
    seal: &Seal,
) -> Result<Vec<u8>, CapsuleError> {
    let info = capsule_info(chain_id, &Digest(tx_id.0));
    let (key, ciphertext) = hpke::seal(&seal.view_key, &seal.ephemeral_secret, &info, &padded(content))
        .map_err(CapsuleError::ViewKey)?;
    Ok([&key[..], &ciphertext].concat())
}

fn open_beside(
    chain_id: &ChainId,
    view_secret: &[u8; 32],
    tx_id: &TxId,
    sealed: &[u8],
) -> Result<impl std::ops::Deref<Target = Vec<u8>> + use<>, CapsuleError> {
    let (key, ciphertext) = sealed.split_first_chunk::<KEY_BYTES>().ok_or(CapsuleError::NotMine)?;
    let info = capsule_info(chain_id, &Digest(tx_id.0));
    hpke::open(key, view_secret, &info, ciphertext).map_err(|_| CapsuleError::NotMine)
}

/// Seals a whole transaction to be laid beside its capsules: what a node keeps for itself of others' (8.5).
///
/// # Errors
/// [`CapsuleError::ViewKey`].
pub fn seal_transaction(
    chain_id: &ChainId,
    tx_id: &TxId,
    signed: &SignedTransaction,
    seal: &Seal,
) -> Result<Vec<u8>, CapsuleError> {
    seal_beside(chain_id, tx_id, &signed.to_sce(), seal)
}

/// Opens what [`seal_transaction`] made for this view key.
///
/// # Errors
/// [`CapsuleError`].
pub fn open_transaction(
    chain_id: &ChainId,
    view_secret: &[u8; 32],
    tx_id: &TxId,
    sealed: &[u8],
) -> Result<SignedTransaction, CapsuleError> {
    let plaintext = open_beside(chain_id, view_secret, tx_id, sealed)?;
    let malformed = |problem: String| CapsuleError::Malformed(problem);
    let signed = SignedTransaction::from_sce(unpadded(&plaintext)?)
        .map_err(|problem| malformed(problem.to_string()))?;
    let whole = crate::resolve::whole_of(&signed).map_err(|refusal| malformed(refusal.to_string()))?;
    match whole.body.tx_id(whole.mode) {
        found if found == *tx_id => Ok(signed),
        found => Err(CapsuleError::OtherTransaction { found }),
    }
}

/// Opens what [`seal_signatures`] made for this view key.
///
/// # Errors
/// [`CapsuleError`].
pub fn open_signatures(
    chain_id: &ChainId,
    view_secret: &[u8; 32],
    tx_id: &TxId,
    sealed: &[u8],
) -> Result<Signatures, CapsuleError> {
    let plaintext = open_beside(chain_id, view_secret, tx_id, sealed)?;
    let signatures = Signatures::from_sce(unpadded(&plaintext)?)
        .map_err(|problem| CapsuleError::Malformed(problem.to_string()))?;
    if signatures.tx_id != *tx_id {
        return Err(CapsuleError::OtherTransaction { found: signatures.tx_id });
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateset_ledger_types::body::{HEADER_FORMAT, Header, Memo, One};

    fn chain() -> ChainId {
        ChainId::new("ssn-test-1").unwrap()
    }

    /// A transaction with a memo of `length` bytes and nothing else.
    fn whole(length: usize) -> Whole {
        let header = Header {
            format: HEADER_FORMAT,
            chain_id: chain(),
            not_before_height: 0,
            expires_height: 0,
            params_hash: Digest::ZERO,
            contract_set_hash: Digest::ZERO,
            attester_policy: None,
        };
        let body = Body {
            nullifiers: List::default(),
            outputs: List::default(),
            commands: List::default(),
            references: List::default(),
            attachments: List::default(),
            time_window: List::default(),
            header: One(header),
            inputs: List::default(),
            capsules: List::default(),
            memo: List::new([Memo { bytes: Blob::new(vec![7; length]).unwrap() }]).unwrap(),
        };
        Whole { mode: Mode::Private, body: SaltedBody { salt: Salt([3; 32]), body } }
    }

    fn public(secret: u8) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from([secret; 32])).to_bytes()
    }

    fn sealed(whole: &Whole, recipients: &[u8]) -> (Whole, Vec<Sealed>) {
        let seal = |n: &u8| Seal { view_key: public(*n), ephemeral_secret: [n + 100; 32] };
        let sealed = seal_all(whole, &recipients.iter().map(seal).collect::<Vec<_>>());
        let components: Vec<_> = sealed.iter().map(|sealed| sealed.component.clone()).collect();
        let mut with = whole.clone();
        with.body.body.capsules = List::new(components).unwrap();
        (with, sealed)
    }

    fn seal_all(whole: &Whole, seals: &[Seal]) -> Vec<Sealed> {
        seal(&chain(), whole, seals).unwrap()
    }

    fn opened(with: &Whole, secret: u8, sealed: &Sealed) -> Result<Whole, CapsuleError> {
        let (groups, capsules) = (with.body.group_hashes(), &with.body.body.capsules);
        open(&chain(), &[secret; 32], &sealed.component.lookup, &groups, capsules, &sealed.ciphertext)
    }

    #[test]
    fn each_recipient_opens_its_own_capsule_to_the_whole_transaction() {
        let (with, capsules) = sealed(&whole(100), &[1, 2, 3]);
        for (n, capsule) in [1, 2, 3].into_iter().zip(&capsules) {
            assert!(may_be_mine(&[n; 32], &capsule.component.lookup));
            assert_eq!(opened(&with, n, capsule), Ok(with.clone()));
            assert_eq!(opened(&with, 9, capsule), Err(CapsuleError::NotMine));
        }
        assert_eq!(opened(&with, 1, &capsules[1]), Err(CapsuleError::NotMine));
    }

    #[test]
    fn a_capsule_of_another_transaction_does_not_open() {
        let (with, capsules) = sealed(&whole(100), &[1]);
        let (other, _) = sealed(&whole(101), &[1]);
        assert_eq!(opened(&other, 1, &capsules[0]), Err(CapsuleError::NotMine), "it is bound to its core");
        // Who builds may seal another body under this core: it opens, and is not taken.
        let info = capsule_info(&chain(), &core_id(&with.body.group_hashes()));
        let lie = CapsuleContent {
            mode: Mode::Private,
            salt: Salt([4; 32]),
            body: whole(100).body.body,
            attachment_keys: List::default(),
        };
        let seal = Seal { view_key: public(1), ephemeral_secret: [8; 32] };
        let lie = seal_one(&info, &padded(&lie.to_sce()), &seal).unwrap();
        assert!(matches!(opened(&with, 1, &lie), Err(CapsuleError::OtherTransaction { .. })));
    }

    #[test]
    fn sizes_are_powers_of_two_and_tell_little() {
        let size = |length| {
            seal_all(&whole(length), &[Seal { view_key: public(1), ephemeral_secret: [2; 32] }])[0]
                .component
                .size
        };
        let sizes: Vec<u32> = (0..=512).map(size).collect();
        assert!(sizes.iter().all(|size| *size >= 1024 && size.is_power_of_two()));
        assert_eq!(
            sizes.iter().collect::<std::collections::BTreeSet<_>>().len(),
            1,
            "one size for all of these"
        );
        for length in [0, 1, 1000, 1004, 1005, 5000] {
            let content = vec![1; length];
            assert_eq!(unpadded(&padded(&content)), Ok(content.as_slice()));
        }
        let mut trailing = padded(b"x");
        *trailing.last_mut().unwrap() = 1;
        assert!(unpadded(&trailing).is_err());
    }

    #[test]
    fn a_view_tag_drops_almost_all_foreign_capsules() {
        let (_, capsules) = sealed(&whole(10), &[1]);
        let lookup = &capsules[0].component.lookup;
        let foreign = (2..=255u8).filter(|n| may_be_mine(&[*n; 32], lookup)).count();
        assert!(foreign < 10, "{foreign} of 254");
    }
}
