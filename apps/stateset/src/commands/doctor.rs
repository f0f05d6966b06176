//! `stateset doctor`: what this installation stands on, and what is wrong with it.

mod parts;

use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use parts::{Says, clock, data, keys, server, space, store};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Nothing is broken, but a person should know.
    Note,
    Wrong,
}

#[derive(Serialize)]
struct Finding {
    part: &'static str,
    state: State,
    /// What really stands behind the part, or what is wrong.
    says: String,
}

#[derive(Serialize)]
struct Diagnosis {
    healthy: bool,
    findings: Vec<Finding>,
}

pub fn run(context: &Context) -> Result<(), CliError> {
    let profile = context.data.profile();
    let known = profile.as_ref().ok().and_then(Option::as_ref);
    let parts: [(&'static str, Says); 7] = [
        (
            "program",
            Ok((State::Ok, format!("stateset {} for {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))),
        ),
        (
            "data directory",
            profile.as_ref().map_err(|error| error.message.clone()).and_then(|p| data(context, p.as_ref())),
        ),
        ("disk space", space(context.data.path())),
        ("clock", clock()),
        ("keys", keys(context, known)),
        ("store", store(context, known)),
        ("server", server(context, known)),
    ];
    let findings: Vec<Finding> = parts
        .into_iter()
        .map(|(part, says)| {
            let (state, says) = says.unwrap_or_else(|problem| (State::Wrong, problem));
            Finding { part, state, says }
        })
        .collect();
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    let lines = findings.iter().map(|finding| {
        let mark = match finding.state {
            State::Ok => "ok   ",
            State::Note => "note ",
            State::Wrong => "WRONG",
        };
        format!("{mark}  {:<15} {}\n", finding.part, finding.says)
    });
    let text = lines.collect::<String>();
    context.out.result(&Diagnosis { healthy: wrong == 0, findings }, &text);
    match wrong {
        0 => Ok(()),
        _ => Err(CliError::failure("UNHEALTHY", format!("{wrong} parts have a problem"))),
    }
}
