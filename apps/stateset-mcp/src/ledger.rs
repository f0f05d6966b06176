//! The API of the nodes of companies (docs/operator/invoices.md, "For programs"), as the invoice tools call it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stateset_contracts::{Invoice, InvoiceCommand, PaymentEvidence};
use stateset_keystore::KeyName;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::ids::{Amount, EntityId, LinearId, StateRef, TxId};
use stateset_mcp::Refusal;

use crate::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the longest that a node takes: a payment, 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Type number of invoices.
const INVOICES: &str = "13";
/// Flows that are read at once.
const ROWS: &str = "500";

/// A page of the API.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// A version of an invoice in a company's vault.
#[derive(Debug, Clone, Deserialize)]
pub struct Held {
    pub place: StateRef,
    pub linear_id: LinearId,
    pub status: Option<String>,
    pub content: Option<Invoice>,
}

impl Held {
    pub fn status(&self) -> &str {
        self.status.as_deref().unwrap_or("?")
    }

    /// # Errors
    /// Of a later version of the contract.
    pub fn invoice(&self) -> Result<&Invoice, Refusal> {
        let said = || format!("{} is an invoice of a kind that this program does not know", self.linear_id);
        self.content.as_ref().ok_or_else(|| Refusal::new("UNREADABLE_ANSWER", said()))
    }
}

/// A flow, as a node shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Flow {
    pub flow_id: String,
    pub tx_id: TxId,
    pub phase: String,
    pub from: Option<EntityId>,
    pub code: Option<Value>,
    pub reason: Option<String>,
    pub linear_id: Option<LinearId>,
    pub commands: Vec<String>,
    pub content: Option<Invoice>,
    pub waits_for: Vec<EntityId>,
    pub undecided: bool,
}

impl Flow {
    pub fn is_over(&self) -> bool {
        matches!(self.phase.as_str(), "final" | "ended")
    }

    /// What it does, as `Create`.
    pub fn step(&self) -> &str {
        self.commands.first().and_then(|command| command.rsplit(' ').next()).unwrap_or("?")
    }

    pub fn number(&self) -> Option<&str> {
        self.content.as_ref().map(|invoice| &*invoice.head.number)
    }

    /// Code and reason of one that ended.
    pub fn ended(&self) -> Refusal {
        let code = self.code.as_ref().and_then(Value::as_str).unwrap_or("REFUSED");
        let reason = self.reason.as_deref().unwrap_or_default();
        // What another company's node says begins with the code.
        Refusal::new(code, reason.strip_prefix(&format!("{code}: ")).unwrap_or(reason))
    }
}

/// Where the API is. `up` writes it anew at each start.
#[derive(Deserialize)]
struct At {
    url: String,
    token: String,
}

/// What is needed of `orgs/ORG.json`.
#[derive(Deserialize)]
struct Org {
    entity_id: EntityId,
}

/// The node of one company.
pub struct Ledger {
    agent: ureq::Agent,
    /// `node.json`.
    file: PathBuf,
    /// Where the companies of this machine are, one file each.
    orgs: PathBuf,
    pub org: String,
    denoms: Mutex<BTreeMap<String, DenomRecord>>,
}

fn unreachable(error: impl std::fmt::Display) -> Refusal {
    Refusal { is_passing: true, ..Refusal::new("NODE_UNREACHABLE", format!("the company's node: {error}")) }
        .hint("`stateset up` runs it; then make the same call again")
}

impl Ledger {
    /// The company whose node the tools are for: the chosen one, else the only one of the data directory. `None` where there
    /// is no ledger, or none is chosen among several.
    ///
    /// # Errors
    /// NO_SUCH_ORG for a chosen company that the ledger's folder does not have.
    pub fn of(data: &Path, chosen: Option<&KeyName>) -> Result<Option<Self>, Problem> {
        let folder = data.join("ledger");
        let file = folder.join("node.json");
        if !file.exists() {
            return Ok(None);
        }
        let at = folder.join("orgs");
        let orgs = orgs(&at);
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
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build();
        Ok(Some(Self { agent: config.new_agent(), file, orgs: at, org, denoms: Mutex::default() }))
    }

