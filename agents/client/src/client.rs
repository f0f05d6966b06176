//! One server: its identity, and the reads whose answers prove themselves.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ves::checkpoint::{Checkpoint, SignedCheckpoint};
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::log::verify_consistency;
use ves::{BatchId, SequenceNumber, SequencerId, StreamKey};
use ves_wire::commitments::{CommitRequest, CommitmentBody, CommitmentList};
use ves_wire::events::HeadBody;
use ves_wire::operations::{HealthBody, SequencerBody};
use ves_wire::proofs::{ConsistencyBody, InclusionProofBody};

use crate::http::Http;
use crate::{ClientError, Untrue};

/// A server's name and the keys that sign its receipts, by version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub sequencer_id: SequencerId,
    pub key_version: u32,
    pub keys: BTreeMap<u32, PublicKey>,
}

impl Identity {
    /// The key that signs now.
    ///
    /// # Errors
    /// [`Untrue::SequencerKey`] when the version it names is not among its keys.
    pub fn current_key(&self) -> Result<&PublicKey, Untrue> {
        let absent = || Untrue::SequencerKey(format!("version {} is not published", self.key_version));
        self.keys.get(&self.key_version).ok_or_else(absent)
    }
}

impl TryFrom<&SequencerBody> for Identity {
    type Error = Untrue;

    fn try_from(body: &SequencerBody) -> Result<Self, Untrue> {
        let read = |bytes: &[u8; 32]| {
            PublicKey::from_bytes(bytes).map_err(|problem| Untrue::SequencerKey(problem.to_string()))
        };
        let mut keys = BTreeMap::from([(body.key_version, read(&body.public_key.0)?)]);
        for key in &body.keys {
            keys.insert(key.key_version, read(&key.public_key.0)?);
        }
        Ok(Self { sequencer_id: body.sequencer_id, key_version: body.key_version, keys })
    }
}

