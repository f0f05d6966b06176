//! `stateset-sync append` and `stateset-sync recipients`.

use serde::Serialize;
use serde_json::value::RawValue;
use stateset_client::ClientError;
use stateset_sync::entry::State;
use stateset_sync::{APPEND_EVENTS_MAX, Audience, NewEvent, Store, SyncError, Transport};
use ves::seal::Recipient;
use ves::{AgentId, EventId};

use crate::args::AppendArgs;
use crate::failure::Failure;
use crate::home::{self, Config, Home};

#[derive(Serialize)]
struct AppendedBody {
    event_id: EventId,
    position: i64,
    existed: bool,
    state: &'static str,
}

pub fn run(home: &Home, args: &AppendArgs) -> Result<(), Failure> {
    let config = home.config()?;
    let events = drafts(args)?;
    if events.is_empty() {
        return Err(Failure::input("NO_EVENTS", "there are no drafts to append"));
    }
    let author = home.author(&config)?;
    let mut store = home.store(&config)?;
    let audience = audience(home, &config, &mut store, &args.seal_to)?;
    let bar = home.out.progress(events.len() as u64);
    let (mut bodies, mut first) = (Vec::with_capacity(events.len()), 0);
    for chunk in events.chunks(APPEND_EVENTS_MAX) {
        let appended =
            store.append_many(&author, chunk, &audience, home::now()).map_err(|error| match error {
                SyncError::Draft { index, problem } => SyncError::Draft { index: first + index, problem },
                SyncError::PayloadTooLarge { index } => SyncError::PayloadTooLarge { index: first + index },
                other => other,
            });
        let appended = appended.map_err(|error| match first {
            0 => error.into(),
            kept => Failure::from(error)
                .hint(format!("the first {kept} drafts are signed and kept; append those after them")),
        })?;
        first += chunk.len();
        bar.inc(chunk.len() as u64);
        bodies.extend(appended.iter().map(|one| AppendedBody {
            event_id: one.event_id,
            position: one.position,
            existed: one.existed,
            state: one.state.name(),
        }));
    }
    bar.finish_and_clear();
    let existed = bodies.iter().filter(|body| body.existed).count();
    let waiting = store.counts()?.open();
    let text = match &bodies[..] {
        [one] if !one.existed => {
            format!("Event {} is signed and kept; {waiting} wait to be pushed.", one.event_id)
        }
        [one] => {
            format!("Event {} was there already, {}; {waiting} wait to be pushed.", one.event_id, one.state)
        }
        many => format!(
            "{} events are signed and kept, {existed} were there already; {waiting} wait to be pushed.",
            many.len() - existed
        ),
    };
    home.out.result(&serde_json::json!({"events": bodies, "waiting": waiting}), &text);
    match bodies.iter().find(|body| body.state == State::Refused.name()) {
        Some(first) => Err(refused(&store, &bodies, first)?),
        None => Ok(()),
    }
}

/// What was refused or taken back stays so, however often it is appended: nobody should take that for done.
fn refused(store: &Store, bodies: &[AppendedBody], first: &AppendedBody) -> Result<Failure, Failure> {
    let count = bodies.iter().filter(|body| body.state == first.state).count();
    let why = store.entry(&first.event_id)?.reason.unwrap_or_else(|| "no reason was kept".to_owned());
    let others = match count {
        1 => String::new(),
        count => format!(", and so are {} others", count - 1),
    };
    let message = format!("event {} is refused and will not be sent ({why}){others}", first.event_id);
    Ok(Failure::failed("EVENTS_REFUSED", message).hint(
        "an id is never used twice: once the cause is gone, append it under another id; \
         `stateset-sync log --outbox` shows what was refused",
    ))
}

fn drafts(args: &AppendArgs) -> Result<Vec<NewEvent>, Failure> {
    let bad = |index: usize, error: serde_json::Error| {
        Failure::input("BAD_DRAFT", format!("event {index}: {error}"))
    };
    if let Some(file) = &args.drafts {
        let text = home::read_text(file)?;
        let mut events = Vec::new();
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Box<RawValue>>() {
            let bad_here = |error| bad(events.len(), error);
            let value = value.map_err(bad_here)?;
            if value.get().starts_with('[') {
                let listed: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(bad_here)?;
                for one in listed {
                    events.push(serde_json::from_str(one.get()).map_err(|error| bad(events.len(), error))?);
                }
            } else {
                events.push(serde_json::from_str(value.get()).map_err(bad_here)?);
            }
        }
        return Ok(events);
    }
    let missing = || Failure::input("USAGE", "--payload needs --entity-type, --entity-id and --type");
    let payload = args.payload.clone().ok_or_else(missing)?;
    Ok(vec![NewEvent {
        entity_type: args.entity_type.clone().ok_or_else(missing)?,
        entity_id: args.entity_id.clone().ok_or_else(missing)?,
        event_type: args.event_type.clone().ok_or_else(missing)?,
        payload: RawValue::from_string(payload)
            .map_err(|error| Failure::input("BAD_DRAFT", format!("--payload is not JSON: {error}")))?,
        event_id: args.event_id,
        created_at: None,
        command_id: None,
        base_version: args.base_version,
    }])
}

