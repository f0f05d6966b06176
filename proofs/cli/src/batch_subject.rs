//! What is proved about a committed batch: the amounts of its events, by the names that their agent knows them under.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use ves::{EventId, KeyId, SequenceNumber, ed25519::SigningKey};
use ves_stark_batch::EVENTS_MAX;
use ves_stark_client::BatchEvent;
use ves_stark_primitives::openings::Undrawn;
use ves_stark_primitives::{
    AmountPolicy, CommitmentBinding, CommittedField, FieldCommitment, FieldDescription, FieldOpening, Opening,
};
use zeroize::Zeroizing;

use crate::commands::prove::{amount, unnamed_field};
use crate::failure::Failure;
use crate::{files, random};

/// Longest file of amounts: an event's id and twenty digits for each event of the largest batch.
const AMOUNTS_BYTES_MAX: usize = EVENTS_MAX * 64;
/// Longest file of openings; one is about 250 bytes.
const OPENINGS_BYTES_MAX: usize = 32 << 20;

/// Secret.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct NumbersArgs {
    /// File with a line for each event to prove about: its id or sequence number, a blank, its amount in minor units; `-` is
    /// stdin. Other events of the batch, and those that break the policy, are left out and listed
    #[arg(long, value_name = "FILE")]
    amounts: Option<PathBuf>,
    /// The same as a JSON array of {"event": id or number, "opening": {"name":"total","value":"6014"}}, or as --keep-opening
    /// writes it; `-` is stdin
    #[arg(long, value_name = "FILE")]
    openings: Option<PathBuf>,
}

/// An event by its place in the stream, or by the id that its agent gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventName {
    Id(EventId),
    Number(u64),
}

/// A number of one event, before the event is known. Secret.
struct Named {
    event: EventName,
    opening: FieldOpening,
}

/// The numbers of the events that are named. Secret.
pub struct Numbers(Vec<Named>);

/// The numbers beside their events, in the order of the batch. Secret.
pub struct Subject {
    pub field: FieldDescription,
    /// Events whose amounts obey the policy.
    pub proved: Vec<(BatchEvent, Opening)>,
    /// Every other event of the batch, ascending.
    pub excluded: Vec<SequenceNumber>,
    /// Of the excluded ones, how many were named and break the policy.
    pub above: usize,
    /// All that were named, for --keep-opening.
    named: Vec<(EventId, FieldOpening)>,
}

impl FromStr for EventName {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match amount(text).filter(|_| !text.is_empty()) {
            Some(number) => Ok(Self::Number(number)),
            None => text.parse().map(Self::Id).map_err(drop),
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl NumbersArgs {
    pub fn read(&self) -> Result<Numbers, Failure> {
        let (file, read) = match (&self.amounts, &self.openings) {
            (Some(file), _) => (file, amounts(file)?),
            (None, Some(file)) => (file, openings(file)?),
            (None, None) => return Err(Failure::input("USAGE", "give --amounts or --openings")),
        };
        match read.len() {
            1..=EVENTS_MAX => Ok(Numbers(read)),
            found => Err(Failure::input(
                "BAD_EVENTS",
                format!("{} names {found} events, expected 1 to {EVENTS_MAX}", file.display()),
            )),
        }
    }
}

/// Lines of an event and its amount. What is wrong is told by line, and nothing of a line is repeated.
fn amounts(file: &Path) -> Result<Vec<Named>, Failure> {
    let text = files::read(file, AMOUNTS_BYTES_MAX)?;
    let field = unnamed_field();
    let read = text.lines().enumerate().map(|(place, line)| {
        let parsed = line.split_once([' ', '\t']).and_then(|(event, digits)| {
            let digits = digits.trim();
            Some((event.parse().ok()?, amount(digits).filter(|_| !digits.is_empty())?))
        });
        let (event, value) = parsed.ok_or_else(|| {
            let line = place + 1;
            let message = format!("{}: line {line} is no event and amount", file.display());
            Failure::input("BAD_EVENTS", message)
                .hint("each line is an event's id or sequence number, a blank, and whole minor units")
        })?;
        let opening = FieldOpening { field: field.clone(), opening: Opening::draw(value, random::fill)? };
        Ok(Named { event, opening })
    });
    read.collect()
}

/// One entry of a file of openings. Borrowed, so that no copy of the secret is left.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(borrow)]
    opening: &'a RawValue,
}

fn openings(file: &Path) -> Result<Vec<Named>, Failure> {
    let text = files::read(file, OPENINGS_BYTES_MAX)?;
    let of_file = |problem: String| Failure::input("BAD_OPENING", format!("{}: {problem}", file.display()));
    // Where an error is; its text might repeat a secret.
    let entries: Vec<Entry<'_>> = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        of_file(format!(
            "expected a JSON array of objects with event and opening: line {line}, column {column}"
        ))
    })?;
    let read = entries.iter().enumerate().map(|(place, entry)| {
        let of_entry = |problem: &dyn fmt::Display| of_file(format!("openings[{place}]: {problem}"));
        let name = entry.event.get();
        let event = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name).parse();
        let event = event.map_err(|()| of_entry(&"event must be an event's id or its sequence number"))?;
        let opening = FieldOpening::parse_or_draw(entry.opening.get(), random::fill);
        let opening = opening.map_err(|error| match error {
            Undrawn::Opening(error) => of_entry(&error),
            Undrawn::Random(failure) => failure,
        })?;
        Ok(Named { event, opening })
    });
    read.collect()
}

