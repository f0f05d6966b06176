//! What a listener knows of each connection: whether anything is asked on it, and whether what was answered is taken.
//!
//! Places for connections are few, and one that asks nothing can hold its place for ever in HTTP/2: it answers pings.
//! So whoever was idle for longest makes room when all places are taken. And a caller of HTTP/2 can leave an answer
//! lying by giving no flow-control window, while its connection looks alive: such a connection is closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// One connection.
pub(crate) struct Connection {
    began: Instant,
    /// Requests that are not answered to the end.
    asked: AtomicUsize,
    /// Milliseconds from its begin to the last change of `asked`.
    changed_ms: AtomicU64,
    /// Answers of which something is not taken yet.
    answers: Mutex<Vec<Weak<Answer>>>,
    leave: Notify,
    /// It ends while its caller may still send.
    listens_on: AtomicBool,
}

impl Connection {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            asked: AtomicUsize::new(0),
            changed_ms: AtomicU64::new(0),
            answers: Mutex::default(),
            leave: Notify::new(),
            listens_on: AtomicBool::new(false),
        }
    }

    fn changed(&self) {
        self.changed_ms.store(millis(self.began.elapsed()), Relaxed);
    }

    /// Notes a request, until what is given back is dropped.
    pub fn ask(self: &Arc<Self>) -> Asked {
        self.asked.fetch_add(1, Relaxed);
        self.changed();
        Asked(self.clone())
    }

    /// Since when nothing is asked on it; `None` while something is.
    pub fn idle_since(&self) -> Option<Instant> {
        let since = self.began + Duration::from_millis(self.changed_ms.load(Relaxed));
        (self.asked.load(Relaxed) == 0).then_some(since)
    }

    /// Follows an answer until the last of it is taken.
    pub fn answer(&self) -> Arc<Answer> {
        let answer = Arc::new(Answer { began: Instant::now(), moved_ms: AtomicU64::new(0) });
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded by the answers that are under way, which the protocol bounds.
        answers.retain(|answer| answer.strong_count() > 0);
        answers.push(Arc::downgrade(&answer));
        answer
    }

    /// Whether an answer lies here of which nothing was taken for so long.
    pub fn is_stalled(&self, time_max: Duration) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().filter_map(Weak::upgrade).any(|answer| answer.stood() >= time_max)
    }

    /// Its present answer is the last, and its caller may not have sent the whole body yet.
    pub fn listen_on(&self) {
        self.listens_on.store(true, Relaxed);
    }

    pub fn listens_on(&self) -> bool {
        self.listens_on.load(Relaxed)
    }

    /// Comes back when the place is wanted by someone else.
    pub async fn told_to_leave(&self) {
        self.leave.notified().await;
    }
}

/// A request under way.
pub(crate) struct Asked(Arc<Connection>);

impl Asked {
    pub fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.changed();
        self.0.asked.fetch_sub(1, Relaxed);
    }
}

/// An answer under way: held by its body and by each piece of it until the connection has sent that.
pub(crate) struct Answer {
    began: Instant,
    moved_ms: AtomicU64,
}

impl Answer {
    /// A piece of it is on its way.
    pub fn moved(&self) {
        self.moved_ms.store(millis(self.began.elapsed()), Relaxed);
    }

    /// More of it has to be made first: what stands is not its reader.
    pub fn waits(&self) {
        self.moved_ms.store(u64::MAX, Relaxed);
    }

    fn stood(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.moved_ms.load(Relaxed)))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The connections of a listener.
#[derive(Default)]
pub(crate) struct Connections {
    next: AtomicU64,
    all: Mutex<HashMap<u64, Arc<Connection>>>,
}

impl Connections {
    pub fn enter(self: &Arc<Self>) -> Entered {
        let (number, connection) = (self.next.fetch_add(1, Relaxed), Arc::new(Connection::new()));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(number, connection.clone());
        Entered { number, connection, of: self.clone() }
    }

    pub fn count(&self) -> usize {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Tells up to `count` connections to leave, those that were idle for longest.
    pub fn make_room(&self, count: usize) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle: Vec<_> =
            all.values().filter_map(|connection| Some((connection.idle_since()?, connection))).collect();
        if idle.len() > count {
            idle.select_nth_unstable_by_key(count, |(since, _)| *since);
        }
        for (_, connection) in idle.into_iter().take(count) {
            connection.leave.notify_one();
        }
    }
}

/// A connection's place among the others.
pub(crate) struct Entered {
    number: u64,
    pub connection: Arc<Connection>,
    of: Arc<Connections>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.of.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn whoever_was_idle_for_longest_makes_room_and_nobody_who_asks() {
        let all = Arc::new(Connections::default());
        let entered: Vec<_> = (0..4)
            .map(|_| {
                let entered = all.enter();
                std::thread::sleep(Duration::from_millis(3));
                entered
            })
            .collect();
        let _busy = entered[0].connection.ask();
        drop(entered[1].connection.ask());
        all.make_room(2);
        let left = entered.iter().map(|entered| entered.connection.told_to_leave().now_or_never().is_some());
        assert_eq!(left.collect::<Vec<_>>(), [false, false, true, true]);
        drop(entered);
        assert!(all.all.lock().unwrap().is_empty());
    }

    #[test]
    fn an_answer_is_stalled_while_nothing_of_it_is_taken() {
        let connection = Connection::new();
        let answer = connection.answer();
        std::thread::sleep(Duration::from_millis(30));
        assert!(connection.is_stalled(Duration::from_millis(20)));
        answer.moved();
        assert!(!connection.is_stalled(Duration::from_millis(20)));
        answer.waits();
        std::thread::sleep(Duration::from_millis(30));
        assert!(!connection.is_stalled(Duration::from_millis(20)), "its reader is not to blame");
        answer.moved();
        std::thread::sleep(Duration::from_millis(30));
        drop(answer);
        assert!(!connection.is_stalled(Duration::from_millis(20)), "it is gone");
    }
}
