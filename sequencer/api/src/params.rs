//! Query strings and path segments as types; errors in our form, naming the parameter.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ves::{StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;

use crate::error::ApiError;

/// The query string, read as `T`.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let full = rejection.to_string();
            let problem = full.rsplit_once("query string: ").map_or(full.as_str(), |(_, problem)| problem);
            match problem.strip_prefix("missing field `") {
                Some(rest) => {
                    let field = rest.trim_end_matches('`');
                    ApiError::new(ErrorCode::MissingRequiredField, format!("{field} is missing in the query"))
                }
                None => ApiError::new(ErrorCode::InvalidFieldValue, format!("the query: {problem}")),
            }
        })?;
        Ok(Self(params))
    }
}

/// The stream that a read is about.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct StreamParams {
    tenant_id: TenantId,
    store_id: StoreId,
}

impl StreamParams {
    pub fn stream(self) -> StreamKey {
        StreamKey { tenant_id: self.tenant_id, store_id: self.store_id }
    }
}

/// The segments of the path, read by name.
pub(crate) struct Segments(RawPathParams);

impl Segments {
    /// Segment `name` as a `T`.
    pub fn get<T: std::str::FromStr>(&self, name: &str, expected: &str) -> Result<T, ApiError> {
        let text = self.text(name);
        text.parse().map_err(|_| ApiError::invalid(name, format_args!("expected {expected}, found {text:?}")))
    }

    /// Segment `name` as it stands.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| *found == name).map_or("", |(_, text)| text)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        RawPathParams::from_request_parts(parts, state).await.map(Self).map_err(|rejection| match rejection {
            RawPathParamsRejection::InvalidUtf8InPathParam(_) => ApiError::invalid("path", "is not UTF-8"),
            other => ApiError::internal(other),
        })
    }
}

/// Bounds a page size: missing means `default`, 0 and more than `max` are refused.
pub(crate) fn page_limit(asked: Option<usize>, default: usize, max: usize) -> Result<usize, ApiError> {
    match asked.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        limit => Err(ApiError::invalid("limit", format_args!("expected 1 to {max}, found {limit}"))),
    }
}
