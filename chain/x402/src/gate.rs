//! The gate before paid routes: it answers 402 with both offers, settles what is brought, and only then lets the request in.
//!
//! Version 2 reads the offer from the header, version 1 from the body, so that one answer serves both (x402 B.3). A payment
//! pays for one request: the same header brought again gets the same answer, and is refused anywhere else.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header as http_header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::answers::{Answers, BODY_BYTES_MAX, Kept, NoPlace, Place};
use crate::claim::{Claim, Version};
use crate::facilitator::{Facilitator, key_of};
use crate::forms::{PAYMENT_IDENTIFIER, PaymentRequired, PaymentRequiredV1, SettleResponse};
use crate::header::{
    self, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, X_PAYMENT, X_PAYMENT_RESPONSE,
};
use crate::offer::{Offer, Resource};
use crate::pricing::{Price, PriceTable};
use crate::reason::{Reason, Refusal};
use crate::record::PaymentKey;
use crate::routes::{failed, network_name, settled};
use crate::settle::SettleError;
use crate::verify::{check_answer, check_signature, check_terms};

/// Headers that scripts of other sites may send and read.
const CORS_ALLOWED: &str = "content-type, payment-signature, x-payment, access-control-expose-headers";
const CORS_EXPOSED: &str = "payment-required, payment-response, x-payment-response";
/// Seconds after which a payment that could not be settled may be brought again.
const RETRY_S: &str = "5";

/// What a gate is set to.
#[derive(Debug, Clone, Default)]
pub struct GateSettings {
    pub prices: PriceTable,
    /// Scheme and host as clients see them, such as `https://shop.example`; without it the request's `Host` over `http`.
    pub public_url: Option<String>,
}

/// Lets paid requests in, and those to free routes.
pub struct X402Gate {
    facilitator: Arc<Facilitator>,
    settings: GateSettings,
    answers: Answers,
}

impl X402Gate {
    /// # Errors
    /// [`Refusal`] of an offer that the facilitator would not settle.
    pub fn new(facilitator: Arc<Facilitator>, settings: GateSettings) -> Result<Self, Refusal> {
        for offer in settings.prices.prices().flat_map(|price| &price.offers) {
            let requirements = crate::facilitator::Requirements::Two(offer.requirements());
            if facilitator.offer(&requirements)? != *offer || offer.amount.is_zero() {
                let detail = "an offer is not in a token that is settled here, or is of nothing";
                return Err(Refusal::new(Reason::Requirements, detail));
            }
        }
        Ok(Self { facilitator, settings, answers: Answers::default() })
    }

    /// Puts the gate before every route of `router`.
    pub fn guard(self: Arc<Self>, router: Router) -> Router {
        router.layer(from_fn_with_state(self, pass))
    }
}

async fn pass(State(gate): State<Arc<X402Gate>>, request: Request, next: Next) -> Response {
    let Some(price) = gate.settings.prices.of(request.uri().path()) else { return next.run(request).await };
    let mut response = match is_preflight(&request) {
        true => preflight(),
        false => gate.sell(price, request, next).await,
    };
    let headers = response.headers_mut();
    headers.insert(http_header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(http_header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(CORS_EXPOSED));
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(http_header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(http_header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(CORS_ALLOWED));
    headers.insert(
        http_header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE"),
    );
    response
}

/// A place that is left at the end, also when the client goes away: only a payment that was sent keeps it. A signature alone costs
/// nobody anything, and while the chain or the log gives no answer all the gate has is that.
struct Seat<'a> {
    answers: &'a Answers,
    key: PaymentKey,
    place: Place,
    /// Unknown where the client goes away first.
    is_taken: Option<bool>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.answers.leave(&self.key, std::mem::take(&mut self.place), self.is_taken);
    }
}

/// One request to a paid route.
struct Sale<'a> {
    gate: &'a X402Gate,
    price: &'a Price,
    resource: Resource,
}

