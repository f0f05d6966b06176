//! `schemas`: what payloads of an event type look like, in versions (sequencer API, section 3.9). Looked at in the database;
//! changed there, or through the service that writes it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateset_event_log::LogReader;
use stateset_sequencer::schema::read::{by_id, page, validate, versions};
use stateset_sequencer::{
    Clock as _, Compatibility, NewSchema, SCHEMA_BYTES_MAX, Schema, SchemaChange, SchemaError, SchemaMode,
    SchemaStatus, SystemClock,
};
use stateset_sequencer_app::failure::Failure;
use uuid::Uuid;
use ves::TenantId;
use ves_wire::schemas::{RegisterSchemaRequest, RegisteredSchema, SchemaStatusAnswer, SchemaStatusRequest};

use super::Context;
use crate::writing::{Writer, put_documents_recorded};

/// Bytes of a payload file: the largest payload that a setting admits.
const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Subcommand)]
pub enum SchemasCommand {
    /// Register the next version of the schema of an event type
    Register(RegisterArgs),
    /// List schemas by event type and version
    List(ListArgs),
    /// Show one with the schema itself
    Show(OneArgs),
    /// Have a schema check payloads; its life only goes forward, so none becomes active again
    Activate(OneArgs),
    /// Have a schema check payloads only while no other version is active
    Deprecate(OneArgs),
    /// Keep a deprecated schema to be read; it checks nothing any more
    Archive(OneArgs),
    /// Say what ingest would say of a payload
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// Whose schema
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    /// Such as order.created
    #[arg(long, value_name = "TYPE")]
    pub event_type: String,
    /// What it has to have in common with the version before: backward, forward, full or none
    #[arg(long, value_name = "WORD", default_value = "backward", value_parser = compatibility)]
    pub compatibility: Compatibility,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Only say whether it could be registered
    #[arg(long)]
    pub dry_run: bool,
    /// A JSON Schema; `-` reads stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Whose schemas
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    /// One event type's alone
    #[arg(long, value_name = "TYPE", conflicts_with = "after")]
    pub event_type: Option<String>,
    /// Schemas shown at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Go on after this schema, as the list before ended
    #[arg(long, value_name = "SCHEMA")]
    pub after: Option<Uuid>,
}

