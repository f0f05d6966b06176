//! Who attests transactions of companies (network.md 5.4), and whose attestation a company takes instead of their history (8.3).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use stateset_contracts::invoice::INVOICE;
use stateset_keystore::KeyName;
use stateset_ledger_types::codec::Set;
use stateset_ledger_types::governance::AttesterPolicy;
use stateset_ledger_types::ids::{ContractId, EntityId};
use stateset_node::trust::{Resolution, Resolutions, TrustedQuorum};

use super::{read, records, running, write};
use crate::commands::invoice::nodes::entity;
use crate::context::Context;
use crate::error::CliError;
use crate::ledger::nodes;

/// A running node looks at its company's file once a second.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct AttestersArgs {
    /// Number of the policy: transactions name it
    pub policy: u32,
    /// Companies that attest: by their name here, with the role of an attester, or the id of a member
    #[arg(value_name = "ATTESTER")]
    pub attesters: Vec<String>,
    /// How many of them are enough [default: all]
    #[arg(long, value_name = "COUNT", requires = "attesters")]
    pub threshold: Option<u32>,
    /// Take the policy away
    #[arg(long, conflicts_with = "attesters")]
    pub remove: bool,
}

#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The company's name here
    pub org: KeyName,
    /// Whose attestation it takes: companies by their name here, or ids of members
    #[arg(value_name = "ATTESTER")]
    pub attesters: Vec<String>,
    /// How many of them have to have attested [default: all]
    #[arg(long, value_name = "COUNT", requires = "attesters")]
    pub threshold: Option<u32>,
    /// Take nobody's: go back to the issuance of every invoice
    #[arg(long, conflicts_with = "attesters")]
    pub nobody: bool,
}

fn ids(context: &Context, names: &[String]) -> Result<BTreeSet<EntityId>, CliError> {
    names.iter().map(|name| entity(context, "ATTESTER", name)).collect()
}

/// Names of companies of this machine, ids of others.
fn names(context: &Context, ids: impl IntoIterator<Item = EntityId>) -> String {
    let records = records(context).unwrap_or_default();
    let name = |id: EntityId| {
        let found = records.iter().find(|record| record.entity_id == id);
        found.map_or_else(|| id.to_string(), |record| record.org.clone())
    };
    ids.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

fn count(given: Option<u32>, attesters: usize) -> u32 {
    given.unwrap_or_else(|| u32::try_from(attesters).unwrap_or(u32::MAX))
}

/// `stateset org attesters`.
pub fn policy(context: &Context, args: &AttestersArgs) -> Result<(), CliError> {
    let home = running(context)?;
    if args.remove {
        home.set_attesters(args.policy, None)?;
    } else if !args.attesters.is_empty() {
        let ids = ids(context, &args.attesters)?;
        let threshold = count(args.threshold, ids.len());
        let too_many = |error| CliError::input("BAD_QUORUM", format!("{error}"));
        let entities = Set::new(ids).map_err(too_many)?;
        home.set_attesters(args.policy, Some(AttesterPolicy { threshold, entities }))?;
    }
    let held = home.attesters(args.policy)?;
    let said = match &held {
        Some(policy) => {
            let all = names(context, policy.entities.iter().copied());
            format!("Policy {}: {} of {all}\n", args.policy, policy.threshold)
        }
        None => format!("There is no policy {}.\n", args.policy),
    };
    context.out.result(&json!({"policy": args.policy, "attesters": held}), &said);
    Ok(())
}

fn invoices() -> Result<ContractId, CliError> {
    ContractId::new(INVOICE).map_err(|error| CliError::failure("INTERNAL", error.to_string()))
}

/// `stateset org trust`.
pub fn trust(context: &Context, args: &TrustArgs) -> Result<(), CliError> {
    let (mut record, contract) = (read(context, &args.org)?, invoices()?);
    if args.nobody {
        record.resolutions.remove(&contract);
    } else if !args.attesters.is_empty() {
        let attesters = ids(context, &args.attesters)?;
        let quorum = TrustedQuorum { threshold: count(args.threshold, attesters.len()), attesters };
        quorum.check().map_err(|said| CliError::input("BAD_QUORUM", said))?;
        record.resolutions.insert(contract.clone(), Resolution::ToAttested(quorum));
    }
    if args.nobody || !args.attesters.is_empty() {
        write(context, &record)?;
        heard(context, &args.org, &record.resolutions)?;
    }
    let said = match record.resolutions.get(&contract) {
        Some(Resolution::ToAttested(quorum)) => format!(
            "{} takes invoices on the word of {} of {}.\n",
            args.org,
            quorum.threshold,
            names(context, quorum.attesters.iter().copied())
        ),
        _ => format!("{} goes back to the issuance of every invoice.\n", args.org),
    };
    context.out.result(&json!({"org": args.org.to_string(), "resolutions": record.resolutions}), &said);
    Ok(())
}

#[derive(Deserialize)]
struct Running {
    org: String,
    resolutions: Resolutions,
}

/// Waits until the company's node goes by it, where it runs.
fn heard(context: &Context, org: &KeyName, asked: &Resolutions) -> Result<(), CliError> {
    let (begun, Ok(api)) = (Instant::now(), nodes::of(&context.data)) else { return Ok(()) };
    loop {
        // A node that does not run reads it when it starts.
        let Ok(all) = api.get::<Vec<Running>>("/orgs", &[]) else { return Ok(()) };
        let one = all.iter().find(|one| one.org == org.to_string());
        if one.is_none_or(|one| one.resolutions == *asked) {
            return Ok(());
        }
        if begun.elapsed() > HEARD_WITHIN {
            let said = format!("the node of {org} does not go by it yet");
            return Err(CliError::failure("NOT_HEARD", said).hint("see the log of `stateset up`"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
