//! Registration of a key: its parts, their proofs, and what a tenant's keys must not share (VES section 9).

use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ves::ed25519::PublicKey;
use ves::keys::pqc::is_ml_kem_768_public_key;
use ves::keys::{
    AgentKey, EncryptionKey, KeyAlgorithm, KeyBytes, KeyStatus, PossessionProof, check_possession_of,
    possession_challenge, possession_challenge_bound,
};
use ves::{KeyId, RecipientKeyId, TimestampMs};
use ves_wire::keys::{PublicKeyBundle, RegisterKeyRequest};
use ves_wire::{ErrorCode, Hex};

use crate::caller::Caller;
use crate::config::Possession;
use crate::error::ApiError;
use crate::router::App;

/// A signing key: Ed25519, ML-DSA-65 or both, each part proven.
pub(super) async fn signing(
    app: &App,
    caller: &Caller,
    request: &RegisterKeyRequest,
    algorithm: KeyAlgorithm,
) -> Result<AgentKey, ApiError> {
    let bundle = bundle(request);
    refuse(bundle.x25519.is_some(), "x25519PublicKey", "does not belong to a signing key")?;
    refuse(bundle.ml_kem_768.is_some(), "mlKem768PublicKey", "does not belong to a signing key")?;
    let has_classical = algorithm != KeyAlgorithm::MlDsa65;
    let classical = classical_part(request, bundle.ed25519, "ed25519PublicKey", has_classical)?;
    let has_quantum = algorithm != KeyAlgorithm::Ed25519;
    let quantum = quantum_part(bundle.ml_dsa_65.as_deref(), "mlDsa65PublicKey", has_quantum)?;
    let ed25519 = classical
        .map(|bytes| PublicKey::from_bytes(&bytes))
        .transpose()
        .map_err(|problem| ApiError::new(ErrorCode::InvalidPublicKey, format!("publicKey {problem}")))?;
    let parts = KeyBytes { ed25519: ed25519.as_ref(), ml_dsa_65: quantum.as_deref() };
    prove(app, request, algorithm, &parts)?;
    if let Some(signing) = &classical
        && app
            .sequencer
            .encryption_keys(&request.tenant_id)
            .iter()
            .any(|held| doubles(signing, held.x25519()))
    {
        return Err(both_uses());
    }
    let registered = AgentKey {
        tenant_id: request.tenant_id,
        agent_id: request.agent_id,
        key_id: KeyId(request.key_id),
        public_key: classical.unwrap_or([0; 32]),
        algorithm,
        ml_dsa_65: quantum,
        status: KeyStatus::Active,
        valid_from: request.valid_from.map(|at| at.0),
        valid_to: request.valid_to.map(|at| at.0),
        revoked_at: None,
        created_at: app.sequencer.now(),
        metadata: request.metadata.as_ref().map(ToString::to_string),
    };
    app.acting(caller).register_agent_key(registered.clone()).await?;
    Ok(registered)
}

/// The switch for old clients covers Ed25519 alone: post-quantum keys always came with a proof (9.3).
fn prove(
    app: &App,
    request: &RegisterKeyRequest,
    algorithm: KeyAlgorithm,
    parts: &KeyBytes<'_>,
) -> Result<(), ApiError> {
    let proof = proof(request)?;
    if proof == PossessionProof::default() {
        if algorithm == KeyAlgorithm::Ed25519 && app.config.possession == Possession::Optional {
            return Ok(());
        }
        let message = match algorithm {
            KeyAlgorithm::Ed25519 => {
                "proofOfPossession is missing: send the key's signature over the challenge of its public key"
            }
            _ => {
                "proofOfPossessionBundle is missing: send each part's signature over the challenge of all parts"
            }
        };
        return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
    }
    let (tenant, agent, key_id) = (&request.tenant_id, &request.agent_id, KeyId(request.key_id));
    check_possession_of(parts, tenant, agent, key_id, &proof).map(drop).map_err(unproven)
}

/// An encryption key: X25519, ML-KEM-768 or both. It can't sign: a proof is optional, and is then made by an active
/// signing key of the same agent (decision 15).
pub(super) async fn encryption(
    app: &App,
    caller: &Caller,
    request: &RegisterKeyRequest,
    algorithm: KeyAlgorithm,
) -> Result<EncryptionKey, ApiError> {
    let bundle = bundle(request);
    refuse(bundle.ed25519.is_some(), "ed25519PublicKey", "does not belong to an encryption key")?;
    refuse(bundle.ml_dsa_65.is_some(), "mlDsa65PublicKey", "does not belong to an encryption key")?;
    let has_classical = algorithm != KeyAlgorithm::MlKem768;
    let classical = classical_part(request, bundle.x25519, "x25519PublicKey", has_classical)?;
    let has_quantum = algorithm != KeyAlgorithm::X25519;
    let quantum = quantum_part(bundle.ml_kem_768.as_deref(), "mlKem768PublicKey", has_quantum)?;
    if classical.is_some_and(|key| MontgomeryPoint(key).mul_clamped([1; 32]).0 == [0; 32]) {
        return Err(ApiError::new(ErrorCode::InvalidPublicKey, "publicKey is a point of small order"));
    }
    if quantum.as_deref().is_some_and(|key| !is_ml_kem_768_public_key(key)) {
        let message = "publicKeyBundle.mlKem768PublicKey is no public key of ML-KEM-768";
        return Err(ApiError::new(ErrorCode::InvalidPublicKey, message));
    }
    let now = app.sequencer.now();
    let bytes = [
        classical.as_ref().map_or(&[][..], |key| key),
        quantum.as_ref().map_or(&[][..], |key| key.as_slice()),
    ]
    .concat();
    let proof = proof(request)?;
    if proof != PossessionProof::default() && !signed_by_agent(app, request, &bytes, &proof, now) {
        return Err(unproven(
            "the proof of possession is no signature by an active signing key of the agent",
        ));
    }
    let signing = app.sequencer.agent_keys(&request.tenant_id, None);
    if classical.is_some()
        && signing.iter().filter_map(AgentKey::ed25519).any(|held| doubles(held, classical.as_ref()))
    {
        return Err(both_uses());
    }
    let registered = EncryptionKey {
        tenant_id: request.tenant_id,
        agent_id: request.agent_id,
        kid: RecipientKeyId(request.key_id),
        public_key: classical.unwrap_or([0; 32]),
        algorithm,
        ml_kem_768: quantum,
        status: KeyStatus::Active,
        valid_from: request.valid_from.map(|at| at.0),
        valid_to: request.valid_to.map(|at| at.0),
        revoked_at: None,
        created_at: now,
    };
    app.acting(caller).register_encryption_key(registered.clone()).await?;
    Ok(registered)
}

