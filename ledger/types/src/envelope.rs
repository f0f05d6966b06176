//! Requests as they travel and stand in blocks (section 3.6).

use ves::Digest;
use ves::hash::Hasher;

use crate::body::{COMPONENTS_MAX, Capsule, Header, One, SaltedBody, Shown, TimeWindow};
use crate::codec::{Decode, DecodeError, Encode, List, Problem, Reader, codes, put_length, record};
use crate::governance::GovernanceMessage;
use crate::ids::{ChainId, EntityId, Nullifier, SpentKey, TxId};
use crate::keys::{BusinessSignature, PublicKey, Signature};
use crate::policy::Opening;
use crate::tree::{GROUPS, Group, GroupHasher, Mode, Nonce, tx_id};

/// First bytes of every request; anything else belongs to the account lane.
pub const MAGIC: [u8; 4] = *b"SSN1";
/// Most attestations of a request, and so the highest threshold of an attester policy.
pub const ATTESTATIONS_MAX: usize = 64;
/// Most bytes of a request under any setting of `max_tx_bytes`.
pub const ENVELOPE_BYTES_MAX: usize = 1_048_576;

codes! {
    /// What a request asks for.
    pub enum Kind: u8 {
        Notarise = 1,
        PublicTx = 2,
        Governance = 3,
        ContestOpen = 4,
        ContestAnswer = 5,
    }
}

record! {
    /// Who submits: outside the transaction's id, under a signature of its own (3.5).
    pub struct Submission {
        pub entity: EntityId,
        /// Rises strictly for each entity; gaps are allowed.
        pub seq: u64,
        /// A ledger or agent key of the entity.
        pub key: PublicKey,
        pub signature: Signature,
    }

    /// An attester's word that it read the body and found it good (5.4).
    pub struct Attestation {
        pub attester: EntityId,
        pub key: PublicKey,
        pub signature: Signature,
    }

    /// A notary's word that it stores a capsule (8.4).
    pub struct BlobReceipt {
        pub notary: EntityId,
        pub ciphertext_hash: Digest,
        pub key: PublicKey,
        pub signature: Signature,
    }

    /// What the chain sees of a private or attested transaction. Bound by the transaction's id.
    pub struct NotariseContent {
        pub nullifiers: List<Shown<Nullifier>, COMPONENTS_MAX>,
        pub references: List<Shown<SpentKey>, COMPONENTS_MAX>,
        pub time_window: List<Shown<TimeWindow>, 1>,
        pub header: One<Shown<Header>>,
        pub capsules: List<Shown<Capsule>, COMPONENTS_MAX>,
        /// Hashes of groups 1, 2, 4, 7 and 9.
        pub hidden: HiddenGroups,
        pub mode: Mode,
    }

    /// Group hashes of what the chain does not see.
    pub struct HiddenGroups {
        pub outputs: Digest,
        pub commands: Digest,
        pub attachments: Digest,
        pub inputs: Digest,
        pub memo: Digest,
    }

    /// Notarise (kind 1).
    pub struct Notarise {
        pub content: NotariseContent,
        /// One for each nullifier, in order.
        pub openings: List<Opening, COMPONENTS_MAX>,
        pub submission: Submission,
        /// By ascending attester, one of each.
        pub attestations: List<Attestation, ATTESTATIONS_MAX>,
        pub receipts: List<BlobReceipt, 1024>,
    }

    /// PublicTx (kind 2).
    pub struct PublicTx {
        pub content: SaltedBody,
        pub signatures: List<BusinessSignature, 64>,
        /// One for each nullifier, in order.
        pub openings: List<Opening, COMPONENTS_MAX>,
        pub submission: Submission,
    }

    /// Governance (kind 3). The submission signs the message (12.1).
    pub struct GovernanceTx {
        pub message: GovernanceMessage,
        pub submission: Submission,
    }
}

