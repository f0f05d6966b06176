//! Answers that were paid for, kept while a repeat can come: a client that lost one asks again with the same header.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use crate::record::PaymentKey;

/// Answers kept at once; beyond it payments are turned away until some have run out.
pub const ANSWERS_MAX: usize = 10_000;
/// Longest body that is kept. A longer one is made anew for a repeat, which costs no second payment.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// An answer as it was given.
#[derive(Debug, Clone)]
pub struct Kept {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Held while the answer is made: who brings the same payment meanwhile waits for it.
pub type Place = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// Why a payment gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The same payment was brought for something else.
    OtherRequest,
    /// The client's name for the payment is that of another payment.
    OtherPayment,
    Full,
}

struct Slot {
    /// Of the request and the payment.
    fingerprint: B256,
    until_s: u64,
    place: Place,
}

#[derive(Default)]
struct Inside {
    slots: HashMap<PaymentKey, Slot>,
    names: HashMap<String, (PaymentKey, B256)>,
}

/// The answers of one gate.
#[derive(Default)]
pub struct Answers(Mutex<Inside>);

impl Answers {
    /// The place of the answer to this request with this payment. `now_s` and `until_s` in Unix seconds.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn place(
        &self,
        key: PaymentKey,
        fingerprint: B256,
        name: Option<&str>,
        (now_s, until_s): (u64, u64),
    ) -> Result<Place, NoPlace> {
        let mut guard = self.inside();
        let inside = &mut *guard;
        if inside.slots.len() >= ANSWERS_MAX {
            inside.forget(now_s);
        }
        if let Some(held) = name.and_then(|name| inside.names.get(name))
            && *held != (key, fingerprint)
            && inside.slots.get(&held.0).is_some_and(|slot| slot.until_s >= now_s)
        {
            return Err(NoPlace::OtherPayment);
        }
        let place = match inside.slots.get(&key) {
            Some(slot) if slot.fingerprint != fingerprint => return Err(NoPlace::OtherRequest),
            Some(slot) => slot.place.clone(),
            None if inside.slots.len() >= ANSWERS_MAX => return Err(NoPlace::Full),
            None => {
                let place = Place::default();
                inside.slots.insert(key, Slot { fingerprint, until_s, place: place.clone() });
                place
            }
        };
        if let Some(name) = name {
            inside.names.insert(name.to_owned(), (key, fingerprint));
        }
        Ok(place)
    }

    /// Nothing was sold under it: the same authorization may be brought for something else.
    pub fn give_up(&self, key: &PaymentKey) {
        let mut inside = self.inside();
        inside.slots.remove(key);
        inside.names.retain(|_, (held, _)| held != key);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn forget(&mut self, now_s: u64) {
        self.slots.retain(|_, slot| slot.until_s >= now_s);
        let slots = &self.slots;
        self.names.retain(|_, (key, _)| slots.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    fn key(nonce: u64) -> PaymentKey {
        PaymentKey {
            chain_id: 1,
            token: Address::ZERO,
            from: Address::ZERO,
            nonce: alloy_primitives::U256::from(nonce).into(),
        }
    }

    #[test]
    fn a_payment_answers_one_request_and_a_name_names_one_payment() {
        let answers = Answers::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let first = answers.place(key(1), one, Some("order-0123456789"), (10, 20)).unwrap();
        let again = answers.place(key(1), one, Some("order-0123456789"), (10, 20)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(answers.place(key(1), other, None, (10, 20)).err(), Some(NoPlace::OtherRequest));
        let taken = answers.place(key(2), other, Some("order-0123456789"), (10, 20));
        assert_eq!(taken.err(), Some(NoPlace::OtherPayment));
        answers.give_up(&key(1));
        assert!(answers.place(key(2), other, Some("order-0123456789"), (10, 20)).is_ok());
    }

    #[test]
    fn a_full_gate_turns_away_until_answers_run_out() {
        let answers = Answers::default();
        for nonce in 0..ANSWERS_MAX as u64 {
            answers.place(key(nonce), B256::ZERO, None, (10, 20)).unwrap();
        }
        let beyond = key(ANSWERS_MAX as u64);
        assert_eq!(answers.place(beyond, B256::ZERO, None, (20, 30)).err(), Some(NoPlace::Full));
        assert!(answers.place(beyond, B256::ZERO, None, (21, 30)).is_ok());
    }
}
