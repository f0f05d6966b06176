//! Ports that a test does not use.

use serde_json::Value;

use crate::answer::Refusal;
use crate::port::{
    Entities, Entity, EntryState, HistoryEvent, NewEvent, Outbox, PaymentOrder, PortError, Service,
    SyncReport, SyncStatus,
};

/// Who asks it is at the wrong door.
pub struct Nowhere;

impl Outbox for Nowhere {
    fn append(&self, _: &NewEvent) -> Result<EntryState, PortError> {
        unreachable!()
    }
    fn entry(&self, _: ves::EventId) -> Result<Option<EntryState>, PortError> {
        unreachable!()
    }
    fn status(&self) -> Result<SyncStatus, PortError> {
        unreachable!()
    }
    fn push(&self) -> Result<SyncReport, PortError> {
        unreachable!()
    }
    fn pull(&self) -> Result<SyncReport, PortError> {
        unreachable!()
    }
}

impl Entities for Nowhere {
    fn get(&self, _: &str, _: &str) -> Result<Option<Entity>, PortError> {
        unreachable!()
    }
    fn list(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<Entity>, PortError> {
        unreachable!()
    }
    fn history(&self, _: &str, _: &str, _: u64, _: usize) -> Result<Vec<HistoryEvent>, PortError> {
        unreachable!()
    }
    fn event(&self, _: ves::EventId) -> Result<Option<HistoryEvent>, PortError> {
        unreachable!()
    }
    fn after(&self, _: &NewEvent) -> Result<Result<Entity, Refusal>, PortError> {
        unreachable!()
    }
}

impl Service for Nowhere {
    fn payable(&self, _: &PaymentOrder) -> Result<(), PortError> {
        unreachable!()
    }
    fn proof(&self, _: ves::EventId) -> Result<Value, PortError> {
        unreachable!()
    }
    fn verify(&self, _: &str) -> Result<Value, PortError> {
        unreachable!()
    }
    fn pay(&self, _: &PaymentOrder) -> Result<Value, PortError> {
        unreachable!()
    }
    fn payment(&self, _: uuid::Uuid) -> Result<Value, PortError> {
        unreachable!()
    }
    fn payment_receipt(&self, _: uuid::Uuid) -> Result<Value, PortError> {
        unreachable!()
    }
    fn keys(&self) -> Result<Value, PortError> {
        unreachable!()
    }
}
