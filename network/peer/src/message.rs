//! Messages of the peer protocol (8.1): what a frame's payload means, in the canonical encoding (2.1).

use serde::{Deserialize, Serialize};
use stateset_ledger_types::body::SaltedBody;
use stateset_ledger_types::codec::{
    Blob, Decode, DecodeError, Encode, List, Set, Text, choice, codes, fixed_bytes, record,
};
use stateset_ledger_types::envelope::{ATTESTATIONS_MAX, Attestation, BlobReceipt};
use stateset_ledger_types::ids::{ChainId, EntityId, TxId};
use stateset_ledger_types::keys::{BusinessSignature, KeyBinding, PublicKey, Signature};
use stateset_ledger_types::notary::CertificateRecord;
use stateset_ledger_types::tearoff::{ShownComponent, TearOff};
use stateset_ledger_types::tree::{Group, Mode};
use ves::Digest;

use crate::frame::{FRAME_BYTES_MAX, Frame, HEADER_BYTES, MessageType, SessionId};

/// Version of this protocol.
pub const PROTOCOL_VERSION: u16 = 1;
/// Most bytes of a blob in one answer; larger ones are asked for piece by piece.
pub const BLOB_PIECE_BYTES_MAX: usize = 1_048_576;
/// Most bytes of a capsule's ciphertext, and of what is laid beside capsules: a power of two above any body.
pub const CAPSULE_BYTES_MAX: usize = 2_097_152;
/// Most pieces beside the capsules of one transaction in one answer.
pub const BESIDE_MAX: usize = 64;
/// Most transactions in one request or page.
pub const TRANSACTIONS_MAX: usize = 64;
/// Most bytes of the filter of known transactions: a million of them at one false answer in a hundred.
pub const FILTER_BYTES_MAX: usize = 1_250_000;
/// Most sessions that one acknowledgement speaks of.
pub const WATERMARKS_MAX: usize = 256;

fixed_bytes! {
    /// One run of a flow, on both sides.
    FlowId[16],
}

codes! {
    /// Why a peer refuses, for a program.
    pub enum RejectCode: u16 {
        /// Greetings: no version in common.
        Version = 1,
        /// Greetings: another entity than the certificate's.
        OtherEntity = 2,
        /// Greetings: another chain.
        OtherChain = 3,
        /// Greetings: other contracts at the same height.
        OtherContracts = 4,
        /// A message that the protocol does not allow here, or cannot read.
        Protocol = 5,
        /// The entity is not, or no longer, an admitted member, or its certificate does not hold.
        NotAMember = 6,
        /// Nothing is known of what was asked for.
        NotFound = 16,
        /// The one who asks has no part in it (8.3).
        NotAParticipant = 17,
        /// Too much at once; to be asked again later.
        Busy = 18,
        /// A proposal is refused by the rules; the text says by which.
        Invalid = 19,
        /// A proposal is refused by a decision.
        Declined = 20,
        /// The answerer failed.
        Internal = 255,
    }
}

record! {
    /// Type 1: who speaks, and what its chain looks like.
    pub struct Hello {
        pub versions: Set<u16, 16>,
        pub entity_id: EntityId,
        pub chain_id: ChainId,
        /// Latest height that the sender knows.
        pub height: u64,
        /// Hash of the contract set at that height (9.2).
        pub contract_set_hash: Digest,
    }

    /// All of a transaction: what full participants hold.
    pub struct Whole {
        pub mode: Mode,
        pub body: SaltedBody,
    }

    /// Type 2: a transaction to sign, attest or know.
    pub struct Propose {
        pub flow_id: FlowId,
        /// The receiver's role in the flow, in the contract's word.
        pub role: Text<64>,
        pub content: Content,
    }

    /// A signature under the spend policy of an input (3.3).
    pub struct SpendSignature {
        /// Place in groups 0 and 7.
        pub input: u32,
        pub key: PublicKey,
        pub signature: Signature,
    }

    /// Whose a one-time key is, signed by a ledger key of that entity (1.2).
    pub struct SignedBinding {
        pub binding: KeyBinding,
        pub key: PublicKey,
        pub signature: Signature,
    }

