//! The Northwind sample company (categories, customers, suppliers, shippers, products, orders and their lines) as
//! signed events.
//!
//! The files put no quotes around text that holds commas. [`row`] recovers such fields and proves each recovery to be
//! the only possible one, or names the file and line that has none. Money is read from decimal text into minor units,
//! discounts into basis points; no floating point is used. Event ids are derived from what the event is about, and
//! `created_at` from the data, so importing twice sends the same bytes twice and the stream does not grow.

mod decimal;
mod events;
mod payload;
pub mod row;
mod tables;

pub use events::ImportEvent;
pub use tables::{Category, Customer, Dataset, Order, OrderLine, Product, Shipper, Supplier};

use std::path::PathBuf;

/// Why the data could not be read. Lines count from 1, the heading included.
#[derive(Debug, thiserror::Error)]
pub enum NorthwindError {
    #[error("cannot read {path}: {source}", path = file.display())]
    Io { file: PathBuf, source: std::io::Error },
    #[error("{path}:1: the heading is not {expected:?}", path = file.display())]
    Heading { file: PathBuf, expected: String },
    #[error("{path}:{line}: {problem}", path = file.display())]
    Row { file: PathBuf, line: usize, problem: String },
}