    fn at(&self) -> Result<At, Refusal> {
        let text = fs::read_to_string(&self.file)
            .map_err(|error| unreachable(format!("{}: {error}", self.file.display())))?;
        serde_json::from_str(&text)
            .map_err(|error| Refusal::new("BAD_FILE", format!("{}: {error}", self.file.display())))
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Refusal> {
        let At { url, token } = self.at()?;
        let request = self.agent.get(format!("{url}{path}")).query_pairs(query.iter().copied());
        read(request.header("authorization", format!("Bearer {token}")).call())
    }

    fn post<T: DeserializeOwned>(&self, rest: &str, body: &Value) -> Result<T, Refusal> {
        let At { url, token } = self.at()?;
        let request = self.agent.post(format!("{url}{}", self.path(rest))).content_type("application/json");
        read(request.header("authorization", format!("Bearer {token}")).send(body.to_string()))
    }

    fn path(&self, rest: &str) -> String {
        format!("/orgs/{}/{rest}", self.org)
    }

    /// A company by its name on this machine, any member by its id; `None`: there is none of that name.
    pub fn entity(&self, name: &str) -> Result<Option<EntityId>, Refusal> {
        if let Ok(id) = name.parse() {
            return Ok(Some(id));
        }
        // A name that could lead out of the folder is none of a company.
        let Ok(name) = name.parse::<KeyName>() else { return Ok(None) };
        let file = self.orgs.join(format!("{name}.json"));
        let bad = |error: &dyn std::fmt::Display| {
            Refusal::new("BAD_ORG", format!("{} cannot be read: {error}", file.display()))
        };
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).map_err(|error| bad(&error))?;
        let org: Org = serde_json::from_str(&text).map_err(|error| bad(&error))?;
        Ok(Some(org.entity_id))
    }

    /// Decimal places of a denomination, as the node has them proven; they never change.
    pub fn denom(&self, name: &str) -> Result<DenomRecord, Refusal> {
        let held = || self.denoms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held().get(name) {
            return Ok(known.clone());
        }
        let record: DenomRecord = self.get(&format!("/denoms/{name}"), &[])?;
        held().insert(name.to_owned(), record.clone());
        Ok(record)
    }

    /// Invoices that are not consumed, oldest first.
    pub fn invoices(&self, query: &[(&str, &str)]) -> Result<Page<Held>, Refusal> {
        let all = [&[("type", INVOICES), ("unspent", "true")], query].concat();
        self.get(&self.path("states"), &all)
    }

    /// A page of this company's flows that are not over.
    pub fn flows(&self, limit: &str, cursor: Option<&str>) -> Result<Page<Flow>, Refusal> {
        let mut query = vec![("open", "true"), ("limit", limit)];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.get(&self.path("flows"), &query)
    }

    /// All flows that are not over and that fit.
    pub fn open_flows(&self, fits: impl Fn(&Flow) -> bool) -> Result<Vec<Flow>, Refusal> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.flows(ROWS, cursor.as_deref())?;
            found.extend(page.items.into_iter().filter(&fits));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    pub fn flow(&self, id: &str, wait_ms: u64) -> Result<Flow, Refusal> {
        self.get(&self.path(&format!("flows/{id}")), &[("wait_ms", &wait_ms.to_string())])
    }

    pub fn start(
        &self,
        on: Option<LinearId>,
        command: &InvoiceCommand,
        parties: &[EntityId],
    ) -> Result<Flow, Refusal> {
        let body = json!({"on": on, "command": command, "parties": parties});
        self.post("invoices", &body)
    }

    pub fn decide(&self, id: &str, said: &Value) -> Result<Flow, Refusal> {
        self.post(&format!("flows/{id}/decision"), said)
    }

