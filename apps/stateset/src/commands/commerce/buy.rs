//! `stateset commerce buy`: a platform's side of one purchase.
//!
//! ```text
//! profile ─► create ─► check the shop's signature ─► sign both mandates, sign the payment ─► complete ─► check the receipts
//! ```

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use set_registry::{B256, ChainKey, U256};
use stateset_commerce::business::{HANDLER, HANDLER_ID, REST_PATH};
use stateset_commerce::jose::{PublicKey, SigningKey, attached, encode, hash_text};
use stateset_commerce::mandate::{CHECKOUT, CHECKOUT_OPEN, INSTRUMENT, PAYMENT, PAYMENT_OPEN};
use stateset_x402::forms::{PaymentPayload, PaymentRequired, PaymentRequirements, ResourceInfo};
use stateset_x402::{Buyer, ChainTable, Choice, header};

use super::{At, Shop, verified};
use crate::context::Context;
use crate::error::CliError;
use crate::files;
use crate::installation::random;
use crate::paid_demo::BUYER_FILE;
use crate::shop::{Folder, PLATFORM, read_key};

/// How long what is signed here may be used, in seconds.
const VALID_S: u64 = 300;

#[derive(Debug, Args)]
pub struct BuyArgs {
    #[command(flatten)]
    pub at: At,
    /// What to buy, as ITEM or ITEM:QUANTITY; may be repeated
    #[arg(value_name = "ITEM", required = true)]
    pub items: Vec<String>,
    /// Most to pay, in minor units of the shop's currency, such as cents
    #[arg(long, value_name = "AMOUNT")]
    pub max_amount: u64,
    /// File with the key of the account that pays, 64 hex digits [default: the demo's buyer]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// File with the platform's key that signs mandates [default: the demo's platform]
    #[arg(long, value_name = "FILE", requires = "platform")]
    pub platform_key: Option<PathBuf>,
    /// URL of the profile that names the platform's key
    #[arg(long, value_name = "URL", requires = "platform_key")]
    pub platform: Option<String>,
    /// Name of the platform's key in its profile, the `kid` there [default: its RFC 7638 thumbprint]
    #[arg(long, value_name = "KID", requires = "platform_key")]
    pub platform_kid: Option<String>,
    /// Sign open mandates first, and close them with a key of an agent, as where nobody looks at the checkout
    #[arg(long)]
    pub autonomous: bool,
    /// Stop before paying, and print what was signed
    #[arg(long)]
    pub dry_run: bool,
}

/// A platform with its keys, at one shop.
struct Platform {
    shop: Shop,
    profile: String,
    key: SigningKey,
    shop_keys: Vec<PublicKey>,
}

pub fn run(context: &Context, args: &BuyArgs) -> Result<(), CliError> {
    let folder = Folder::of(&context.data);
    let key_file = args.platform_key.clone().unwrap_or_else(|| folder.platform_key_file());
    let shop = Shop::at(context, &args.at)?;
    let shop_keys = shop.keys()?;
    let profile = args.platform.clone().unwrap_or_else(|| PLATFORM.to_owned());
    let key = match &args.platform_kid {
        Some(kid) => read_key(&key_file)?.named(kid),
        None => read_key(&key_file)?,
    };
    let platform = Platform { shop, profile, key, shop_keys };
    let buyer = buyer_key(context, args.key_file.as_deref())?;

    let checkout = platform.open(&lines(&args.items)?)?;
    let (id, total) = (text(&checkout, "id")?, total(&checkout)?);
    let currency = text(&checkout, "currency")?;
    context.out.note(&format!("Checkout {id}: {total} minor units of {currency}."));
    if total > args.max_amount {
        let message = format!("the checkout costs {total}, and you pay at most {}", args.max_amount);
        return Err(CliError::failure("TOO_DEAR", message).hint("raise --max-amount, or buy less"));
    }
    let payment = pay(&checkout, &buyer, &platform.shop.url)?;
    let jwt = platform.signed_checkout(&checkout)?;
    let purchase = Purchase {
        checkout: &checkout,
        jwt: &jwt,
        total,
        currency: &currency,
        payer: buyer.address().to_string(),
        now_s: now_s(),
    };
    let (of_checkout, of_payment) = platform.mandates(&purchase, args.autonomous)?;
    let body = json!({
        "payment": {"instruments": [{
            "id": "instr_1", "handler_id": HANDLER_ID, "type": INSTRUMENT, "selected": true,
            "credential": {"type": INSTRUMENT, "token": of_payment, "payment": payment},
        }]},
        "ap2": {"checkout_mandate": of_checkout},
    });
    if args.dry_run {
        let text = super::pretty(&body);
        context.out.result(&json!({"checkout": id, "complete": body}), &text);
        return Ok(());
    }
    let done = platform.post(&format!("/checkout-sessions/{id}/complete"), &body)?;
    conclude(context, &platform, &done, (&of_checkout, &of_payment))
}

