//! What is proved: the amount of an amount policy, or the numbers of a composed one.

use ves::KeyId;
use ves::ed25519::SigningKey;
use ves_stark_client::{
    ComposedProposal, PlainPayload, Proposal, prove, prove_composed, prove_in_payload, system_random,
};
use ves_stark_primitives::{Bundle, EventInputs, FieldOpening, SuiteId};
use zeroize::Zeroizing;

use crate::clock::now;
use crate::commands::prove::AmountArgs;
use crate::composed::{ComposedArgs, Numbers};
use crate::evidence::{BindingArgs, Evidence};
use crate::failure::Failure;
use crate::policy::Named;
use crate::random;

/// Secret.
pub enum Subject {
    Amount { opening: FieldOpening, evidence: Option<Evidence> },
    Numbers(Numbers),
}

/// The statement's other parts.
pub struct Terms {
    pub event: EventInputs,
    pub suite: SuiteId,
    pub chain_context: String,
    /// Unix seconds.
    pub valid_until: Option<u64>,
}

impl Subject {
    /// What the options hold for a policy of that kind.
    pub fn read(
        named: &Named,
        amount: &AmountArgs,
        binding: &BindingArgs,
        composed: &ComposedArgs,
    ) -> Result<Self, Failure> {
        match named {
            Named::Amount(_) if composed.is_given() => Err(Failure::input(
                "USAGE",
                "--openings is for --policy ves.policy.v2; an amount policy takes --amount, --amount-file or --opening",
            )),
            Named::Amount(_) => {
                let evidence = binding.read()?;
                Ok(Self::Amount { opening: amount.read(evidence.as_ref())?, evidence })
            }
            Named::Composed(_) if binding.is_circuit() => Err(Failure::input(
                "USAGE",
                "--binding circuit is for amount policies; a composed one is signed",
            )),
            Named::Composed(policy) => Ok(Self::Numbers(composed.read(policy)?)),
        }
    }

    /// The payload of level `circuit`.
    pub fn payload(&self) -> Option<PlainPayload<'_>> {
        match self {
            Self::Amount { evidence, .. } => evidence.as_ref().map(Evidence::payload),
            Self::Numbers(_) => None,
        }
    }

    /// What --keep-opening writes. Secret.
    pub fn to_json(&self) -> Zeroizing<String> {
        match self {
            Self::Amount { opening, .. } => opening.to_json(),
            Self::Numbers(numbers) => numbers.to_json(),
        }
    }

    pub fn prove(&self, terms: Terms, key: Option<&(KeyId, SigningKey)>) -> Result<Bundle, Failure> {
        let mut random = system_random().map_err(random::no_randomness)?;
        let agent = key.map(|(id, key)| (*id, key as _));
        let Terms { event, suite, chain_context, valid_until } = terms;
        let bundle = match self {
            Self::Amount { opening, evidence } => {
                let proposal = Proposal { event, suite, chain_context, valid_until, opening };
                match evidence {
                    Some(evidence) => prove_in_payload(proposal, &evidence.payload(), agent, &mut random)?,
                    None => prove(proposal, agent, &mut random)?,
                }
            }
            Self::Numbers(Numbers { openings, evidence }) => {
                let now = now();
                let proposal =
                    ComposedProposal { event, suite, chain_context, valid_until, openings, evidence, now };
                prove_composed(proposal, agent, &mut random)?
            }
        };
        Ok(bundle)
    }
}
