//! Steps of invoices by a company's node, and how companies and invoices are named on the command line.

use stateset_contracts::InvoiceCommand;
use stateset_keystore::KeyName;
use stateset_ledger_types::ids::{EntityId, LinearId};
use stateset_node::Attested;
use stateset_node_client::{Company, Flow, Held, Start, files};

use crate::commands::org;
use crate::context::Context;
use crate::error::CliError;
use crate::ledger::nodes;

/// A company of this machine or of the address book by its name, any member by its id.
pub fn entity(context: &Context, option: &str, name: &str) -> Result<EntityId, CliError> {
    if let Some(found) = files::entity(&context.data.ledger(), name)? {
        return Ok(found);
    }
    let org = name.parse::<KeyName>().map_err(|_| {
        CliError::input(
            "BAD_NAME",
            format!("{option} {name}: a company's name here, or an id of 40 hex digits"),
        )
    })?;
    Ok(org::read(context, &org)?.entity_id)
}

/// A company of this machine, by its node.
pub fn company(context: &Context, org: &KeyName) -> Result<Company, CliError> {
    org::read(context, org)?;
    Ok(Company { api: nodes::of(&context.data)?, org: org.to_string() })
}

/// The newest version of the invoice that `reference` names.
pub fn invoice(node: &Company, reference: &str) -> Result<Held, CliError> {
    node.found(reference)?.ok_or_else(|| {
        CliError::input("NO_SUCH_INVOICE", format!("{} holds no invoice {reference}", node.org)).hint(
            "see `stateset invoice list`; `requests` and `proposals --all` for what is only proposed, or was declined",
        )
    })
}

/// The one request that `reference` names; `None` where there is none.
pub fn request(node: &Company, reference: &str) -> Result<Option<Flow>, CliError> {
    Ok(node.one_flow("requests", reference, Flow::is_asked)?)
}

pub fn start(
    node: &Company,
    on: Option<LinearId>,
    command: &InvoiceCommand,
    parties: &[EntityId],
    wait_ms: u64,
) -> Result<Flow, CliError> {
    start_as(node, on, command, parties, Attested::AsBefore, wait_ms)
}

pub fn start_as(
    node: &Company,
    on: Option<LinearId>,
    command: &InvoiceCommand,
    parties: &[EntityId],
    attested: Attested,
    wait_ms: u64,
) -> Result<Flow, CliError> {
    Ok(node.start(&Start { on, command, parties, attested: Some(attested) }, wait_ms)?)
}
