//! The state machine as an engine sees it: blocks in, results and writes out.

mod anchors;
mod bank;
mod certificates;
mod genesis;
mod governance;
mod members;
mod notary;
mod public;
mod queries;
mod receipts;
mod upgrades;
mod world;
