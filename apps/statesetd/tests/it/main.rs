//! The program as its users run it: real processes, real CometBFT.

mod admission;
mod commands;
mod help;
mod networks;
mod proofs;
mod requests;
