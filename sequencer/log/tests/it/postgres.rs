//! A PostgreSQL log, its writers and their servers.

use std::time::{Duration, Instant};

use stateset_event_log::{
    BodyChange, Document, DocumentChange, EventLog, EventStore, Holder, LogError, LogErrorKind, LogReader,
    Opening, PeerSecret, PoolSizes, PostgresConfig, PostgresLog, PostgresOpening, PostgresStore, Table,
};
use stateset_postgres::{Server, Settings, shared};
use ves::SequenceNumber;

use crate::events::{numbers, part, part_of, stream};

fn config(url: String, instance: &str) -> PostgresConfig {
    let rest = Some(format!("http://{instance}:8080"));
    let secret = Some(secret_of(instance));
    let holder = Holder { instance: instance.to_owned(), rest, grpc: None, secret };
    PostgresConfig { allow_insecure_local: true, startup_retries_max: 0, ..PostgresConfig::new(url, holder) }
}

fn secret_of(instance: &str) -> PeerSecret {
    let mut bytes = [7; 32];
    bytes[..instance.len()].copy_from_slice(instance.as_bytes());
    PeerSecret::new(bytes)
}

fn store(url: String, instance: &str) -> PostgresStore {
    PostgresStore::new(config(url, instance)).expect("configuration")
}

pub fn fresh(instance: &str) -> (String, PostgresStore) {
    let database = shared().database();
    let store = store(shared().url(&database), instance);
    (database, store)
}

pub fn writer(store: &PostgresStore) -> PostgresLog {
    match store.open_log().expect("open") {
        PostgresOpening::Writer(log) => *log,
        PostgresOpening::Held(holder) => panic!("held by {holder:?}"),
    }
}

fn holder(store: &PostgresStore) -> Option<Holder> {
    match store.open_log().expect("open") {
        PostgresOpening::Writer(_) => None,
        PostgresOpening::Held(holder) => Some(holder),
    }
}

#[test]
fn a_postgres_log_is_an_event_log() {
    let (_, store) = fresh("a");
    stateset_event_log::check_event_log(|| match store.open().expect("open") {
        Opening::Writer(log) => log,
        Opening::Held(holder) => panic!("held by {holder:?}"),
    });
}

#[test]
fn a_postgres_log_is_an_event_log_over_a_socket() {
    let database = shared().database();
    let store = store(shared().socket_url(&database), "a");
    stateset_event_log::check_event_log(|| Box::new(writer(&store)));
}

#[test]
fn one_process_writes_and_the_others_learn_who() {
    let (database, a) = fresh("a");
    let b = store(shared().url(&database), "b");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 3)]).expect("append");
    let started = Instant::now();
    let holder = holder(&b).expect("held");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!((holder.instance.as_str(), holder.rest.as_deref()), ("a", Some("http://a:8080")));
    assert_eq!(holder.secret, Some(secret_of("a")), "what the writer believes its peers by");
    assert!(!format!("{holder:?}").contains("07"), "{holder:?}");
    Box::new(log).close().expect("close");
    let mut log = writer(&b);
    assert_eq!(numbers(&*log.reader(), 1), [1, 2, 3]);
    log.append(&[part(1, 4, 1)]).expect("the next writer goes on");
}

#[test]
fn a_writer_whose_epoch_is_over_replaces_no_body() {
    let (database, a) = fresh("a");
    let mut old = writer(&a);
    old.append(&[part(1, 1, 3)]).expect("append");
    let stored = old.reader().read(&stream(1), SequenceNumber(2), 1, usize::MAX).expect("read").remove(0);
    let change = BodyChange {
        sequence_number: SequenceNumber(2),
        new: stored.record().expect("a record").sealed(b"blob").into(),
        old: stored.body.clone().into(),
    };
    shared().sql(&database, "UPDATE sequencer_writer SET epoch = epoch + 1, instance = 'b'");
    let error = old.replace_bodies(&stream(1), &[change]).expect_err("fenced");
    assert_eq!(error.kind(), LogErrorKind::Fenced);
    let now = old.reader().read(&stream(1), SequenceNumber(2), 1, usize::MAX).expect("read").remove(0);
    assert_eq!(now, stored);
}

