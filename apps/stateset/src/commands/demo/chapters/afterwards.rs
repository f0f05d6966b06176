//! The story after the service was stopped.

use std::path::Path;

use stateset_client::audit::{Keys, ServerSource, audit};
use stateset_client::{Identity, SigningKeys};
use ves::{SequenceNumber, StreamKey};

use super::super::World;
use super::super::story::Story;
use super::SECRET;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::store_source;

/// What is still there when the service comes back.
pub fn after_restart(story: &mut Story, world: &World) -> Result<(), CliError> {
    let stream = world.installation.profile.stream();
    let head = world.client.head(&stream)?.head_sequence;
    story.check("all five events are still there", head == SequenceNumber(5));
    let keys = world.client.signing_keys(&stream)?;
    let all = Keys { agents: &keys, sequencer: &world.identity };
    let report = audit(&ServerSource(&world.client), &stream, &all, &|_, _| ());
    let report = report.map_err(|problem| CliError::failure("CANNOT_READ_LOG", problem))?;
    report.problems.iter().for_each(|problem| story.tell(problem));
    story.check(
        format!("audited from outside, {} signatures and 2 commitments hold", report.signatures),
        report.holds() && report.signatures == 10 && report.commitments == 2,
    );
    Ok(())
}

/// The same audit on the closed store file.
pub fn audit_store(
    story: &mut Story,
    stream: &StreamKey,
    identity: &Identity,
    data: &DataDir,
) -> Result<(), CliError> {
    let source = store_source::open(&data.store_file())?;
    let keys: SigningKeys = source.signing_keys(stream)?;
    let report = audit(&source, stream, &Keys { agents: &keys, sequencer: identity }, &|_, _| ());
    let report = report.map_err(|problem| CliError::failure("CANNOT_READ_LOG", problem))?;
    report.problems.iter().for_each(|problem| story.tell(problem));
    story.check(
        "audited in the store file, with no service running, everything holds",
        report.holds() && report.events == 5,
    );
    story.check(
        "and the sealed text is in none of the store's bytes",
        !bytes_of(&data.store())?.contains(SECRET),
    );
    Ok(())
}

/// The bytes of all files of a folder, as text for searching.
fn bytes_of(folder: &Path) -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io("read", folder, &error);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        all.extend(std::fs::read(entry.map_err(failed)?.path()).map_err(failed)?);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}
