//! `stateset proof`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stateset_client::{EventProof, ProofVerdict, Trusted};
use ves::Digest;

use crate::commands::event::{EventName, fetch};
use crate::context::Context;
use crate::error::CliError;
use crate::files;

#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Fetch everything needed to check one event offline
    Get(GetArgs),
    /// Check proofs without any server
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct GetArgs {
    /// Sequence number or id of the event
    pub event: EventName,
    /// Where to write the proof; `-` is stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Proof files; `-` is stdin
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The sequencer's public key, 64 hex digits [default: the one in the data directory, else in the file]
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    pub sequencer_key: Option<PublicKeyBytes>,
    /// The agent's public key, 64 hex digits [default: the one in the file]
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    pub agent_key: Option<PublicKeyBytes>,
    /// State root after the batch, from a chain or another observer
    #[arg(long, value_name = "HEX")]
    pub state_root: Option<Digest>,
}

/// 32 bytes read from hex.
#[derive(Debug, Clone, Copy)]
pub struct PublicKeyBytes(pub [u8; 32]);

pub fn public_key(text: &str) -> Result<PublicKeyBytes, ves::hex::HexError> {
    ves::hex::decode_lenient(text).map(PublicKeyBytes)
}

pub fn run(context: &Context, command: &ProofCommand) -> Result<(), CliError> {
    match command {
        ProofCommand::Get(args) => get(context, args),
        ProofCommand::Verify(args) => verify(context, args),
    }
}

fn get(context: &Context, args: &GetArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let keys = client.signing_keys(&stream)?;
    let event = fetch(&client, &stream, &args.event, &keys)?;
    let proof = client.proof_of(&event, &keys).map_err(|error| {
        let is_uncommitted = error.is_not_found();
        let error = CliError::from(error);
        if is_uncommitted { error.hint("`stateset commit` commits what is waiting") } else { error }
    })?;
    files::write_text(&context.out, Some(&args.out), &format!("{}\n", proof.to_json()))?;
    if args.out.as_os_str() != "-" {
        let written = serde_json::json!({"event_id": event.envelope.event_id, "file": args.out});
        let text =
            format!("Wrote {}. Check it anywhere with `stateset proof verify {0}`.", args.out.display());
        context.out.result(&written, &text);
    }
    Ok(())
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    // A broken profile is no reason not to check a proof that brings its own keys.
    let known = context.data.profile().ok().flatten();
    let mut verdicts: Vec<ProofVerdict> = Vec::new();
    for file in &args.files {
        let unreadable = |problem: stateset_client::ProofProblem| {
            CliError::input("BAD_PROOF_FILE", format!("{}: {problem}", file.display()))
        };
        let proof = EventProof::parse(&files::read_text(file)?).map_err(unreadable)?;
        let ours = known.as_ref().filter(|profile| proof.sequencer_id() == profile.sequencer_id);
        let trusted = Trusted {
            sequencer_key: args
                .sequencer_key
                .map(|key| key.0)
                .or(ours.map(|profile| profile.sequencer_public_key.0)),
            agent_key: args.agent_key.map(|key| key.0),
            state_root: args.state_root,
        };
        verdicts.push(proof.verify(&trusted).map_err(unreadable)?);
    }
    let invalid = verdicts.iter().filter(|verdict| !verdict.valid).count();
    context.out.result(&verdicts, &verdicts.iter().map(text).collect::<String>());
    match invalid {
        0 => Ok(()),
        _ => Err(CliError::failure(
            "PROOF_INVALID",
            format!("{invalid} of {} proofs do not hold", verdicts.len()),
        )),
    }
}

fn text(verdict: &ProofVerdict) -> String {
    let mut text = format!(
        "{}: event {} is number {} of stream {}\n",
        if verdict.valid { "VALID" } else { "INVALID" },
        verdict.event_id,
        verdict.sequence_number,
        verdict.stream
    );
    for finding in &verdict.findings {
        let mark = if finding.holds { "holds" } else { "FAILS" };
        text += &format!("  {mark}  {:<16} {}\n", finding.check, finding.detail);
    }
    text
}