#[test]
fn a_writer_whose_epoch_is_over_writes_nothing() {
    let (database, a) = fresh("a");
    let mut old = writer(&a);
    old.append(&[part(1, 1, 3)]).expect("append");
    let epoch = old.epoch();
    // Taken over while the old writer still has its session.
    shared().sql(&database, "UPDATE sequencer_writer SET epoch = epoch + 1, instance = 'b'");
    let error = old.append(&[part(1, 4, 2), part(2, 1, 1)]).expect_err("fenced");
    assert_eq!(error.kind(), LogErrorKind::Fenced);
    assert!(error.changed_nothing() && error.ends_writer());
    for again in [old.append(&[part(1, 4, 1)]), old.maintenance(), old.set_meta("n", b"v")] {
        assert_eq!(again.expect_err("over for good").kind(), LogErrorKind::Fenced);
    }
    assert_eq!(shared().sql(&database, "SELECT count(*), max(stream) FROM ves_events"), "3|1");
    assert_eq!(shared().sql(&database, "SELECT count(*) FROM settings"), "0");
    drop(old);
    let log = writer(&store(shared().url(&database), "b"));
    assert_eq!(log.epoch(), epoch + 2, "an epoch is never used again");
}

#[test]
fn a_take_over_waits_for_the_turn_that_is_being_written() {
    let (database, a) = fresh("a");
    let mut old = writer(&a);
    old.append(&[part(1, 1, 1)]).expect("append");
    // A turn under way: it passed the fence and did not commit yet.
    let server = shared();
    let (name, url) = (database.clone(), server.url(&database));
    let turn = std::thread::spawn(move || {
        let sql = "BEGIN; SELECT sequencer_fence(1); SELECT pg_sleep(0.7); \
                   INSERT INTO ves_events SELECT 2, 0, 1, stream, NULL, body FROM ves_events; COMMIT;";
        server.sql(&name, sql);
    });
    std::thread::sleep(Duration::from_millis(300));
    server.sql(&database, "UPDATE sequencer_writer SET renewed_at = NULL");
    let log = writer(&store(url, "b"));
    assert_eq!(numbers(&*log.reader(), 1), [1, 2], "what was committed before the take-over is seen by it");
    turn.join().expect("the turn");
}

