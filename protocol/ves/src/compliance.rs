//! Compliance proofs (section 17): which statement about which event a proof is of. The proofs themselves are
//! made and checked elsewhere; here are the hashes that tie them to an event and a policy.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::Envelope;
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{EventId, SequenceNumber, StreamKey};
use crate::json::{self, JsonError};

/// Longest policy id after trimming.
pub const POLICY_ID_CHARS_MAX: usize = 64;
/// Longest name of a proof type.
pub const PROOF_TYPE_CHARS_MAX: usize = 32;
/// Largest proof.
pub const PROOF_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Largest integer in the parameters of a policy: the last one that every JSON reader keeps.
const PARAMETER_MAX: u64 = (1 << 53) - 1;

/// Why a policy, a proof's description or submitted inputs are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComplianceError {
    #[error("policyId must be 1 to {POLICY_ID_CHARS_MAX} characters")]
    PolicyId,
    #[error("policyParams must be a JSON object")]
    PolicyParamsShape,
    #[error("policyParams: {0}")]
    PolicyParams(JsonError),
    /// `path` begins with a point or a bracket.
    #[error("policyParams{path} {problem}")]
    PolicyParameter { path: String, problem: &'static str },
    #[error("public inputs: {0}")]
    PublicInputs(JsonError),
    #[error("public inputs must be a JSON object")]
    PublicInputsShape,
    #[error("the public inputs are not those of this event and policy")]
    PublicInputsDiffer,
    #[error("the proof type must be 1 to {PROOF_TYPE_CHARS_MAX} characters")]
    ProofType,
    #[error("the proof version must be at least 1")]
    ProofVersion,
    #[error("the proof must be at most {PROOF_BYTES_MAX} bytes")]
    ProofSize,
    #[error("a STARK proof needs its witnessCommitment")]
    WitnessCommitmentMissing,
}

/// A policy and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    id: String,
    /// Canonical JSON of an object.
    params: String,
}

impl Policy {
    /// `id` is trimmed; absent `params_json` are `{}`.
    ///
    /// # Errors
    /// [`ComplianceError::PolicyId`], [`ComplianceError::PolicyParamsShape`], [`ComplianceError::PolicyParams`].
    pub fn new(id: &str, params_json: Option<&str>) -> Result<Self, ComplianceError> {
        let id = id.trim();
        if !(1..=POLICY_ID_CHARS_MAX).contains(&id.chars().count()) {
            return Err(ComplianceError::PolicyId);
        }
        let params =
            json::canonicalize(params_json.unwrap_or("{}")).map_err(ComplianceError::PolicyParams)?;
        if !params.starts_with('{') {
            return Err(ComplianceError::PolicyParamsShape);
        }
        Ok(Self { id: id.to_owned(), params: params.into_owned() })
    }

