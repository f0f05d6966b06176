//! Over HTTP: every revision without a session, and no stranger.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;
use stateset_acceptance::Service;

use super::client::{Http, OLDER, STATELESS};
use super::mcp;

#[test]
fn every_revision_is_served_over_http_without_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    // Two instances answer the same: nothing is remembered between two requests but what is on disk.
    let doors = [Http::start(folder.path(), &[]), Http::start(folder.path(), &[])];
    let arguments = json!({"customer_id": "C-1", "email": "a@example.com", "idempotency_key": "k"});
    let params = json!({"name": "customer_create", "arguments": arguments});
    let mut answers = Vec::new();
    for (door, version) in doors.iter().cycle().zip([STATELESS, OLDER[0], OLDER[1]]) {
        let (status, answer) = door.ask(version, "tools/call", Some("customer_create"), params.clone());
        assert_eq!(status, 200, "{version}: {answer}");
        answers.push(answer["result"]["structuredContent"].clone());
    }
    assert!(answers[0]["event_id"].is_string(), "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for door in &doors {
        let (_, discovered) = door.ask(STATELESS, "server/discover", None, json!({}));
        assert!(discovered["result"]["supportedVersions"].is_array(), "{discovered}");
        let hello = json!({
            "protocolVersion": OLDER[1], "capabilities": {}, "clientInfo": {"name": "a", "version": "1"},
        });
        let (_, hello) = door.ask(OLDER[1], "initialize", None, hello);
        assert_eq!(hello["result"]["serverInfo"]["name"], "stateset", "{hello}");
    }
    let (status, bad) =
        doors[0].ask(STATELESS, "tools/call", Some("order_get"), json!({"name": "order_get"}));
    assert_eq!((status, &bad["error"]["code"]), (200, &json!(-32602)), "{bad}");
    for (method, params, field) in [
        ("tools/call", json!({"name": "order_get", "arguments": []}), "arguments"),
        ("tools/call", json!({"arguments": {}}), "name"),
        ("resources/read", json!({"uri": 5}), "uri"),
    ] {
        let (_, bad) = doors[0].ask(OLDER[1], method, None, params);
        assert_eq!(
            (&bad["error"]["code"], &bad["error"]["data"]["field"]),
            (&json!(-32602), &json!(field)),
            "{bad}"
        );
    }
    let (_, unknown) = doors[0].ask(OLDER[1], "no/such", None, json!({}));
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    // Without what every request of this revision has to say.
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let bearer = format!("Bearer {}", doors[0].token.as_deref().unwrap());
    let headers = [("authorization", bearer.as_str()), ("mcp-protocol-version", STATELESS)];
    assert_eq!(doors[0].post(&headers, &body).0, 400);
    let headers = [("authorization", bearer.as_str()), ("mcp-protocol-version", "2099-01-01")];
    assert_eq!(doors[0].post(&headers, &body).0, 400, "an unknown revision");
    drop(service);
}

#[test]
fn a_stranger_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Service::start(folder.path()).stop().success());
    let door = Http::start(folder.path(), &["--allow-origin", "https://shop.example:443"]);
    let bearer = format!("Bearer {}", door.token.as_deref().unwrap());
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let status = |headers: &[(&str, &str)]| {
        let all = [headers, &[("mcp-protocol-version", OLDER[1])]].concat();
        door.post(&all, &body).0
    };
    let token = ("authorization", bearer.as_str());
    assert_eq!(status(&[token]), 200);
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("authorization", "Bearer 0123456789abcdef0123456789abcdef")]), 401);
    assert_eq!(status(&[token, ("host", "evil.example")]), 403);
    assert_eq!(status(&[token, ("origin", "https://evil.example")]), 403);
    assert_eq!(status(&[token, ("origin", "https://shop.example")]), 200);
    let large = format!("{}{}", body, " ".repeat(2 << 20));
    let too_large = door.post(&[token, ("mcp-protocol-version", OLDER[1])], &large);
    assert_eq!(too_large.0, 413, "{}", too_large.1);
    let older = door.post(&[token, ("mcp-protocol-version", "2024-11-05")], &body);
    assert_eq!(older.0, 400, "a revision without structured results");
    assert!(older.1.contains(STATELESS) && older.1.contains(OLDER[0]), "ours are named: {}", older.1);
    for (body, code, id) in [
        ("{", -32700, json!(null)),
        ("[]", -32600, json!(null)),
        (r#"{"jsonrpc": "1.0", "id": 7, "method": "tools/list"}"#, -32600, json!(7)),
        (r#"{"jsonrpc": "2.0", "id": "a"}"#, -32600, json!("a")),
    ] {
        let (status, answer) = door.post(&[token, ("mcp-protocol-version", OLDER[1])], body);
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an error of JSON-RPC");
        assert_eq!(
            (status, &answer["error"]["code"], &answer["id"]),
            (400, &json!(code), &id),
            "{body}: {answer}"
        );
    }

    let mut open = mcp(&["http", "--listen", "0.0.0.0:0", "--no-auth"]);
    let output = open.arg("--data").arg(folder.path()).output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("bearer token"), "{error}");
}

#[test]
fn connections_on_which_nothing_is_asked_give_their_places_back() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Service::start(folder.path()).stop().success());
    let door = Http::start(folder.path(), &[]);
    let address = door.url.trim_start_matches("http://").trim_end_matches("/mcp");
    // As many as the door takes; half of them begin as HTTP/2 would.
    let idle: Vec<TcpStream> = (0..256)
        .map(|n| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            if n % 2 == 0 {
                stream.write_all(b"P").expect("it takes a byte");
            }
            stream
        })
        .collect();
    let (status, _) = door.ask(OLDER[1], "ping", None, json!({}));
    assert_eq!(status, 200, "asked while {} others were idle", idle.len());
}
