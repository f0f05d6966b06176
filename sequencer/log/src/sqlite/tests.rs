use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;
use tempfile::TempDir;
use ves::KeyAlgorithm;

use super::*;
use crate::error::LogErrorKind;
use crate::index::{IdIndex, IndexEntry, IndexKey, IndexKind, RunStep};
use crate::testing::{part, stream};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("events.db");
    (folder, path)
}

fn numbers(reader: &dyn LogReader, n: u8) -> Vec<u64> {
    let events = reader.read(&stream(n), SequenceNumber(1), usize::MAX, usize::MAX).expect("read");
    events.iter().map(|event| event.sequence_number.0).collect()
}

#[test]
fn a_sqlite_log_is_an_event_log() {
    let (_folder, path) = folder();
    crate::check_event_log(|| Box::new(SqliteLog::open(&path).expect("open")));
}

#[test]
fn a_second_writer_is_told_what_to_do() {
    let (_folder, path) = folder();
    let log = SqliteLog::open(&path).expect("open");
    let error = SqliteLog::open(&path).err().expect("locked");
    assert_eq!(error.kind(), LogErrorKind::Locked);
    assert!(error.to_string().contains("stop it"), "{error}");
    drop(log);
    SqliteLog::open(&path).expect("free again");
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let log = SqliteLog::open(&path).expect("open");
    log.connection.execute("INSERT INTO schema_migrations VALUES (99, 'later')", []).expect("insert");
    drop(log);
    for error in [SqliteLog::open(&path).err(), SqliteReader::open(&path).err()] {
        let error = error.expect("newer");
        assert_eq!(
            error,
            LogError::NewerSchema { path: path.clone(), found: 99, known: open::MIGRATIONS.len() as u32 }
        );
    }
}

#[test]
fn keys_of_an_older_file_are_classical_ones() {
    let (_folder, path) = folder();
    let old = Connection::open(&path).expect("open");
    old.execute_batch(
        "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
    )
    .expect("create");
    for (version, (name, sql)) in (1_u32..).zip(&open::MIGRATIONS[..3]) {
        old.execute_batch(sql).expect("migrate");
        old.execute("INSERT INTO schema_migrations VALUES (?, ?)", (version, name)).expect("record");
    }
    let (tenant, agent, key) = ([1_u8; 16], [2_u8; 16], [3_u8; 32]);
    old.execute(
        "INSERT INTO agent_signing_keys VALUES (?, ?, 1, ?, 1, 'active', NULL, NULL, NULL, 5, NULL)",
        (tenant, agent, key),
    )
    .expect("insert");
    old.execute(
        "INSERT INTO agent_encryption_keys VALUES (?, 4, ?, ?, 'active', NULL, NULL, NULL, 5)",
        (tenant, agent, key),
    )
    .expect("insert");
    drop(old);
    let log = SqliteLog::open(&path).expect("open");
    let signing = log.reader().agent_keys().expect("keys").remove(0);
    assert_eq!((signing.algorithm, signing.ml_dsa_65), (KeyAlgorithm::Ed25519, None));
    let encryption = log.reader().encryption_keys().expect("keys").remove(0);
    assert_eq!((encryption.algorithm, encryption.ml_kem_768), (KeyAlgorithm::X25519, None));
}

#[test]
fn a_file_that_is_no_database_is_damage() {
    let (_folder, path) = folder();
    std::fs::write(&path, [b'x'; 10_000]).expect("write");
    assert_eq!(SqliteLog::open(&path).err().expect("no database").kind(), LogErrorKind::Corrupt);
}

#[test]
fn a_missing_folder_is_an_io_error_with_its_path() {
    let (_folder, path) = folder();
    let error = SqliteLog::open(path.join("none/events.db")).err().expect("no folder");
    assert_eq!(error.kind(), LogErrorKind::Io);
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn the_settings_that_durability_needs_are_in_force() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    log.put_run_pages(1, 0, &[vec![1; 100]]).expect("pages");
    let pragma = |name: &str| -> String {
        let text =
            |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0).map(|v| format!("{v:?}"));
        log.connection.query_row(&format!("PRAGMA {name}"), [], text).expect("pragma")
    };
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("synchronous"), "Integer(2)", "FULL again after index pages");
    assert_eq!(pragma("page_size"), "Integer(8192)");
}

#[test]
fn a_full_disk_changes_nothing_and_the_log_goes_on() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    log.append(&[part(1, 1, 10)]).expect("append");
    let pages: i64 = log.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("pages");
    let limit = |log: &SqliteLog, pages: i64| {
        log.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).expect("limit");
    };
    limit(&log, pages + 2);
    let error = log.append(&[part(1, 11, 200), part(2, 1, 1)]).expect_err("full");
    assert_eq!(error.kind(), LogErrorKind::Full);
    assert_eq!(numbers(&*log.reader(), 1).len(), 10);
    log.append(&[part(2, 1, 1)]).expect("small things still fit");
    limit(&log, 1 << 30);
    log.append(&[part(1, 11, 200)]).expect("there is room again");
    assert_eq!(numbers(&*log.reader(), 1), (1..=210).collect::<Vec<_>>());
}

