//! The invoice tools' port: steps of one company, by its own node on the shared ledger.

mod payment;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use stateset_contracts::InvoiceCommand;
use stateset_contracts::invoice::{Line, Lines, Terms};
use stateset_ledger_types::codec::Text;
use stateset_ledger_types::ids::{Denom, EntityId, LinearId, Units};
use stateset_mcp::{
    InvoicePage, InvoicePlan, InvoiceQuery, InvoiceStep, Invoices, Money, NewInvoice, Refusal, exponent_of,
};

use stateset_node_client::{CallError, Company, Flow, Held, Start, files};

use crate::ledger::{Denoms, Told as _};
use crate::shown;

/// How long a call waits for other companies and for the ledger.
const WAIT: Duration = Duration::from_secs(10);
/// One request of a node waits no longer.
const ASK_MS: u64 = 5_000;
/// How a plan begins that is about a flow instead of an invoice.
const PROPOSED: &str = "flow ";
/// The invoices of one company.
pub struct Desk {
    node: Company,
    denoms: Denoms,
}

impl Desk {
    pub fn of(node: Company) -> Self {
        Self { node, denoms: Denoms::default() }
    }

    /// Units of the ledger as the limits count them.
    ///
    /// # Errors
    /// BAD_CURRENCY where both do not mean the same by the currency's name.
    fn money(&self, denom: &Denom, units: Units) -> Result<Money, Refusal> {
        let (currency, known) =
            (denom.as_str().to_ascii_uppercase(), self.denoms.of(&self.node, denom.as_str())?);
        let minor = u64::try_from(units.0).ok().filter(|minor| i64::try_from(*minor).is_ok());
        match minor {
            Some(minor) if u32::from(known.exponent) == exponent_of(&currency) => {
                Ok(Money { minor, currency })
            }
            _ => Err(Refusal::new(
                "BAD_CURRENCY",
                format!("limits cannot reckon with {} units of {denom}", units.0),
            )),
        }
    }

    /// The denomination of a currency, such as `usd` of `USD`.
    fn denom(&self, currency: &str) -> Result<Denom, Refusal> {
        let name = currency.to_ascii_lowercase();
        let wrong = |said: String| Refusal::new("BAD_CURRENCY", format!("currency {currency}: {said}"));
        let denom = Denom::new(&name).map_err(|problem| wrong(problem.to_string()))?;
        match self.denoms.of(&self.node, &name) {
            Err(refusal) if refusal.code == "NOT_FOUND" => Err(wrong(refusal.message)
                .hint("a ledger of this machine begins with usd and eur; others are added by a proposal")),
            Err(refusal) => Err(refusal),
            Ok(record) if u32::from(record.exponent) != exponent_of(currency) => {
                Err(wrong(format!("the ledger counts it with {} decimals", record.exponent)))
            }
            Ok(_) => Ok(denom),
        }
    }

    fn found(&self, reference: &str) -> Result<Option<Held>, Refusal> {
        self.node.found(reference).told()
    }

    fn held(&self, reference: &str) -> Result<Held, Refusal> {
        self.found(reference)?.ok_or_else(|| {
            Refusal::new("NO_SUCH_INVOICE", format!("{} holds no invoice {reference}", self.node.org))
                .hint("see invoice_list, and invoice_requests for what is only proposed")
        })
    }

    /// The one request that `reference` names and that fits.
    fn request(&self, reference: &str, fits: impl Fn(&Flow) -> bool) -> Result<Option<Flow>, Refusal> {
        self.node.one_flow("requests", reference, |flow| flow.is_asked() && fits(flow)).told()
    }

    fn asked(&self, reference: &str) -> Result<Flow, Refusal> {
        self.request(reference, |_| true)?.ok_or_else(|| {
            let said = format!("nobody asks {} for anything about {reference}", self.node.org);
            Refusal::new("NO_SUCH_REQUEST", said).hint("see invoice_requests")
        })
    }

    /// The flow at its end, or where only persons can go on with it, or after [`WAIT`].
    fn awaited(&self, mut flow: Flow) -> Result<Flow, Refusal> {
        let begun = Instant::now();
        while !flow.is_over() && !flow.undecided {
            let left = WAIT.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let left = u64::try_from(left.as_millis()).unwrap_or(ASK_MS).min(ASK_MS);
            flow = self.node.flow(&flow.flow_id, left).told()?;
        }
        Ok(flow)
    }