    /// As [`Policy::new`], for a policy that a new statement is made of: the parameters of a published policy are
    /// exactly those of section 2.1 of the proof specification, and no integer is one that canonical JSON rounds.
    /// Nobody could prove anything else, or it would be about another number than the one that was sent.
    ///
    /// # Errors
    /// Those of [`Policy::new`], and [`ComplianceError::PolicyParameter`].
    pub fn for_statement(id: &str, params_json: Option<&str>) -> Result<Self, ComplianceError> {
        let policy = Self::new(id, params_json)?;
        // The text as it was sent: in the canonical one `5.0` is `5`, and large integers are rounded.
        let params: serde_json::Map<String, Value> = serde_json::from_str(params_json.unwrap_or("{}"))
            .map_err(|_| ComplianceError::PolicyParamsShape)?;
        for (name, value) in &params {
            check_integers(&member_path(name), value)?;
        }
        check_published(&policy.id, &params)?;
        Ok(policy)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Canonical JSON of the parameters.
    pub fn params(&self) -> &str {
        &self.params
    }

    /// `{"policyId":…,"policyParams":…}`, canonical.
    pub fn canonical(&self) -> String {
        let mut text = String::from("{\"policyId\":");
        json::write_string(&mut text, &self.id);
        text.push_str(",\"policyParams\":");
        text.push_str(&self.params);
        text.push('}');
        text
    }

    /// Section 17.1.
    pub fn hash(&self) -> Digest {
        Hasher::new(Domain::CompliancePolicy).bytes(self.canonical().as_bytes()).finish()
    }

    /// Whether `amount` satisfies the policy; `None` for a policy whose rule is not about an amount alone, or
    /// whose bound is missing: `aml.threshold` asks for less than `threshold`, `order_total.cap` for at most `cap`.
    pub fn allows(&self, amount: u64) -> Option<bool> {
        let params: BTreeMap<String, Value> = serde_json::from_str(&self.params).ok()?;
        let bound = |name: &str| params.get(name)?.as_u64();
        match self.id.as_str() {
            "aml.threshold" => bound("threshold").map(|threshold| amount < threshold),
            "order_total.cap" => bound("cap").map(|cap| amount <= cap),
            _ => None,
        }
    }
}

/// Parameters of the policies of section 2.1 of the proof specification: each there, none besides, each of its type.
fn check_published(id: &str, params: &serde_json::Map<String, Value>) -> Result<(), ComplianceError> {
    let (number, hash) = match id {
        "aml.threshold" => ("threshold", None),
        "order_total.cap" => ("cap", None),
        "agent.authorization.v1" => ("maxTotal", Some("intentHash")),
        "agent.budget.v1" => ("budgetLimit", None),
        _ => return Ok(()),
    };
    let refused = |name: &str, problem| Err(parameter(member_path(name), problem));
    if let Some(name) = params.keys().find(|name| *name != number && Some(name.as_str()) != hash) {
        return refused(name, "is not a parameter of this policy");
    }
    match params.get(number).map(Value::as_u64) {
        None => return refused(number, "is missing"),
        Some(None) => {
            return refused(
                number,
                "must be an integer from 0 to 2^53 - 1, written without point or exponent",
            );
        }
        // No amount is below zero, so nothing could ever be proved.
        Some(Some(0)) if number == "threshold" => return refused(number, "must be at least 1"),
        Some(Some(_)) => {}
    }
    let Some(hash) = hash else { return Ok(()) };
    match params.get(hash) {
        None => refused(hash, "is missing"),
        Some(Value::String(text)) if text.parse::<Digest>().is_ok() => Ok(()),
        Some(_) => refused(hash, "must be 64 hex digits"),
    }
}

/// Canonical JSON would round them, so two policies would have one hash. Nesting is bounded by [`json::DEPTH_MAX`].
fn check_integers(path: &str, value: &Value) -> Result<(), ComplianceError> {
    let limit = PARAMETER_MAX as f64;
    match value {
        // Integers beyond 64 bits come as doubles, and no double beyond the limit has a fraction.
        Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() > limit) => {
            Err(parameter(path.to_owned(), "must be at most 2^53 - 1; write a larger number as a string"))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(n, item)| check_integers(&format!("{path}[{n}]"), item))
        }
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, member)| check_integers(&format!("{path}{}", member_path(name)), member)),
        _ => Ok(()),
    }
}

/// Names come from outside, so long ones are cut.
fn member_path(name: &str) -> String {
    format!(".{}", name.chars().take(64).collect::<String>())
}

fn parameter(path: String, problem: &'static str) -> ComplianceError {
    ComplianceError::PolicyParameter { path, problem }
}

/// What a proof says about an event, apart from the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFacts {
    pub event_id: EventId,
    pub stream: StreamKey,
    pub sequence_number: SequenceNumber,
    /// 0 plaintext, 1 encrypted.
    pub payload_kind: u32,
    pub payload_plain_hash: Digest,
    pub payload_cipher_hash: Digest,
    pub event_signing_hash: Digest,
}

impl EventFacts {
    /// The facts of a sequenced event.
    pub fn of(envelope: &Envelope<'_>, sequence_number: SequenceNumber) -> Self {
        Self {
            event_id: envelope.event_id,
            stream: envelope.stream,
            sequence_number,
            payload_kind: envelope.payload_kind(),
            payload_plain_hash: envelope.payload_plain_hash,
            payload_cipher_hash: envelope.payload_cipher_hash,
            event_signing_hash: envelope.signing_hash(),
        }
    }

