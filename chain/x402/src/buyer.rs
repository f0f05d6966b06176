//! The buyer: reads a 402, chooses an offer that it may accept, and signs the header that pays it. Sends nothing itself.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value, json};
use set_registry::ChainKey;

use crate::authorization::{Authorization, Domain};
use crate::forms::{
    Asked, EXACT, ExactPayload, PAYMENT_IDENTIFIER, PaymentPayloadV1, PaymentRequirements,
    PaymentRequirementsV1, ResourceInfo, SettleResponse,
};
use crate::header::{self, HeaderError, JsonError, PAYMENT_SIGNATURE, X_PAYMENT};
use crate::networks::{ChainTable, NetworkError, of_caip2};

/// Clocks differ: an authorization counts from so many seconds ago.
const BACK_S: u64 = 600;

/// Why nothing is paid.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    #[error("the offer can't be read: {0}")]
    Offer(String),
    /// Each offer with the reason against it.
    #[error("no offer can be accepted:{}", .0.iter().map(|why| format!("\n  {why}")).collect::<String>())]
    NoneFits(Vec<String>),
}

impl From<HeaderError> for BuyError {
    fn from(error: HeaderError) -> Self {
        Self::Offer(error.to_string())
    }
}

/// What a buyer agrees to.
#[derive(Debug, Clone)]
pub struct Choice {
    /// In the token's smallest unit.
    pub amount_max: U256,
    /// `None`: any chain.
    pub chain_id: Option<u64>,
    /// `None`: any token. A token that is not named could be worth anything.
    pub token: Option<Address>,
}

impl From<JsonError> for BuyError {
    fn from(error: JsonError) -> Self {
        Self::Offer(error.to_string())
    }
}

/// One offer of a 402, in either version.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    One(PaymentRequirementsV1),
    Two(PaymentRequirements, Echo),
}

/// What a payment of version 2 sends back as it came: sellers compare it with their own, to the letter of an address.
#[derive(Debug, Clone, PartialEq)]
struct Echo {
    accepted: Value,
    resource: Option<Value>,
    extensions: Map<String, Value>,
}

/// What would be paid.
#[derive(Debug, Clone, PartialEq)]
pub struct Bill {
    pub chain_id: u64,
    pub token: Address,
    /// By the seller's word: shown, and part of what is signed.
    pub token_name: String,
    token_version: String,
    pub amount: U256,
    pub pay_to: Address,
    pub timeout_s: u64,
    pub resource: String,
    pub description: String,
    form: Form,
}

/// Signs for one account.
pub struct Buyer<'k> {
    key: &'k ChainKey,
    names: ChainTable,
}

impl<'k> Buyer<'k> {
    pub fn new(key: &'k ChainKey, names: ChainTable) -> Self {
        Self { key, names }
    }

    /// Reads an offer: the header `PAYMENT-REQUIRED` where there is one, else the body; and takes the first bill that `choice`
    /// allows.
    ///
    /// # Errors
    /// [`BuyError`].
    pub fn bill(&self, header: Option<&[u8]>, body: &[u8], choice: &Choice) -> Result<Bill, BuyError> {
        let asked: Asked = match header {
            Some(value) => header::read(value)?,
            None => header::json(body)?,
        };
        let version = if header.is_some() { 2 } else { 1 };
        if asked.x402_version != version {
            let found = asked.x402_version;
            return Err(BuyError::Offer(format!(
                "it is of version {found}, and stands where {version} does"
            )));
        }
        let mut against = Vec::new();
        for accepted in &asked.accepts {
            // Others are for other clients: of chains, schemes and addresses that are not known here.
            let form = match version {
                1 => header::of_value(accepted).map(Form::One),
                _ => header::of_value(accepted).map(|form| Form::Two(form, asked.echo(accepted))),
            };
            let form = form.map_err(|error| format!("it can't be read: {error}"));
            match form.and_then(|form| self.read(form)).and_then(|bill| self.allowed(bill, choice)) {
                Ok(bill) => return Ok(bill),
                Err(why) => against.push(why),
            }
        }
        Err(BuyError::NoneFits(against))
    }

