//! `stateset proof`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use stateset_client::{EventProof, ProofVerdict, Trusted};
use ves::{Digest, StreamKey};

use crate::commands::event::{EventName, fetch};
use crate::context::Context;
use crate::data_dir::Profile;
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
    /// The sequencer's public key, 64 hex digits [default: the one in the data directory]
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    pub sequencer_key: Option<PublicKeyBytes>,
    /// Believe the sequencer's key in the file, which its writer chose; never for the data directory's own stream
    #[arg(long, conflicts_with = "sequencer_key")]
    pub trust_file_keys: bool,
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
        let text = format!(
            "Wrote {}. Check it offline with `stateset proof verify {0}`; elsewhere name the sequencer's key with --sequencer-key.",
            args.out.display()
        );
        context.out.result(&written, &text);
    }
    Ok(())
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    // A key named on the command line needs no profile; anything less must not outlive a broken one.
    let profile = if args.sequencer_key.is_some() { None } else { context.data.profile()? };
    let mut verdicts: Vec<ProofVerdict> = Vec::new();
    for file in &args.files {
        verdicts.push(verify_file(file, args, profile.as_ref())?);
    }
    let invalid = verdicts.iter().filter(|verdict| !verdict.valid).count();
    context.out.result(&verdicts, &verdicts.iter().map(text).collect::<String>());
    if invalid == 0 {
        return Ok(());
    }
    let error =
        CliError::failure("PROOF_INVALID", format!("{invalid} of {} proofs do not hold", verdicts.len()));
    let is_foreign = |profile: &Profile| {
        verdicts.iter().any(|verdict| !verdict.valid && verdict.stream != profile.stream())
    };
    Err(if !args.trust_file_keys && profile.as_ref().is_some_and(is_foreign) {
        error.hint(
            "checked under the data directory's sequencer key; for another sequencer give --sequencer-key",
        )
    } else {
        error
    })
}

fn verify_file(file: &Path, args: &VerifyArgs, profile: Option<&Profile>) -> Result<ProofVerdict, CliError> {
    if file.is_dir() {
        return Err(CliError::input("NOT_A_FILE", format!("{} is a directory", file.display()))
            .hint("name the proof files in it"));
    }
    let unreadable = |problem: stateset_client::ProofProblem| {
        CliError::input("BAD_PROOF_FILE", format!("{}: {problem}", file.display()))
    };
    let proof = EventProof::parse(&files::read_text(file)?).map_err(unreadable)?;
    let sequencer_key = sequencer_key(args, profile, &proof.stream().map_err(unreadable)?);
    if sequencer_key.is_none() && !args.trust_file_keys {
        return Err(CliError::failure(
            "NO_TRUSTED_KEY",
            format!("nothing vouches for the sequencer's key in {}", file.display()),
        )
        .hint("give the key with --sequencer-key HEX, or believe the file with --trust-file-keys"));
    }
    let trusted = Trusted {
        sequencer_key,
        agent_key: args.agent_key.map(|key| key.0),
        state_root: args.state_root,
        file_keys: args.trust_file_keys,
    };
    proof.verify(&trusted).map_err(unreadable)
}

/// The key that the verifier names, else the data directory's. What the file says of its sequencer has no part in it,
/// and the data directory's own stream is never checked under a key from a file.
fn sequencer_key(args: &VerifyArgs, profile: Option<&Profile>, stream: &StreamKey) -> Option<[u8; 32]> {
    let pinned = profile.filter(|profile| profile.stream() == *stream || !args.trust_file_keys);
    args.sequencer_key.map(|key| key.0).or(pinned.map(|profile| profile.sequencer_public_key.0))
}

fn text(verdict: &ProofVerdict) -> String {
    let mut text = format!(
        "{}: event {} is number {} of stream {}{}\n",
        if verdict.valid { "VALID" } else { "INVALID" },
        verdict.event_id,
        verdict.sequence_number,
        verdict.stream,
        reservations(verdict)
    );
    for finding in &verdict.findings {
        text += &format!("  {:<24}  {:<16} {}\n", finding.state, finding.check, finding.detail);
    }
    text
}

/// What the headline must not hide.
fn reservations(verdict: &ProofVerdict) -> String {
    if !verdict.valid {
        return String::new();
    }
    let keys = match (verdict.sequencer_key_trusted, verdict.agent_key_trusted) {
        (true, true) => None,
        (true, false) => Some("agent's key from the file"),
        (false, true) => Some("sequencer's key from the file"),
        (false, false) => Some("keys from the file"),
    };
    let log = (!verdict.event_in_signed_log).then_some("receipt only, in no signed log");
    let batch = (!verdict.batch_anchored).then_some("batch not anchored");
    let all: Vec<&str> = [keys, log, batch].into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}
