//! Looking everything through once, and giving each record the form that is written now: sealed with the newest key, or
//! in clear.
//!
//! A run is a row of steps. Each step reads some records beside the writer, says what has to be written, and where the next
//! run would go on. Whoever drives it writes, in this order: a cut between any two writes costs at most one step again,
//! since a record that has the right form is passed over.

use std::collections::VecDeque;

use stateset_event_log::{
    BodyChange, Document, DocumentChange, EventLog, LogError, LogReader, StreamSummary, Table,
};
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};

use crate::derived;
use crate::documents::{self, Again, ProofText};
use crate::events::{self, Rewrite};
use crate::handle::AtRest;
use crate::state::{Kind, Progress, State, forget, recorded};

/// Bytes of bodies read in one step.
const STEP_BYTES_MAX: usize = 1 << 20;
/// Documents read in one step: their sizes are not known before.
const STEP_DOCUMENTS: usize = 64;
/// Proofs rewritten in one step, between two other writes: each has up to 2 MiB.
const STEP_PROOFS: usize = 8;

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kinds: Vec<Kind>,
    /// One tenant alone.
    pub tenant: Option<TenantId>,
    /// One store alone.
    pub store: Option<StoreId>,
    /// Records read in one step, at most.
    pub batch: usize,
    /// Records rewritten, at most.
    pub limit: Option<u64>,
    /// Begins anew, and seals also what the newest key has sealed.
    pub force: bool,
    /// Nobody writes what the steps say: everything is looked at, and no place is kept.
    pub dry: bool,
}

impl Plan {
    /// All of everything, from where the last run ended.
    pub fn everything() -> Self {
        let kinds = Kind::ALL.to_vec();
        Self { kinds, tenant: None, store: None, batch: 128, limit: None, force: false, dry: false }
    }

    /// Only such a run can say that nothing is left. Others leave no traces but what they rewrote.
    fn is_whole(&self) -> bool {
        self.tenant.is_none() && self.store.is_none() && !self.force && !self.dry
    }

    fn wants(&self, stream: &StreamKey) -> bool {
        self.wants_of(stream.tenant_id, Some(stream.store_id))
    }

    /// What is of no store alone is not wanted where one alone is.
    fn wants_of(&self, tenant_id: TenantId, store_id: Option<StoreId>) -> bool {
        self.tenant.is_none_or(|tenant| tenant == tenant_id)
            && self.store.is_none_or(|store| Some(store) == store_id)
    }
}

/// What a run has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub seen: u64,
    pub rewritten: u64,
    /// No key opened them; they are as they were.
    pub unopened: u64,
}

/// Writes of one step, in their order. Both may be empty.
#[derive(Debug, Default)]
pub struct Step {
    pub bodies: Option<(StreamKey, Vec<BodyChange>)>,
    pub documents: Vec<DocumentChange>,
    /// Records that these writes give another form.
    pub rewritten: u64,
}

/// Where a run is.
enum Part {
    Events(StreamSummary),
    Documents(Kind),
    /// All of a kind was looked through.
    End(Kind),
}

/// One run. See the module.
pub struct Run {
    at_rest: AtRest,
    plan: Plan,
    generation: u64,
    parts: VecDeque<Part>,
    at: At,
    tally: Tally,
    /// Of the present kind.
    unopened: u64,
}

/// Within a part.
#[derive(Default)]
struct At {
    is_begun: bool,
    through: u64,
    after: Vec<u8>,
    unopened: u64,
}

