//! The calls that every library answers: `testing/vectors/libraries.json` is made here, of the core vectors and of what they
//! leave out, and held against the code. `UPDATE_GOLDEN=1 cargo test -p ves-wasm` writes it anew.

mod cases;
mod stream;
mod webhooks;

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

const FILE: &str = "testing/vectors/libraries.json";
const ABOUT: &str = "Every library makes each call with its input and compares the output, or the code of the error. \
                     Made by `UPDATE_GOLDEN=1 cargo test -p ves-wasm`.";

fn workspace(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

/// The file, one case a line so that a change is read line by line.
fn text() -> String {
    let core = std::fs::read_to_string(workspace("testing/vectors/ves_core.json")).expect("core vectors");
    let core: Value = serde_json::from_str(&core).expect("core vectors are JSON");
    let cases = [cases::all(&core), stream::all(&core), webhooks::all()].concat();
    let lines: Vec<String> = cases.iter().map(|case| format!("  {case}")).collect();
    let about = Value::from(ABOUT);
    format!(
        "{{\n \"protocol\": \"VES v1.0\",\n \"about\": {about},\n \"cases\": [\n{}\n ]\n}}\n",
        lines.join(",\n")
    )
}

#[test]
fn the_vectors_of_the_libraries_are_what_the_code_answers() {
    let (path, made) = (workspace(FILE), text());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).expect("the vectors are written");
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    // Not assert_eq: two files of this length help nobody.
    let differs = held.lines().zip(made.lines()).position(|(held, made)| held != made);
    assert!(held == made, "{FILE} differs at line {differs:?} (UPDATE_GOLDEN=1 writes it anew)");
}

#[test]
fn names_are_unique_and_every_call_has_good_and_bad_cases() {
    let file: Value = serde_json::from_str(&text()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let mut seen = std::collections::BTreeMap::<&str, (u32, u32)>::new();
    let mut names = std::collections::BTreeSet::new();
    for case in cases {
        let (call, name) = (case["call"].as_str().unwrap(), case["name"].as_str().unwrap());
        assert!(names.insert((call, name)), "{call}/{name} stands there twice");
        let count = seen.entry(call).or_default();
        if case.get("error").is_some() { count.1 += 1 } else { count.0 += 1 }
    }
    for (call, (good, bad)) in seen {
        let total = ["public_keys", "sign", "possession_challenge", "leaf_hash"].contains(&call);
        assert!(good > 0 && (bad > 0 || total), "{call}: {good} good, {bad} bad");
    }
}

#[test]
fn every_code_stands_in_the_book() {
    let page = std::fs::read_to_string(workspace("docs/developer/libraries.md")).expect("the page");
    let file: Value = serde_json::from_str(&text()).unwrap();
    for code in file["cases"].as_array().unwrap().iter().filter_map(|case| case.get("error")) {
        let code = code.as_str().expect("a code is a text");
        assert!(page.contains(&format!("`{code}`")), "docs/developer/libraries.md does not name {code}");
    }
}

#[test]
fn a_request_that_is_none_is_answered() {
    for bad in [
        &b""[..],
        b"{}",
        b"\xff",
        b"{\"call\":\"sign\"}",
        b"{\"call\":\"sign\",\"input\":{}}",
        b"{\"call\":\"nothing\",\"input\":{}}",
    ] {
        let answer: Value = serde_json::from_str(&ves_wasm::answer(bad)).unwrap();
        assert_eq!(answer["error"]["code"], "invalid_input", "{answer}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(serde_json::from_str::<Value>(&ves_wasm::answer(&bytes)).is_ok());
    }

    /// A case with one byte changed is answered too, whatever it then says.
    #[test]
    fn a_damaged_request_is_answered(pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static REQUESTS: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
            let file: Value = serde_json::from_str(&text()).unwrap();
            let cases = file["cases"].as_array().unwrap().iter();
            cases.map(|case| serde_json::json!({"call": case["call"], "input": case["input"]}).to_string().into_bytes()).collect()
        });
        let mut request = pick.get(&REQUESTS).clone();
        let at = at.index(request.len());
        request[at] = byte;
        prop_assert!(serde_json::from_str::<Value>(&ves_wasm::answer(&request)).is_ok());
    }
}
