//! A ledger that loses answers, and one whose invoice grows while a person thinks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;
use crate::desk::nowhere::Nowhere;
use crate::desk::{DeskConfig, Ports, SystemClock};
use crate::invoices::InvoicePlan;
use crate::journal::{ApprovalState, Journal};
use crate::limits::Limits;

/// A company that owes an invoice.
#[derive(Default)]
struct Book {
    /// What remains.
    minor: u64,
    /// What steps are refused with, one after the other.
    fails: VecDeque<Refusal>,
    /// Each step that was taken, on what, and whether it was said to be taken again.
    taken: Vec<(InvoiceStep, String, bool)>,
}

#[derive(Clone, Default)]
struct Company(Arc<Mutex<Book>>);

impl Invoices for Company {
    fn company(&self) -> &str {
        "globex"
    }
    fn look(&self, _: &InvoiceStep) -> Result<InvoicePlan, Refusal> {
        let minor = self.0.lock().unwrap().minor;
        let exact = json!({"invoice": "0f"}).as_object().cloned().unwrap();
        let worth = Some(Money { minor, currency: "USD".to_owned() });
        Ok(InvoicePlan { on: format!("0f at {minor}"), worth, exact })
    }
    fn take(&self, step: &InvoiceStep, on: &str, is_again: bool) -> Result<Value, Refusal> {
        let mut book = self.0.lock().unwrap();
        book.taken.push((step.clone(), on.to_owned(), is_again));
        book.fails.pop_front().map_or_else(|| Ok(json!({"status": "final", "step": "Pay"})), Err)
    }
    fn get(&self, _: &str) -> Result<Value, Refusal> {
        unreachable!()
    }
    fn list(&self, _: &InvoiceQuery, after: Option<&str>, limit: usize) -> Result<InvoicePage, Refusal> {
        let from: usize = after.map_or(0, |after| after.parse().unwrap());
        let next = (from + limit < 5).then(|| (from + limit).to_string());
        Ok(((from..5).take(limit).map(Value::from).collect(), next))
    }
    fn requests(&self, _: Option<&str>, _: usize) -> Result<InvoicePage, Refusal> {
        unreachable!()
    }
}

fn desk(folder: &tempfile::TempDir, company: Option<&Company>) -> Desk {
    let mut limits = Limits::default();
    limits.set_call(Money { minor: 100, currency: "USD".to_owned() });
    let journal = Journal::open(&folder.path().join("mcp.db"), ves::TimestampMs(0)).unwrap();
    let ports = Ports {
        outbox: Arc::new(Nowhere),
        entities: Arc::new(Nowhere),
        service: Arc::new(Nowhere),
        invoices: company.map(|company| Arc::new(company.clone()) as Arc<dyn Invoices>),
    };
    Desk::new(ports, journal, DeskConfig { limits, syncer: None }, Arc::new(SystemClock)).unwrap()
}

fn owing(minor: u64) -> Company {
    Company(Arc::new(Mutex::new(Book { minor, ..Book::default() })))
}

fn call(desk: &Desk, name: &str, arguments: Value) -> Result<Value, CallError> {
    desk.call(name, arguments.as_object().cloned())
}

fn pay(key: &str) -> Value {
    json!({"invoice": "1", "idempotency_key": key})
}

