//! Processes, connections and databases that go, under load: nothing acknowledged is lost, no number is used twice or
//! left out, a duplicate gets the first answer, and nobody hangs.

use std::time::Duration;

use stateset_acceptance::{Instance, Rest, Shop};
use stateset_postgres::{Server, Settings};

const STREAMS: u64 = 2;

/// A server whose commits reach its disk, and an empty database of it.
fn database() -> (Server, String) {
    let server = Server::start(Settings { fsync: true, ..Settings::default() });
    let name = server.database();
    let url = server.url(&name);
    (server, url)
}

/// Two instances behind clients that try both.
fn two(url: &str) -> (Vec<Instance>, Shop) {
    let instances = vec![Instance::start(url, &[]), Instance::start(url, &[])];
    let shop = Shop::open(instances[1].rest(), STREAMS);
    shop.send_to(places(&instances));
    (instances, shop)
}

/// Whichever is asked, the answers are the same.
fn check_both(shop: &Shop, instances: &mut [Instance]) {
    for instance in instances {
        instance.wait_until_ready();
        shop.check(&instance.rest());
    }
}

fn places(instances: &[Instance]) -> Vec<Rest> {
    instances.iter().map(Instance::rest).collect()
}

#[test]
fn nothing_is_lost_when_the_writing_instance_is_killed_again_and_again() {
    let (_server, url) = database();
    let (mut instances, mut shop) = two(&url);
    let day = shop.day(|door| {
        for _ in 0..4 {
            door.wait_for(150);
            instances.remove(0).kill();
            // The one that stood by writes now; a new one stands by.
            door.send_to(places(&instances));
            door.wait_for(20);
            instances.push(Instance::start(&url, &[]));
            door.send_to(places(&instances));
        }
        door.wait_for(100);
    });
    assert!(day.longest_wait < Duration::from_secs(20), "a hand-over took {:?}", day.longest_wait);
    shop.check(&instances[1].rest());
    assert!(instances.into_iter().rev().all(|instance| instance.stop().success()));
}

#[test]
fn a_writer_that_is_asked_to_stop_finishes_its_requests_and_hands_over_at_once() {
    let (_server, url) = database();
    let (mut instances, mut shop) = two(&url);
    let day = shop.day(|door| {
        for _ in 0..3 {
            door.wait_for(150);
            assert!(instances.remove(0).stop().success(), "it stops in order, under load");
            door.wait_for(20);
            instances.push(Instance::start(&url, &[]));
            door.send_to(places(&instances));
        }
    });
    assert!(day.longest_wait < Duration::from_secs(10), "a hand-over took {:?}", day.longest_wait);
    shop.check(&instances[1].rest());
}

#[test]
fn nothing_is_lost_when_the_database_is_restarted_under_load() {
    let (server, url) = database();
    let (mut instances, mut shop) = two(&url);
    shop.day(|door| {
        for crash in [false, true, true] {
            door.wait_for(150);
            match crash {
                true => server.kill(),
                false => server.stop(),
            }
            door.wait_for_refusals(4);
            assert!(instances.iter().all(Instance::is_healthy), "the processes live without their database");
            assert!(!instances.iter().any(Instance::is_ready), "they can't work without it");
            server.restart();
            door.wait_for(50);
        }
    });
    check_both(&shop, &mut instances);
}

#[test]
fn nothing_is_lost_when_every_connection_to_the_database_breaks_under_load() {
    let (server, url) = database();
    let (mut instances, mut shop) = two(&url);
    shop.day(|door| {
        for _ in 0..6 {
            door.wait_for(60);
            let ended = server.sql(
                "postgres",
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname LIKE 'test\\_%' AND pid <> pg_backend_pid()",
            );
            assert_ne!(ended, "0", "there were connections");
        }
        door.wait_for(60);
    });
    check_both(&shop, &mut instances);
}

#[test]
fn a_database_that_stands_still_is_answered_503_and_forgiven() {
    let (server, url) = database();
    let (mut instances, mut shop) = two(&url);
    let day = shop.day(|door| {
        door.wait_for(100);
        server.pause();
        // Each client is told at least once, however long it waits; the shop checks that none waits too long.
        door.wait_for_refusals(2 * STREAMS);
        assert!(
            instances.iter().all(Instance::is_healthy),
            "the processes live while their database stands still"
        );
        server.resume();
        door.wait_for(100);
    });
    assert!(day.refused >= 2 * STREAMS, "{day:?}");
    check_both(&shop, &mut instances);
}
