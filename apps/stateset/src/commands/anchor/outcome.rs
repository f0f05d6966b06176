//! What the chain's word on a batch, and the proof of an event of it, come to.

use super::EventVerdict;
use crate::error::CliError;

/// Where a verdict differs for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Anchored,
    /// The chain does not hold the batch as its event says.
    NoBatch,
    /// It holds the batch, and the event is not where the proof says.
    NoEvent,
    /// It holds both, and something else in the file is not what was anchored.
    OtherFile,
}

impl Outcome {
    pub fn of(holds_batch: bool, event: Option<&EventVerdict>) -> Self {
        match event {
            _ if !holds_batch => Self::NoBatch,
            Some(event) if !(event.on_chain && event.here) => Self::NoEvent,
            Some(event) if !event.file => Self::OtherFile,
            _ => Self::Anchored,
        }
    }

    /// For the first line of what a person reads.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Anchored => "ANCHORED",
            Self::NoBatch | Self::NoEvent => "NOT ANCHORED",
            Self::OtherFile => "ANCHORED, AND THE PROOF FILE IS WRONG",
        }
    }

    /// # Errors
    /// What does not hold. `problems` are of the file.
    pub fn result(self, problems: &[String]) -> Result<(), CliError> {
        match self {
            Self::Anchored => Ok(()),
            Self::NoBatch => {
                Err(CliError::failure("NOT_ANCHORED", "what was asked about does not stand on the chain"))
            }
            Self::NoEvent => Err(CliError::failure(
                "NOT_ANCHORED",
                "the chain holds the batch, and the event of the proof file is not where the file says in it",
            )),
            Self::OtherFile => {
                let problems = problems.join("; ");
                let message = format!(
                    "the chain holds the batch and the event's hash; the event in the file does not match its proof: {problems}"
                );
                Err(CliError::failure("PROOF_INVALID", message)
                    .hint("take the file anew with `stateset proof get`; what was anchored has not changed"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ves::Digest;

    use super::*;

    fn event(on_chain: bool, here: bool, file: bool) -> EventVerdict {
        let problems = if file { Vec::new() } else { vec!["payload hash: it is another".to_owned()] };
        EventVerdict { sequence_number: 2, leaf_hash: Digest::ZERO, on_chain, here, file, problems }
    }

    /// A changed payload was called NOT ANCHORED, though its hash stood on the chain.
    #[test]
    fn what_is_wrong_with_a_file_is_not_said_of_the_chain() {
        let refusal = |outcome: Outcome, event: &EventVerdict| outcome.result(&event.problems).unwrap_err();
        for (holds_batch, event, outcome, code) in [
            (true, event(true, true, false), Outcome::OtherFile, "PROOF_INVALID"),
            (true, event(false, true, true), Outcome::NoEvent, "NOT_ANCHORED"),
            (true, event(true, false, false), Outcome::NoEvent, "NOT_ANCHORED"),
            (false, event(true, true, false), Outcome::NoBatch, "NOT_ANCHORED"),
        ] {
            assert_eq!(Outcome::of(holds_batch, Some(&event)), outcome, "{code}");
            let error = refusal(outcome, &event);
            assert_eq!((error.code.as_str(), error.exit), (code, 1), "{}", error.message);
        }
        let spoiled = refusal(Outcome::OtherFile, &event(true, true, false));
        assert!(spoiled.message.ends_with("does not match its proof: payload hash: it is another"));
        for sound in [Some(event(true, true, true)), None] {
            assert_eq!(Outcome::of(true, sound.as_ref()), Outcome::Anchored);
        }
    }
}
