//! A replica that is slow, or gone: what was acknowledged is read at once all the same.

use std::time::{Duration, Instant};

use stateset_acceptance::Instance;
use stateset_acceptance::events::{orders, receipts, register, stored};
use stateset_fixtures::{Agent, stream};
use stateset_postgres::{Server, Settings};

#[test]
fn what_was_acknowledged_is_read_at_once_beside_a_slow_replica_and_without_one() {
    let primary = Server::start(Settings::default());
    let name = primary.database();
    let url = primary.url(&name);
    // The schema is there before the replica copies it.
    assert!(Instance::start(&url, &[]).stop().success());
    let replica = primary.replica(Duration::from_secs(3));
    let instance = Instance::start(&url, &[("READ_DATABASE_URL", &replica.url(&name))]);
    let (rest, key) = (instance.rest(), stream(1));
    let agent = Agent::new(&key, 1);
    register(&rest, &agent).unwrap();
    let mut acknowledged = Vec::new();
    let mut send_and_read = |first: u64| {
        let (status, answer) =
            rest.post("/api/v1/ves/events/ingest", &orders(&agent, &key, first, 5)).unwrap();
        acknowledged.extend(receipts(status, &answer).unwrap().expect("the events are accepted"));
        let since = Instant::now();
        assert_eq!(stored(&rest, &key, 1).unwrap(), acknowledged, "everything acknowledged is read");
        assert!(since.elapsed() < Duration::from_secs(10), "a read waited for the replica");
    };
    for n in 0..10 {
        send_and_read(n * 5);
    }
    replica.pause();
    send_and_read(100);
    replica.resume();
    replica.kill();
    send_and_read(200);
    assert!(instance.stop().success());
}
