//! Features that gate what they name: the sequencer builds with each part taken out.

use super::Findings;
use crate::process::{Step, quietly};

/// Programs, and what each may be built with instead of everything.
const COMBINATIONS: &[(&str, &str)] = &[
    ("stateset-sequencer-app", "sqlite"),
    ("stateset-sequencer-app", "postgres"),
    ("stateset-sequencer-app", "sqlite,grpc"),
    ("stateset-sequencer-app", "sqlite,schema-validation"),
    ("stateset-sequencer-app", "sqlite,encryption"),
    ("stateset-sequencer-app", "sqlite,telemetry"),
    ("stateset-sequencer-admin", "sqlite"),
    ("stateset-sequencer-admin", "postgres"),
];

pub fn check() -> Findings {
    let mut found = Findings::default();
    for (package, features) in COMBINATIONS {
        let step = Step::cargo([
            "clippy",
            "--package",
            package,
            "--no-default-features",
            "--features",
            features,
            "--locked",
            "--",
            "-D",
            "warnings",
        ]);
        if let Err(problem) = quietly(&step) {
            found.problem(format!("{package} with {features} alone: {problem}"));
        }
    }
    found
}
