//! `ves-stark prove-submit`

use clap::Args;
use ves::{Digest, EventId, StoreId, StreamKey, TenantId};
use ves_stark_client::{ComplianceClient, Proposal, prove, system_random};

use crate::commands::prove::{AmountArgs, SuiteName};
use crate::failure::Failure;
use crate::output::Output;
use crate::policy::PolicyArgs;
use crate::random;
use crate::signing_key::SigningArgs;

#[derive(Debug, Args)]
pub struct ProveSubmitArgs {
    /// Address of the service; its API key comes from STATESET_API_KEY
    #[arg(long, value_name = "URL", env = "STATESET_URL", hide_env_values = true)]
    sequencer_url: String,
    /// Tenant of the event, where the API key is of no tenant of its own
    #[arg(long, value_name = "UUID", env = "STATESET_TENANT", hide_env_values = true, requires = "store")]
    tenant: Option<TenantId>,
    /// Store of the event, where the event id alone does not name it
    #[arg(long, value_name = "UUID", env = "STATESET_STORE", hide_env_values = true, requires = "tenant")]
    store: Option<StoreId>,
    /// The event, which the agent signed
    #[arg(long, value_name = "UUID")]
    event_id: EventId,
    #[command(flatten)]
    amount: AmountArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// Parameters of the proof
    #[arg(long, value_enum, default_value = "standard")]
    suite: SuiteName,
    /// Unix time in seconds after which the proof says nothing [default: it does not end]
    #[arg(long, value_name = "SECONDS")]
    valid_until: Option<u64>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Have the service verify what it stored
    #[arg(long)]
    verify: bool,
}

pub fn run(out: &Output, args: &ProveSubmitArgs) -> Result<(), Failure> {
    let policy = args.policy.read(args.intent_hash)?.policy();
    let (key_id, key) = args.signing.read()?.ok_or_else(|| {
        Failure::input("NO_KEY", "a service takes only proofs whose commitment the agent signed")
            .hint("put the seed of the agent's key into VES_AGENT_KEY, 64 hex digits")
    })?;
    let opening = args.amount.read()?;
    let api_key = std::env::var("STATESET_API_KEY").ok();
    let stream = args.tenant.zip(args.store).map(|(tenant_id, store_id)| StreamKey { tenant_id, store_id });
    let client = ComplianceClient::new(&args.sequencer_url, api_key, stream)?;
    let proposal = Proposal {
        event: client.inputs(&args.event_id, &policy)?,
        suite: args.suite.into(),
        chain_context: client.chain_context()?,
        valid_until: args.valid_until,
        opening: &opening,
    };
    let mut random = system_random().map_err(random::no_randomness)?;
    let bundle = prove(proposal, Some((key_id, &key)), &mut random)?;
    let record = client.submit(&bundle)?;
    let mut text = format!(
        "Stored as {}: {} of event {}, {} bytes of proof, verified on submission: {}.",
        record.proof_id,
        record.policy_id,
        record.event_id,
        bundle.proof.len(),
        record.verified
    );
    let verification = match args.verify {
        true => Some(client.verify(&record.proof_id)?),
        false => None,
    };
    if let Some(found) = &verification {
        let outcome = &found.outcome;
        let time = outcome.stark_verification_time_ms.unwrap_or_default();
        text += &match (outcome.valid, &outcome.reason) {
            (true, _) => format!("\nProof VALID (verified by the service in {time}ms)"),
            (false, reason) => format!("\nProof INVALID: {}", reason.as_deref().unwrap_or("no reason given")),
        };
    }
    out.result(&serde_json::json!({"proof": record, "verification": verification}), &text);
    match verification {
        Some(found) if !found.outcome.valid => {
            Err(Failure::failed("PROOF_INVALID", "the service does not find the stored proof valid"))
        }
        _ => Ok(()),
    }
}
