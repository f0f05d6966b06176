//! The OpenAPI 3.1 document, made from the same table as the routes: `GET /openapi.json` and `sequencer/api/openapi.json`.
//!
//! Bodies are described by the types that read and write them (`utoipa::ToSchema` on the types of `ves-wire`); the few
//! that are read or written by hand are in [`schemas`]. An [`operation::Operation`] says the rest.

mod document;
pub(crate) mod operation;
pub(crate) mod schemas;

pub(crate) use document::document;