#[test]
fn the_death_of_a_writer_frees_the_log_at_once() {
    let database = shared().database();
    let long = PostgresConfig { lease_ms: 600_000, ..config(shared().url(&database), "a") };
    let mut old = writer(&PostgresStore::new(long).expect("configuration"));
    old.append(&[part(1, 1, 3)]).expect("append");
    let b = store(shared().url(&database), "b");
    assert!(holder(&b).is_some());
    // As when its process is killed: the server notices the end of the connection.
    shared().sql(&database, "SELECT pg_terminate_backend(backend_pid) FROM sequencer_writer");
    let started = Instant::now();
    // The server ends the session in its own time, soon; the lease would hold for minutes.
    let mut log = loop {
        match b.open_log().expect("open") {
            PostgresOpening::Writer(log) => break log,
            PostgresOpening::Held(holder) => {
                assert!(started.elapsed() < Duration::from_secs(20), "still held by {holder:?}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    };
    log.append(&[part(1, 4, 1)]).expect("append");
    let error = old.append(&[part(1, 4, 1)]).expect_err("its session is gone");
    assert!(error.ends_writer(), "{error}");
    assert_eq!(numbers(&*log.reader(), 1), [1, 2, 3, 4]);
}

#[test]
fn a_writer_that_does_not_renew_loses_the_log() {
    let (database, _) = fresh("-");
    let url = shared().url(&database);
    let short = |instance| {
        PostgresStore::new(PostgresConfig { lease_ms: 600, ..config(url.clone(), instance) })
            .expect("configuration")
    };
    let (a, b) = (short("a"), short("b"));
    let mut old = writer(&a);
    old.append(&[part(1, 1, 3)]).expect("append");
    // Renewed, it keeps the log beyond the lease.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        old.maintenance().expect("maintenance");
    }
    assert!(holder(&b).is_some(), "a writer that renews keeps the log");
    // From here it stands still, as on a machine that hangs; its session stays.
    std::thread::sleep(Duration::from_millis(700));
    let mut log = writer(&b);
    log.append(&[part(1, 4, 1)]).expect("append");
    let error = old.append(&[part(1, 4, 1)]).expect_err("over");
    assert!(error.ends_writer(), "{error}");
    assert_eq!(numbers(&*log.reader(), 1), [1, 2, 3, 4]);
    assert!(holder(&a).is_some(), "and the other one has it");
}

#[test]
fn a_hold_counts_as_over_before_another_may_take_it() {
    let database = shared().database();
    let short = PostgresConfig { lease_ms: 3_000, ..config(shared().url(&database), "a") };
    let store = PostgresStore::new(short).expect("configuration");
    let mut log = writer(&store);
    log.append(&[part(1, 1, 3)]).expect("append");
    let tenure = log.tenure().expect("others may take over");
    assert!(tenure.is_sure());
    let since = Instant::now();
    while tenure.is_sure() {
        assert!(since.elapsed() < Duration::from_secs(30), "nobody renewed it");
        std::thread::sleep(Duration::from_millis(1));
    }
    let left =
        "SELECT renewed_at + lease_ms * interval '1 millisecond' > clock_timestamp() FROM sequencer_writer";
    assert_eq!(shared().sql(&database, left), "t", "for the others it still holds the log");
    log.maintenance().expect("it renews");
    assert!(tenure.is_sure(), "nobody had taken it");
    shared().sql(&database, "UPDATE sequencer_writer SET epoch = epoch + 1, instance = 'b'");
    log.append(&[part(1, 4, 1)]).expect_err("fenced");
    assert!(!tenure.is_sure(), "and over for good");
}

#[test]
fn of_many_that_want_an_abandoned_log_one_gets_it() {
    let (database, _) = fresh("-");
    let url = shared().url(&database);
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let store = store(url.clone(), &format!("instance-{n}"));
            std::thread::spawn(move || match store.open_log().expect("open") {
                // All of them started together over an empty database: one migrated it.
                PostgresOpening::Writer(log) => Some(log),
                PostgresOpening::Held(_) => None,
            })
        })
        .collect();
    let writers: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().expect("thread")).collect();
    assert_eq!(writers.len(), 1);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (database, a) = fresh("a");
    drop(writer(&a));
    shared().sql(&database, "INSERT INTO schema_migrations VALUES (99, 'later')");
    for error in [a.open_log().err(), a.reader().err()] {
        let error = error.expect("newer");
        assert!(matches!(error, LogError::NewerSchema { found: 99, .. }), "{error}");
        assert!(error.to_string().contains(&database), "{error}");
    }
}

#[test]
fn an_older_schema_is_refused_where_migrations_are_off() {
    let database = shared().database();
    let off = PostgresConfig { migrate_on_startup: false, ..config(shared().url(&database), "a") };
    let error = PostgresStore::new(off).expect("configuration").open_log().err().expect("older");
    assert!(error.to_string().contains("migrate"), "{error}");
    assert_eq!(shared().sql(&database, "SELECT count(*) FROM pg_class WHERE relname = 'ves_events'"), "0");
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let (database, _) = fresh("-");
    let nowhere = store(format!("postgresql://postgres@127.0.0.1:1/{database}?sslmode=disable"), "a");
    assert_eq!(nowhere.open_log().err().expect("no server").kind(), LogErrorKind::Unavailable);
    let unknown = store(shared().url("no_such_database"), "a");
    let error = unknown.open_log().err().expect("no database");
    assert!(error.to_string().contains("no_such_database"), "{error}");
}

#[test]
fn a_database_without_tls_is_not_spoken_to_where_tls_is_required() {
    let (database, _) = fresh("-");
    let url = shared().url(&database).replace("sslmode=disable", "sslmode=require");
    assert_eq!(store(url, "a").open_log().err().expect("no TLS").kind(), LogErrorKind::Unavailable);
    let insecure = PostgresConfig { allow_insecure_local: false, ..config(shared().url(&database), "a") };
    let error = PostgresStore::new(insecure).err().expect("refused");
    assert!(error.to_string().contains("sslmode=require"), "{error}");
}

