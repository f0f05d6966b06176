//! What binds an authorization of a token (EIP-3009) to the intent that it settles.

use crate::hash::{Digest, Domain, Hasher};
use crate::ids::AgentId;

/// The nonce that the payer's wallet signs: SHA-256(`X402_AUTHORIZATION_V1` ‖ signing hash of the intent ‖ agent id ‖ Ed25519
/// key that signs the intent).
///
/// The wallet's one signature so consents to everything that the intent says, and to the agent and the key that speak for it
/// (x402, A.5, rule 1). As the token takes a nonce once, an authorization settles one intent and no other.
pub fn authorization_nonce(signing_hash: &Digest, agent_id: &AgentId, key: &[u8; 32]) -> Digest {
    Hasher::new(Domain::X402Authorization).digest(signing_hash).uuid(&agent_id.0).bytes(key).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_intent_agent_or_key_has_another_nonce() {
        let (hash, agent, key) = (Digest([1; 32]), AgentId::from_bytes([2; 16]), [3; 32]);
        let nonce = authorization_nonce(&hash, &agent, &key);
        // sha256 of the tag's 21 bytes, 32 × 01, 16 × 02, 32 × 03, by another program.
        assert_eq!(nonce.to_string(), "cf6888c9e3872f4f674995aada076b711e7dd47b62486584497e42bd8e516993");
        for other in [
            authorization_nonce(&Digest([4; 32]), &agent, &key),
            authorization_nonce(&hash, &AgentId::from_bytes([4; 16]), &key),
            authorization_nonce(&hash, &agent, &[4; 32]),
        ] {
            assert_ne!(other, nonce);
        }
    }
}
