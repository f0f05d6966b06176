//! Whether the history still has what it was told: one that was restored from an older copy is told again.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use crate::facilitator::Facilitator;
use crate::payment_log::{LogReceipt, PaymentLogError};
use crate::record::{Logged, PaymentKey, Record};
use crate::settle::settled_payment;

/// Payments that it has, one behind the other, after which it is believed to have the older ones. More than one: others may have
/// been told at the places of lost ones.
const KNOWN_ENOUGH: usize = 64;

impl Facilitator {
    /// Asks the history after a start, and once it can be reached again.
    pub(crate) async fn recall_if_due(&self) {
        if !self.is_recall_due.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.recall().await {
            tracing::debug!(%error, "the history is asked later whether it has what it was told");
            self.is_recall_due.store(true, Ordering::Relaxed);
        }
    }

    /// Tells of the newest payments once more, which changes nothing where the history has them.
    async fn recall(&self) -> Result<(), PaymentLogError> {
        let mut told: Vec<(PaymentKey, LogReceipt)> = self.records.told();
        told.sort_unstable_by_key(|(_, receipt)| Reverse(receipt.sequence_number));
        let (mut known, mut lost) = (0, 0_usize);
        for (key, before) in told {
            if known == KNOWN_ENOUGH {
                break;
            }
            let slot = self.slot(&key);
            let _one_at_a_time = slot.lock().await;
            let Some(record) = self.records.get(&key).filter(|record| record.logged.is_some()) else {
                continue;
            };
            let Some(payment) = settled_payment(&record) else { continue };
            match self.log.record(&payment).await {
                Ok(Some(now)) if now == before => known += 1,
                Ok(Some(LogReceipt { intent_id, sequence_number })) => {
                    (known, lost) = (0, lost + 1);
                    let logged = Some(Logged::At { intent_id, sequence_number });
                    self.put(Record { logged, ..record }).await.map_err(PaymentLogError::Unavailable)?;
                }
                Ok(None) => {}
                Err(error @ PaymentLogError::Refused(_)) => tracing::error!(
                    transaction = %payment.transaction, %error,
                    "the history has lost a settled payment, and does not take it again"
                ),
                Err(error @ PaymentLogError::Unavailable(_)) => return Err(error),
            }
        }
        if lost > 0 {
            tracing::error!(
                payments = lost,
                "the history had lost settled payments, as one does that was restored from an older copy; it was told of them again"
            );
        }
        Ok(())
    }
}
