//! Payment intents, their batches and their settlement (section 3.8).

mod body;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{
    BatchChoice, LIST_LIMIT_MAX, LIST_OFFSET_MAX, PayerAuthorization, Payment, PaymentBatch, PaymentContent,
    PaymentError, PaymentFilter, PaymentStatus, SettlementError,
};
use uuid::Uuid;
use ves::x402::{Asset, BATCH_INTENTS_DEFAULT, BATCH_INTENTS_MAX, Network, Party};
use ves::{BatchId, Digest, KeyId, StoreId, StreamKey, TenantId};
use ves_wire::Rfc3339;
use ves_wire::error::ErrorCode;
use ves_wire::payments::{
    CreatePaymentBatch, IntentAuthorization, PaymentBatchFound, PaymentList, PaymentReceiptAnswer,
    SettlePaymentBatch, SubmitPayment,
};

use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, Segments, page_limit};
use crate::router::App;

/// Intents of a page unless the caller asks for another number.
const LIST_LIMIT_DEFAULT: usize = 100;
/// Key of an agent that names none.
const KEY_ID_DEFAULT: u32 = 1;
/// Seconds after which a chain may be reached again.
const CHAIN_RETRY_S: u32 = 10;

impl From<PaymentError> for ApiError {
    fn from(error: PaymentError) -> Self {
        let code = match &error {
            PaymentError::Service(error) => return error.clone().into(),
            // What an endpoint says may hold its address and its keys: it stays in the log.
            PaymentError::Settlement(SettlementError::Unavailable(problem)) => {
                tracing::warn!(%problem, "the chain can't be asked about a payment batch");
                let message = "the chain can't be reached now; nothing was changed, ask again";
                return Self::new(ErrorCode::ServiceUnavailable, message).retry_after(CHAIN_RETRY_S);
            }
            PaymentError::Settlement(SettlementError::Misset(problem)) => {
                tracing::error!(%problem, "no payment can be settled until the operator mends a setting");
                let message = "payments can't be settled here until the operator mends a setting; nothing was changed, ask again later";
                return Self::new(ErrorCode::ServiceUnavailable, message).retry_after(CHAIN_RETRY_S);
            }
            PaymentError::Invalid { .. }
            | PaymentError::NothingToBatch
            | PaymentError::TooWide
            | PaymentError::Settlement(SettlementError::Refused(_) | SettlementError::OtherNetwork(_)) => {
                ErrorCode::InvalidFieldValue
            }
            PaymentError::Missing { .. } => ErrorCode::MissingRequiredField,
            PaymentError::Signature => ErrorCode::SignatureVerificationFailed,
            PaymentError::NonceUsed
            | PaymentError::ReplayedOldForm
            | PaymentError::AuthorizationUsed
            | PaymentError::KeyTaken => ErrorCode::AlreadyExists,
            PaymentError::UnknownIntent(_) | PaymentError::NotBatched(_) => ErrorCode::ResourceNotFound,
            PaymentError::UnknownBatch(_) => ErrorCode::BatchNotFound,
            PaymentError::Transition { .. } => ErrorCode::InvalidStateTransition,
        };
        let message = error.to_string();
        match error {
            PaymentError::UnknownIntent(id) | PaymentError::NotBatched(id) => {
                Self::new(code, message).about(id)
            }
            PaymentError::UnknownBatch(id) => Self::new(code, message).about(id),
            _ => Self::new(code, message),
        }
    }
}

/// `POST /api/v1/x402/payments`
pub(crate) async fn submit(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Write)?;
    let request: SubmitPayment = body.read()?;
    let stream = StreamKey { tenant_id: request.tenant_id, store_id: request.store_id };
    caller.require(Permission::Write, &stream)?;
    caller.require_agent(&request.agent_id)?;
    let payment = app.sequencer.payments().submit(content(request)?).await?;
    json(&body::answer(&payment))
}

