//! The routes of compliance proofs (sequencer API, section 3.5).

use base64ct::{Base64, Encoding as _};
use uuid::Uuid;
use ves::compliance::Policy;
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

    /// Submits a bundle; the service verifies it before it stores it. The same bundle again gives the same record.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where the service does not accept the proof, or holds another in its place.
    pub fn submit(&self, bundle: &Bundle) -> Result<ComplianceProofBody, ClientError> {
        let inputs = &bundle.inputs.event;
        let params = serde_json::value::RawValue::from_string(inputs.policy.params().to_owned())
            .expect("canonical JSON is JSON");
        let request = SubmitComplianceProof {
            proof_type: PROOF_TYPE.to_owned(),
            proof_version: PROOF_VERSION,
            policy_id: inputs.policy.id().to_owned(),
            policy_params: Some(params),
            proof_b64: Base64::encode_string(bundle.to_json().as_bytes()),
            witness_commitment: Some(WitnessBody(bundle.witness_commitment())),
            public_inputs: None,
        };
        let path = format!("/api/v1/ves/compliance/{}/proofs{}", inputs.facts.event_id, self.query());
        self.http.post(&path, &request)
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
