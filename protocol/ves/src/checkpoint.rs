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
    pub fn verify(
        &self,
        sequencer_id: &SequencerId,
        key: &PublicKey,
    ) -> Result<&Checkpoint, CheckpointError> {
        let name = sequencer_id.to_string();
        let hash = key_hash(&name, key.as_bytes());
        let is_ours = |line: &&NoteSignature| line.name == name && line.key_hash == hash;
        let line = self.signatures.iter().find(is_ours).ok_or(CheckpointError::OtherKey)?;
        let signature =
            line.signature.as_slice().try_into().map_err(|_| CheckpointError::InvalidSignature)?;
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
    let (Some(origin), Some(size), Some(root), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::SigningKey;
    use crate::ids::{StoreId, TenantId};
    use proptest::prelude::*;

    fn signer() -> (SigningKey, PublicKey, SequencerId) {
        let key = SigningKey::from_seed([7; 32]);
        let public = PublicKey::from_bytes(&key.public_key()).unwrap();
        (key, public, SequencerId::from_bytes([0x11; 16]))
    }

    fn checkpoint(size: u64, root: [u8; 32]) -> Checkpoint {
        let stream =
            StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
        Checkpoint::for_stream(&stream, size, Digest(root))
    }

    #[test]
    fn the_note_has_the_published_form() {
        let (key, public, id) = signer();
        let checkpoint = checkpoint(20_852_163, [0; 32]);
        let note = checkpoint.sign(&id, &key).unwrap();
        let lines: Vec<&str> = note.split('\n').collect();
        let [origin, size, root, blank, signature, end] = lines[..] else { panic!("{note}") };
        assert_eq!(origin, format!("stateset/{}", origin.rsplit('/').next().unwrap()));
        assert_eq!(origin.len(), "stateset/".len() + 64);
        assert_eq!((size, root), ("20852163", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        assert_eq!((blank, end), ("", ""));
        let encoded = signature.strip_prefix("\u{2014} 11111111-1111-1111-1111-111111111111 ").unwrap();
        let bytes = Base64::decode_vec(encoded).unwrap();
        let mut named = b"11111111-1111-1111-1111-111111111111\n\x01".to_vec();
        named.extend_from_slice(public.as_bytes());
        assert_eq!(bytes[..4], sha2::Sha256::digest(&named)[..4]);
        let signed = bytes[4..].try_into().unwrap();
        assert!(public.verify(format!("{origin}\n{size}\n{root}\n").as_bytes(), signed));
    }

    /// The verifier key `PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW` is the example of the
    /// signed-note documentation: its key hash is c74f20a3.
    #[test]
    fn the_key_hash_is_that_of_other_implementations() {
        let encoded = Base64::decode_vec("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let key: [u8; 32] = encoded[1..].try_into().unwrap();
        assert_eq!(encoded[0], ED25519_TYPE);
        assert_eq!(key_hash("PeterNeumann", &key), [0xc7, 0x4f, 0x20, 0xa3]);
    }

    #[test]
    fn only_the_sequencers_own_key_counts() {
        let (key, public, id) = signer();
        let other = SigningKey::from_seed([8; 32]);
        let other_public = PublicKey::from_bytes(&other.public_key()).unwrap();
        let good = checkpoint(5, [3; 32]);
        let note = SignedCheckpoint::parse(&good.sign(&id, &key).unwrap()).unwrap();
        assert_eq!(note.verify(&id, &public), Ok(&good));
        assert_eq!(note.verify(&id, &other_public), Err(CheckpointError::OtherKey));
        assert_eq!(
            note.verify(&SequencerId::from_bytes([0x12; 16]), &public),
            Err(CheckpointError::OtherKey)
        );
        let text = checkpoint(6, [3; 32]).sign(&id, &key).unwrap().replacen("\n6\n", "\n5\n", 1);
        let forged = SignedCheckpoint::parse(&text).unwrap();
        assert_eq!(forged.verify(&id, &public), Err(CheckpointError::InvalidSignature));
    }

    #[test]
    fn lines_of_witnesses_may_follow() {
        let (key, public, id) = signer();
        let note = checkpoint(5, [3; 32]).sign(&id, &key).unwrap();
        let witnessed = format!("{note}\u{2014} witness.example/w1 {}\n", Base64::encode_string(&[9; 76]));
        let parsed = SignedCheckpoint::parse(&witnessed).unwrap();
        assert_eq!(parsed.signatures().len(), 2);
        assert!(parsed.verify(&id, &public).is_ok());
        let crowd =
            format!("{note}{}", format!("\u{2014} w {}\n", Base64::encode_string(&[9; 8])).repeat(32));
        assert_eq!(SignedCheckpoint::parse(&crowd), Err(CheckpointError::TooManySignatures));
    }

    #[test]
    fn any_other_spelling_is_refused() {
        let (key, _, id) = signer();
        let note = checkpoint(5, [0xff; 32]).sign(&id, &key).unwrap();
        let (body, line) = note.split_once("\n\n").unwrap();
        let edits = [
            note.trim_end().to_owned(),
            format!("{note}\n"),
            format!("\n{note}"),
            note.replace('\n', "\r\n"),
            note.replacen("\n5\n", "\n05\n", 1),
            note.replacen("\n5\n", "\n+5\n", 1),
            note.replacen("\n5\n", "\n-5\n", 1),
            note.replacen("\n5\n", "\n18446744073709551616\n", 1),
            note.replacen("\n5\n", "\n\n", 1),
            note.replacen("=\n", "\n", 1),
            note.replacen("8=\n", "9=\n", 1),
            note.replacen("\n\n", "\nextension\n\n", 1),
            format!("{body}\n\n"),
            format!("{body}\n"),
            note.replacen('\u{2014}', "-", 1),
            note.replacen("\u{2014} ", "\u{2014}  ", 1),
            note.replacen(" 1111", " 1+11", 1),
            note.replacen("stateset/", "\tstateset/", 1),
            format!("{body}\n\n{} x\n", line.trim_end()),
            format!("{body}\n\n\u{2014} name AAAAAA==\n"),
            format!("{body}\n\n\u{2014} name AAAA\n"),
            "x".repeat(CHECKPOINT_BYTES_MAX + 1),
        ];
        for edit in edits {
            assert_ne!(edit, note);
            assert!(SignedCheckpoint::parse(&edit).is_err(), "{edit:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_signed_is_what_is_read(size: u64, root: [u8; 32]) {
            let (key, public, id) = signer();
            let good = checkpoint(size, root);
            let note = SignedCheckpoint::parse(&good.sign(&id, &key).unwrap()).unwrap();
            prop_assert_eq!(note.checkpoint(), &good);
            prop_assert_eq!(note.verify(&id, &public), Ok(&good));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(stateset/|[a-z\n \u{2014}+0-9A-F=/]{0,40}){0,6}") {
            if let Ok(note) = SignedCheckpoint::parse(&text) {
                prop_assert!(text.starts_with(&note.checkpoint().body()));
            }
        }

        #[test]
        fn a_changed_character_is_noticed(at: prop::sample::Index, by in 1u8..128) {
            let (key, public, id) = signer();
            let good = checkpoint(123_456, [0x5a; 32]);
            let mut bytes = good.sign(&id, &key).unwrap().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            let verdict = String::from_utf8(bytes).ok().and_then(|text| SignedCheckpoint::parse(&text).ok())
                .map(|note| note.verify(&id, &public).is_ok());
            prop_assert_ne!(verdict, Some(true));
        }
    }
}