impl X402Gate {
    async fn sell(&self, price: &Price, request: Request, next: Next) -> Response {
        let sale = Sale { gate: self, price, resource: self.resource(price, &request) };
        let given = [(Version::Two, PAYMENT_SIGNATURE), (Version::One, X_PAYMENT)];
        let found = given
            .into_iter()
            .find_map(|(version, name)| Some((version, name, request.headers().get(name)?.clone())));
        let Some((version, name, value)) = found else {
            return sale.ask(
                "this costs something: pay one of the offers, in the header PAYMENT-SIGNATURE or X-PAYMENT",
            );
        };
        match Claim::read(version, value.as_bytes()) {
            Ok(claim) => sale.take(claim, request, next).await,
            Err(error) => problem(StatusCode::BAD_REQUEST, &format!("{name}: {error}")),
        }
    }

    fn resource(&self, price: &Price, request: &Request) -> Resource {
        let host = || request.headers().get(http_header::HOST).and_then(|host| host.to_str().ok());
        let base = match &self.settings.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", host().unwrap_or("localhost")),
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        Resource {
            url: format!("{base}{path}"),
            description: price.description.clone(),
            mime_type: price.mime_type.clone(),
        }
    }
}

impl Sale<'_> {
    /// Settles a payment, then delivers.
    async fn take(&self, claim: Claim, request: Request, next: Next) -> Response {
        if self.price.needs_identifier && claim.version() == Version::Two && claim.identifier.is_none() {
            let missing = "extensions.payment-identifier.info.id is missing: name the payment, with 16 to 128 letters, \
                           digits, - or _";
            return problem(StatusCode::BAD_REQUEST, missing);
        }
        let facilitator = &self.gate.facilitator;
        let now_s = facilitator.now_s();
        let offer = match self.offer(&claim) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse(&claim, &self.price.offers[0], &refusal),
        };
        let key = key_of(&claim, offer);
        let in_time = match check_terms(&claim, offer, facilitator.names(), now_s) {
            // Its last rule. What was taken in time is delivered after the end, too.
            Err(refusal) if refusal.reason == Reason::ValidBefore && facilitator.has_taken(&key) => Ok(()),
            checked => checked,
        };
        // Nobody holds a place by a payment that is not the payer's.
        if let Err(refusal) = in_time.and_then(|()| check_signature(&claim, offer)) {
            return self.refuse(&claim, offer, &refusal);
        }
        let bought = bought(&request);
        let fingerprint = fingerprint(&bought, &claim);
        let times = (now_s, claim.authorization.valid_before_s());
        let mut seat = match self.gate.answers.place(key, fingerprint, claim.identifier.as_deref(), times) {
            Ok(place) => Seat { answers: &self.gate.answers, key, place, is_taken: None },
            Err(NoPlace::OtherRequest) => {
                let detail = "the authorization pays for another request already; sign a new one";
                return self.refuse(&claim, offer, &Refusal::new(Reason::NonceUsed, detail));
            }
            Err(NoPlace::OtherPayment) => {
                let taken = "payment-identifier: it names another payment; take a new one";
                return problem(StatusCode::CONFLICT, taken);
            }
            Err(NoPlace::Full) => return unavailable("too many payments at once; nothing was moved"),
        };
        let (place, is_taken) = (&seat.place, &mut seat.is_taken);
        let mut kept = place.lock().await;
        // What the chain has undone for good bought nothing.
        if kept.is_some() && self.gate.facilitator.has_failed(&key) {
            self.gate.answers.take_back(&key, &mut kept);
        }
        if let Some(kept) = kept.as_ref() {
            return kept.clone().into_response();
        }
        let outcome = facilitator.settle(&claim, offer, &bought).await;
        // What was refused here may be taken for something else.
        let is_refused = matches!(outcome, Err(SettleError::Refused(_)));
        *is_taken = Some(!is_refused && facilitator.has_sent(&key));
        let settlement = match outcome {
            Ok(settlement) => settlement,
            Err(SettleError::Refused(refusal)) => return self.refuse(&claim, offer, &refusal),
            Err(error) => {
                tracing::warn!(%error, resource = %self.resource.url, "a payment is not settled");
                return unavailable(
                    "the payment is not settled yet; bring the same one again, it is never taken twice",
                );
            }
        };
        let told = settled(&settlement, network_name(facilitator, &claim, offer));
        let mut request = request;
        request.extensions_mut().insert(settlement);
        let response = with_settlement(next.run(request).await, &claim, &told);
        self.keep(response, &key, &mut kept).await
    }

    /// Keeps an answer for repeats, where it is short and whole. What the route failed at is tried anew, at no second price.
    async fn keep(&self, response: Response, key: &PaymentKey, place: &mut Option<Kept>) -> Response {
        let is_short =
            response.body().size_hint().upper().is_some_and(|bytes| bytes <= BODY_BYTES_MAX as u64);
        if response.status().is_server_error() || !is_short {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
            return problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer broke off; bring the same payment again",
            );
        };
        let kept = Kept { status: parts.status, headers: parts.headers, body };
        self.gate.answers.keep(key, place, kept.clone(), self.gate.facilitator.now_s());
        kept.into_response()
    }

    /// The own offer that the payment answers: what it says of it is never believed.
    fn offer(&self, claim: &Claim) -> Result<&Offer, Refusal> {
        let names = self.gate.facilitator.names();
        let mut refusal = None;
        for offer in &self.price.offers {
            match check_answer(&claim.answered, offer, names) {
                Ok(()) => return Ok(offer),
                Err(why) => refusal = refusal.or(Some(why)),
            }
        }
        Err(refusal.unwrap_or_else(|| Refusal::new(Reason::Requirements, "there is no such offer")))
    }

    /// 402 with both offers.
    fn ask(&self, error: &str) -> Response {
        let mut extensions = Map::new();
        let identifier = json!({"info": {"required": self.price.needs_identifier}});
        extensions.insert(PAYMENT_IDENTIFIER.to_owned(), identifier);
        let offer = PaymentRequired {
            x402_version: 2,
            error: Some(error.to_owned()),
            resource: self.resource.info(),
            accepts: self.price.offers.iter().map(Offer::requirements).collect(),
            extensions,
        };
        let names = self.gate.facilitator.names();
        let of_v1 = self.price.offers.iter().filter_map(|offer| offer.requirements_v1(names, &self.resource));
        let body = PaymentRequiredV1 { x402_version: 1, error: error.to_owned(), accepts: of_v1.collect() };
        let mut response = (StatusCode::PAYMENT_REQUIRED, Json(body)).into_response();
        put(response.headers_mut(), PAYMENT_REQUIRED, &header::write(&offer));
        response.headers_mut().insert(http_header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn refuse(&self, claim: &Claim, offer: &Offer, refusal: &Refusal) -> Response {
        let network = network_name(&self.gate.facilitator, claim, offer);
        let told = failed(claim, network, refusal.reason, refusal.detail.clone());
        with_settlement(self.ask(&refusal.to_string()), claim, &told)
    }
}

/// What a payment pays for: nothing but this method on this path.
fn bought(request: &Request) -> String {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    format!("{} {path}", request.method())
}

fn fingerprint(bought: &str, claim: &Claim) -> B256 {
    let authorization = serde_json::to_vec(&claim.authorization).expect("an authorization is JSON");
    keccak256([bought.as_bytes(), &authorization, &claim.signature].concat())
}

fn with_settlement(mut response: Response, claim: &Claim, told: &SettleResponse) -> Response {
    let name = match claim.version() {
        Version::One => X_PAYMENT_RESPONSE,
        Version::Two => PAYMENT_RESPONSE,
    };
    put(response.headers_mut(), name, &header::write(told));
    response
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("base64 is ASCII");
    headers.insert(HeaderName::from_static(name), value);
}

impl Kept {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        (*response.status_mut(), *response.headers_mut()) = (self.status, self.headers);
        response
    }
}

fn problem(status: StatusCode, text: &str) -> Response {
    let body: Value = json!({"error": text});
    (status, Json(body)).into_response()
}

fn unavailable(text: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(http_header::RETRY_AFTER, HeaderValue::from_static(RETRY_S));
    response
}