    /// What becomes of a flow that this try began: its refusal is the call's.
    fn settled(&self, flow: Flow) -> Result<Value, Refusal> {
        let flow = self.awaited(flow)?;
        if flow.phase == "ended" {
            let (code, said) = flow.ended();
            return Err(Refusal::new(code, said));
        }
        self.outcome(&flow)
    }

    fn told(&self, flow: &Flow, status: &str) -> Result<Value, Refusal> {
        let mut body = self.flow_body(flow)?;
        body["status"] = status.into();
        Ok(body)
    }

    fn flow_body(&self, flow: &Flow) -> Result<Value, Refusal> {
        let invoice = flow.content.as_ref();
        let invoice = invoice.map(|invoice| {
            let record = self.denoms.of(&self.node, invoice.denom.as_str())?;
            Ok::<_, Refusal>(shown::invoice(invoice, flow.linear_id.as_ref(), &record))
        });
        Ok(shown::flow(flow, invoice.transpose()?))
    }

    fn held_body(&self, held: &Held) -> Result<Value, Refusal> {
        let invoice = held.invoice().told()?;
        let record = self.denoms.of(&self.node, invoice.denom.as_str())?;
        let mut body = shown::invoice(invoice, Some(&held.linear_id), &record);
        body["status"] = held.status().into();
        body["transaction_id"] = held.place.tx_id.to_string().into();
        Ok(body)
    }

    /// What is told of a step that was taken before it was asked for again.
    fn taken(&self, held: &Held, step: &str) -> Result<Value, Refusal> {
        let transaction = held.place.tx_id.to_string();
        Ok(json!({
            "status": "final", "step": step, "transaction_id": transaction, "invoice": self.held_body(held)?,
        }))
    }

    /// A company by its name here or in the address book, any member by its id.
    fn entity(&self, name: &str) -> Result<Option<EntityId>, Refusal> {
        files::entity(self.node.api.folder(), name).map_err(CallError::from).told()
    }

    fn me(&self) -> Result<EntityId, Refusal> {
        self.entity(&self.node.org)?
            .ok_or_else(|| Refusal::new("NO_SUCH_ORG", format!("there is no company {} here", self.node.org)))
    }

