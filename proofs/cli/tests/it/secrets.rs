//! What is secret is not repeated, and not put where the result goes.

use std::fs;

use serde_json::Value;

use crate::run;

#[test]
fn a_mistyped_amount_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for typed in ["59.98", "5998USD", "-5998", "+5998", "59985998599859985998599859985998", ""] {
        let (status, out, error) = run(folder.path(), &["prove", "--limit", "10000", "--amount", typed]);
        assert!(status == 2 && out.is_empty(), "{typed}: {error}");
        assert!(error.contains("--amount is no whole number of minor units"), "{typed}: {error}");
        assert!(typed.is_empty() || !error.contains(typed), "{error}");
    }
}

#[test]
fn an_opening_goes_to_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("sub")).unwrap();
    let prove = |keep: &str, output: &str| {
        let args = ["prove", "--amount", "5", "--limit", "10000", "--keep-opening", keep, "-o", output];
        run(at, &args)
    };
    for (keep, output, named) in [
        ("one.json", "one.json", "both name one.json"),
        ("one.json", "./one.json", "both name"),
        ("one.json", "sub/../one.json", "both name"),
        ("-", "proof.json", "takes a file and not -"),
        ("-", "-", "takes a file and not -"),
    ] {
        let (status, out, error) = prove(keep, output);
        assert!(status == 2 && out.is_empty() && error.contains(named), "{keep} {output}: {error}");
    }
    assert_eq!(fs::read_dir(at).unwrap().count(), 1, "nothing is written");
    assert_eq!(prove("one.json", "sub/one.json").0, 0);
}

#[test]
fn a_program_gets_wrong_usage_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, error) = run(folder.path(), &["--json", "prove", "--bogus"]);
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!((status, out.as_str(), error["error"]["code"].as_str()), (2, "", Some("USAGE")));
    assert!(error["error"]["message"].as_str().unwrap().contains("--bogus"), "{error}");
    let (status, out, error) = run(folder.path(), &["prove", "--bogus"]);
    assert!(status == 2 && out.is_empty() && error.starts_with("error: "), "{error}");
}
