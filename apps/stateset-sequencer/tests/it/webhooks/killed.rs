//! The whole program, killed after its receiver said 2xx and before that was written down.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_fixtures::{Agent, plain_event};
use ves::StreamKey;
use ves_wire::ingest::write_request;

use super::{Came, LONG, answer, first, next_request, second};
use crate::running::{Running, send_signal};

/// Events of each stream.
const EVENTS: u64 = 12;
/// Deliveries after whose answer the program dies, counted from the first one.
const KILLED_AT: [usize; 4] = [2, 7, 13, 20];

/// A receiver that takes everything, and kills the sender right after it said so.
#[derive(Clone, Default)]
struct Killer {
    program: Arc<AtomicU32>,
    is_open: Arc<AtomicBool>,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Killer {
    fn serve(&self, mut stream: TcpStream, killed: &Sender<usize>) {
        let mut bytes = Vec::new();
        while let Some(came) = next_request(&mut stream, &mut bytes) {
            while !self.is_open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let mut all = self.came.lock().unwrap();
            all.push(came);
            if !KILLED_AT.contains(&all.len()) {
                drop(all);
                answer(&mut stream, "200 OK");
                continue;
            }
            // It stands still, so that it can't read what is said to it, and never gets to.
            let program = self.program.load(Ordering::SeqCst);
            send_signal(program, "-STOP");
            await_stopped(program);
            answer(&mut stream, "200 OK");
            send_signal(program, "-KILL");
            killed.send(all.len()).expect("the test waits");
            return;
        }
    }
}

/// A signal is sent before it has its effect.
fn await_stopped(program: u32) {
    let began = Instant::now();
    loop {
        let stat = fs::read_to_string(format!("/proc/{program}/stat")).expect("it is there");
        let state = stat.rsplit_once(')').expect("its name").1.trim_start();
        if state.starts_with('T') {
            return;
        }
        assert!(began.elapsed() < LONG, "it runs on: {state}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn set_up(running: &Running, url: &str) {
    for (n, stream) in [(1, first()), (2, second())] {
        let agent = Agent::new(&first(), n);
        let key = json!({
            "tenantId": stream.tenant_id, "agentId": agent.agent_id, "keyId": agent.key_id.0,
            "publicKey": ves::hex::encode(&agent.public_key()),
            "validFrom": "2020-01-01T00:00:00Z",
            "proofOfPossession": ves::hex::encode_0x(&agent.possession()),
        });
        running.ask("POST", "/api/v1/agents/keys", &key.to_string());
    }
    let new = json!({"tenant_id": first().tenant_id, "url": url});
    running.ask("POST", "/api/v1/webhooks", &new.to_string());
    for (n, stream) in [(1, first()), (2, second())] {
        let agent = Agent::new(&first(), n);
        let events: Vec<_> =
            (1..=EVENTS).map(|event| plain_event(&agent, &stream, 100 * n + event)).collect();
        let outcome: Value =
            running.ask("POST", "/api/v1/ves/events/ingest", &write_request(agent.agent_id, &events));
        assert_eq!(outcome["eventsAccepted"], EVENTS, "{outcome}");
    }
}

#[test]
fn what_a_receiver_took_before_a_kill_comes_again_with_its_id_and_nothing_is_passed() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Running::start(folder.path(), &[("WEBHOOK_ALLOW_PRIVATE_TARGETS", "true")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (killer, (killed, kills)) = (Killer::default(), channel());
    let serving = killer.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (killer, killed) = (serving.clone(), killed.clone());
            std::thread::spawn(move || killer.serve(stream, &killed));
        }
    });
    let mut running = start();
    set_up(&running, &url);
    killer.program.store(running.pid(), Ordering::SeqCst);
    killer.is_open.store(true, Ordering::SeqCst);
    for at in KILLED_AT {
        assert_eq!(kills.recv_timeout(LONG).expect("the program is killed"), at);
        drop(running);
        running = start();
        killer.program.store(running.pid(), Ordering::SeqCst);
    }
    let began = Instant::now();
    let last_of = |came: &[Came], stream: StreamKey| -> u64 {
        let of_it = came.iter().filter(|came| came.store() == stream.store_id.to_string());
        of_it.map(Came::number).max().unwrap_or(0)
    };
    while [first(), second()].iter().any(|stream| last_of(&killer.came.lock().unwrap(), *stream) < EVENTS) {
        assert!(began.elapsed() < LONG, "{} came", killer.came.lock().unwrap().len());
        std::thread::sleep(Duration::from_millis(20));
    }
    let came = killer.came.lock().unwrap();
    let mut places: BTreeMap<String, &Came> = BTreeMap::new();
    let mut again = 0;
    for (n, came) in came.iter().enumerate() {
        match places.insert(came.store(), came) {
            None => assert_eq!(came.number(), 1),
            Some(before) if before.number() == came.number() => {
                again += 1;
                assert_eq!(before.headers["webhook-id"], came.headers["webhook-id"], "delivery {}", n + 1);
                assert_eq!(before.body, came.body, "delivery {}", n + 1);
            }
            Some(before) => assert_eq!(came.number(), before.number() + 1, "delivery {}", n + 1),
        }
    }
    // The other stream's delivery may have been on its way as well.
    assert!((KILLED_AT.len()..=2 * KILLED_AT.len()).contains(&again), "{again} came again");
    for at in KILLED_AT {
        let (before, after) = (&came[at - 1], &came[at..]);
        let next = after.iter().find(|came| came.store() == before.store()).expect("it goes on");
        assert_eq!(next.number(), before.number(), "what was taken at delivery {at} comes again");
    }
    drop(came);
    assert_eq!(running.end("-TERM").0, 0);
}
