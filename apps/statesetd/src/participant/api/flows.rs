//! Flows over the API: begun, decided, waited for.

use std::time::{Duration, Instant};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Json;
use serde_json::json;
use stateset_contracts::invoice::INVOICE;
use stateset_contracts::{Invoice, PaymentEvidence, StateType as _};
use stateset_ledger_types::Code;
use stateset_ledger_types::codec::Decode as _;
use stateset_ledger_types::ids::{LinearId, StateRef};
use stateset_node::ports::Decision;
use stateset_node::vault::StateFilter;
use stateset_node::{Payment, Transition};
use stateset_peer::message::FlowId;

use super::bodies::{Cursor, FlowQuery, FlowShown, InvoiceStep, PaidQuery, Pay, Said, Wait, Withdrawal};
use super::{Answer, Asked, Refused, of_org, page};
use crate::participant::Participant;
use crate::participant::hosted::Parts;

/// Longest wait of one request.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// A payment is made within a block or two.
const PAYMENT_TIME_MAX: Duration = Duration::from_secs(30);

fn flow_id(text: &str) -> Result<FlowId, Refused> {
    let malformed = |_| Refused::new(StatusCode::BAD_REQUEST, "MALFORMED", "a flow's id is 32 hex digits");
    text.parse().map_err(malformed)
}

fn show_flow(parts: &Parts, one: &Participant, id: &FlowId) -> Result<FlowShown, Refused> {
    let vault = one.node().vault();
    let (flow, view) = (vault.flow(id)?, vault.flow_view(id)?);
    drop(vault);
    let body = flow.map(|flow| flow.whole.body.body);
    let output = body.as_ref().and_then(|body| body.outputs.first());
    let invoice = output.filter(|output| output.contract_id.as_str() == INVOICE);
    let name = |contract: &str, tag: u16| match Invoice::table().row(tag).filter(|_| contract == INVOICE) {
        Some(row) => format!("{contract} {}", row.command),
        None => format!("{contract} {tag}"),
    };
    let commands = body.iter().flat_map(|body| body.commands.iter());
    let commands = commands.map(|command| name(command.contract_id.as_str(), command.tag)).collect();
    let undecided = is_undecided(parts, &view.waits_for, id) || waits_for_a_person(one, id);
    Ok(FlowShown {
        linear_id: output.and_then(|output| output.linear_id),
        content: invoice.and_then(|output| Invoice::from_sce(&output.content).ok()).map(Box::new),
        commands,
        flow: view,
        undecided,
    })
}

/// Whether each company that has to sign is one of this machine, and waits for a person there.
fn is_undecided(parts: &Parts, waits_for: &[stateset_ledger_types::ids::EntityId], id: &FlowId) -> bool {
    let all = parts.all();
    let asks = |entity| {
        let found = all.iter().find(|one| one.record.entity_id == entity);
        found.is_some_and(|one| waits_for_a_person(one, id))
    };
    !waits_for.is_empty() && waits_for.iter().all(|entity| asks(*entity))
}

/// Whether the node has asked, and nobody has answered: before, it may still sign by itself.
fn waits_for_a_person(one: &Participant, id: &FlowId) -> bool {
    let steps = one.node().vault().flow_history(id).unwrap_or_default();
    steps.last().is_some_and(|last| last.step == "Asked")
}

/// Waits until the flow is over, or until persons alone can go on with it.
fn waited(parts: &Parts, one: &Participant, id: &FlowId, wait: &Wait) -> Result<FlowShown, Refused> {
    let until = Instant::now() + Duration::from_millis(wait.wait_ms).min(WAIT_MAX);
    loop {
        let shown = show_flow(parts, one, id)?;
        let over = matches!(shown.flow.phase.as_str(), "final" | "ended");
        if over || shown.undecided || Instant::now() >= until {
            if shown.flow.code == Some(Code::Conflict) {
                // Another has consumed what this vault holds as unspent. What it cannot learn now, it learns at its start.
                drop(one.node().recover());
            }
            return Ok(shown);
        }
        std::thread::sleep(LOOK);
    }
}

