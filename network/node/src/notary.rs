//! Capsules on notaries (8.4). A [`Notary`] stores ciphertexts by their hash, signs a receipt for each, and gives them back
//! to whoever asks; [`NotaryCapsules`] is how a participant's node reaches the notaries that it knows.

use std::sync::Arc;

use stateset_ledger_types::codec::{Blob, List};
use stateset_ledger_types::envelope::BlobReceipt;
use stateset_ledger_types::ids::{ChainId, EntityId, TxId};
use stateset_ledger_types::keys::{PublicKey, Signature, blob_message};
use stateset_peer::message::{
    Answer, BESIDE_MAX, BLOB_PIECE_BYTES_MAX, Beside, BlobPiece, CAPSULE_BYTES_MAX, GetBeside, GetBlob,
    LayBeside, Question, Reject, RejectCode, StoreCapsule,
};
use stateset_peer::{Delivery, Handler};
use ves::hash::Hasher;
use ves::{Digest, Signer};

use crate::capsules::{CapsuleFile, NotKept};
use crate::error::ChainError;
use crate::ports::{CapsuleStore, Clock, Peers};

const DAY_MS: u64 = 86_400_000;
/// Room for what lies beside a transaction in one answer; the rest is asked for again.
const ANSWER_BYTES_MAX: usize = CAPSULE_BYTES_MAX + (1 << 20);
/// Most pieces that one notary gives beside one transaction.
const BESIDE_OF_NOTARY_MAX: u32 = 4_096;

/// The capsule store of a notary node.
pub struct Notary {
    entity: EntityId,
    chain_id: ChainId,
    /// The notary's ledger key: the ledger takes receipts by no other.
    key: Arc<dyn Signer>,
    store: CapsuleFile,
    clock: Arc<dyn Clock>,
}

fn reject(code: RejectCode, text: impl std::fmt::Display) -> Answer {
    Answer::Reject(Reject::new(code, text))
}

fn not_kept(problem: &NotKept) -> Answer {
    match problem {
        NotKept::Failed(_) => reject(RejectCode::Internal, "the store failed"),
        NotKept::TooMuch | NotKept::TooMany => reject(RejectCode::Busy, problem),
    }
}

impl Notary {
    pub fn new(
        entity: EntityId,
        chain_id: ChainId,
        key: Arc<dyn Signer>,
        store: CapsuleFile,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { entity, chain_id, key, store, clock }
    }

    pub fn entity(&self) -> EntityId {
        self.entity
    }

    /// Answers a member of the network.
    pub fn answer(&self, from: &EntityId, question: &Question) -> Answer {
        match question {
            Question::Store(StoreCapsule { ciphertext }) => self.keep(from, ciphertext),
            Question::Blob(get) => self.piece(get),
            Question::Lay(LayBeside { tx_id, sealed }) => {
                match self.store.lay(from, self.day(), tx_id, sealed) {
                    Ok(()) => Answer::Laid,
                    Err(problem) => not_kept(&problem),
                }
            }
            Question::Beside(get) => self.beside(from, get),
            _ => reject(RejectCode::NotFound, "a notary serves capsules, and nothing else"),
        }
    }

    fn day(&self) -> u64 {
        self.clock.now_ms() / DAY_MS
    }

    /// The receipt is signed when the ciphertext is durable, and not before.
    fn keep(&self, from: &EntityId, ciphertext: &[u8]) -> Answer {
        let hash = match self.store.store(from, self.day(), ciphertext) {
            Ok(hash) => hash,
            Err(problem) => return not_kept(&problem),
        };
        match self.key.sign(&blob_message(&self.chain_id, &hash).0) {
            Ok(signature) => Answer::Stored(BlobReceipt {
                notary: self.entity,
                ciphertext_hash: hash,
                key: PublicKey::ed25519(self.key.public_key()),
                signature: Signature(signature),
            }),
            Err(_) => reject(RejectCode::Internal, "the notary's key does not sign"),
        }
    }

