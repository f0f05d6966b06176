//! Settings of the transport, and the bounds of everything that waits in it.

use std::net::SocketAddr;
use std::time::Duration;

use stateset_ledger_types::ids::{ChainId, EntityId};

use crate::frame::FRAME_BYTES_MAX;

/// Most strangers in a handshake at once; further ones are turned away unheard.
pub const HANDSHAKES_MAX: usize = 64;
/// Most strangers of one address in a handshake at once, so that one address cannot keep all others out.
pub const HANDSHAKES_OF_ADDRESS_MAX: usize = 8;
/// Most connections; further ones are turned away.
pub const CONNECTIONS_MAX: usize = 1024;
/// Most connections of one entity: two, since both sides may dial at the same moment. A third closes the oldest.
pub const CONNECTIONS_OF_ENTITY_MAX: usize = 2;
/// Most frames without a place in a session that wait to be written to a connection; then whoever makes them waits.
pub const CONTROL_FRAMES_MAX: usize = 64;
/// Most questions of one connection that are answered at once; then nothing more is read from it.
pub const QUESTIONS_MAX: usize = 8;
/// Most bytes of a frame before the peer is known.
pub const GREETING_BYTES_MAX: usize = 4096;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From the first byte to the end of the greeting.
    pub handshake_max: Duration,
    /// From the first byte of a frame to its last, in either direction.
    pub frame_max: Duration,
    /// Between two pings; each also asks anew whether the peer is still a member.
    pub ping_every: Duration,
    /// Without a byte from the peer the connection is given up.
    pub silence_max: Duration,
    /// Before dialling again; doubles with each failure.
    pub backoff_first: Duration,
    /// The longest wait before dialling again.
    pub backoff_last: Duration,
    /// Until a question is answered, or a connection is made on request.
    pub answer_max: Duration,
    /// For the end of all connections at close.
    pub close_max: Duration,
    /// Before a message that the node failed to handle is handed to it again.
    pub delivery_retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            handshake_max: Duration::from_secs(10),
            frame_max: Duration::from_secs(60),
            ping_every: Duration::from_secs(15),
            silence_max: Duration::from_secs(45),
            backoff_first: Duration::from_millis(100),
            backoff_last: Duration::from_secs(30),
            answer_max: Duration::from_secs(30),
            close_max: Duration::from_secs(5),
            delivery_retry: Duration::from_secs(1),
        }
    }
}

/// Settings of one node's transport.
#[derive(Debug, Clone)]
pub struct Config {
    pub chain_id: ChainId,
    /// Whose node this is: the entity of its certificate.
    pub entity: EntityId,
    /// Where peers may connect; without it this node only dials.
    pub listen: Option<SocketAddr>,
    /// The network's parameter `max_message_bytes`; at most [`FRAME_BYTES_MAX`].
    pub frame_bytes_max: usize,
    pub timing: Timing,
}

impl Config {
    pub fn new(chain_id: ChainId, entity: EntityId) -> Self {
        Self { chain_id, entity, listen: None, frame_bytes_max: FRAME_BYTES_MAX, timing: Timing::default() }
    }
}