impl NotariseContent {
    /// The ten group hashes: shown groups computed, hidden ones as given.
    pub fn group_hashes(&self) -> [Digest; GROUPS] {
        fn shown<T: Encode>(hasher: &mut GroupHasher, group: Group, values: &[Shown<T>]) -> Digest {
            let salted = values.iter().map(|shown| -> (Nonce, &T) { (shown.nonce, &shown.component) });
            hasher.group(group, salted, |value, out| value.encode(out))
        }
        let hasher = &mut GroupHasher::default();
        [
            shown(hasher, Group::Nullifiers, &self.nullifiers),
            self.hidden.outputs,
            self.hidden.commands,
            shown(hasher, Group::References, &self.references),
            self.hidden.attachments,
            shown(hasher, Group::TimeWindow, &self.time_window),
            shown(hasher, Group::Header, std::slice::from_ref(&self.header.0)),
            self.hidden.inputs,
            shown(hasher, Group::Capsules, &self.capsules),
            self.hidden.memo,
        ]
    }

    /// `tx_id` on the chain that the header names.
    pub fn tx_id(&self) -> TxId {
        tx_id(&self.header().chain_id, self.mode, &self.group_hashes())
    }

    pub fn header(&self) -> &Header {
        &self.header.0.component
    }

    /// What the chain would see of `whole`.
    pub fn of(whole: &SaltedBody, mode: Mode) -> Self {
        let (salt, body, hashes) = (&whole.salt, &whole.body, whole.group_hashes());
        let hidden = |group: Group| hashes[usize::from(group.code())];
        let as_many = "as many as the body has";
        let header = crate::body::show(salt, Group::Header, std::slice::from_ref(&body.header.0));
        Self {
            nullifiers: List::new(crate::body::show(salt, Group::Nullifiers, &body.nullifiers))
                .expect(as_many),
            references: List::new(crate::body::show(salt, Group::References, &body.references))
                .expect(as_many),
            time_window: List::new(crate::body::show(salt, Group::TimeWindow, &body.time_window))
                .expect(as_many),
            header: One(header.into_iter().next().expect("one header")),
            capsules: List::new(crate::body::show(salt, Group::Capsules, &body.capsules)).expect(as_many),
            hidden: HiddenGroups {
                outputs: hidden(Group::Outputs),
                commands: hidden(Group::Commands),
                attachments: hidden(Group::Attachments),
                inputs: hidden(Group::Inputs),
                memo: hidden(Group::Memo),
            },
            mode,
        }
    }
}

/// A request's content by its kind. Contests are a feature that is off (5.3): their kinds are known and refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Notarise(Box<Notarise>),
    PublicTx(Box<PublicTx>),
    Governance(Box<GovernanceTx>),
}

impl Request {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Notarise(_) => Kind::Notarise,
            Self::PublicTx(_) => Kind::PublicTx,
            Self::Governance(_) => Kind::Governance,
        }
    }

    pub const fn submission(&self) -> &Submission {
        match self {
            Self::Notarise(request) => &request.submission,
            Self::PublicTx(request) => &request.submission,
            Self::Governance(request) => &request.submission,
        }
    }

    fn submission_mut(&mut self) -> &mut Submission {
        match self {
            Self::Notarise(request) => &mut request.submission,
            Self::PublicTx(request) => &mut request.submission,
            Self::Governance(request) => &mut request.submission,
        }
    }

    /// Writes the body; returns where in `out` the submission's signature begins.
    fn encode_body(&self, out: &mut Vec<u8>) -> usize {
        match self {
            Self::Notarise(request) => {
                request.content.encode(out);
                request.openings.encode(out);
                request.submission.encode(out);
                let at = out.len() - SIGNATURE_BYTES;
                request.attestations.encode(out);
                request.receipts.encode(out);
                at
            }
            Self::PublicTx(request) => {
                request.encode(out);
                out.len() - SIGNATURE_BYTES
            }
            Self::Governance(request) => {
                request.encode(out);
                out.len() - SIGNATURE_BYTES
            }
        }
    }

    /// Reads the body of a kind; returns also where the submission's signature begins.
    fn decode_body(kind: Kind, reader: &mut Reader<'_>) -> Result<(Self, usize), DecodeError> {
        match kind {
            Kind::Notarise => {
                let content = Decode::decode(reader)?;
                let openings = Decode::decode(reader)?;
                let submission = Decode::decode(reader)?;
                let at = reader.position() - SIGNATURE_BYTES;
                let attestations = Decode::decode(reader)?;
                let receipts = Decode::decode(reader)?;
                let request = Notarise { content, openings, submission, attestations, receipts };
                Ok((Self::Notarise(Box::new(request)), at))
            }
            Kind::PublicTx => {
                let request = Box::new(PublicTx::decode(reader)?);
                Ok((Self::PublicTx(request), reader.position() - SIGNATURE_BYTES))
            }
            Kind::Governance => {
                let request = Box::new(GovernanceTx::decode(reader)?);
                Ok((Self::Governance(request), reader.position() - SIGNATURE_BYTES))
            }
            Kind::ContestOpen | Kind::ContestAnswer => {
                Err(reader.problem(Problem::Invalid("contests are not enabled")))
            }
        }
    }
}

