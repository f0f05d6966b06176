use proptest::prelude::*;
use serde_json::json;

use super::*;

fn line(price: u64, quantity: u64) -> Line {
    Line { id: "li_1".to_owned(), item: "mug".to_owned(), title: "A mug".to_owned(), price, quantity }
}

fn mandates() -> Mandates {
    let text = |text: &str| text.to_owned();
    Mandates { checkout_hash: text("a"), checkout_reference: text("b"), payment_reference: text("c") }
}

fn paid() -> Paid {
    Paid {
        network: "eip155:1".to_owned(),
        transaction: "0x1".to_owned(),
        payer: "0xaa".to_owned(),
        amount: "10".to_owned(),
        intent_id: None,
        sequence_number: Some(1),
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let asked =
        proptest::option::of("[a-z]{1,4}").prop_map(|key| key.map(|key| Asked { key, hash: "h".to_owned() }));
    let lines = prop::collection::vec((1u64..10, 0u64..4).prop_map(|(price, n)| line(price, n)), 0..3);
    (0u8..6, asked, lines, 0u64..1000).prop_map(|(kind, asked, lines, at_s)| match kind {
        0 => Event::Created { platform: "p".to_owned(), currency: "USD".to_owned(), lines, at_s, asked },
        1 => Event::Updated { lines, at_s, asked },
        2 => Event::CompletionStarted {
            mandates: mandates(),
            payer: "0xaa".to_owned(),
            payment: json!({"nonce": "1"}),
            at_s,
            asked,
        },
        3 => Event::PaymentFailed { reason: "no".to_owned(), at_s },
        4 => Event::Completed { order: "ord_1".to_owned(), paid: paid(), at_s },
        _ => Event::Canceled { reason: "no".to_owned(), at_s, asked },
    })
}

proptest! {
    /// Whatever is tried: an order comes after mandates and payment, once, and an ended session stays as it is.
    #[test]
    fn an_order_follows_on_mandates_alone(events in prop::collection::vec(any_event(), 0..40)) {
        let (mut session, mut taken): (Option<Session>, Vec<Event>) = (None, Vec::new());
        for event in events {
            let before = session.clone();
            match apply(session.clone(), "chk", &event) {
                Ok(next) => {
                    if matches!(event, Event::Completed { .. }) {
                        let is_after = matches!(taken.last(), Some(Event::CompletionStarted { .. }));
                        prop_assert!(is_after, "an order without mandates");
                    }
                    if let Some(before) = before {
                        let is_over = matches!(before.phase, Phase::Completed { .. } | Phase::Canceled { .. });
                        prop_assert!(!is_over, "a step after the end");
                    }
                    prop_assert!(next.total() > 0);
                    session = Some(next);
                    taken.push(event);
                }
                Err(_) => prop_assert_eq!(&session, &before),
            }
        }
        let orders = taken.iter().filter(|event| matches!(event, Event::Completed { .. })).count();
        prop_assert!(orders <= 1, "{} orders", orders);
    }

    /// What the log keeps is read as it was.
    #[test]
    fn events_go_through_the_log(event in any_event()) {
        let (event_type, payload) = event.parts();
        prop_assert_eq!(Event::read(&event_type, payload), Ok(event));
    }
}

#[test]
fn an_event_that_is_not_known_is_named() {
    let error = Event::read("checkout.lost", json!({})).unwrap_err();
    assert!(error.contains("checkout.lost"), "{error}");
    let error = Event::read("checkout.canceled", json!({"reason": "x", "at_s": 1, "extra": 1})).unwrap_err();
    assert!(error.contains("extra"), "{error}");
}

#[test]
fn totals_fit_what_json_holds() {
    assert_eq!(total(&[line(1250, 2), line(499, 1)]), Some(2999));
    assert_eq!(total(&[line(1 << 52, 2)]), None);
    assert_eq!(total(&[line(u64::MAX, 2)]), None);
    let lines = vec![line(1 << 52, 2)];
    let event =
        Event::Created { platform: "p".to_owned(), currency: "USD".to_owned(), lines, at_s: 0, asked: None };
    assert_eq!(apply(None, "chk", &event), Err(StepError::Amount));
}