#[test]
fn an_extent_is_opened_only_where_another_stream_came_between() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    let extents = |log: &SqliteLog| log.streams.recent_from(0, usize::MAX).len();
    for n in 0..20 {
        log.append(&[part(1, n * 3 + 1, 3)]).expect("append");
    }
    assert_eq!(extents(&log), 1);
    for n in 0..5 {
        log.append(&[part(1, 61 + n, 1), part(2, n + 1, 1)]).expect("append");
    }
    assert_eq!(extents(&log), 1 + 4 + 5);
    log.write_extents(true).expect("write");
    assert_eq!(extents(&log), 0);
    log.append(&[part(1, 66, 2), part(2, 6, 1), part(1, 68, 1)]).expect("append");
    let read = |log: &SqliteLog, n| numbers(&*log.reader(), n);
    assert_eq!(read(&log, 1), (1..=68).collect::<Vec<_>>());
    // Not closed: what was only in memory is found by the events.
    drop(log);
    let log = SqliteLog::open(&path).expect("open");
    assert_eq!(extents(&log), 3);
    assert_eq!((read(&log, 1), read(&log, 2)), ((1..=68).collect(), (1..=6).collect()));
    let beside = SqliteReader::open(&path).expect("a second reader");
    assert_eq!(numbers(&beside, 1), (1..=68).collect::<Vec<_>>());
    Box::new(log).close().expect("close");
    assert_eq!(numbers(&beside, 1), (1..=68).collect::<Vec<_>>());
    let log = SqliteLog::open(&path).expect("open");
    assert_eq!(log.streams.head(&stream(1)), SequenceNumber(68));
    assert_eq!(log.streams.head(&stream(2)), SequenceNumber(6));
    assert_eq!(extents(&log), 0);
}

#[test]
fn missing_events_are_damage_and_not_an_end() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    log.append(&[part(1, 1, 10)]).expect("append");
    log.connection.execute("DELETE FROM ves_events WHERE sequence_number = 5", []).expect("delete");
    let read = |from| log.reader().read(&stream(1), SequenceNumber(from), 100, usize::MAX);
    for from in [1, 5] {
        assert_eq!(read(from).expect_err("damage").kind(), LogErrorKind::Corrupt);
    }
}

#[test]
fn another_process_can_read_beside_the_writer() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    log.append(&[part(1, 1, 10)]).expect("append");
    let reader = SqliteReader::open(&path).expect("open to read");
    log.append(&[part(1, 11, 10)]).expect("append");
    assert_eq!(numbers(&reader, 1), (1..=10).collect::<Vec<_>>(), "as it was when it was opened");
    assert_eq!(numbers(&*log.reader(), 1), (1..=20).collect::<Vec<_>>());
}

#[test]
fn readers_see_whole_prefixes_while_the_writer_goes_on() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    let reader = log.reader();
    let is_done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, is_done) = (Arc::clone(&reader), Arc::clone(&is_done));
            std::thread::spawn(move || {
                while !is_done.load(Relaxed) {
                    let head = reader.head(&stream(1)).expect("head").0;
                    let found = numbers(&*reader, 1);
                    assert!(found.len() as u64 >= head);
                    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
                }
            })
        })
        .collect();
    for n in 0..60 {
        log.append(&[part(1, n * 5 + 1, 5), part(2, n * 2 + 1, 2)]).expect("append");
        log.maintenance().expect("maintenance");
    }
    is_done.store(true, Relaxed);
    readers.into_iter().for_each(|thread| thread.join().expect("reader"));
}

#[test]
fn closing_leaves_no_log_to_recover() {
    let (_folder, path) = folder();
    let mut log = Box::new(SqliteLog::open(&path).expect("open"));
    log.append(&[part(1, 1, 100)]).expect("append");
    let reader = log.reader();
    log.close().expect("close");
    assert_eq!(numbers(&*reader, 1).len(), 100, "readers go on");
    let mut wal = path.clone().into_os_string();
    wal.push("-wal");
    assert_eq!(std::fs::metadata(wal).map_or(0, |file| file.len()), 0);
}