    /// Canonical public inputs of a proof that this event obeys `policy` (section 17.2).
    pub fn public_inputs(&self, policy: &Policy, bindings: &Bindings) -> String {
        let members = PublicInputs {
            event: self.members(),
            policy_id: &policy.id,
            policy_params: &raw(&policy.params),
            policy_hash: policy.hash(),
            amount_binding_hash: bindings.amount_binding_hash,
            authorization_receipt_hash: bindings.authorization_receipt_hash,
        };
        json::to_canonical(&members).expect("fixed members and canonical parameters have a canonical form")
    }

    /// Section 17.3: ties an amount to this event; `amount` in minor units.
    pub fn amount_binding(&self, amount: u64) -> Digest {
        let text = json::to_canonical(&AmountBinding { amount, event: self.members() })
            .expect("fixed members have a canonical form");
        Hasher::new(Domain::AmountBinding).bytes(text.as_bytes()).finish()
    }

    fn members(&self) -> EventMembers {
        EventMembers {
            event_id: self.event_id,
            tenant_id: self.stream.tenant_id,
            store_id: self.stream.store_id,
            sequence_number: self.sequence_number,
            payload_kind: self.payload_kind,
            payload_plain_hash: self.payload_plain_hash,
            payload_cipher_hash: self.payload_cipher_hash,
            event_signing_hash: self.event_signing_hash,
        }
    }
}

/// Optional public inputs; those present enter the hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bindings {
    pub amount_binding_hash: Option<Digest>,
    pub authorization_receipt_hash: Option<Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventMembers {
    event_id: EventId,
    tenant_id: crate::ids::TenantId,
    store_id: crate::ids::StoreId,
    sequence_number: SequenceNumber,
    payload_kind: u32,
    payload_plain_hash: Digest,
    payload_cipher_hash: Digest,
    event_signing_hash: Digest,
}

#[derive(Serialize)]
struct AmountBinding {
    amount: u64,
    #[serde(flatten)]
    event: EventMembers,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicInputs<'a> {
    #[serde(flatten)]
    event: EventMembers,
    policy_id: &'a str,
    policy_params: &'a RawValue,
    policy_hash: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_binding_hash: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_receipt_hash: Option<Digest>,
}

fn raw(canonical: &str) -> Box<RawValue> {
    RawValue::from_string(canonical.to_owned()).expect("canonical JSON is JSON")
}

/// `public_inputs_hash` of submitted inputs (section 17.2): SHA-256 of the canonical object without its
/// `witnessCommitment`; no domain.
///
/// # Errors
/// [`ComplianceError::PublicInputs`], [`ComplianceError::PublicInputsShape`].
pub fn public_inputs_hash(inputs_json: &str) -> Result<Digest, ComplianceError> {
    Ok(Hasher::bare().bytes(without_witness(inputs_json)?.as_bytes()).finish())
}

/// Submitted inputs must be `own`, the sequencer's; a `witnessCommitment` may come on top.
///
/// # Errors
/// [`ComplianceError::PublicInputsDiffer`], or as [`public_inputs_hash`].
pub fn check_public_inputs(inputs_json: &str, own: &str) -> Result<(), ComplianceError> {
    if without_witness(inputs_json)? == without_witness(own)? {
        return Ok(());
    }
    Err(ComplianceError::PublicInputsDiffer)
}

fn without_witness(inputs_json: &str) -> Result<String, ComplianceError> {
    let canonical = json::canonicalize(inputs_json).map_err(ComplianceError::PublicInputs)?;
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_str(&canonical).map_err(|_| ComplianceError::PublicInputsShape)?;
    members.remove("witnessCommitment");
    json::to_canonical(&members).map_err(ComplianceError::PublicInputs)
}

/// Section 17.4.
pub fn proof_hash(proof: &[u8]) -> Digest {
    Hasher::new(Domain::ComplianceProof).bytes(proof).finish()
}