    fn piece(&self, get: &GetBlob) -> Answer {
        let Ok(found) = self.store.get(&get.hash) else {
            return reject(RejectCode::Internal, "the store failed");
        };
        let Some(whole) = found else { return reject(RejectCode::NotFound, "no such capsule is here") };
        let from = usize::try_from(get.offset).unwrap_or(usize::MAX).min(whole.len());
        let until = whole.len().min(from.saturating_add(BLOB_PIECE_BYTES_MAX));
        let bytes = Blob::new(&whole[from..until]).expect("no more than a piece has");
        Answer::Blob(BlobPiece { hash: get.hash, size: whole.len() as u64, offset: get.offset, bytes })
    }

    fn beside(&self, from: &EntityId, get: &GetBeside) -> Answer {
        let found = self.store.beside(from, &get.tx_id, get.after, BESIDE_MAX, ANSWER_BYTES_MAX);
        let Ok(page) = found else { return reject(RejectCode::Internal, "the store failed") };
        let sealed: Result<Vec<_>, _> = page.sealed.into_iter().map(Blob::new).collect();
        let sealed = sealed.ok().and_then(|sealed| List::new(sealed).ok());
        // What was laid here came in a frame, so that it fits into one.
        match sealed {
            Some(sealed) => Answer::Beside(Beside { sealed, more: page.more }),
            None => reject(RejectCode::Internal, "a piece is longer than a message"),
        }
    }
}

/// What arrives, for a notary.
pub struct NotaryReceiver(pub Arc<Notary>);

impl Handler for NotaryReceiver {
    /// A notary takes part in no flow: what is proposed to it goes unanswered.
    async fn deliver(&self, _: Delivery) -> Result<(), String> {
        Ok(())
    }

    async fn answer(&self, from: EntityId, question: Question) -> Answer {
        let notary = Arc::clone(&self.0);
        let answered = tokio::task::spawn_blocking(move || notary.answer(&from, &question)).await;
        answered.unwrap_or_else(|_| reject(RejectCode::Internal, "the notary failed"))
    }
}

/// Says which notaries there are now.
pub type Notaries = dyn Fn() -> Vec<EntityId> + Send + Sync;

/// [`CapsuleStore`] on the machines of notaries. What they answer is believed as far as it hashes, opens and fits.
pub struct NotaryCapsules {
    chain_id: ChainId,
    peers: Arc<dyn Peers>,
    notaries: Box<Notaries>,
}

/// What each notary answered.
struct Asked<T> {
    answers: Vec<T>,
    /// Notaries that answered, with what was asked for or without.
    answered: usize,
    all: usize,
    failed: String,
}

impl<T> Asked<T> {
    /// What was left with f + 1 of n ≥ 3 f + 1 notaries, as the ledger asks for it, is with one of any n - f.
    fn is_sure(&self) -> bool {
        self.answered > 0 && self.answered >= self.all - self.all.saturating_sub(1) / 3
    }

    fn unreachable(&self) -> ChainError {
        let (answered, all) = (self.answered, self.all);
        ChainError::Unreachable(format!("{answered} of {all} notaries answer for capsules: {}", self.failed))
    }
}

impl NotaryCapsules {
    /// `notaries`: whom to ask, each time anew.
    pub fn new(chain_id: ChainId, peers: Arc<dyn Peers>, notaries: Box<Notaries>) -> Self {
        Self { chain_id, peers, notaries }
    }

    /// Asks each notary. `read`: `Ok(None)` of an answer that means "not here", `Err` of one that means nothing.
    fn ask<T>(&self, ask: impl Fn(&EntityId) -> Result<Option<T>, String>) -> Asked<T> {
        let notaries = (self.notaries)();
        let mut asked = Asked {
            answers: Vec::new(),
            answered: 0,
            all: notaries.len(),
            failed: "there are none".to_owned(),
        };
        for notary in &notaries {
            match ask(notary) {
                Ok(answer) => {
                    asked.answered += 1;
                    asked.answers.extend(answer);
                }
                Err(problem) => asked.failed = format!("{notary}: {problem}"),
            }
        }
        asked
    }

    fn question(&self, notary: &EntityId, question: &Question) -> Result<Answer, String> {
        match self.peers.ask(notary, question).map_err(|error| error.to_string())? {
            Answer::Reject(reject) if reject.code != RejectCode::NotFound => Err(reject.to_string()),
            answer => Ok(answer),
        }
    }

