//! Composed policies: the invoice of the documentation, and what is refused.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{SEED, public_key, run, run_with};

const PAGE: &str = include_str!("../../../../docs/protocol/compliance-proofs.md");
const CURRENCIES: &str = include_str!("../invoice/currencies.json");
const POLICY: &str = include_str!("../invoice/policy.json");
const INVOICE: &str = include_str!("../invoice/invoice.json");

const COMPOSED: [&str; 4] = ["--policy", "ves.policy.v2", "--policy-params", "policy.json"];
const PROVE: [&str; 7] =
    ["prove", "--openings", "invoice.json", "--list", "currencies.json", "-o", "proof.json"];

/// A folder with the files of the page.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("currencies.json", CURRENCIES), ("policy.json", POLICY), ("invoice.json", INVOICE)]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn prove(at: &Path, more: &[&str]) -> (i32, String, String) {
    run(at, &[&PROVE[..], &COMPOSED, more].concat())
}

fn verify(at: &Path, more: &[&str]) -> (i32, String) {
    let (status, line, error) =
        run(at, &[&["verify", "--proof", "proof.json"], &COMPOSED[..], more].concat());
    assert_eq!(error, "", "{more:?}: {line}");
    (status, line)
}

/// The page shows the files and outputs that this test meets.
#[test]
fn the_invoice_of_the_page_is_proved_and_verified_as_it_says() {
    for (name, text) in [("currencies", CURRENCIES), ("policy", POLICY), ("invoice", INVOICE)] {
        assert!(PAGE.contains(text.trim_end()), "the page does not show {name}.json as it is");
    }
    let folder = folder();
    let at = folder.path();
    let (status, root, error) = run(at, &["list", "--list", "currencies.json"]);
    assert_eq!(status, 0, "{error}");
    let shown = format!("$ ves-stark list --list currencies.json\n{root}");
    assert!(PAGE.contains(&shown), "the page does not show:\n{shown}");
    let policy: Value = serde_json::from_str(POLICY).unwrap();
    assert_eq!(policy["roots"][0], serde_json::from_str::<Value>(&root).unwrap());

    assert_eq!(run(at, &[&["gen-inputs", "-o", "inputs.json"], &COMPOSED[..]].concat()).0, 0);
    let with_inputs = [&PROVE[..], &["--inputs", "inputs.json"], &COMPOSED].concat();
    let (status, told, error) = run_with(at, &with_inputs, "", Some(SEED));
    assert!(status == 0 && told.starts_with("Wrote proof.json: "), "{told}{error}");
    let key = public_key(SEED);
    let (status, line) = verify(at, &["--inputs", "inputs.json", "--agent-key", &key]);
    assert!(status == 0 && line.contains("; binding signed; signed by the agent"), "{line}");

    let (status, inspected, _) = run(at, &["inspect", "--proof", "proof.json"]);
    assert_eq!(status, 0);
    let clauses: Vec<&str> = inspected.lines().filter(|line| line.starts_with("clause")).collect();
    assert!(clauses.len() == 7 && PAGE.contains(&clauses.join("\n")), "{}", clauses.join("\n"));
    // As words: the digits may well stand in a hash.
    let secrets = ["4350", "1200", "5550", "458", "6008"];
    assert!(inspected.split_whitespace().all(|word| !secrets.contains(&word)), "{inspected}");
}

