//! The requests that are being answered, so that a stop can say which it cut off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{Method, Uri};

/// Parts of the list, so that requests of several threads do not wait for one another.
const PARTS: usize = 16;
/// Requests that are named in the log of a stop; the others are counted.
const NAMED_MAX: usize = 10;

/// Clones share it.
#[derive(Clone)]
pub(crate) struct InFlight(Arc<Shared>);

struct Shared {
    next: AtomicU64,
    parts: [Mutex<HashMap<u64, Request>>; PARTS],
}

struct Request {
    method: Method,
    uri: Uri,
    since: Instant,
}

/// One request under way; it ends with the drop.
pub(crate) struct Pass {
    list: InFlight,
    number: u64,
}

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(Shared { next: AtomicU64::new(0), parts: Default::default() }))
    }
}

impl InFlight {
    pub fn enter(&self, method: &Method, uri: &Uri) -> Pass {
        let number = self.0.next.fetch_add(1, Relaxed);
        let request = Request { method: method.clone(), uri: uri.clone(), since: Instant::now() };
        self.part(number).insert(number, request);
        Pass { list: self.clone(), number }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        (0..PARTS as u64).map(|part| self.part(part).len()).sum()
    }

    /// The oldest ones: method, path and age. Queries are left out, since they may hold what no log should.
    pub fn oldest(&self) -> Vec<String> {
        let mut found = Vec::new();
        for part in 0..PARTS as u64 {
            let part = self.part(part);
            found.extend(
                part.values()
                    .map(|request| (request.since, format!("{} {}", request.method, request.uri.path()))),
            );
        }
        found.sort_unstable();
        found.truncate(NAMED_MAX);
        let named =
            found.into_iter().map(|(since, name)| format!("{name} ({:.1} s)", since.elapsed().as_secs_f64()));
        named.collect()
    }

    fn part(&self, number: u64) -> MutexGuard<'_, HashMap<u64, Request>> {
        self.0.parts[number as usize % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.list.part(self.number).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_listed_without_its_query_until_it_ends() {
        let list = InFlight::default();
        let first = list.enter(&Method::GET, &Uri::from_static("/api/v1/head?secret=1"));
        let others: Vec<Pass> =
            (0..40).map(|_| list.enter(&Method::POST, &Uri::from_static("/slow"))).collect();
        assert_eq!((list.count(), list.oldest().len()), (41, NAMED_MAX));
        assert!(list.oldest()[0].starts_with("GET /api/v1/head ("), "{:?}", list.oldest());
        drop((first, others));
        assert_eq!((list.count(), list.oldest()), (0, Vec::new()));
    }
}
