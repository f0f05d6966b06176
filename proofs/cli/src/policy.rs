//! The policy that the options name.

use std::path::PathBuf;

use clap::Args;
use ves::Digest;
use ves::compliance::Policy;
use ves_stark_primitives::clauses::{PARAMS_BYTES_MAX, POLICY_ID};
use ves_stark_primitives::{AmountPolicy, ClausePolicy};

use crate::failure::Failure;
use crate::files;

#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// The number of an amount policy, in minor units: a threshold is not reached, a cap may be
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// aml.threshold, order_total.cap, agent.authorization.v1, agent.budget.v1, or ves.policy.v2 with --policy-params
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold")]
    policy: String,
    /// File with the policyParams of a composed policy: inputs, clauses, roots
    #[arg(long, value_name = "FILE")]
    policy_params: Option<PathBuf>,
}

/// A policy of either kind.
#[derive(Debug, Clone)]
pub enum Named {
    Amount(AmountPolicy),
    Composed(ClausePolicy),
}

impl Named {
    pub fn policy(&self) -> Policy {
        match self {
            Self::Amount(policy) => policy.policy(),
            Self::Composed(policy) => policy.policy(),
        }
    }
}

impl PolicyArgs {
    pub fn read(&self, intent_hash: Option<Digest>) -> Result<Named, Failure> {
        if let Some(policy) = self.composed()? {
            return match intent_hash {
                None => Ok(Named::Composed(policy)),
                Some(_) => Err(usage("--intent-hash is for agent.authorization.v1")),
            };
        }
        let limit = self.limit.ok_or_else(|| needs_limit(&self.policy))?;
        Ok(Named::Amount(AmountPolicy::with_limit(&self.policy, limit, intent_hash)?))
    }

    /// The composed policy, where the options name one; they are checked to belong together in every case.
    pub fn composed(&self) -> Result<Option<ClausePolicy>, Failure> {
        match (self.policy == POLICY_ID, self.limit, &self.policy_params) {
            (true, Some(_), _) => {
                Err(usage("--limit is for amount policies; ves.policy.v2 has its limits in --policy-params"))
            }
            (true, None, None) => Err(usage("--policy ves.policy.v2 needs --policy-params FILE")),
            (true, None, Some(file)) => {
                let text = files::read(file, PARAMS_BYTES_MAX)?;
                let policy = ClausePolicy::parse(text.trim_end())
                    .map_err(|error| Failure::input("BAD_POLICY", format!("{}: {error}", file.display())))?;
                Ok(Some(policy))
            }
            (false, _, Some(_)) => Err(usage("--policy-params is for --policy ves.policy.v2")),
            (false, None, None) => Err(needs_limit(&self.policy)),
            (false, Some(_), None) => Ok(None),
        }
    }
}

fn needs_limit(policy: &str) -> Failure {
    Failure::input("USAGE", format!("--policy {policy} needs --limit N"))
}

fn usage(message: &str) -> Failure {
    Failure::input("USAGE", message)
}