#[test]
fn a_commit_waits_for_the_disk_whatever_the_server_is_set_to() {
    let (database, a) = fresh("a");
    shared().sql(&database, &format!("ALTER DATABASE {database} SET synchronous_commit = off"));
    let mut log = writer(&a);
    // The last setting of the writer's session, as a trigger of the test's own sees it.
    shared().sql(
        &database,
        "CREATE TABLE seen (value text); CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; \
         CREATE TRIGGER look AFTER INSERT ON ves_events FOR EACH STATEMENT EXECUTE FUNCTION look()",
    );
    log.put_run_pages(1, 0, &[vec![1; 100]]).expect("pages");
    log.append(&[part(1, 1, 1)]).expect("append");
    assert_eq!(shared().sql(&database, "SELECT value FROM seen"), "on");
}

#[test]
fn large_events_are_read_within_the_bytes_that_are_asked_for() {
    let (_, a) = fresh("a");
    let mut log = writer(&a);
    let payload = format!("\"{}\"", "x".repeat(100_000));
    for first in (1..=400).step_by(50) {
        log.append(&[part_of(1, first, 50, &payload)]).expect("append");
    }
    let events = log.reader().read(&stream(1), ves::SequenceNumber(1), usize::MAX, 1 << 20).expect("read");
    assert_eq!(events.len(), 10);
    let small: Vec<_> = (0..20).map(|n| part(2, n * 200 + 1, 200)).collect();
    log.append(&small).expect("append");
    assert_eq!(numbers(&*log.reader(), 2).len(), 4_000);
}

#[test]
fn missing_events_are_damage_and_not_an_end() {
    let (database, a) = fresh("a");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 10)]).expect("append");
    shared().sql(&database, "DELETE FROM ves_events WHERE sequence_number = 5");
    let read = |from| log.reader().read(&stream(1), ves::SequenceNumber(from), 100, usize::MAX);
    for from in [1, 5] {
        assert_eq!(read(from).expect_err("damage").kind(), LogErrorKind::Corrupt);
    }
    // A number that someone else has used is damage too, and nothing of the turn stays.
    shared()
        .sql(&database, "INSERT INTO ves_events SELECT 11, 0, 1, stream, NULL, body FROM ves_events LIMIT 1");
    let error = log.append(&[part(2, 1, 1), part(1, 11, 1)]).expect_err("used");
    assert_eq!(error.kind(), LogErrorKind::Corrupt);
    assert_eq!(shared().sql(&database, "SELECT count(*) FROM ves_streams"), "1");
}

#[test]
fn another_process_can_read_beside_the_writer() {
    let (database, a) = fresh("a");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 10)]).expect("append");
    let reader = store(shared().url(&database), "b").reader().expect("reader");
    log.append(&[part(1, 11, 10)]).expect("append");
    assert_eq!(numbers(&*reader, 1), (1..=10).collect::<Vec<_>>(), "as it was when it was opened");
    assert!(!reader.is_local());
    drop(log);
    assert_eq!(numbers(&*reader, 1).len(), 10, "readers go on");
}