    fn allowed(&self, bill: Bill, choice: &Choice) -> Result<Bill, String> {
        pays_somebody(&bill, self.key.address())?;
        within(bill, choice)
    }

    fn read(&self, form: Form) -> Result<Bill, String> {
        let network = |error: NetworkError| error.to_string();
        let (scheme, chain_id, token, amount, pay_to, timeout_s, extra, resource, description) = match &form {
            Form::One(of) => (
                &of.scheme,
                self.names.of_v1(&of.network).map_err(network)?,
                of.asset,
                of.max_amount_required,
                of.pay_to,
                of.max_timeout_seconds,
                &of.extra,
                of.resource.clone(),
                of.description.clone(),
            ),
            Form::Two(of, echo) => (
                &of.scheme,
                of_caip2(&of.network).map_err(network)?,
                of.asset,
                of.amount,
                of.pay_to,
                of.max_timeout_seconds,
                &of.extra,
                echo.resource().url,
                echo.resource().description.unwrap_or_default(),
            ),
        };
        if scheme != EXACT {
            return Err(format!("the scheme {scheme:?} is not known here"));
        }
        if extra.get("assetTransferMethod").is_some_and(|method| method != "eip3009") {
            return Err("it is paid by another method than EIP-3009".to_owned());
        }
        let text = |member| {
            let value = extra.get(member).and_then(serde_json::Value::as_str);
            value.map(str::to_owned).ok_or_else(|| format!("extra.{member} is missing"))
        };
        let (token_name, token_version) = (text("name")?, text("version")?);
        Ok(Bill {
            chain_id,
            token,
            token_name,
            token_version,
            amount,
            pay_to,
            timeout_s,
            resource,
            description,
            form,
        })
    }

    /// The header that pays a bill: its name and value. `now_s` in Unix seconds; `nonce` 32 random bytes.
    pub fn pay(&self, bill: &Bill, now_s: u64, nonce: B256) -> (&'static str, String) {
        let authorization = Authorization {
            from: self.key.address(),
            to: bill.pay_to,
            value: bill.amount,
            valid_after: U256::from(now_s.saturating_sub(BACK_S)),
            valid_before: U256::from(now_s.saturating_add(bill.timeout_s)),
            nonce,
        };
        let domain = Domain {
            name: &bill.token_name,
            version: &bill.token_version,
            chain_id: bill.chain_id,
            token: bill.token,
        };
        let signature = self.key.sign(&authorization.digest(&domain));
        let signature = Bytes::from(signature.as_bytes().to_vec());
        let payload = ExactPayload { signature, authorization: authorization.into() };
        match &bill.form {
            Form::One(of) => {
                let (scheme, network) = (of.scheme.clone(), of.network.clone());
                (X_PAYMENT, header::write(&PaymentPayloadV1 { x402_version: 1, scheme, network, payload }))
            }
            Form::Two(_, echo) => {
                let Echo { accepted, resource, .. } = echo;
                let mut paid = json!({"x402Version": 2, "accepted": accepted, "payload": payload});
                if let Some(resource) = resource {
                    paid["resource"] = resource.clone();
                }
                paid["extensions"] = echo.extensions(nonce).into();
                (PAYMENT_SIGNATURE, header::write(&paid))
            }
        }
    }
}

impl Asked {
    fn echo(&self, accepted: &Value) -> Echo {
        let (resource, extensions) = (self.resource.clone(), self.extensions.clone());
        Echo { accepted: accepted.clone(), resource, extensions }
    }
}

impl Echo {
    fn resource(&self) -> ResourceInfo {
        let read = self.resource.as_ref().and_then(|resource| header::of_value(resource).ok());
        read.unwrap_or(ResourceInfo { url: String::new(), description: None, mime_type: None })
    }

    /// Where the seller wants payments named, this one has the name of its authorization.
    fn extensions(&self, nonce: B256) -> Map<String, Value> {
        let mut extensions = self.extensions.clone();
        let info = extensions.get_mut(PAYMENT_IDENTIFIER).and_then(|entry| entry.get_mut("info"));
        let wanted =
            info.and_then(Value::as_object_mut).filter(|info| info.get("required") == Some(&true.into()));
        if let Some(info) = wanted {
            info.insert("id".to_owned(), alloy_primitives::hex::encode(nonce).into());
        }
        extensions
    }
}

