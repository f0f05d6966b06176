//! What the crate promises others: worked values, tear-offs, requests.

mod build;
mod certificates;
mod encodings;
mod requests;
mod tear_offs;
mod vectors;