fn code(outcome: Result<Value, CallError>) -> String {
    match outcome {
        Err(CallError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_company_the_tools_are_absent() {
    let folder = tempfile::tempdir().unwrap();
    let none = desk(&folder, None);
    assert!(none.tools().all(|tool| !tool.name.starts_with("invoice_")));
    assert!(matches!(call(&none, "invoice_pay", pay("a")), Err(CallError::UnknownTool { .. })));
    let some = desk(&folder, Some(&owing(1)));
    assert_eq!(some.tools().filter(|tool| tool.work.needs_ledger()).count(), 8);
}

#[test]
fn a_step_whose_answer_was_lost_is_tried_on_the_same_and_said_to_be_tried_again() {
    let (folder, company) = (tempfile::tempdir().unwrap(), owing(50));
    let lost = Refusal { is_passing: true, ..Refusal::new("NODE_UNREACHABLE", "lost") };
    company.0.lock().unwrap().fails.push_back(lost);
    assert_eq!(code(call(&desk(&folder, Some(&company)), "invoice_pay", pay("a"))), "NODE_UNREACHABLE");
    // Over a restart, and though another amount remains by now.
    company.0.lock().unwrap().minor = 20;
    let desk = desk(&folder, Some(&company));
    let answer = call(&desk, "invoice_pay", pay("a")).unwrap();
    assert_eq!(call(&desk, "invoice_pay", pay("a")).unwrap(), answer);
    let taken: Vec<(String, bool)> =
        company.0.lock().unwrap().taken.iter().map(|(_, on, again)| (on.clone(), *again)).collect();
    assert_eq!(taken, [("0f at 50".to_owned(), false), ("0f at 50".to_owned(), true)]);
}

#[test]
fn a_refusal_of_the_ledger_is_told_by_its_name_and_not_remembered() {
    let (folder, company) = (tempfile::tempdir().unwrap(), owing(50));
    let desk = desk(&folder, Some(&company));
    company.0.lock().unwrap().fails.push_back(Refusal::new("CONFLICT", "spent"));
    assert_eq!(code(call(&desk, "invoice_pay", pay("a"))), "CONFLICT");
    assert_eq!(call(&desk, "invoice_pay", pay("a")).unwrap()["status"], "final");
    assert!(company.0.lock().unwrap().taken.iter().all(|(_, _, again)| !again));
}

/// The first answer was lost: whatever is said of the second try, the first may have been taken.
#[test]
fn a_refusal_of_a_later_try_forgets_nothing() {
    let (folder, company) = (tempfile::tempdir().unwrap(), owing(50));
    let desk = desk(&folder, Some(&company));
    let lost = Refusal { is_passing: true, ..Refusal::new("NODE_UNREACHABLE", "lost") };
    company.0.lock().unwrap().fails.extend([lost, Refusal::new("NO_SUCH_INVOICE", "another's answer")]);
    assert_eq!(code(call(&desk, "invoice_pay", pay("a"))), "NODE_UNREACHABLE");
    let Err(CallError::Refused(refusal)) = call(&desk, "invoice_pay", pay("a")) else {
        panic!("it is refused")
    };
    assert_eq!((refusal.code.as_str(), refusal.is_passing), ("NO_SUCH_INVOICE", true));
    assert!(refusal.hint.unwrap().contains("an earlier try of this call may have been carried out"));
    call(&desk, "invoice_pay", pay("a")).unwrap();
    let again: Vec<bool> = company.0.lock().unwrap().taken.iter().map(|(_, _, again)| *again).collect();
    assert_eq!(again, [false, true, true], "it was made anew");
}

#[test]
fn what_is_above_the_limit_is_approved_as_it_was_and_for_no_more() {
    let (folder, company) = (tempfile::tempdir().unwrap(), owing(500));
    let desk = desk(&folder, Some(&company));
    let id = |waits: &Value| waits["approval"]["approval_id"].as_str().unwrap().to_owned();
    let (first, second) =
        (call(&desk, "invoice_pay", pay("a")).unwrap(), call(&desk, "invoice_pay", pay("b")).unwrap());
    let asked = &first["approval"];
    assert_eq!((&asked["amount"], &asked["arguments"]["invoice"]), (&json!("5.00"), &json!("0f")));
    assert_eq!(asked["arguments"]["company"], "globex");
    assert!(company.0.lock().unwrap().taken.is_empty());
    company.0.lock().unwrap().minor = 501;
    assert!(desk.approve(&id(&first)).is_err());
    assert_eq!(desk.approval(&id(&first)).unwrap().state, ApprovalState::Failed);
    assert!(company.0.lock().unwrap().taken.is_empty(), "nothing is paid that nobody approved");
    company.0.lock().unwrap().minor = 500;
    assert_eq!(desk.approve(&id(&second)).unwrap().state, ApprovalState::Approved);
    let taken = company.0.lock().unwrap().taken.clone();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0, InvoiceStep::Pay { invoice: "0f".to_owned(), amount: None });
}

#[test]
fn a_call_for_another_company_and_a_sum_that_is_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(&folder, Some(&owing(1)));
    let field = |name: &str, arguments: Value| match call(&desk, name, arguments) {
        Err(CallError::Argument { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field("invoice_pay", json!({"invoice": "1", "company": "acme"})), "company");
    assert_eq!(field("invoice_pay", json!({"invoice": "1", "amount": "0", "currency": "USD"})), "amount");
    let bill = |more: Value| {
        let mut bill =
            json!({"counterparty": "acme", "number": "1", "due_date": "2099-01-31", "currency": "USD"});
        bill.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        bill
    };
    let lines = |sku: &str| json!([{"product_id": sku, "quantity": 2, "unit_price": "1.50"}]);
    assert_eq!(field("invoice_create", bill(json!({}))), "amount");
    assert_eq!(field("invoice_create", bill(json!({"amount": "3.01", "line_items": lines("a")}))), "amount");
    let long = bill(json!({"line_items": lines(&"a".repeat(65))}));
    assert_eq!(field("invoice_create", long), "line_items[0].product_id");
    assert!(call(&desk, "invoice_create", bill(json!({"line_items": lines("a")}))).is_ok());
}

#[test]
fn a_list_goes_on_by_its_own_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(&folder, Some(&owing(1)));
    let first = call(&desk, "invoice_list", json!({"limit": 3})).unwrap();
    assert_eq!(first["invoices"], json!([0, 1, 2]));
    let next = json!({"limit": 3, "cursor": first["next_cursor"]});
    assert_eq!(call(&desk, "invoice_list", next).unwrap(), json!({"invoices": [3, 4]}));
    let other = json!({"limit": 3, "cursor": first["next_cursor"], "status": "PAID"});
    assert!(matches!(call(&desk, "invoice_list", other), Err(CallError::Argument { .. })));
}
