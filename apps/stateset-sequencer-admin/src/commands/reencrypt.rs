//! `reencrypt-…`: what lies in the database gets the form that the service writes now (sequencer API, section 6.1): sealed
//! with the newest key, or in clear where the mode is `disabled`.
//!
//! A running service does this by itself, so these commands take the writer's place. Stopped half-way, the same command
//! goes on where it was.

use clap::Args;
use serde::Serialize;
use stateset_at_rest::{AtRest, Kind, Mode, Plan, Run, Tally, run_on};
use stateset_event_log::{EventLog, LogError, Opening};
use stateset_sequencer::{Act, Action};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::joined;
use ves::{StoreId, TenantId};

use super::Context;
use crate::args::Target;
use crate::writing::put_documents_recorded;

#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    pub what: What,
    /// Events read and written at once
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch_size: u32,
}

#[derive(Debug, Args)]
pub struct ProofsArgs {
    #[command(flatten)]
    pub what: What,
    /// Proofs read and written at once
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch_size: u32,
}

#[derive(Debug, Args)]
pub struct What {
    /// One tenant alone
    #[arg(long, value_name = "UUID")]
    pub tenant_id: Option<TenantId>,
    /// One of its stores alone
    #[arg(long, value_name = "UUID", requires = "tenant_id")]
    pub store_id: Option<StoreId>,
    /// Stop after so many were written
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Count what would be written; a service may run meanwhile
    #[arg(long)]
    pub dry_run: bool,
    /// Write also what the newest key has sealed, with fresh nonces
    #[arg(long)]
    pub force: bool,
}

#[derive(Serialize)]
struct Done {
    kinds: Vec<Kind>,
    mode: &'static str,
    dry_run: bool,
    seen: u64,
    rewritten: u64,
    /// No key opened them; they are as they were.
    unopened: u64,
    /// Whether older keys are needed no more, in the whole database; not known of a dry run.
    all_done: Option<bool>,
}

/// How far the whole database is after a run.
enum Rest {
    /// Nobody asked.
    Unknown,
    /// Some kinds were not looked through yet.
    Rotating,
    /// Everything was, and so many records were opened by no key, in this run or in one before.
    Unopened(u64),
    Nothing,
}

pub fn events(context: &Context, args: &EventsArgs) -> Result<(), Failure> {
    let kinds = [&[Kind::Events, Kind::LegacyEvents], &Kind::DERIVED[..]].concat();
    run(context, &args.what, args.batch_size, &kinds, "records")
}

pub fn validity_proofs(context: &Context, args: &ProofsArgs) -> Result<(), Failure> {
    run(context, &args.what, args.batch_size, &[Kind::ValidityProofs], "proofs")
}

pub fn compliance_proofs(context: &Context, args: &ProofsArgs) -> Result<(), Failure> {
    run(context, &args.what, args.batch_size, &[Kind::ComplianceProofs], "proofs")
}

