//! The routes of compliance proofs (sequencer API, section 3.5).

use base64ct::{Base64, Encoding as _};
use uuid::Uuid;
use ves::compliance::{self, Policy};
use ves::{EventId, StreamKey};
use ves_stark_primitives::bundle::{PROOF_TYPE, PROOF_VERSION};
use ves_stark_primitives::{Bundle, EventInputs};
use ves_wire::compliance::{
    ComplianceInputs, ComplianceInputsRequest, ComplianceProofBody, ComplianceProofList,
    ComplianceVerification, SubmitComplianceProof, WitnessBody,
};
use ves_wire::operations::SequencerBody;

use crate::ClientError;
use crate::http::Http;

/// What a service holds after a submission.
#[derive(Debug)]
pub struct Submitted {
    pub record: ComplianceProofBody,
    /// The service held another proof of the same statement already, and keeps that one: proofs are randomised, the
    /// statement is what counts.
    pub is_earlier_proof: bool,
}

/// A blocking client of one service.
pub struct ComplianceClient {
    http: Http,
    /// Names the stream where an event id stands in several stores.
    stream: Option<StreamKey>,
}

impl ComplianceClient {
    /// A client of the service at `url`, such as `http://127.0.0.1:8080`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(url: &str, api_key: Option<String>, stream: Option<StreamKey>) -> Result<Self, ClientError> {
        Ok(Self { http: Http::new(url, api_key)?, stream })
    }

    /// What statements for this service name as their `chainContext`: the sequencer's id.
    pub fn chain_context(&self) -> Result<String, ClientError> {
        let sequencer: SequencerBody = self.http.get("/api/v1/ves/sequencer")?;
        Ok(sequencer.sequencer_id.to_string())
    }

    /// The statement that this event obeys `policy`, as the service makes it from its log.
    ///
    /// # Errors
    /// [`ClientError::Untrue`] where the answer is about something else; as for every request.
    pub fn inputs(&self, event: &EventId, policy: &Policy) -> Result<EventInputs, ClientError> {
        let params = serde_json::value::RawValue::from_string(policy.params().to_owned())
            .expect("canonical JSON is JSON");
        let request =
            ComplianceInputsRequest { policy_id: policy.id().to_owned(), policy_params: Some(params) };
        let path = format!("/api/v1/ves/compliance/{event}/inputs{}", self.query());
        let answer: ComplianceInputs = self.http.post(&path, &request)?;
        let inputs = EventInputs::parse(answer.public_inputs.get())?;
        if inputs.hash() != answer.public_inputs_hash {
            return Err(ClientError::Untrue("the public inputs do not have the hash beside them"));
        }
        if inputs.facts.event_id != *event || inputs.policy != *policy {
            return Err(ClientError::Untrue("the public inputs are of another event or policy"));
        }
        Ok(inputs)
    }

    /// Submits a bundle; the service verifies it before it stores it. The same bundle, or another proof of the same
    /// statement, gives the record that is stored.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where the service does not accept the proof, or holds one of another statement in its
    /// place; [`ClientError::Untrue`] where the record it answers is about something else.
    pub fn submit(&self, bundle: &Bundle) -> Result<Submitted, ClientError> {
        let inputs = &bundle.inputs.event;
        let params = serde_json::value::RawValue::from_string(inputs.policy.params().to_owned())
            .expect("canonical JSON is JSON");
        let text = bundle.to_json();
        let request = SubmitComplianceProof {
            proof_type: PROOF_TYPE.to_owned(),
            proof_version: PROOF_VERSION,
            policy_id: inputs.policy.id().to_owned(),
            policy_params: Some(params),
            proof_b64: Base64::encode_string(text.as_bytes()),
            witness_commitment: Some(WitnessBody(bundle.witness_commitment())),
            public_inputs: None,
        };
        let path = format!("/api/v1/ves/compliance/{}/proofs{}", inputs.facts.event_id, self.query());
        let record: ComplianceProofBody = self.http.post(&path, &request)?;
        if record.event_id != inputs.facts.event_id || record.policy_hash != inputs.policy.hash() {
            return Err(ClientError::Untrue("the record is of another event or policy"));
        }
        let is_earlier_proof = record.proof_hash != compliance::proof_hash(text.as_bytes());
        if is_earlier_proof {
            self.check_statement(&record.proof_id, bundle)?;
        }
        Ok(Submitted { record, is_earlier_proof })
    }

    /// Whether the stored proof is of the statement of `bundle`. That it holds is for the caller to check.
    fn check_statement(&self, stored: &Uuid, bundle: &Bundle) -> Result<(), ClientError> {
        let of_another = || ClientError::Untrue("the record is of another statement");
        let encoded = self.proof(stored)?.proof_b64.ok_or_else(of_another)?;
        let stored = Base64::decode_vec(&encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let stored = stored.and_then(|text| Bundle::parse(&text).ok()).ok_or_else(of_another)?;
        match stored.inputs.statement_digest() == bundle.inputs.statement_digest() {
            true => Ok(()),
            false => Err(of_another()),
        }
    }

    /// Records of the proofs about an event, without their bytes.
    pub fn list(&self, event: &EventId) -> Result<ComplianceProofList, ClientError> {
        self.http.get(&format!("/api/v1/ves/compliance/{event}/proofs{}", self.query()))
    }

    /// One stored proof with its bytes.
    pub fn proof(&self, proof: &Uuid) -> Result<ComplianceProofBody, ClientError> {
        self.http.get(&format!("/api/v1/ves/compliance/proofs/{proof}"))
    }

    /// Has the service verify a stored proof again, against its log.
    pub fn verify(&self, proof: &Uuid) -> Result<ComplianceVerification, ClientError> {
        self.http.get(&format!("/api/v1/ves/compliance/proofs/{proof}/verify"))
    }

    fn query(&self) -> String {
        self.stream.map_or_else(String::new, |stream| {
            format!("?tenant_id={}&store_id={}", stream.tenant_id, stream.store_id)
        })
    }
}
