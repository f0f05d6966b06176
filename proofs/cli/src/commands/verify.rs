//! `ves-stark verify`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;
use serde::de::IgnoredAny;
use ves::compliance::{Policy, WitnessCommitment};
use ves::ed25519::PublicKey;
use ves::hash::{Domain, Hasher};
use ves::{Digest, hex, json};
use ves_stark_primitives::bundle::{BUNDLE_BYTES_MAX, Refusal};
use ves_stark_primitives::clauses::POLICY_ID;
use ves_stark_primitives::public_inputs::INPUTS_BYTES_MAX;
use ves_stark_primitives::{
    AmountPolicy, BindingLevel, Bundle, ClausePolicy, EventInputs, InputsError, PublicInputs, SecurityReport,
};

use crate::bundle_file::{self, BundleFile, older_is_not_verified};
use crate::clock::now;
use crate::commands::prove::receipt_hash;
use crate::evidence::Binding;
use crate::failure::Failure;
use crate::output::Output;
use crate::policy::PolicyArgs;
use crate::proved::{self, printable};
use crate::{files, inputs_file};

/// Longest file that names an amount.
const AMOUNT_BINDING_BYTES_MAX: usize = 4096;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Proof file; `-` is stdin
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Public inputs of the event that the proof must be about, also as a service answers them [default: those in the proof file]
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// The commitment that the proof must be about, 64 hex digits
    #[arg(long, value_name = "HEX")]
    witness_commitment_hex: Option<String>,
    /// JSON with amount and event whose hash the statement must name; whoever has it knows the amount
    #[arg(long, value_name = "FILE")]
    amount_binding: Option<PathBuf>,
    /// Receipt of an authorization whose hash the statement must name
    #[arg(long, value_name = "FILE")]
    authorization_receipt: Option<PathBuf>,
    /// Path where the proved number must stand in the payload; for a composed policy once for each input, in their order
    #[arg(long, value_name = "PATH")]
    field: Vec<String>,
    /// Deployment that the proof must be for, such as the sequencer's id [default: any, and it is told]
    #[arg(long, value_name = "TEXT")]
    chain_context: Option<String>,
    /// Least proven bits of security
    #[arg(long, value_name = "BITS")]
    min_proven_bits: Option<u32>,
    /// Binding level that the proof must have [default: either]
    #[arg(long, value_enum)]
    binding: Option<Binding>,
    /// Public key of the agent that must have signed the commitment, 64 hex digits
    #[arg(long, value_name = "HEX")]
    agent_key: Option<AgentKey>,
}

/// A key that may sign events.
#[derive(Debug, Clone, Copy)]
pub struct AgentKey(pub PublicKey);

impl std::str::FromStr for AgentKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = hex::decode_lenient::<32>(text).map_err(|error| error.to_string())?;
        PublicKey::from_bytes(&bytes).map(Self).map_err(|problem| format!("the key {problem}"))
    }
}

/// What a proof that holds is worth.
struct Held {
    inputs: PublicInputs,
    security: SecurityReport,
    agent: Agent,
}

/// What is known of the agent's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    Signed,
    NotChecked,
    Absent,
}