    /// Type 3: what the sender signs of a transaction.
    pub struct Signatures {
        pub flow_id: FlowId,
        pub tx_id: TxId,
        pub business: List<BusinessSignature, 256>,
        pub spend: List<SpendSignature, 256>,
        pub bindings: List<SignedBinding, 256>,
        pub attestations: List<Attestation, ATTESTATIONS_MAX>,
    }

    /// Type 4: a refusal.
    pub struct Reject {
        pub code: RejectCode,
        /// For a person.
        pub text: Text<1024>,
    }

    /// A component that the receiver of a tear-off did not have.
    pub struct MissingComponent {
        pub group: Group,
        pub component: ShownComponent,
    }

    /// Type 5: a transaction is final.
    pub struct Finalised {
        pub flow_id: FlowId,
        pub tx_id: TxId,
        pub certificate: CertificateRecord,
        /// All business signatures, which no capsule can hold (8.4).
        pub signatures: List<BusinessSignature, 256>,
        pub bindings: List<SignedBinding, 256>,
        pub missing: List<MissingComponent, 1024>,
    }

    /// Type 6, question: transactions by id (8.3).
    pub struct GetTx {
        pub ids: Set<TxId, TRANSACTIONS_MAX>,
    }

    /// A transaction with what makes it valid.
    pub struct SignedTransaction {
        pub content: Content,
        pub signatures: List<BusinessSignature, 256>,
        pub spend: List<SpendSignature, 256>,
        pub bindings: List<SignedBinding, 256>,
        pub attestations: List<Attestation, ATTESTATIONS_MAX>,
        pub certificate: Option<CertificateRecord>,
    }

    /// Type 6, answer. What is not in it is not known, not the asker's to see, or did not fit: to be asked for again.
    pub struct Tx {
        pub transactions: List<SignedTransaction, TRANSACTIONS_MAX>,
        /// Asked for and not served at all.
        pub refused: Set<TxId, TRANSACTIONS_MAX>,
    }

    /// Type 7, question: a piece of an attachment, of code or of a capsule.
    pub struct GetBlob {
        /// SHA-256 of the whole.
        pub hash: Digest,
        pub offset: u64,
    }

    /// Type 7, answer.
    pub struct BlobPiece {
        pub hash: Digest,
        /// Bytes of the whole.
        pub size: u64,
        pub offset: u64,
        pub bytes: Blob<BLOB_PIECE_BYTES_MAX>,
    }

    /// Type 7, question to a notary: to store a capsule's ciphertext (8.4). Answered by a receipt.
    pub struct StoreCapsule {
        pub ciphertext: Blob<CAPSULE_BYTES_MAX>,
    }

    /// Type 7, question to a notary: to keep something sealed beside the capsules of a transaction (8.4).
    pub struct LayBeside {
        pub tx_id: TxId,
        pub sealed: Blob<CAPSULE_BYTES_MAX>,
    }

    /// Type 7, question to a notary: what lies beside the capsules of a transaction, what the asker laid there first.
    pub struct GetBeside {
        pub tx_id: TxId,
        /// How many were given before.
        pub after: u32,
    }

    /// Type 7, answer: as many as fit.
    pub struct Beside {
        pub sealed: List<Blob<CAPSULE_BYTES_MAX>, BESIDE_MAX>,
        /// There are more behind these.
        pub more: bool,
    }

    /// Transactions that the asker knows, as a Bloom filter: bit `j` of byte `i` is bit `8 i + j`; a transaction sets
    /// `hashes` bits, the n-th at (a + n b) modulo the number of bits, with a and b the first two u64 of its id.
    pub struct KnownTransactions {
        pub hashes: u8,
        pub bits: Blob<FILTER_BYTES_MAX>,
    }

    /// Type 8, question: what both have a part in and the asker does not know (8.5).
    pub struct Recover {
        /// Block time from here on, Unix milliseconds.
        pub from_ms: u64,
        pub until_ms: Option<u64>,
        pub known: KnownTransactions,
        /// The last page's `next`.
        pub after: Option<Blob<64>>,
    }

    /// Type 8, answer, in the order of the chain.
    pub struct RecoverPage {
        pub transactions: List<SignedTransaction, TRANSACTIONS_MAX>,
        /// Where to go on; nothing at the end.
        pub next: Option<Blob<64>>,
    }