fn content(request: SubmitPayment) -> Result<PaymentContent, ApiError> {
    Ok(PaymentContent {
        tenant_id: request.tenant_id,
        store_id: request.store_id,
        agent_id: request.agent_id,
        agent_key_id: KeyId(request.agent_key_id.unwrap_or(KEY_ID_DEFAULT)),
        amount: request.amount.0,
        asset: asset(&request.asset)?,
        network: network(&request.network)?,
        valid_until: request.valid_until.0,
        nonce: request.nonce.0,
        signing_hash: Digest(request.signing_hash.0),
        payer_signature: request.payer_signature.0,
        payer_public_key: request.payer_public_key.map(|key| Digest(key.0)),
        payer_address: request.payer_address,
        payee_address: request.payee_address,
        idempotency_key: request.idempotency_key,
        resource_uri: request.resource_uri,
        description: request.description,
        order_id: request.order_id,
        merchant_id: request.merchant_id,
        metadata: request.metadata,
        authorization: request.authorization.map(authorization),
    })
}

fn authorization(given: IntentAuthorization) -> PayerAuthorization {
    PayerAuthorization {
        from: given.from.0,
        to: given.to.0,
        value: given.value.0,
        valid_after: given.valid_after.0,
        valid_before: given.valid_before.0,
        nonce: Digest(given.nonce.0),
        signature: given.signature.0,
    }
}

fn asset(name: &str) -> Result<Asset, ApiError> {
    Asset::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Asset::ALL.iter().map(|asset| asset.text()).collect();
        ApiError::invalid("asset", format_args!("{name:?} is none of {}", names.join(", ")))
    })
}

fn network(name: &str) -> Result<Network, ApiError> {
    Network::from_text(name).ok_or_else(|| {
        let names: Vec<_> = Network::ALL.iter().map(|network| network.text()).collect();
        ApiError::invalid("network", format_args!("{name:?} is none of {}", names.join(", ")))
    })
}

#[derive(Deserialize)]
pub(crate) struct ListParams {
    tenant_id: TenantId,
    store_id: Option<StoreId>,
    payer_address: Option<String>,
    payee_address: Option<String>,
    status: Option<String>,
    network: Option<String>,
    asset: Option<String>,
    batch_id: Option<BatchId>,
    from_date: Option<Rfc3339>,
    to_date: Option<Rfc3339>,
    limit: Option<usize>,
    offset: Option<usize>,
}

/// `GET /api/v1/x402/payments`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    caller.require_tenant(Permission::Read, &params.tenant_id)?;
    match params.store_id {
        Some(store_id) => {
            caller.require(Permission::Read, &StreamKey { tenant_id: params.tenant_id, store_id })?
        }
        None if caller.store_ids.is_empty() || caller.is_bootstrap() => {}
        None => {
            let message = "store_id is missing in the query: the credential is for some stores alone";
            return Err(ApiError::new(ErrorCode::MissingRequiredField, message));
        }
    }
    let payments = app.sequencer.payments().list(filter(params)?).await?;
    json(&PaymentList(payments.iter().map(body::whole).collect()))
}

fn filter(params: ListParams) -> Result<PaymentFilter, ApiError> {
    let party = |field, text: Option<String>| match text {
        Some(text) => match Party::parse(&text) {
            Some(party) => Ok(Some(party)),
            None => Err(ApiError::invalid(field, "expected 0x and 40 or 64 hex digits")),
        },
        None => Ok(None),
    };
    let status = match params.status.as_deref() {
        Some(text) => Some(PaymentStatus::from_text(text).ok_or_else(|| {
            let names: Vec<_> = PaymentStatus::ALL.iter().map(|status| status.text()).collect();
            ApiError::invalid("status", format_args!("{text:?} is none of {}", names.join(", ")))
        })?),
        None => None,
    };
    let offset = params.offset.unwrap_or(0);
    if offset > LIST_OFFSET_MAX {
        let problem = format_args!("expected at most {LIST_OFFSET_MAX}; narrow the dates instead");
        return Err(ApiError::invalid("offset", problem));
    }
    Ok(PaymentFilter {
        tenant_id: params.tenant_id,
        store_id: params.store_id,
        payer: party("payer_address", params.payer_address)?,
        payee: party("payee_address", params.payee_address)?,
        status,
        network: params.network.as_deref().map(network).transpose()?,
        asset: params.asset.as_deref().map(asset).transpose()?,
        batch_id: params.batch_id,
        from: params.from_date.map(|at| at.0),
        to: params.to_date.map(|at| at.0),
        limit: page_limit(params.limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?,
        offset,
    })
}

/// `GET /api/v1/x402/payments/{intent_id}`
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    json(&body::answer(&find_payment(&app, &caller, &segments).await?))
}