/// The rules of section 17.4 on what a proof says of itself.
///
/// # Errors
/// [`ComplianceError`].
pub fn check_proof(
    proof_type: &str,
    proof_version: u32,
    proof: &[u8],
    witness_commitment: Option<&WitnessCommitment>,
) -> Result<(), ComplianceError> {
    if !(1..=PROOF_TYPE_CHARS_MAX).contains(&proof_type.chars().count()) {
        return Err(ComplianceError::ProofType);
    }
    if proof_version == 0 {
        return Err(ComplianceError::ProofVersion);
    }
    if proof.len() > PROOF_BYTES_MAX {
        return Err(ComplianceError::ProofSize);
    }
    if proof_type.starts_with("stark") && witness_commitment.is_none() {
        return Err(ComplianceError::WitnessCommitmentMissing);
    }
    Ok(())
}

/// Commitment to a proof's witness: four field elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessCommitment(pub [u64; 4]);

impl WitnessCommitment {
    /// 64 lowercase digits: each limb as 8 big-endian bytes, in order.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|limb| format!("{limb:016x}")).collect()
    }

    /// Reads exactly 64 lowercase digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut limbs = [0; 4];
        for (limb, digits) in limbs.iter_mut().zip(text.as_bytes().chunks_exact(16)) {
            *limb = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(limbs))
    }
}

/// A 32-byte value as field elements: eight little-endian `u32` limbs.
pub fn digest_limbs(digest: &Digest) -> [u32; 8] {
    std::array::from_fn(|n| u32_le(&digest.0, n))
}

/// A UUID as field elements: four little-endian `u32` limbs.
pub fn uuid_limbs(id: &uuid::Uuid) -> [u32; 4] {
    std::array::from_fn(|n| u32_le(id.as_bytes(), n))
}

