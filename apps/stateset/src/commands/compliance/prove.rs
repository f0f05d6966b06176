//! `stateset prove`: the amount stays here, the proof goes to the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use stateset_client::PulledEvent;
use stateset_keystore::KeyName;
use ves::compliance::{EventFacts, Policy};
use ves::ed25519::Signer;
use ves::{Digest, KeyId};
use ves_stark_client::{ClientError, Proposal, Submitted, prove, prove_in_payload, system_random};
use ves_stark_primitives::commitment::{DECIMAL, MINOR_UNITS};
use ves_stark_primitives::{
    AmountPolicy, Bundle, EventInputs, FieldDescription, FieldOpening, Opening, SuiteId, decimal, payload,
};
use zeroize::Zeroizing;

use super::payload::{ClearPayload, check_apart, clear_payload, no_stdout};
use crate::commands::event::{EventName, fetch};
use crate::context::Context;
use crate::error::{CliError, FAILURE};
use crate::files;
use crate::installation::agent_of;

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Sequence number or id of the event; at binding level signed, of the agent whose key signs
    event: EventName,
    /// The policy's number, in minor units: a threshold is not reached, a cap may be
    #[arg(long, value_name = "N")]
    limit: u64,
    /// aml.threshold, order_total.cap, agent.authorization.v1 or agent.budget.v1
    #[arg(long, value_name = "POLICY", default_value = "aml.threshold")]
    policy: String,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// Where the amount stands in the payload, for example total.amount
    #[arg(long, value_name = "PATH", required_unless_present = "opening")]
    field: Option<String>,
    /// Currency of the amount; it enters the commitment
    #[arg(long, value_name = "CODE", default_value = "")]
    unit: String,
    /// Digits after the point in that currency
    #[arg(long, value_name = "DIGITS", default_value_t = 0)]
    exponent: u8,
    /// The payload holds a decimal amount, such as 59.98, and not minor units
    #[arg(long)]
    decimal: bool,
    /// How the commitment is tied to the event
    #[arg(long, value_enum, default_value = "signed")]
    binding: Binding,
    /// Open a sealed payload with this x25519 key
    #[arg(long, value_name = "KEY")]
    pub(super) open: Option<KeyName>,
    /// File that holds the payload in clear, where no key of yours opens it; compared where its hash can be made
    #[arg(long, value_name = "FILE", conflicts_with = "open")]
    pub(super) payload: Option<PathBuf>,
    /// File with the salt of a sealed payload, 32 hex digits
    #[arg(long, value_name = "FILE", requires = "payload")]
    pub(super) payload_salt: Option<PathBuf>,
    /// File with amount and randomness, as they were kept or sealed into the payload
    #[arg(long, value_name = "FILE", conflicts_with_all = ["field", "decimal", "unit", "exponent"])]
    opening: Option<PathBuf>,
    /// Keep amount and randomness here, for those who may check the commitment; a new file, which is secret
    #[arg(long, value_name = "FILE")]
    keep_opening: Option<PathBuf>,
    /// Name of the signing key of the event's agent
    #[arg(long, value_name = "KEY", default_value = "agent")]
    key: KeyName,
    /// Parameters of the proof
    #[arg(long, value_enum, default_value = "standard")]
    suite: Suite,
    /// Unix time in seconds after which the proof says nothing [default: it does not end]
    #[arg(long, value_name = "SECONDS")]
    valid_until: Option<u64>,
    /// Write the proof to a file and submit nothing; `-` is stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Binding {
    /// The agent of the event signs it
    Signed,
    /// The proof reads the payload that the event hashes, at a top-level member; nobody's word is needed but for a unit
    Circuit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Suite {
    /// At least 100 bits under a conjecture, smaller and faster
    Standard,
    /// At least 100 bits by proven bounds
    Proven,
}

