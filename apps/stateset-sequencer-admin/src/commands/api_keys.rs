//! `api-keys`: who may call the service. Only hashes are kept; a new key is shown once.

use clap::{Args, Subcommand};
use serde::Serialize;
use stateset_event_log::{ApiKeyRecord, KeyChange};
use stateset_sequencer::{Act, Clock as _, SystemClock};
use stateset_sequencer_api::{key_hash, mint_key_text};
use stateset_sequencer_app::failure::Failure;
use ves::{AgentId, StoreId, TenantId};
use ves_wire::keys::{MintApiKeyAnswer, MintApiKeyRequest, RevokeApiKeyAnswer};

use super::Context;
use crate::writing::{Writer, put_recorded};

#[derive(Debug, Subcommand)]
pub enum ApiKeysCommand {
    /// Make a key and print it, this once
    Create(CreateArgs),
    /// List keys by the beginning of their hashes
    List(ListArgs),
    /// Revoke a key; services on this database stop taking it
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Tenant the key is for; with --all-tenants none
    #[arg(long, value_name = "UUID", required_unless_present = "all_tenants")]
    pub tenant_id: Option<TenantId>,
    /// An admin key of every tenant
    #[arg(long, conflicts_with_all = ["tenant_id", "store_id", "agent_id", "read_only"], requires = "admin")]
    pub all_tenants: bool,
    /// A store it is limited to; several times for several
    #[arg(long, value_name = "UUID")]
    pub store_id: Vec<StoreId>,
    /// The agent it speaks for
    #[arg(long, value_name = "UUID")]
    pub agent_id: Option<AgentId>,
    /// May administrate its tenant
    #[arg(long, conflicts_with = "read_only")]
    pub admin: bool,
    /// May only read
    #[arg(long)]
    pub read_only: bool,
    /// Requests a minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate_limit: Option<u32>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// One tenant's alone
    #[arg(long, value_name = "UUID")]
    pub tenant_id: Option<TenantId>,
    /// One agent's alone
    #[arg(long, value_name = "UUID")]
    pub agent_id: Option<AgentId>,
    /// Revoked keys too
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// First 16 hexadecimal digits of the key's hash, as `list` shows them
    #[arg(value_name = "PREFIX", value_parser = prefix)]
    pub prefix: String,
}

/// Digits by which a key is named, as everywhere else.
const PREFIX_DIGITS: usize = 16;

fn prefix(text: &str) -> Result<String, String> {
    let good = text.len() == PREFIX_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("expected {PREFIX_DIGITS} hexadecimal digits"))
    }
}

pub fn run(context: &Context, command: &ApiKeysCommand) -> Result<(), Failure> {
    match command {
        ApiKeysCommand::Create(args) => create(context, args),
        ApiKeysCommand::List(args) => list(context, args),
        ApiKeysCommand::Revoke(args) => revoke(context, args),
    }
}

#[derive(Serialize)]
struct Created {
    api_key: String,
    key_hash_prefix: String,
    tenant_id: TenantId,
    permissions: Vec<String>,
}

fn create(context: &Context, args: &CreateArgs) -> Result<(), Failure> {
    let target = context.target()?;
    let mut writer = Writer::find(&target, &context.global)?;
    let created = match &mut writer {
        Writer::Log(log) => {
            let (text, record) = minted(args)?;
            let act = Act::of_api_key(None, &record);
            put_recorded(log.as_mut(), act, &KeyChange::Api(record.clone()))?;
            Created {
                api_key: text,
                key_hash_prefix: prefix_of(&record),
                tenant_id: record.tenant_id,
                permissions: permissions(&record),
            }
        }
        Writer::Service(rest) => {
            let (Some(agent), Some(tenant_id)) = (args.agent_id, args.tenant_id) else {
                return Err(Failure::input(
                    "NOT_THROUGH_A_SERVICE",
                    "a running service makes keys of agents only",
                )
                .hint("give --agent-id, or stop the service to make this key in the database itself"));
            };
            let request = MintApiKeyRequest {
                tenant_id: Some(tenant_id),
                store_ids: Some(args.store_id.clone()),
                read_only: args.read_only,
                admin: args.admin,
                rate_limit: args.rate_limit,
            };
            let answer: MintApiKeyAnswer =
                rest.post(&format!("/api/v1/agents/{agent}/api-keys"), &request)?;
            Created {
                api_key: answer.api_key,
                key_hash_prefix: answer.key_hash_prefix,
                tenant_id,
                permissions: answer.permissions,
            }
        }
    };
    writer.close()?;
    let text = format!(
        "{}\nThis is the key, shown this once. It may {}; it is named {}.",
        created.api_key,
        created.permissions.join(", "),
        created.key_hash_prefix
    );
    context.out.result(&created, &text);
    Ok(())
}