fn run(context: &Context, what: &What, batch: u32, kinds: &[Kind], unit: &str) -> Result<(), Failure> {
    let target = context.target()?;
    let at_rest = &target.workers.at_rest;
    let plan = Plan {
        kinds: kinds.to_vec(),
        tenant: what.tenant_id,
        store: what.store_id,
        batch: batch as usize,
        limit: what.limit,
        force: what.force,
        dry: what.dry_run,
    };
    let bar = context.out.progress(0, unit);
    let mut progress = |tally: Tally| {
        bar.set_length(tally.seen);
        bar.set_position(tally.seen);
    };
    let (tally, rest) = match what.dry_run {
        true => (count(&target, at_rest, plan, &mut progress)?, Rest::Unknown),
        false => write(&target, at_rest, plan, &mut progress)?,
    };
    bar.finish_and_clear();
    let Tally { seen, rewritten, unopened } = tally;
    let mode = at_rest.keys().mode().text();
    let all_done = match rest {
        Rest::Unknown => None,
        Rest::Rotating | Rest::Unopened(_) => Some(false),
        Rest::Nothing => Some(true),
    };
    let done =
        Done { kinds: kinds.to_vec(), mode, dry_run: what.dry_run, seen, rewritten, unopened, all_done };
    let would = if what.dry_run { "would be" } else { "were" };
    let mut text = format!("{seen} {unit} were looked at, {rewritten} {would} written (mode {mode}).\n");
    text.push_str(match rest {
        Rest::Unknown => "",
        Rest::Rotating => {
            "Older keys are still needed, until all three reencrypt commands came to their end."
        }
        Rest::Unopened(_) => "Older keys are still needed: they sealed records that no key opened.",
        Rest::Nothing => {
            "Everything in the database has this form: keys before the newest are needed no more."
        }
    });
    context.out.result(&done, &text);
    let left = match (unopened, rest) {
        (0, Rest::Unopened(n)) => format!("{n} records in the database"),
        (0, _) => return Ok(()),
        (n, _) => format!("{n} {unit}"),
    };
    Err(Failure::failed("SEALED", format!("{left} were opened by no key and are as they were"))
        .hint("put the key that sealed them behind the newest one in PAYLOAD_ENCRYPTION_KEYS, and run the commands again"))
}

/// What would be written, read beside whoever writes.
fn count(
    target: &Target,
    at_rest: &AtRest,
    plan: Plan,
    progress: &mut dyn FnMut(Tally),
) -> Result<Tally, Failure> {
    let raw = target.raw_reader()?;
    let mut run = Run::new(at_rest.clone(), raw.as_ref(), plan)?;
    while run.next(raw.as_ref())?.is_some() {
        progress(run.tally());
    }
    Ok(run.tally())
}

fn write(
    target: &Target,
    at_rest: &AtRest,
    plan: Plan,
    progress: &mut dyn FnMut(Tally),
) -> Result<(Tally, Rest), Failure> {
    let mut log = open(target)?;
    let Some(raw) = at_rest.raw() else {
        // Nothing is sealed, nothing ever was, and no key was given.
        debug_assert_eq!(at_rest.keys().mode(), Mode::Disabled);
        log.close()?;
        return Ok((Tally::default(), Rest::Nothing));
    };
    // Before, since it is many writes.
    let act = Act::new(Action::PayloadsReencrypted).with(serde_json::json!({
        "kinds": plan.kinds, "store_id": plan.store, "limit": plan.limit, "force": plan.force,
        "mode": at_rest.keys().mode().text(),
    }));
    let act = plan.tenant.into_iter().fold(act, Act::in_tenant);
    put_documents_recorded(log.as_mut(), act, Vec::new())?;
    let mut run = Run::new(at_rest.clone(), raw.as_ref(), plan)?;
    let tally = run_on(&mut run, log.as_mut(), raw.as_ref(), progress)?;
    log.close()?;
    let rest = match (at_rest.status().is_rotating, at_rest.unopened()) {
        (true, _) => Rest::Rotating,
        (false, 0) => Rest::Nothing,
        (false, n) => Rest::Unopened(n),
    };
    Ok((tally, rest))
}

fn open(target: &Target) -> Result<Box<dyn EventLog>, Failure> {
    if let Some(file) = target.database.file().filter(|file| !file.is_file()) {
        return Err(Failure::input("NO_DATABASE", format!("there is no database at {}", file.display())));
    }
    match joined::store(target.store()?, &target.workers).open() {
        Ok(Opening::Writer(log)) => Ok(log),
        Ok(Opening::Held(_)) | Err(LogError::Locked { .. }) => Err(Failure::failed(
            "DATABASE_IN_USE",
            format!("a service writes {}", target.database),
        )
        .hint(
            "it rotates by itself, until sequencer_at_rest_rotating in its /metrics is 0; or stop it first",
        )),
        Err(error) => Err(error.into()),
    }
}
