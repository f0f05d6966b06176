//! `ves-stark batch-submit`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ves::compliance::PROOF_BYTES_MAX;
use ves::ed25519::SigningKey;
use ves::{BatchId, Digest, KeyId};
use ves_stark_batch::{BatchBundle, BatchError, BatchFacts, BatchTerms, EVENTS_MAX};
use ves_stark_client::{BatchEvent, ClientError, ComplianceClient, ValidityClient};
use ves_stark_primitives::AmountPolicy;
use ves_wire::validity::{ValidityProofBody, ValidityVerification};

use crate::batch::{Batch, proof_bytes};
use crate::batch_subject::{NumbersArgs, Subject};
use crate::commands::prove::SuiteName;
use crate::commands::prove_submit::verified;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::signing_key::SigningArgs;

/// What a bundle has of each proved event beside the proofs: a commitment and a signature with its key's number, in base64.
const EVENT_BYTES_MIN: usize = (32 + 68) * 4 / 3;

#[derive(Debug, Args)]
pub struct BatchSubmitArgs {
    /// Address of the service; its administrator's API key comes from STATESET_API_KEY
    #[arg(long, value_name = "URL", env = "STATESET_URL", hide_env_values = true)]
    sequencer_url: String,
    /// The batch, as `stateset commit` names it
    #[arg(long, value_name = "UUID")]
    batch_id: BatchId,
    #[command(flatten)]
    numbers: NumbersArgs,
    /// The policy's number, in minor units: a threshold is not reached, a cap may be
    #[arg(long, value_name = "N")]
    limit: u64,
    /// aml.threshold, order_total.cap, agent.authorization.v1 or agent.budget.v1
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold")]
    policy: String,
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
    /// Keep the amounts with the randomness of their commitments here, for --openings; the file is secret
    #[arg(long, value_name = "FILE")]
    keep_opening: Option<PathBuf>,
    /// Have the service verify what it stored
    #[arg(long)]
    verify: bool,
}

/// What came of it.
struct Done {
    record: ValidityProofBody,
    is_earlier_proof: bool,
    proving: Duration,
    verification: Option<ValidityVerification>,
}

pub fn run(out: &Output, args: &BatchSubmitArgs) -> Result<(), Failure> {
    args.keep_opening.as_deref().map_or(Ok(()), files::check_new)?;
    let policy = AmountPolicy::with_limit(&args.policy, args.limit, args.intent_hash)?;
    let key = args.signing.read()?.ok_or_else(|| {
        Failure::input("NO_KEY", "a service takes only proofs whose commitments the events' author signed")
            .hint("put the seed of the agent's key into VES_AGENT_KEY, 64 hex digits")
    })?;
    let numbers = args.numbers.read()?;
    let api_key = std::env::var("STATESET_API_KEY").ok();
    let chain_context = ComplianceClient::new(&args.sequencer_url, api_key.clone(), None)?.chain_context()?;
    let client = ValidityClient::new(&args.sequencer_url, api_key)?;
    let facts = client.facts(&args.batch_id, &policy.policy())?;
    let subject = numbers.of(&events(out, &client, &facts)?, &policy)?;
    check_size(&subject)?;
    let started = Instant::now();
    let bundle = prove(out, args, &facts, &subject, &key, chain_context)?;
    let proving = started.elapsed();
    if let Some(file) = &args.keep_opening {
        files::write_new(file, &format!("{}\n", *subject.to_json()))?;
    }
    let record = client.submit(&args.batch_id, &bundle).map_err(refused)?;
    let is_earlier_proof = client.is_earlier_proof(&record, &bundle)?;
    let verification = match args.verify {
        true => Some(client.verify(&record.proof_id)?),
        false => None,
    };
    tell(out, &subject, &bundle, &Done { record, is_earlier_proof, proving, verification })
}

