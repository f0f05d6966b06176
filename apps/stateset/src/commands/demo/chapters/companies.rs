//! Three companies that do not trust one another's books: an invoice from issue over a factor to payment, on a shared ledger,
//! each company with its own node.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use stateset_contracts::invoice::{FactorIt, Pay, Terms};
use stateset_contracts::{Invoice, InvoiceCommand};
use stateset_keystore::KeyName;
use stateset_ledger_types::codec::{List, Text};
use stateset_ledger_types::ids::{Denom, LinearId, TxId, Units};
use stateset_ledger_types::{Code, StateKey};
use stateset_light::Certificate;
use stateset_node::Transition;
use stateset_node_client::{Company, Flow};
use statesetd_app::{Books, Held, OrgKeys, OrgRecord, Participant, now};

use super::super::story::Story;
use crate::args::Global;
use crate::commands::invoice::nodes::{self, company};
use crate::commands::org::{self, CompanyArgs, DepositArgs, RoleName};
use crate::context::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::ledger::Ledger;
use crate::output::Output;

const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const ASK_MS: u64 = 5_000;
const DAY_MS: u64 = 86_400_000;

/// The demo's own folder, as commands see it.
pub fn within(context: &Context, data: &DataDir) -> Context {
    let global = Global {
        data: data.path().to_owned(),
        server: None,
        api_key: None,
        passphrase_file: None,
        ..context.global.clone()
    };
    Context { out: Output::new(false, true), data: DataDir::new(&global.data), global }
}

/// Seller, payer and factor, each with its node.
struct Companies {
    context: Context,
    records: [OrgRecord; 3],
    nodes: [Company; 3],
}

const ACME: usize = 0;
const GLOBEX: usize = 1;
const BANK: usize = 2;

fn key_name(org: &str) -> KeyName {
    org.parse().expect("a name of a company")
}

impl Companies {
    fn made(context: Context) -> Result<Self, CliError> {
        let make = |org: &str, roles: &[RoleName]| {
            org::made(
                &context,
                &CompanyArgs {
                    org: key_name(org),
                    name: None,
                    jurisdiction: "ZZ".to_owned(),
                    registration_no: String::new(),
                    lei: None,
                    roles: roles.to_vec(),
                },
            )
        };
        let records = [make("acme", &[])?, make("globex", &[])?, make("bank", &[RoleName::Factor])?];
        for org in ["globex", "bank"] {
            let (amount, currency) = ("1000.00".to_owned(), "eur".to_owned());
            org::deposited(&context, &DepositArgs { org: key_name(org), amount, currency })?;
        }
        let node = |record: &OrgRecord| company(&context, &key_name(&record.org));
        let nodes = [node(&records[0])?, node(&records[1])?, node(&records[2])?];
        Ok(Self { records, nodes, context })
    }

    fn terms(&self, number: &str, due_date: u64) -> Result<InvoiceCommand, CliError> {
        let text = |problem| CliError::failure("DEMO_FAILED", format!("{problem:?}"));
        Ok(InvoiceCommand::Create(Box::new(Terms {
            number: Text::new(number).map_err(text)?,
            party: self.records[ACME].entity_id,
            counterparty: self.records[GLOBEX].entity_id,
            extensions: Default::default(),
            name: Text::new("Darjeeling").map_err(text)?,
            billing_reason: Text::default(),
            denom: Denom::new("eur").map_err(|problem| CliError::failure("DEMO_FAILED", problem))?,
            lines: List::default(),
            subtotal: Units(90_000),
            tax: Units(10_000),
            due_date,
            period: None,
            po_ref: None,
            agreement_ref: None,
        })))
    }

    /// Waits for the end of a flow that `who` has begun or approved.
    fn ended(&self, who: usize, flow_id: &str) -> Result<Flow, CliError> {
        let begun = Instant::now();
        let mut flow = self.nodes[who].flow(flow_id, 0)?;
        while !flow.is_over() && begun.elapsed() < WAIT {
            flow = self.nodes[who].flow(flow_id, ASK_MS)?;
        }
        Ok(flow)
    }

    /// One company begins, the others approve; `true` once it is final.
    fn step(
        &self,
        who: usize,
        on: Option<LinearId>,
        command: &InvoiceCommand,
        others: &[usize],
    ) -> Result<(bool, Flow), CliError> {
        let parties: Vec<_> = others.iter().map(|other| self.records[*other].entity_id).collect();
        let begun = nodes::start(&self.nodes[who], on, command, &parties, ASK_MS)?;
        for other in others {
            self.approve(*other, &begun)?;
        }
        let flow = self.ended(who, &begun.flow_id)?;
        // Each of the others has it in its own books before it goes on with it.
        for other in others.iter().filter(|_| flow.is_final()) {
            self.ended(*other, &begun.flow_id)?;
        }
        Ok((flow.is_final(), flow))
    }