#[test]
fn readers_see_whole_prefixes_while_the_writer_goes_on() {
    let (_, a) = fresh("a");
    let mut log = writer(&a);
    let reader = log.reader();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    let head = reader.head(&stream(1)).expect("head").0;
                    let found = numbers(&*reader, 1);
                    assert!(found.len() as u64 >= head);
                    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
                }
            });
        }
        for n in 0..60 {
            log.append(&[part(1, n * 5 + 1, 5), part(2, n * 2 + 1, 2)]).expect("append");
            log.maintenance().expect("maintenance");
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A server of its own for each of the following, which stop it.
fn own_server() -> (Server, String) {
    let server = Server::start(Settings::default());
    let url = server.url("postgres");
    (server, url)
}

#[test]
fn a_server_that_stands_still_is_an_error_in_time() {
    let (server, url) = own_server();
    let quick = PostgresConfig { answer_timeout_ms: 700, lease_ms: 700, ..config(url, "a") };
    let store = PostgresStore::new(quick).expect("configuration");
    let mut log = writer(&store);
    log.append(&[part(1, 1, 3)]).expect("append");
    let reader = log.reader();
    assert_eq!(numbers(&*reader, 1), [1, 2, 3]);
    server.pause();
    let started = Instant::now();
    let error = reader.read(&stream(1), ves::SequenceNumber(1), 10, 1_000).expect_err("no answer");
    assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
    let error = log.append(&[part(1, 4, 1)]).expect_err("no answer");
    assert_eq!(error.kind(), LogErrorKind::Io, "nobody knows what became of it: {error}");
    assert_eq!(store.open_log().err().expect("no answer").kind(), LogErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    server.resume();
    drop(log);
    let mut log = writer(&store);
    let found = numbers(&*log.reader(), 1);
    assert!(found == [1, 2, 3] || found == [1, 2, 3, 4], "the truth is read: {found:?}");
    log.append(&[part(1, found.len() as u64 + 1, 1)]).expect("the log goes on");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let (server, url) = own_server();
    let store = store(url, "a");
    let mut log = writer(&store);
    let mut acknowledged = 0;
    for round in 0..3 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(150 + 50 * round));
                if round % 2 == 0 {
                    server.kill()
                } else {
                    server.stop()
                }
                server.restart();
            });
            let error = loop {
                match log.append(&[part(1, acknowledged + 1, 5)]) {
                    Ok(()) => acknowledged += 5,
                    Err(error) => break error,
                }
            };
            assert!(error.ends_writer(), "{error}");
        });
        log = writer(&store);
        let found = numbers(&*log.reader(), 1);
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
        // The last turn was not answered: all of it is there, or nothing.
        assert!([acknowledged, acknowledged + 5].contains(&(found.len() as u64)), "{}", found.len());
        acknowledged = found.len() as u64;
    }
    assert!(acknowledged > 0);
}

#[test]
fn what_a_replica_does_not_show_yet_is_asked_of_the_primary() {
    let (server, url) = own_server();
    // It keeps what it had when it began, for as long as this test runs.
    let mut log = writer(&store(url.clone(), "a"));
    log.append(&[part(1, 1, 5)]).expect("append");
    drop(log);
    let replica = server.replica(Duration::from_secs(3600));
    let with_replica = PostgresConfig { read_url: Some(replica.url("postgres")), ..config(url, "a") };
    let mut log = writer(&PostgresStore::new(with_replica).expect("configuration"));
    let reader = log.reader();
    log.append(&[part(1, 6, 5), part(2, 1, 1)]).expect("append");
    assert_eq!(replica.sql("postgres", "SELECT count(*) FROM ves_events"), "5");
    assert_eq!(numbers(&*reader, 1), (1..=10).collect::<Vec<_>>());
    assert_eq!(numbers(&*reader, 2), [1]);
    // What it has it answers: the primary does not have this row any more.
    server.sql("postgres", "DELETE FROM ves_events WHERE sequence_number = 2");
    let read = |from, limit| reader.read(&stream(1), ves::SequenceNumber(from), limit, usize::MAX);
    assert_eq!(read(1, 5).expect("of the replica").len(), 5);
    // A replica that hangs is left alone after one try.
    replica.pause();
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(read(6, 5).expect("of the primary").len(), 5);
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    replica.resume();
}

#[test]
fn a_replica_of_another_log_answers_nothing() {
    let (database, a) = fresh("a");
    drop(writer(&a));
    // The log of another tenant, which has a stream of the same number and as many events in it.
    let (other, b) = fresh("b");
    writer(&b).append(&[part(7, 1, 5)]).expect("append");
    let url = |name: &str| shared().url(name);
    let wrong = PostgresConfig { read_url: Some(url(&other)), ..config(url(&database), "a") };
    let mut log = writer(&PostgresStore::new(wrong).expect("configuration"));
    log.append(&[part(1, 1, 5)]).expect("append");
    let events =
        log.reader().read(&stream(1), ves::SequenceNumber(1), 10, usize::MAX).expect("of the primary");
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|event| event.envelope().expect("record").0.stream == stream(1)));
}

