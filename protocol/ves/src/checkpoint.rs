//! Signed checkpoints of a stream's log (section 13.4): a C2SP `tlog-checkpoint` in a C2SP `signed-note`.
//!
//! ```text
//! stateset/<stream id, 64 hex digits>
//! <size, decimal>
//! <root, base64>
//!
//! — <sequencer id> <base64 of key hash (4 bytes) and signature (64 bytes)>
//! ```

use base64ct::{Base64, Encoding as _};
use sha2::Digest as _;

use crate::commitment::stream_id;
use crate::ed25519::{PublicKey, Signer, SignerError};
use crate::hash::Digest;
use crate::ids::{SequencerId, StreamKey};

/// Longest note that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;
/// Most signature lines that are read: the sequencer's and those of witnesses.
pub const SIGNATURES_MAX: usize = 32;

/// Em dash and space: how a signature line begins.
const SIGNATURE_PREFIX: &str = "\u{2014} ";
/// Signature type of Ed25519 in a key hash.
const ED25519_TYPE: u8 = 0x01;

/// What a log is at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    /// Number of entries; the sequence number of the last.
    pub size: u64,
    pub root: Digest,
}

impl Checkpoint {
    /// The checkpoint of a stream's log.
    pub fn for_stream(stream: &StreamKey, size: u64, root: Digest) -> Self {
        Self { origin: origin(stream), size, root }
    }

    /// The three lines that are signed, with their line ends.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root.0))
    }

    /// The whole note, signed by the sequencer's key.
    ///
    /// # Errors
    /// [`SignerError`] when the key is out of reach.
    pub fn sign(&self, sequencer_id: &SequencerId, signer: &dyn Signer) -> Result<String, SignerError> {
        let (body, name) = (self.body(), sequencer_id.to_string());
        let mut signature = key_hash(&name, &signer.public_key()).to_vec();
        signature.extend_from_slice(&signer.sign(body.as_bytes())?);
        Ok(format!("{body}\n{SIGNATURE_PREFIX}{name} {}\n", Base64::encode_string(&signature)))
    }
}

/// First line of a stream's checkpoints.
pub fn origin(stream: &StreamKey) -> String {
    format!("stateset/{}", stream_id(stream))
}

/// Which key made a signature line: the first 4 bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`.
pub fn key_hash(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let hash = sha2::Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519_TYPE])
        .chain_update(public_key)
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// One line below the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    pub name: String,
    pub key_hash: [u8; 4],
    /// 64 bytes for plain Ed25519; witnesses may use other types.
    pub signature: Vec<u8>,
}

/// A checkpoint as received. Its signatures are not checked until [`SignedCheckpoint::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<NoteSignature>,
}

/// Why a text is not a signed checkpoint, or does not carry the expected signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("the note is longer than {CHECKPOINT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the note has no blank line between its body and its signatures")]
    NoSignatures,
    #[error("the body is not origin, size and root on three lines")]
    Body,
    #[error("the origin is empty or holds a control character")]
    Origin,
    #[error("the size is not a plain decimal number")]
    Size,
    #[error("the root is not 32 bytes of base64")]
    Root,
    #[error("signature line {line} is malformed")]
    SignatureLine { line: usize },
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    #[error("no signature is by the expected key")]
    OtherKey,
    #[error("the signature does not verify")]
    InvalidSignature,
}

impl SignedCheckpoint {
    /// Reads a note. Only the one text that [`Checkpoint::sign`] would print for these values is accepted, with
    /// further signature lines allowed behind.
    ///
    /// # Errors
    /// [`CheckpointError`] names the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::TooLong);
        }
        let (body, signatures) = text.split_once("\n\n").ok_or(CheckpointError::NoSignatures)?;
        Ok(Self { checkpoint: parse_body(body)?, signatures: parse_signatures(signatures)? })
    }

    /// What the note says, whoever signed it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Whether the sequencer's key signed this; returns what it signed.
    ///
    /// # Errors
    /// [`CheckpointError::OtherKey`] when no line names this sequencer and key, [`CheckpointError::InvalidSignature`]
    /// when one does and does not verify.
    pub fn verify(&self, sequencer_id: &SequencerId, key: &PublicKey) -> Result<&Checkpoint, CheckpointError> {
        let name = sequencer_id.to_string();
        let hash = key_hash(&name, key.as_bytes());
        let is_ours = |line: &&NoteSignature| line.name == name && line.key_hash == hash;
        let line = self.signatures.iter().find(is_ours).ok_or(CheckpointError::OtherKey)?;
        let signature = line.signature.as_slice().try_into().map_err(|_| CheckpointError::InvalidSignature)?;
        if key.verify(self.checkpoint.body().as_bytes(), signature) {
            Ok(&self.checkpoint)
        } else {
            Err(CheckpointError::InvalidSignature)
        }
    }
}

/// `body` is without its last line end.
fn parse_body(body: &str) -> Result<Checkpoint, CheckpointError> {
    let mut lines = body.split('\n');
    let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
        return Err(CheckpointError::Body);
    };
    if origin.is_empty() || origin.chars().any(char::is_control) {
        return Err(CheckpointError::Origin);
    }
    let number = size.parse::<u64>().map_err(|_| CheckpointError::Size)?;
    // `parse` also takes a sign and leading zeros.
    if number.to_string() != size {
        return Err(CheckpointError::Size);
    }
    let mut bytes = [0; 32];
    let decoded = Base64::decode(root, &mut bytes).map_err(|_| CheckpointError::Root)?;
    if decoded.len() != 32 {
        return Err(CheckpointError::Root);
    }
    Ok(Checkpoint { origin: origin.to_owned(), size: number, root: Digest(bytes) })
}

fn parse_signatures(text: &str) -> Result<Vec<NoteSignature>, CheckpointError> {
    let lines = text.strip_suffix('\n').ok_or(CheckpointError::NoSignatures)?;
    let mut signatures = Vec::new();
    for (i, line) in lines.split('\n').enumerate() {
        if i == SIGNATURES_MAX {
            return Err(CheckpointError::TooManySignatures);
        }
        signatures.push(parse_signature(line).ok_or(CheckpointError::SignatureLine { line: i + 1 })?);
    }
    Ok(signatures)
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    // The signed-note rule for key names: no white space, no plus sign.
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return None;
    }
    let bytes = Base64::decode_vec(encoded).ok()?;
    let (key_hash, signature) = bytes.split_first_chunk::<4>()?;
    (!signature.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        key_hash: *key_hash,
        signature: signature.to_vec(),
    })
}