/// `GET /api/v1/x402/payments/{intent_id}/receipt`
pub(crate) async fn receipt(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let payment = find_payment(&app, &caller, &segments).await?;
    let receipt = app.sequencer.payments().receipt(payment).await?;
    json(&PaymentReceiptAnswer { receipt: body::receipt(receipt) })
}

/// `POST /api/v1/x402/batches`
pub(crate) async fn create_batch(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let request: CreatePaymentBatch = body.read()?;
    let stream = StreamKey { tenant_id: request.tenant_id, store_id: request.store_id };
    caller.require(Permission::Admin, &stream)?;
    let size_max = request.max_size.unwrap_or(match &request.intent_ids {
        // Named one by one, they are all meant.
        Some(_) => BATCH_INTENTS_MAX,
        None => BATCH_INTENTS_DEFAULT,
    });
    let choice = BatchChoice {
        stream,
        network: network(&request.network)?,
        asset: request.asset.as_deref().map(asset).transpose()?,
        is_authorized: request.authorized,
        intents: request.intent_ids,
        size_max,
    };
    let batch = app.acting(&caller).payments().commit_batch(choice).await?;
    json(&body::batch_answer(&batch))
}

/// `GET /api/v1/x402/batches/{batch_id}`
pub(crate) async fn batch(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let batch = find_batch(&app, &caller, Permission::Read, &batch_id).await?;
    json(&PaymentBatchFound { batch: body::batch(&batch) })
}

/// `POST /api/v1/x402/batches/settle`
pub(crate) async fn settle(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    caller.require_right(Permission::Admin)?;
    let request: SettlePaymentBatch = body.read()?;
    find_batch(&app, &caller, Permission::Admin, &request.batch_id).await?;
    let tx_hash = request.tx_hash.map(|hash| hash.0);
    let service = app.acting(&caller);
    let settled = service
        .payments()
        .settle_batch(request.batch_id, tx_hash, request.block_number, request.gas_used)
        .await?;
    json(&body::settled(&settled))
}

/// `GET /api/v1/x402/networks`
pub(crate) async fn networks(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_right(Permission::Read)?;
    json(&body::networks(&app.sequencer.payments()))
}

/// Looked for by its id alone, an intent of a store that is closed to the caller is as unknown as one that is not there.
async fn find_payment(app: &App, caller: &Caller, segments: &Segments) -> Result<Payment, ApiError> {
    caller.require_right(Permission::Read)?;
    let intent_id: Uuid = segments.get("intent_id", "a UUID")?;
    let found = app.sequencer.payments().payment(caller.sees(), &intent_id).await?;
    found
        .filter(|payment| caller.require(Permission::Read, &payment.stream()).is_ok())
        .ok_or_else(|| PaymentError::UnknownIntent(intent_id).into())
}

async fn find_batch(
    app: &App,
    caller: &Caller,
    permission: Permission,
    batch_id: &BatchId,
) -> Result<PaymentBatch, ApiError> {
    caller.require_right(permission)?;
    let found = app.sequencer.payments().batch(caller.sees(), batch_id).await?;
    found
        .filter(|batch| caller.require(permission, &batch.stream()).is_ok())
        .ok_or_else(|| PaymentError::UnknownBatch(*batch_id).into())
}
