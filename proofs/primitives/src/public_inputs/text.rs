//! The JSON of public inputs, both versions.

use serde::Deserialize;
use ves::{EventId, SequenceNumber, StoreId, StreamKey, TenantId};

use super::*;
use crate::clauses::{ClausePolicy, POLICY_ID};
use crate::commitment::{FieldCommitment, FieldDescription};

/// Longest public inputs that are read at all: the longest policy and 64 commitments with the longest texts.
pub const INPUTS_BYTES_MAX: usize = 128 << 10;

/// Members of both versions, as they were sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Members {
    event_id: EventId,
    tenant_id: TenantId,
    store_id: StoreId,
    sequence_number: u64,
    payload_kind: u32,
    payload_plain_hash: Digest,
    payload_cipher_hash: Digest,
    event_signing_hash: Digest,
    policy_id: String,
    policy_params: Box<RawValue>,
    policy_hash: Digest,
    #[serde(default)]
    witness_commitment: Option<String>,
    #[serde(default)]
    authorization_receipt_hash: Option<Digest>,
    #[serde(default)]
    amount_binding_hash: Option<Digest>,

    #[serde(default)]
    proof_version: Option<u32>,
    #[serde(default)]
    suite: Option<String>,
    #[serde(default)]
    commitments: Option<Vec<CommitmentMembers>>,
    #[serde(default)]
    binding_level: Option<String>,
    #[serde(default)]
    payload_blocks_max: Option<u64>,
    #[serde(default)]
    chain_context: Option<String>,
    /// The outer `None` is a missing member, the inner one is `null`.
    #[serde(default, deserialize_with = "present")]
    valid_until: Option<Option<u64>>,
}

/// One entry of `commitments`. The exponent is ours beside the members of section 3.2: a unit does not imply it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitmentMembers {
    name: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
    unit: String,
    exponent: u8,
    value: Digest,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) fn read(text: &str) -> Result<Members, InputsError> {
    if text.len() > INPUTS_BYTES_MAX {
        return Err(InputsError::TooLarge { bytes: text.len() });
    }
    // Finds a member that stands twice, at any depth, and text that is no JSON.
    json::canonicalize(text).map_err(InputsError::Json)?;
    serde_json::from_str(text).map_err(|error| InputsError::Shape(error.to_string()))
}

impl Members {
    /// As version 1.
    pub(super) fn event(self) -> Result<EventInputs, InputsError> {
        let newer = [
            ("proofVersion", self.proof_version.is_some()),
            ("suite", self.suite.is_some()),
            ("commitments", self.commitments.is_some()),
            ("bindingLevel", self.binding_level.is_some()),
            ("payloadBlocksMax", self.payload_blocks_max.is_some()),
            ("chainContext", self.chain_context.is_some()),
            ("validUntil", self.valid_until.is_some()),
        ];
        match newer.into_iter().find(|(_, is_there)| *is_there) {
            Some((name, _)) => Err(InputsError::Shape(format!("{name} is no member of version 1"))),
            None => self.event_members(),
        }
    }

    /// As version 2.
    pub(super) fn complete(mut self) -> Result<PublicInputs, InputsError> {
        let missing = |name: &str| InputsError::Shape(format!("missing field `{name}`"));
        if self.proof_version.ok_or_else(|| missing("proofVersion"))? != 2 {
            return Err(InputsError::ProofVersion);
        }
        if self.witness_commitment.is_some() {
            return Err(InputsError::Shape("witnessCommitment is no member of version 2".to_owned()));
        }
        let suite = self.suite.take().ok_or_else(|| missing("suite"))?;
        let level = self.binding_level.take().ok_or_else(|| missing("bindingLevel"))?;
        let commitments = self.commitments.take().ok_or_else(|| missing("commitments"))?;
        let inputs = PublicInputs {
            suite: SuiteId::from_text(&suite).ok_or(InputsError::Suite(suite))?,
            binding_level: BindingLevel::read(&level, self.payload_blocks_max)?,
            commitments: commitments.into_iter().enumerate().map(committed).collect::<Result<_, _>>()?,
            chain_context: self.chain_context.take().ok_or_else(|| missing("chainContext"))?,
            valid_until: self.valid_until.ok_or_else(|| missing("validUntil"))?,
            event: self.event_members()?,
        };
        inputs.check()?;
        Ok(inputs)
    }

