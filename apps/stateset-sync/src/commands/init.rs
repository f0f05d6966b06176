//! `stateset-sync init`

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use stateset_client::{Client, GrpcClient};
use ves::{AgentId, SequencerId, StoreId, TenantId};
use ves_wire::Hex;

use crate::args::{InitArgs, TransportName};
use crate::failure::Failure;
use crate::home::{self, Config, Home};

/// The part of the profile of a `stateset up` that matters here.
#[derive(Deserialize)]
struct Profile {
    url: String,
    #[serde(default)]
    grpc_url: Option<String>,
    tenant_id: TenantId,
    store_id: StoreId,
    sequencer_id: SequencerId,
    sequencer_public_key: Hex<32>,
    sequencer_key_version: u32,
}

pub fn run(home: &Home, args: &InitArgs) -> Result<(), Failure> {
    let path = home.config_file();
    if path.exists() {
        return Err(Failure::input("EXISTS", format!("{} is there already", path.display()))
            .hint("give another folder with --dir; one folder is one agent on one stream"));
    }
    let agent_id = match args.agent {
        Some(agent) => agent,
        None => AgentId::random(home::random()?),
    };
    let (mut config, api_key, is_first_use) = match &args.up {
        Some(folder) => of_service(folder, agent_id)?,
        None => of_server(args, agent_id)?,
    };
    config.strategy = args.strategy.name().to_owned();
    config.identity()?;
    if args.transport == TransportName::Grpc || args.grpc_server.is_some() {
        config.transport = TransportName::Grpc;
        config.grpc_server = Some(grpc_server(args, &config)?);
        // A wrong port is told now, not at the first push.
        let grpc_server = config.grpc_server.clone().unwrap_or_default();
        GrpcClient::new(&grpc_server, api_key.clone())?.open().map_err(|error| {
            Failure::from(error)
                .hint("`stateset up` says where its gRPC is; give that with --grpc-server, or leave --transport out")
        })?;
    }
    home::make_private_folder(&home.folder)?;
    if let Some(key) = api_key {
        home::replace(&home.api_key_file(), &format!("{key}\n"))?;
    }
    home.store(&config)?;
    home.write_config(&config)?;
    if is_first_use {
        home.out.note(
            "the server itself named the key that signs its receipts; from now on no other is believed",
        );
    }
    let next = format!(
        "Agent {} writes to the stream {} at {}.\nMake its keys with `stateset-sync keys:generate`.",
        config.agent_id,
        config.stream(),
        config.reached_at()
    );
    home.out.result(&config, &next);
    Ok(())
}

/// As it was given, as the service of `--up` says, or the port after that of REST, which is where a sequencer has it.
fn grpc_server(args: &InitArgs, config: &Config) -> Result<String, Failure> {
    if let Some(given) = args.grpc_server.as_ref().or(config.grpc_server.as_ref()) {
        return Ok(given.clone());
    }
    let (scheme, rest) = match config.server.strip_prefix("https://") {
        Some(rest) => ("grpcs", rest),
        None => ("grpc", config.server.trim_start_matches("http://")),
    };
    let named = rest.trim_end_matches('/').rsplit_once(':');
    let next = named.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?.checked_add(1)?)));
    match next {
        Some((host, port)) => Ok(format!("{scheme}://{host}:{port}")),
        None => Err(Failure::input("USAGE", "--grpc-server is needed: --server names no port to go by")),
    }
}

fn of_service(folder: &Path, agent_id: AgentId) -> Result<(Config, Option<String>, bool), Failure> {
    let path = folder.join("profile.json");
    let profile: Profile = serde_json::from_str(&home::read_text(&path)?)
        .map_err(|error| Failure::input("BAD_PROFILE", format!("{}: {error}", path.display())))?;
    let key_file = folder.join("admin-api-key");
    home::refuse_wide_mode(&key_file)?;
    let api_key = home::read_text(&key_file)?.trim().to_owned();
    let version = profile.sequencer_key_version;
    let config = Config {
        server: profile.url,
        transport: TransportName::Rest,
        grpc_server: profile.grpc_url,
        tenant_id: profile.tenant_id,
        store_id: profile.store_id,
        agent_id,
        sequencer_id: profile.sequencer_id,
        sequencer_key_version: version,
        sequencer_keys: BTreeMap::from([(version, profile.sequencer_public_key)]),
        strategy: String::new(),
    };
    Ok((config, Some(api_key), false))
}

fn of_server(args: &InitArgs, agent_id: AgentId) -> Result<(Config, Option<String>, bool), Failure> {
    let missing = || Failure::input("USAGE", "--server, --tenant and --store are needed, or --up");
    let server = args.server.clone().ok_or_else(missing)?;
    let (tenant_id, store_id) = args.tenant.zip(args.store).ok_or_else(missing)?;
    let api_key = match &args.api_key_file {
        Some(path) => Some(home::read_text(path)?.lines().next().unwrap_or_default().trim().to_owned()),
        None => std::env::var("STATESET_API_KEY").ok(),
    };
    let said = Client::new(&server, api_key.clone())?.unverified().sequencer()?;
    let mut keys: BTreeMap<u32, Hex<32>> =
        said.keys.iter().map(|key| (key.key_version, key.public_key)).collect();
    keys.insert(said.key_version, said.public_key);
    if let Some(text) = &args.sequencer_key {
        let pinned: [u8; 32] = ves::hex::decode_lenient(text)
            .map_err(|problem| Failure::input("BAD_KEY", format!("--sequencer-key: {problem}")))?;
        keys.retain(|_, key| key.0 == pinned);
        if !keys.contains_key(&said.key_version) {
            return Err(Failure::failed(
                "OTHER_SEQUENCER",
                "the server signs with another key than --sequencer-key",
            )
            .hint("do not use this server; ask its operator for the key by another way"));
        }
    }
    let config = Config {
        server,
        transport: TransportName::Rest,
        grpc_server: None,
        tenant_id,
        store_id,
        agent_id,
        sequencer_id: said.sequencer_id,
        sequencer_key_version: said.key_version,
        sequencer_keys: keys,
        strategy: String::new(),
    };
    Ok((config, api_key, args.sequencer_key.is_none()))
}
