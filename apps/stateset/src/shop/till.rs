//! Payments of the shop, by the facilitator of the local chain.

use std::sync::Arc;

use serde_json::{Value, json};
use set_registry::U256;
use stateset_commerce::ports::{Later, Till, TillError};
use stateset_commerce::session::Paid;
use stateset_x402::forms::PaymentPayload;
use stateset_x402::verify::{check_signature, check_terms};
use stateset_x402::{Claim, Facilitator, Offer, SettleError};

/// Smallest units of the dollar token, with six decimals, in a cent.
const UNITS_PER_CENT: u64 = 10_000;
const CURRENCY: &str = "USD";

pub struct X402Till {
    pub facilitator: Arc<Facilitator>,
    /// Its amount is set by each checkout.
    pub offer: Offer,
}

impl X402Till {
    fn offer_of(&self, minor: u64, currency: &str) -> Option<Offer> {
        let amount = minor.checked_mul(UNITS_PER_CENT).filter(|_| currency == CURRENCY)?;
        Some(Offer { amount: U256::from(amount), ..self.offer.clone() })
    }

    fn read(&self, payment: &Value, minor: u64, currency: &str) -> Result<(Claim, Offer), String> {
        let form: PaymentPayload =
            serde_json::from_value(payment.clone()).map_err(|error| error.to_string())?;
        if form.x402_version != 2 {
            return Err(format!("x402Version is {}; only 2 is taken here", form.x402_version));
        }
        let claim = Claim::of_v2(form).map_err(|error| error.to_string())?;
        let offer = self.offer_of(minor, currency).ok_or("the amount can't be asked for")?;
        Ok((claim, offer))
    }
}

impl Till for X402Till {
    fn terms(&self) -> Value {
        let mut terms = serde_json::to_value(self.offer.requirements()).expect("an offer is JSON");
        if let Some(terms) = terms.as_object_mut() {
            terms.remove("amount");
        }
        json!({"x402Version": 2, "terms": terms})
    }

    fn offer(&self, minor: u64, currency: &str) -> Option<Value> {
        let offer = self.offer_of(minor, currency)?;
        Some(json!({"x402Version": 2, "accepts": [offer.requirements()]}))
    }

    fn payer(&self, payment: &Value, minor: u64, currency: &str) -> Result<String, String> {
        let (claim, offer) = self.read(payment, minor, currency)?;
        let (names, now_s) = (self.facilitator.names(), self.facilitator.now_s());
        check_terms(&claim, &offer, names, now_s).map_err(|refusal| refusal.to_string())?;
        check_signature(&claim, &offer).map_err(|refusal| refusal.to_string())?;
        Ok(claim.authorization.from.to_string())
    }

    fn settle<'a>(
        &'a self,
        payment: &'a Value,
        minor: u64,
        currency: &'a str,
        resource: &'a str,
    ) -> Later<'a, Result<Paid, TillError>> {
        Box::pin(async move {
            let (claim, offer) = self.read(payment, minor, currency).map_err(TillError::Refused)?;
            match self.facilitator.settle(&claim, &offer, resource).await {
                Ok(settled) => Ok(Paid {
                    network: format!("eip155:{}", settled.chain_id),
                    transaction: settled.transaction.to_string(),
                    payer: settled.payer.to_string(),
                    amount: offer.amount.to_string(),
                    intent_id: settled.logged.map(|logged| logged.intent_id.to_string()),
                    sequence_number: settled.logged.map(|logged| logged.sequence_number),
                }),
                Err(SettleError::Refused(refusal)) => Err(TillError::Refused(refusal.to_string())),
                Err(error) => Err(TillError::Underway(error.to_string())),
            }
        })
    }
}