fn signed_by_agent(
    app: &App,
    request: &RegisterKeyRequest,
    key: &[u8],
    proof: &PossessionProof,
    now: TimestampMs,
) -> bool {
    let (tenant, agent) = (&request.tenant_id, &request.agent_id);
    let challenges =
        [possession_challenge_bound(tenant, agent, KeyId(request.key_id), key), possession_challenge(key)];
    let signing = app.sequencer.agent_keys(tenant, Some(agent));
    let mut active = signing.iter().filter(|held| held.check_at(now).is_ok());
    active.any(|held| challenges.iter().any(|challenge| held.vouches(challenge, proof)))
}

fn bundle(request: &RegisterKeyRequest) -> PublicKeyBundle {
    request.public_key_bundle.clone().unwrap_or_default()
}

fn refuse(is_there: bool, name: &str, problem: &str) -> Result<(), ApiError> {
    if !is_there {
        return Ok(());
    }
    Err(ApiError::invalid("publicKeyBundle", format_args!("{name} {problem}")))
}

/// `publicKey`, or its place in the bundle; both have to agree. A key without this part leaves it out or zero.
fn classical_part(
    request: &RegisterKeyRequest,
    bundled: Option<Hex<32>>,
    name: &str,
    is_wanted: bool,
) -> Result<Option<[u8; 32]>, ApiError> {
    if !is_wanted {
        refuse(bundled.is_some(), name, "does not belong to a key of this algorithm")?;
        return match request.public_key {
            Some(key) if key.0 != [0; 32] => {
                Err(ApiError::invalid("publicKey", "must be zero or absent for a key of this algorithm"))
            }
            _ => Ok(None),
        };
    }
    match (request.public_key, bundled) {
        (Some(key), Some(bundled)) if key != bundled => {
            Err(ApiError::invalid("publicKey", format_args!("differs from publicKeyBundle.{name}")))
        }
        (Some(key), _) | (None, Some(key)) => Ok(Some(key.0)),
        (None, None) => Err(ApiError::new(ErrorCode::MissingRequiredField, "publicKey is missing")),
    }
}

fn quantum_part<const N: usize>(
    text: Option<&str>,
    name: &str,
    is_wanted: bool,
) -> Result<Option<Box<[u8; N]>>, ApiError> {
    match text {
        Some(text) if is_wanted => long_hex(text, &format!("publicKeyBundle.{name}")).map(Some),
        Some(_) => {
            refuse(true, name, "does not belong to a key of this algorithm, see keyAlgorithm").map(|()| None)
        }
        None if is_wanted => {
            Err(ApiError::new(ErrorCode::MissingRequiredField, format!("publicKeyBundle.{name} is missing")))
        }
        None => Ok(None),
    }
}

fn long_hex<const N: usize>(text: &str, field: &str) -> Result<Box<[u8; N]>, ApiError> {
    ves::hex::decode_lenient(text).map(Box::new).map_err(|problem| ApiError::invalid(field, problem))
}

/// `proofOfPossession` or its places in the bundle.
fn proof(request: &RegisterKeyRequest) -> Result<PossessionProof, ApiError> {
    let bundle = request.proof_of_possession_bundle.as_ref();
    let bundled = bundle.and_then(|bundle| bundle.ed25519);
    if let (Some(proof), Some(bundled)) = (request.proof_of_possession, bundled)
        && proof != bundled
    {
        let problem = "differs from proofOfPossessionBundle.ed25519Pop";
        return Err(ApiError::invalid("proofOfPossession", problem));
    }
    let quantum = bundle.and_then(|bundle| bundle.ml_dsa_65.as_deref());
    Ok(PossessionProof {
        ed25519: request.proof_of_possession.or(bundled).map(|proof| proof.0),
        ml_dsa_65: quantum.map(|text| long_hex(text, "proofOfPossessionBundle.mlDsa65Pop")).transpose()?,
    })
}

/// Section 9.4: a signing key must not double as an encryption key, as the same bytes or as the same point.
fn doubles(signing: &[u8; 32], encryption: Option<&[u8; 32]>) -> bool {
    let Some(encryption) = encryption else { return false };
    let as_montgomery = || CompressedEdwardsY(*signing).decompress().map(|point| point.to_montgomery());
    signing == encryption || as_montgomery().is_some_and(|point| point == MontgomeryPoint(*encryption))
}

fn both_uses() -> ApiError {
    let message = "publicKey: a key that signs must not be registered for encryption too";
    ApiError::new(ErrorCode::InvalidPublicKey, message)
}

fn unproven(problem: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::SignatureVerificationFailed, format!("proofOfPossession: {problem}"))
}