    /// Evidence of what this company has paid for a version; `None` where it has not.
    pub fn paid(
        &self,
        payee: EntityId,
        id: LinearId,
        version: u64,
    ) -> Result<Option<PaymentEvidence>, Refusal> {
        let (payee, id, version) = (payee.to_string(), id.to_string(), version.to_string());
        self.get(&self.path("payments"), &[("payee", &payee), ("linear_id", &id), ("version", &version)])
    }

    /// Pays for the next step of an invoice; the same payment asked for again is the same payment.
    pub fn pay(
        &self,
        payee: EntityId,
        amount: &Amount,
        id: LinearId,
        version: u64,
    ) -> Result<PaymentEvidence, Refusal> {
        let body = json!({"payee": payee, "amount": amount, "linear_id": id, "version": version});
        self.post("payments", &body)
    }
}

/// Companies that were made in the data directory, by `orgs/ORG.json`.
fn orgs(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".json").map(str::to_owned)
    };
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).filter_map(name).collect()
}

/// The answer, or `{"error": {"code", "message"}}` by its name. Of what a node could not do nobody knows how far it came.
fn read<T: DeserializeOwned>(
    answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T, Refusal> {
    let mut response = answered.map_err(unreachable)?;
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let (text, status) = (text.map_err(unreachable)?, response.status().as_u16());
    if (200..300).contains(&status) {
        return serde_json::from_str(&text)
            .map_err(|error| Refusal::new("UNREADABLE_ANSWER", format!("the node's answer: {error}")));
    }
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let code = body["error"]["code"].as_str().map_or_else(|| format!("HTTP_{status}"), str::to_owned);
    let message = body["error"]["message"].as_str().unwrap_or("the node says no more");
    Err(Refusal { is_passing: status >= 500, ..Refusal::new(code, message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(data: &Path, chosen: Option<&str>) -> Result<Option<String>, Problem> {
        let chosen = chosen.map(|name| name.parse().unwrap());
        Ok(Ledger::of(data, chosen.as_ref())?.map(|ledger| ledger.org))
    }

    #[test]
    fn there_is_a_ledger_where_a_node_is_and_a_company_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let (data, orgs) = (folder.path(), folder.path().join("ledger/orgs"));
        fs::create_dir_all(&orgs).unwrap();
        fs::write(orgs.join("acme.json"), "{}").unwrap();
        assert_eq!(ledger(data, Some("acme")).unwrap(), None, "no node.json");
        fs::write(data.join("ledger/node.json"), "{}").unwrap();
        assert_eq!(ledger(data, None).unwrap().as_deref(), Some("acme"), "the only one");
        fs::write(orgs.join("globex.json"), "{}").unwrap();
        assert_eq!(ledger(data, None).unwrap(), None, "one of two");
        assert_eq!(ledger(data, Some("globex")).unwrap().as_deref(), Some("globex"));
        fs::write(orgs.join("acme.json"), format!(r#"{{"entity_id": "{}"}}"#, "0a".repeat(20))).unwrap();
        let names = Ledger::of(data, Some(&"globex".parse().unwrap())).unwrap().unwrap();
        assert_eq!(names.entity("acme").unwrap(), "0a".repeat(20).parse().ok());
        assert_eq!(names.entity(&"0b".repeat(20)).unwrap(), "0b".repeat(20).parse().ok());
        assert_eq!(names.entity("../orgs/acme").unwrap(), None);
        assert_eq!(names.entity("globex").unwrap_err().code, "BAD_ORG");
        assert_eq!(ledger(data, Some("initech")).unwrap_err().code, "NO_SUCH_ORG");
    }

    #[test]
    fn a_node_that_is_not_there_may_be_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("ledger");
        fs::create_dir_all(at.join("orgs")).unwrap();
        fs::write(at.join("orgs/acme.json"), "{}").unwrap();
        fs::write(at.join("node.json"), r#"{"url": "http://127.0.0.1:1", "token": "t"}"#).unwrap();
        let ledger = Ledger::of(folder.path(), None).unwrap().unwrap();
        let refused = ledger.invoices(&[]).unwrap_err();
        assert_eq!((refused.code.as_str(), refused.is_passing), ("NODE_UNREACHABLE", true));
    }
}