fn conclude(
    context: &Context,
    platform: &Platform,
    done: &Value,
    (of_checkout, of_payment): (&str, &str),
) -> Result<(), CliError> {
    if done["status"] != "completed" {
        let why = done["messages"][0]["content"].as_str().unwrap_or("the shop gives no reason");
        let code = done["messages"][0]["code"].as_str().unwrap_or("not_completed").to_uppercase();
        return Err(CliError::failure(&code, format!("the checkout is {}: {why}", done["status"])));
    }
    for (name, mandate) in [("checkout_receipt", of_checkout), ("payment_receipt", of_payment)] {
        let receipt = done["ap2"][name].as_str().unwrap_or_default();
        let bad = |problem: String| CliError::failure("BAD_RECEIPT", format!("{name}: {problem}"));
        verified(receipt, &platform.shop_keys).map_err(bad)?;
        let claims =
            stateset_commerce::jose::Jws::parse(receipt).map_err(|error| bad(error.to_string()))?.payload;
        // The closed mandate is the last token of its chain.
        let closed = mandate.rsplit("~~").next().unwrap_or(mandate);
        if claims["reference"] != hash_text(closed) || claims["status"] != "Success" {
            return Err(bad("it is not of the mandate that was sent".to_owned()));
        }
    }
    let order = platform.order(&text(&done["order"], "id")?)?;
    let transaction = order["payment"]["x402"]["transaction"].as_str().unwrap_or_default();
    let place = &order["event"];
    let said = format!(
        "Bought: order {}\n  paid      {} minor units, transaction {transaction}\n  \
         event     {} at sequence {}\n  receipts  of checkout and payment, signed by the shop",
        order["id"].as_str().unwrap_or_default(),
        total(done)?,
        place["event_id"].as_str().unwrap_or_default(),
        place["sequence_number"],
    );
    context.out.result(&json!({"checkout": done, "order": order}), &said);
    Ok(())
}

fn text(value: &Value, name: &str) -> Result<String, CliError> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| {
        CliError::failure("UNREADABLE_ANSWER", format!("the shop's answer lacks {name}: {value}"))
    })
}

