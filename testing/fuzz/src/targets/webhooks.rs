//! Webhooks: addresses that an administrator names, headers that a receiver answers with, signatures that one checks.

use std::net::IpAddr;

use stateset_webhooks::schedule::{ASKED_WAIT_MS_MAX, asked_wait_ms};
use stateset_webhooks::target::{URL_BYTES_MAX, is_public};
use stateset_webhooks::{Secret, Target, TargetPolicy};

use crate::Input;

const STRICT: TargetPolicy = TargetPolicy { allows_private: false };
const OPEN: TargetPolicy = TargetPolicy { allows_private: true };
const NOW_S: i64 = 1_767_323_045;

pub fn webhooks(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let now_s = input.u64() as i64;
    signatures(data, now_s);
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let wait_ms = asked_wait_ms(text, now_s);
    assert!((0..=ASKED_WAIT_MS_MAX).contains(&wait_ms), "{text:?} is {wait_ms} ms");
    // Each reader judges every text.
    [target(text), secret(text), wait_ms > 0].contains(&true)
}

fn target(text: &str) -> bool {
    let (strict, open) = (Target::parse(text, STRICT), Target::parse(text, OPEN));
    if let Ok(target) = &strict {
        assert_eq!(open.as_ref(), Ok(target), "what a strict operator allows every operator does");
        assert_eq!(target.uri().scheme_str(), Some("https"));
        let host = target.uri().host().expect("a host").trim_matches(['[', ']']);
        assert!(host.parse::<IpAddr>().is_ok_and(is_public) || host.parse::<IpAddr>().is_err(), "{text:?}");
    }
    let Ok(target) = open else { return false };
    let authority = target.uri().authority().expect("an authority").as_str();
    assert!(!authority.contains('@') && !authority.ends_with(':'), "{text:?}");
    assert_ne!(target.uri().port_u16(), Some(0), "{text:?}");
    // It is written with a path, which may be a byte too many.
    let again = target.uri().to_string();
    assert!(again.len() > URL_BYTES_MAX || Target::parse(&again, OPEN) == Ok(target), "{text:?}");
    true
}

fn secret(text: &str) -> bool {
    let Ok(secret) = Secret::parse(text) else { return false };
    assert_eq!(*secret.text(), text);
    true
}

/// What is signed is believed by whoever has one of the secrets, and nothing that was made up.
fn signatures(body: &[u8], now_s: i64) {
    let [old, new, other] = [1, 2, 3].map(|n| Secret::new([n; 32]));
    let header = Secret::sign_all(&[new.clone(), old.clone()], "event", NOW_S, body);
    let at = NOW_S.to_string();
    for secret in [&old, &new] {
        assert_eq!(secret.verify("event", &at, &header, body, NOW_S), Ok(()));
    }
    assert!(other.verify("event", &at, &header, body, NOW_S).is_err());
    let text = String::from_utf8_lossy(body);
    assert!(new.verify("event", &at, &text, body, NOW_S).is_err(), "a body is no signature of itself");
    assert!(new.verify("event", &text, &header, b"", now_s).is_err());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "https://example.com/hooks?a=b",
        "https://example.com:8443/",
        "http://localhost:3000/hook",
        "https://[2606:4700::1111]/",
        "https://[::ffff:127.0.0.1]:1/",
        "https://10.0.0.1/",
        "https://user:pass@example.com/#x",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,AAAA",
        "120",
        "Sun, 06 Nov 2044 08:49:37 GMT",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
