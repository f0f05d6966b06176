//! Sending a payment: anew, once more as it was, or dearer. What is sent is put down before the node sees it.

use crate::chain::ChainError;
use crate::facilitator::{Facilitator, Lane};
use crate::follow::{chain_underway, settled_in};
use crate::reason::Reason;
use crate::record::{Record, Stage};
use crate::sender::{Message, Outgoing, SendError};
use crate::settle::SettleError;
use crate::token;

/// Transactions of one number: what none of them brings into a block is stuck by something else than its fees.
const ATTEMPTS_MAX: usize = 16;

impl Facilitator {
    /// Sends a reserved payment.
    pub(crate) async fn send(&self, lane: &Lane, record: Record) -> Result<Record, SettleError> {
        if record.undone.is_some() || !record.earlier.is_empty() {
            let (record, is_on_its_way) = self.send_again(lane, record).await?;
            return match is_on_its_way {
                true => Ok(record),
                false => self.send_new(lane, record).await,
            };
        }
        self.send_new(lane, record).await
    }

    /// A payment that was sent before: settled by that, or by somebody else, or the same transaction is sent once more, so that
    /// no second one comes beside it when the node finds the first. Whether one of these was done.
    async fn send_again(&self, lane: &Lane, record: Record) -> Result<(Record, bool), SettleError> {
        if let Some(receipt) = self.moved_earlier(lane, &record).await? {
            return Ok((self.moved_on(record, settled_in(&receipt)).await?, true));
        }
        if self.is_used(lane, &record).await? {
            let detail = "the authorization was taken back, or used otherwise";
            let ended = self.ended(lane, &record, Reason::NonceUsed, detail).await?;
            let stage =
                ended.ok_or_else(|| SettleError::Underway("the chain has it in no block yet".to_owned()))?;
            return Ok((self.moved_on(record, stage).await?, true));
        }
        let Some(last) = record.earlier.last().copied() else { return Ok((record, false)) };
        match lane.sender.send_again(&message(&record), &last).await {
            Ok(()) | Err(SendError::Unclear { .. }) => {}
            // Its number is another's by now, or the account is.
            Err(SendError::Refused(_) | SendError::Contended { .. }) => return Ok((record, false)),
            Err(problem @ SendError::NoFunds { .. }) => return self.renew(lane, record, last, problem).await,
            Err(error @ (SendError::Chain(_) | SendError::NotRecorded(_))) => return Err(unsent(&error)),
        }
        // It waits from now on.
        let block = lane.chain.head().await.map_err(chain_underway)?;
        let (mut again, earlier) = of_number_of(&last, &record);
        again.pop();
        let stage = sent(Outgoing { block, ..last }, &again);
        Ok((self.moved_on(Record { earlier, ..record }, stage).await?, true))
    }

    /// What the account could not pay for and nobody has is offered for less, where that is enough by now.
    async fn renew(
        &self,
        lane: &Lane,
        record: Record,
        last: Outgoing,
        problem: SendError,
    ) -> Result<(Record, bool), SettleError> {
        let (before, earlier) = of_number_of(&last, &record);
        let note = |outgoing| {
            let noted = Record { stage: sent(outgoing, &before), earlier: earlier.clone(), ..record.clone() };
            async move { self.put(noted).await }
        };
        match lane.sender.renew(&message(&record), &last, problem, note).await {
            Ok(_) | Err(SendError::Unclear { .. }) => {
                Ok((self.records.get(&record.key).unwrap_or(record), true))
            }
            Err(error) => {
                // What the node did not take is followed no more.
                self.put(record).await.map_err(SettleError::Underway)?;
                Err(unsent(&error))
            }
        }
    }

