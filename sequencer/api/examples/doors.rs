//! Both doors of a sequencer in memory, for clients in other languages: prints one line of JSON with the addresses and
//! the admin's key, and serves until its input is closed.
//!
//! ```text
//! cargo run -p stateset-sequencer-api --example doors
//! {"rest":"127.0.0.1:40001","grpc":"127.0.0.1:40002","key":"ss_…"}
//! ```

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use stateset_event_log::{MemoryDisk, MemoryLog};
use stateset_fixtures::sequencer_key;
use stateset_sequencer::{Config, Sequencer, SystemClock};
use stateset_sequencer_api::{ApiConfig, ServerConfig, doors, install_bootstrap_key, mint_key_text, serve};
use tokio::net::TcpListener;
use ves::{SequencerId, TenantId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = MemoryLog::open(Box::new(MemoryDisk::default()))?;
    let config = Config {
        auto_commit: false,
        ..Config::new(SequencerId::from_bytes([0xAB; 16]), Arc::new(sequencer_key(1)), 1)
    };
    let sequencer = Sequencer::start(Box::new(log), config, Arc::new(SystemClock))?;
    let key = mint_key_text(&TenantId::from_bytes([0; 16]))?;
    install_bootstrap_key(&sequencer, &key).await?;
    let doors = doors(sequencer.clone(), ApiConfig::default());
    let (rest, grpc) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let line = serde_json::json!({
        "rest": rest.local_addr()?.to_string(), "grpc": grpc.local_addr()?.to_string(), "key": key,
    });
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    out.flush()?;
    for (listener, router) in [(rest, doors.rest), (grpc, doors.grpc)] {
        tokio::spawn(serve(listener, router, ServerConfig::default(), std::future::pending()));
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    sequencer.shutdown().await;
    Ok(())
}