#[test]
fn kept_openings_prove_about_the_same_commitments_again() {
    let folder = folder();
    let at = folder.path();
    assert_eq!(prove(at, &["--keep-opening", "kept.json"]).0, 0);
    let commitments = || {
        let text = fs::read_to_string(at.join("proof.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["publicInputs"]["commitments"].clone()
    };
    let first = commitments();
    let kept = fs::read_to_string(at.join("kept.json")).unwrap();
    let args = ["prove", "--openings", "-", "--list", "currencies.json", "-o", "proof.json"];
    let (status, _, error) = run_with(at, &[&args[..], &COMPOSED].concat(), &kept, None);
    assert_eq!(status, 0, "{error}");
    assert_eq!(commitments(), first);
    assert_eq!(prove(at, &[]).0, 0);
    assert_ne!(commitments(), first, "randomness that is not given is drawn");
}

#[test]
fn an_invoice_that_breaks_a_clause_is_not_proved_and_its_clause_is_named() {
    let folder = folder();
    let at = folder.path();
    for (from, to, clause) in [
        (r#""value":4350"#, r#""value":4351"#, "clause 0"),
        // 457.875 is 458 to the nearest.
        (r#""value":458"#, r#""value":457"#, "clause 3"),
        (r#""value":6008"#, r#""value":6009"#, "clause 4"),
        (r#""value":840"#, r#""value":643"#, "clause 6"),
    ] {
        assert!(INVOICE.contains(from), "{from}");
        fs::write(at.join("invoice.json"), INVOICE.replacen(from, to, 1)).unwrap();
        let (status, out, error) = prove(at, &[]);
        assert!(status == 1 && out.is_empty() && error.contains(clause), "{to}: {error}");
        assert!(!error.contains("4351") && !at.join("proof.json").exists(), "{error}");
    }
}

/// Section 11, item 3.
#[test]
fn another_composed_policy_is_another_statement() {
    let folder = folder();
    let at = folder.path();
    assert_eq!(prove(at, &[]).0, 0);
    let (status, line) = verify(at, &[]);
    assert!(status == 0 && line.contains("NOT signed by an agent"), "{line}");
    fs::write(at.join("policy.json"), POLICY.replace(r#""hi":1000000"#, r#""hi":999999"#)).unwrap();
    let (status, line) = verify(at, &[]);
    assert!(status == 1 && line.contains("policy") && line.contains("differs"), "{line}");
    let (status, line, error) =
        run(at, &["verify", "--proof", "proof.json", "--policy", "order_total.cap", "--limit", "1000000"]);
    assert!(status == 1 && line.contains("differs"), "{line}{error}");
}

#[test]
fn options_that_do_not_belong_together_exit_with_2_and_say_so() {
    let folder = folder();
    let at = folder.path();
    assert_eq!(prove(at, &[]).0, 0);
    let plain = &["prove", "--openings", "invoice.json"][..];
    let cases: &[(&[&str], &str)] = &[
        (&[plain, &COMPOSED[..2]].concat(), "--policy-params FILE"),
        (&[plain, &COMPOSED[..], &["--limit", "5"]].concat(), "--limit is for amount policies"),
        (&[plain, &["--limit", "5"]].concat(), "--openings is for"),
        (&[plain, &["--policy", "aml.threshold"]].concat(), "--limit N"),
        (&[plain, &["--limit", "5", "--policy-params", "policy.json"]].concat(), "--policy-params is for"),
        (&[plain, &COMPOSED[..]].concat(), "--list FILE"),
        (&[plain, &COMPOSED[..], &["--amount", "5"]].concat(), "cannot be used with"),
        (&[plain, &COMPOSED[..], &["--binding", "circuit"]].concat(), "--binding circuit is for"),
        (&[&["prove", "--amount", "5"], &COMPOSED[..]].concat(), "--openings FILE"),
        (&[&["verify", "--proof", "proof.json"], &COMPOSED[..2]].concat(), "--policy-params FILE"),
        (&["verify", "--proof", "proof.json"], "--limit N"),
        (&["list", "--list", "missing.json"], "missing.json"),
    ];
    for (args, named) in cases {
        let (status, out, error) = run(at, args);
        assert!(status == 2 && out.is_empty() && error.contains(named), "{args:?}: {error}");
    }
}

#[test]
fn files_of_another_shape_are_refused_by_place_and_no_number_is_repeated() {
    let folder = folder();
    let at = folder.path();
    for (file, text, named) in [
        ("invoice.json", "[]".to_owned(), "10 inputs, found 0"),
        ("invoice.json", INVOICE.replacen("458", "458.5", 1), "openings[7]"),
        ("invoice.json", INVOICE.replacen(r#""tax""#, r#""total""#, 1), "different names"),
        ("invoice.json", INVOICE.replacen(r#","value":458"#, "", 1), "openings[7]"),
        ("invoice.json", r#"{"name":"tax","value":458}"#.to_owned(), "JSON array"),
        ("policy.json", POLICY.replacen(r#""x":9"#, r#""x":10"#, 1), "clause 6"),
        ("policy.json", "{}".to_owned(), "policyParams"),
        ("currencies.json", CURRENCIES.replacen("840", "756", 1), "entries[2]: 756 stands twice"),
        ("currencies.json", CURRENCIES.replacen("840", "0", 1), "entries[2]"),
        ("currencies.json", CURRENCIES.replacen("840", "841", 1), "version \"2026-11\""),
    ] {
        let folder = self::folder();
        fs::write(folder.path().join(file), &text).unwrap();
        let (status, out, error) = prove(folder.path(), &[]);
        assert!(status == 2 && out.is_empty() && error.contains(named), "{file}: {error}");
        assert!(!error.contains("458"), "{error}");
    }
    let (status, _, error) = prove(at, &["--list", "policy.json"]);
    assert!(status == 2 && error.contains("policy.json: the list"), "{error}");
}

/// Section 11, item 18: an ended list, and one that shows absence.
#[test]
fn lists_end_and_show_absence_where_they_were_published_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let prove = |list: Value| {
        fs::write(at.join("list.json"), list.to_string()).unwrap();
        let (_, root, _) = run(at, &["list", "--list", "list.json", "--json"]);
        let root: Value = serde_json::from_str(&root).unwrap();
        let policy =
            json!({"inputs": 1, "clauses": [{"clause": "non_member", "x": 0, "root": 0}], "roots": [root]});
        fs::write(at.join("policy.json"), policy.to_string()).unwrap();
        let args = ["prove", "--openings", "-", "--list", "list.json", "-o", "proof.json"];
        run_with(at, &[&args[..], &COMPOSED].concat(), r#"[{"name":"account","value":35}]"#, None)
    };
    let list = |until: u64, absence: bool, entries: &[u64]| json!({"version": "1", "validFrom": 0, "validUntil": until, "absence": absence, "entries": entries});
    let (status, _, error) = prove(list(4_102_444_799, true, &[30, 40]));
    assert_eq!(status, 0, "{error}");
    let (status, line) = verify(at, &[]);
    assert!(status == 0, "{line}");
    let (status, _, error) = prove(list(4_102_444_799, true, &[30, 35]));
    assert!(status == 1 && error.contains("clause 0"), "{error}");
    let (status, _, error) = prove(list(1, true, &[30, 40]));
    assert!(status == 1 && error.contains("roots[0] is not valid now"), "{error}");
    let (status, _, error) = prove(list(4_102_444_799, false, &[30, 40]));
    assert!(status == 2 && error.contains("\"absence\": true"), "{error}");
}
