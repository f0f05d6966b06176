//! Programs that the build of all tests has made: built once more by themselves they would have other features, and all
//! that they are made of with them.

use std::path::PathBuf;

use serde_json::Value;

use crate::process::Outcome;

/// What cargo said of one build, with `--message-format json`.
#[derive(Default)]
pub struct Built {
    messages: String,
}

impl Built {
    /// Nothing, where the build failed: then whoever needs a program builds it.
    pub fn by(outcome: Outcome) -> Self {
        Self { messages: if outcome.ok() { outcome.output } else { String::new() } }
    }

    /// Where a program lies that this build has made or found fresh, and never its unit tests. `kind` is `bin` or
    /// `example`.
    pub fn program(&self, kind: &str, name: &str) -> Option<PathBuf> {
        let messages = self.messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut paths = messages.filter_map(|message| {
            let target = &message["target"];
            let has_kind =
                target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|found| found == kind));
            let is_wanted = target["name"] == name && has_kind && message["profile"]["test"] == false;
            message["executable"].as_str().filter(|_| is_wanted).map(PathBuf::from)
        });
        paths.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests of whole processes must not be given the unit tests of a program, a library, or another program.
    #[test]
    fn a_program_is_found_among_the_messages_of_its_build() {
        let message = |name: &str, kind: &str, is_test: bool, path: &str| {
            let message = serde_json::json!({
                "reason": "compiler-artifact", "target": { "name": name, "kind": [kind] },
                "profile": { "test": is_test }, "executable": path,
            });
            format!("{message}\n")
        };
        let mut messages = message("stateset", "bin", true, "/t/debug/deps/stateset-0a");
        messages += &message("stateset", "lib", false, "/t/debug/libstateset.rlib");
        messages += &message("stateset-sequencer", "bin", false, "/t/debug/stateset-sequencer");
        messages += "no message\n{\"reason\":\"build-finished\",\"success\":true}\n";
        let built =
            |messages: &str, code| Built::by(Outcome { code: Some(code), output: messages.to_owned() });
        assert_eq!(built(&messages, 0).program("bin", "stateset"), None);
        messages += &message("stateset", "bin", false, "/t/debug/stateset");
        messages += &message("doors", "example", false, "/t/debug/examples/doors");
        let path = |kind, name| built(&messages, 0).program(kind, name);
        assert_eq!(path("bin", "stateset"), Some("/t/debug/stateset".into()));
        assert_eq!(path("example", "doors"), Some("/t/debug/examples/doors".into()));
        assert_eq!(path("example", "stateset"), None);
        // Of a build that failed nothing is of this source.
        assert_eq!(built(&messages, 101).program("bin", "stateset"), None);
    }
}
