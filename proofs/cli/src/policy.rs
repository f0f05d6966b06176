//! The policy that the options name.

use clap::Args;
use ves::Digest;
use ves_stark_primitives::AmountPolicy;

use crate::failure::Failure;

#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// The policy's number, in minor units: a threshold is not reached, a cap may be
    #[arg(long, value_name = "N")]
    pub limit: u64,
    /// aml.threshold, order_total.cap, agent.authorization.v1 or agent.budget.v1
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold")]
    pub policy: String,
}

impl PolicyArgs {
    pub fn read(&self, intent_hash: Option<Digest>) -> Result<AmountPolicy, Failure> {
        Ok(AmountPolicy::with_limit(&self.policy, self.limit, intent_hash)?)
    }
}