    async fn send_new(&self, lane: &Lane, record: Record) -> Result<Record, SettleError> {
        let note = |outgoing| {
            let noted = Record { stage: sent(outgoing, &[]), ..record.clone() };
            async move { self.put(noted).await }
        };
        match lane.sender.send(&message(&record), note).await {
            Ok(outgoing) => Ok(Record { stage: sent(outgoing, &[]), ..record }),
            // The record has the transaction; it is followed like one that was sent.
            Err(SendError::Unclear { .. }) => Ok(self.records.get(&record.key).unwrap_or(record)),
            Err(SendError::Refused(problem)) => {
                let detail = format!("the facilitator could not send it: {problem}");
                if let Some(stage) = self.ended(lane, &record, Reason::UnexpectedSettle, &detail).await? {
                    return self.moved_on(record, stage).await;
                }
                // What the node did not take is followed no more.
                self.put(record).await.map_err(SettleError::Underway)?;
                Err(SettleError::Underway(detail))
            }
            Err(error @ (SendError::NoFunds { .. } | SendError::Contended { .. })) => {
                self.put(record).await.map_err(SettleError::Underway)?;
                Err(unsent(&error))
            }
            Err(error @ (SendError::Chain(_) | SendError::NotRecorded(_))) => Err(unsent(&error)),
        }
    }

    /// Offers more for gas; `None` where that does not help, or the node refuses it, for now.
    pub(crate) async fn replace(&self, lane: &Lane, record: &Record) -> Result<Option<Record>, SettleError> {
        let Stage::Sent { attempts, .. } = &record.stage else { return Ok(None) };
        let Some(last) = attempts.last().filter(|_| attempts.len() < ATTEMPTS_MAX) else { return Ok(None) };
        let note = |outgoing| {
            let noted = Record { stage: sent(outgoing, attempts), ..record.clone() };
            async move { self.put(noted).await }
        };
        match lane.sender.replace(&message(record), last, note).await {
            Ok(new) => tracing::info!(
                transaction = %last.transaction, by = %new.transaction, "a payment's transaction was left out of blocks and is replaced"
            ),
            Err(SendError::Unclear { .. }) => {}
            Err(SendError::Chain(error)) => return Err(chain_underway(error)),
            Err(error) => {
                tracing::warn!(%error, "a payment waits for a block");
            }
        }
        // Put down before it was sent: it is followed whatever the node said of it.
        let noted = self.records.get(&record.key);
        Ok(noted.filter(|noted| noted.stage != record.stage))
    }
}

/// Why nothing was sent. What its account lacks is told to the operator: who pays for goods can do nothing about it, and learns of no
/// account.
fn unsent(error: &SendError) -> SettleError {
    let told = match error {
        SendError::NoFunds { .. } => "the facilitator has no gas for it now",
        SendError::Chain(ChainError::TooDear { .. }) => "gas is too dear for the facilitator now",
        SendError::Contended { .. } => "the facilitator could not send it now",
        other => return SettleError::Unavailable(other.to_string()),
    };
    tracing::error!(%error, "payments wait");
    SettleError::Unavailable(told.to_owned())
}

/// What was sent for a payment with the number of `last`, oldest first, and what with others.
fn of_number_of(last: &Outgoing, record: &Record) -> (Vec<Outgoing>, Vec<Outgoing>) {
    let number = |sent: &Outgoing| (sent.account, sent.account_nonce);
    record.earlier.iter().copied().partition(|sent| number(sent) == number(last))
}

/// A transaction after those that it replaces.
fn sent(outgoing: Outgoing, before: &[Outgoing]) -> Stage {
    let mut attempts = before.to_vec();
    attempts.push(outgoing);
    let Outgoing { transaction, account, account_nonce, .. } = outgoing;
    Stage::Sent { transaction, sender: account, account_nonce, attempts }
}

fn message(record: &Record) -> Message {
    token::transfer_message(record.key.token, &record.authorization, &record.signature)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    #[test]
    fn missing_gas_is_told_to_the_operator_and_not_to_the_buyer() {
        let heard = stateset_fixtures::Heard::listen();
        let account = Address::repeat_byte(7);
        let problem = "insufficient funds for gas * price + value".to_owned();
        let told = unsent(&SendError::NoFunds { account, problem }).to_string();
        assert_eq!(heard.count(&format!("account {account} can't pay for gas: send it funds")), 1);
        assert!(
            !told.contains(&account.to_string()) && told.contains("bring the same payment again"),
            "{told}"
        );
    }
}
