//! Strangers: from a TCP connection to a greeted peer, within bounds that a stranger cannot move.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use stateset_ledger_types::ids::EntityId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::HANDSHAKES_OF_ADDRESS_MAX;
use crate::connection;
use crate::error::ConnectionError;
use crate::frame::Decoder;
use crate::greeting::{broken, greet};
use crate::members::member_of;
use crate::peers::Shared;

/// Before accepting again when the system cannot give another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Some(place) = Place::take(&shared, address) {
                    shared.tasks.spawn(serve(shared.clone(), stream, address, place));
                } else {
                    tracing::debug!(%address, "turned away: too many connections");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// A stranger's place among those in a handshake, given back when it is dropped.
struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
    _handshake: OwnedSemaphorePermit,
}

impl Place {
    fn take(shared: &Arc<Shared>, address: SocketAddr) -> Option<Self> {
        let handshake = shared.handshakes.clone().try_acquire_owned().ok()?;
        let address = address.ip();
        let mut strangers = shared.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = strangers.entry(address).or_default();
        if *count >= HANDSHAKES_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(strangers);
        Some(Self { shared: shared.clone(), address, _handshake: handshake })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut strangers = self.shared.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = strangers.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&self.address);
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr, place: Place) {
    let Ok(_connection) = shared.connections.clone().try_acquire_owned() else {
        tracing::debug!(%address, "turned away: too many connections");
        return;
    };
    let welcomed = tokio::select! {
        welcomed = timeout(shared.config.timing.handshake_max, welcome(&shared, stream)) => welcomed,
        () = shared.stop.cancelled() => return,
    };
    drop(place);
    match welcomed.unwrap_or(Err(ConnectionError::HandshakeSlow)) {
        Ok((entity, stream, decoder)) => {
            let chain = certificates(stream.get_ref().1.peer_certificates());
            let link = shared.link(entity);
            let why = connection::run(shared, link, stream, decoder, chain).await;
            tracing::debug!(%entity, %address, %why, "a connection ended");
        }
        Err(error) => tracing::info!(%address, %error, "a peer was not welcomed"),
    }
}

async fn welcome(
    shared: &Arc<Shared>,
    stream: TcpStream,
) -> Result<(EntityId, TlsStream<TcpStream>, Decoder), ConnectionError> {
    stream.set_nodelay(true).map_err(|error| broken(&error))?;
    let acceptor = TlsAcceptor::from(shared.tls.server());
    let mut stream = acceptor.accept(stream).await.map_err(|error| broken(&error))?;
    let chain = certificates(stream.get_ref().1.peer_certificates());
    let entity = member_of(&*shared.members, &chain)?.entity().entity_id();
    let decoder = greet(&mut stream, entity, &shared.config, &*shared.members).await?;
    Ok((entity, stream, decoder))
}

/// DER of the certificates that the other side showed.
pub(crate) fn certificates(shown: Option<&[CertificateDer<'_>]>) -> Vec<Vec<u8>> {
    shown.unwrap_or(&[]).iter().map(|certificate| certificate.as_ref().to_vec()).collect()
}
