//! Narration whose every claim is a check.

use serde::Serialize;

use crate::error::CliError;
use crate::output::Output;

#[derive(Serialize)]
struct Chapter {
    chapter: String,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    claim: String,
    holds: bool,
}

#[derive(Serialize)]
struct Told {
    holds: bool,
    checks: usize,
    failed: usize,
    story: Vec<Chapter>,
}

/// Tells chapter by chapter, and remembers what did not hold.
pub struct Story {
    out: Output,
    chapters: Vec<Chapter>,
}

impl Story {
    pub fn new(out: Output) -> Self {
        Self { out, chapters: Vec::new() }
    }

    pub fn chapter(&mut self, title: &str) {
        self.out.note(&format!("\n{}. {title}", self.chapters.len() + 1));
        self.chapters.push(Chapter { chapter: title.to_owned(), checks: Vec::new() });
    }

    /// A fact of the story that needs no check, such as an id.
    pub fn tell(&self, text: &str) {
        self.out.note(&format!("     {text}"));
    }

    pub fn check(&mut self, claim: impl Into<String>, holds: bool) {
        let claim = claim.into();
        self.out.note(&format!("   {} {claim}", if holds { "ok" } else { "FAILED" }));
        let chapter = self.chapters.last_mut().expect("a check stands in a chapter");
        chapter.checks.push(Check { claim, holds });
    }

    /// The verdict over all chapters.
    pub fn end(self) -> Result<(), CliError> {
        let all = || self.chapters.iter().flat_map(|chapter| &chapter.checks);
        let (checks, failed) = (all().count(), all().filter(|check| !check.holds).count());
        let told = Told { holds: failed == 0, checks, failed, story: self.chapters };
        let text = match failed {
            0 => format!("\nAll {checks} checks hold. Start your own with `stateset up`."),
            _ => format!("\n{failed} of {checks} checks FAILED."),
        };
        self.out.result(&told, &text);
        match failed {
            0 => Ok(()),
            _ => Err(CliError::failure("DEMO_FAILED", format!("{failed} of {checks} checks failed"))),
        }
    }
}
