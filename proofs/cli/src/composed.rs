//! The numbers of a composed policy, and the published lists that it names.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::value::RawValue;
use ves_stark_primitives::clauses::INPUTS_MAX;
use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::lists::{LIST_BYTES_MAX, List};
use ves_stark_primitives::openings::{OPENING_BYTES_MAX, Undrawn};
use ves_stark_primitives::{ClausePolicy, FieldOpening};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::{files, random};

/// Longest file of openings.
const OPENINGS_BYTES_MAX: usize = INPUTS_MAX * OPENING_BYTES_MAX;

#[derive(Debug, Args)]
pub struct ComposedArgs {
    /// The numbers of a composed policy in the order of its inputs, a JSON array: objects as --keep-opening writes them, or
    /// {"name":"total","value":"6014"}; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["amount", "amount_file", "opening", "payload"])]
    openings: Option<PathBuf>,
    /// Published list that the composed policy names, once for each
    #[arg(long, value_name = "FILE", requires = "openings")]
    list: Vec<PathBuf>,
}

/// What a composed policy is proved about. Secret.
pub struct Numbers {
    pub openings: Vec<FieldOpening>,
    /// For each clause, in reading order with those of `one_of` after it.
    pub evidence: Vec<Option<Evidence>>,
}

impl ComposedArgs {
    pub fn is_given(&self) -> bool {
        self.openings.is_some()
    }

    pub fn read(&self, policy: &ClausePolicy) -> Result<Numbers, Failure> {
        let file = self.openings.as_deref().ok_or_else(|| {
            Failure::input(
                "USAGE",
                "--policy ves.policy.v2 needs --openings FILE, one for each of its inputs",
            )
        })?;
        let openings = openings(file)?;
        if openings.len() != policy.inputs() {
            let (expected, found) = (policy.inputs(), openings.len());
            let message =
                format!("{}: the policy has {expected} inputs, found {found} openings", file.display());
            return Err(Failure::input("BAD_OPENING", message));
        }
        let lists = self.list.iter().map(|file| list(file)).collect::<Result<Vec<List>, Failure>>()?;
        let values = Zeroizing::new(openings.iter().map(|one| one.opening.value()).collect::<Vec<u64>>());
        let evidence = policy.evidence(&values, &lists).map_err(|error| {
            Failure::input("NO_LIST", error.to_string()).hint("give it with --list FILE, as it was published")
        })?;
        Ok(Numbers { openings, evidence })
    }
}

impl Numbers {
    /// What --openings reads. Secret.
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.openings.len() * OPENING_BYTES_MAX));
        for (place, opening) in self.openings.iter().enumerate() {
            text.push_str(if place == 0 { "[\n" } else { ",\n" });
            text.push_str(&opening.to_json());
        }
        text.push_str("\n]");
        text
    }
}

/// A published list.
pub fn list(file: &Path) -> Result<List, Failure> {
    let text = files::read(file, LIST_BYTES_MAX)?;
    List::parse(&text).map_err(|error| Failure::input("BAD_LIST", format!("{}: {error}", file.display())))
}

fn openings(file: &Path) -> Result<Vec<FieldOpening>, Failure> {
    let text = files::read(file, OPENINGS_BYTES_MAX)?;
    let of_file = |problem: String| Failure::input("BAD_OPENING", format!("{}: {problem}", file.display()));
    let each: Vec<&RawValue> = serde_json::from_str(&text)
        .map_err(|error| of_file(format!("expected a JSON array of openings: {}", place_of(&error))))?;
    let read = each.iter().enumerate().map(|(place, text)| {
        let read = FieldOpening::parse_or_draw(text.get(), random::fill);
        read.map_err(|error| match error {
            Undrawn::Opening(error) => of_file(format!("openings[{place}]: {error}")),
            Undrawn::Random(failure) => failure,
        })
    });
    read.collect()
}

/// Where an error is; its text might repeat a secret.
fn place_of(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}
