//! Sessions out of the log, and steps into it.

use serde_json::json;

use super::{Desk, Fault};
use crate::jose::hash_text;
use crate::ports::{Fact, JournalError};
use crate::session::{Asked, ENTITY, Event, STEPS_MAX, Session, apply};

/// Entity of the requests that have a key: which session each opened.
const REQUEST: &str = "checkout_request";

/// A session with its history.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub session: Session,
    /// The session after each of its events.
    steps: Vec<(Option<Asked>, Session)>,
    /// Events of the entity, ours or not.
    version: u64,
}

impl Loaded {
    /// The session as the request with this mark left it; `None` where none had its key.
    pub fn answer_to(&self, asked: Option<&Asked>) -> Option<&Session> {
        let key = &asked?.key;
        let first =
            self.steps.iter().position(|(mark, _)| mark.as_ref().is_some_and(|mark| mark.key == *key))?;
        // A completion goes on in steps that have no mark of their own.
        let after = self.steps[first + 1..].iter().take_while(|(mark, _)| mark.is_none()).count();
        Some(&self.steps[first + after].1)
    }

    /// As [`Self::answer_to`], for the same request.
    ///
    /// # Errors
    /// [`Fault::KeyReused`] where the key was another request's.
    pub fn answered(&self, asked: Option<&Asked>) -> Result<Option<&Session>, Fault> {
        let marks = self.steps.iter().filter_map(|(mark, _)| mark.as_ref());
        let known = asked.and_then(|asked| marks.into_iter().find(|mark| mark.key == asked.key));
        match (known, asked) {
            (Some(known), Some(asked)) if known != asked => Err(Fault::KeyReused),
            _ => Ok(self.answer_to(asked)),
        }
    }
}

impl Desk {
    /// An id that nobody guesses: it opens the session to whoever names the same platform.
    pub(super) fn new_id(&self) -> Result<String, Fault> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Fault::Unavailable(error.to_string()))?;
        Ok(format!("chk_{}", ves::hex::encode(&random)))
    }

    /// The session that the request with this key opens: noted before it is, so that a repeat finds it.
    pub(super) async fn id_of(&self, platform: &str, asked: &Asked) -> Result<String, Fault> {
        let entity = hash_text(&format!("{platform}\n{}", asked.key));
        for _ in 0..2 {
            let history = self.parts.journal.history(REQUEST, &entity).await?;
            if let Some(noted) = history.own.first() {
                if noted.payload["hash"] != asked.hash.as_str() {
                    return Err(Fault::KeyReused);
                }
                return Ok(noted.payload["checkout"].as_str().unwrap_or_default().to_owned());
            }
            let id = self.new_id()?;
            let payload = json!({"checkout": id, "hash": asked.hash});
            let fact =
                self.fact(REQUEST, &entity, "checkout_request.noted".to_owned(), payload, history.version)?;
            match self.parts.journal.append(&fact).await {
                Ok(_) => return Ok(id),
                Err(JournalError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::Conflict)
    }

    pub(super) fn fact(
        &self,
        entity_type: &'static str,
        entity_id: &str,
        event_type: String,
        payload: serde_json::Value,
        version: u64,
    ) -> Result<Fact, Fault> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Fault::Unavailable(error.to_string()))?;
        let event_id = uuid::Builder::from_random_bytes(random).into_uuid();
        Ok(Fact { event_id, entity_type, entity_id: entity_id.to_owned(), event_type, payload, version })
    }

    /// The session of this platform; `None` where there is none.
    pub(super) async fn load(&self, id: &str, platform: &str) -> Result<Option<Loaded>, Fault> {
        let is_id = id.strip_prefix("chk_").is_some_and(|rest| {
            rest.len() == 32 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if !is_id {
            return Ok(None);
        }
        let history = self.parts.journal.history(ENTITY, id).await?;
        let mut session: Option<Session> = None;
        let mut steps = Vec::with_capacity(history.own.len());
        for recorded in history.own {
            let at = recorded.place.sequence_number;
            let broken = |problem: String| Fault::Unavailable(format!("event {at} of the log: {problem}"));
            let event = Event::read(&recorded.event_type, recorded.payload).map_err(broken)?;
            let next = apply(session.take(), id, &event).map_err(|error| broken(error.to_string()))?;
            steps.push((event.asked().cloned(), next.clone()));
            session = Some(next);
        }
        let session = session.filter(|session| session.platform == platform);
        Ok(session.map(|session| Loaded { session, steps, version: history.version }))
    }

    pub(super) async fn find(&self, id: &str, platform: &str) -> Result<Loaded, Fault> {
        self.load(id, platform).await?.ok_or(Fault::NotFound("checkout session"))
    }

    /// Records one step, then takes it.
    pub(super) async fn step(
        &self,
        loaded: Option<Loaded>,
        id: &str,
        event: &Event,
    ) -> Result<Loaded, Fault> {
        let (before, mut steps, version) = match loaded {
            Some(Loaded { session, steps, version }) => (Some(session), steps, version),
            None => (None, Vec::new(), 0),
        };
        let goes_on = matches!(event, Event::Updated { .. } | Event::CompletionStarted { .. });
        if goes_on && steps.len() >= STEPS_MAX {
            return Err(Fault::Invalid(format!("the session has {STEPS_MAX} changes; open a new one")));
        }
        let session = apply(before, id, event).map_err(|error| Fault::Invalid(error.to_string()))?;
        let (event_type, payload) = event.parts();
        let fact = self.fact(ENTITY, id, event_type, payload, version)?;
        self.parts.journal.append(&fact).await?;
        steps.push((event.asked().cloned(), session.clone()));
        Ok(Loaded { session, steps, version: version + 1 })
    }
}