    fn terms(&self, new: &NewInvoice) -> Result<Terms, Refusal> {
        let counterparty = self.entity(&new.counterparty)?.ok_or_else(|| {
            let said = format!("counterparty: there is no company {} here", new.counterparty);
            Refusal::new("NO_SUCH_ORG", said).hint("name one elsewhere by its id of 40 hex digits")
        })?;
        let lines = new.lines.iter().map(|line| {
            Ok(Line {
                sku: text("line_items", &line.sku)?,
                description: Text::default(),
                quantity: line.quantity,
                unit_price: units(line.unit_price_minor),
                total: Units(u128::from(line.quantity) * u128::from(line.unit_price_minor)),
            })
        });
        let lines = lines.collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Terms {
            number: text("number", &new.number)?,
            party: self.me()?,
            counterparty,
            extensions: Default::default(),
            name: text("name", &new.name)?,
            billing_reason: Text::default(),
            denom: self.denom(&new.currency)?,
            lines: Lines::new(lines).map_err(|problem| Refusal::new("BAD_LINE", problem.to_string()))?,
            subtotal: units(new.subtotal_minor),
            tax: units(new.tax_minor),
            due_date: new.due_ms,
            period: None,
            po_ref: None,
            agreement_ref: None,
        })
    }

    fn create(&self, new: &NewInvoice, is_again: bool) -> Result<Value, Refusal> {
        let terms = self.terms(new)?;
        if is_again && let Some(told) = self.created(&terms)? {
            return Ok(told);
        }
        let parties = [terms.party, terms.counterparty];
        let started = self.start(None, &InvoiceCommand::Create(Box::new(terms.clone())), &parties);
        match started {
            Ok(flow) => self.settled(flow),
            // By the first try, which the node has taken up meanwhile.
            Err(refusal) if is_again && refusal.code == "CONFLICT" => self.created(&terms)?.ok_or(refusal),
            Err(refusal) => Err(refusal),
        }
    }

    /// The invoice of these terms, where an earlier try issued or proposed it.
    fn created(&self, terms: &Terms) -> Result<Option<Value>, Refusal> {
        let is_ours = |invoice: &stateset_contracts::Invoice| {
            invoice.head.number == terms.number
                && (invoice.party, invoice.counterparty) == (terms.party, terms.counterparty)
                && (&invoice.denom, &invoice.lines) == (&terms.denom, &terms.lines)
                && (invoice.subtotal, invoice.tax, invoice.due_date)
                    == (terms.subtotal, terms.tax, terms.due_date)
        };
        let proposed = self.node.all_flows(true, |flow| {
            flow.from.is_none() && flow.step() == "Create" && flow.content.as_ref().is_some_and(is_ours)
        });
        let mut proposed = proposed.told()?;
        if let Some(flow) = proposed.pop() {
            return self.outcome(&self.awaited(flow)?).map(Some);
        }
        let held = self.node.invoices(&[("number", &terms.number), ("limit", "100")]).told()?.items;
        if let Some(held) = held.iter().find(|held| held.content.as_ref().is_some_and(is_ours)) {
            return self.taken(held, "Create").map(Some);
        }
        let ended = self.node.all_flows(false, |flow| {
            flow.from.is_none() && flow.step() == "Create" && flow.content.as_ref().is_some_and(is_ours)
        });
        ended.told()?.pop().map(|flow| self.outcome(&flow)).transpose()
    }

    /// What a flow has come to. Where an earlier try began it, this is the answer to the call, also where it is no.
    fn outcome(&self, flow: &Flow) -> Result<Value, Refusal> {
        match flow.phase.as_str() {
            "final" => self.told(flow, "final"),
            "ended" => {
                let mut told = self.told(flow, "ended")?;
                let (code, reason) = flow.ended();
                told["code"] = code.into();
                told["reason"] = reason.into();
                Ok(told)
            }
            _ => self.told(flow, "waiting"),
        }
    }

    /// - `on`: the invoice's id, or the flow by which it is proposed: another proposal may have the same id, and another total.
    fn accept(&self, on: &str) -> Result<Value, Refusal> {
        let id = match on.strip_prefix(PROPOSED) {
            None => on.to_owned(),
            Some(flow) => {
                let mut flow = self.node.flow(flow, 0).told()?;
                if flow.is_asked() {
                    flow = self.node.decide(&flow.flow_id, &json!({"accept": {}}), 0).told()?;
                }
                let id = flow.linear_id.map(|id| id.to_string()).unwrap_or_default();
                let told = self.settled(flow)?;
                if told["status"] != "final" {
                    return Ok(told);
                }
                // It is issued with this company's signature: the call is kept, whatever the second half says.
                return self.accept_held(&id).map_err(|refusal| Refusal { is_passing: true, ..refusal });
            }
        };
        self.accept_held(&id)
    }

    /// Acknowledges the debt of an invoice that is issued.
    fn accept_held(&self, id: &str) -> Result<Value, Refusal> {
        let held = self.held(id)?;
        match held.status() {
            "ISSUED" => {
                let flow = self.start(Some(held.linear_id), &InvoiceCommand::Accept(()), &[])?;
                self.settled(flow)
            }
            "ACCEPTED" => self.taken(&held, "Accept"),
            status => {
                Err(Refusal::new("BAD_TRANSITION", format!("the invoice is {status}: it cannot be accepted")))
            }
        }
    }

    /// - `on`: id of the flow.
    fn decide(&self, on: &str, said: &Value, is_again: bool, is_done: &str) -> Result<Value, Refusal> {
        if is_again {
            let flow = self.node.flow(on, 0).told()?;
            match (flow.phase.as_str(), is_done) {
                ("deciding", _) => {}
                ("ended", "declined") if !flow.is_withdrawn() => return self.told(&flow, "declined"),
                _ => return self.outcome(&self.awaited(flow)?),
            }
        }
        let flow = self.node.decide(on, said, 0).told()?;
        if is_done == "declined" {
            return self.told(&flow, "declined");
        }
        self.settled(flow)
    }

    fn start(
        &self,
        on: Option<LinearId>,
        command: &InvoiceCommand,
        parties: &[EntityId],
    ) -> Result<Flow, Refusal> {
        let step = Start::<()> { on, command, parties, attested: None };
        self.node.start(&step, 0).told()
    }

    fn plan_of(&self, on: &Flow, argument: &str, exact: String) -> Result<InvoicePlan, Refusal> {
        let worth =
            on.content.as_ref().map(|invoice| self.money(&invoice.denom, invoice.total)).transpose()?;
        Ok(InvoicePlan { on: exact.clone(), worth, exact: named(argument, exact) })
    }
}

fn units(minor: u64) -> Units {
    Units(u128::from(minor))
}

fn text<const MAX: usize>(argument: &str, value: &str) -> Result<Text<MAX>, Refusal> {
    Text::new(value).map_err(|problem| Refusal::new("BAD_TEXT", format!("{argument}: {problem}")))
}

fn named(argument: &str, value: String) -> Map<String, Value> {
    [(argument.to_owned(), value.into())].into_iter().collect()
}

