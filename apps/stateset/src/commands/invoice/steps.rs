//! The steps of an invoice: each is a flow of the company's node, waited for until it is final or until others have to act.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use stateset_contracts::invoice::{FactorIt, Line, Lines, Pay, Terms};
use stateset_contracts::{Invoice, InvoiceCommand, PaymentEvidence};
use stateset_keystore::KeyName;
use stateset_ledger_types::codec::Text;
use stateset_ledger_types::ids::{Amount, LinearId, Units};
use stateset_node_client::{Company, Flow, Held};

use super::nodes::{company, entity, invoice, request, start, start_as};
use super::shown::{Names, day, describe};
use super::{
    CreateArgs, DeclineArgs, FactorArgs, FundArgs, InvoiceArgs, OrgArgs, PayArgs, RequestArgs, WaitArgs,
};
use crate::commands::org;
use crate::context::Context;
use crate::error::{CliError, printable, quoted};
use crate::files;
use crate::ledger::money::Currency;

/// Seconds until what was approved is final, where nobody else has to sign.
const APPROVED_S: u64 = 5;
/// One request of a node waits no longer.
const ASK_MS: u64 = 5_000;

fn text<const MAX: usize>(option: &str, value: &str) -> Result<Text<MAX>, CliError> {
    Text::new(value).map_err(|problem| CliError::input("BAD_TEXT", format!("{option}: {problem}")))
}

/// Waits for the end of a flow, or until only persons of other companies can go on with it.
fn settled(node: &Company, mut flow: Flow, begun: Instant, wait: &WaitArgs) -> Result<Flow, CliError> {
    while !matches!(flow.phase.as_str(), "final" | "ended") && !flow.undecided {
        let left = Duration::from_secs(wait.wait).saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        let left = u64::try_from(left.as_millis()).unwrap_or(ASK_MS).min(ASK_MS);
        flow = node.flow(&flow.flow_id, left)?;
    }
    Ok(flow)
}

pub fn first_wait(wait: &WaitArgs) -> u64 {
    (wait.wait * 1_000).min(ASK_MS)
}

/// What became of a flow: an error by its name where it failed.
fn told(context: &Context, node: &Company, flow: &Flow, done: &str) -> Result<(), CliError> {
    if flow.phase == "ended" {
        let (code, reason) = flow.ended();
        return Err(CliError::failure(&code, printable(&reason)));
    }
    let (names, invoice) = (Names::of(context), flow.content.as_ref());
    let mut said = if flow.is_final() {
        format!("{done}, in transaction {}.\n", flow.tx_id)
    } else {
        format!("{} is signed here, and not final yet.\n", flow.step())
    };
    if let Some(invoice) = invoice {
        let currency = Currency::of(&node.api, invoice.denom.as_str())?;
        let status = format!("{:?}", invoice.status());
        let status = if flow.is_final() { status } else { format!("{status}, once it is signed") };
        said += &describe(&names, &currency, flow.linear_id.as_ref(), invoice, &status);
    }
    if !flow.is_final() {
        said += &waiting(&names, flow);
    }
    context.out.result(flow, &said);
    Ok(())
}

/// For whom a flow waits, and what they do.
fn waiting(names: &Names, flow: &Flow) -> String {
    let waits_for: Vec<_> = flow.waits_for.iter().map(|id| names.name(id)).collect();
    if flow.phase == "attesting" {
        return format!("Waits for the attestation of {}.\n", waits_for.join(", "));
    }
    if waits_for.is_empty() {
        return "It is final once everybody has signed and the ledger has it.\n".to_owned();
    }
    let number = flow.content.as_ref().map(|invoice| quoted(&invoice.head.number)).unwrap_or_default();
    let line = |name: &String| {
        format!("Waits for {name}: stateset invoice approve {number} --org {}\n", quoted(name))
    };
    waits_for.iter().map(line).collect()
}