/// A blocking client of one server. Cheap to share between threads by reference.
pub struct Client {
    pub(crate) http: Http,
    identity: OnceLock<Identity>,
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:8080` or `https://NAME`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ClientError> {
        Ok(Self { http: Http::new(url, api_key)?, identity: OnceLock::new() })
    }

    /// The same, for a server whose keys are already known: its own word about them is not asked for.
    pub fn pinned(url: &str, api_key: Option<String>, identity: Identity) -> Result<Self, ClientError> {
        Ok(Self { http: Http::new(url, api_key)?, identity: identity.into() })
    }

    pub fn url(&self) -> &str {
        self.http.base()
    }

    pub fn health(&self) -> Result<HealthBody, ClientError> {
        self.http.get("/health")
    }

    /// Who signs receipts here: as pinned, else as published, asked once.
    pub fn identity(&self) -> Result<&Identity, ClientError> {
        if let Some(known) = self.identity.get() {
            return Ok(known);
        }
        let body: SequencerBody = self.http.get("/api/v1/ves/sequencer")?;
        let identity = Identity::try_from(&body)?;
        Ok(self.identity.get_or_init(|| identity))
    }

    /// The head of a stream. Nothing in this answer is signed; see [`Client::checkpoint`].
    pub fn head(&self, stream: &StreamKey) -> Result<HeadBody, ClientError> {
        self.http.get(&format!("/api/v1/ves/head?{}", query(stream)))
    }

    /// Commits `start..=end`, which must continue the chain. Asking again gives the same commitment.
    pub fn commit(
        &self,
        stream: &StreamKey,
        start: SequenceNumber,
        end: SequenceNumber,
    ) -> Result<Commitment, ClientError> {
        let request = CommitRequest {
            tenant_id: stream.tenant_id,
            store_id: stream.store_id,
            sequence_start: start,
            sequence_end: end,
        };
        checked(&self.http.post_json("/api/v1/ves/commitments", &request)?)
    }

    /// Up to `limit` commitments, the first with its end at or after `from`; each is true to itself and follows the
    /// one before it.
    pub fn commitments(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<Vec<Commitment>, ClientError> {
        let path = format!("/api/v1/ves/commitments?{}&from={from}&limit={limit}", query(stream));
        let list: CommitmentList = self.http.get(&path)?;
        let commitments: Vec<Commitment> = list.commitments.iter().map(checked).collect::<Result<_, _>>()?;
        for pair in commitments.windows(2) {
            pair[1].follows(Some(&pair[0])).map_err(|problem| Untrue::Proof(problem.to_string()))?;
        }
        Ok(commitments)
    }

    pub fn commitment(&self, batch: &BatchId) -> Result<Commitment, ClientError> {
        checked(&self.http.get(&format!("/api/v1/ves/commitments/{batch}"))?)
    }

    /// The commitment that holds event `n`, if one does yet.
    pub fn commitment_of(
        &self,
        stream: &StreamKey,
        n: SequenceNumber,
    ) -> Result<Option<Commitment>, ClientError> {
        Ok(self.commitments(stream, n, 1)?.into_iter().find(|commitment| commitment.covers(n)))
    }

    pub(crate) fn inclusion(
        &self,
        stream: &StreamKey,
        batch: &BatchId,
        n: SequenceNumber,
    ) -> Result<InclusionProofBody, ClientError> {
        self.http.get(&format!("/api/v1/ves/proofs/{n}?{}&batch_id={batch}", query(stream)))
    }

    /// The newest checkpoint, or the one of `size`: its text, and what it says, verified under the sequencer's key.
    pub fn checkpoint(
        &self,
        stream: &StreamKey,
        size: Option<u64>,
    ) -> Result<(String, Checkpoint), ClientError> {
        let size = size.map(|size| format!("&size={size}")).unwrap_or_default();
        let text = self.http.get_text(&format!("/api/v1/ves/checkpoint?{}{size}", query(stream)))?;
        let identity = self.identity()?;
        let says = verified_checkpoint(&text, stream, identity)?;
        Ok((text, says))
    }

    /// Checks that the log of `to` begins with the log of `from`; both roots come from checkpoints the caller trusts.
    pub fn verify_growth(
        &self,
        stream: &StreamKey,
        from: &Checkpoint,
        to: &Checkpoint,
    ) -> Result<(), ClientError> {
        let path = format!("/api/v1/ves/consistency?{}&from={}&to={}", query(stream), from.size, to.size);
        let proof: ConsistencyBody = self.http.get(&path)?;
        verify_consistency(from.size, to.size, &from.root, &to.root, &proof.hashes).map_err(|problem| {
            Untrue::Consistency { from: from.size, to: to.size, problem: problem.to_string() }.into()
        })
    }
}

/// What the text says, when one of the sequencer's keys signed it for this stream.
///
/// # Errors
/// [`Untrue::Checkpoint`].
pub fn verified_checkpoint(
    text: &str,
    stream: &StreamKey,
    identity: &Identity,
) -> Result<Checkpoint, Untrue> {
    let untrue = |problem: String| Untrue::Checkpoint(problem);
    let signed = SignedCheckpoint::parse(text).map_err(|problem| untrue(problem.to_string()))?;
    let mut last = None;
    for key in identity.keys.values().rev() {
        match signed.verify(&identity.sequencer_id, key) {
            Ok(says) if says.origin == ves::checkpoint::origin(stream) => return Ok(says.clone()),
            Ok(_) => return Err(untrue("it is of another stream".to_owned())),
            Err(problem) => last = Some(problem.to_string()),
        }
    }
    Err(untrue(last.unwrap_or_else(|| "no key is known".to_owned())))
}

pub(crate) fn query(stream: &StreamKey) -> String {
    format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id)
}

fn checked(body: &CommitmentBody) -> Result<Commitment, ClientError> {
    let commitment = Commitment::from(body);
    commitment.check().map_err(Untrue::from)?;
    Ok(commitment)
}