#[test]
fn an_event_that_names_another_stream_is_damage() {
    let (database, a) = fresh("a");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 3), part(2, 1, 3)]).expect("append");
    let swap = "UPDATE ves_events SET body = (SELECT body FROM ves_events WHERE stream = 2 AND sequence_number = 2) \
                WHERE stream = 1 AND sequence_number = 2";
    shared().sql(&database, swap);
    let error = log.reader().read(&stream(1), ves::SequenceNumber(1), 10, usize::MAX).expect_err("damage");
    assert!(error.to_string().contains("names another stream"), "{error}");
}

#[test]
fn a_full_disk_changes_nothing_and_the_log_goes_on() {
    // A limit on the files of the server stands for the end of the disk: both fail the extension of a table.
    let (database, a) = fresh("a");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 10)]).expect("append");
    shared().sql(
        &database,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON ves_events FOR EACH ROW WHEN (NEW.sequence_number > 100) \
         EXECUTE FUNCTION full_disk()",
    );
    let error = log.append(&[part(1, 11, 200), part(2, 1, 1)]).expect_err("full");
    assert_eq!(error.kind(), LogErrorKind::Full);
    assert_eq!(numbers(&*log.reader(), 1).len(), 10);
    log.append(&[part(2, 1, 1)]).expect("small things still fit");
    shared().sql(&database, "DROP TRIGGER full_disk ON ves_events");
    log.append(&[part(1, 11, 200)]).expect("there is room again");
    assert_eq!(numbers(&*log.reader(), 1), (1..=210).collect::<Vec<_>>());
}

#[test]
fn status_and_migrate_tell_what_they_found_and_did() {
    let database = shared().database();
    let a = store(shared().url(&database), "a");
    let before = a.status().expect("status");
    assert!(before.contents.is_none() && before.migrations.iter().all(|m| !m.is_applied), "{before:?}");
    assert_eq!(a.migrate().expect("migrate") as usize, before.migrations.len());
    assert_eq!(a.migrate().expect("migrate"), 0, "once");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 7), part(2, 1, 2)]).expect("append");
    let status = a.status().expect("status");
    assert!(status.migrations.iter().all(|m| m.is_applied && !m.is_unknown), "{status:?}");
    let contents = status.contents.expect("newest schema");
    assert_eq!((contents.streams, contents.events, contents.commitments, contents.epoch), (2, 9, 0, 1));
    assert_eq!(contents.writer.as_ref().map(|holder| holder.instance.as_str()), Some("a"));
    assert!(contents.is_held());
    drop(log);
    assert!(!a.status().expect("status").contents.expect("contents").is_held());
    shared().sql(&database, "INSERT INTO schema_migrations VALUES (99, 'later')");
    let status = a.status().expect("status");
    assert!(status.migrations.last().is_some_and(|m| m.version == 99 && m.is_unknown));
}

/// Sessions of an application, as the server sees them.
fn sessions(database: &str, application: &str) -> usize {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}'");
    shared().sql(database, &sql).parse().expect("a number")
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_pool_keeps_to_its_sizes_and_times() {
    let database = shared().database();
    let connections = PoolSizes { max: 4, min: 2, idle_timeout_ms: Some(300), ..PoolSizes::default() };
    let application_name = "pool-test".to_owned();
    let sized = PostgresConfig { connections, application_name, ..config(shared().url(&database), "a") };
    let store = PostgresStore::new(sized).expect("configuration");
    let log = writer(&store);
    let count = || sessions(&database, "pool-test");
    wait_until("the least number of connections and the writer's", || count() == 3);
    let reader = log.reader();
    std::thread::scope(|scope| {
        let slow = "BEGIN; LOCK TABLE settings; SELECT pg_sleep(0.6); COMMIT";
        scope.spawn(|| shared().sql(&database, slow));
        std::thread::sleep(Duration::from_millis(150));
        let reads: Vec<_> = (0..8).map(|_| scope.spawn(|| reader.meta("name"))).collect();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(count(), 5, "no more than the most, and the writer's");
        let busy = reader.pool().expect("a pool");
        assert_eq!((busy.max, busy.size, busy.idle, busy.active(), busy.waiting), (4, 4, 0, 4, 4));
        reads.into_iter().for_each(|read| assert_eq!(read.join().expect("thread"), Ok(None)));
    });
    wait_until("idle connections are closed", || count() == 3);
}