fn minted(args: &CreateArgs) -> Result<(String, ApiKeyRecord), Failure> {
    let tenant_id = args.tenant_id.unwrap_or(TenantId::from_bytes([0; 16]));
    if tenant_id.is_nil() && !args.all_tenants {
        return Err(Failure::input(
            "BAD_TENANT",
            "the nil tenant means every tenant; say so with --all-tenants --admin",
        ));
    }
    let text =
        mint_key_text(&tenant_id).map_err(|error| Failure::failed("NO_RANDOMNESS", error.to_string()))?;
    let now = SystemClock.now();
    let record = ApiKeyRecord {
        key_hash: key_hash(&text),
        tenant_id,
        store_ids: args.store_id.clone(),
        agent_id: args.agent_id,
        can_read: true,
        can_write: !args.read_only,
        can_admin: args.admin,
        active: true,
        rate_limit: args.rate_limit,
        created_at: now,
        updated_at: now,
    };
    Ok((text, record))
}

fn list(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    let mut keys = context.target()?.reader()?.api_keys()?;
    keys.retain(|key| {
        args.tenant_id.is_none_or(|tenant| tenant == key.tenant_id)
            && args.agent_id.is_none_or(|agent| key.agent_id == Some(agent))
            && (args.all || key.active)
    });
    keys.sort_by_key(|key| (key.tenant_id, key.agent_id, key.created_at, key.key_hash));
    let mut text = format!("{:<18}{:<9}{:<38}{:<38}may\n", "key", "state", "tenant", "agent");
    for key in &keys {
        let tenant =
            if key.tenant_id.is_nil() { "every tenant".to_owned() } else { key.tenant_id.to_string() };
        let agent = key.agent_id.map_or_else(|| "-".to_owned(), |agent| agent.to_string());
        let state = if key.active { "active" } else { "revoked" };
        text.push_str(&format!(
            "{:<18}{state:<9}{tenant:<38}{agent:<38}{}\n",
            prefix_of(key),
            permissions(key).join(", ")
        ));
    }
    let shown: Vec<serde_json::Value> = keys.iter().map(shown).collect();
    context.out.result(&serde_json::json!({ "count": keys.len(), "keys": shown }), &text);
    Ok(())
}

fn revoke(context: &Context, args: &RevokeArgs) -> Result<(), Failure> {
    let target = context.target()?;
    let unknown = || {
        Failure::input("NO_SUCH_KEY", format!("there is no API key {}", args.prefix))
            .hint("see `api-keys list --all`")
    };
    let known = target.reader()?.api_keys()?.into_iter().find(|key| prefix_of(key) == args.prefix);
    let known = known.ok_or_else(unknown)?;
    if known.active {
        let mut writer = Writer::find(&target, &context.global)?;
        match &mut writer {
            Writer::Log(log) => {
                let revoked = ApiKeyRecord { active: false, updated_at: SystemClock.now(), ..known.clone() };
                let act = Act::of_api_key(Some(&known), &revoked);
                put_recorded(log.as_mut(), act, &KeyChange::Api(revoked))?;
            }
            Writer::Service(rest) => {
                let Some(agent) = known.agent_id else {
                    return Err(Failure::input(
                        "NOT_THROUGH_A_SERVICE",
                        "a running service revokes keys of agents only",
                    )
                    .hint("stop the service to revoke this key in the database itself"));
                };
                let path =
                    format!("/api/v1/agents/{agent}/api-keys/{}?tenant_id={}", args.prefix, known.tenant_id);
                let _: RevokeApiKeyAnswer = rest.delete(&path)?;
            }
        }
        writer.close()?;
    }
    let value =
        serde_json::json!({ "key_hash_prefix": args.prefix, "revoked": true, "was_active": known.active });
    let text = if known.active { "is revoked" } else { "was revoked before" };
    context.out.result(&value, &format!("The API key {} {text}.", args.prefix));
    Ok(())
}

fn prefix_of(key: &ApiKeyRecord) -> String {
    ves::hex::encode(&key.key_hash.as_bytes()[..PREFIX_DIGITS / 2])
}

fn permissions(key: &ApiKeyRecord) -> Vec<String> {
    let all = [(key.can_read, "read"), (key.can_write, "write"), (key.can_admin, "admin")];
    all.into_iter().filter(|(granted, _)| *granted).map(|(_, name)| name.to_owned()).collect()
}

fn shown(key: &ApiKeyRecord) -> serde_json::Value {
    serde_json::json!({
        "keyHashPrefix": prefix_of(key), "active": key.active, "tenantId": key.tenant_id, "storeIds": key.store_ids,
        "agentId": key.agent_id, "permissions": permissions(key), "rateLimit": key.rate_limit,
        "createdAt": key.created_at.to_string(), "updatedAt": key.updated_at.to_string(),
    })
}