fn u32_le(bytes: &[u8], limb: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| bytes[limb * 4 + byte]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_trimmed_and_its_parameters_default_to_none() {
        assert_eq!(Policy::new(" p ", None).unwrap().canonical(), r#"{"policyId":"p","policyParams":{}}"#);
        assert_eq!(Policy::new("  ", None), Err(ComplianceError::PolicyId));
        assert!(Policy::new(&"é".repeat(64), None).is_ok());
        assert_eq!(Policy::new(&"é".repeat(65), None), Err(ComplianceError::PolicyId));
        assert_eq!(Policy::new("p", Some("[]")), Err(ComplianceError::PolicyParamsShape));
        assert!(matches!(Policy::new("p", Some(r#"{"a":1,"a":1}"#)), Err(ComplianceError::PolicyParams(_))));
    }

    #[test]
    fn a_new_statement_takes_the_published_parameters_and_no_others() {
        let intent = "ab".repeat(32);
        let both = format!(r#"{{"intentHash":"{intent}","maxTotal":7}}"#);
        for (id, params) in [
            ("aml.threshold", r#"{ "threshold": 1 }"#),
            ("order_total.cap", r#"{"cap":0}"#),
            ("order_total.cap", r#"{"cap":9007199254740991}"#),
            ("agent.authorization.v1", &both),
            (" agent.budget.v1", r#"{"budgetLimit":5}"#),
            ("p", r#"{"a":[1.5,-9007199254740991,"9007199254740993"]}"#),
        ] {
            assert_eq!(
                Policy::for_statement(id, Some(params)),
                Policy::new(id, Some(params)),
                "{id} {params}"
            );
        }
        for (id, params, path) in [
            ("aml.threshold", r#"{"threshold":0}"#, ".threshold"),
            ("aml.threshold", r#"{"threshold":-1}"#, ".threshold"),
            (" aml.threshold ", r#"{"threshold":"5"}"#, ".threshold"),
            ("aml.threshold", r#"{"threshold":5.0}"#, ".threshold"),
            ("aml.threshold", r#"{"threshold":5e0}"#, ".threshold"),
            ("aml.threshold", "{}", ".threshold"),
            ("aml.threshold", r#"{"threshold":5,"note":1}"#, ".note"),
            ("order_total.cap", r#"{"cap":9007199254740993}"#, ".cap"),
            ("order_total.cap", r#"{"cap":9007199254740992}"#, ".cap"),
            ("order_total.cap", r#"{"threshold":5}"#, ".threshold"),
            ("agent.authorization.v1", r#"{"maxTotal":7}"#, ".intentHash"),
            ("agent.authorization.v1", r#"{"maxTotal":7,"intentHash":"ab"}"#, ".intentHash"),
            ("agent.budget.v1", r#"{"budgetLimit":null}"#, ".budgetLimit"),
            ("p", r#"{"a":{"b":[1,-9007199254740993]}}"#, ".a.b[1]"),
            ("p", r#"{"a":99999999999999999999999}"#, ".a"),
        ] {
            match Policy::for_statement(id, Some(params)) {
                Err(ComplianceError::PolicyParameter { path: found, .. }) => {
                    assert_eq!(found, path, "{params}")
                }
                other => panic!("{id} {params}: {other:?}"),
            }
        }
        assert_eq!(Policy::for_statement("p", Some("[]")), Err(ComplianceError::PolicyParamsShape));
        assert!(Policy::for_statement("p", None).is_ok());
    }

    #[test]
    fn the_two_amount_policies_differ_at_their_bound() {
        let allows = |id, params, amount| Policy::new(id, Some(params)).unwrap().allows(amount);
        assert_eq!(allows("aml.threshold", r#"{"threshold":100}"#, 99), Some(true));
        assert_eq!(allows("aml.threshold", r#"{"threshold":100}"#, 100), Some(false));
        assert_eq!(allows("order_total.cap", r#"{"cap":100}"#, 100), Some(true));
        assert_eq!(allows("order_total.cap", r#"{"cap":100}"#, 101), Some(false));
        assert_eq!(allows("order_total.cap", r#"{"cap":"100"}"#, 1), None);
        assert_eq!(allows("custom", "{}", 1), None);
    }

    #[test]
    fn the_witness_commitment_is_left_out_of_the_hash_and_bindings_are_not() {
        let bare = public_inputs_hash(r#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(public_inputs_hash(r#"{"witnessCommitment":"00","a":2,"b":1.0}"#).unwrap(), bare);
        assert_ne!(public_inputs_hash(r#"{"amountBindingHash":"00","a":2,"b":1}"#).unwrap(), bare);
        assert_eq!(
            check_public_inputs(r#"{"a":2,"b":1,"witnessCommitment":[1]}"#, r#"{"a":2,"b":1}"#),
            Ok(())
        );
        assert_eq!(check_public_inputs(r#"{"a":2}"#, r#"{"a":3}"#), Err(ComplianceError::PublicInputsDiffer));
        assert_eq!(public_inputs_hash("[]"), Err(ComplianceError::PublicInputsShape));
    }

    #[test]
    fn a_witness_commitment_reads_back() {
        let commitment = WitnessCommitment([1, u64::MAX, 0, 0x0123_4567_89ab_cdef]);
        let text = commitment.to_hex();
        assert!(text.starts_with("0000000000000001ffffffffffffffff"));
        assert_eq!(WitnessCommitment::from_hex(&text), Some(commitment));
        assert_eq!(WitnessCommitment::from_hex(&text.to_uppercase()), None);
        assert_eq!(WitnessCommitment::from_hex(&text[1..]), None);
    }

    #[test]
    fn a_proof_says_what_it_is() {
        let witness = WitnessCommitment([0; 4]);
        assert_eq!(check_proof("stark", 1, b"", Some(&witness)), Ok(()));
        assert_eq!(check_proof("stark-v2", 1, b"", None), Err(ComplianceError::WitnessCommitmentMissing));
        assert_eq!(check_proof("groth16", 1, b"", None), Ok(()));
        assert_eq!(check_proof("", 1, b"", None), Err(ComplianceError::ProofType));
        assert_eq!(check_proof("p", 0, b"", None), Err(ComplianceError::ProofVersion));
        assert_eq!(check_proof("p", 1, &vec![0; PROOF_BYTES_MAX + 1], None), Err(ComplianceError::ProofSize));
    }
}
