//! The application under real CometBFT processes, judged by CometBFT's RPC, its light client rules and ICS-23, and under calls of
//! the tests' own, where the moment of a crash is chosen.

mod agreement;
mod calls;
mod checked;
mod crashes;
mod key_value;
mod ledger;
mod light_client;
mod same_hashes;
mod snapshots;
mod world;
