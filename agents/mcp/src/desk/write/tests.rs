//! A service that loses answers, or in whose place others answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;
use crate::desk::nowhere::Nowhere;
use crate::desk::{DeskConfig, Ports, SystemClock};
use crate::journal::Journal;
use crate::limits::Limits;
use crate::port::{PortError, Service};

/// What the service answers, one after the other, and the keys by which it was asked to pay.
#[derive(Default)]
struct Till {
    fails: Mutex<VecDeque<PortError>>,
    asked: Mutex<Vec<String>>,
}

impl Service for Till {
    fn proof(&self, _: EventId) -> Result<Value, PortError> {
        unreachable!()
    }
    fn verify(&self, _: &str) -> Result<Value, PortError> {
        unreachable!()
    }
    fn pay(&self, order: &PaymentOrder) -> Result<Value, PortError> {
        self.asked.lock().unwrap().push(order.idempotency_key.clone());
        self.fails.lock().unwrap().pop_front().map_or_else(|| Ok(json!({"status": "sequenced"})), Err)
    }
    fn payment(&self, _: uuid::Uuid) -> Result<Value, PortError> {
        unreachable!()
    }
    fn payment_receipt(&self, _: uuid::Uuid) -> Result<Value, PortError> {
        unreachable!()
    }
    fn keys(&self) -> Result<Value, PortError> {
        unreachable!()
    }
}

fn paid(fails: &[PortError]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let till = Arc::new(Till { fails: Mutex::new(fails.iter().cloned().collect()), ..Till::default() });
    let ports = Ports {
        outbox: Arc::new(Nowhere),
        entities: Arc::new(Nowhere),
        service: till.clone(),
        invoices: None,
    };
    let journal = Journal::open(&folder.path().join("mcp.db"), ves::TimestampMs(0)).unwrap();
    let mut limits = Limits::default();
    limits.set_call(Money { minor: 10_000_000, currency: "USDC".to_owned() });
    let config = DeskConfig { limits, syncer: None };
    let desk = Desk::new(ports, journal, config, Arc::new(SystemClock)).unwrap();
    let call = || {
        let arguments = json!({
            "payee_address": "0x1111111111111111111111111111111111111111", "amount": "9.00", "asset": "usdc",
            "network": "set_chain", "idempotency_key": "k",
        });
        desk.call("payment_intent_create", arguments.as_object().cloned())
    };
    for _ in fails {
        assert!(matches!(call(), Err(CallError::Refused(_))));
    }
    let answer = call().unwrap();
    assert_eq!(call().unwrap(), answer);
    let asked = till.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), fails.len() + 1);
    asked
}

/// The answer was lost, then a proxy said 404: with the third try there were two intents.
#[test]
fn a_payment_whose_answer_was_lost_stays_the_same_whatever_is_said_later() {
    let lost = PortError::passing("server_unreachable", "lost");
    let asked = paid(&[lost.clone(), PortError::lasting("not_found", "another's answer"), lost]);
    assert!(asked.iter().all(|key| *key == asked[0]), "{asked:?}");
}

#[test]
fn a_payment_that_is_refused_at_first_is_a_new_one_when_it_is_asked_for_again() {
    let asked = paid(&[PortError::lasting("server_refused", "its address is none")]);
    assert_ne!(asked[0], asked[1]);
}