fn total(checkout: &Value) -> Result<u64, CliError> {
    let totals = checkout["totals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found =
        totals.iter().find(|total| total["type"] == "total").and_then(|total| total["amount"].as_u64());
    found.ok_or_else(|| CliError::failure("UNREADABLE_ANSWER", "the checkout has no total"))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn lines(items: &[String]) -> Result<Value, CliError> {
    let line = |item: &String| {
        let (id, quantity) = item.split_once(':').unwrap_or((item, "1"));
        let bad = || CliError::input("USAGE", format!("{item:?}: expected ITEM or ITEM:QUANTITY"));
        let quantity: u64 = quantity.parse().map_err(|_| bad())?;
        Ok(json!({"item": {"id": id}, "quantity": quantity}))
    };
    Ok(json!({"line_items": items.iter().map(line).collect::<Result<Vec<_>, CliError>>()?}))
}

fn buyer_key(context: &Context, file: Option<&Path>) -> Result<ChainKey, CliError> {
    let file = file.map_or_else(|| context.data.path().join(BUYER_FILE), Path::to_owned);
    let text = files::read_text(&file)?;
    ChainKey::from_hex(text.trim())
        .map_err(|error| CliError::input("BAD_KEY_FILE", format!("{}: {error}", file.display())))
}

/// Signs the payment that the checkout's handler asks for.
fn pay(checkout: &Value, buyer: &ChainKey, shop: &str) -> Result<PaymentPayload, CliError> {
    let bad = |problem: String| CliError::failure("OFFER", format!("the shop's payment handler: {problem}"));
    let config = &checkout["ucp"]["payment_handlers"][HANDLER][0]["config"];
    let accepts: Vec<PaymentRequirements> =
        serde_json::from_value(config["accepts"].clone()).map_err(|error| bad(error.to_string()))?;
    let url = format!("{shop}{REST_PATH}/checkout-sessions/{}", text(checkout, "id")?);
    let offer = PaymentRequired {
        x402_version: 2,
        error: None,
        resource: ResourceInfo { url, description: None, mime_type: None },
        accepts,
        extensions: serde_json::Map::new(),
    };
    let payer = Buyer::new(buyer, ChainTable::default());
    let choice = Choice { amount_max: U256::MAX, chain_id: None, token: None };
    let bill = payer
        .bill(Some(header::write(&offer).as_bytes()), b"", &choice)
        .map_err(|error| bad(error.to_string()))?;
    let (_, value) = payer.pay(&bill, now_s(), B256::from(random::<32>()?));
    header::read(value.as_bytes()).map_err(|error| bad(error.to_string()))
}

/// What mandates are made of.
struct Purchase<'a> {
    checkout: &'a Value,
    jwt: &'a str,
    total: u64,
    currency: &'a str,
    payer: String,
    now_s: u64,
}

impl Platform {
    fn open(&self, lines: &Value) -> Result<Value, CliError> {
        self.post("/checkout-sessions", lines)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let url = format!("{}{REST_PATH}{path}", self.shop.url);
        let request =
            self.shop.agent.post(&url).content_type("application/json").header("ucp-agent", self.named());
        self.answer(&url, request.send(body.to_string()))
    }

    fn order(&self, id: &str) -> Result<Value, CliError> {
        let url = format!("{}{REST_PATH}/orders/{id}", self.shop.url);
        self.answer(&url, self.shop.agent.get(&url).header("ucp-agent", self.named()).call())
    }

    /// The header `UCP-Agent`.
    fn named(&self) -> String {
        format!("profile=\"{}\"", self.profile)
    }

    fn answer(
        &self,
        url: &str,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, CliError> {
        let (status, value) = self.shop.read(url, answered)?;
        let message = &value["messages"][0];
        let code = value["code"].as_str().or(message["code"].as_str()).unwrap_or("REFUSED");
        let why = value["content"].as_str().or(message["content"].as_str()).unwrap_or("no reason is given");
        match (status, value["ucp"]["status"].as_str()) {
            (200 | 201, Some("error")) | (300.., _) => Err(CliError::failure(&code.to_uppercase(), why)),
            _ => Ok(value),
        }
    }

    /// The shop's signature with its payload put back, once it verifies: nobody should agree to what the shop did not say.
    fn signed_checkout(&self, checkout: &Value) -> Result<String, CliError> {
        let bad = |problem: String| CliError::failure("BAD_SIGNATURE", format!("the checkout: {problem}"));
        let mut payload = checkout.clone();
        payload.as_object_mut().and_then(|members| members.remove("ap2"));
        let payload = ves::json::to_canonical(&payload).map_err(|error| bad(error.to_string()))?;
        let detached = checkout["ap2"]["merchant_authorization"].as_str().unwrap_or_default();
        let jwt = attached(detached, payload.as_bytes()).map_err(|error| bad(error.to_string()))?;
        verified(&jwt, &self.shop_keys).map_err(bad)?;
        Ok(jwt)
    }

    /// Checkout and payment mandate.
    fn mandates(&self, of: &Purchase<'_>, autonomous: bool) -> Result<(String, String), CliError> {
        let card = self.shop.card()?.0;
        let merchant = json!({
            "id": "stateset-demo-shop", "name": card["name"], "website": self.shop.url,
        });
        let hash = hash_text(of.jwt);
        let checkout = json!({"vct": CHECKOUT, "checkout_jwt": of.jwt, "checkout_hash": hash});
        let payment = json!({
            "vct": PAYMENT, "transaction_id": hash, "payee": merchant,
            "payment_amount": {"amount": of.total, "currency": of.currency},
            "payment_instrument": {"id": of.payer, "type": INSTRUMENT},
        });
        let times = json!({"iat": of.now_s, "exp": of.now_s + VALID_S});
        let root = |content: &Value| self.token(&self.key, "dc+sd-jwt", content, times.clone());
        if !autonomous {
            return Ok((root(&checkout)?, root(&payment)?));
        }
        let agent = SigningKey::generate().map_err(signing)?.0;
        let cnf = json!({"jwk": agent.public().to_jwk()});
        let items: Vec<Value> = of.checkout["line_items"].as_array().into_iter().flatten().map(|line| {
            json!({"id": line["id"], "acceptable_items": [{"id": line["item"]["id"]}], "quantity": line["quantity"]})
        }).collect();
        let open_checkout = root(&json!({"vct": CHECKOUT_OPEN, "cnf": cnf, "constraints": [
            {"type": "checkout.allowed_merchants", "allowed": [merchant]},
            {"type": "checkout.line_items", "items": items},
        ]}))?;
        let open_payment = root(&json!({"vct": PAYMENT_OPEN, "cnf": cnf, "constraints": [
            {"type": "payment.amount_range", "currency": of.currency, "max": of.total},
            {"type": "payment.allowed_payees", "allowed": [merchant]},
            {"type": "payment.reference", "conditional_transaction_id": hash_text(&open_checkout)},
        ]}))?;
        let close = |open: &str, content: &Value| {
            let nonce = encode(&random::<16>()?);
            let claims =
                json!({"iat": of.now_s, "aud": self.shop.url, "nonce": nonce, "sd_hash": hash_text(open)});
            Ok::<_, CliError>(format!("{open}~{}", self.token(&agent, "kb+sd-jwt", content, claims)?))
        };
        Ok((close(&open_checkout, &checkout)?, close(&open_payment, &payment)?))
    }

    /// An SD-JWT with one content, disclosed.
    fn token(
        &self,
        key: &SigningKey,
        typ: &str,
        content: &Value,
        mut claims: Value,
    ) -> Result<String, CliError> {
        let disclosure = encode(json!([encode(&random::<16>()?), content]).to_string().as_bytes());
        claims["delegate_payload"] = json!([{"...": hash_text(&disclosure)}]);
        claims["_sd_alg"] = json!("sha-256");
        let jws = key.sign(&[("typ", typ)], claims.to_string().as_bytes()).map_err(signing)?;
        Ok(format!("{jws}~{disclosure}~"))
    }
}

fn signing(error: impl std::fmt::Display) -> CliError {
    CliError::failure("SIGNING", error.to_string())
}
