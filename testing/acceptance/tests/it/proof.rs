//! `stateset proof`: fetched from a server, checked from the file alone, refused when one byte differs.

use serde_json::Value;
use stateset_acceptance::Service;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_acceptance::service::run_on;
use stateset_fixtures::Agent;

#[test]
fn a_proof_is_checked_offline_and_its_tampered_twin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let service = Service::start(&data);
    let stream = service.default_stream();
    let agent = Agent::new(&stream, 1);
    register(&service.rest(), &agent).unwrap();
    let (status, answer) =
        service.rest().post("/api/v1/ves/events/ingest", &orders(&agent, &stream, 1, 9)).unwrap();
    assert!(receipts(status, &answer).unwrap().is_some(), "{answer}");
    assert_eq!(run_on(&data, &["commit", "--json"]).0, Some(0));
    let (good, bad) = (folder.path().join("good.json"), folder.path().join("bad.json"));
    let (code, out, error) = run_on(&data, &["proof", "get", "5", "--out", good.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(service.stop().success());

    // From here on there is no server, and the data folder is another: the verifier brings the key.
    let profile: Value = serde_json::from_slice(&std::fs::read(data.join("profile.json")).unwrap()).unwrap();
    let key = profile["sequencer_public_key"].as_str().expect("the profile names the key").to_owned();
    let verify = |file: &std::path::Path, more: &[&str]| {
        run_on(&elsewhere, &[&["proof", "verify", file.to_str().unwrap(), "--json"], more].concat())
    };
    let verdict = |out: &str| serde_json::from_str::<Value>(out).expect(out)[0].clone();
    let (code, out, error) = verify(&good, &["--sequencer-key", &key]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert_eq!(verdict(&out)["sequencer_key_trusted"], true);
    assert_eq!(verdict(&out)["agent_key_trusted"], false);
    assert_eq!(verdict(&out)["event_in_signed_log"], true);

    // No key at hand: the file does not vouch for itself unless told to.
    let (code, out, error) = verify(&good, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
    assert!(error.contains("--sequencer-key") && error.contains("--trust-file-keys"), "{error}");
    let (code, out, error) = verify(&good, &["--trust-file-keys"]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert_eq!(verdict(&out)["sequencer_key_trusted"], false);
    let text = std::fs::read_to_string(&good).unwrap();
    let total = text.find("total_minor").expect("the order's total is in the file");
    let digit = total + text[total..].find(|c: char| c.is_ascii_digit()).expect("a number");
    let other = if &text[digit..=digit] == "1" { "2" } else { "1" };
    let mut tampered = text.clone();
    tampered.replace_range(digit..=digit, other);
    assert!(serde_json::from_str::<Value>(&tampered).is_ok(), "only the amount was changed");
    std::fs::write(&bad, tampered).unwrap();
    let (code, out, error) = verify(&bad, &["--sequencer-key", &key]);
    assert_eq!(code, Some(1), "{out}{error}");
}
