//! Completion: mandates first, then the payment, then the order.
//!
//! ```text
//! payment fits the price ─► both mandates verify ─► each is marked as used (once in the log) ─► completion_started
//!   ─► x402 settles ─► order.created, order.confirmed ─► completed
//! ```
//! From completion_started on, every repetition goes on where the last one stopped: the payment moves money once.

use serde_json::{Map, Value, json};

use super::{Caller, Desk, Fault, Loaded, Reply, asked, not_open};
use crate::business::HANDLER_ID;
use crate::forms::{CompleteBody, Instrument, read};
use crate::mandate::{self, Accepted, Code, INSTRUMENT, Purchase, Refused, Which};
use crate::ports::{JournalError, TillError};
use crate::session::{Event, Mandates, Paid, Phase, Session};
use crate::versions::Platform;
use crate::view::{self, Message, Verdict};

/// Entity of the mandates that were used.
const MANDATE: &str = "ap2_mandate";
const ORDER: &str = "order";

impl Desk {
    /// Verifies the mandates, takes the payment, and places the order.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn complete(&self, caller: Caller<'_>, id: &str, body: &[u8]) -> Result<Reply, Fault> {
        let platform = self.platform(caller.profile).await?;
        let asked = asked(&caller, &format!("complete {id}"), body)?;
        let form: CompleteBody = read(body).map_err(Fault::Invalid)?;
        let lock = self.lock(id);
        let _one_at_a_time = lock.lock().await;
        let loaded = self.find(id, &platform.profile).await?;
        let answered = loaded.answered(asked.as_ref())?.cloned();
        if matches!(loaded.session.phase, Phase::Completing { .. }) {
            return self.resume(loaded).await;
        }
        if let Some(session) = answered {
            return self.told(&session, &[]);
        }
        let loaded = self.ended_if_late(loaded).await?;
        if let Some(refusal) = not_open(&loaded.session, "complete") {
            return self.told(&loaded.session, &[refusal]);
        }
        let session = &loaded.session;
        let Some(ap2) = &form.ap2 else {
            let content =
                "ap2.checkout_mandate is missing: this business sells to agents against mandates alone";
            return self.told(session, &[Message::error("mandate_required", content).at("$.ap2")]);
        };
        let instrument = match instrument(&form) {
            Ok(instrument) => instrument,
            Err(problem) => return self.told(session, &[problem]),
        };
        let payment = &instrument.credential.payment;
        let payer = match self.parts.till.payer(payment, session.total(), &session.currency) {
            Ok(payer) => payer,
            Err(problem) => {
                let path = "$.payment.instruments[0].credential.payment";
                return self.told(session, &[Message::error("payment_failed", problem).at(path)]);
            }
        };
        let mandates = (&*ap2.checkout_mandate, &*instrument.credential.token);
        let accepted = match self.accept(&platform, session, mandates, &payer).await? {
            Ok(accepted) => accepted,
            Err(refused) => return self.refused(session, &refused),
        };
        let event = Event::CompletionStarted {
            mandates: Mandates {
                checkout_hash: accepted.checkout_hash,
                checkout_reference: accepted.checkout_reference,
                payment_reference: accepted.payment_reference,
            },
            payer,
            payment: payment.clone(),
            at_s: self.now_s(),
            asked,
        };
        let loaded = self.step(Some(loaded), id, &event).await?;
        self.resume(loaded).await
    }

    /// Verifies the mandates and marks them as used for this session.
    async fn accept(
        &self,
        platform: &Platform,
        session: &Session,
        (checkout_mandate, payment_mandate): (&str, &str),
        payer: &str,
    ) -> Result<Result<Accepted, Refused>, Fault> {
        let business = &self.parts.business;
        let (checkout, lines) = (self.shown(session, &[]), session.items());
        let purchase = Purchase {
            merchant: &business.merchant,
            checkout: &checkout,
            lines: &lines,
            total: session.total(),
            currency: &session.currency,
            payer,
            own_key: business.key.public(),
            platform_keys: &platform.keys,
            now: self.parts.clock.now(),
        };
        let accepted = match mandate::verify(checkout_mandate, payment_mandate, &purchase) {
            Ok(accepted) => accepted,
            Err(refused) => return Ok(Err(refused)),
        };
        for (at, identity) in accepted.used_once.iter().enumerate() {
            if !self.mark_used(identity, &session.id).await? {
                let (which, reference) = match at {
                    0 => (Which::Checkout, &accepted.checkout_reference),
                    _ => (Which::Payment, &accepted.payment_reference),
                };
                return Ok(Err(Refused {
                    which,
                    code: Code::Replayed,
                    detail: "it was used for another checkout already".to_owned(),
                    reference: Some(reference.clone()),
                }));
            }
        }
        Ok(Ok(accepted))
    }

    /// Whether the mandate is this session's: it was not used before, or for this session. Of two sessions at once, the log
    /// takes one.
    async fn mark_used(&self, identity: &str, session: &str) -> Result<bool, Fault> {
        for _ in 0..2 {
            let history = self.parts.journal.history(MANDATE, identity).await?;
            if let Some(used) = history.own.first() {
                return Ok(used.payload["checkout"] == session);
            }
            let payload = json!({"checkout": session, "at_s": self.now_s()});
            let fact =
                self.fact(MANDATE, identity, "ap2_mandate.used".to_owned(), payload, history.version)?;
            match self.parts.journal.append(&fact).await {
                Ok(_) => return Ok(true),
                Err(JournalError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::Conflict)
    }

    /// Brings a completion to its end.
    pub(super) async fn resume(&self, loaded: Loaded) -> Result<Reply, Fault> {
        let Phase::Completing { payment, .. } = loaded.session.phase.clone() else {
            return self.told(&loaded.session, &[]);
        };
        let (id, total) = (loaded.session.id.clone(), loaded.session.total());
        let resource = format!("checkout {id}");
        let settled = self.parts.till.settle(&payment, total, &loaded.session.currency, &resource).await;
        let event = match settled {
            Ok(paid) => {
                let order = id.replacen("chk_", "ord_", 1);
                self.place(&loaded.session, &order, &paid).await?;
                Event::Completed { order, paid, at_s: self.now_s() }
            }
            Err(TillError::Refused(reason)) => Event::PaymentFailed { reason, at_s: self.now_s() },
            Err(TillError::Underway(reason)) => {
                tracing::warn!(checkout = %id, %reason, "a payment is not settled yet");
                return self.told(&loaded.session, &[Message::info("payment_underway", reason)]);
            }
        };
        let session = self.step(Some(loaded), &id, &event).await?.session;
        self.told(&session, &[])
    }

    /// The order's own events, as the projection of orders reads them. Each is recorded once.
    async fn place(&self, session: &Session, order: &str, paid: &Paid) -> Result<(), Fault> {
        let minor = |amount: u64| json!({"amount": amount, "currency": session.currency});
        let lines: Vec<Value> = session.lines.iter().map(|line| {
            json!({"product_id": line.item, "quantity": line.quantity, "unit_price": minor(line.price)})
        }).collect();
        let created = json!({
            "customer_id": paid.payer, "currency": session.currency, "total_amount": minor(session.total()),
            "line_items": lines, "checkout_id": session.id, "payment": paid,
        });
        let steps = [("order.created", created), ("order.confirmed", json!({"checkout_id": session.id}))];
        let history = self.parts.journal.history(ORDER, order).await?;
        let mut version = history.version;
        for (event_type, payload) in steps {
            if history.own.iter().any(|own| own.event_type == event_type) {
                continue;
            }
            let fact = self.fact(ORDER, order, event_type.to_owned(), payload, version)?;
            self.parts.journal.append(&fact).await?;
            version += 1;
        }
        Ok(())
    }

    /// The session with the receipts that belong to it.
    fn told(&self, session: &Session, messages: &[Message]) -> Result<Reply, Fault> {
        let mut ap2 = Map::new();
        if let Phase::Completed { mandates, order, paid } = &session.phase {
            let receipt = |name: &str, reference: &str, subject: &[(&str, &str)]| {
                view::receipt(&self.parts.business, session.updated_s, reference, &Verdict::Success, subject)
                    .map(|text| (name.to_owned(), Value::from(text)))
                    .map_err(|error| Fault::Unavailable(error.to_string()))
            };
            let subject = [("order_id", order.as_str())];
            ap2.extend([receipt("checkout_receipt", &mandates.checkout_reference, &subject)?]);
            let subject = [
                ("payment_id", paid.intent_id.as_deref().unwrap_or(&paid.transaction)),
                ("network_confirmation_id", &paid.transaction),
            ];
            ap2.extend([receipt("payment_receipt", &mandates.payment_reference, &subject)?]);
        }
        self.reply_with(200, session, messages, ap2)
    }

    /// A mandate is refused: the platform hears why, and gets the signed refusal.
    fn refused(&self, session: &Session, refused: &Refused) -> Result<Reply, Fault> {
        let (name, path) = match refused.which {
            Which::Checkout => ("checkout_receipt", "$.ap2.checkout_mandate"),
            Which::Payment => ("payment_receipt", "$.payment.instruments[0].credential.token"),
        };
        let mut ap2 = Map::new();
        if let Some(reference) = &refused.reference {
            let description = refused.to_string();
            let verdict = Verdict::Error { code: refused.code.ap2(), description: &description };
            let subject: &[(&str, &str)] = match refused.which {
                Which::Checkout => &[],
                Which::Payment => &[("payment_id", &session.id)],
            };
            let receipt = view::receipt(&self.parts.business, self.now_s(), reference, &verdict, subject)
                .map_err(|error| Fault::Unavailable(error.to_string()))?;
            ap2.insert(name.to_owned(), Value::from(receipt));
        }
        let message = Message::error(refused.code.ucp(), refused.to_string()).at(path);
        self.reply_with(200, session, &[message], ap2)
    }
}

/// The one instrument, of the handler that there is.
fn instrument(form: &CompleteBody) -> Result<&Instrument, Message> {
    let bad = |content: String, path: &str| Err(Message::error("payment_failed", content).at(path));
    let [instrument] = form.payment.instruments.as_slice() else {
        let content = format!("expected one instrument, there are {}", form.payment.instruments.len());
        return bad(content, "$.payment.instruments");
    };
    if instrument.handler_id != HANDLER_ID {
        return bad(format!("handler_id: expected {HANDLER_ID}"), "$.payment.instruments[0].handler_id");
    }
    if instrument.kind != INSTRUMENT || instrument.credential.kind != INSTRUMENT {
        return bad(
            format!("type of instrument and credential: expected {INSTRUMENT}"),
            "$.payment.instruments[0].type",
        );
    }
    Ok(instrument)
}
