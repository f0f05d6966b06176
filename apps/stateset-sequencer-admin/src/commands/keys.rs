//! `rotate-keys`, `list-agent-keys`: the signing keys of agents.

use clap::Args;
use serde::Serialize;
use stateset_event_log::{EventLog, KeyChange};
use stateset_sequencer::{Act, Action, Clock as _, SystemClock};
use stateset_sequencer_api::Possession;
use stateset_sequencer_app::failure::Failure;
use ves::ed25519::PublicKey;
use ves::keys::{AgentKey, KeyAlgorithm, KeyStatus, check_possession};
use ves::{AgentId, KeyId, TenantId};
use ves_wire::Hex;
use ves_wire::keys::{RegisterKeyAnswer, RevokeKeyRequest};

use super::Context;
use crate::args::Target;
use crate::rest::Rest;
use crate::writing::{Writer, put_recorded};

#[derive(Debug, Args)]
pub struct RotateArgs {
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    #[arg(long, value_name = "UUID")]
    pub agent_id: AgentId,
    /// Number of the new key, greater than those of the agent's other keys
    #[arg(long, value_name = "NUMBER")]
    pub new_key_id: u32,
    /// The new Ed25519 public key, 32 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = bytes::<32>)]
    pub public_key: Bytes<32>,
    /// The new key's signature over its possession challenge; needed unless AGENT_KEY_POP=optional
    #[arg(long, value_name = "HEX", value_parser = bytes::<64>)]
    pub proof_of_possession: Option<Bytes<64>>,
    /// Revoke the agent's other active keys
    #[arg(long)]
    pub revoke_old: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    /// One agent's alone
    #[arg(long, value_name = "UUID")]
    pub agent_id: Option<AgentId>,
}

/// Bytes given in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<const N: usize>([u8; N]);