pub fn take(
    context: &Context,
    org: &KeyName,
    wait: &WaitArgs,
    done: &str,
    start: impl FnOnce(&Company) -> Result<Flow, CliError>,
) -> Result<(), CliError> {
    let (node, begun) = (company(context, org)?, Instant::now());
    let flow = settled(&node, start(&node)?, begun, wait)?;
    told(context, &node, &flow, done)
}

/// `SKU:QUANTITY:UNIT-PRICE[:DESCRIPTION]`.
fn line(currency: &Currency, given: &str) -> Result<Line, CliError> {
    let wrong = |problem: &str| CliError::input("BAD_LINE", format!("--line {given}: {problem}"));
    let mut parts = given.splitn(4, ':');
    let mut next = || parts.next();
    let (Some(sku), Some(quantity), Some(price)) = (next(), next(), next()) else {
        return Err(wrong("write it as SKU:QUANTITY:UNIT-PRICE[:DESCRIPTION]"));
    };
    let quantity: u64 = quantity.parse().map_err(|_| wrong("the quantity is a whole number"))?;
    let unit_price = currency.read("--line", price)?.amount.units;
    let total = unit_price.0.checked_mul(u128::from(quantity)).ok_or_else(|| wrong("it is too large"))?;
    let description = text("--line", next().unwrap_or_default())?;
    Ok(Line { sku: text("--line", sku)?, description, quantity, unit_price, total: Units(total) })
}

/// Lines, and what they add up to; what is given as the sum has to be that.
pub fn billed(
    currency: &Currency,
    amount: Option<&str>,
    lines: &[String],
) -> Result<(Lines, Units), CliError> {
    let lines = lines.iter().map(|given| line(currency, given)).collect::<Result<Vec<_>, _>>()?;
    let sum = Units(lines.iter().fold(0, |sum, line| line.total.0.saturating_add(sum)));
    let subtotal = match amount {
        Some(amount) => currency.read("--amount", amount)?.amount.units,
        None => sum,
    };
    if !lines.is_empty() && subtotal != sum {
        let said = format!(
            "--amount is {}, and the lines add up to {}",
            currency.of_units(subtotal),
            currency.of_units(sum)
        );
        return Err(CliError::input("BAD_AMOUNT", said));
    }
    let lines = Lines::new(lines).map_err(|problem| CliError::input("BAD_LINE", problem.to_string()))?;
    Ok((lines, subtotal))
}

/// An invoice that is due before it is issued is a slip of the hand. One that comes late from another system goes in
/// by the nodes' API.
fn not_past(due: u64) -> Result<(), CliError> {
    if due >= statesetd_app::now() {
        return Ok(());
    }
    let said = format!("--due {} is in the past: give the last day to pay", day(due));
    Err(CliError::input("BAD_DUE", said))
}

pub fn create(context: &Context, args: &CreateArgs) -> Result<(), CliError> {
    not_past(args.due)?;
    take(context, &args.org.org, &args.wait, "Issued", |node| {
        let currency = Currency::of(&node.api, &args.currency)?;
        let (lines, subtotal) = billed(&currency, args.amount.as_deref(), &args.line)?;
        let tax = currency.read("--tax", &args.tax)?.amount.units;
        if subtotal.0 == 0 && tax.0 == 0 {
            let said = match &args.amount {
                Some(amount) => {
                    format!("--amount {amount}: an invoice is for more than zero {}", args.currency)
                }
                None => format!("--line: the lines add up to zero {}; give prices", args.currency),
            };
            return Err(CliError::input("BAD_AMOUNT", said));
        }
        let terms = Terms {
            number: text("--number", &args.number)?,
            party: entity(context, "--org", args.org.org.as_str())?,
            counterparty: entity(context, "--to", &args.to)?,
            extensions: Default::default(),
            name: text("--name", &args.name)?,
            billing_reason: Text::default(),
            denom: currency.of_units(subtotal).amount.denom,
            lines,
            subtotal,
            tax,
            due_date: args.due,
            period: None,
            po_ref: None,
            agreement_ref: None,
        };
        if terms.party == terms.counterparty {
            let said = format!("--to {}: an invoice goes to another company than its seller", args.to);
            return Err(CliError::input("BAD_COUNTERPARTY", said));
        }
        let parties = [terms.party, terms.counterparty];
        let (create, wait) = (InvoiceCommand::Create(Box::new(terms)), first_wait(&args.wait));
        start_as(node, None, &create, &parties, args.mode.attested()?, wait)
    })
}