#[derive(Debug, Args)]
pub struct OneArgs {
    /// Its id, as `list` shows it
    #[arg(value_name = "SCHEMA")]
    pub id: Uuid,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Whose schemas
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    /// Such as order.created
    #[arg(long, value_name = "TYPE")]
    pub event_type: String,
    /// This version, whatever its status [default: the one in force]
    #[arg(long, value_name = "NUMBER")]
    pub schema_version: Option<u32>,
    /// A payload; `-` reads stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

fn compatibility(text: &str) -> Result<Compatibility, String> {
    Compatibility::parse(text).ok_or_else(|| "expected backward, forward, full or none".to_owned())
}

pub fn run(context: &Context, command: &SchemasCommand) -> Result<(), Failure> {
    match command {
        SchemasCommand::Register(args) => register(context, args),
        SchemasCommand::List(args) => listed(context, args),
        SchemasCommand::Show(args) => show(context, args),
        SchemasCommand::Activate(args) => set_status(context, args, SchemaStatus::Active),
        SchemasCommand::Deprecate(args) => set_status(context, args, SchemaStatus::Deprecated),
        SchemasCommand::Archive(args) => set_status(context, args, SchemaStatus::Archived),
        SchemasCommand::Check(args) => check(context, args),
    }
}

fn register(context: &Context, args: &RegisterArgs) -> Result<(), Failure> {
    let new = NewSchema {
        tenant_id: args.tenant_id,
        event_type: args.event_type.clone(),
        schema: read_json(&args.file, SCHEMA_BYTES_MAX as u64)?,
        compatibility: args.compatibility,
        description: args.description.clone(),
        created_by: None,
    };
    new.check().map_err(refused)?;
    let target = context.target()?;
    if args.dry_run {
        let reader = target.reader()?;
        let change = SchemaChange::register(reader.as_ref(), &new, SystemClock.now()).map_err(refused)?;
        let version = change.schema.version;
        let text = format!("It would be version {version} of {}; nothing was changed.", args.event_type);
        let value = json!({ "eventType": args.event_type, "version": version, "dryRun": true });
        context.out.result(&value, &text);
        return Ok(());
    }
    let mut writer = Writer::find(&target, &context.global)?;
    let (id, version) = match &mut writer {
        Writer::Log(log) => {
            let change = SchemaChange::register(log.reader().as_ref(), &new, SystemClock.now());
            let SchemaChange { documents, act, schema, .. } = change.map_err(refused)?;
            put_documents_recorded(log.as_mut(), act, documents)?;
            (schema.id, schema.version)
        }
        Writer::Service(rest) => {
            let request = RegisterSchemaRequest {
                tenant_id: new.tenant_id,
                event_type: new.event_type,
                schema_json: new.schema,
                description: new.description,
                compatibility: Some(args.compatibility.text().to_owned()),
            };
            let made: RegisteredSchema = rest.post("/api/v1/schemas", &request)?;
            (made.id, made.version)
        }
    };
    writer.close()?;
    let text = format!("Version {version} of the schema of {} is registered: {id}", args.event_type);
    let value = json!({ "id": id, "eventType": args.event_type, "version": version, "dryRun": false });
    context.out.result(&value, &text);
    Ok(())
}

fn listed(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let limit = args.limit as usize;
    let (mut schemas, next) = match &args.event_type {
        Some(event_type) => (versions(reader.as_ref(), &args.tenant_id, event_type).map_err(unread)?, None),
        None => {
            let page = page(reader.as_ref(), &args.tenant_id, args.after, limit).map_err(refused)?;
            (page.schemas, page.next)
        }
    };
    schemas.truncate(limit);
    let mut text = format!(
        "{:<38}{:<34}{:>7}  {:<12}{:<14}created\n",
        "schema", "event type", "version", "status", "compatible"
    );
    for schema in &schemas {
        text.push_str(&format!(
            "{:<38}{:<34}{:>7}  {:<12}{:<14}{}\n",
            schema.id.to_string(),
            schema.event_type.escape_debug().to_string(),
            schema.version,
            schema.status.text(),
            schema.compatibility.text(),
            schema.created_at,
        ));
    }
    if let Some(next) = next {
        text.push_str(&format!("There are more: --after {next}\n"));
    }
    let shown: Vec<Value> = schemas.iter().map(shown).collect();
    context.out.result(&json!({ "count": shown.len(), "schemas": shown, "next": next }), &text);
    Ok(())
}

fn show(context: &Context, args: &OneArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let schema = one(reader.as_ref(), &args.id)?;
    let mut value = shown(&schema);
    let mut text = format!("{}\n", schema.id);
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<15}{value}\n"));
    row("tenant", &schema.tenant_id.to_string());
    row("event type", &schema.event_type.escape_debug().to_string());
    row("version", &schema.version.to_string());
    row("status", schema.status.text());
    row("compatibility", schema.compatibility.text());
    if let Some(description) = &schema.description {
        row("description", &description.escape_debug().to_string());
    }
    row("created", &schema.created_at.to_string());
    row("changed", &schema.updated_at.to_string());
    text.push_str(&format!("{:#}\n", schema.schema));
    value["schemaJson"] = schema.schema;
    context.out.result(&value, &text);
    Ok(())
}

fn set_status(context: &Context, args: &OneArgs, status: SchemaStatus) -> Result<(), Failure> {
    let target = context.target()?;
    let schema = one(target.reader()?.as_ref(), &args.id)?;
    let was = schema.status;
    if was != status {
        let mut writer = Writer::find(&target, &context.global)?;
        match &mut writer {
            Writer::Log(log) => {
                let now = SystemClock.now();
                let change = SchemaChange::set_status(log.reader().as_ref(), None, &args.id, status, now);
                let SchemaChange { documents, act, .. } = change.map_err(refused)?;
                put_documents_recorded(log.as_mut(), act, documents)?;
            }
            Writer::Service(rest) => {
                let request = SchemaStatusRequest { status: status.text().to_owned() };
                let _: SchemaStatusAnswer =
                    rest.put(&format!("/api/v1/schemas/{}/status", args.id), &request)?;
            }
        }
        writer.close()?;
    }
    let is = if was == status { "was before" } else { "is now" };
    let text = format!(
        "Version {} of the schema of {} {is} {}.",
        schema.version,
        schema.event_type.escape_debug(),
        status.text()
    );
    let value = json!({ "id": args.id, "status": status.text(), "was": was.text() });
    context.out.result(&value, &text);
    Ok(())
}

