//! Who acts on the ledger: a company of this machine by its ledger key, or the founder of this machine's ledger.

use stateset_keystore::KeyName;
use stateset_ledger_types::ids::{ChainId, EntityId};
use statesetd_app::{Directory, Failure, Member};

use crate::commands::invoice::nodes::entity;
use crate::commands::org;
use crate::context::Context;
use crate::error::CliError;
use crate::ledger;

/// A company of this machine, at the ledger that it is on.
///
/// # Errors
/// NO_SUCH_ORG, and those of the keystore.
pub fn company(context: &Context, org: &KeyName) -> Result<Member, CliError> {
    let record = org::read(context, org)?;
    let chain_id = ChainId::new(record.chain_id.as_str())
        .map_err(|problem| CliError::failure("BAD_ORG", format!("{}: {problem}", record.chain_id)))?;
    let key = context.keystore()?.signer(&record.ledger_key.parse()?)?;
    Ok(Member { rpc: ledger::rpc(&context.data)?, chain_id, entity: record.entity_id, key })
}

/// The company that is named, else the founder.
///
/// # Errors
/// NO_LEDGER and LEDGER_ELSEWHERE where no founder is here.
pub fn company_or_founder(context: &Context, org: Option<&KeyName>) -> Result<Member, CliError> {
    match org {
        Some(org) => company(context, org),
        None => Ok(org::running(context)?.founder()?),
    }
}

/// Members by the names that they have here.
pub struct NamesHere<'a>(pub &'a Context);

impl Directory for NamesHere<'_> {
    fn entity(&self, option: &str, name: &str) -> Result<EntityId, Failure> {
        entity(self.0, option, name).map_err(|error| Failure {
            exit: error.exit,
            code: error.code,
            message: error.message,
        })
    }

    fn certificate(&self, entity: &EntityId) -> Option<Vec<u8>> {
        let records = org::records(self.0).unwrap_or_default();
        records.into_iter().find(|record| record.entity_id == *entity).map(|record| record.certificate.0)
    }
}
