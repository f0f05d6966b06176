//! Features that gate what they name: the sequencer builds with each part taken out.
//!
//! Lints that clippy has were held against all features before. What a combination of fewer can add is what the compiler
//! itself finds: names that are gone, and what nobody uses any more. So each is compiled, and its warnings are problems.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Findings;
use crate::process::{Step, silently};

/// Programs, and what each may be built with instead of everything. Each is built alone, or one would turn on what another
/// forgets to ask for; what several stand on is compiled once all the same.
const COMBINATIONS: &[(&str, &str)] = &[
    ("stateset-sequencer-app", "sqlite"),
    ("stateset-sequencer-admin", "sqlite"),
    ("stateset-sequencer-app", "postgres"),
    ("stateset-sequencer-admin", "postgres"),
    ("stateset-sequencer-app", "sqlite,grpc"),
    ("stateset-sequencer-app", "sqlite,schema-validation"),
    ("stateset-sequencer-app", "sqlite,encryption"),
    ("stateset-sequencer-app", "sqlite,telemetry"),
    ("stateset-sequencer-app", "sqlite,pkcs11"),
];

pub fn check() -> Findings {
    let mut found = Findings::default();
    for (package, features) in COMBINATIONS {
        let outcome = silently(&Step::cargo([
            "check",
            "--package",
            package,
            "--no-default-features",
            "--features",
            features,
            "--locked",
            "--message-format",
            "json",
        ]));
        for said in diagnostics(&outcome.output) {
            found.problem(format!("{package} with {features} alone: {said}"));
        }
        if !outcome.ok() {
            found.problem(format!("{package} with {features} alone: it does not build"));
        }
    }
    found
}

/// What the compiler says of our own packages, each thing once. Cargo hides those of others.
fn diagnostics(messages: &str) -> BTreeSet<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let said = messages.filter(|message| message["reason"] == "compiler-message");
    let said = said.filter_map(|message| Some(message["message"]["rendered"].as_str()?.trim().to_owned()));
    // The last line of a package counts the others.
    said.filter(|text| !text.contains(" warning emitted") && !text.contains(" warnings emitted")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_of_the_compiler_is_a_problem_and_told_once() {
        let message = |text: &str| {
            serde_json::json!({"reason": "compiler-message", "message": {"rendered": text}}).to_string()
        };
        let output = [
            "no JSON".to_owned(),
            serde_json::json!({"reason": "compiler-artifact"}).to_string(),
            message("warning: unused import: `a::B`\n"),
            message("warning: unused import: `a::B`\n"),
            message("warning: `x` (lib) generated 1 warning emitted"),
        ];
        let found = diagnostics(&output.join("\n"));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["warning: unused import: `a::B`"]);
        assert!(diagnostics("").is_empty());
    }
}
