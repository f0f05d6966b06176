//! Events whose `created_at` came as an instant: which text of it was signed shows only when the signature is checked
//! (sequencer API, section 4.1, Push). The text that verifies is the one that is stored.

use ves::ed25519::PublicKey;
use ves::keys::KeyRing;
use ves::keys::SecurityProfile;
use ves::verify::{Refused, Verified, verify_batch_under};
use ves::{Envelope, Rejection, TimestampMs};

/// As [`verify_batch_under`], but an event that does not verify as it stands is tried in its other spelling, if it has one.
/// `others` are as many as `events`. A refused event comes back in the spelling that its agent signed, if that shows.
pub(crate) fn verify_spellings<'a>(
    events: Vec<Envelope<'a>>,
    others: &[Option<Envelope<'a>>],
    keys: &KeyRing,
    profile: SecurityProfile,
    now: TimestampMs,
) -> Vec<Result<Verified<'a>, Refused<'a>>> {
    let mut results = verify_batch_under(profile, events, keys, now);
    let (mut places, mut again) = (Vec::new(), Vec::new());
    for (place, (result, other)) in results.iter_mut().zip(others).enumerate() {
        let (Err((refused, rejection)), Some(other)) = (result, other) else { continue };
        match rejection {
            Rejection::InvalidSignature | Rejection::InvalidCipherHash => {
                places.push(place);
                again.push(other.clone());
            }
            // A replay is answered though its key was revoked since: it is told by the event as it was stored.
            Rejection::AgentKeyInvalid(_) if is_signed(other, keys) && !is_signed(refused, keys) => {
                refused.clone_from(other);
            }
            _ => {}
        }
    }
    if again.is_empty() {
        return results;
    }
    for (place, second) in places.into_iter().zip(verify_batch_under(profile, again, keys, now)) {
        if let Ok(verified) = second {
            results[place] = Ok(verified);
        }
    }
    results
}

/// Whether the key signed the event, valid or not.
fn is_signed(event: &Envelope<'_>, keys: &KeyRing) -> bool {
    let key = keys.get(&event.stream.tenant_id, &event.source_agent_id, event.agent_key_id);
    key.is_some_and(|key| {
        let public = PublicKey::from_bytes(&key.key().public_key);
        public.is_ok_and(|public| public.verify(&event.signing_hash().0, &event.agent_signature))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateset_fixtures::{Agent, NOW, Recipient, plain_event, resign, sealed_event, stream};

    fn spelled<'a>(event: &Envelope<'a>, created_at: &'static str) -> Envelope<'a> {
        Envelope { created_at: created_at.into(), ..event.clone() }
    }

    #[test]
    fn the_spelling_that_was_signed_is_the_one_that_is_kept() {
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        let keys = KeyRing::default();
        keys.insert(agent.registered_key());
        let (offset, zulu) = ("2025-12-20T17:51:10+00:00", "2025-12-20T17:51:10Z");
        for event in [plain_event(&agent, &stream, 1), sealed_event(&agent, &stream, 2, &[Recipient::new(1)])]
        {
            for signed in [offset, zulu] {
                let mut event = spelled(&event, signed);
                if let ves::Payload::Encrypted(sealed) = &event.payload {
                    event.payload_cipher_hash = ves::seal::cipher_hash(&event.payload_aad(), sealed);
                }
                let event = resign(event, &agent);
                let others = [Some(spelled(&event, zulu))];
                let first = spelled(&event, offset);
                let mut results = verify_spellings(vec![first], &others, &keys, SecurityProfile::Legacy, NOW);
                let verified = results.pop().expect("one result").expect("one of the spellings verifies");
                assert_eq!(verified.envelope(), &event);
            }
        }
        keys.insert(agent.registered_key().revoked(NOW));
        let event = resign(spelled(&plain_event(&agent, &stream, 4), zulu), &agent);
        let results = verify_spellings(
            vec![spelled(&event, offset)],
            &[Some(event.clone())],
            &keys,
            SecurityProfile::Legacy,
            NOW,
        );
        assert!(matches!(&results[0], Err((kept, Rejection::AgentKeyInvalid(_))) if *kept == event));
        keys.insert(agent.registered_key());
        let forged = Envelope { agent_signature: [7; 64], ..plain_event(&agent, &stream, 3) };
        let others = [Some(spelled(&forged, zulu))];
        let results =
            verify_spellings(vec![spelled(&forged, offset)], &others, &keys, SecurityProfile::Legacy, NOW);
        assert!(matches!(&results[0], Err((kept, Rejection::InvalidSignature)) if kept.created_at == offset));
    }
}