    fn receipt(&self, notary: &EntityId, ciphertext: &[u8]) -> Result<Option<BlobReceipt>, String> {
        let ciphertext_hash = Hasher::bare().bytes(ciphertext).finish();
        let ciphertext = Blob::new(ciphertext).map_err(|problem| problem.to_string())?;
        match self.question(notary, &Question::Store(StoreCapsule { ciphertext }))? {
            Answer::Stored(receipt)
                if receipt.notary == *notary
                    && receipt.ciphertext_hash == ciphertext_hash
                    && receipt
                        .key
                        .verify(&blob_message(&self.chain_id, &ciphertext_hash).0, &receipt.signature) =>
            {
                Ok(Some(receipt))
            }
            Answer::Stored(_) => Err("its receipt does not hold".to_owned()),
            _ => Err("it stores no capsules".to_owned()),
        }
    }

    fn fetch(&self, notary: &EntityId, hash: &Digest) -> Result<Option<Vec<u8>>, String> {
        let mut whole = Vec::new();
        loop {
            let get = GetBlob { hash: *hash, offset: whole.len() as u64 };
            let Answer::Blob(piece) = self.question(notary, &Question::Blob(get))? else { return Ok(None) };
            whole.extend_from_slice(&piece.bytes);
            if whole.len() > CAPSULE_BYTES_MAX {
                return Err("what it gives is longer than a capsule".to_owned());
            }
            if whole.len() as u64 >= piece.size || piece.bytes.is_empty() {
                break;
            }
        }
        match Hasher::bare().bytes(&whole).finish() == *hash {
            true => Ok(Some(whole)),
            false => Err("what it gives is another capsule".to_owned()),
        }
    }

    fn pieces_beside(&self, notary: &EntityId, tx_id: &TxId) -> Result<Option<Vec<Vec<u8>>>, String> {
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        loop {
            let after = u32::try_from(pieces.len()).unwrap_or(BESIDE_OF_NOTARY_MAX);
            let get = GetBeside { tx_id: *tx_id, after };
            let Answer::Beside(found) = self.question(notary, &Question::Beside(get))? else {
                return Ok(None);
            };
            pieces.extend(found.sealed.iter().map(|sealed| sealed.to_vec()));
            if !found.more || found.sealed.is_empty() || after >= BESIDE_OF_NOTARY_MAX {
                return Ok(Some(pieces));
            }
        }
    }
}

impl CapsuleStore for NotaryCapsules {
    fn put(&self, ciphertext: &[u8]) -> Result<Vec<BlobReceipt>, ChainError> {
        let asked = self.ask(|notary| self.receipt(notary, ciphertext));
        if asked.answers.is_empty() { Err(asked.unreachable()) } else { Ok(asked.answers) }
    }

    fn get(&self, hash: &Digest) -> Result<Option<Vec<u8>>, ChainError> {
        let mut asked = self.ask(|notary| self.fetch(notary, hash));
        match asked.answers.pop() {
            Some(found) => Ok(Some(found)),
            None if asked.is_sure() => Ok(None),
            None => Err(asked.unreachable()),
        }
    }

    fn lay_beside(&self, tx_id: &TxId, sealed: &[u8]) -> Result<(), ChainError> {
        let sealed = Blob::new(sealed).map_err(|problem| ChainError::Unreachable(problem.to_string()))?;
        let lay = Question::Lay(LayBeside { tx_id: *tx_id, sealed });
        let asked = self.ask(|notary| match self.question(notary, &lay)? {
            Answer::Laid => Ok(Some(())),
            _ => Err("it keeps nothing beside capsules".to_owned()),
        });
        if asked.answers.is_empty() { Err(asked.unreachable()) } else { Ok(()) }
    }

    fn beside(&self, tx_id: &TxId) -> Result<Vec<Vec<u8>>, ChainError> {
        let asked = self.ask(|notary| self.pieces_beside(notary, tx_id));
        let sure = asked.is_sure();
        let unreachable = asked.unreachable();
        let found: Vec<Vec<u8>> = asked.answers.into_iter().flatten().collect();
        if found.is_empty() && !sure { Err(unreachable) } else { Ok(found) }
    }
}
