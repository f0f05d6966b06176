//! `projections`: how far the states of entities are, whether they are what the events say, and building them anew.

use clap::{Args, Subcommand};
use serde::Serialize;
use stateset_projection::{Checkpoint, PortError};
use stateset_sequencer::{Act, Action};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::joined::{self, projections};
use ves::{StoreId, StreamKey, TenantId};

use super::Context;
use crate::reading::streams;
use crate::writing::{Writer, put_documents_recorded};

/// Differences that are listed; the others are counted.
const SHOWN_MAX: usize = 20;
const IN_USE: &str = "DATABASE_IN_USE";

#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// How far the states of each stream are
    Status(StreamArgs),
    /// Fold the events again in memory and compare every state
    Check(StreamArgs),
    /// Build the states from nothing at the next start of the service
    Rebuild(StreamArgs),
}

#[derive(Debug, Args)]
pub struct StreamArgs {
    /// One tenant alone
    #[arg(long, value_name = "UUID")]
    pub tenant_id: Option<TenantId>,
    /// One of its stores alone
    #[arg(long, value_name = "UUID", requires = "tenant_id")]
    pub store_id: Option<StoreId>,
}

pub fn run(context: &Context, command: &ProjectionsCommand) -> Result<(), Failure> {
    match command {
        ProjectionsCommand::Status(args) => status(context, args),
        ProjectionsCommand::Check(args) => check(context, args),
        ProjectionsCommand::Rebuild(args) => rebuild(context, args),
    }
}

#[derive(Serialize)]
struct Status {
    stream: StreamKey,
    head_sequence: u64,
    /// Events behind the head.
    lag: u64,
    #[serde(flatten)]
    checkpoint: Checkpoint,
}

fn status(context: &Context, args: &StreamArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let mut all = Vec::new();
    for stream in streams(reader.as_ref(), args.tenant_id, args.store_id)? {
        let head_sequence = reader.head(&stream)?.get();
        let checkpoint = projections::status(reader.as_ref(), &stream).map_err(unread)?;
        let lag = head_sequence.saturating_sub(checkpoint.sequence);
        all.push(Status { stream, head_sequence, lag, checkpoint });
    }
    let line = |status: &Status| {
        let Checkpoint { sequence, applied, skipped, unreadable, refused, .. } = status.checkpoint;
        format!(
            "{}  {sequence} of {} events: {applied} applied, {skipped} without a state, {unreadable} unreadable, \
             {refused} refused\n",
            status.stream, status.head_sequence
        )
    };
    context.out.result(&all, &all.iter().map(line).collect::<String>());
    Ok(())
}

#[derive(Default, Serialize)]
struct Found {
    streams: u64,
    events: u64,
    entities: u64,
    differences_count: u64,
    differences: Vec<Differs>,
}

#[derive(Serialize)]
struct Differs {
    stream: StreamKey,
    entity_type: String,
    entity_id: String,
    problem: &'static str,
}

fn check(context: &Context, args: &StreamArgs) -> Result<(), Failure> {
    let target = context.target()?;
    // States and the events they are folded from may be sealed at rest.
    let reader = joined::reader(target.snapshot()?, &target.workers);
    let mut found = Found::default();
    for stream in streams(reader.as_ref(), args.tenant_id, args.store_id)? {
        let checked = projections::check(&reader, &stream).map_err(unread)?;
        found.streams += 1;
        found.events += checked.events;
        found.entities += checked.entities;
        found.differences_count += checked.differences.len() as u64;
        for difference in checked.differences {
            if found.differences.len() == SHOWN_MAX {
                break;
            }
            found.differences.push(Differs {
                stream,
                entity_type: difference.entity.entity_type().to_owned(),
                entity_id: difference.entity.entity_id().to_owned(),
                problem: match (&difference.stored, &difference.folded) {
                    (None, _) => "its state is missing",
                    (_, None) => "it has a state and no events",
                    _ => "its state is not what its events say",
                },
            });
        }
    }
    let Found { streams, events, entities, differences_count, .. } = &found;
    let mut text = format!("Folded again: {events} events of {streams} streams, {entities} entities.\n");
    for Differs { stream, entity_type, entity_id, problem } in &found.differences {
        text.push_str(&format!("  {stream} {entity_type} {entity_id}: {problem}\n"));
    }
    text.push_str(&match differences_count {
        0 => "Every state is what its events say.".to_owned(),
        n => format!("{n} differ."),
    });
    context.out.result(&found, &text);
    match found.differences_count {
        0 => Ok(()),
        n => Err(Failure::failed("STATES_DIFFER", format!("{n} states are not what their events say")).hint(
            "stop the service, run `stateset-sequencer-admin projections rebuild`, and start it again",
        )),
    }
}

fn rebuild(context: &Context, args: &StreamArgs) -> Result<(), Failure> {
    let target = context.target()?;
    // No route of a service does this, so what it would take to go through one is no help.
    let is_stopped = |failure: Failure| match failure.code == IN_USE {
        true => failure.hint("stop it: states are built from nothing at its next start"),
        false => failure,
    };
    let Writer::Log(mut log) = Writer::find(&target, &context.global).map_err(is_stopped)? else {
        let problem = format!("a service writes {}", target.database);
        return Err(is_stopped(Failure::failed(IN_USE, problem)));
    };
    let reader = log.reader();
    let mut changes = Vec::new();
    for stream in streams(reader.as_ref(), args.tenant_id, args.store_id)? {
        changes.extend(projections::rebuild(reader.as_ref(), &stream).map_err(unread)?);
    }
    let count = changes.len();
    if count > 0 {
        let act = Act::new(Action::ProjectionsRebuilt)
            .with(serde_json::json!({ "streams": count, "store_id": args.store_id }));
        let act = args.tenant_id.into_iter().fold(act, Act::in_tenant);
        put_documents_recorded(log.as_mut(), act, changes)?;
    }
    log.close()?;
    let value = serde_json::json!({"streams": count});
    let text = format!("The states of {count} streams are built from nothing at the next start.");
    context.out.result(&value, &text);
    Ok(())
}

fn unread(error: PortError) -> Failure {
    Failure::failed("PROJECTIONS", error.to_string())
}