pub async fn list(
    State(parts): Asked,
    Path(org): Path<String>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Answer<serde_json::Value> {
    let Query(query) = query?;
    of_org(parts, org, move |parts, one| {
        let Cursor { cursor, limit } = query.cursor();
        let found = one.node().vault().flows(query.open, cursor.as_deref(), limit)?;
        let shown = found.items.iter().map(|flow| show_flow(parts, one, &flow.flow_id));
        Ok(page(shown.collect::<Result<Vec<_>, _>>()?, found.next))
    })
    .await
}

pub async fn show(
    State(parts): Asked,
    Path((org, id)): Path<(String, String)>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Answer<serde_json::Value> {
    let Query(wait) = wait?;
    of_org(parts, org, move |parts, one| {
        let id = flow_id(&id)?;
        let shown = waited(parts, one, &id, &wait)?;
        let steps = one.node().vault().flow_history(&id)?;
        let mut shown = json!(shown);
        shown["steps"] = json!(steps);
        Ok(shown)
    })
    .await
}

pub async fn decide(
    State(parts): Asked,
    Path((org, id)): Path<(String, String)>,
    wait: Result<Query<Wait>, QueryRejection>,
    said: Result<Json<Said>, JsonRejection>,
) -> Answer<FlowShown> {
    let (Query(wait), Json(said)) = (wait?, said?);
    of_org(parts, org, move |parts, one| {
        let id = flow_id(&id)?;
        let decision = match said {
            Said::Accept {} => Decision::Accept,
            Said::Decline { reason } => Decision::Decline(reason),
        };
        one.node().decide(&id, decision)?;
        waited(parts, one, &id, &wait)
    })
    .await
}

/// Takes back a proposal of the company that others have not signed yet.
pub async fn withdraw(
    State(parts): Asked,
    Path((org, id)): Path<(String, String)>,
    said: Result<Json<Withdrawal>, JsonRejection>,
) -> Answer<FlowShown> {
    let Json(Withdrawal { reason }) = said?;
    of_org(parts, org, move |parts, one| {
        let id = flow_id(&id)?;
        one.node().withdraw(&id, &reason)?;
        show_flow(parts, one, &id)
    })
    .await
}

pub async fn invoice(
    State(parts): Asked,
    Path(org): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
    step: Result<Json<InvoiceStep>, JsonRejection>,
) -> Answer<FlowShown> {
    let (Query(wait), Json(step)) = (wait?, step?);
    of_org(parts, org, move |parts, one| {
        let on = step.on.map(|id| unspent(one, &id)).transpose()?;
        let parties = step.parties.into_iter().collect();
        let transition = Transition::<Invoice> { on, command: step.command, parties, at: None };
        let started = one.node().start_as(&transition, step.attested)?;
        waited(parts, one, &started.flow_id, &wait)
    })
    .await
}

/// Where the newest version of a state is.
fn unspent(one: &Participant, linear_id: &LinearId) -> Result<StateRef, Refused> {
    let filter = StateFilter { linear_id: Some(*linear_id), unspent: Some(true), ..StateFilter::default() };
    let found = one.node().vault().states(&filter, None, 1)?.items.pop();
    let said = || format!("{} holds no open state {linear_id}", one.record.org);
    found.map(|view| view.place).ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "NOT_FOUND", said()))
}

/// Pays, and gives the evidence. The same payment asked for again is the same payment.
pub async fn pay(
    State(parts): Asked,
    Path(org): Path<String>,
    pay: Result<Json<Pay>, JsonRejection>,
) -> Answer<PaymentEvidence> {
    let Json(Pay { payee, amount, linear_id, version }) = pay?;
    of_org(parts, org, move |_, one| {
        let (payment, begun) = (Payment { payee, amount, linear_id, version }, Instant::now());
        loop {
            if let Some(evidence) = one.node().pay(&payment)? {
                return Ok(evidence);
            }
            if begun.elapsed() > PAYMENT_TIME_MAX {
                let said = "the payment is under way; ask again, it is not made twice";
                return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_IN_A_BLOCK", said));
            }
            std::thread::sleep(LOOK);
        }
    })
    .await
}

/// Evidence of a payment that was made; null where none was.
pub async fn paid(
    State(parts): Asked,
    Path(org): Path<String>,
    query: Result<Query<PaidQuery>, QueryRejection>,
) -> Answer<Option<PaymentEvidence>> {
    let Query(PaidQuery { payee, linear_id, version }) = query?;
    of_org(parts, org, move |_, one| Ok(one.node().paid(&payee, &linear_id, version)?)).await
}