/// The events of a batch that can be proved at all.
fn events(out: &Output, client: &ValidityClient, facts: &BatchFacts) -> Result<Vec<BatchEvent>, Failure> {
    let (start, end) = (facts.sequence_start.get(), facts.sequence_end.get());
    let count = end.saturating_sub(start).saturating_add(1);
    if count > EVENTS_MAX as u64 {
        let message = format!("the batch has {count} events, and a proof is about at most {EVENTS_MAX}");
        return Err(Failure::input("TOO_LARGE", message));
    }
    let bar = out.progress(count, "events read");
    let events = client.events(facts, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(events)
}

fn prove(
    out: &Output,
    args: &BatchSubmitArgs,
    facts: &BatchFacts,
    subject: &Subject,
    key: &(KeyId, SigningKey),
    chain_context: String,
) -> Result<BatchBundle, Failure> {
    let commitments = subject.commitments();
    let terms = BatchTerms {
        suite: args.suite.into(),
        field: subject.field.clone(),
        excluded: subject.excluded.clone(),
        chain_context,
        valid_until: args.valid_until,
    };
    let inputs = facts.statement(terms, &commitments).map_err(BatchError::from)?;
    let bindings = subject.bindings(&commitments, key)?;
    let openings = subject.proved.iter().map(|(_, opening)| opening.clone()).collect();
    let bar = out.progress(subject.proved.len() as u64, "events proved");
    let batch = Batch { inputs, commitments, openings };
    let bundle = batch.prove(&mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(BatchBundle { bindings: Some(bindings), ..bundle })
}

/// Told before any time goes into a proof that no service takes.
fn check_size(subject: &Subject) -> Result<(), Failure> {
    let events = subject.proved.len();
    let bytes = events.saturating_mul(EVENT_BYTES_MIN);
    if bytes <= PROOF_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "{events} events have {bytes} bytes of commitments and signatures, and a service takes proofs of at most {PROOF_BYTES_MAX}"
    );
    Err(Failure::input("TOO_LARGE", message).hint("commit smaller batches: a proof is about one"))
}

fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status: 403, .. } => Failure::from(error)
            .hint("proofs about batches are submitted with an administrator's API key, in STATESET_API_KEY"),
        error => error.into(),
    }
}

fn tell(out: &Output, subject: &Subject, bundle: &BatchBundle, done: &Done) -> Result<(), Failure> {
    let value = serde_json::json!({
        "proof": done.record,
        "earlierProof": done.is_earlier_proof,
        "events": subject.proved.len(),
        "leftOut": subject.excluded,
        "proofBytes": proof_bytes(bundle),
        "provingTimeMs": done.proving.as_secs_f64() * 1000.0,
        "security": bundle.security,
        "verification": done.verification,
    });
    out.result(&value, &told(subject, bundle, done));
    match &done.verification {
        Some(found) if !found.outcome.valid => {
            Err(Failure::failed("PROOF_INVALID", "the service does not find the stored proof valid"))
        }
        _ => Ok(()),
    }
}

/// What happened, for a person.
fn told(subject: &Subject, bundle: &BatchBundle, done: &Done) -> String {
    let Done { record, is_earlier_proof, proving, verification } = done;
    let (proved, left_out, above) = (subject.proved.len(), subject.excluded.len(), subject.above);
    let unnamed = left_out.saturating_sub(above);
    // Not the server's words: they must not steer the terminal.
    let policy = bundle.inputs.policy.id();
    let mut text = match is_earlier_proof {
        true => format!(
            "The service already holds another proof of this statement and keeps that one: {}, {policy} of batch {}.",
            record.proof_id, record.batch_id
        ),
        false => format!(
            "Stored as {}: {policy} of batch {}, {} bytes of proof made in {proving:.1?}, verified on submission: {}.",
            record.proof_id,
            record.batch_id,
            proof_bytes(bundle),
            record.verified
        ),
    };
    text += &format!(
        "\nEvents that obey the policy: {proved}. Left out: {above} above its limit, {unnamed} not named."
    );
    if let Some(found) = verification {
        text += &verified(&found.outcome);
    }
    text
}