/// How the seller says that the payment went.
///
/// # Errors
/// [`HeaderError`].
pub fn receipt(value: &[u8]) -> Result<SettleResponse, HeaderError> {
    header::read(value)
}

/// What no buyer means to sign, whatever they agreed to.
fn pays_somebody(bill: &Bill, payer: Address) -> Result<(), String> {
    let nobody = if bill.pay_to.is_zero() {
        "payTo is the zero address, where money is lost"
    } else if bill.pay_to == bill.token {
        "payTo is the token's own contract, where money is lost"
    } else if bill.pay_to == payer {
        "payTo is your own account"
    } else if bill.amount.is_zero() {
        "it asks for an amount of 0, which pays for nothing"
    } else {
        return Ok(());
    };
    Err(nobody.to_owned())
}

fn within(bill: Bill, choice: &Choice) -> Result<Bill, String> {
    if let Some(wanted) = choice.chain_id
        && wanted != bill.chain_id
    {
        return Err(format!("it is on chain {}, and you pay on chain {wanted}", bill.chain_id));
    }
    if let Some(wanted) = choice.token
        && wanted != bill.token
    {
        return Err(format!("it is in token {}, and you pay in {wanted}", bill.token));
    }
    if bill.amount > choice.amount_max {
        return Err(format!(
            "it asks for {} of {}, and you pay at most {}",
            bill.amount, bill.token_name, choice.amount_max
        ));
    }
    Ok(bill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Claim, Version};
    use crate::forms::{PaymentRequired, PaymentRequiredV1};
    use crate::offer::{Offer, Resource, Token};
    use crate::verify::{Signer, check_signature, check_terms};

    fn offer(chain_id: u64) -> Offer {
        let token =
            Token { address: Address::repeat_byte(3), name: "USDC".to_owned(), version: "2".to_owned() };
        Offer { chain_id, token, amount: U256::from(10_000), pay_to: Address::repeat_byte(4), timeout_s: 60 }
    }

    fn resource() -> Resource {
        Resource {
            url: "http://x/y".to_owned(),
            description: "y".to_owned(),
            mime_type: "text/plain".to_owned(),
        }
    }

    fn choice(amount_max: u64) -> Choice {
        Choice { amount_max: U256::from(amount_max), chain_id: None, token: None }
    }

    #[test]
    fn what_the_buyer_signs_pays_the_offer_in_both_versions() {
        let (key, names) = (ChainKey::from_hex(&"07".repeat(32)).unwrap(), ChainTable::default());
        let (buyer, offer) = (Buyer::new(&key, names.clone()), offer(84_532));
        let two = PaymentRequired {
            x402_version: 2,
            error: None,
            resource: resource().info(),
            accepts: vec![offer.requirements()],
            extensions: serde_json::Map::new(),
        };
        let one = PaymentRequiredV1 {
            x402_version: 1,
            error: String::new(),
            accepts: vec![offer.requirements_v1(&names, &resource()).unwrap()],
        };
        let two = buyer.bill(Some(header::write(&two).as_bytes()), b"", &choice(10_000)).unwrap();
        let one = buyer.bill(None, &serde_json::to_vec(&one).unwrap(), &choice(10_000)).unwrap();
        for (version, bill) in [(Version::Two, two), (Version::One, one)] {
            let (_, value) = buyer.pay(&bill, 1_000, B256::repeat_byte(1));
            let claim = Claim::read(version, value.as_bytes()).unwrap();
            assert_eq!(check_terms(&claim, &offer, &names, 1_000), Ok(()), "{version:?}");
            assert_eq!(check_signature(&claim, &offer), Ok(Signer::Account), "{version:?}");
        }
    }

    #[test]
    fn no_more_is_paid_than_was_agreed() {
        let key = ChainKey::from_hex(&"07".repeat(32)).unwrap();
        let buyer = Buyer::new(&key, ChainTable::default());
        let asked = PaymentRequired {
            x402_version: 2,
            error: None,
            resource: resource().info(),
            accepts: [offer(84_532)].iter().map(Offer::requirements).collect(),
            extensions: serde_json::Map::new(),
        };
        let value = header::write(&asked);
        let bill = |choice: &Choice| buyer.bill(Some(value.as_bytes()), b"", choice);
        assert!(bill(&choice(10_000)).is_ok());
        assert!(matches!(bill(&choice(9_999)), Err(BuyError::NoneFits(why)) if why.len() == 1));
        let elsewhere = Choice { chain_id: Some(1), ..choice(10_000) };
        assert!(matches!(bill(&elsewhere), Err(BuyError::NoneFits(_))));
        let other_token = Choice { token: Some(Address::ZERO), ..choice(10_000) };
        assert!(matches!(bill(&other_token), Err(BuyError::NoneFits(_))));
    }

    #[test]
    fn a_bill_that_pays_nobody_is_not_signed() {
        let key = ChainKey::from_hex(&"07".repeat(32)).unwrap();
        let buyer = Buyer::new(&key, ChainTable::default());
        let against = |offer: Offer| {
            let asked = json!({"x402Version": 2, "accepts": [offer.requirements()]});
            match buyer.bill(Some(header::write(&asked).as_bytes()), b"", &choice(10_000)) {
                Err(BuyError::NoneFits(why)) => why[0].clone(),
                other => panic!("{other:?}"),
            }
        };
        let to = |pay_to| against(Offer { pay_to, ..offer(84_532) });
        assert!(to(Address::ZERO).contains("zero address"));
        assert!(to(offer(84_532).token.address).contains("token's own"));
        assert!(to(key.address()).contains("your own account"));
        assert!(against(Offer { amount: U256::ZERO, ..offer(84_532) }).contains("amount of 0"));
    }

    /// Servers that others have written compare the echo with their offer as JSON; and they offer what is not known here.
    #[test]
    fn an_offer_is_sent_back_as_it_came_and_those_that_can_not_be_read_are_passed_over() {
        let key = ChainKey::from_hex(&"07".repeat(32)).unwrap();
        let buyer = Buyer::new(&key, ChainTable::default());
        let solana = json!({
            "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "amount": "10000",
            "asset": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGkZwyTDt1v", "maxTimeoutSeconds": 60,
            "payTo": "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4", "extra": {"feePayer": "EwWqGE4ZFKLofuestmU4LDdK7XM1N4ALgdZccwYugwGd"},
        });
        let ours = json!({
            "scheme": "exact", "network": "eip155:84532", "amount": "10000", "maxTimeoutSeconds": 60, "new": [1],
            "asset": "0x036cbd53842c5426634e7929541ec2318f3dcf7e", "payTo": "0x00000000000000000000000000000000000c0ffe",
            "extra": {"name": "USDC", "version": "2"},
        });
        let mut asked = json!({
            "x402Version": 2, "resource": {"url": "http://x/y", "tags": ["a"]}, "accepts": [solana, ours],
            "extensions": {"payment-identifier": {"info": {"required": true}, "schema": {}}, "other": {"info": 1}},
        });
        let value = header::write(&asked);
        let bill = buyer.bill(Some(value.as_bytes()), b"", &choice(10_000)).unwrap();
        let (_, paid) = buyer.pay(&bill, 1_000, B256::repeat_byte(1));
        let paid: Value = header::read(paid.as_bytes()).unwrap();
        assert_eq!((&paid["accepted"], &paid["resource"]), (&ours, &asked["resource"]));
        assert_eq!(paid["extensions"]["payment-identifier"]["info"]["id"], "01".repeat(32));
        asked["extensions"]["payment-identifier"]["info"]["id"] = "01".repeat(32).into();
        assert_eq!(paid["extensions"], asked["extensions"]);

        asked["accepts"] = json!([solana]);
        let refused = buyer.bill(Some(header::write(&asked).as_bytes()), b"", &choice(10_000));
        assert!(
            matches!(&refused, Err(BuyError::NoneFits(why)) if why[0].contains("asset: expected an address")),
            "{refused:?}"
        );
    }
}
