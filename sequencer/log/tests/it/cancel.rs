//! Statements of the writer that an operator, or a time-out, ends at any moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stateset_event_log::EventLog;
use stateset_postgres::shared;

use crate::events::{part, stream};
use crate::postgres::{fresh, writer};

const TIME: Duration = Duration::from_secs(4);

/// Many statements at the server for each round trip of the test.
const CANCELS: &str = "DO $$ BEGIN FOR i IN 1..300 LOOP \
    PERFORM pg_cancel_backend(backend_pid) FROM sequencer_writer; PERFORM pg_sleep(0.0005); END LOOP; END $$";

#[test]
fn a_turn_that_is_cancelled_at_any_step_is_whole_or_was_never_there() {
    let (database, store) = fresh("a");
    let mut log = writer(&store);
    log.append(&[part(1, 1, 1), part(2, 1, 1)]).expect("append");
    let is_over = AtomicBool::new(false);
    let (mut undone, mut unclear) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                shared().sql(&database, CANCELS);
            }
        });
        let (started, mut head) = (Instant::now(), 1);
        while started.elapsed() < TIME {
            let error = match log.append(&[part(1, head + 1, 2), part(2, head + 1, 2)]) {
                Ok(()) => {
                    head += 2;
                    continue;
                }
                Err(error) => error,
            };
            let count = "SELECT (SELECT count(*) FROM ves_events WHERE stream = 1), \
                         (SELECT count(*) FROM ves_events WHERE stream = 2)";
            if error.changed_nothing() {
                undone += 1;
                assert_eq!(shared().sql(&database, count), format!("{head}|{head}"), "{error}");
            }
            if error.ends_writer() {
                unclear += 1;
                log = loop {
                    if let Ok(stateset_event_log::PostgresOpening::Writer(log)) = store.open_log() {
                        break *log;
                    }
                };
                let found = log.reader().head(&stream(1)).expect("head").0;
                assert!(found == head || found == head + 2, "{head} {found}");
                assert_eq!(log.reader().head(&stream(2)).expect("head").0, found, "half a turn");
                head = found;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(undone > 0, "no turn was cancelled ({unclear} unclear)");
}

#[test]
fn a_session_that_writes_only_reads_outside_its_transactions() {
    let (database, store) = fresh("a");
    let mut log = writer(&store);
    // What the writer's session is set to, as a trigger of the test's own sees it.
    shared().sql(
        &database,
        "CREATE TABLE seen (value text); CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO seen VALUES (current_setting('default_transaction_read_only')); RETURN NULL; END $$; \
         CREATE TRIGGER look AFTER INSERT ON ves_events FOR EACH STATEMENT EXECUTE FUNCTION look()",
    );
    log.append(&[part(1, 1, 1)]).expect("append");
    assert_eq!(shared().sql(&database, "SELECT value FROM seen"), "on");
}