    fn approve(&self, who: usize, begun: &Flow) -> Result<(), CliError> {
        let started = Instant::now();
        while started.elapsed() < WAIT {
            if nodes::request(&self.nodes[who], &begun.flow_id)?.is_some() {
                self.nodes[who].decide(&begun.flow_id, &json!({"accept": {}}), 0)?;
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The invoice in a company's own books, once it is in this status there.
    fn holds(&self, who: usize, number: &str, status: &str) -> Result<Option<Invoice>, CliError> {
        let started = Instant::now();
        while started.elapsed() < WAIT {
            let held = self.nodes[who].found(number)?.filter(|held| held.status.as_deref() == Some(status));
            if let Some(held) = held {
                return Ok(held.content);
            }
            std::thread::sleep(POLL);
        }
        Ok(None)
    }
}

/// What the outsider is given.
pub struct Given {
    certificate: Certificate,
    tx_id: TxId,
    trust: Held,
}

/// Issue, acceptance, sale, payment, and a second sale that is refused.
pub fn companies(
    story: &mut Story,
    context: Context,
    data: &DataDir,
    ledger: &Ledger,
) -> Result<Given, CliError> {
    story.chapter("Three companies, each with its own books and node, share a ledger: an invoice is issued");
    let all = Companies::made(context)?;
    for record in &all.records {
        story.tell(&format!("{:<7} {}", record.org, record.entity_id));
    }
    let due = now() + 30 * DAY_MS;
    let (issued, flow) = all.step(ACME, None, &all.terms("2026-1", due)?, &[GLOBEX])?;
    story.check("acme proposes, globex approves, the notary signs off", issued);
    let id = flow.linear_id.ok_or_else(|| CliError::failure("DEMO_FAILED", "an invoice without an id"))?;
    let (accepted, _) = all.step(GLOBEX, Some(id), &InvoiceCommand::Accept(()), &[])?;
    story.check("globex acknowledges the debt", accepted);
    story.check(
        "the bank, which has no part in it, knows nothing of it",
        all.nodes[BANK].found("2026-1")?.is_none(),
    );
    sold(story, &all, id)?;
    let given = paid(story, &all, id, ledger)?;
    twice(story, &all, data, ledger)?;
    Ok(given)
}

fn sold(story: &mut Story, all: &Companies, id: LinearId) -> Result<(), CliError> {
    story.chapter("The invoice is sold to a factor, against money");
    let held = all.holds(ACME, "2026-1", "ACCEPTED")?;
    let held = held.ok_or_else(|| CliError::failure("DEMO_FAILED", "acme does not hold its invoice"))?;
    let advance = held.amount(Units(95_000));
    let evidence = all.nodes[BANK].pay(held.party, &advance, id, held.head.version)?;
    let factor = all.records[BANK].entity_id;
    let sale = |units| {
        let (evidence, discount) = (evidence.clone(), Units(100_000 - units));
        InvoiceCommand::Factor(FactorIt {
            factor,
            advance: Units(units),
            discount,
            recourse: false,
            evidence,
        })
    };
    let lied = nodes::start(&all.nodes[ACME], Some(id), &sale(96_000), &[factor], 0);
    story.check("acme cannot claim more than the bank has paid", lied.is_err());
    let (sold, _) = all.step(ACME, Some(id), &sale(95_000), &[BANK, GLOBEX])?;
    story.check("acme sells, the bank and globex approve: the bank is to be paid now", sold);
    let holds = all.holds(BANK, "2026-1", "ACCEPTED")?;
    let payee = holds.map(|invoice| invoice.payee());
    story.check(
        "the bank checked the invoice's past before it signed, and holds it now",
        payee == Some(factor),
    );
    Ok(())
}

fn paid(story: &mut Story, all: &Companies, id: LinearId, ledger: &Ledger) -> Result<Given, CliError> {
    story.chapter("The invoice is paid, and the payment proven");
    let held = all.holds(GLOBEX, "2026-1", "ACCEPTED")?;
    let held = held.ok_or_else(|| CliError::failure("DEMO_FAILED", "globex does not hold the invoice"))?;
    let amount = held.amount(held.amount_remaining);
    let evidence = all.nodes[GLOBEX].pay(held.payee(), &amount, id, held.head.version)?;
    let pay = InvoiceCommand::Pay(Pay { amount: amount.units, evidence });
    let (paid, flow) = all.step(GLOBEX, Some(id), &pay, &[])?;
    story.check("globex pays the bank 1000.00 eur on the ledger, and the invoice with it", paid);
    let mut same = true;
    for who in [ACME, GLOBEX, BANK] {
        same &= all.holds(who, "2026-1", "PAID")?.is_some();
    }
    story.check("all three hold it as paid", same);
    let held = org::balances(&all.context, &all.records[BANK].entity_id.account())?;
    let held: Vec<_> = held.iter().map(ToString::to_string).collect();
    story.check("the bank has earned 50.00 eur", held == ["1050.00 eur"]);
    let home = ledger.home()?;
    let answer = home.trust()?.ask(&home.founder()?.rpc, &format!("/ssn/notary/tx/{}", flow.tx_id), None)?;
    let trust = Held::genesis(&home.genesis()?, "the genesis".to_owned())?;
    Ok(Given { certificate: answer.certificate, tx_id: flow.tx_id, trust })
}

/// The seller's node is started on books from before a step, and takes another step on the same state.
fn twice(story: &mut Story, all: &Companies, data: &DataDir, ledger: &Ledger) -> Result<(), CliError> {
    story.chapter("A double spend: acme restores books from before a step, and spends the state again");
    let (issued, flow) = all.step(ACME, None, &all.terms("2026-2", now() - DAY_MS)?, &[GLOBEX])?;
    let id = flow.linear_id.filter(|_| issued);
    let id = id.ok_or_else(|| CliError::failure("DEMO_FAILED", "the second invoice is not issued"))?;
    all.holds(ACME, "2026-2", "ISSUED")?;
    let record = &all.records[ACME];
    let books = copied(&data.ledger().join("orgs").join(&record.org), &data.ledger().join("restored"))?;
    let place = nodes::invoice(&all.nodes[ACME], "2026-2")?.place;
    let overdue = InvoiceCommand::MarkOverdue(());
    let (marked, _) = all.step(ACME, Some(id), &overdue, &[])?;
    story.check("acme marks an invoice as overdue", marked);
    let keys = OrgKeys::open(&*all.context.keystore()?, record)?;
    let listen = ([127, 0, 0, 1], 0).into();
    let restored =
        Participant::start(ledger.network()?, record.clone(), keys, &books, listen, Books::AsTheyAre)?;
    let again = Transition::<Invoice> { on: Some(place), command: overdue, parties: [].into(), at: None };
    let started = restored.node().start(&again);
    story
        .check("its restored books know nothing of that, and its node signs the step again", started.is_ok());
    let ended = started.ok().and_then(|started| refused(&restored, &started.flow_id));
    story.check("the notary refuses it: CONFLICT, the state is consumed", ended == Some(Code::Conflict));
    drop(restored);
    let kept = all.holds(GLOBEX, "2026-2", "OVERDUE")?.is_some();
    story.check("globex's books have the one step that counts", kept);
    Ok(())
}

fn refused(one: &Participant, flow: &stateset_peer::message::FlowId) -> Option<Code> {
    let started = Instant::now();
    while started.elapsed() < WAIT {
        let view = one.node().vault().flow_view(flow).ok()?;
        if matches!(view.phase.as_str(), "final" | "ended") {
            return view.code;
        }
        std::thread::sleep(POLL);
    }
    None
}

/// The vault as it is now: its file, and what is written beside it.
fn copied(from: &Path, to: &Path) -> Result<PathBuf, CliError> {
    crate::files::make_private_folder(to).map_err(|error| CliError::io("make", to, &error))?;
    for name in ["vault.db", "vault.db-wal"] {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            std::fs::copy(&from, &to).map_err(|error| CliError::io("copy", &from, &error))?;
        }
    }
    Ok(to.to_owned())
}

/// Nobody runs any more; somebody has the genesis and the certificate.
pub fn outsider(story: &mut Story, given: &Given) {
    story.chapter(
        "The ledger has stopped: whoever has its genesis verifies the payment's certificate, asking nobody",
    );
    let key = StateKey::tx(&given.tx_id);
    let holds = |certificate: &Certificate| {
        given.trust.verify(certificate, &key).is_ok_and(|proven| proven.value.is_some())
    };
    story.tell(&format!("transaction {}", given.tx_id));
    story.check("it proves that the transaction is notarised", holds(&given.certificate));
    let mut other = given.certificate.clone();
    if let Some(last) = other.value.as_mut().and_then(|value| value.last_mut()) {
        *last ^= 1;
    }
    story.check("changed by one bit, it proves nothing", !holds(&other));
}