/// Checks and prints the verdict. What is asked for comes from the options; a proof file that says something else, or
/// nothing readable, does not hold.
pub fn run(out: &Output, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let asked = Asked::read(args)?;
    let text = files::read(&args.proof, BUNDLE_BYTES_MAX)?;
    let started = Instant::now();
    let verdict = verify(text.trim_end(), args, &asked);
    let took = started.elapsed();
    print(out, &verdict, took);
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The options that name files, read before the clock starts.
struct Asked {
    /// The composed policy, where the options name one.
    composed: Option<ClausePolicy>,
    /// Of the event that the proof must be about.
    event: Option<EventInputs>,
    /// Where the file holds a complete statement, the proof must be of exactly that.
    statement: Option<Digest>,
    amount_binding: Option<Digest>,
    receipt: Option<Digest>,
    witness: Option<WitnessCommitment>,
}

impl Asked {
    fn read(args: &VerifyArgs) -> Result<Self, Failure> {
        let composed = args.policy.composed()?;
        let (event, statement) = match &args.inputs {
            Some(file) => {
                let (event, statement) = inputs(&inputs_file::read(file, INPUTS_BYTES_MAX)?)?;
                (Some(event), statement)
            }
            None => (None, None),
        };
        if let Some(event) = &event
            && event.policy != named(args, composed.as_ref(), event)?
        {
            return Err(Failure::input(
                "OTHER_POLICY",
                format!("the inputs are about {} {}", event.policy.id(), event.policy.params()),
            ));
        }
        let witness = args.witness_commitment_hex.as_deref().map(|text| {
            WitnessCommitment::from_hex(text).ok_or_else(|| {
                Failure::input("BAD_COMMITMENT", "--witness-commitment-hex: expected 64 lowercase hex digits")
            })
        });
        Ok(Self {
            composed,
            event,
            statement,
            amount_binding: args.amount_binding.as_deref().map(amount_binding).transpose()?,
            receipt: args.authorization_receipt.as_deref().map(receipt_hash).transpose()?,
            witness: witness.transpose()?,
        })
    }
}

/// Inputs of either version, told apart by `proofVersion`, which version 1 has not.
fn inputs(text: &str) -> Result<(EventInputs, Option<Digest>), InputsError> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "proofVersion")]
        proof_version: Option<IgnoredAny>,
    }
    let text = text.trim_end();
    match serde_json::from_str(text) {
        Ok(Version { proof_version: Some(_) }) => {
            let inputs = PublicInputs::parse(text)?;
            let digest = inputs.statement_digest();
            Ok((inputs.event, Some(digest)))
        }
        _ => Ok((EventInputs::parse(text)?, None)),
    }
}

/// The policy that the options name, under the delegated intent that the event names.
fn named(args: &VerifyArgs, composed: Option<&ClausePolicy>, event: &EventInputs) -> Result<Policy, Failure> {
    match composed {
        Some(policy) => Ok(policy.policy()),
        None => Ok(args.policy.read(intent_of(event)?)?.policy()),
    }
}

fn intent_of(event: &EventInputs) -> Result<Option<Digest>, Failure> {
    if event.policy.id() == POLICY_ID {
        return Ok(None);
    }
    Ok(match AmountPolicy::of(&event.policy)? {
        AmountPolicy::AgentAuthorization { intent_hash, .. } => Some(intent_hash),
        _ => None,
    })
}

/// Hash of the object that names an amount and an event (VES section 17.3).
fn amount_binding(file: &std::path::Path) -> Result<Digest, Failure> {
    let text = files::read(file, AMOUNT_BINDING_BYTES_MAX)?;
    let canonical = json::canonicalize(&text)
        .map_err(|error| Failure::input("BAD_AMOUNT_BINDING", format!("{}: {error}", file.display())))?;
    Ok(Hasher::new(Domain::AmountBinding).bytes(canonical.as_bytes()).finish())
}

fn verify(text: &str, args: &VerifyArgs, asked: &Asked) -> Result<Held, String> {
    let bundle = match bundle_file::parse(text).map_err(|unread| unread.to_string())? {
        BundleFile::Current(bundle) => bundle,
        BundleFile::Older(_) => return Err(older_is_not_verified()),
    };
    let own = &bundle.inputs.event;
    let policy = named(args, asked.composed.as_ref(), own).map_err(|failure| failure.message)?;
    let event = asked.event.as_ref().unwrap_or(own);
    let expected = EventInputs { policy, ..event.clone() };
    let security = ves_stark_client::check(&bundle, &expected, now()).map_err(|error| reason(&error))?;
    check_options(&bundle, args, asked, &security)?;
    let deployment = args.chain_context.as_deref().unwrap_or(&bundle.inputs.chain_context);
    bundle.check_context(deployment, now()).map_err(|error| reason(&error))?;
    let agent = agent(&bundle, args).map_err(|error| reason(&error))?;
    Ok(Held { inputs: bundle.inputs, security, agent })
}

/// What is known of the agent's signature, which must be there where a key is named. Without one, level `signed` ties a
/// proof to nothing, and is told so; level `circuit` needs none, but for a unit.
fn agent(bundle: &Bundle, args: &VerifyArgs) -> Result<Agent, Refusal> {
    if let Some(AgentKey(key)) = &args.agent_key {
        let signing_hash = bundle.inputs.event.facts.event_signing_hash;
        bundle.check_signature(|binding| binding.verify(&signing_hash, &bundle.inputs.commitments, key))?;
        return Ok(Agent::Signed);
    }
    match (&bundle.binding, bundle.inputs.binding_level) {
        (Some(_), _) => Ok(Agent::NotChecked),
        (None, BindingLevel::Signed) => Ok(Agent::Absent),
        (None, BindingLevel::Circuit { .. }) => bundle.check_binding(|_| Ok(())).map(|()| Agent::Absent),
    }
}

