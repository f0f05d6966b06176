//! Answers that were paid for, kept while a repeat can come: a client that lost one asks again with the same header.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use crate::record::PaymentKey;

/// Answers kept at once; beyond it payments are turned away until some have run out.
pub const ANSWERS_MAX: usize = 10_000;
/// Longest body that is kept. A longer one is made anew for a repeat, which costs no second payment.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of all answers that are kept. At this bound the oldest go first: they are made anew for a repeat, too.
pub const KEPT_BYTES_MAX: usize = 64 << 20;
/// Names under which one payment is brought: a client has one for each purchase, and a few where it is careless.
pub const NAMES_MAX: usize = 4;
/// What an answer takes beside its body and its headers' texts.
const KEPT_BYTES_MIN: usize = 256;

/// An answer as it was given.
#[derive(Debug, Clone)]
pub struct Kept {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Kept {
    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        let of_header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            name.as_str().len() + value.len()
        };
        KEPT_BYTES_MIN + self.body.len() + self.headers.iter().map(of_header).sum::<usize>()
    }
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
    /// Of the answer, once it is kept.
    bytes: usize,
    /// At most [`NAMES_MAX`].
    names: Vec<String>,
}

#[derive(Default)]
struct Inside {
    slots: HashMap<PaymentKey, Slot>,
    /// A name is its payer's: two payers may have the same.
    names: HashMap<(Address, String), (PaymentKey, B256)>,
    /// Payments whose answers are kept, oldest first.
    kept: VecDeque<PaymentKey>,
    /// Of all of them.
    bytes: usize,
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
        let name = name.map(|name| (key.from, name.to_owned()));
        if let Some(held) = name.as_ref().and_then(|name| inside.names.get(name))
            && *held != (key, fingerprint)
            && inside.slots.get(&held.0).is_some_and(|slot| slot.until_s >= now_s)
        {
            return Err(NoPlace::OtherPayment);
        }
        let is_new = |slot: &Slot| name.as_ref().is_some_and(|(_, name)| !slot.names.contains(name));
        let place = match inside.slots.get(&key) {
            Some(slot) if slot.fingerprint != fingerprint => return Err(NoPlace::OtherRequest),
            Some(slot) if slot.names.len() >= NAMES_MAX && is_new(slot) => return Err(NoPlace::OtherRequest),
            Some(slot) => slot.place.clone(),
            None if inside.slots.len() >= ANSWERS_MAX => return Err(NoPlace::Full),
            None => {
                let place = Place::default();
                let slot = Slot { fingerprint, until_s, place: place.clone(), bytes: 0, names: Vec::new() };
                inside.slots.insert(key, slot);
                place
            }
        };
        if let Some(name) = name
            && let Some(slot) = inside.slots.get_mut(&key)
        {
            if !slot.names.contains(&name.1) {
                slot.names.push(name.1.clone());
            }
            inside.names.insert(name, (key, fingerprint));
        }
        Ok(place)
    }

    /// Keeps an answer in its place, which its maker holds, and forgets old ones where all together take too much.
    pub fn keep(&self, key: &PaymentKey, place: &mut Option<Kept>, answer: Kept, now_s: u64) {
        let bytes = answer.bytes();
        *place = Some(answer);
        let mut guard = self.inside();
        let inside = &mut *guard;
        if let Some(slot) = inside.slots.get_mut(key) {
            slot.bytes = bytes;
            inside.bytes += bytes;
            inside.kept.push_back(*key);
        }
        if inside.bytes > KEPT_BYTES_MAX {
            inside.forget(now_s);
        }
        // Each is looked at once: one that is being read stays until the next comes.
        for _ in 0..inside.kept.len() {
            let Some(oldest) = inside.kept.front().copied().filter(|_| inside.bytes > KEPT_BYTES_MAX) else {
                return;
            };
            inside.kept.pop_front();
            let Some(slot) = inside.slots.get_mut(&oldest) else { continue };
            match slot.place.try_lock() {
                Ok(mut place) => {
                    *place = None;
                    inside.bytes -= std::mem::take(&mut slot.bytes);
                }
                Err(_) => inside.kept.push_back(oldest),
            }
        }
    }

    /// Nothing was sold under it: the same authorization may be brought for something else.
    pub fn give_up(&self, key: &PaymentKey) {
        let mut guard = self.inside();
        let inside = &mut *guard;
        if let Some(slot) = inside.slots.remove(key).filter(|slot| slot.bytes > 0) {
            inside.bytes -= slot.bytes;
            inside.kept.retain(|held| held != key);
        }
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
        self.kept.retain(|key| slots.contains_key(key));
        self.bytes = slots.values().map(|slot| slot.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
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
    fn a_payment_has_few_names_and_a_name_is_its_payers() {
        let answers = Answers::default();
        let place = |key, name: &str| answers.place(key, B256::ZERO, Some(name), (10, 20));
        for number in 0..NAMES_MAX {
            assert!(place(key(1), &format!("order-{number}")).is_ok());
        }
        assert_eq!(place(key(1), "order-more").err(), Some(NoPlace::OtherRequest));
        assert!(place(key(1), "order-0").is_ok(), "one that it has");
        assert_eq!(answers.inside().names.len(), NAMES_MAX);
        let of_other = PaymentKey { from: Address::repeat_byte(1), ..key(2) };
        assert!(place(of_other, "order-0").is_ok(), "another payer's");
        assert_eq!(place(key(3), "order-0").err(), Some(NoPlace::OtherPayment), "the same payer's");
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

    #[test]
    fn answers_take_so_much_memory_and_no_more_and_the_oldest_go_first() {
        let answers = Answers::default();
        let body = Bytes::from(vec![7; BODY_BYTES_MAX]);
        let fit = (KEPT_BYTES_MAX / (BODY_BYTES_MAX + KEPT_BYTES_MIN)) as u64;
        let answer = || Kept { status: StatusCode::OK, headers: HeaderMap::new(), body: body.clone() };
        let places: Vec<Place> = (0..fit + 3)
            .map(|nonce| {
                let place = answers.place(key(nonce), B256::ZERO, None, (10, 20)).unwrap();
                answers.keep(&key(nonce), &mut place.try_lock().unwrap(), answer(), 10);
                place
            })
            .collect();
        let is_kept = |place: &Place| place.try_lock().unwrap().is_some();
        let kept: Vec<bool> = places.iter().map(is_kept).collect();
        assert_eq!(kept.iter().filter(|kept| !**kept).count(), 3);
        assert!(!kept[0] && !kept[1] && !kept[2], "the oldest");
        assert!(answers.inside().bytes <= KEPT_BYTES_MAX);
        // What has run out, or was given up, counts no more.
        answers.give_up(&key(fit));
        let mut inside = answers.inside();
        inside.forget(21);
        assert_eq!((inside.bytes, inside.kept.len()), (0, 0));
    }
}
