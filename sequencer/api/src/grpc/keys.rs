//! The service `stateset.sequencer.v2.KeyManagement`: the keys of agents, by the same functions as REST. For admins.

use serde_json::{Map, Value, json};
use tonic::{Request, Response, Status};
use ves::{AgentId, TenantId, TimestampMs, hex};
use ves_wire::error::ErrorCode;
use ves_wire::keys::{
    ALGORITHM_ED25519, ALGORITHM_X25519, AgentKeyBody, RegisterKeyRequest, RevokeKeyRequest,
};
use ves_wire::proto::v2::{self, KeyAlgorithm, KeyStatus, KeyType};
use ves_wire::v2::{timestamp, timestamp_of};

use super::events::id;
use super::frame::Admitted;
use super::generated::v2::key_management_server::KeyManagement;
use crate::caller::Permission;
use crate::error::ApiError;
use crate::keys::{list_keys, register_key, revoke_key};
use crate::router::App;

/// Public keys and signatures of FIPS 203 and 204.
const ML_DSA_65_KEY_BYTES: usize = 1952;
const ML_KEM_768_KEY_BYTES: usize = 1184;
const ML_DSA_65_PROOF_BYTES: usize = 3309;

pub(super) struct Service(pub App);

#[tonic::async_trait]
impl KeyManagement for Service {
    async fn register_agent_key(
        &self,
        request: Request<v2::RegisterKeyRequest>,
    ) -> Result<Response<v2::RegisterKeyResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        admitted.caller().require_right(Permission::Admin)?;
        let body = registration(request.get_ref())?;
        let key = register_key(&self.0, admitted.caller(), &body).await?;
        Ok(Response::new(v2::RegisterKeyResponse {
            success: true,
            message: format!("key {} registered", key.key_id),
            registered_at: Some(timestamp(key.created_at.0)),
        }))
    }

    async fn get_agent_keys(
        &self,
        request: Request<v2::GetAgentKeysRequest>,
    ) -> Result<Response<v2::GetAgentKeysResponse>, Status> {
        let (admitted, asked) = (Admitted::of(&request)?, request.get_ref());
        let tenant_id: TenantId = id("tenant_id", &asked.tenant_id)?;
        admitted.caller().require_tenant(Permission::Admin, &tenant_id)?;
        let agent_id: Option<AgentId> = match asked.agent_id.as_str() {
            "" => None,
            text => Some(id("agent_id", text)?),
        };
        let wanted = match KeyType::try_from(asked.key_type_filter) {
            Ok(wanted) => wanted,
            Err(_) => return Err(ApiError::invalid("key_type_filter", "expected 0, 1 or 2").into()),
        };
        let now = self.0.sequencer.now();
        let held = list_keys(&self.0, admitted.caller(), &tenant_id, agent_id.as_ref()).await?;
        let keys = held
            .iter()
            .map(|key| agent_key(key, now))
            .filter(|key| wanted == KeyType::Unspecified || key.key_type() == wanted)
            .filter(|key| asked.include_revoked || key.status() != KeyStatus::Revoked);
        Ok(Response::new(v2::GetAgentKeysResponse { keys: keys.collect() }))
    }

    async fn revoke_agent_key(
        &self,
        request: Request<v2::RevokeKeyRequest>,
    ) -> Result<Response<v2::RevokeKeyResponse>, Status> {
        let (admitted, asked) = (Admitted::of(&request)?, request.get_ref());
        let tenant_id: TenantId = id("tenant_id", &asked.tenant_id)?;
        let agent_id: AgentId = id("agent_id", &asked.agent_id)?;
        admitted.caller().require_tenant(Permission::Admin, &tenant_id)?;
        let key_type = match KeyType::try_from(asked.key_type) {
            Ok(KeyType::Encryption) => "encryption",
            Ok(_) => "signing",
            Err(_) => return Err(ApiError::invalid("key_type", "expected 0, 1 or 2").into()),
        };
        let body = json!({
            "tenantId": tenant_id, "agentId": agent_id, "keyId": asked.key_id, "keyType": key_type,
        });
        let body: RevokeKeyRequest = serde_json::from_value(body).map_err(ApiError::internal)?;
        let key = revoke_key(&self.0, admitted.caller(), &body).await?;
        Ok(Response::new(v2::RevokeKeyResponse {
            success: true,
            revoked_at: key.revoked_at.map(|at| timestamp(at.0)),
        }))
    }
}