    fn event_members(self) -> Result<EventInputs, InputsError> {
        if self.payload_kind > 1 {
            return Err(InputsError::PayloadKind);
        }
        if !(1..=JSON_INTEGER_MAX).contains(&self.sequence_number) {
            return Err(InputsError::SequenceNumber);
        }
        let policy = policy(&self.policy_id, self.policy_params.get())?;
        if policy.hash() != self.policy_hash {
            return Err(InputsError::PolicyHash);
        }
        let witness = self.witness_commitment.as_deref().map(|text| {
            let digits = text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
            WitnessCommitment::from_hex(&digits)
                .ok_or_else(|| InputsError::Shape("witnessCommitment: expected 64 hex digits".to_owned()))
        });
        Ok(EventInputs {
            facts: EventFacts {
                event_id: self.event_id,
                stream: StreamKey { tenant_id: self.tenant_id, store_id: self.store_id },
                sequence_number: SequenceNumber(self.sequence_number),
                payload_kind: self.payload_kind,
                payload_plain_hash: self.payload_plain_hash,
                payload_cipher_hash: self.payload_cipher_hash,
                event_signing_hash: self.event_signing_hash,
            },
            policy,
            bindings: Bindings {
                amount_binding_hash: self.amount_binding_hash,
                authorization_receipt_hash: self.authorization_receipt_hash,
            },
            witness_commitment: witness.transpose()?,
        })
    }
}

/// Policies that are known are read by their own rules, before their text is made canonical.
fn policy(id: &str, params: &str) -> Result<Policy, InputsError> {
    match id == POLICY_ID {
        true => Ok(ClausePolicy::parse(params)?.policy()),
        false => Ok(AmountPolicy::parse(id, params)?.policy()),
    }
}

fn committed((place, members): (usize, CommitmentMembers)) -> Result<CommittedField, InputsError> {
    let wrong = |problem| InputsError::Commitment { place, problem };
    let CommitmentMembers { name, path, kind, unit, exponent, value } = members;
    Ok(CommittedField {
        field: FieldDescription::new(&name, &path, &kind, &unit, exponent).map_err(wrong)?,
        commitment: FieldCommitment::from_bytes(value.0).map_err(wrong)?,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version2<'a> {
    #[serde(flatten)]
    event: std::collections::BTreeMap<&'a str, &'a RawValue>,
    proof_version: u32,
    suite: &'a str,
    commitments: Vec<CommitmentMembers>,
    binding_level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_blocks_max: Option<u64>,
    chain_context: &'a str,
    valid_until: Option<u64>,
}

pub(super) fn canonical(inputs: &PublicInputs) -> String {
    let event = inputs.event.canonical();
    let commitments = inputs.commitments.iter().map(|committed| CommitmentMembers {
        name: committed.field.name().to_owned(),
        path: committed.field.path().to_owned(),
        kind: committed.field.kind().to_owned(),
        unit: committed.field.unit().to_owned(),
        exponent: committed.field.exponent(),
        value: Digest(*committed.commitment.as_bytes()),
    });
    let members = Version2 {
        event: serde_json::from_str(&event).expect("canonical inputs are an object"),
        proof_version: 2,
        suite: inputs.suite.text(),
        commitments: commitments.collect(),
        binding_level: inputs.binding_level.text(),
        payload_blocks_max: inputs.binding_level.payload_blocks_max(),
        chain_context: &inputs.chain_context,
        valid_until: inputs.valid_until,
    };
    json::to_canonical(&members).expect("fixed members have a canonical form")
}
