//! A transaction's components (sections 3.1 and 3.2) and their tree.

use ves::Digest;

use crate::codec::{
    Blob, Decode, DecodeError, Encode, List, Problem, Reader, Set, Text, choice, codes, fixed_bytes,
    put_length, record,
};
use crate::ids::{ChainId, ContractId, EntityId, LinearId, Nullifier, SpentKey, StateRef, TxId};
use crate::keys::PublicKey;
use crate::policy::Policy;
use crate::tree::{GROUPS, Group, GroupHasher, Mode, Nonce, Salt, tx_id};

/// Most components of a group that any setting of `max_components` allows.
pub const COMPONENTS_MAX: usize = 4096;
/// Most bytes of a state's content.
pub const CONTENT_BYTES_MAX: usize = 1_048_576;
/// Most bytes of a memo.
pub const MEMO_BYTES_MAX: usize = 512;
/// The one format of a header.
pub const HEADER_FORMAT: u16 = 1;

codes! {
    /// How a state's content is to be handled.
    pub enum DataClass: u8 {
        Public = 0,
        Business = 1,
        Personal = 2,
    }
}

choice! {
    /// One who takes part in a state.
    pub enum Participant {
        Entity(EntityId) = 1,
        /// A key used for this state only.
        OneTimeKey(PublicKey) = 2,
    }
}

fixed_bytes! {
    /// View tag and encapsulated key, by which a recipient finds its capsules (8.4).
    CapsuleLookup[33],
}

record! {
    /// Group 1: a state that the transaction makes.
    pub struct OutputState {
        pub type_id: u16,
        pub schema_version: u16,
        pub linear_id: Option<LinearId>,
        pub contract_id: ContractId,
        pub participants: Set<Participant, 64>,
        pub policy: Policy,
        /// Index of another output that has to be consumed together with this one.
        pub encumbrance: Option<u32>,
        pub data_class: DataClass,
        pub content: Blob<CONTENT_BYTES_MAX>,
    }

    /// Group 2: what the transaction asks of a contract.
    pub struct Command {
        pub contract_id: ContractId,
        pub tag: u16,
        pub args: Blob<CONTENT_BYTES_MAX>,
        /// Each of them has to sign.
        pub signers: Set<PublicKey, 64>,
    }

    /// Group 4: a document, by its hash.
    pub struct Attachment {
        pub content_hash: Digest,
        pub kind: u16,
        pub size: u64,
    }

    /// Group 5: when the transaction may be notarised, in Unix milliseconds: `from <= t < until`.
    pub struct TimeWindow {
        pub from_ms: Option<u64>,
        pub until_ms: Option<u64>,
    }

    /// Group 6: where and under which rules.
    pub struct Header {
        pub format: u16,
        pub chain_id: ChainId,
        pub not_before_height: u64,
        /// 0: no limit.
        pub expires_height: u64,
        pub params_hash: Digest,
        pub contract_set_hash: Digest,
        pub attester_policy: Option<u32>,
    }

    /// Group 8: a sealed copy for one recipient (8.4).
    pub struct Capsule {
        pub lookup: CapsuleLookup,
        pub ciphertext_hash: Digest,
        pub size: u32,
    }

    /// Group 9.
    pub struct Memo {
        pub bytes: Blob<MEMO_BYTES_MAX>,
    }
}

/// A list of exactly one value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct One<T>(pub T);

impl<T: Encode> Encode for One<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_length(out, 1);
        self.0.encode(out);
    }
}
impl<T: Decode> Decode for One<T> {
    const BYTES_MIN: usize = 4 + T::BYTES_MIN;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        match reader.length(1)? {
            1 => T::decode(reader).map(Self),
            _ => Err(DecodeError { at, problem: Problem::Invalid("the group has exactly one component") }),
        }
    }
}

record! {
    /// All components of a transaction, group by group.
    pub struct Body {
        pub nullifiers: List<Nullifier, COMPONENTS_MAX>,
        pub outputs: List<OutputState, COMPONENTS_MAX>,
        pub commands: List<Command, COMPONENTS_MAX>,
        pub references: List<SpentKey, COMPONENTS_MAX>,
        pub attachments: List<Attachment, COMPONENTS_MAX>,
        pub time_window: List<TimeWindow, 1>,
        pub header: One<Header>,
        pub inputs: List<StateRef, COMPONENTS_MAX>,
        pub capsules: List<Capsule, COMPONENTS_MAX>,
        pub memo: List<Memo, COMPONENTS_MAX>,
    }

    /// A body with its salt: what full participants hold.
    pub struct SaltedBody {
        pub salt: Salt,
        pub body: Body,
    }
}

impl SaltedBody {
    /// The ten group hashes.
    pub fn group_hashes(&self) -> [Digest; GROUPS] {
        let mut hasher = Salted { salt: &self.salt, hasher: GroupHasher::default() };
        let body = &self.body;
        [
            hasher.group(Group::Nullifiers, &body.nullifiers),
            hasher.group(Group::Outputs, &body.outputs),
            hasher.group(Group::Commands, &body.commands),
            hasher.group(Group::References, &body.references),
            hasher.group(Group::Attachments, &body.attachments),
            hasher.group(Group::TimeWindow, &body.time_window),
            hasher.group(Group::Header, std::slice::from_ref(&body.header.0)),
            hasher.group(Group::Inputs, &body.inputs),
            hasher.group(Group::Capsules, &body.capsules),
            hasher.group(Group::Memo, &body.memo),
        ]
    }

    /// `tx_id` on the chain that the header names.
    pub fn tx_id(&self, mode: Mode) -> TxId {
        tx_id(&self.body.header.0.chain_id, mode, &self.group_hashes())
    }

    /// Every component as bytes, group by group.
    pub fn components(&self) -> [Vec<Vec<u8>>; GROUPS] {
        fn all<T: Encode>(values: &[T]) -> Vec<Vec<u8>> {
            values.iter().map(Encode::to_sce).collect()
        }
        let body = &self.body;
        [
            all(&body.nullifiers),
            all(&body.outputs),
            all(&body.commands),
            all(&body.references),
            all(&body.attachments),
            all(&body.time_window),
            all(std::slice::from_ref(&body.header.0)),
            all(&body.inputs),
            all(&body.capsules),
            all(&body.memo),
        ]
    }
}

struct Salted<'a> {
    salt: &'a Salt,
    hasher: GroupHasher,
}

impl Salted<'_> {
    fn group<T: Encode>(&mut self, group: Group, values: &[T]) -> Digest {
        let salted = (0..).map(|i| self.salt.nonce(group, i)).zip(values);
        self.hasher.group(group, salted, |value, out| value.encode(out))
    }
}

/// A component with its nonce.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shown<T> {
    pub nonce: Nonce,
    pub component: T,
}

impl<T: Encode> Encode for Shown<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.nonce.encode(out);
        self.component.encode(out);
    }
}
impl<T: Decode> Decode for Shown<T> {
    const BYTES_MIN: usize = 32 + T::BYTES_MIN;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { nonce: Nonce::decode(reader)?, component: T::decode(reader)? })
    }
}

/// Shows every one of `values`, as the members of `group` under `salt`.
pub fn show<T: Clone>(salt: &Salt, group: Group, values: &[T]) -> Vec<Shown<T>> {
    (0..)
        .zip(values)
        .map(|(i, value)| Shown { nonce: salt.nonce(group, i), component: value.clone() })
        .collect()
}

/// A name for a person.
pub type Name = Text<256>;
