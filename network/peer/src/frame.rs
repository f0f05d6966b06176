//! Frames on the wire (8.1): u32 length ‖ u16 message type ‖ u64 session ‖ u32 sequence ‖ payload, big endian. Pure:
//! bytes in, frames out.

use stateset_ledger_types::codec::codes;

/// Bytes of a frame before its payload that its length counts: type, session and sequence.
pub const HEADER_BYTES: usize = 2 + 8 + 4;
/// Bytes of the length itself.
pub const LENGTH_BYTES: usize = 4;
/// Most bytes of a frame behind its length, unless the network's parameter `max_message_bytes` is smaller.
pub const FRAME_BYTES_MAX: usize = stateset_ledger_types::codec::VALUE_BYTES_MAX;

codes! {
    /// What a frame's payload is (8.1).
    pub enum MessageType: u16 {
        Hello = 1,
        Propose = 2,
        Signatures = 3,
        Reject = 4,
        Finalised = 5,
        /// GetTx and Tx.
        Transactions = 6,
        /// GetBlob and Blob.
        Blobs = 7,
        /// Recover and RecoverPage.
        Recovery = 8,
        CertChain = 9,
        /// Ping, Pong, and what was received.
        Liveness = 10,
    }
}

/// A conversation between two entities. Chosen at random by the one who begins it; 0 is the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl SessionId {
    /// The connection itself: greetings, liveness, acknowledgements.
    pub const CONNECTION: Self = Self(0);
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: MessageType,
    pub session: SessionId,
    /// From 1, rising by one in each direction of a session. 0 is no place in it: such a frame is neither kept nor
    /// sent again.
    pub sequence: u32,
    pub payload: Vec<u8>,
}

/// Bytes that are no frame; the connection they came by is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes; this network allows {max}")]
    TooLarge { length: usize, max: usize },
    #[error("a frame of {0} bytes, which has no room for its own header")]
    TooShort(usize),
    #[error("{0} is no message type")]
    UnknownType(u16),
}

impl Frame {
    /// Appends the bytes on the wire.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] above `max` bytes behind the length.
    pub fn encode(&self, max: usize, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let length = HEADER_BYTES + self.payload.len();
        let max = max.min(FRAME_BYTES_MAX);
        let refused = FrameError::TooLarge { length, max };
        if length > max {
            return Err(refused);
        }
        out.reserve(LENGTH_BYTES + length);
        out.extend_from_slice(&u32::try_from(length).map_err(|_| refused)?.to_be_bytes());
        out.extend_from_slice(&self.kind.code().to_be_bytes());
        out.extend_from_slice(&self.session.0.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.payload);
        Ok(())
    }
}

/// Puts frames together from the pieces in which a connection brings them. Holds no more than one frame and one piece,
/// and no more than has arrived, whatever a length announces.
#[derive(Debug)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were given out.
    taken: usize,
    frame_bytes_max: usize,
}

impl Decoder {
    /// `frame_bytes_max`: most bytes of a frame behind its length.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, frame_bytes_max: frame_bytes_max.min(FRAME_BYTES_MAX) }
    }

    /// From now on frames may have this size: a connection allows more once its peer is known.
    pub fn allow(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max.min(FRAME_BYTES_MAX);
    }

    /// Takes what arrived.
    pub fn push(&mut self, piece: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Whether part of a frame waits for the rest of it.
    pub fn is_inside_frame(&self) -> bool {
        self.taken < self.bytes.len()
    }

    /// The next whole frame, if it has arrived.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes tell it: a length that is not allowed is refused before its payload arrives.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.frame_bytes_max {
            return Err(FrameError::TooLarge { length, max: self.frame_bytes_max });
        }
        if length < HEADER_BYTES {
            return Err(FrameError::TooShort(length));
        }
        let Some((kind, after)) = rest.split_first_chunk() else { return Ok(None) };
        let code = u16::from_be_bytes(*kind);
        let kind = MessageType::from_code(code).ok_or(FrameError::UnknownType(code))?;
        if rest.len() < length {
            return Ok(None);
        }
        let Some((session, after)) = after.split_first_chunk() else { return Ok(None) };
        let Some((sequence, _)) = after.split_first_chunk() else { return Ok(None) };
        let frame = Frame {
            kind,
            session: SessionId(u64::from_be_bytes(*session)),
            sequence: u32::from_be_bytes(*sequence),
            payload: rest[HEADER_BYTES..length].to_vec(),
        };
        self.taken += LENGTH_BYTES + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: &[u8]) -> Frame {
        Frame {
            kind: MessageType::Propose,
            session: SessionId(0x0102_0304_0506_0708),
            sequence: 9,
            payload: payload.to_vec(),
        }
    }

    fn bytes(frame: &Frame) -> Vec<u8> {
        let mut out = Vec::new();
        frame.encode(FRAME_BYTES_MAX, &mut out).unwrap();
        out
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let bytes = bytes(&frame(b"payload"));
        let expected = [
            &[0, 0, 0, 21][..],        // length: 14 + 7
            &[0, 2],                   // Propose
            &[1, 2, 3, 4, 5, 6, 7, 8], // session
            &[0, 0, 0, 9],             // sequence
            b"payload",
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_frame_of_exactly_the_bound_passes_and_one_byte_more_does_not() {
        let mut out = Vec::new();
        let max = HEADER_BYTES + 3;
        frame(&[0; 3]).encode(max, &mut out).unwrap();
        let too_large = FrameError::TooLarge { length: max + 1, max };
        assert_eq!(frame(&[0; 4]).encode(max, &mut Vec::new()), Err(too_large));
        let mut decoder = Decoder::new(max);
        decoder.push(&out);
        assert_eq!(decoder.next_frame(), Ok(Some(frame(&[0; 3]))));
        decoder.push(&bytes(&frame(&[0; 4]))[..LENGTH_BYTES]);
        assert_eq!(decoder.next_frame(), Err(too_large), "by the length alone");
    }

    #[test]
    fn unknown_types_and_lengths_without_room_are_refused_at_once() {
        let mut decoder = Decoder::new(FRAME_BYTES_MAX);
        decoder.push(&[0, 0, 0, 20, 0, 11]);
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownType(11)));
        let mut decoder = Decoder::new(FRAME_BYTES_MAX);
        decoder.push(&[0, 0, 0, 13]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooShort(13)));
    }

    proptest! {
        /// However a connection cuts the bytes, the same frames come out.
        #[test]
        fn frames_survive_any_cutting(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1usize..20, 1..40),
        ) {
            let frames: Vec<Frame> = payloads.iter().map(|payload| frame(payload)).collect();
            let wire: Vec<u8> = frames.iter().flat_map(bytes).collect();
            let (mut decoder, mut found, mut rest) = (Decoder::new(FRAME_BYTES_MAX), Vec::new(), wire.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                decoder.push(piece);
                rest = after;
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            prop_assert_eq!(found, frames);
            prop_assert!(!decoder.is_inside_frame());
        }
    }
}