fn bytes<const N: usize>(text: &str) -> Result<Bytes<N>, String> {
    ves::hex::decode_lenient(text.trim()).map(Bytes).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Rotated {
    tenant_id: TenantId,
    agent_id: AgentId,
    key_id: u32,
    /// The same key was registered under this number before.
    already_there: bool,
    revoked: Vec<u32>,
    /// `database`, or the URL of the service that made the change.
    through: String,
}

pub fn rotate(context: &Context, args: &RotateArgs) -> Result<(), Failure> {
    let refused = |problem: String| Failure::input("BAD_KEY", problem);
    let key = PublicKey::from_bytes(&args.public_key.0)
        .map_err(|problem| refused(format!("--public-key {problem}")))?;
    if let Some(proof) = &args.proof_of_possession {
        check_possession(&key, &args.tenant_id, &args.agent_id, KeyId(args.new_key_id), &proof.0)
            .map_err(|problem| refused(format!("--proof-of-possession: {problem}")))?;
    }
    let target = context.target()?;
    let held: Vec<AgentKey> = match target.reader() {
        Ok(reader) => reader.agent_keys()?,
        Err(failure) => return Err(failure),
    };
    let held: Vec<AgentKey> = held
        .into_iter()
        .filter(|key| key.tenant_id == args.tenant_id && key.agent_id == args.agent_id)
        .collect();
    let already_there = check_number(args, &held)?;
    let old = held.iter().filter(|key| key.key_id.0 != args.new_key_id && key.status == KeyStatus::Active);
    let old: Vec<AgentKey> = if args.revoke_old { old.cloned().collect() } else { Vec::new() };
    let mut writer = Writer::find(&target, &context.global)?;
    let through = match &mut writer {
        Writer::Log(log) => {
            require_proof(args, already_there)?;
            write(log.as_mut(), args, &old, already_there)?;
            target.database.to_string()
        }
        Writer::Service(rest) => {
            ask(rest, args, &old, already_there)?;
            "the running service".to_owned()
        }
    };
    writer.close()?;
    let revoked: Vec<u32> = old.iter().map(|key| key.key_id.0).collect();
    let numbers: Vec<String> = revoked.iter().map(u32::to_string).collect();
    let text = format!(
        "Key {} of agent {} is {}{}.",
        args.new_key_id,
        args.agent_id,
        if already_there { "there already" } else { "registered" },
        if numbers.is_empty() { String::new() } else { format!(", revoked: {}", numbers.join(", ")) }
    );
    let rotated = Rotated {
        tenant_id: args.tenant_id,
        agent_id: args.agent_id,
        key_id: args.new_key_id,
        already_there,
        revoked,
        through,
    };
    context.out.result(&rotated, &text);
    Ok(())
}

/// Whether the key is registered already. Asking again after a failure half-way does the rest.
fn check_number(args: &RotateArgs, held: &[AgentKey]) -> Result<bool, Failure> {
    let is_same = |key: &&AgentKey| key.public_key == args.public_key.0 && key.key_id.0 != args.new_key_id;
    if let Some(same) = held.iter().find(is_same) {
        let problem =
            format!("--public-key is that of the agent's key {}, which is {}", same.key_id.0, status(same));
        return Err(
            Failure::input("KEY_EXISTS", problem).hint("make a new key: a rotation replaces the old one")
        );
    }
    if let Some(same) = held.iter().find(|key| key.key_id.0 == args.new_key_id) {
        return match same.public_key == args.public_key.0 && same.status == KeyStatus::Active {
            true => Ok(true),
            false => Err(Failure::input(
                "KEY_EXISTS",
                format!("the agent has another key {}, or it is revoked", args.new_key_id),
            )
            .hint("give the new key a greater number")),
        };
    }
    match held.iter().map(|key| key.key_id.0).max() {
        Some(newest) if newest > args.new_key_id => {
            Err(Failure::input("KEY_EXISTS", format!("the agent's newest key has the number {newest}"))
                .hint(format!("use --new-key-id {} or a greater one", newest.saturating_add(1))))
        }
        _ => Ok(false),
    }
}

/// As the service asks for it: a key that nobody proved to have may be someone else's.
fn require_proof(args: &RotateArgs, already_there: bool) -> Result<(), Failure> {
    if already_there || args.proof_of_possession.is_some() || Target::possession()? == Possession::Optional {
        return Ok(());
    }
    Err(Failure::input("PROOF_MISSING", "--proof-of-possession is missing: nothing was changed").hint(
        "sign the possession challenge with the new key, or set AGENT_KEY_POP=optional as the service has it",
    ))
}

fn write(
    log: &mut dyn EventLog,
    args: &RotateArgs,
    old: &[AgentKey],
    already_there: bool,
) -> Result<(), Failure> {
    let now = SystemClock.now();
    if !already_there {
        let key = AgentKey {
            tenant_id: args.tenant_id,
            agent_id: args.agent_id,
            key_id: KeyId(args.new_key_id),
            public_key: args.public_key.0,
            algorithm: KeyAlgorithm::Ed25519,
            status: KeyStatus::Active,
            valid_from: None,
            valid_to: None,
            revoked_at: None,
            created_at: now,
            metadata: None,
            ml_dsa_65: None,
        };
        let act = Act::of_agent_key(Action::AgentKeyRotated, &key);
        put_recorded(log, act, &KeyChange::Agent(key))?;
    }
    // The new key stands before an old one falls, or the agent could be left without any.
    for key in old {
        let key = key.clone().revoked(now);
        let act = Act::of_agent_key(Action::AgentKeyRevoked, &key);
        put_recorded(log, act, &KeyChange::Agent(key))?;
    }
    Ok(())
}

fn ask(rest: &Rest, args: &RotateArgs, old: &[AgentKey], already_there: bool) -> Result<(), Failure> {
    if !already_there {
        let proof = args.proof_of_possession.map(|proof| Hex(proof.0));
        let body = serde_json::json!({
            "tenantId": args.tenant_id, "agentId": args.agent_id, "keyId": args.new_key_id,
            "publicKey": Hex(args.public_key.0), "proofOfPossession": proof,
        });
        let _: RegisterKeyAnswer =
            rest.post("/api/v1/agents/keys", &body).map_err(|failure| match proof {
                None => failure
                    .hint("a running service asks for --proof-of-possession, unless AGENT_KEY_POP=optional"),
                Some(_) => failure,
            })?;
    }
    for key in old {
        let request = RevokeKeyRequest {
            tenant_id: key.tenant_id,
            agent_id: key.agent_id,
            key_id: key.key_id.0,
            key_type: None,
            key_algorithm: None,
        };
        let _: serde_json::Value = rest.post("/api/v1/agents/keys/revoke", &request)?;
    }
    Ok(())
}

pub fn list(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    let mut keys = context.target()?.reader()?.agent_keys()?;
    keys.retain(|key| {
        key.tenant_id == args.tenant_id && args.agent_id.is_none_or(|agent| agent == key.agent_id)
    });
    keys.sort_by_key(|key| (key.agent_id, key.key_id));
    let mut text = format!("{:<38}{:>6}  {:<9}{:<66}{}\n", "agent", "key", "status", "public key", "created");
    for key in &keys {
        text.push_str(&format!(
            "{:<38}{:>6}  {:<9}{:<66}{}\n",
            key.agent_id.to_string(),
            key.key_id.0,
            status(key),
            ves::hex::encode(&key.public_key),
            key.created_at
        ));
    }
    let shown: Vec<serde_json::Value> = keys.iter().map(shown).collect();
    context.out.result(&serde_json::json!({ "count": keys.len(), "keys": shown }), &text);
    Ok(())
}

fn status(key: &AgentKey) -> &'static str {
    match key.status {
        KeyStatus::Active => "active",
        KeyStatus::Revoked => "revoked",
        KeyStatus::Expired => "expired",
    }
}

fn shown(key: &AgentKey) -> serde_json::Value {
    let time = |at: Option<ves::TimestampMs>| at.map(|at| at.to_string());
    serde_json::json!({
        "tenantId": key.tenant_id, "agentId": key.agent_id, "keyId": key.key_id.0, "status": status(key),
        "publicKey": ves::hex::encode(&key.public_key), "validFrom": time(key.valid_from), "validTo": time(key.valid_to),
        "revokedAt": time(key.revoked_at), "createdAt": key.created_at.to_string(),
    })
}
