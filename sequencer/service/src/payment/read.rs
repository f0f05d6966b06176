//! Look-ups by id: an intent, a batch, the proof that the one is in the other.

use uuid::Uuid;
use ves::merkle::InclusionProof;
use ves::x402::BatchTree;
use ves::{BatchId, Digest, Domain, Hasher, TenantId};

use super::Payments;
use super::error::PaymentError;
use super::record::{Payment, PaymentBatch};
use super::stored::{batch_of, listed_payment, place_of, unreadable};
use crate::error::ServiceError;

/// Proof that an intent is in its batch ([`ves::merkle::verify_inclusion`]).
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentReceipt {
    /// Always the same for an intent in a batch.
    pub receipt_id: Uuid,
    pub payment: Payment,
    pub batch: PaymentBatch,
    pub proof: InclusionProof,
    pub total_leaves: u64,
}

impl Payments<'_> {
    /// The intent of that id, if it is of `tenant`; `None` asks in every tenant.
    pub async fn payment(
        &self,
        tenant: Option<&TenantId>,
        intent_id: &Uuid,
    ) -> Result<Option<Payment>, ServiceError> {
        self.filed().await?;
        let (tenant, intent_id) = (tenant.copied(), *intent_id);
        self.service
            .read(move |reader| {
                let place = place_of(reader, &intent_id)?;
                let Some((stream, number)) = place else { return Ok(None) };
                if tenant.is_some_and(|tenant| tenant != stream.tenant_id) {
                    return Ok(None);
                }
                listed_payment(reader, &stream, number).map(Some)
            })
            .await
    }

    /// The batch of that id, if it is of `tenant`; `None` asks in every tenant.
    pub async fn batch(
        &self,
        tenant: Option<&TenantId>,
        batch_id: &BatchId,
    ) -> Result<Option<PaymentBatch>, ServiceError> {
        let (tenant, batch_id) = (tenant.copied(), *batch_id);
        let found = self.service.read_much(move |reader| batch_of(reader, &batch_id)).await?;
        let found = found.map(|(batch, _)| batch);
        Ok(found.filter(|batch| tenant.is_none_or(|tenant| tenant == batch.tenant_id)))
    }

    /// The receipt of an intent.
    ///
    /// # Errors
    /// [`PaymentError::NotBatched`] while it is in no batch.
    pub async fn receipt(&self, payment: Payment) -> Result<PaymentReceipt, PaymentError> {
        let (Some(batch_id), Some(leaf_index)) = (payment.batch_id, payment.leaf_index) else {
            return Err(PaymentError::NotBatched(payment.intent_id));
        };
        let found = self.service.read_much(move |reader| batch_of(reader, &batch_id)).await?;
        let (batch, leaves) = found.ok_or_else(unreadable)?;
        let leaves: Vec<Digest> = leaves.chunks_exact(32).map(digest).collect::<Result<_, _>>()?;
        // The leaf is that of the intent as it stands here, never a stored word about it.
        if leaves.get(leaf_index as usize) != Some(&payment.sequenced().batch_leaf()) {
            let problem =
                format!("payment intent {} is not what batch {batch_id} was made of", payment.intent_id);
            return Err(ServiceError::Read(problem).into());
        }
        let total_leaves = leaves.len() as u64;
        let tree = BatchTree::new(leaves).ok_or_else(unreadable)?;
        let proof = tree.proof(leaf_index.into()).ok_or_else(unreadable)?;
        let receipt_id = receipt_id(&payment.intent_id, &batch_id);
        Ok(PaymentReceipt { receipt_id, payment, batch, proof, total_leaves })
    }
}

fn digest(bytes: &[u8]) -> Result<Digest, ServiceError> {
    bytes.try_into().map(Digest).map_err(|_| unreadable())
}

fn receipt_id(intent_id: &Uuid, batch_id: &BatchId) -> Uuid {
    let hash = Hasher::new(Domain::X402Event).str("receipt").uuid(intent_id).uuid(&batch_id.0).finish();
    let (bytes, _) = hash.0.split_first_chunk::<16>().expect("a digest has 32 bytes");
    uuid::Builder::from_custom_bytes(*bytes).into_uuid()
}