const SIGNATURE_BYTES: usize = 64;
/// Magic, kind and the body's length.
const HEAD_BYTES: usize = 9;

/// A request together with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    bytes: Vec<u8>,
    /// Where in `bytes` the submission's signature begins.
    signature_at: usize,
    request: Request,
}

impl Envelope {
    /// Reads a request.
    ///
    /// # Errors
    /// [`DecodeError`]; [`Problem::Invalid`] at 0 for what is not of this lane.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        let mut reader = Reader::new(&bytes);
        if bytes.len() > ENVELOPE_BYTES_MAX {
            let problem = Problem::TooLong { found: bytes.len(), max: ENVELOPE_BYTES_MAX };
            return Err(reader.problem(problem));
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(reader.problem(Problem::Invalid("the request does not begin with SSN1")));
        }
        reader.take(MAGIC.len())?;
        let kind = Kind::decode(&mut reader)?;
        let length = reader.length(ENVELOPE_BYTES_MAX)?;
        match reader.remaining() {
            remaining if remaining < length => {
                return Err(reader.problem(Problem::Truncated { missing: length - remaining }));
            }
            remaining if remaining > length => {
                return Err(reader.problem(Problem::Trailing { count: remaining - length }));
            }
            _ => {}
        }
        let (request, signature_at) = Request::decode_body(kind, &mut reader)?;
        reader.finish()?;
        Ok(Self { bytes, signature_at, request })
    }

    /// The request as bytes.
    pub fn new(request: Request) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(request.kind().code());
        put_length(&mut bytes, 0);
        let signature_at = request.encode_body(&mut bytes);
        let length = u32::try_from(bytes.len() - HEAD_BYTES).expect("requests are short");
        bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        Self { bytes, signature_at, request }
    }

    /// The request with the signature that `sign` makes of the submission's message.
    pub fn signed(request: Request, chain_id: &ChainId, sign: impl FnOnce(&Digest) -> Signature) -> Self {
        let mut envelope = Self::new(request);
        let signature = sign(&envelope.submission_message(chain_id));
        envelope.request.submission_mut().signature = signature;
        envelope.bytes[envelope.signature_at..][..SIGNATURE_BYTES].copy_from_slice(&signature.0);
        envelope
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// SHA-256 of the envelope without the submission's signature: magic, kind, then the body before and after the
    /// signature. The body's length, which counts the signature, is left out.
    pub fn unsigned_hash(&self) -> Digest {
        Hasher::bare()
            .bytes(&self.bytes[..HEAD_BYTES - 4])
            .bytes(&self.bytes[HEAD_BYTES..self.signature_at])
            .bytes(&self.bytes[self.signature_at + SIGNATURE_BYTES..])
            .finish()
    }

    /// What the submission's signature is over: for a transaction that of section 3.5, for governance that of 12.1.
    pub fn submission_message(&self, chain_id: &ChainId) -> Digest {
        match &self.request {
            Request::Notarise(request) => self.submit_message(chain_id, &request.content.tx_id()),
            Request::PublicTx(request) => self.submit_message(chain_id, &request.content.tx_id(Mode::Public)),
            Request::Governance(request) => {
                let message = request.message.to_sce();
                crate::keys::vote_message(chain_id, &message, request.submission.seq)
            }
        }
    }

    /// [`submission_message`](Self::submission_message) of a transaction whose id is known.
    pub fn submit_message(&self, chain_id: &ChainId, tx_id: &TxId) -> Digest {
        let seq = self.request.submission().seq;
        crate::keys::submit_message(chain_id, tx_id, seq, &self.unsigned_hash())
    }
}
