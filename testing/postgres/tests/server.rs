//! The server that tests run against does what its names say.

use std::time::Duration;

use stateset_postgres::{Server, Settings, shared};

#[test]
fn each_database_is_empty_and_its_own() {
    let server = shared();
    let (one, two) = (server.database(), server.database());
    server.sql(&one, "CREATE TABLE t (n integer); INSERT INTO t VALUES (7)");
    assert_eq!(server.sql(&one, "SELECT n FROM t"), "7");
    assert_eq!(server.sql(&two, "SELECT count(*) FROM pg_class WHERE relname = 't'"), "0");
}

#[test]
fn a_server_keeps_what_it_had_when_it_is_killed_and_stopped() {
    let server = Server::start(Settings::default());
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS n");
    server.kill();
    assert_eq!(server.processes(), [0; 0]);
    server.restart();
    server.sql("postgres", "INSERT INTO t VALUES (2)");
    server.stop();
    server.restart();
    assert_eq!(server.sql("postgres", "SELECT sum(n) FROM t"), "3");
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists(), "a server leaves nothing behind");
}

#[test]
fn a_replica_shows_what_its_server_has() {
    let server = Server::start(Settings::default());
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS n");
    let replica = server.replica(Duration::ZERO);
    server.sql("postgres", "INSERT INTO t VALUES (2)");
    for _ in 0..500 {
        if replica.sql("postgres", "SELECT sum(n) FROM t") == "3" {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the replica did not follow: {}", replica.log());
}