fn asked(node: &Company, reference: &str) -> Result<Flow, CliError> {
    request(node, reference)?.ok_or_else(|| {
        CliError::input("NO_SUCH_REQUEST", format!("nobody asks {} for anything about {reference}", node.org))
            .hint("see `stateset invoice requests`")
    })
}

pub fn approve(context: &Context, args: &RequestArgs) -> Result<(), CliError> {
    // Whether others still have to sign is known to who proposed it.
    let wait = WaitArgs { wait: args.wait.wait.min(APPROVED_S) };
    take(context, &args.org.org, &wait, "Signed and final", |node| {
        let flow = asked(node, &args.request)?;
        Ok(node.decide(&flow.flow_id, &json!({"accept": {}}), first_wait(&wait))?)
    })
}

pub fn decline(context: &Context, args: &DeclineArgs) -> Result<(), CliError> {
    let node = company(context, &args.request.org.org)?;
    let flow = asked(&node, &args.request.request)?;
    let flow = node.decide(&flow.flow_id, &json!({"decline": {"reason": args.reason}}), ASK_MS)?;
    context.out.result(&flow, &format!("Declined: {}.", printable(&args.reason)));
    Ok(())
}

pub fn accept(context: &Context, args: &InvoiceArgs) -> Result<(), CliError> {
    let (node, begun) = (company(context, &args.org.org)?, Instant::now());
    let proposed = request(&node, &args.invoice)?.filter(|flow| flow.step() == "Create");
    if let (Some(proposed), Some(held)) = (&proposed, node.found(&args.invoice)?) {
        let said = format!("{} holds an invoice {}, and is asked for another one", node.org, args.invoice);
        let both = format!("accept {}, or approve or decline {}", held.linear_id, proposed.flow_id);
        return Err(CliError::input("AMBIGUOUS", said).hint(both));
    }
    if let Some(proposed) = proposed {
        let flow = node.decide(&proposed.flow_id, &json!({"accept": {}}), first_wait(&args.wait))?;
        let flow = settled(&node, flow, begun, &args.wait)?;
        if !flow.is_final() {
            return told(context, &node, &flow, "Issued");
        }
    }
    plain(context, args, &InvoiceCommand::Accept(()))
}

/// A step that needs nothing but itself.
pub fn plain(context: &Context, args: &InvoiceArgs, command: &InvoiceCommand) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Done", |node| {
        let held = invoice(node, &args.invoice)?;
        start(node, Some(held.linear_id), command, &[], first_wait(&args.wait))
    })
}

/// Id and version of the invoice that a factor pays an advance for, and what remains to be paid of it where the seller's
/// node is here: the factor's own does not hold it yet.
fn offered(context: &Context, args: &FundArgs) -> Result<(LinearId, u64, Option<Amount>), CliError> {
    if let (Ok(id), Some(version)) = (args.invoice.parse::<LinearId>(), args.invoice_version) {
        return Ok((id, version, None));
    }
    let not_here = || {
        CliError::input("NO_SUCH_INVOICE", format!("the node of {} is not of this machine", args.seller))
            .hint("ask the seller for the invoice's id and version, and give --invoice-version")
    };
    let seller = args.seller.parse::<KeyName>().map_err(|_| not_here())?;
    if !org::exists(context, &seller) {
        return Err(not_here());
    }
    let held = invoice(&company(context, &seller)?, &args.invoice)?;
    for_sale(context, args, &held)?;
    let invoice = held.invoice()?;
    Ok((held.linear_id, invoice.head.version, Some(invoice.amount(invoice.amount_remaining))))
}