/// The message as the body of REST, whose rules then hold.
fn registration(request: &v2::RegisterKeyRequest) -> Result<RegisterKeyRequest, ApiError> {
    let tenant_id: TenantId = id("tenant_id", &request.tenant_id)?;
    let agent_id: AgentId = id("agent_id", &request.agent_id)?;
    check_lengths(request)?;
    let mut body = Map::new();
    body.insert("tenantId".to_owned(), json!(tenant_id));
    body.insert("agentId".to_owned(), json!(agent_id));
    body.insert("keyId".to_owned(), json!(request.key_id));
    body.insert("keyAlgorithm".to_owned(), json!(algorithm(request)?));
    for (member, field, at) in
        [("validFrom", "valid_from", &request.valid_from), ("validTo", "valid_to", &request.valid_to)]
    {
        if let Some(at) = at {
            let at = timestamp_of(at)
                .ok_or_else(|| ApiError::invalid(field, "must lie in the years 0 to 9999"))?;
            body.insert(member.to_owned(), json!(at.to_string()));
        }
    }
    let mut bundle = Map::new();
    match request.public_key.len() {
        ML_DSA_65_KEY_BYTES => put_hex(&mut bundle, "mlDsa65PublicKey", &request.public_key),
        ML_KEM_768_KEY_BYTES => put_hex(&mut bundle, "mlKem768PublicKey", &request.public_key),
        _ => put_hex(&mut body, "publicKey", &request.public_key),
    }
    if let Some(keys) = &request.public_key_bundle {
        put_hex(&mut bundle, "ed25519PublicKey", &keys.ed25519_public_key);
        put_hex(&mut bundle, "mlDsa65PublicKey", &keys.ml_dsa_65_public_key);
        put_hex(&mut bundle, "x25519PublicKey", &keys.x25519_public_key);
        put_hex(&mut bundle, "mlKem768PublicKey", &keys.ml_kem_768_public_key);
    }
    if !bundle.is_empty() {
        body.insert("publicKeyBundle".to_owned(), Value::Object(bundle));
    }
    let mut bundle = Map::new();
    match request.proof_of_possession.len() {
        ML_DSA_65_PROOF_BYTES => put_hex(&mut bundle, "mlDsa65Pop", &request.proof_of_possession),
        _ => put_hex(&mut body, "proofOfPossession", &request.proof_of_possession),
    }
    if let Some(proofs) = &request.proof_of_possession_bundle {
        put_hex(&mut bundle, "ed25519Pop", &proofs.ed25519_pop);
        put_hex(&mut bundle, "mlDsa65Pop", &proofs.ml_dsa_65_pop);
    }
    if !bundle.is_empty() {
        body.insert("proofOfPossessionBundle".to_owned(), Value::Object(bundle));
    }
    serde_json::from_value(Value::Object(body))
        .map_err(|problem| ApiError::new(ErrorCode::InvalidFieldValue, format!("the key: {problem}")))
}

/// The lengths of the parts, by the names of their fields.
fn check_lengths(request: &v2::RegisterKeyRequest) -> Result<(), ApiError> {
    let keys = request.public_key_bundle.clone().unwrap_or_default();
    let proofs = request.proof_of_possession_bundle.clone().unwrap_or_default();
    for (field, bytes, expected) in [
        ("public_key_bundle.ed25519_public_key", &keys.ed25519_public_key, 32),
        ("public_key_bundle.x25519_public_key", &keys.x25519_public_key, 32),
        ("proof_of_possession_bundle.ed25519_pop", &proofs.ed25519_pop, 64),
    ] {
        if !bytes.is_empty() && bytes.len() != expected {
            return Err(ApiError::invalid(
                field,
                format_args!("expected {expected} bytes, found {}", bytes.len()),
            ));
        }
    }
    let (key, proof) = (request.public_key.len(), request.proof_of_possession.len());
    if !matches!(key, 0 | 32 | ML_DSA_65_KEY_BYTES | ML_KEM_768_KEY_BYTES) {
        let problem = format!("{key} bytes are no key of any algorithm; two keys stand in public_key_bundle");
        return Err(ApiError::invalid("public_key", problem));
    }
    if !matches!(proof, 0 | 64 | ML_DSA_65_PROOF_BYTES) {
        let problem = format!("{proof} bytes are no signature; two stand in proof_of_possession_bundle");
        return Err(ApiError::invalid("proof_of_possession", problem));
    }
    Ok(())
}

