//! `ves-stark prove`

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use ves::compliance::Policy;
use ves::{Digest, json};
use ves_stark_client::PlainPayload;
use ves_stark_primitives::public_inputs::INPUTS_BYTES_MAX;
use ves_stark_primitives::{
    BindingLevel, Bundle, EventInputs, FieldDescription, FieldOpening, Opening, SuiteId, openings,
};
use zeroize::Zeroizing;

use crate::composed::ComposedArgs;
use crate::evidence::{BindingArgs, Evidence};
use crate::failure::Failure;
use crate::output::Output;
use crate::policy::PolicyArgs;
use crate::signing_key::SigningArgs;
use crate::subject::{Subject, Terms};
use crate::{files, inputs_file, random, sample};

/// Longest text of an amount.
const AMOUNT_BYTES_MAX: usize = 64;
/// Longest authorization receipt.
const RECEIPT_BYTES_MAX: usize = 1 << 20;

/// The private amount; at binding level circuit it may be left to the payload.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[command(group(ArgGroup::new("known").args(["amount", "amount_file", "opening", "payload", "openings"]).required(true).multiple(true)))]
pub struct AmountArgs {
    /// The amount in minor units; `-` reads stdin. Other users of this machine can see an amount given here
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    amount: Option<AmountSource>,
    /// File that holds the amount in minor units
    #[arg(long, value_name = "FILE")]
    amount_file: Option<PathBuf>,
    /// File with the amount and the randomness of its commitment, as the agent kept it
    #[arg(long, value_name = "FILE")]
    opening: Option<PathBuf>,
}

/// An amount on the command line, never shown again.
#[derive(Clone)]
enum AmountSource {
    Stdin,
    Given(u64),
    /// Refused where amounts are read: clap's own refusal would repeat what was typed, into logs and over shoulders.
    Unreadable,
}

impl std::fmt::Debug for AmountSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an amount")
    }
}

impl std::str::FromStr for AmountSource {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "-" => Self::Stdin,
            text => amount(text).map_or(Self::Unreadable, Self::Given),
        })
    }
}

/// Digits alone: `u64` would also read a plus sign.
pub fn amount(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl AmountArgs {
    /// The amount in its field, with the randomness of its commitment.
    pub fn read(&self, evidence: Option<&Evidence>) -> Result<FieldOpening, Failure> {
        if let Some(file) = &self.opening {
            let text = files::read(file, openings::OPENING_BYTES_MAX)?;
            let kept = FieldOpening::parse(text.trim_end())?;
            return match evidence.is_some_and(|evidence| evidence.names_another(&kept.field)) {
                true => Err(Failure::input("USAGE", "--field names another member than --opening")),
                false => Ok(kept),
            };
        }
        let field = evidence.map_or_else(|| Ok(unnamed_field()), Evidence::field)?;
        let amount = match (&self.amount, &self.amount_file, evidence) {
            (Some(AmountSource::Given(amount)), ..) => *amount,
            (Some(AmountSource::Stdin), ..) => amount_in(Path::new("-"))?,
            (Some(AmountSource::Unreadable), ..) => {
                return Err(Failure::input("BAD_AMOUNT", "--amount is no whole number of minor units")
                    .hint("give 12.34 USD as 1234: digits alone, or - to read them from stdin"));
            }
            (None, Some(file), _) => amount_in(file)?,
            (None, None, Some(evidence)) => evidence.amount(&field)?,
            (None, None, None) => {
                return Err(Failure::input("USAGE", "give --amount, --amount-file or --opening"));
            }
        };
        Ok(FieldOpening { field, opening: Opening::draw(amount, random::fill)? })
    }
}

/// The amount in a file; `-` is stdin.
fn amount_in(path: &Path) -> Result<u64, Failure> {
    let text: Zeroizing<String> = files::read(path, AMOUNT_BYTES_MAX)?;
    amount(text.trim()).filter(|_| !text.trim().is_empty()).ok_or_else(|| {
        Failure::input("BAD_AMOUNT", format!("{} holds no whole number of minor units", path.display()))
    })
}

/// The field of an amount that no payload and no unit is known of.
pub fn unnamed_field() -> FieldDescription {
    FieldDescription::new("amount", "", "amount", "", 0).expect("the field's name is well formed")
}

/// Suites by the names that people use.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SuiteName {
    /// At least 100 bits under a conjecture, smaller and faster
    Standard,
    /// At least 100 bits by proven bounds
    Proven,
}

impl From<SuiteName> for SuiteId {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::Standard => Self::Standard,
            SuiteName::Proven => Self::Proven,
        }
    }
}