/// Whom the payload is sealed for: agents, or one group; and the agent itself, which else could not read what it wrote.
fn audience(home: &Home, config: &Config, store: &mut Store, names: &[String]) -> Result<Audience, Failure> {
    if names.is_empty() {
        return Ok(Audience::default());
    }
    let (mut recipients, mut group) = (vec![home.own_recipient(config)?], None);
    for name in names {
        let (found, of_group) = find(home, config, store, name)?;
        if of_group.is_some() && names.len() > 1 {
            return Err(Failure::input("BAD_RECIPIENT", "a payload is sealed for one group, or for agents"));
        }
        group = of_group;
        recipients.extend(found);
    }
    recipients.sort_unstable_by_key(|one| one.kid);
    recipients.dedup();
    Ok(Audience { recipients, group })
}

/// The keys of an agent or group: as the server signs them now, or where it can't be reached as they were last signed.
fn find(
    home: &Home,
    config: &Config,
    store: &mut Store,
    name: &str,
) -> Result<(Vec<Recipient>, Option<uuid::Uuid>), Failure> {
    match fetch(home, config, store, name) {
        Ok(found) => return Ok(found),
        Err(SyncError::Client(ClientError::Unreachable { .. })) => {
            home.out.note("no server can be reached: sealing for the keys that were last seen");
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(group) = store.known_group(name)? {
        return Ok((group.recipients, Some(group.id)));
    }
    let agent: AgentId = name.parse().map_err(|_| SyncError::Recipient {
        who: name.to_owned(),
        problem: "the group was never seen: fetch it with `recipients` while a server can be reached"
            .to_owned(),
    })?;
    Ok((store.recipients_of(&agent, home::now())?, None))
}

fn fetch(
    home: &Home,
    config: &Config,
    store: &mut Store,
    name: &str,
) -> Result<(Vec<Recipient>, Option<uuid::Uuid>), SyncError> {
    let other = |failure: Failure| SyncError::Recipient { who: name.to_owned(), problem: failure.message };
    let mut client = home.client(config).map_err(other)?;
    let identity = config.identity().map_err(other)?;
    if let Ok(agent) = name.parse::<AgentId>() {
        let directory = store.refresh_keys(&mut client, &identity, &agent, home::now())?;
        // Else it is the id of a group: an agent without any key has an empty directory.
        if !directory.encryption_keys.is_empty() || !directory.signing_keys.is_empty() {
            return Ok((store.recipients_of(&agent, home::now())?, None));
        }
    }
    let group = store.refresh_group(&mut client, &identity, name, home::now)?;
    Ok((group.recipients, Some(group.id)))
}

/// Seals what waits for groups anew where their members changed. Returns how many events.
pub fn seal_anew(
    home: &Home,
    config: &Config,
    store: &mut Store,
    transport: &mut dyn Transport,
) -> Result<u64, Failure> {
    let groups = store.groups_that_wait()?;
    if groups.is_empty() {
        return Ok(0);
    }
    let (author, held, own) = (home.author(config)?, home.held(config)?, home.own_recipient(config)?);
    let mut changed = 0;
    for group in groups {
        let found = store.refresh_group(transport, &config.identity()?, &group.to_string(), home::now)?;
        let mut recipients = found.recipients;
        recipients.push(own);
        recipients.sort_unstable_by_key(|one| one.kid);
        recipients.dedup();
        changed += store.seal_anew(group, &recipients, &author, &held)?;
    }
    Ok(changed)
}

#[derive(Serialize)]
struct Fetched {
    recipient: String,
    keys: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<uuid::Uuid>,
}

pub fn recipients(home: &Home, names: &[String]) -> Result<(), Failure> {
    let config = home.config()?;
    let mut store = home.store(&config)?;
    let (mut all, mut text) = (Vec::new(), String::new());
    for name in names {
        let (found, group_id) = fetch(home, &config, &mut store, name)?;
        let keys: Vec<u32> = found.iter().map(|one| one.kid.0).collect();
        text += &format!("{name}: payloads are sealed for the keys {keys:?}\n");
        all.push(Fetched { recipient: name.clone(), keys, group_id });
    }
    home.out.result(&all, &text);
    Ok(())
}