pub fn run(context: &Context, args: &ProveArgs) -> Result<(), CliError> {
    let policy = AmountPolicy::with_limit(&args.policy, args.limit, args.intent_hash)?;
    check_options(args)?;
    let (client, stream) = (context.client()?, context.stream()?);
    let event = fetch(&client, &stream, &args.event, &client.signing_keys(&stream)?)?;
    let agent = signer(context, args, &event)?;
    let (clear, opening) = match (&args.opening, args.binding) {
        (Some(file), Binding::Signed) => (None, kept(file)?),
        (Some(file), Binding::Circuit) => (Some(clear_payload(context, args, &event)?), kept(file)?),
        (None, _) => {
            let clear = clear_payload(context, args, &event)?;
            let opening = drawn(args, &clear)?;
            (Some(clear), opening)
        }
    };
    let proposal = Proposal {
        event: inputs(&event, policy.policy()),
        suite: match args.suite {
            Suite::Standard => SuiteId::Standard,
            Suite::Proven => SuiteId::Proven,
        },
        chain_context: client.identity()?.sequencer_id.to_string(),
        valid_until: args.valid_until,
        opening: &opening,
    };
    let mut random = system_random().map_err(no_randomness)?;
    let agent = agent.as_ref().map(|(key_id, signer)| (*key_id, signer.as_ref()));
    let bundle = match (args.binding, &clear) {
        (Binding::Circuit, Some(clear)) => {
            prove_in_payload(proposal, &clear.hashed(&event)?, agent, &mut random)?
        }
        _ => prove(proposal, agent, &mut random)?,
    };
    if let Some(file) = &args.keep_opening {
        let written = files::create(file, opening.to_json().as_bytes());
        written.map_err(|error| CliError::io("write", file, &error))?;
    }
    if args.out.is_some() {
        return files::write_text(&context.out, args.out.as_deref(), &format!("{}\n", bundle.to_json()));
    }
    let submitted = context.compliance()?.submit(&bundle).map_err(not_taken)?;
    context.out.result(&submitted.record, &told(&submitted, &bundle, &event));
    Ok(())
}

/// What clap cannot say, before anything is asked or proved: which options belong to which binding level, and that no
/// opening is overwritten.
fn check_options(args: &ProveArgs) -> Result<(), CliError> {
    let wrong = |message: &str| Err(CliError::input("USAGE", message));
    if args.keep_opening.as_deref() == Some(Path::new("-")) {
        return Err(no_stdout("--keep-opening"));
    }
    check_apart("--keep-opening", args.keep_opening.as_deref(), args.out.as_deref())?;
    if let Some(file) = args.keep_opening.as_deref().filter(|file| file.symlink_metadata().is_ok()) {
        // Randomness is kept nowhere else: without it nobody can open the commitment that it belongs to.
        let message = format!("{} is there already, and may be the only opening of a proof", file.display());
        return Err(CliError::input("EXISTS", message)
            .hint("name another file with --keep-opening, or move this one away"));
    }
    match args.binding {
        Binding::Circuit if args.decimal => {
            wrong("--binding circuit reads whole numbers of minor units: --decimal is for --binding signed")
        }
        Binding::Signed if args.opening.is_some() && (args.open.is_some() || args.payload.is_some()) => {
            wrong("--opening holds the amount: --open and --payload go with it only at --binding circuit")
        }
        _ => Ok(()),
    }
}

/// A key of the event's agent and its number.
type AgentKey = (KeyId, Arc<dyn Signer>);

/// The key of the event's agent. At level circuit whoever knows the payload can prove about it, without a signature.
fn signer(context: &Context, args: &ProveArgs, event: &PulledEvent) -> Result<Option<AgentKey>, CliError> {
    let keys = context.keystore()?;
    let (agent, key_id) = agent_of(&keys.info(&args.key)?)?;
    let author = event.envelope.source_agent_id;
    match (agent == author, args.binding) {
        (true, _) => Ok(Some((key_id, keys.signer(&args.key)?))),
        (false, Binding::Circuit) => Ok(None),
        (false, Binding::Signed) => {
            let message = format!("key {} is of agent {agent}, the event of {author}", args.key);
            Err(CliError::input("OTHER_AGENT", message).hint(
                "only the agent that signed an event can vouch for a commitment; --binding circuit needs nobody's word",
            ))
        }
    }
}