fn bad_transition(said: String) -> CliError {
    CliError::against_rules("BAD_TRANSITION", said)
}

/// Whether the contract would let the seller sell it now.
fn sellable(held: &Held) -> Result<(), CliError> {
    let (invoice, status) = (held.invoice()?, held.status());
    match () {
        () if !matches!(status, "ACCEPTED" | "PARTIALLY_PAID" | "OVERDUE") => Err(bad_transition(format!(
            "the invoice is {status}: it can be sold once it is accepted, while it is open"
        ))),
        () if invoice.factor.is_some() => Err(bad_transition("the invoice is sold already".to_owned())),
        () => Ok(()),
    }
}

/// Nothing is paid for what the contract would not let the seller sell.
fn for_sale(context: &Context, args: &FundArgs, held: &Held) -> Result<(), CliError> {
    let invoice = held.invoice()?;
    let (buyer, seller) =
        (entity(context, "--org", args.org.org.as_str())?, entity(context, "--seller", &args.seller)?);
    sellable(held)?;
    match () {
        () if invoice.party != seller => Err(bad_transition(format!("{} is not its seller", args.seller))),
        () if buyer == invoice.party || buyer == invoice.counterparty => {
            Err(bad_transition(format!("{} is a party of the invoice, and cannot buy it", args.org.org)))
        }
        () => Ok(()),
    }
}

pub fn fund(context: &Context, args: &FundArgs) -> Result<(), CliError> {
    let node = company(context, &args.org.org)?;
    let (linear_id, version, owed) = offered(context, args)?;
    let seller = entity(context, "--seller", &args.seller)?;
    let currency = Currency::of(&node.api, &args.currency)?;
    let money = currency.read_positive("--amount", &args.amount)?;
    match owed {
        Some(owed) if money.amount.denom != owed.denom => {
            let said = format!("--currency {}: the invoice is in {}", args.currency, owed.denom);
            return Err(CliError::input("BAD_CURRENCY", said));
        }
        Some(owed) if money.amount.units > owed.units => {
            let said =
                format!("--amount {money} is more than the {} that remain", currency.of_units(owed.units));
            return Err(CliError::input("BAD_AMOUNT", said));
        }
        _ => {}
    }
    let evidence = node.pay(seller, &money.amount, linear_id, version)?;
    if let Some(file) = &args.output {
        let json = serde_json::to_string_pretty(&evidence).unwrap_or_default() + "\n";
        files::replace(file, json.as_bytes()).map_err(|error| CliError::io("write", file, &error))?;
    }
    context.out.result(
        &json!({"paid": money.view(), "payee": seller, "evidence": evidence}),
        &format!("{} is paid to {} for version {version} of {linear_id}.", money, args.seller),
    );
    Ok(())
}

/// Evidence of the advance: in a file, or of the factor's node on this machine, which pays nothing twice.
fn advance(context: &Context, args: &FactorArgs, held: &Held) -> Result<PaymentEvidence, CliError> {
    if let Some(file) = &args.evidence {
        return evidence(file);
    }
    let invoice = held.invoice()?;
    let missing = || {
        CliError::input("NO_EVIDENCE", format!("the node of {} is not of this machine", args.factor))
            .hint("the factor runs `stateset invoice fund -o FILE`; give that file with --evidence")
    };
    let factor = args.factor.parse::<KeyName>().map_err(|_| missing())?;
    if !org::exists(context, &factor) {
        return Err(missing());
    }
    let node = company(context, &factor)?;
    node.paid(invoice.party, held.linear_id, invoice.head.version)?.ok_or_else(|| {
        let said = format!("{factor} has paid no advance for this version of the invoice");
        CliError::input("NO_EVIDENCE", said).hint(format!(
            "stateset invoice fund {} --org {factor} --seller {} --amount {}",
            quoted(&args.invoice),
            args.org.org,
            quoted(&args.advance)
        ))
    })
}

