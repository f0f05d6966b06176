//! One delivery to a receiver on this machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use stateset_webhooks::post::{Delivery, PostError, Poster};
use stateset_webhooks::{Secret, Target, TargetError, TargetPolicy};

const OPEN: TargetPolicy = TargetPolicy { allows_private: true };

/// Answers one request with `answer`; gives the request.
fn receiver(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"the body") {
            let read = stream.read(&mut buffer).expect("a request");
            assert!(read > 0);
            request.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer.as_bytes()).expect("an answer");
        String::from_utf8(request).expect("UTF-8")
    });
    (address, serving)
}

fn delivery(address: SocketAddr, host: &str) -> Delivery {
    Delivery {
        target: Target::parse(&format!("http://{host}:{}/hook?a=b", address.port()), OPEN).expect("a target"),
        id: "evt_1".to_owned(),
        content_type: "application/json",
        body: b"the body".to_vec(),
        secrets: vec![Secret::new([3; 32]), Secret::new([4; 32])],
    }
}

#[test]
fn a_delivery_is_one_signed_post() {
    let (address, serving) = receiver("HTTP/1.1 204 No Content\r\n\r\n");
    let delivery = delivery(address, "127.0.0.1");
    assert_eq!(Poster::new(OPEN).post(&delivery, 1_700_000_000), Ok(204));
    let request = serving.join().expect("no panic").to_ascii_lowercase();
    assert!(request.starts_with("post /hook?a=b http/1.1\r\n"), "{request}");
    let header = |name: &str| {
        let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name} is missing in {request}")).to_owned()
    };
    assert_eq!((header("webhook-id"), header("webhook-timestamp")), ("evt_1".into(), "1700000000".into()));
    let signature = Secret::sign_all(&delivery.secrets, "evt_1", 1_700_000_000, b"the body");
    assert_eq!(header("webhook-signature"), signature.to_ascii_lowercase());
    assert_eq!(header("content-type"), "application/json");
}

#[test]
fn what_is_no_success_is_a_failure_and_no_redirect_is_followed() {
    for (answer, status, wait_ms) in [
        ("HTTP/1.1 500 Oops\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n", 500, 0),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 301, 0),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 302, 0),
        ("HTTP/1.1 307 Other\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 307, 0),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", 410, 0),
        ("HTTP/1.1 429 Slow\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n", 429, 90_000),
        (
            "HTTP/1.1 503 Down\r\nretry-after: Thu, 01 Jan 1970 00:01:00 GMT\r\ncontent-length: 0\r\n\r\n",
            503,
            60_000,
        ),
        ("HTTP/1.1 503 Down\r\nretry-after: soon\r\ncontent-length: 0\r\n\r\n", 503, 0),
    ] {
        let (address, serving) = receiver(answer);
        let sent = Poster::new(OPEN).post(&delivery(address, "127.0.0.1"), 0);
        assert_eq!(sent, Err(PostError::Status { status, wait_ms }));
        serving.join().expect("no panic");
    }
}

/// The name passed when it was registered; what it means now is judged at the connection. Numbers that are addresses only to
/// whoever looks them up do not get so far.
#[test]
fn a_name_that_means_an_address_inside_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let address = listener.local_addr().expect("an address");
    for host in ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"] {
        assert_eq!(Target::parse(&format!("http://{host}/hook"), OPEN), Err(TargetError::Form), "{host}");
    }
    for host in ["localhost", "127.0.0.1", "[::ffff:7f00:1]"] {
        let refused = Poster::new(TargetPolicy::default()).post(&delivery(address, host), 0);
        let Err(PostError::Refused(why)) = refused else { panic!("{host}: {refused:?}") };
        assert!(why.contains("private network") && why.contains("WEBHOOK_ALLOW_PRIVATE_TARGETS"), "{why}");
    }
    let nobody = listener.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_receiver_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let sent = Poster::new(OPEN).post(&delivery(address, "127.0.0.1"), 0);
    assert!(matches!(sent, Err(PostError::Unreachable(_))), "{sent:?}");
}
