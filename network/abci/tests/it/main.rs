//! The application under real CometBFT processes, judged by CometBFT's RPC, its light client rules and ICS-23.

mod agreement;
mod checked;
mod crashes;
mod key_value;
mod light_client;
mod snapshots;
mod world;