impl Numbers {
    /// Each number beside its event, of a batch with these events.
    ///
    /// # Errors
    /// Where an event is no member of the batch or is named twice, where the numbers are of several fields or agents, or
    /// where none obeys the policy.
    pub fn of(self, events: &[BatchEvent], policy: &AmountPolicy) -> Result<Subject, Failure> {
        let field = self.0.first().map(|named| named.opening.field.clone()).unwrap_or_else(unnamed_field);
        let by_id: BTreeMap<EventId, usize> =
            events.iter().enumerate().map(|(place, event)| (event.event_id, place)).collect();
        let mut openings: BTreeMap<usize, FieldOpening> = BTreeMap::new();
        for Named { event: name, opening } in self.0 {
            let place = match name {
                EventName::Id(id) => by_id.get(&id).copied(),
                EventName::Number(number) => {
                    events.binary_search_by_key(&number, |event| event.number.get()).ok()
                }
            };
            let place = place.ok_or_else(|| not_of_batch(name, events))?;
            if opening.field != field {
                let message = format!("event {name}: all events of a batch commit to one field");
                return Err(Failure::input("BAD_OPENING", message)
                    .hint("name, path, type, unit and exponent must be those of the first opening"));
            }
            if openings.insert(place, opening).is_some() {
                return Err(Failure::input("BAD_EVENTS", format!("event {name} is named twice")));
            }
        }
        one_author(events, &openings)?;
        let mut subject = Subject { field, proved: vec![], excluded: vec![], above: 0, named: vec![] };
        for (place, event) in events.iter().enumerate() {
            let opening = openings.remove(&place);
            match &opening {
                Some(opening) if policy.allows(opening.opening.value()) => {
                    subject.proved.push((*event, opening.opening.clone()));
                }
                found => {
                    subject.above += usize::from(found.is_some());
                    subject.excluded.push(event.number);
                }
            }
            subject.named.extend(opening.map(|opening| (event.event_id, opening)));
        }
        match subject.proved.is_empty() {
            true => Err(Failure::failed("POLICY_NOT_SATISFIED", "no amount satisfies the policy")),
            false => Ok(subject),
        }
    }
}

fn not_of_batch(name: EventName, events: &[BatchEvent]) -> Failure {
    let number = |event: Option<&BatchEvent>| event.map_or(0, |event| event.number.get());
    let (first, last) = (number(events.first()), number(events.last()));
    Failure::input("OTHER_EVENT", format!("event {name} is not of the batch, which holds {first} to {last}"))
}

/// One key signs for all of them.
fn one_author(events: &[BatchEvent], openings: &BTreeMap<usize, FieldOpening>) -> Result<(), Failure> {
    let mut named = openings.keys().filter_map(|place| events.get(*place));
    let Some(first) = named.next() else { return Ok(()) };
    match named.find(|event| event.author != first.author) {
        Some(other) => Err(Failure::input(
            "OTHER_AGENT",
            format!(
                "events {} and {} are of different agents, and one key signs",
                first.number, other.number
            ),
        )
        .hint("name the events of one agent; the others are left out and listed")),
        None => Ok(()),
    }
}

impl Subject {
    pub fn commitments(&self) -> Vec<FieldCommitment> {
        self.proved.iter().map(|(_, opening)| opening.commit(&self.field)).collect()
    }

    /// The agent's signatures over each event and its commitment.
    pub fn bindings(
        &self,
        commitments: &[FieldCommitment],
        key: &(KeyId, SigningKey),
    ) -> Result<Vec<CommitmentBinding>, Failure> {
        let signed = self.proved.iter().zip(commitments).map(|((event, _), commitment)| {
            let list = [CommittedField { field: self.field.clone(), commitment: *commitment }];
            CommitmentBinding::sign(&event.signing_hash, key.0, &list, &key.1)
                .map_err(|error| Failure::failed("SIGNING_FAILED", error.to_string()))
        });
        signed.collect()
    }

    /// What --openings reads. Secret.
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.named.len() * 512));
        for (place, (event, opening)) in self.named.iter().enumerate() {
            text.push_str(if place == 0 { "[\n" } else { ",\n" });
            text.push_str(&format!(r#"{{"event":"{event}","opening":"#));
            text.push_str(&opening.to_json());
            text.push('}');
        }
        text.push_str("\n]");
        text
    }
}

#[cfg(test)]
mod tests;