fn check_options(
    bundle: &Bundle,
    args: &VerifyArgs,
    asked: &Asked,
    security: &SecurityReport,
) -> Result<(), String> {
    let bindings = &bundle.inputs.event.bindings;
    if asked.statement.is_some_and(|digest| digest != bundle.inputs.statement_digest()) {
        return Err("it is of another statement than the inputs".to_owned());
    }
    if asked.witness.is_some_and(|witness| witness != bundle.witness_commitment()) {
        return Err("it is about another commitment".to_owned());
    }
    if asked.amount_binding.is_some_and(|hash| bindings.amount_binding_hash != Some(hash)) {
        return Err("its statement does not name this amount binding".to_owned());
    }
    if asked.receipt.is_some_and(|hash| bindings.authorization_receipt_hash != Some(hash)) {
        return Err("its statement does not name this authorization receipt".to_owned());
    }
    let paths: Vec<&str> = bundle.inputs.commitments.iter().map(|committed| committed.field.path()).collect();
    if !args.field.is_empty() && args.field != paths {
        let (found, asked) = (paths.join(", "), args.field.join(", "));
        return Err(match found.is_empty() {
            true => format!("it is about a number at no path, not at {asked}"),
            false => format!("it is about the number at {found}, not at {asked}"),
        });
    }
    let level = bundle.inputs.binding_level;
    if args.binding.is_some_and(|asked| !asked.is_of(level)) {
        return Err(format!("its binding level is {}", level.text()));
    }
    match args.min_proven_bits {
        Some(least) if security.proven_bits < least => {
            Err(format!("{} bits are proven, fewer than {least}", security.proven_bits))
        }
        _ => Ok(()),
    }
}

fn reason(error: &Refusal) -> String {
    error.to_string()
}

fn print(out: &Output, verdict: &Result<Held, String>, took: Duration) {
    let time_ms = took.as_secs_f64() * 1000.0;
    match verdict {
        Ok(held) => {
            let inputs = &held.inputs;
            let policy = &inputs.event.policy;
            let fields: Vec<_> = inputs.commitments.iter().map(|committed| &committed.field).collect();
            let level = inputs.binding_level;
            let agent = match (held.agent, level) {
                (Agent::Signed, _) => "signed by the agent",
                (Agent::NotChecked, _) => "agent's signature not checked: give --agent-key",
                (Agent::Absent, BindingLevel::Signed) => "NOT signed by an agent",
                (Agent::Absent, BindingLevel::Circuit { .. }) => "no agent's signature, and none needed",
            };
            let SecurityReport { conjectured_bits, proven_bits, .. } = held.security;
            let text = format!(
                "Proof VALID (verified in {took:?}): {conjectured_bits} bits conjectured, {proven_bits} proven; binding {}; {agent}{}",
                level.text(),
                proved::lines(&proved::policy(policy), &fields, &inputs.chain_context, inputs.valid_until),
            );
            let value = serde_json::json!({
                "valid": true,
                "verificationTimeMs": time_ms,
                "security": held.security,
                "eventId": inputs.event.facts.event_id,
                "policyId": policy.id(),
                "policyParams": serde_json::from_str::<serde_json::Value>(policy.params()).ok(),
                "policyHash": policy.hash(),
                "numbers": fields.iter().map(|field| proved::number_json(field)).collect::<Vec<_>>(),
                "chainContext": inputs.chain_context,
                "validUntil": inputs.valid_until,
                "bindingLevel": level.text(),
                "agentSignature": match held.agent {
                    Agent::Signed => "verified",
                    Agent::NotChecked => "not_checked",
                    Agent::Absent => "absent",
                },
            });
            out.result(&value, &text);
        }
        Err(reason) => {
            let value = serde_json::json!({"valid": false, "verificationTimeMs": time_ms, "reason": reason});
            out.result(&value, &format!("Proof INVALID (verified in {took:?}): {}", printable(reason)));
        }
    }
}