#[derive(Debug, Args)]
pub struct ProveArgs {
    #[command(flatten)]
    amount: AmountArgs,
    #[command(flatten)]
    composed: ComposedArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// Public inputs of the event, from gen-inputs or as a service answers them [default: of a made-up event]
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Receipt of an authorization whose hash the statement shall name
    #[arg(long, value_name = "FILE")]
    authorization_receipt: Option<PathBuf>,
    /// Parameters of the proof
    #[arg(long, value_enum, default_value = "standard")]
    suite: SuiteName,
    #[command(flatten)]
    binding: BindingArgs,
    /// Deployment that the proof is for
    #[arg(long, value_name = "TEXT", default_value = "local")]
    chain_context: String,
    /// Unix time in seconds after which the proof says nothing [default: it does not end]
    #[arg(long, value_name = "SECONDS")]
    valid_until: Option<u64>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Keep the amount, or the openings, with the randomness of the commitments here; the file is secret
    #[arg(long, value_name = "FILE")]
    keep_opening: Option<PathBuf>,
    /// Where to write the proof; `-` is stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

pub fn run(out: &Output, args: &ProveArgs) -> Result<(), Failure> {
    if let Some(file) = &args.keep_opening {
        files::check_new(file)?;
        files::check_apart(file, &args.output)?;
    }
    let named = args.policy.read(args.intent_hash)?;
    let subject = Subject::read(&named, &args.amount, &args.binding, &args.composed)?;
    let key = args.signing.read()?;
    let terms = Terms {
        event: event(args, &named.policy(), subject.payload().as_ref())?,
        suite: args.suite.into(),
        chain_context: args.chain_context.clone(),
        valid_until: args.valid_until,
    };
    let started = std::time::Instant::now();
    let bundle = subject.prove(terms, key.as_ref())?;
    let took = started.elapsed();
    if let Some(file) = &args.keep_opening {
        files::write_new(file, &format!("{}\n", *subject.to_json()))?;
    }
    files::write(&args.output, &format!("{}\n", bundle.to_json()))?;
    if args.output.as_os_str() != "-" {
        let file = args.output.display();
        let text = format!(
            "Wrote {file}: {} bytes of proof, made in {took:.1?}.{}",
            bundle.proof.len(),
            unbound(&bundle)
        );
        out.result(&summary(&bundle, took, &args.output), &text);
    }
    Ok(())
}

/// Said wherever a proof is not tied to an agent.
pub fn unbound(bundle: &Bundle) -> &'static str {
    match (&bundle.binding, bundle.inputs.binding_level) {
        (Some(_), _) | (None, BindingLevel::Circuit { .. }) => "",
        (None, BindingLevel::Signed) => {
            "\nNo agent has signed its commitment, so no service takes it: name a key in VES_AGENT_KEY."
        }
    }
}

/// What was made, for programs.
pub fn summary(bundle: &Bundle, took: std::time::Duration, file: &Path) -> serde_json::Value {
    serde_json::json!({
        "file": file,
        "suite": bundle.inputs.suite.text(),
        "proofBytes": bundle.proof.len(),
        "proofHash": bundle.proof_hash(),
        "statementDigest": bundle.inputs.statement_digest(),
        "provingTimeMs": took.as_secs_f64() * 1000.0,
        "bindingLevel": bundle.inputs.binding_level.text(),
        "signed": bundle.binding.is_some(),
        "security": bundle.security,
    })
}

/// Event and policy: those of the file, which must be of the policy that the options name.
fn event(
    args: &ProveArgs,
    named: &Policy,
    payload: Option<&PlainPayload<'_>>,
) -> Result<EventInputs, Failure> {
    let mut event = match &args.inputs {
        Some(file) => EventInputs::parse(&inputs_file::read(file, INPUTS_BYTES_MAX)?)?,
        None => sample::inputs_with(named, payload)?,
    };
    if event.policy != *named {
        let message = format!(
            "the inputs are about {} {}, the options about {} {}",
            event.policy.id(),
            event.policy.params(),
            named.id(),
            named.params()
        );
        return Err(Failure::input("OTHER_POLICY", message));
    }
    if let Some(hash) = args.authorization_receipt.as_deref().map(receipt_hash).transpose()? {
        if event.bindings.authorization_receipt_hash.is_some_and(|stated| stated != hash) {
            return Err(Failure::input("OTHER_RECEIPT", "the inputs name another authorization receipt"));
        }
        event.bindings.authorization_receipt_hash = Some(hash);
    }
    Ok(event)
}

/// SHA-256 of the receipt's canonical JSON.
pub fn receipt_hash(file: &Path) -> Result<Digest, Failure> {
    let text = files::read(file, RECEIPT_BYTES_MAX)?;
    let canonical = json::canonicalize(&text)
        .map_err(|error| Failure::input("BAD_RECEIPT", format!("{}: {error}", file.display())))?;
    Ok(ves::hash::Hasher::bare().bytes(canonical.as_bytes()).finish())
}
