//! The routes of compliance proofs of committed batches (sequencer API, section 3.4).

use std::fmt::Write as _;

use base64ct::{Base64, Encoding as _};
use serde_json::value::RawValue;
use uuid::Uuid;
use ves::compliance::Policy;
use ves::hash::Hasher;
use ves::{BatchId, StreamKey, validity};
use ves_stark_batch::{BatchBundle, BatchFacts};
use ves_stark_primitives::bundle::{PROOF_TYPE, PROOF_VERSION};
use ves_wire::validity::{
    SubmitValidityProof, ValidityInputs, ValidityProofBody, ValidityProofList, ValidityVerification,
};

use crate::ClientError;
use crate::http::Http;

/// A blocking client of one service, for proofs about its batches. Submitting needs an administrator's key.
pub struct ValidityClient {
    pub(crate) http: Http,
}

impl ValidityClient {
    /// A client of the service at `url`, such as `http://127.0.0.1:8080`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ClientError> {
        Ok(Self { http: Http::new(url, api_key)? })
    }

    /// The batch as the service states it under `policy`: what a bundle has to be about.
    ///
    /// # Errors
    /// [`ClientError::Untrue`] where the answer is about something else; as for every request.
    pub fn facts(&self, batch: &BatchId, policy: &Policy) -> Result<BatchFacts, ClientError> {
        let (id, params) = (in_query(policy.id()), in_query(policy.params()));
        let path = format!("/api/v1/ves/validity/{batch}/inputs?policyId={id}&policyParams={params}");
        let answer: ValidityInputs = self.http.get(&path)?;
        let text = answer.public_inputs.get();
        if Hasher::bare().bytes(text.as_bytes()).finish() != answer.public_inputs_hash {
            return Err(ClientError::Untrue("the public inputs do not have the hash beside them"));
        }
        let facts =
            BatchFacts::parse(text).map_err(|error| ClientError::unreadable(&path, error.to_string()))?;
        let is_asked = facts.policy.as_ref().is_some_and(|found| found.hash() == policy.hash());
        match facts.batch_id == *batch && is_asked {
            true => Ok(facts),
            false => Err(ClientError::Untrue("the public inputs are of another batch or policy")),
        }
    }

    /// Submits a bundle about `batch`; the service verifies it before it stores it. The same bundle, or another proof of
    /// the same statement, gives the record that is stored.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where the service does not accept the proof, or holds another in its place.
    pub fn submit(&self, batch: &BatchId, bundle: &BatchBundle) -> Result<ValidityProofBody, ClientError> {
        let policy = bundle.inputs.policy.policy();
        let params = RawValue::from_string(policy.params().to_owned()).expect("canonical JSON is JSON");
        let request = SubmitValidityProof {
            proof_type: PROOF_TYPE.to_owned(),
            proof_version: PROOF_VERSION,
            policy_id: Some(policy.id().to_owned()),
            policy_params: Some(params),
            proof_b64: Base64::encode_string(bundle.to_json().as_bytes()),
            public_inputs: None,
        };
        let record: ValidityProofBody =
            self.http.post(&format!("/api/v1/ves/validity/{batch}/proofs"), &request)?;
        let stream = StreamKey { tenant_id: record.tenant_id, store_id: record.store_id };
        let is_ours = record.batch_id == *batch
            && stream == bundle.inputs.stream
            && record.policy_hash == Some(policy.hash());
        match is_ours {
            true => Ok(record),
            false => Err(ClientError::Untrue("the record is of another batch or policy")),
        }
    }

    /// Whether `record`, the answer to [`Self::submit`] of `bundle`, is of an earlier proof of the same statement: proofs
    /// are randomised, and the service keeps the first.
    ///
    /// # Errors
    /// [`ClientError::Untrue`] where the stored proof is of another statement; as for every request.
    pub fn is_earlier_proof(
        &self,
        record: &ValidityProofBody,
        bundle: &BatchBundle,
    ) -> Result<bool, ClientError> {
        if record.proof_hash == validity::proof_hash(bundle.to_json().as_bytes()) {
            return Ok(false);
        }
        let of_another = || ClientError::Untrue("the record is of another statement");
        let encoded = self.proof(&record.proof_id)?.proof_b64.ok_or_else(of_another)?;
        let stored = Base64::decode_vec(&encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let stored = stored.and_then(|text| BatchBundle::parse(&text).ok()).ok_or_else(of_another)?;
        match stored.inputs.statement_digest() == bundle.inputs.statement_digest() {
            true => Ok(true),
            false => Err(of_another()),
        }
    }

    /// Records of the proofs about a batch, without their bytes.
    pub fn list(&self, batch: &BatchId) -> Result<ValidityProofList, ClientError> {
        self.http.get(&format!("/api/v1/ves/validity/{batch}/proofs"))
    }

    /// One stored proof with its bytes.
    pub fn proof(&self, proof: &Uuid) -> Result<ValidityProofBody, ClientError> {
        self.http.get(&format!("/api/v1/ves/validity/proofs/{proof}"))
    }

    /// Has the service verify a stored proof again, against its log.
    pub fn verify(&self, proof: &Uuid) -> Result<ValidityVerification, ClientError> {
        self.http.get(&format!("/api/v1/ves/validity/proofs/{proof}/verify"))
    }
}

/// A value of a query: everything but the unreserved characters in hex (RFC 3986, section 2.1).
fn in_query(text: &str) -> String {
    let mut query = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                query.push(char::from(byte));
            }
            _ => write!(query, "%{byte:02X}").expect("to a String"),
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_travel_in_a_query_as_they_are() {
        assert_eq!(in_query(r#"{"cap":10}"#), "%7B%22cap%22%3A10%7D");
        assert_eq!(in_query("a.b-c_d~e é&="), "a.b-c_d~e%20%C3%A9%26%3D");
    }
}