#[test]
fn the_index_lives_in_the_file_and_replaced_pages_are_removed() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    log.append(&[part(1, 1, 800)]).expect("append");
    let index = IdIndex::open(log.reader()).expect("index");
    let key =
        |n: u64| IndexKey { stream: stream(1), kind: IndexKind::Event, id: u128::from(n).to_le_bytes() };
    for flush in 0..8 {
        let (first, last) = (flush * 100 + 1, flush * 100 + 100);
        let entries: Vec<_> = (first..=last).map(|n| IndexEntry { key: key(n), value: n }).collect();
        let covered = [(stream(1), SequenceNumber(last))];
        let mut builder = index.plan_flush(&entries, &covered).expect("plan").expect("free");
        while builder.step(&mut log).expect("step") == RunStep::More {}
    }
    let mut merge = index.plan_merge().expect("eight runs");
    while merge.step(&mut log).expect("step") == RunStep::More {
        log.append(&[]).expect("turns go on between steps");
    }
    // A run that is never published, as when the process ends.
    log.put_run_pages(77, 0, &[vec![0; 8100]]).expect("pages");
    drop((index, merge, log));

    let mut log = SqliteLog::open(&path).expect("open");
    let pages = |log: &SqliteLog| -> i64 {
        log.connection.query_row("SELECT count(*) FROM ves_index_pages", [], |row| row.get(0)).expect("count")
    };
    assert!(pages(&log) > 24);
    for _ in 0..20 {
        log.maintenance().expect("maintenance");
    }
    let runs = log.reader().runs().expect("runs");
    assert_eq!(runs.len(), 1);
    let of_run = runs[0].data_pages + runs[0].fence_pages + runs[0].filter_pages;
    assert_eq!(pages(&log), i64::from(of_run), "only the merged run's pages are left");
    let index = IdIndex::open(log.reader()).expect("index");
    assert_eq!(index.covered(&stream(1)), SequenceNumber(800));
    assert!((1..=800).all(|n| index.lookup(&key(n)).expect("lookup") == Some(n)));
    assert_eq!(index.lookup(&key(801)).expect("lookup"), None);
}

#[test]
fn the_write_ahead_log_does_not_grow_without_end() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    let page = vec![7; 8100];
    for n in 0..60u32 {
        // Some 4 MiB a turn.
        log.put_run_pages(1, n * 500, &vec![page.clone(); 500]).expect("pages");
        log.append(&[part(1, u64::from(n) + 1, 1)]).expect("append");
        for _ in 0..3 {
            log.maintenance().expect("maintenance");
            std::thread::yield_now();
        }
    }
    let mut wal = path.clone().into_os_string();
    wal.push("-wal");
    let length = std::fs::metadata(wal).expect("the log").len();
    assert!(length < 300 << 20, "{length} bytes");
}

#[test]
fn events_are_found_however_their_extents_were_written() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    let mut heads = [0_u64; 5];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    for _ in 0..400 {
        match below(10) {
            0 => log.write_extents(true).expect("write"),
            1 => {
                drop(log);
                log = SqliteLog::open(&path).expect("open");
            }
            _ => {
                let mut turn = Vec::new();
                for (n, head) in heads.iter_mut().enumerate().skip(1) {
                    if below(2) == 0 {
                        let count = 1 + below(3);
                        turn.push(part(n as u8, *head + 1, count));
                        *head += count;
                    }
                }
                log.append(&turn).expect("append");
            }
        }
    }
    for (n, head) in heads.iter().enumerate().skip(1) {
        assert_eq!(numbers(&*log.reader(), n as u8), (1..=*head).collect::<Vec<_>>());
        for number in 1..=*head {
            let event =
                log.reader().read(&stream(n as u8), SequenceNumber(number), 1, usize::MAX).expect("read");
            assert_eq!(event[0].sequence_number, SequenceNumber(number));
        }
    }
}

/// Stores of before version 4 hold runs without histories: they are read again from the events.
#[test]
fn an_index_without_histories_is_emptied_when_the_store_is_opened() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("open");
    log.append(&[part(1, 1, 3)]).expect("append");
    let index = IdIndex::open(log.reader()).expect("index");
    let key = IndexKey { stream: stream(1), kind: IndexKind::Event, id: [1; 16] };
    let covered = [(stream(1), SequenceNumber(3))];
    let entries = [IndexEntry { key, value: 1 }];
    let mut builder = index.plan_flush(&entries, &covered).expect("plan").expect("free");
    while builder.step(&mut log).expect("step") == RunStep::More {}
    let run = builder.run();
    drop((index, builder));
    log.connection.execute("DELETE FROM schema_migrations WHERE version >= 4", []).expect("an older store");
    drop(log);

    let mut log = SqliteLog::open(&path).expect("open");
    let reader = log.reader();
    assert_eq!((reader.runs().expect("runs"), reader.covered().expect("covered")), (vec![], vec![]));
    assert!(reader.next_run().expect("next") > run, "the old pages are not taken for a new run's");
    for _ in 0..3 {
        log.maintenance().expect("maintenance");
    }
    assert_eq!(reader.run_page(run, 0).expect("page"), None);
    assert_eq!(reader.read(&stream(1), SequenceNumber(1), 10, usize::MAX).expect("events").len(), 3);
}