#[test]
fn a_call_waits_only_so_long_for_a_connection() {
    let database = shared().database();
    let connections = PoolSizes { max: 1, acquire_timeout_ms: 200, ..PoolSizes::default() };
    let one = PostgresConfig { connections, ..config(shared().url(&database), "a") };
    let log = writer(&PostgresStore::new(one).expect("configuration"));
    let reader = log.reader();
    std::thread::scope(|scope| {
        let slow = "BEGIN; LOCK TABLE settings; SELECT pg_sleep(1); COMMIT";
        scope.spawn(|| shared().sql(&database, slow));
        std::thread::sleep(Duration::from_millis(200));
        let first = scope.spawn(|| reader.meta("name"));
        std::thread::sleep(Duration::from_millis(100));
        let error = reader.meta("name").expect_err("the only connection is in use");
        assert!(error.to_string().contains("no connection was free"), "{error}");
        assert_eq!(first.join().expect("thread"), Ok(None));
    });
}

#[test]
fn many_changes_are_made_in_their_order() {
    let (_, a) = fresh("a");
    let mut log = writer(&a);
    let document = |n: u32| Document { key: vec![1], text: format!("{n}"), content: Vec::new() };
    let changes: Vec<_> = (0..1_000)
        .flat_map(|n| {
            [
                DocumentChange::Remove(Table::Anchors, vec![1]),
                DocumentChange::Put(Table::Anchors, document(n)),
            ]
        })
        .collect();
    for _ in 0..3 {
        log.put_documents(&changes).expect("documents");
        assert_eq!(log.reader().document(Table::Anchors, &[1]).expect("read"), Some(document(999)));
    }
}

#[test]
fn a_turn_larger_than_a_statement_is_still_all_or_nothing() {
    let (database, a) = fresh("a");
    let mut log = writer(&a);
    let payload = format!("\"{}\"", "x".repeat(1 << 20));
    let turn = [part_of(1, 1, 50, &payload), part_of(2, 1, 50, &payload)];
    shared().sql(&database, "INSERT INTO ves_events VALUES (50, 0, 1, 2, NULL, 'x', NULL)");
    assert_eq!(log.append(&turn).expect_err("its last number is used").kind(), LogErrorKind::Corrupt);
    assert_eq!(shared().sql(&database, "SELECT count(*) FROM ves_events"), "1");
    shared().sql(&database, "DELETE FROM ves_events");
    drop(log);
    let mut log = writer(&a);
    log.append(&turn).expect("append");
    assert_eq!(log.reader().head(&stream(2)).expect("head").0, 50);
    assert_eq!(shared().sql(&database, "SELECT count(*) FROM ves_events"), "100");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_an_asynchronous_thread_is_answered() {
    let (_, a) = fresh("a");
    let mut log = writer(&a);
    log.append(&[part(1, 1, 3)]).expect("append");
    assert_eq!(numbers(&*log.reader(), 1), [1, 2, 3]);
    let reader = log.reader();
    drop(log);
    assert_eq!(tokio::task::spawn_blocking(move || numbers(&*reader, 1)).await.expect("task"), [1, 2, 3]);
}

#[test]
fn tls_is_spoken_only_with_a_server_that_is_known() {
    let server = Server::start(Settings { tls: true, ..Settings::default() });
    let secure = |options: &str| {
        let url = server.url("postgres").replace("sslmode=disable", options);
        store(url.replace("127.0.0.1", "localhost"), "a")
    };
    let root = server.root_certificate().display().to_string();
    let known = secure(&format!("sslmode=require&sslrootcert={root}"));
    let mut log = writer(&known);
    log.append(&[part(1, 1, 1)]).expect("append");
    assert_eq!(numbers(&*log.reader(), 1), [1]);
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'stateset-sequencer' AND NOT ssl";
    assert_eq!(server.sql("postgres", plain), "0");
    let unknown = secure("sslmode=require").open_log().err().expect("its issuer is not known");
    assert_eq!(unknown.kind(), LogErrorKind::Unavailable, "{unknown}");
    let other_name =
        server.url("postgres").replace("sslmode=disable", &format!("sslmode=require&sslrootcert={root}"));
    let error = store(other_name, "a").open_log().err().expect("its name is localhost");
    assert!(error.to_string().contains("certificate"), "{error}");
}