impl Run {
    /// Of the log that was taken last, as it lies.
    ///
    /// # Errors
    /// What the log says.
    pub fn new(at_rest: AtRest, raw: &dyn LogReader, plan: Plan) -> Result<Self, LogError> {
        let state = State::read(raw)?.unwrap_or_default();
        let mut parts = VecDeque::new();
        for kind in &plan.kinds {
            if plan.is_whole() && state.done.contains(kind) {
                continue;
            }
            match kind {
                Kind::Events => {
                    let mut streams = raw.streams()?;
                    streams.retain(|summary| plan.wants(&summary.stream));
                    parts.extend(streams.into_iter().map(Part::Events));
                }
                kind => parts.push_back(Part::Documents(*kind)),
            }
            parts.push_back(Part::End(*kind));
        }
        let (at, tally) = (At::default(), Tally::default());
        Ok(Self { at_rest, plan, generation: state.generation, parts, at, tally, unopened: 0 })
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether the next step is about records that others change: it holds only while nothing is written between its reads
    /// and its writes.
    pub fn is_next_changing(&self) -> bool {
        matches!(self.parts.front(), Some(Part::Documents(kind)) if kind.is_changing())
    }

    /// The next step; `None` when there is none, or the limit is reached. Reads only. Blocks.
    ///
    /// # Errors
    /// What the log says; the run may be begun again.
    pub fn next(&mut self, raw: &dyn LogReader) -> Result<Option<Step>, LogError> {
        if self.left() == 0 {
            return Ok(None);
        }
        let step = match self.parts.front() {
            None => return Ok(None),
            Some(Part::Events(summary)) => {
                let summary = *summary;
                self.events(raw, &summary)?
            }
            Some(Part::Documents(kind)) => {
                let kind = *kind;
                self.documents(raw, kind)?
            }
            Some(Part::End(kind)) => {
                let kind = *kind;
                self.parts.pop_front();
                self.end(raw, kind)?
            }
        };
        self.tally.rewritten += step.rewritten;
        Ok(Some(step))
    }

    fn left(&self) -> u64 {
        self.plan.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.tally.rewritten))
    }

    /// Records that may be rewritten in this step.
    fn room(&self) -> usize {
        usize::try_from(self.left()).unwrap_or(usize::MAX).min(self.plan.batch.max(1))
    }

    fn begin(&mut self, raw: &dyn LogReader, kind: Kind, stream: Option<&StreamKey>) -> Result<(), LogError> {
        if self.at.is_begun {
            return Ok(());
        }
        let before = match self.plan.is_whole() {
            true => Progress::read(raw, kind, stream, self.generation)?,
            false => None,
        };
        let (through, after, unopened) = before
            .map_or((0, String::new(), 0), |progress| (progress.through, progress.after, progress.unopened));
        let after = ves::hex::decode_vec(&after)
            .map_err(|error| LogError::corrupt(Table::Reencryption.name(), error.to_string()))?;
        self.at = At { is_begun: true, through, after, unopened };
        Ok(())
    }

    /// What puts the place on record.
    fn progress(&self, kind: Kind, stream: Option<&StreamKey>) -> Vec<DocumentChange> {
        if !self.plan.is_whole() {
            return Vec::new();
        }
        let progress = Progress {
            generation: self.generation,
            through: self.at.through,
            after: ves::hex::encode(&self.at.after),
            unopened: self.at.unopened,
        };
        vec![progress.change(kind, stream)]
    }

    fn leave(&mut self) {
        self.unopened += self.at.unopened;
        self.at = At::default();
        self.parts.pop_front();
    }

    fn events(&mut self, raw: &dyn LogReader, summary: &StreamSummary) -> Result<Step, LogError> {
        let (stream, keys) = (summary.stream, self.at_rest.clone());
        self.begin(raw, Kind::Events, Some(&stream))?;
        let left = summary.head.0.saturating_sub(self.at.through);
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(self.room());
        let events = raw.read(&stream, SequenceNumber(self.at.through + 1), limit, STEP_BYTES_MAX)?;
        let mut changes = Vec::new();
        for event in events {
            self.tally.seen += 1;
            self.at.through = event.sequence_number.0;
            match events::rewrite(keys.keys(), &event, self.plan.force)? {
                Rewrite::Not => {}
                Rewrite::NotByUs => {
                    self.tally.unopened += 1;
                    self.at.unopened += 1;
                }
                Rewrite::To(new) => changes.push(BodyChange {
                    sequence_number: event.sequence_number,
                    old: event.body.into(),
                    new: new.into(),
                }),
            }
        }
        let rewritten = changes.len() as u64;
        let is_over = self.at.through >= summary.head.0 || limit == 0;
        let documents = match rewritten > 0 || is_over {
            true => self.progress(Kind::Events, Some(&stream)),
            false => Vec::new(),
        };
        if is_over {
            self.leave();
        }
        let bodies = (rewritten > 0).then_some((stream, changes));
        Ok(Step { bodies, documents, rewritten })
    }

    fn documents(&mut self, raw: &dyn LogReader, kind: Kind) -> Result<Step, LogError> {
        self.begin(raw, kind, None)?;
        let limit = self.room().min(if kind.is_proofs() { STEP_PROOFS } else { STEP_DOCUMENTS });
        let table = match kind {
            Kind::ValidityProofs => Table::ValidityProofs,
            Kind::ComplianceProofs => Table::ComplianceProofs,
            Kind::Events | Kind::LegacyEvents => Table::LegacyEvents,
            Kind::DeadLetters => Table::DeadLetters,
            Kind::RejectedEvents => Table::RejectedEvents,
            Kind::ProjectionStates => Table::ProjectionStates,
            Kind::ProjectionSnapshots => Table::ProjectionSnapshots,
            Kind::WebhookEndpoints => Table::WebhookEndpoints,
        };
        let after = Some(&self.at.after[..]).filter(|after| !after.is_empty());
        let found = raw.documents(table, b"", after, limit)?;
        let is_over = found.len() < limit;
        let mut changes = Vec::new();
        for document in found {
            self.at.after.clone_from(&document.key);
            let Some((table, document)) = self.sealed_part(raw, table, document)? else { continue };
            self.tally.seen += 1;
            match documents::rewrite(self.at_rest.keys(), raw, table, &document, self.plan.force)? {
                Again::Not => {}
                Again::NotByUs => {
                    self.tally.unopened += 1;
                    self.at.unopened += 1;
                }
                Again::To(document) => changes.push(DocumentChange::Put(table, document)),
            }
        }
        let rewritten = changes.len() as u64;
        if rewritten > 0 || is_over {
            changes.extend(self.progress(kind, None));
        }
        if is_over {
            self.leave();
        }
        Ok(Step { bodies: None, documents: changes, rewritten })
    }

    /// The document that holds what may be sealed, if the plan wants it: an older event or a derived document itself, the
    /// bytes of a proof.
    fn sealed_part(
        &self,
        raw: &dyn LogReader,
        table: Table,
        document: Document,
    ) -> Result<Option<(Table, Document)>, LogError> {
        if table == Table::LegacyEvents {
            let Some((stream, _)) = documents::event_place(&document.key) else { return Ok(None) };
            return Ok(self.plan.wants(&stream).then_some((table, document)));
        }
        if derived::is_derived(table) {
            let owner = derived::owner(table, &document.key);
            let is_wanted = owner.is_some_and(|(tenant, store)| self.plan.wants_of(tenant, store));
            return Ok(is_wanted.then_some((table, document)));
        }
        let text = ProofText::read(&document)?;
        let stream = StreamKey { tenant_id: text.tenant_id, store_id: text.store_id };
        if !self.plan.wants(&stream) {
            return Ok(None);
        }
        let bytes = raw.document(Table::ProofIds, text.proof_id.as_bytes())?;
        let missing = || LogError::corrupt(format!("proof {}", text.proof_id), "its bytes are missing");
        Ok(Some((Table::ProofIds, bytes.ok_or_else(missing)?)))
    }

    /// A kind is through. When all are, and everything was opened, older keys are needed no more.
    fn end(&mut self, raw: &dyn LogReader, kind: Kind) -> Result<Step, LogError> {
        let unopened = std::mem::take(&mut self.unopened);
        let state = State::read(raw)?.filter(|state| state.generation == self.generation);
        let Some(mut state) = state.filter(|_| self.plan.is_whole()) else { return Ok(Step::default()) };
        state.done.push(kind);
        state.unopened += unopened;
        let mut documents = Vec::new();
        if state.is_done() {
            let keys = self.at_rest.keys();
            state.sealed_only = keys.seal_everything();
            if state.unopened == 0 {
                for (name, ..) in recorded(raw)? {
                    if keys.target() == "clear" || !keys.rings().any(|(_, ring)| ring.newest() == name) {
                        documents.push(forget(name));
                    }
                }
            }
            self.at_rest.rotating(false, state.unopened);
        }
        documents.push(state.change());
        Ok(Step { bodies: None, documents, rewritten: 0 })
    }
}

/// Drives a run over a log that nobody else writes, to its end. `progress` hears after each step.
///
/// # Errors
/// What the log says. What was done stays done, and another run goes on from there.
pub fn run_on(
    run: &mut Run,
    log: &mut dyn EventLog,
    raw: &dyn LogReader,
    progress: &mut dyn FnMut(Tally),
) -> Result<Tally, LogError> {
    while let Some(step) = run.next(raw)? {
        if let Some((stream, changes)) = &step.bodies {
            log.replace_bodies(stream, changes)?;
        }
        if !step.documents.is_empty() {
            log.put_documents(&step.documents)?;
        }
        run.at_rest.rewrote(step.rewritten);
        progress(run.tally());
    }
    Ok(run.tally())
}
