//! `stateset org peer` and `nodes`: where the nodes of other companies are, and those of a ledger that others run.

use clap::{Args, Subcommand};
use serde_json::json;
use stateset_ledger_types::codec::Decode as _;
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::ids::EntityId;
use stateset_node_client::files::{Address, PeersFile};
use statesetd_app::Joined;

use super::not_joined;
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::files;

#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// Enter where another member's node is, in place of what stood there
    Add(AddArgs),
    /// List the address book
    List,
    /// Take a member out
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// What the member is called here: its name on the ledger, or any name with --entity
    pub name: String,
    /// Where its node listens
    #[arg(value_name = "HOST:PORT", value_parser = address)]
    pub address: String,
    /// The member's id [default: that of the one member with this name on the ledger]
    #[arg(long, value_name = "ID")]
    pub entity: Option<EntityId>,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// What the member is called here
    pub name: String,
}

#[derive(Debug, Args)]
pub struct NodesArgs {
    /// RPCs of nodes of the ledger, as http://192.0.2.1:26657, in the order in which they are asked [default: show them]
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
}

fn address(text: &str) -> Result<String, String> {
    let parsed = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    parsed.map(|_| text.to_owned()).ok_or_else(|| "it is HOST:PORT".to_owned())
}

pub fn run(context: &Context, command: &PeerCommand) -> Result<(), CliError> {
    match command {
        PeerCommand::Add(args) => add(context, args),
        PeerCommand::List => list(context),
        PeerCommand::Remove(args) => remove(context, args),
    }
}

fn joined(context: &Context) -> Result<Joined, CliError> {
    Joined::of(&context.data.ledger())?.ok_or_else(|| not_joined(context))
}

/// Commands ask the new ones at once, running nodes of companies after their next start.
pub fn nodes(context: &Context, args: &NodesArgs) -> Result<(), CliError> {
    let mut joined = joined(context)?;
    if !args.urls.is_empty() {
        joined = Joined::at(&joined.chain_id, &args.urls)?;
        let file = Joined::file(&context.data.ledger());
        files::replace(&file, joined.to_json().as_bytes())
            .map_err(|error| CliError::io("write", &file, &error))?;
        context.out.note("Start `stateset org start` anew where it runs.");
    }
    context.out.result(&joined, &joined.rpcs().join("\n"));
    Ok(())
}

fn write(context: &Context, peers: &PeersFile) -> Result<(), CliError> {
    let file = PeersFile::file(&context.data.ledger());
    let json = serde_json::to_string_pretty(peers).unwrap_or_default() + "\n";
    files::replace(&file, json.as_bytes()).map_err(|error| CliError::io("write", &file, &error))
}

/// A node that runs reads the book once a second.
fn add(context: &Context, args: &AddArgs) -> Result<(), CliError> {
    let joined = joined(context)?;
    let entity_id = match args.entity {
        Some(id) => id,
        None => named(context, &joined, &args.name)?,
    };
    let entry = Address { name: args.name.clone(), entity_id, address: args.address.clone() };
    let mut peers = PeersFile::read(&context.data.ledger())?;
    peers.set(entry.clone());
    write(context, &peers)?;
    context.out.result(&entry, &line(&entry));
    Ok(())
}

/// The member of that name: listed by the node of the ledger, proven by the ledger.
fn named(context: &Context, joined: &Joined, name: &str) -> Result<EntityId, CliError> {
    let rpc = joined.rpc();
    let listed = statesetd_app::entities(&rpc)?;
    let found: Vec<EntityId> =
        listed.iter().filter(|one| one.name.as_str() == name).map(|one| one.entity_id).collect();
    let id = match found[..] {
        [id] => id,
        [] => {
            let said = format!("the ledger has no member named {}", printable(name));
            return Err(CliError::input("NO_SUCH_MEMBER", said)
                .hint("write its name as the ledger has it, or give its id with --entity"));
        }
        _ => {
            let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
            let said = format!("several members are named {}: {}", printable(name), ids.join(", "));
            return Err(CliError::input("AMBIGUOUS", said).hint("give the id with --entity"));
        }
    };
    let answer = Joined::held(&context.data.ledger())?.ask(&rpc, &format!("/ssn/entities/{id}"), None)?;
    let proven = answer.proven.value.as_deref().and_then(|value| Entity::from_sce(value).ok());
    match proven.filter(|entity| entity.name.as_str() == name) {
        Some(entity) => Ok(entity.entity_id),
        None => {
            let said = format!("the node lists {id} as {}, and the ledger proves otherwise", printable(name));
            Err(CliError::failure("NOT_PROVEN", said))
        }
    }
}

fn line(entry: &Address) -> String {
    format!("{:<16} {}  {}\n", printable(&entry.name), entry.entity_id, printable(&entry.address))
}

fn list(context: &Context) -> Result<(), CliError> {
    joined(context)?;
    let peers = PeersFile::read(&context.data.ledger())?.peers;
    let lines: String = peers.iter().map(line).collect();
    context.out.result(&peers, if lines.is_empty() { "The address book is empty." } else { &lines });
    Ok(())
}

fn remove(context: &Context, args: &RemoveArgs) -> Result<(), CliError> {
    joined(context)?;
    let mut peers = PeersFile::read(&context.data.ledger())?;
    let before = peers.peers.len();
    peers.peers.retain(|entry| entry.name != args.name);
    if peers.peers.len() == before {
        let said = format!("{} is not in the address book", printable(&args.name));
        return Err(CliError::input("NO_SUCH_PEER", said).hint("see `stateset org peer list`"));
    }
    write(context, &peers)?;
    context.out.result(&json!({"removed": args.name}), &format!("{} is taken out.", printable(&args.name)));
    Ok(())
}