    /// Type 9, question.
    pub struct GetCertChain {
        pub entity: EntityId,
    }

    /// Type 9, answer: DER, the entity's certificate first, without the root.
    pub struct CertChain {
        pub entity: EntityId,
        pub certificates: List<Blob<8192>, 8>,
    }

    /// Type 10, question.
    #[derive(Copy)]
    pub struct Ping {
        pub nonce: u64,
    }

    /// Type 10, answer.
    #[derive(Copy)]
    pub struct Pong {
        pub nonce: u64,
    }

    /// The last sequence of a session that the receiver keeps durably, with all before it.
    #[derive(Copy)]
    pub struct Watermark {
        pub session: u64,
        pub sequence: u32,
    }

    /// Type 10: what was received, so that it is not sent again.
    pub struct Received {
        pub watermarks: List<Watermark, WATERMARKS_MAX>,
    }
}

choice! {
    /// A transaction, whole or torn off.
    pub enum Content {
        Whole(Box<Whole>) = 1,
        TearOff(Box<TearOff>) = 2,
    }

    pub enum Transactions {
        Get(GetTx) = 1,
        Found(Tx) = 2,
    }

    pub enum Blobs {
        Get(GetBlob) = 1,
        Piece(BlobPiece) = 2,
        Store(StoreCapsule) = 3,
        Stored(BlobReceipt) = 4,
        Lay(LayBeside) = 5,
        Laid(()) = 6,
        GetBeside(GetBeside) = 7,
        Beside(Beside) = 8,
    }

    pub enum Recovery {
        Ask(Recover) = 1,
        Page(RecoverPage) = 2,
    }

    pub enum Certificates {
        Get(GetCertChain) = 1,
        Chain(CertChain) = 2,
    }

    pub enum Liveness {
        Ping(Ping) = 1,
        Pong(Pong) = 2,
        Received(Received) = 3,
    }
}

impl Reject {
    /// `text` is cut to what fits.
    pub fn new(code: RejectCode, text: impl std::fmt::Display) -> Self {
        let said: String = text.to_string().chars().filter(|c| *c != '\0').take(256).collect();
        Self { code, text: Text::new(said).expect("256 characters have at most 1024 bytes") }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.text)
    }
}

macro_rules! messages {
    ($($kind:ident($body:ty)),+ $(,)?) => {
        /// A message, by the type in its frame.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Message { $($kind($body)),+ }

        impl Message {
            pub const fn kind(&self) -> MessageType {
                match self { $(Self::$kind(_) => MessageType::$kind),+ }
            }

            /// The payload.
            pub fn payload(&self) -> Vec<u8> {
                match self { $(Self::$kind(body) => body.to_sce()),+ }
            }

            /// Reads a payload.
            ///
            /// # Errors
            /// [`DecodeError`].
            pub fn decode(kind: MessageType, payload: &[u8]) -> Result<Self, DecodeError> {
                match kind { $(MessageType::$kind => Decode::from_sce(payload).map(Self::$kind)),+ }
            }
        }

        $(impl From<$body> for Message {
            fn from(body: $body) -> Self { Self::$kind(body) }
        })+
    };
}

messages! {
    Hello(Hello),
    Propose(Propose),
    Signatures(Signatures),
    Reject(Reject),
    Finalised(Box<Finalised>),
    Transactions(Transactions),
    Blobs(Blobs),
    Recovery(Recovery),
    CertChain(Certificates),
    Liveness(Liveness),
}

impl Message {
    /// The frame that carries the message.
    pub fn frame(&self, session: SessionId, sequence: u32) -> Frame {
        Frame { kind: self.kind(), session, sequence, payload: self.payload() }
    }

    /// Whether it has a place in a session: it is kept until the peer has it, and arrives once and in order. All others
    /// are questions and answers, which may be asked again, or of the connection.
    pub const fn is_sequenced(&self) -> bool {
        matches!(
            self.kind(),
            MessageType::Propose | MessageType::Signatures | MessageType::Reject | MessageType::Finalised
        )
    }
}

