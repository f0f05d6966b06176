//! The program as its users run it: real processes, real CometBFT.

mod admission;
mod alone;
mod commands;
mod help;
mod networks;
mod proofs;
mod proposals;
mod requests;
mod upgrades;
