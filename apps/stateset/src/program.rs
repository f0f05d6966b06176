//! The other programs behind this name: `stateset sequencer …`, or this file linked as `stateset-sequencer`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

type Run = fn(Vec<OsString>) -> ExitCode;

/// A program with its arguments; the first of them is the name it goes by.
pub struct Program {
    run: Run,
    args: Vec<OsString>,
}

impl Program {
    pub fn run(self) -> ExitCode {
        (self.run)(self.args)
    }
}

/// The word after `stateset`, the name of a link, and what they run.
const PROGRAMS: [(&str, &str, Run); 6] = [
    ("sequencer", "stateset-sequencer", |args| stateset_sequencer_app::run(args)),
    ("sequencer-admin", "stateset-sequencer-admin", |args| stateset_sequencer_admin::run(args)),
    ("mcp", "stateset-mcp", |args| stateset_mcp_app::run(args)),
    ("sync", "stateset-sync", |args| stateset_sync_app::run(args)),
    ("stark", "ves-stark", |args| ves_stark_cli::run(args)),
    ("node", "statesetd", |args| statesetd_app::run(args)),
];

/// The program that the arguments mean, where it is not `stateset` itself.
pub fn named(args: &[OsString]) -> Option<Program> {
    let called = Path::new(args.first()?).file_stem()?.to_str()?;
    for (name, link, run) in PROGRAMS {
        if called == link {
            return Some(Program { run, args: args.to_vec() });
        }
        // `--json` is an option of all of them but the service, and means the same before the name.
        let json =
            usize::from(args[1..].first().is_some_and(|first| first == "--json") && name != "sequencer");
        if args.get(1 + json).is_some_and(|word| word == name) {
            // The usage line then says what was typed.
            let shown = [OsString::from(format!("stateset {name}"))];
            let rest = args[1..1 + json].iter().chain(&args[2 + json..]).cloned();
            return Some(Program { run, args: shown.into_iter().chain(rest).collect() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed_on(args: &[&str]) -> Option<Vec<OsString>> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        named(&args).map(|program| program.args)
    }

    #[test]
    fn a_link_and_a_first_word_name_the_same_program() {
        assert_eq!(handed_on(&["/usr/bin/stateset-sequencer", "config"]).unwrap()[1..], ["config"]);
        assert_eq!(
            handed_on(&["stateset", "sequencer", "--help"]).unwrap(),
            ["stateset sequencer", "--help"]
        );
        assert_eq!(handed_on(&["stateset", "sequencer-admin"]).unwrap(), ["stateset sequencer-admin"]);
        assert_eq!(handed_on(&["ves-stark", "verify"]).unwrap()[1..], ["verify"]);
        assert_eq!(handed_on(&["stateset", "stark", "verify"]).unwrap(), ["stateset stark", "verify"]);
        assert_eq!(
            handed_on(&["stateset", "--json", "node", "status"]).unwrap(),
            ["stateset node", "--json", "status"]
        );
        assert_eq!(handed_on(&["stateset", "--json", "sync"]).unwrap(), ["stateset sync", "--json"]);
        assert!(handed_on(&["stateset", "--json", "sequencer"]).is_none(), "the service has no such option");
        assert!(handed_on(&["stateset", "--json"]).is_none());
        for own in [&["stateset"][..], &["stateset", "up"], &["stateset-other", "config"]] {
            assert!(handed_on(own).is_none(), "{own:?}");
        }
    }
}
