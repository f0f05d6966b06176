//! What the node does with what arrives.

use std::future::Future;
use std::pin::Pin;

use stateset_ledger_types::ids::EntityId;

use crate::frame::SessionId;
use crate::message::{Answer, Message, Question};

/// A message of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// By certificate, not by claim.
    pub from: EntityId,
    pub session: SessionId,
    pub sequence: u32,
    /// Propose, Signatures, Reject or Finalised.
    pub message: Message,
}

/// The node behind the transport.
pub trait Handler: Send + Sync + 'static {
    /// Takes a message of a session. Messages of one entity come one at a time, those of one session in order, each once
    /// as long as the process lives. A message that was being handled when the process ended comes again: what is
    /// done with it has to bear that, or be done in one transaction with
    /// [`SessionStore::handled`](crate::store::SessionStore::handled).
    ///
    /// Return when the message is journalled, not when its flow has gone on: the entity's other messages wait.
    ///
    /// # Errors
    /// What is wrong with this node; the message comes again later. A message that is wrong is handled by answering it.
    fn deliver(&self, delivery: Delivery) -> impl Future<Output = Result<(), String>> + Send;

    /// Answers a question of an entity. It may come again at any time.
    fn answer(&self, from: EntityId, question: Question) -> impl Future<Output = Answer> + Send;
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Handler`] as an object.
pub(crate) trait AnyHandler: Send + Sync + 'static {
    fn deliver(&self, delivery: Delivery) -> Boxed<'_, Result<(), String>>;
    fn answer(&self, from: EntityId, question: Question) -> Boxed<'_, Answer>;
}

impl<H: Handler> AnyHandler for H {
    fn deliver(&self, delivery: Delivery) -> Boxed<'_, Result<(), String>> {
        Box::pin(Handler::deliver(self, delivery))
    }
    fn answer(&self, from: EntityId, question: Question) -> Boxed<'_, Answer> {
        Box::pin(Handler::answer(self, from, question))
    }
}