fn check(context: &Context, args: &CheckArgs) -> Result<(), Failure> {
    let payload = read_json(&args.file, PAYLOAD_BYTES_MAX)?;
    let reader = context.target()?.reader()?;
    let (tenant, event_type) = (&args.tenant_id, &args.event_type);
    // What the service says of a type without a schema is its own setting; here it is said that there is none.
    let checked =
        validate(reader.as_ref(), SchemaMode::Enforce, tenant, event_type, &payload, args.schema_version);
    let checked = checked.map_err(refused)?;
    let errors: Vec<Value> = checked
        .violations
        .iter()
        .map(|violation| json!({ "path": violation.path, "message": violation.message }))
        .collect();
    let (id, version) = checked.schema.unzip();
    let value = json!({
        "valid": errors.is_empty(), "schemaId": id, "schemaVersion": version, "errors": errors,
    });
    let mut text = match version {
        None => format!("{} has no schema in force: nothing is checked", event_type.escape_debug()),
        Some(version) if checked.violations.is_empty() => {
            format!("VALID by version {version} of the schema of {}", event_type.escape_debug())
        }
        Some(version) => {
            format!("INVALID by version {version} of the schema of {}", event_type.escape_debug())
        }
    };
    for violation in &checked.violations {
        text.push_str(&format!("\n  {}", violation.to_string().escape_debug()));
    }
    context.out.result(&value, &text);
    match checked.violations.len() {
        0 => Ok(()),
        n => Err(Failure::failed("PAYLOAD_INVALID", format!("the schema refuses the payload in {n} places"))),
    }
}

fn one(reader: &dyn LogReader, id: &Uuid) -> Result<Schema, Failure> {
    by_id(reader, None, id).map_err(unread)?.ok_or_else(|| {
        Failure::input("NO_SUCH_SCHEMA", format!("there is no schema {id}")).hint("see `schemas list`")
    })
}

/// A file of JSON, or stdin where it is `-`.
fn read_json(file: &Path, bytes_max: u64) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(bytes_max + 1).read_to_string(&mut text),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text))
        }
    };
    read.map_err(|error| Failure::io("read", file, &error))?;
    let refused = |problem: String| Failure::input("BAD_FILE", format!("{}: {problem}", file.display()));
    if text.len() as u64 > bytes_max {
        return Err(refused(format!("it is larger than {bytes_max} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| refused(format!("it is not JSON: {error}")))
}

fn refused(error: SchemaError) -> Failure {
    match &error {
        SchemaError::Service(problem) => unread(problem.clone()),
        SchemaError::Incompatible { .. } => Failure::input("SCHEMA_INCOMPATIBLE", error.to_string()),
        SchemaError::Transition { .. } => Failure::input("INVALID_STATE_TRANSITION", error.to_string()),
        SchemaError::NotFound => {
            Failure::input("NO_SUCH_SCHEMA", error.to_string()).hint("see `schemas list`")
        }
        _ => Failure::input("SCHEMA_REFUSED", error.to_string()),
    }
}

fn unread(error: stateset_sequencer::ServiceError) -> Failure {
    Failure::failed("DATABASE", error.to_string())
}

fn shown(schema: &Schema) -> Value {
    json!({
        "id": schema.id, "tenantId": schema.tenant_id, "eventType": schema.event_type, "version": schema.version,
        "status": schema.status.text(), "compatibility": schema.compatibility.text(),
        "description": schema.description, "createdAt": schema.created_at.to_string(),
        "updatedAt": schema.updated_at.to_string(), "createdBy": schema.created_by,
    })
}
