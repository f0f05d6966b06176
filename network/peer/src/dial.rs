//! One task for each entity: makes a connection when there is a reason, and again when it breaks.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connection;
use crate::error::ConnectionError;
use crate::frame::Decoder;
use crate::greeting::{broken, greet};
use crate::link::Link;
use crate::peers::Shared;
use crate::store::StoreError;

pub(crate) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let timing = shared.config.timing;
    let mut backoff = timing.backoff_first;
    loop {
        match is_wanted(&shared, &link).await {
            Ok(true) => {}
            Ok(false) => {
                tokio::select! {
                    () = link.dial.notified() => continue,
                    () = shared.stop.cancelled() => return,
                }
            }
            Err(error) => {
                tracing::error!(entity = %link.entity, %error, "whether anything waits cannot be told");
                link.failed(error.into());
            }
        }
        let attempted = tokio::select! {
            attempted = attempt(&shared, &link) => attempted,
            () = shared.stop.cancelled() => return,
        };
        match attempted {
            // It was greeted: whatever ends it, the peer is there. At the stop it ends by itself, in order.
            Ok(Greeted { stream, decoder, chain }) => {
                link.keep();
                connection::run(shared.clone(), link.clone(), stream, decoder, chain).await;
                backoff = timing.backoff_first;
            }
            Err(error) => {
                tracing::debug!(entity = %link.entity, %error, "dialling failed");
                link.failed(error);
            }
        }
        tokio::select! {
            () = sleep(jittered(backoff)) => backoff = (backoff * 2).min(timing.backoff_last),
            () = shared.stop.cancelled() => return,
        }
    }
}

/// A connection that this side made.
struct Greeted {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    /// DER of the peer's certificates.
    chain: Vec<Vec<u8>>,
}

/// Whether there is a reason to dial: there is no connection, and somebody asks for one, or this side made one before, or
/// a message waits.
async fn is_wanted(shared: &Shared, link: &Link) -> Result<bool, StoreError> {
    if link.is_connected() {
        return Ok(false);
    }
    if link.is_asked_for() {
        return Ok(true);
    }
    if link.addresses().is_empty() {
        return Ok(false);
    }
    if link.is_kept() {
        return Ok(true);
    }
    let entity = link.entity;
    shared.store(move |store| Ok(!store.outbox(&entity, 0, 1)?.is_empty())).await
}

/// Dials each address in turn; the first connection that is greeted.
async fn attempt(shared: &Arc<Shared>, link: &Arc<Link>) -> Result<Greeted, ConnectionError> {
    let mut failure = ConnectionError::NoAddress(link.entity);
    for address in link.addresses() {
        match dialled(shared, link, &address).await {
            Ok(greeted) => return Ok(greeted),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn dialled(shared: &Arc<Shared>, link: &Arc<Link>, address: &str) -> Result<Greeted, ConnectionError> {
    let unreachable = |error: std::io::Error| ConnectionError::Unreachable {
        address: address.to_owned(),
        error: error.to_string(),
    };
    let client = shared.tls.client(link.entity).map_err(|error| ConnectionError::Tls(error.to_string()))?;
    let handshake = async {
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let connector = TlsConnector::from(client);
        let connected = connector.connect(crate::tls::any_name(), stream).await;
        let mut stream = connected.map_err(|error| broken(&error))?;
        let decoder = greet(&mut stream, link.entity, &shared.config, &*shared.members).await?;
        let chain = crate::accept::certificates(stream.get_ref().1.peer_certificates());
        Ok(Greeted { stream, decoder, chain })
    };
    let handshake = timeout(shared.config.timing.handshake_max, handshake);
    handshake.await.unwrap_or(Err(ConnectionError::HandshakeSlow))
}

/// Between a half and the whole of `backoff`, so that peers that lost one another at the same moment don't dial at the
/// same moment.
fn jittered(backoff: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random numbers, the whole.
    let share = getrandom::fill(&mut random)
        .map_or(1.0, |()| f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX));
    backoff.mul_f64(0.5 + share / 2.0)
}
