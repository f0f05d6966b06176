//! A service that loses answers, or in whose place others answer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

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
    /// Whether it gives no answer about the network `slow`.
    hangs: Mutex<bool>,
    ended: Condvar,
}

impl Service for Till {
    fn payable(&self, order: &PaymentOrder) -> Result<(), PortError> {
        match order.network.as_str() {
            "mars" => Err(PortError::lasting("not_known", "\"mars\" is no network")),
            "slow" => {
                let hangs = self.hangs.lock().unwrap();
                drop(self.ended.wait_while(hangs, |hangs| *hangs).unwrap());
                Ok(())
            }
            _ => Ok(()),
        }
    }
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

fn desk_of(folder: &tempfile::TempDir, till: &Arc<Till>) -> Desk {
    let ports = Ports {
        outbox: Arc::new(Nowhere),
        entities: Arc::new(Nowhere),
        service: till.clone(),
        invoices: None,
    };
    let journal = Journal::open(&folder.path().join("mcp.db"), ves::TimestampMs(0)).unwrap();
    let mut limits = Limits::default();
    limits.set_call(Money { minor: 100_000_000, currency: "USDC".to_owned() });
    let config = DeskConfig { limits, syncer: None };
    Desk::new(ports, journal, config, Arc::new(SystemClock)).unwrap()
}

fn paid(fails: &[PortError]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let till = Arc::new(Till { fails: Mutex::new(fails.iter().cloned().collect()), ..Till::default() });
    let desk = desk_of(&folder, &till);
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

/// A person was asked about a payment that nobody could make.
#[test]
fn what_can_not_be_paid_is_refused_before_a_person_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk_of(&folder, &Arc::default());
    let arguments = json!({
        "payee_address": "0x1111111111111111111111111111111111111111", "amount": "9000.00", "asset": "usdc",
        "network": "mars",
    });
    let refused = desk.call("payment_intent_create", arguments.as_object().cloned());
    assert!(
        matches!(&refused, Err(CallError::Refused(refusal)) if refusal.code == "not_known"),
        "{refused:?}"
    );
}

/// A person's approval was called failed, though its payment had been taken: approved anew, it was made twice.
#[test]
fn an_approval_whose_answer_was_lost_does_not_fail_by_what_is_said_later() {
    let folder = tempfile::tempdir().unwrap();
    let fails = [
        PortError::lasting("not_allowed", "who are you?"),
        PortError::passing("server_unreachable", "lost"),
        PortError::lasting("server_refused", "another's answer"),
        PortError::lasting("not_allowed", "a revoked key"),
    ];
    let till = Arc::new(Till { fails: Mutex::new(fails.into()), ..Till::default() });
    let desk = desk_of(&folder, &till);
    let arguments = json!({
        "payee_address": "0x1111111111111111111111111111111111111111", "amount": "900.00", "asset": "usdc",
        "network": "base_sepolia",
    });
    let waits = desk.call("payment_intent_create", arguments.as_object().cloned()).unwrap();
    let id = waits["approval"]["approval_id"].as_str().unwrap().to_owned();
    for _ in 0..4 {
        assert!(desk.approve(&id).is_err());
        assert_eq!(desk.approval(&id).unwrap().state, ApprovalState::Approved);
    }
    assert_eq!(desk.approve(&id).unwrap().state, ApprovalState::Approved);
    let asked = till.asked.lock().unwrap().clone();
    // Of the first try the service said that it was not let in: nothing was done.
    assert!(asked[1..].iter().all(|key| *key == asked[1]), "{asked:?}");
}

/// The turn to write was held while the service was asked.
#[test]
fn a_service_that_hangs_holds_up_nobody_else_s_turn() {
    let folder = tempfile::tempdir().unwrap();
    let till = Arc::new(Till { hangs: Mutex::new(true), ..Till::default() });
    let desk = Arc::new(desk_of(&folder, &till));
    let pay = |network: &str, key: &str| {
        let (desk, network, key) = (Arc::clone(&desk), network.to_owned(), key.to_owned());
        std::thread::spawn(move || {
            let arguments = json!({
                "payee_address": "0x1111111111111111111111111111111111111111", "amount": "9.00", "asset": "usdc",
                "network": network, "idempotency_key": key,
            });
            desk.call("payment_intent_create", arguments.as_object().cloned())
        })
    };
    let waits = pay("slow", "a");
    std::thread::sleep(Duration::from_millis(100));
    let other = pay("base_sepolia", "b");
    let begun = std::time::Instant::now();
    while !other.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it waits for the other's answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!waits.is_finished() && other.join().unwrap().is_ok());
    *till.hangs.lock().unwrap() = false;
    till.ended.notify_all();
    assert!(waits.join().unwrap().is_ok());
}