fn evidence(file: &Path) -> Result<PaymentEvidence, CliError> {
    serde_json::from_str(&files::read_text(file)?)
        .map_err(|error| CliError::input("BAD_FILE", format!("{}: {error}", file.display())))
}

pub fn factor(context: &Context, args: &FactorArgs) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Sold", |node| {
        let held = invoice(node, &args.invoice)?;
        sellable(&held)?;
        let invoice = held.invoice()?;
        let currency = Currency::of(&node.api, invoice.denom.as_str())?;
        let units = currency.read_positive("--advance", &args.advance)?.amount.units;
        let discount = invoice.amount_remaining.0.checked_sub(units.0).map(Units).ok_or_else(|| {
            let said = format!(
                "--advance is more than the {} that remain",
                currency.of_units(invoice.amount_remaining)
            );
            CliError::input("BAD_AMOUNT", said)
        })?;
        let factor = entity(context, "--factor", &args.factor)?;
        let evidence = advance(context, args, &held)?;
        let command = InvoiceCommand::Factor(FactorIt {
            factor,
            advance: units,
            discount,
            recourse: args.recourse,
            evidence,
        });
        let (on, wait) = (Some(held.linear_id), first_wait(&args.wait));
        start_as(node, on, &command, &[factor], args.mode.attested()?, wait)
    })
}

pub fn pay(context: &Context, args: &PayArgs) -> Result<(), CliError> {
    take(context, &args.org.org, &args.wait, "Paid", |node| {
        let held = invoice(node, &args.invoice)?;
        let invoice: &Invoice = held.invoice()?;
        let units = match &args.amount {
            Some(amount) => {
                Currency::of(&node.api, invoice.denom.as_str())?.read("--amount", amount)?.amount.units
            }
            None => invoice.amount_remaining,
        };
        owes(context, &args.org, invoice)?;
        payable(node, &held, units)?;
        let evidence =
            node.pay(invoice.payee(), &invoice.amount(units), held.linear_id, invoice.head.version)?;
        let command = InvoiceCommand::Pay(Pay { amount: units, evidence });
        start(node, Some(held.linear_id), &command, &[], first_wait(&args.wait))
    })
}

/// Who pays is who owes: the contract counts nobody else's payment, and money does not come back.
fn owes(context: &Context, org: &OrgArgs, invoice: &Invoice) -> Result<(), CliError> {
    if entity(context, "--org", org.org.as_str())? == invoice.counterparty {
        return Ok(());
    }
    let payer = Names::of(context).name(&invoice.counterparty);
    let said = format!("{} does not owe this invoice: its payer is {payer}", org.org);
    Err(CliError::against_rules("NOT_AUTHORISED", said))
}

/// Nothing is paid that the contract would not count.
fn payable(node: &Company, held: &Held, units: Units) -> Result<(), CliError> {
    let invoice = held.invoice()?;
    let status = held.status.as_deref().unwrap_or_default();
    if !matches!(status, "ISSUED" | "ACCEPTED" | "PARTIALLY_PAID" | "OVERDUE") {
        return Err(bad_transition(format!("the invoice is {status}: nothing is to be paid")));
    }
    if units.0 == 0 || units > invoice.amount_remaining {
        let currency = Currency::of(&node.api, invoice.denom.as_str())?;
        let remaining = currency.of_units(invoice.amount_remaining);
        let said = format!(
            "--amount {}: give more than zero, and at most the {remaining} that remain",
            currency.of_units(units)
        );
        return Err(CliError::input("BAD_AMOUNT", said));
    }
    Ok(())
}
