//! Participants' nodes at work.

mod attested;
mod chain;
mod crashes;
mod double_spend;
mod engine;
mod invoices;
mod notaries;
mod own;
mod payments;
mod peers;
mod recovery;
mod vault;
mod world;
