//! `stateset prove`: the amount stays here, the proof goes to the server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stateset_client::PulledEvent;
use stateset_keystore::{KeyName, Keystore as _};
use ves::compliance::EventFacts;
use ves::{Digest, Payload, RecipientKeyId};
use ves_stark_client::{Proposal, prove, system_random};
use ves_stark_primitives::{
    AmountPolicy, EventInputs, FieldDescription, FieldOpening, Opening, SuiteId, decimal, payload,
};
use zeroize::Zeroizing;

use crate::commands::event::{EventName, fetch};
use crate::context::Context;
use crate::error::CliError;
use crate::files;
use crate::installation::agent_of;

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Sequence number or id of the event, which the key below signed
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
    /// Open a sealed payload with this x25519 key
    #[arg(long, value_name = "KEY")]
    open: Option<KeyName>,
    /// File that holds the payload in clear, where no key of yours opens it; that of an open event is compared
    #[arg(long, value_name = "FILE", conflicts_with = "open")]
    payload: Option<PathBuf>,
    /// File with amount and randomness, as they were kept or sealed into the payload
    #[arg(long, value_name = "FILE", conflicts_with_all = ["field", "open", "payload", "decimal"])]
    opening: Option<PathBuf>,
    /// Keep amount and randomness here, for those who may check the commitment; the file is secret
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Suite {
    /// At least 100 bits under a conjecture, smaller and faster
    Standard,
    /// At least 100 bits by proven bounds
    Proven,
}

pub fn run(context: &Context, args: &ProveArgs) -> Result<(), CliError> {
    let policy = AmountPolicy::with_limit(&args.policy, args.limit, args.intent_hash)?;
    let (client, stream) = (context.client()?, context.stream()?);
    let event = fetch(&client, &stream, &args.event, &client.signing_keys(&stream)?)?;
    let keys = context.keystore()?;
    let (agent, key_id) = agent_of(&keys.info(&args.key)?)?;
    if agent != event.envelope.source_agent_id {
        let message =
            format!("key {} is of agent {agent}, the event of {}", args.key, event.envelope.source_agent_id);
        return Err(CliError::input("OTHER_AGENT", message)
            .hint("only the agent that signed an event can prove about it"));
    }
    let opening = opening(context, args, &event)?;
    let proposal = Proposal {
        event: inputs(&event, &policy),
        suite: match args.suite {
            Suite::Standard => SuiteId::Standard,
            Suite::Proven => SuiteId::Proven,
        },
        chain_context: client.identity()?.sequencer_id.to_string(),
        valid_until: args.valid_until,
        opening: &opening,
    };
    let mut random = system_random().map_err(no_randomness)?;
    let signer = keys.signer(&args.key)?;
    let bundle = prove(proposal, Some((key_id, signer.as_ref())), &mut random)?;
    if let Some(file) = &args.keep_opening {
        let written = files::replace(file, opening.to_json().as_bytes());
        written.map_err(|error| CliError::io("write", file, &error))?;
    }
    if args.out.is_some() {
        return files::write_text(&context.out, args.out.as_deref(), &format!("{}\n", bundle.to_json()));
    }
    let record = context.compliance()?.submit(&bundle)?;
    let text = format!(
        "Proved {} {} of event {} with {} bytes; stored as {}, {}.\n\
         The server knows the commitment and the policy, not the amount. Check it with `stateset verify {}`.",
        policy.id(),
        policy.policy().params(),
        record.event_id,
        bundle.proof.len(),
        record.proof_id,
        if record.verified { "verified by the server" } else { "NOT verified by the server" },
        event.sequence_number,
    );
    context.out.result(&record, &text);
    Ok(())
}

/// The statement's first half, from the event as it was verified here.
pub fn inputs(event: &PulledEvent, policy: &AmountPolicy) -> EventInputs {
    EventInputs {
        facts: EventFacts::of(&event.envelope, event.sequence_number),
        policy: policy.policy(),
        bindings: ves::compliance::Bindings::default(),
        witness_commitment: None,
    }
}

pub fn no_randomness(error: getrandom::Error) -> CliError {
    CliError::failure("NO_RANDOMNESS", error.to_string())
}

/// The amount in its field, and the randomness of its commitment.
fn opening(context: &Context, args: &ProveArgs, event: &PulledEvent) -> Result<FieldOpening, CliError> {
    let bad = |problem: String| CliError::input("BAD_OPENING", problem);
    if let Some(file) = &args.opening {
        let text = Zeroizing::new(files::read_text(file)?);
        return FieldOpening::parse(text.trim_end()).map_err(|error| bad(error.to_string()));
    }
    let path = args.field.as_deref().unwrap_or_default();
    let field = FieldDescription::new("amount", path, "amount", &args.unit, args.exponent)
        .map_err(|error| bad(error.to_string()))?;
    let text = payload_of(context, args, event)?;
    let amount =
        payload::amount_text(&text, path).map_err(|error| CliError::input("NO_AMOUNT", error.to_string()))?;
    let digits = if args.decimal { args.exponent } else { 0 };
    let value = decimal::minor_units(&amount, digits)
        .map_err(|error| CliError::input("BAD_AMOUNT", format!("{path} of the payload: {error}")))?;
    let opening = Opening::draw(value, getrandom::fill).map_err(no_randomness)?;
    Ok(FieldOpening { field, opening })
}

/// The payload in clear, of which the event holds the hash.
fn payload_of(
    context: &Context,
    args: &ProveArgs,
    event: &PulledEvent,
) -> Result<Zeroizing<String>, CliError> {
    if let Some(file) = &args.payload {
        let text = Zeroizing::new(files::read_text(file)?);
        let canonical = ves::json::canonicalize(&text)
            .map_err(|error| CliError::input("BAD_PAYLOAD", error.to_string()))?;
        // The hash of a sealed payload is salted, and the salt is inside: only a payload in clear can be compared.
        if matches!(event.envelope.payload, Payload::Plain(_))
            && ves::event::plain_hash(&canonical) != event.envelope.payload_plain_hash
        {
            return Err(CliError::input("OTHER_PAYLOAD", "the file is not the payload of this event"));
        }
        return Ok(text);
    }
    match (&event.envelope.payload, &args.open) {
        (Payload::Plain(text), _) => Ok(Zeroizing::new(text.to_string())),
        (Payload::Encrypted(_), Some(name)) => {
            let keys = context.keystore()?;
            let (_, number) = agent_of(&keys.info(name)?)?;
            let key = keys.agreement_key(name)?;
            ves::seal::open(&event.envelope, RecipientKeyId(number.0), key.secret())
                .map(Zeroizing::new)
                .map_err(|error| CliError::failure("CANNOT_OPEN_EVENT", error.to_string()))
        }
        (Payload::Encrypted(_), None) => Err(CliError::input("SEALED", "the payload is sealed")
            .hint("open it with --open KEY, or give --opening FILE or --payload FILE")),
    }
}