/// What can be asked of a peer; asking again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Transactions(GetTx),
    Blob(GetBlob),
    Store(StoreCapsule),
    Lay(LayBeside),
    Beside(GetBeside),
    Recover(Box<Recover>),
    CertChain(GetCertChain),
}

/// What a peer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Transactions(Tx),
    Blob(BlobPiece),
    Stored(BlobReceipt),
    Laid,
    Beside(Beside),
    Recover(RecoverPage),
    CertChain(CertChain),
    Reject(Reject),
}

impl From<Question> for Message {
    fn from(question: Question) -> Self {
        match question {
            Question::Transactions(get) => Transactions::Get(get).into(),
            Question::Blob(get) => Blobs::Get(get).into(),
            Question::Store(store) => Blobs::Store(store).into(),
            Question::Lay(lay) => Blobs::Lay(lay).into(),
            Question::Beside(get) => Blobs::GetBeside(get).into(),
            Question::Recover(ask) => Recovery::Ask(*ask).into(),
            Question::CertChain(get) => Certificates::Get(get).into(),
        }
    }
}

impl From<Answer> for Message {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Transactions(tx) => Transactions::Found(tx).into(),
            Answer::Blob(piece) => Blobs::Piece(piece).into(),
            Answer::Stored(receipt) => Blobs::Stored(receipt).into(),
            Answer::Laid => Blobs::Laid(()).into(),
            Answer::Beside(beside) => Blobs::Beside(beside).into(),
            Answer::Recover(page) => Recovery::Page(page).into(),
            Answer::CertChain(chain) => Certificates::Chain(chain).into(),
            Answer::Reject(reject) => reject.into(),
        }
    }
}

/// A message that came without a place in a session.
#[derive(Debug)]
pub(crate) enum Unsequenced {
    Question(Question),
    Answer(Answer),
    Liveness(Liveness),
    /// None of these.
    Other,
}

impl From<Message> for Unsequenced {
    fn from(message: Message) -> Self {
        match message {
            Message::Transactions(Transactions::Get(get)) => Self::Question(Question::Transactions(get)),
            Message::Blobs(Blobs::Get(get)) => Self::Question(Question::Blob(get)),
            Message::Blobs(Blobs::Store(store)) => Self::Question(Question::Store(store)),
            Message::Blobs(Blobs::Lay(lay)) => Self::Question(Question::Lay(lay)),
            Message::Blobs(Blobs::GetBeside(get)) => Self::Question(Question::Beside(get)),
            Message::Recovery(Recovery::Ask(ask)) => Self::Question(Question::Recover(Box::new(ask))),
            Message::CertChain(Certificates::Get(get)) => Self::Question(Question::CertChain(get)),
            Message::Transactions(Transactions::Found(tx)) => Self::Answer(Answer::Transactions(tx)),
            Message::Blobs(Blobs::Piece(piece)) => Self::Answer(Answer::Blob(piece)),
            Message::Blobs(Blobs::Stored(receipt)) => Self::Answer(Answer::Stored(receipt)),
            Message::Blobs(Blobs::Laid(())) => Self::Answer(Answer::Laid),
            Message::Blobs(Blobs::Beside(beside)) => Self::Answer(Answer::Beside(beside)),
            Message::Recovery(Recovery::Page(page)) => Self::Answer(Answer::Recover(page)),
            Message::CertChain(Certificates::Chain(chain)) => Self::Answer(Answer::CertChain(chain)),
            Message::Reject(reject) => Self::Answer(Answer::Reject(reject)),
            Message::Liveness(liveness) => Self::Liveness(liveness),
            Message::Hello(_) | Message::Propose(_) | Message::Signatures(_) | Message::Finalised(_) => {
                Self::Other
            }
        }
    }
}

// The largest parts of fixed size fit into a frame.
const _: () = assert!(HEADER_BYTES + BLOB_PIECE_BYTES_MAX + 64 <= FRAME_BYTES_MAX);
const _: () = assert!(HEADER_BYTES + FILTER_BYTES_MAX + 128 <= FRAME_BYTES_MAX);
const _: () = assert!(HEADER_BYTES + CAPSULE_BYTES_MAX + 64 <= FRAME_BYTES_MAX);