/// Now, Unix milliseconds.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Invoices for Desk {
    fn company(&self) -> &str {
        &self.node.org
    }

    fn look(&self, step: &InvoiceStep) -> Result<InvoicePlan, Refusal> {
        match step {
            InvoiceStep::Create(new) => {
                if new.due_ms < now_ms() {
                    return Err(Refusal::new("BAD_DUE", "due_date is in the past: give the last day to pay"));
                }
                let terms = self.terms(new)?;
                let total = terms.subtotal.0.saturating_add(terms.tax.0);
                let worth = self.money(&terms.denom, Units(total))?;
                let exact = named("counterparty", terms.counterparty.to_string());
                Ok(InvoicePlan { on: new.number.clone(), worth: Some(worth), exact })
            }
            InvoiceStep::Accept { invoice } => {
                let proposed = self.request(invoice, |flow| flow.step() == "Create")?;
                if let Some((flow, id)) = proposed.and_then(|flow| flow.linear_id.map(|id| (flow, id))) {
                    if let Some(held) = self.found(invoice)? {
                        let said =
                            format!("{} holds an invoice {invoice}, and is asked for another", self.node.org);
                        let hint = format!("give an invoice_id: {}, or {id}", held.linear_id);
                        return Err(Refusal::new("AMBIGUOUS", said).hint(hint));
                    }
                    let plan = self.plan_of(&flow, "invoice", id.to_string())?;
                    return Ok(InvoicePlan { on: format!("{PROPOSED}{}", flow.flow_id), ..plan });
                }
                let held = self.held(invoice)?;
                if held.status() != "ISSUED" {
                    let said = format!("the invoice is {}: it cannot be accepted", held.status());
                    return Err(Refusal::new("BAD_TRANSITION", said));
                }
                let (id, content) = (held.linear_id.to_string(), held.invoice().told()?);
                let worth = self.money(&content.denom, content.total)?;
                Ok(InvoicePlan { on: id.clone(), worth: Some(worth), exact: named("invoice", id) })
            }
            InvoiceStep::Approve { request } => {
                let flow = self.asked(request)?;
                self.plan_of(&flow, "request", flow.flow_id.clone())
            }
            InvoiceStep::Decline { request, .. } => {
                let id = self.asked(request)?.flow_id;
                Ok(InvoicePlan { on: id.clone(), worth: None, exact: named("request", id) })
            }
            InvoiceStep::Pay { invoice, amount } => {
                let held = self.held(invoice)?;
                let (worth, id) = (self.payable(&held, amount.as_ref())?, held.linear_id.to_string());
                let on = format!("{id} {} {}", held.invoice().told()?.head.version, worth.minor);
                let mut exact = named("invoice", id);
                exact.insert("amount".to_owned(), worth.text().into());
                exact.insert("currency".to_owned(), worth.currency.clone().into());
                Ok(InvoicePlan { on, worth: Some(worth), exact })
            }
        }
    }

    fn take(&self, step: &InvoiceStep, on: &str, is_again: bool) -> Result<Value, Refusal> {
        match step {
            InvoiceStep::Create(new) => self.create(new, is_again),
            // On a second try the debt is acknowledged already, or goes on from where it is.
            InvoiceStep::Accept { .. } => self.accept(on),
            InvoiceStep::Approve { .. } => self.decide(on, &json!({"accept": {}}), is_again, "final"),
            InvoiceStep::Decline { reason, .. } => {
                self.decide(on, &json!({"decline": {"reason": reason}}), is_again, "declined")
            }
            InvoiceStep::Pay { .. } => self.pay(on, is_again),
        }
    }

    fn get(&self, invoice: &str) -> Result<Value, Refusal> {
        self.held_body(&self.held(invoice)?)
    }

    fn list(&self, wanted: &InvoiceQuery, after: Option<&str>, limit: usize) -> Result<InvoicePage, Refusal> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(wanted.status.as_deref().map(|status| ("status", status)));
        query.extend(after.map(|after| ("cursor", after)));
        let page = self.node.invoices(&query).told()?;
        let shown = page.items.iter().map(|held| self.held_body(held));
        Ok((shown.collect::<Result<_, _>>()?, page.next))
    }

    fn requests(&self, after: Option<&str>, limit: usize) -> Result<InvoicePage, Refusal> {
        let page = self.node.flows(true, &limit.to_string(), after).told()?;
        let waiting = page.items.iter().filter(|flow| flow.is_asked());
        Ok((waiting.map(|flow| self.flow_body(flow)).collect::<Result<_, _>>()?, page.next))
    }
}
