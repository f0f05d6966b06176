//! The place of the writer: taken while no service has it, else the service's own routes.

use stateset_event_log::{DocumentChange, EventLog, KeyChange, LogError, Opening};
use stateset_sequencer::{Act, Actor, AuditChain, Clock as _, SystemClock};
use stateset_sequencer_app::failure::Failure;
use ves::audit::ActorType;

use crate::args::{Global, Target};
use crate::rest::Rest;

/// How a write is made.
pub enum Writer {
    /// This process writes the log until it is closed.
    Log(Box<dyn EventLog>),
    /// A service writes the log, and is asked to make the change.
    Service(Rest),
}

impl Writer {
    /// Takes the writer's place, or finds the service that has it.
    ///
    /// # Errors
    /// Where a service has it and no key was given for its routes.
    pub fn find(target: &Target, global: &Global) -> Result<Self, Failure> {
        if let Some(file) = target.database.file().filter(|file| !file.is_file()) {
            // Opening would make one, and a slip in a name would go unnoticed.
            let problem = format!("there is no database at {}", file.display());
            return Err(Failure::input("NO_DATABASE", problem).hint(
                "look at the name; a first start of the service makes a database, and so does `migrate`",
            ));
        }
        let holder = match target.store()?.open() {
            Ok(Opening::Writer(log)) => return Ok(Self::Log(log)),
            Ok(Opening::Held(holder)) => holder.rest,
            Err(LogError::Locked { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let running = |text: &str| {
            Failure::failed("DATABASE_IN_USE", format!("a service writes {}", target.database)).hint(text)
        };
        match (global.server.clone().or(holder), &global.api_key) {
            (Some(url), Some(key)) => Ok(Self::Service(Rest::new(&url, key))),
            (Some(url), None) => Err(running(&format!(
                "give an admin key with --api-key to make the change through {url}, or stop the service"
            ))),
            (None, _) => {
                Err(running("stop it, or name it with --server and give an admin key with --api-key"))
            }
        }
    }

    /// Ends a write to the log itself.
    pub fn close(self) -> Result<(), Failure> {
        match self {
            Self::Log(log) => Ok(log.close()?),
            Self::Service(_) => Ok(()),
        }
    }
}

/// Stores a key and the record of it in one transaction.
///
/// # Errors
/// What the store says; the audit log that can't be read.
pub fn put_recorded(log: &mut dyn EventLog, act: Act, key: &KeyChange) -> Result<(), Failure> {
    let rows = rows(log, act)?;
    Ok(log.put_key(key, &rows)?)
}

/// Writes documents and the record of it in one transaction; an act that changes none by itself is recorded alone.
///
/// # Errors
/// As [`put_recorded`].
pub fn put_documents_recorded(
    log: &mut dyn EventLog,
    act: Act,
    mut documents: Vec<DocumentChange>,
) -> Result<(), Failure> {
    documents.extend(rows(log, act)?);
    Ok(log.put_documents(&documents)?)
}

/// The rows of the audit log that record an act of this program.
fn rows(log: &dyn EventLog, act: Act) -> Result<Vec<DocumentChange>, Failure> {
    let chain = AuditChain::open(log.reader().as_ref())?;
    let rows = chain.records(&[act.by(operator())], SystemClock.now());
    Ok(rows.map_err(|error| Failure::failed("NOT_RECORDED", error.to_string()))?.0)
}

/// Whoever runs this program, as far as the system says.
fn operator() -> Actor {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let name = user.unwrap_or_else(|| "an unknown user".to_owned());
    Actor::new(ActorType::AdminCli, format!("stateset-sequencer-admin by {name}"))
}
