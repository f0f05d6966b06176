//! Admission in a turn, and rotation policies with it: keys that may no longer sign are refused, uses are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stateset_sequencer_engine::{AdmitError, Candidate, ColdFacts, Decision};
use ves::keys::KeyType;
use ves::keys::rotation::Standing;
use ves::{KeyProblem, Rejection, StreamKey, TimestampMs};

use super::{KeyAddress, PolicySet, Rotation};
use crate::error::ServiceError;
use crate::turn::{Submission, TurnLoop};

/// Uses of the turn that is being made: they count once its events are durable.
pub(crate) struct TurnUses {
    policies: Arc<PolicySet>,
    pending: BTreeMap<KeyAddress, u64>,
}

impl TurnUses {
    pub fn new(rotation: &Rotation) -> Self {
        Self { policies: rotation.policies(), pending: BTreeMap::new() }
    }

    /// The turn's events are on disk.
    pub fn settle(self, rotation: &Rotation) {
        if self.pending.is_empty() {
            return;
        }
        rotation.with_uses(|uses| {
            for (key, count) in self.pending {
                let uses = uses.entry(key).or_default();
                uses.count += count;
                uses.is_unwritten = true;
            }
        });
    }

    /// Accepted events are uses where a policy bounds them.
    fn count(&mut self, key: KeyAddress, accepted: u64) {
        if self.policies.counts(&key) {
            *self.pending.entry(key).or_default() += accepted;
        }
    }

    fn used(&self, rotation: &Rotation, key: &KeyAddress) -> u64 {
        rotation.uses_of(key) + self.pending.get(key).copied().unwrap_or(0)
    }
}

impl TurnLoop {
    /// Admission under the policies of the tenant: section 10, step 9, once more at the moment that counts.
    pub(crate) fn admit_bound(
        &mut self,
        submission: &mut Submission,
        now: TimestampMs,
        uses: &mut TurnUses,
    ) -> Result<Vec<Decision>, ServiceError> {
        if uses.policies.of_tenant(&submission.stream.tenant_id).next().is_none() {
            return self.admit(submission, now);
        }
        let keys = keys_of(submission);
        if self.is_scarce(&keys, uses) {
            // The last uses of a key go to the events that are accepted, which only admission knows.
            return self.admit_one_by_one(submission, &keys, now, uses);
        }
        let mut judged: BTreeMap<KeyAddress, Option<KeyProblem>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            if let Some(problem) = *judged.entry(*key).or_insert_with(|| self.worn(key, now, uses)) {
                refuse(submission, at, problem);
            }
        }
        let decisions = self.admit(submission, now)?;
        let mut accepted: BTreeMap<KeyAddress, u64> = BTreeMap::new();
        for (key, decision) in keys.iter().zip(&decisions) {
            if let (Some(key), Decision::Accepted(_)) = (key, decision) {
                *accepted.entry(*key).or_default() += 1;
            }
        }
        accepted.into_iter().for_each(|(key, count)| uses.count(key, count));
        Ok(decisions)
    }

    fn admit(&mut self, submission: &Submission, now: TimestampMs) -> Result<Vec<Decision>, ServiceError> {
        let cold = self.cold_facts(submission)?;
        self.admit_with(&submission.stream, &submission.candidates, &cold, now)
    }

    fn cold_facts(&self, submission: &Submission) -> Result<ColdFacts, ServiceError> {
        if self.poisoned {
            return Err(ServiceError::Poisoned);
        }
        self.flush.cold_facts(&submission.stream, &submission.candidates)
    }

    fn admit_with(
        &mut self,
        stream: &StreamKey,
        candidates: &[Candidate],
        cold: &ColdFacts,
        now: TimestampMs,
    ) -> Result<Vec<Decision>, ServiceError> {
        self.engine.admit(stream, candidates, cold, now).map_err(|error| match error {
            AdmitError::StreamFull => ServiceError::StreamFull,
            other => ServiceError::Internal(other.to_string()),
        })
    }

    /// Whether a key of the request could run out of uses within it.
    fn is_scarce(&self, keys: &[Option<KeyAddress>], uses: &TurnUses) -> bool {
        let mut wanted: BTreeMap<&KeyAddress, u64> = BTreeMap::new();
        keys.iter().flatten().for_each(|key| *wanted.entry(key).or_default() += 1);
        wanted.into_iter().any(|(key, count)| {
            let policy = uses.policies.binding(&key.0, &key.1, KeyType::Signing);
            policy.filter(|policy| policy.rule.enforce).and_then(|policy| policy.rule.uses_max).is_some_and(
                |max| {
                    let left = max.saturating_sub(uses.used(&self.shared.rotation, key));
                    left < count
                },
            )
        })
    }

    fn admit_one_by_one(
        &mut self,
        submission: &mut Submission,
        keys: &[Option<KeyAddress>],
        now: TimestampMs,
        uses: &mut TurnUses,
    ) -> Result<Vec<Decision>, ServiceError> {
        let cold = self.cold_facts(submission)?;
        let mut seen = BTreeSet::new();
        let mut decisions = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let id = submission.candidates[at].event_id();
            if id.is_some_and(|id| !seen.insert(id)) {
                // Step 1, which admission sees only in a whole request.
                decisions.push(Decision::Rejected(Rejection::DuplicateEventId));
                continue;
            }
            if let Some(problem) = key.as_ref().and_then(|key| self.worn(key, now, uses)) {
                refuse(submission, at, problem);
            }
            let decision = self.admit_one(&submission.stream, &submission.candidates[at], &cold, now)?;
            if let (Some(key), Decision::Accepted(_)) = (key, &decision) {
                uses.count(*key, 1);
            }
            decisions.push(decision);
        }
        Ok(decisions)
    }

    fn admit_one(
        &mut self,
        stream: &StreamKey,
        candidate: &Candidate,
        cold: &ColdFacts,
        now: TimestampMs,
    ) -> Result<Decision, ServiceError> {
        let mut decisions = self.admit_with(stream, std::slice::from_ref(candidate), cold, now)?;
        decisions.pop().ok_or_else(|| ServiceError::Internal("an event got no decision".to_owned()))
    }

    /// Why the policy that binds this key refuses it now.
    fn worn(&self, address: &KeyAddress, now: TimestampMs, uses: &TurnUses) -> Option<KeyProblem> {
        let policy = uses.policies.binding(&address.0, &address.1, KeyType::Signing)?;
        let Some(key) = self.shared.keys.get(&address.0, &address.1, address.2) else {
            return Some(KeyProblem::NotFound);
        };
        match policy.rule.judge(key.key().created_at, uses.used(&self.shared.rotation, address), now) {
            Standing::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

/// Refuses the event at `at`. Its body stays: an exact replay is still answered.
fn refuse(submission: &mut Submission, at: usize, problem: KeyProblem) {
    let candidate = &mut submission.candidates[at];
    *candidate = Candidate::refused(candidate.event_id(), Rejection::AgentKeyInvalid(problem));
}

/// The key of each event that passed verification.
fn keys_of(submission: &Submission) -> Vec<Option<KeyAddress>> {
    let tenant = submission.stream.tenant_id;
    let passed = submission.candidates.iter().zip(&submission.bodies).map(|(candidate, body)| {
        let prepared = body.as_ref().filter(|_| candidate.is_verified())?;
        Some((tenant, prepared.agent_id, prepared.agent_key_id))
    });
    passed.collect()
}