/// The number that REST calls `keyAlgorithm`; it has to be of the type that is named.
fn algorithm(request: &v2::RegisterKeyRequest) -> Result<u32, ApiError> {
    let named = KeyAlgorithm::try_from(request.key_algorithm)
        .map_err(|_| ApiError::invalid("key_algorithm", "expected 0 to 6"))?;
    let key_type = KeyType::try_from(request.key_type)
        .map_err(|_| ApiError::invalid("key_type", "expected 0, 1 or 2"))?;
    match (named, key_type) {
        (KeyAlgorithm::Unspecified, KeyType::Encryption) => Ok(ALGORITHM_X25519),
        (KeyAlgorithm::Unspecified, _) => Ok(ALGORITHM_ED25519),
        (named, KeyType::Unspecified) => Ok(named as u32),
        (named, key_type) if type_of(named) == key_type => Ok(named as u32),
        (named, _) => {
            let problem = format!("{} is of another type", named.as_str_name());
            Err(ApiError::invalid("key_algorithm", problem))
        }
    }
}

fn type_of(algorithm: KeyAlgorithm) -> KeyType {
    match algorithm {
        KeyAlgorithm::Unspecified => KeyType::Unspecified,
        KeyAlgorithm::Ed25519 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::Ed25519MlDsa65 => KeyType::Signing,
        KeyAlgorithm::X25519 | KeyAlgorithm::MlKem768 | KeyAlgorithm::X25519MlKem768 => KeyType::Encryption,
    }
}

fn put_hex(body: &mut Map<String, Value>, member: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        body.insert(member.to_owned(), Value::String(hex::encode(bytes)));
    }
}

/// Of hex that the registry wrote itself.
fn bytes_of(text: Option<&str>) -> Vec<u8> {
    let digits = text.map(|text| text.trim_start_matches("0x").as_bytes()).unwrap_or_default();
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn agent_key(key: &AgentKeyBody, now: TimestampMs) -> v2::AgentKey {
    let algorithm = i32::try_from(key.key_algorithm).ok().and_then(|n| KeyAlgorithm::try_from(n).ok());
    let algorithm = algorithm.unwrap_or_default();
    let status = match key.status.as_str() {
        "revoked" => KeyStatus::Revoked,
        "expired" => KeyStatus::Expired,
        _ if key.valid_to.is_some_and(|end| end.0 < now) => KeyStatus::Expired,
        _ => KeyStatus::Active,
    };
    let bundle = key.public_key_bundle.as_ref().map(|parts| v2::PublicKeyBundle {
        ed25519_public_key: parts.ed25519.map(|part| part.0.to_vec()).unwrap_or_default(),
        ml_dsa_65_public_key: bytes_of(parts.ml_dsa_65.as_deref()),
        x25519_public_key: parts.x25519.map(|part| part.0.to_vec()).unwrap_or_default(),
        ml_kem_768_public_key: bytes_of(parts.ml_kem_768.as_deref()),
    });
    let public_key = match (&bundle, algorithm) {
        (Some(parts), KeyAlgorithm::MlDsa65) => parts.ml_dsa_65_public_key.clone(),
        (Some(parts), KeyAlgorithm::MlKem768) => parts.ml_kem_768_public_key.clone(),
        _ => key.public_key.0.to_vec(),
    };
    v2::AgentKey {
        key_id: key.key_id,
        key_type: type_of(algorithm).into(),
        public_key,
        status: status.into(),
        created_at: Some(timestamp(key.created_at.0)),
        valid_from: key.valid_from.map(|at| timestamp(at.0)),
        valid_to: key.valid_to.map(|at| timestamp(at.0)),
        revoked_at: key.revoked_at.map(|at| timestamp(at.0)),
        key_algorithm: algorithm.into(),
        public_key_bundle: bundle,
    }
}
