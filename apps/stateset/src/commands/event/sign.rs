//! `stateset event sign`: drafts in, envelopes out.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use stateset_keystore::KeyName;
use stateset_sequencer::{Clock as _, SystemClock};
use ves::draft::Draft;
use ves::envelope::encode;
use ves::seal::{Recipient, SealingRandomness};
use ves::{CommandId, Envelope, EventId, RecipientKeyId};

use crate::commands::compliance::payload::{check_apart, check_new_salt, keep_salt};
use crate::commands::proof::public_key;
use crate::context::Context;
use crate::error::CliError;
use crate::files;
use crate::installation::{agent_of, random};

#[derive(Debug, Args)]
pub struct SignArgs {
    /// Drafts {entity_type, entity_id, event_type, payload, …}: one, an array, or one a line; `-` is stdin
    #[arg(conflicts_with_all = ["entity_type", "entity_id", "event_type", "payload"], required_unless_present = "payload")]
    pub drafts: Option<PathBuf>,
    /// Name of the signing key
    #[arg(long, value_name = "KEY", default_value = "agent")]
    pub key: KeyName,
    /// For example order
    #[arg(long, value_name = "TEXT", requires = "payload")]
    pub entity_type: Option<String>,
    /// For example ORD-001
    #[arg(long, value_name = "TEXT", requires = "payload")]
    pub entity_id: Option<String>,
    /// For example order.created
    #[arg(long = "type", value_name = "TEXT", requires = "payload")]
    pub event_type: Option<String>,
    /// JSON text, or @FILE
    #[arg(long, value_name = "JSON", requires_all = ["entity_type", "entity_id", "event_type"])]
    pub payload: Option<String>,
    /// Seal the payload for this x25519 key, as KID:HEX, or a key of the keystore by name; may be repeated
    #[arg(long, value_name = "RECIPIENT")]
    pub seal_to: Vec<String>,
    /// Keep the salt of the one sealed payload here, for proofs about it; the file is secret
    #[arg(long, value_name = "FILE", requires = "seal_to")]
    pub keep_salt: Option<PathBuf>,
    /// Where to write the envelopes; `-` is stdout. To a file, `--json` prints a summary
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// What a draft says; ids and time are chosen where they are left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftBody {
    entity_type: String,
    entity_id: String,
    event_type: String,
    payload: Box<RawValue>,
    event_id: Option<EventId>,
    created_at: Option<String>,
    command_id: Option<CommandId>,
    base_version: Option<u64>,
}

pub fn run(context: &Context, args: &SignArgs) -> Result<(), CliError> {
    check_new_salt(args.keep_salt.as_deref())?;
    check_apart("--keep-salt", args.keep_salt.as_deref(), Some(&args.out))?;
    let drafts = read_drafts(args)?;
    if args.keep_salt.is_some() && drafts.len() != 1 {
        return Err(CliError::input(
            "USAGE",
            format!("--keep-salt is for one draft, {} are given", drafts.len()),
        ));
    }
    let (stream, keys) = (context.stream()?, context.keystore()?);
    let (agent, key_id) = agent_of(&keys.info(&args.key)?)?;
    let signer = keys.signer(&args.key)?;
    let recipients: Vec<Recipient> =
        args.seal_to.iter().map(|text| recipient(keys.as_ref(), text)).collect::<Result<_, _>>()?;
    let (mut text, count, mut salt) = (String::new(), drafts.len(), None);
    for (index, body) in drafts.into_iter().enumerate() {
        let draft = Draft {
            stream,
            event_id: match body.event_id {
                Some(id) => id,
                None => EventId::random(random()?),
            },
            source_agent_id: agent,
            agent_key_id: key_id,
            entity_type: body.entity_type.into(),
            entity_id: body.entity_id.into(),
            event_type: body.event_type.into(),
            created_at: body.created_at.unwrap_or_else(|| SystemClock.now().to_string()).into(),
            command_id: body.command_id,
            base_version: body.base_version,
        };
        let signed: Envelope<'static> = if recipients.is_empty() {
            draft.sign(body.payload.get(), signer.as_ref())
        } else {
            let drawn = SealingRandomness::draw(recipients.len(), getrandom::fill);
            let drawn = drawn.map_err(|error| CliError::failure("NO_RANDOMNESS", error.to_string()))?;
            salt = Some(drawn.payload_salt());
            draft.seal_and_sign(body.payload.get(), &recipients, drawn, signer.as_ref())
        }
        .map_err(|error| CliError::input("BAD_DRAFT", format!("draft {}: {error}", index + 1)))?;
        encode(&signed, None, &mut text);
        text.push('\n');
    }
    // Only of what was sealed: a salt of nothing would stand in the way of the next run.
    if let (Some(file), Some(salt)) = (&args.keep_salt, &salt) {
        keep_salt(file, salt)?;
    }
    files::write_text(&context.out, Some(&args.out), &text)?;
    if context.out.is_json() && args.out.as_os_str() != "-" {
        context.out.result(&serde_json::json!({"events": count, "file": args.out}), "");
    }
    Ok(())
}

fn read_drafts(args: &SignArgs) -> Result<Vec<DraftBody>, CliError> {
    let bad = |error: serde_json::Error| CliError::input("BAD_DRAFT", error.to_string());
    if let Some(file) = &args.drafts {
        let text = files::read_text(file)?;
        let values = super::exchange::json_values(&text)?;
        return values.iter().map(|value| serde_json::from_str(value.get()).map_err(bad)).collect();
    }
    let payload = args.payload.clone().unwrap_or_default();
    let payload = match payload.strip_prefix('@') {
        Some(file) => files::read_text(file.as_ref())?,
        None => payload,
    };
    let missing = || CliError::input("USAGE", "--payload needs --entity-type, --entity-id and --type");
    Ok(vec![DraftBody {
        entity_type: args.entity_type.clone().ok_or_else(missing)?,
        entity_id: args.entity_id.clone().ok_or_else(missing)?,
        event_type: args.event_type.clone().ok_or_else(missing)?,
        payload: RawValue::from_string(payload)
            .map_err(|error| CliError::input("BAD_DRAFT", format!("--payload is not JSON: {error}")))?,
        event_id: None,
        created_at: None,
        command_id: None,
        base_version: None,
    }])
}

/// `KID:HEX`, or the name of an x25519 key whose number is its kid.
fn recipient(keys: &dyn stateset_keystore::Keystore, text: &str) -> Result<Recipient, CliError> {
    if let Some((kid, hex)) = text.split_once(':') {
        let kid = kid
            .parse()
            .map_err(|_| CliError::input("BAD_RECIPIENT", format!("{kid:?} is not a key number")))?;
        let key =
            public_key(hex).map_err(|error| CliError::input("BAD_RECIPIENT", format!("{text}: {error}")))?;
        return Ok(Recipient { kid: RecipientKeyId(kid), public_key: key.0 });
    }
    let info = keys.info(&text.parse()?)?;
    if info.algorithm != stateset_keystore::Algorithm::X25519 {
        return Err(CliError::input(
            "BAD_RECIPIENT",
            format!("{text} is a signing key, payloads are sealed to x25519 keys"),
        ));
    }
    Ok(Recipient { kid: RecipientKeyId(agent_of(&info)?.1.0), public_key: info.public_key })
}
