//! A company's own node, called by programs of its machine: the command line, and the tools of language models.
//!
//! - [`files`]: what the nodes write beside their data, and who is called how: `node.json`, `orgs/`, `peers.json`.
//! - [`NodeApi`]: one request and its answer, or a [`CallError`] by the node's own names (network.md 15).
//! - [`Company`]: invoices, flows and payments of one company (docs/operator/invoices.md, "For programs").
//!
//! Nothing here is proven: a program believes the node of its own machine, which has verified what it tells.

mod api;
mod company;
mod error;
pub mod files;
mod views;

pub use api::NodeApi;
pub use company::{Company, Start};
pub use error::{CallError, FileError};
pub use views::{Flow, Held, Page};
