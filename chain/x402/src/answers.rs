//! Answers that were paid for, kept while a repeat can come: a client that lost one asks again with the same header.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use crate::record::PaymentKey;

/// Payments with a place at once; beyond it the oldest that were taken go, and are served anew for a repeat, which costs no second
/// payment. Where all are under way payments are turned away.
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
    /// Whether its payment was taken when somebody who knew left last.
    is_taken: bool,
    /// Of the answer, once it is kept.
    bytes: usize,
    /// At most [`NAMES_MAX`].
    names: Vec<String>,
}

impl Slot {
    /// Whether anybody is in the place. Places are given out, and left, under the lock alone.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.place) > 1
    }
}

#[derive(Default)]
struct Inside {
    slots: HashMap<PaymentKey, Slot>,
    /// A name is its payer's: two payers may have the same.
    names: HashMap<(Address, String), (PaymentKey, B256)>,
    /// Payments whose answers are kept, oldest first.
    kept: VecDeque<PaymentKey>,
    /// Payments that were taken, oldest first.
    taken: VecDeque<PaymentKey>,
    /// Of all of them.
    bytes: usize,
}

/// The answers of one gate.
#[derive(Default)]
pub struct Answers(Mutex<Inside>);

impl Answers {
    /// The place of the answer to this request with this payment, which is [left](Self::leave) afterwards. `now_s` and `until_s`
    /// in Unix seconds.
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
        let is_full = inside.slots.len() >= ANSWERS_MAX && !inside.slots.contains_key(&key);
        if is_full && !inside.forget_oldest() {
            return Err(NoPlace::Full);
        }
        let place = match inside.slots.get(&key) {
            Some(slot) if slot.fingerprint != fingerprint => return Err(NoPlace::OtherRequest),
            Some(slot) if slot.names.len() >= NAMES_MAX && is_new(slot) => return Err(NoPlace::OtherRequest),
            Some(slot) => slot.place.clone(),
            None => {
                let place = Place::default();
                let (is_taken, names) = (false, Vec::new());
                let slot = Slot { fingerprint, until_s, place: place.clone(), is_taken, bytes: 0, names };
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

    /// Leaves a place. Where its payment is not taken and nobody else is in it the place is gone, and the same authorization
    /// may be brought for something else: what costs its payer nothing takes no room. Who waits in it keeps it, so that all who
    /// bring one payment stay in one place. `is_taken` is `None` for who does not know.
    pub fn leave(&self, key: &PaymentKey, place: Place, is_taken: Option<bool>) {
        let mut guard = self.inside();
        let inside = &mut *guard;
        // Under the lock: of two who leave at once one is the last.
        drop(place);
        let Some(slot) = inside.slots.get_mut(key) else { return };
        let was_taken = slot.is_taken;
        slot.is_taken = is_taken.unwrap_or(was_taken);
        if slot.is_taken && !was_taken {
            inside.taken.push_back(*key);
        } else if !slot.is_taken && slot.bytes == 0 && !slot.is_held() {
            inside.remove(key);
        }
    }

    /// Forgets an answer whose payment the chain has undone for good: it is not given again.
    pub fn take_back(&self, key: &PaymentKey, place: &mut Option<Kept>) {
        *place = None;
        let mut guard = self.inside();
        let inside = &mut *guard;
        if let Some(slot) = inside.slots.get_mut(key) {
            slot.is_taken = false;
            inside.bytes -= std::mem::take(&mut slot.bytes);
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn remove(&mut self, key: &PaymentKey) {
        let Some(slot) = self.slots.remove(key) else { return };
        self.bytes -= slot.bytes;
        for name in slot.names {
            let name = (key.from, name);
            if self.names.get(&name).is_some_and(|(held, _)| held == key) {
                self.names.remove(&name);
            }
        }
    }

    /// Makes room: the oldest payment that was taken, and in whose place nobody is, goes. Whether there was one.
    fn forget_oldest(&mut self) -> bool {
        // Each is looked at once.
        for _ in 0..self.taken.len() {
            let Some(oldest) = self.taken.pop_front() else { return false };
            match self.slots.get(&oldest) {
                Some(slot) if slot.is_taken && slot.is_held() => self.taken.push_back(oldest),
                Some(slot) if slot.is_taken => {
                    self.remove(&oldest);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn forget(&mut self, now_s: u64) {
        self.slots.retain(|_, slot| slot.until_s >= now_s || slot.is_held());
        let slots = &self.slots;
        self.names.retain(|_, (key, _)| slots.contains_key(key));
        self.kept.retain(|key| slots.contains_key(key));
        self.taken.retain(|key| slots.contains_key(key));
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
        answers.leave(&key(1), first, Some(false));
        answers.leave(&key(1), again, Some(false));
        assert!(answers.place(key(2), other, Some("order-0123456789"), (10, 20)).is_ok());
    }

    #[test]
    fn a_place_stays_while_anybody_is_in_it_and_where_something_was_sold() {
        let answers = Answers::default();
        let place = || answers.place(key(1), B256::ZERO, Some("order-0123456789"), (10, 20)).unwrap();
        let (first, waits) = (place(), place());
        answers.leave(&key(1), first, Some(false));
        let late = place();
        assert!(Arc::ptr_eq(&waits, &late), "one payment, one place");
        answers.leave(&key(1), waits, Some(false));
        answers.leave(&key(1), late, Some(false));
        assert!(answers.inside().slots.is_empty() && answers.inside().names.is_empty());
        answers.leave(&key(1), place(), Some(true));
        answers.leave(&key(1), place(), None);
        assert_eq!(answers.inside().slots.len(), 1, "its payment is taken");
        let held = place();
        answers.inside().forget(21);
        assert_eq!(answers.inside().slots.len(), 1, "ended, and somebody is in it");
        let kept = Kept { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
        answers.keep(&key(1), &mut held.try_lock().unwrap(), kept, 10);
        answers.leave(&key(1), held, Some(false));
        assert_eq!(answers.inside().slots.len(), 1, "it has an answer");
        answers.inside().forget(21);
        assert!(answers.inside().slots.is_empty() && answers.inside().names.is_empty());
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

    /// Ten thousand cheap payments with a day's validity shut the gate for everybody else.
    #[test]
    fn the_oldest_that_were_taken_make_room() {
        let answers = Answers::default();
        let place =
            |nonce: u64| answers.place(key(nonce), B256::ZERO, Some(&format!("order-{nonce}")), (10, 20));
        for nonce in 0..ANSWERS_MAX as u64 {
            answers.leave(&key(nonce), place(nonce).unwrap(), Some(true));
        }
        let held = place(0).unwrap();
        assert!(place(ANSWERS_MAX as u64).is_ok());
        let inside = answers.inside();
        let has = |nonce| inside.slots.contains_key(&key(nonce));
        assert_eq!((has(0), has(1), has(2)), (true, false, true), "somebody is in the first");
        assert_eq!((inside.slots.len(), inside.names.len()), (ANSWERS_MAX, ANSWERS_MAX));
        drop(held);
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
        // What has run out counts no more.
        drop(places);
        let mut inside = answers.inside();
        inside.forget(21);
        assert_eq!((inside.bytes, inside.kept.len()), (0, 0));
    }
}