/// Whoever has a proof to submit has used the command rightly: what the server says against it is a failure.
fn not_taken(error: ClientError) -> CliError {
    let is_refusal = matches!(error, ClientError::Refused { .. });
    let error = CliError::from(error);
    if is_refusal { CliError { exit: FAILURE, ..error } } else { error }
}

/// What was submitted, for a person.
fn told(submitted: &Submitted, bundle: &Bundle, event: &PulledEvent) -> String {
    let record = &submitted.record;
    if submitted.is_earlier_proof {
        return format!(
            "The server already holds another proof of this statement and keeps that one: {}.\n\
             Check it with `stateset verify {}`.",
            record.proof_id, event.sequence_number,
        );
    }
    format!(
        "Proved {} {} of event {} with {} bytes, binding {}; stored as {}, {}.\n\
         The server knows the commitment and the policy, not the amount. Check it with `stateset verify {}`.",
        bundle.inputs.event.policy.id(),
        bundle.inputs.event.policy.params(),
        record.event_id,
        bundle.proof.len(),
        bundle.inputs.binding_level.text(),
        record.proof_id,
        if record.verified { "verified by the server" } else { "NOT verified by the server" },
        event.sequence_number,
    )
}

/// The statement's first half, from the event as it was verified here.
pub fn inputs(event: &PulledEvent, policy: Policy) -> EventInputs {
    EventInputs {
        facts: EventFacts::of(&event.envelope, event.sequence_number),
        policy,
        bindings: ves::compliance::Bindings::default(),
        witness_commitment: None,
    }
}

pub fn no_randomness(error: getrandom::Error) -> CliError {
    CliError::failure("NO_RANDOMNESS", error.to_string())
}

fn bad_opening(error: &dyn std::fmt::Display) -> CliError {
    CliError::input("BAD_OPENING", error.to_string())
}

/// Amount and randomness as they were kept.
fn kept(file: &Path) -> Result<FieldOpening, CliError> {
    let text = Zeroizing::new(files::read_text(file)?);
    FieldOpening::parse(text.trim_end()).map_err(|error| bad_opening(&error))
}

/// The amount as the payload holds it, with fresh randomness.
fn drawn(args: &ProveArgs, clear: &ClearPayload) -> Result<FieldOpening, CliError> {
    let path = args.field.as_deref().unwrap_or_default();
    let kind = if args.decimal { DECIMAL } else { MINOR_UNITS };
    let field = FieldDescription::new("amount", path, kind, &args.unit, args.exponent)
        .map_err(|error| bad_opening(&error))?;
    let amount = payload::amount_text(&clear.text, path)
        .map_err(|error| CliError::input("NO_AMOUNT", error.to_string()))?;
    let digits = if args.decimal { args.exponent } else { 0 };
    let value = decimal::minor_units(&amount, digits)
        .map_err(|error| CliError::input("BAD_AMOUNT", format!("{path} of the payload: {error}")))?;
    let opening = Opening::draw(value, getrandom::fill).map_err(no_randomness)?;
    Ok(FieldOpening { field, opening })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_the_server_refuses_is_a_failure_and_no_wrong_usage() {
        for status in [400, 403, 404, 409, 413, 422, 503] {
            let (code, message) = ("ALREADY_EXISTS".to_owned(), "no".to_owned());
            let error = not_taken(ClientError::Refused { status, code, message });
            assert_eq!((error.exit, error.code.as_str()), (FAILURE, "ALREADY_EXISTS"), "{status}");
        }
    }
}
