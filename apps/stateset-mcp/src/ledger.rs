//! The company whose node the invoice tools are for (docs/operator/invoices.md, "For programs").

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stateset_keystore::KeyName;
use stateset_ledger_types::bank::DenomRecord;
use stateset_mcp::Refusal;
use stateset_node_client::files::{HostedAt, org_names};
use stateset_node_client::{CallError, Company, NodeApi};

use crate::problem::Problem;

/// Longer than the longest that a node takes: a payment, 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// The company whose node the tools are for: the chosen one, else the only one of the data directory. `None` where there is no
/// ledger, or none is chosen among several.
///
/// # Errors
/// NO_SUCH_ORG for a chosen company that the ledger's folder does not have.
pub fn company(data: &Path, chosen: Option<&KeyName>) -> Result<Option<Company>, Problem> {
    let folder = data.join("ledger");
    if !HostedAt::file(&folder).exists() {
        return Ok(None);
    }
    let orgs = org_names(&folder);
    let org = match chosen {
        Some(chosen) if !orgs.iter().any(|org| org == chosen.as_str()) => {
            let said = format!("there is no company {chosen} in {}", folder.display());
            return Err(Problem::input("NO_SUCH_ORG", said).hint("see `stateset org list`"));
        }
        Some(chosen) => chosen.to_string(),
        None => match <[String; 1]>::try_from(orgs) {
            Ok([only]) => only,
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(Company { api: NodeApi::of(&folder, Some(ANSWER_TIMEOUT)), org }))
}

/// What a node says, as a tool answers it. It is passing where nobody knows how far the node came.
pub trait Told<T> {
    /// # Errors
    /// The refusal, by the node's name for it.
    fn told(self) -> Result<T, Refusal>;
}

impl<T> Told<T> for Result<T, CallError> {
    fn told(self) -> Result<T, Refusal> {
        self.map_err(|error| {
            let refusal =
                Refusal { is_passing: error.is_unclear(), ..Refusal::new(error.code(), error.to_string()) };
            match error {
                CallError::Unreachable(_) => {
                    refusal.hint("`stateset up` runs it; then make the same call again")
                }
                CallError::Ambiguous { ids, .. } => refusal.hint(format!("give one: {}", ids.join(", "))),
                CallError::Refused { .. } | CallError::Unreadable(_) | CallError::File(_) => refusal,
            }
        })
    }
}

/// Denominations that were asked for: their decimal places never change.
#[derive(Debug, Default)]
pub struct Denoms(Mutex<BTreeMap<String, DenomRecord>>);

impl Denoms {
    /// # Errors
    /// NOT_FOUND where the ledger has none of that name.
    pub fn of(&self, company: &Company, name: &str) -> Result<DenomRecord, Refusal> {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held().get(name) {
            return Ok(known.clone());
        }
        let record = company.denom(name).told()?;
        held().insert(name.to_owned(), record.clone());
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chosen(data: &Path, name: Option<&str>) -> Result<Option<String>, Problem> {
        let name = name.map(|name| name.parse().unwrap());
        Ok(company(data, name.as_ref())?.map(|company| company.org))
    }

    #[test]
    fn there_is_a_company_where_a_node_is_and_one_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let (data, orgs) = (folder.path(), folder.path().join("ledger/orgs"));
        fs::create_dir_all(&orgs).unwrap();
        fs::write(orgs.join("acme.json"), "{}").unwrap();
        assert_eq!(chosen(data, Some("acme")).unwrap(), None, "no node.json");
        fs::write(data.join("ledger/node.json"), "{}").unwrap();
        assert_eq!(chosen(data, None).unwrap().as_deref(), Some("acme"), "the only one");
        fs::write(orgs.join("globex.json"), "{}").unwrap();
        assert_eq!(chosen(data, None).unwrap(), None, "one of two");
        assert_eq!(chosen(data, Some("globex")).unwrap().as_deref(), Some("globex"));
        assert_eq!(chosen(data, Some("initech")).unwrap_err().code, "NO_SUCH_ORG");
    }

    #[test]
    fn a_node_that_is_not_there_may_be_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let company = Company { api: NodeApi::of(folder.path(), None), org: "acme".to_owned() };
        let refused = company.invoices(&[]).told().unwrap_err();
        assert_eq!((refused.code.as_str(), refused.is_passing), ("NODE_UNREACHABLE", true));
    }
}
