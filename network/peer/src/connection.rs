//! One connection after its greeting: a reader and a writer, until one of them ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stateset_ledger_types::codec::List;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::{CONTROL_FRAMES_MAX, QUESTIONS_MAX};
use crate::error::ConnectionError;
use crate::frame::{Decoder, Frame, SessionId};
use crate::greeting::{broken, message};
use crate::link::{Connected, Link, lock};
use crate::members::member_of;
use crate::message::{
    Answer, Liveness, Message, Ping, Pong, Question, Received, Reject, RejectCode, Unsequenced,
    WATERMARKS_MAX, Watermark,
};
use crate::peers::Shared;
use crate::store::Kept;

/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Messages read from the outbox at once.
const OUTBOX_READ: usize = 8;
/// Messages under way at first, and at most; the number doubles with each acknowledgement.
const WINDOW_FIRST: usize = 4;
const WINDOW_LAST: usize = 256;
/// Bytes put together before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Messages that were written to this connection and not acknowledged yet. Their number begins small, so that a connection
/// that breaks early again and again does not carry the same messages each time and never hears that they are known.
struct Flight {
    window: usize,
    outstanding: Vec<(SessionId, u32)>,
}

impl Flight {
    fn room(&self) -> usize {
        self.window.saturating_sub(self.outstanding.len())
    }
    fn acknowledged(&mut self, watermark: &Watermark) {
        let known = |(session, sequence): &(SessionId, u32)| {
            session.0 == watermark.session && *sequence <= watermark.sequence
        };
        self.outstanding.retain(|sent| !known(sent));
        self.window = (self.window * 2).min(WINDOW_LAST);
    }
}

/// What reader and writer share.
struct Connection {
    shared: Arc<Shared>,
    link: Arc<Link>,
    handle: Connected,
    /// DER of the peer's certificates, asked for anew with each ping.
    chain: Vec<Vec<u8>>,
    /// What was received and not yet acknowledged: last sequence by session.
    received: Mutex<BTreeMap<SessionId, u32>>,
    flight: Mutex<Flight>,
    questions: Arc<Semaphore>,
}

/// Serves a greeted connection until it ends, and says why it did.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Send>(
    shared: Arc<Shared>,
    link: Arc<Link>,
    stream: S,
    decoder: Decoder,
    chain: Vec<Vec<u8>>,
) -> ConnectionError {
    let (control, frames) = mpsc::channel(CONTROL_FRAMES_MAX);
    let handle = Connected {
        id: shared.next_id(),
        control,
        wake: Arc::new(Notify::new()),
        recheck: Arc::new(Notify::new()),
        stop: shared.stop.child_token(),
    };
    let connection = Connection {
        shared,
        link,
        handle,
        chain,
        received: Mutex::default(),
        flight: Mutex::new(Flight { window: WINDOW_FIRST, outstanding: Vec::new() }),
        questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
    };
    let (reader, writer) = tokio::io::split(stream);
    connection.link.add(connection.handle.clone());
    let result = tokio::select! {
        result = connection.read(reader, decoder) => result,
        result = connection.write(writer, frames) => result,
    };
    // Answers under way have nowhere to go.
    connection.handle.stop.cancel();
    let why = result.err().unwrap_or(ConnectionError::Closed);
    connection.link.remove(connection.handle.id, why.clone());
    why
}

impl Connection {
    async fn read<S: AsyncRead>(
        &self,
        mut reader: ReadHalf<S>,
        mut decoder: Decoder,
    ) -> Result<(), ConnectionError> {
        let timing = &self.shared.config.timing;
        let mut piece = vec![0; PIECE_BYTES];
        // When the frame that is under way has to be whole.
        let mut whole_by = None;
        loop {
            let mut frames = 0;
            while let Some(frame) = decoder.next_frame()? {
                self.take(frame).await?;
                frames += 1;
            }
            whole_by = match whole_by {
                _ if !decoder.is_inside_frame() => None,
                Some(by) if frames == 0 => Some(by),
                _ => Some(Instant::now() + timing.frame_max),
            };
            let silent_at = Instant::now() + timing.silence_max;
            let until = whole_by.map_or(silent_at, |by| by.min(silent_at));
            let slow =
                || if whole_by == Some(until) { ConnectionError::FrameSlow } else { ConnectionError::Silent };
            let read = timeout_at(until, reader.read(&mut piece)).await.map_err(|_| slow())?;
            match read.map_err(|error| broken(&error))? {
                0 => return Err(ConnectionError::Ended),
                count => decoder.push(&piece[..count]),
            }
        }
    }

    async fn take(&self, frame: Frame) -> Result<(), ConnectionError> {
        let message = message(&frame)?;
        if frame.sequence > 0 {
            if frame.session == SessionId::CONNECTION || !message.is_sequenced() {
                return Err(ConnectionError::Unexpected(frame.kind));
            }
            return self.keep(frame).await;
        }
        match Unsequenced::from(message) {
            Unsequenced::Liveness(liveness) => self.take_liveness(liveness).await,
            Unsequenced::Answer(Answer::Reject(reject)) if frame.session == SessionId::CONNECTION => {
                Err(ConnectionError::RefusedByPeer(reject))
            }
            Unsequenced::Answer(answer) => {
                self.link.answered(frame.session.0, self.handle.id, answer);
                Ok(())
            }
            Unsequenced::Question(question) => self.answer(frame.session, question).await,
            Unsequenced::Other => Err(ConnectionError::Unexpected(frame.kind)),
        }
    }

    /// Puts a message of a session into the inbox, durably, and only then acknowledges it. While the inbox is full the
    /// reader waits here, and with it the peer.
    async fn keep(&self, frame: Frame) -> Result<(), ConnectionError> {
        let frame = Arc::new(frame);
        let kept = loop {
            let room = self.link.room.notified();
            let (peer, offered) = (self.link.entity, frame.clone());
            let keep = move |store: &dyn crate::store::SessionStore| {
                store.keep(&peer, offered.session, offered.sequence, offered.kind, &offered.payload)
            };
            match self.shared.store(keep).await? {
                Kept::Full => {
                    // Also by time: another connection of the peer may have taken the notice.
                    let _ = timeout(self.shared.config.timing.delivery_retry, room).await;
                }
                kept => break kept,
            }
        };
        let sequence = match kept {
            Kept::Duplicate { last } => last,
            Kept::New | Kept::Full => frame.sequence,
        };
        {
            let mut received = lock(&self.received);
            let last = received.entry(frame.session).or_default();
            *last = (*last).max(sequence);
        }
        self.handle.wake.notify_one();
        if kept == Kept::New {
            self.link.arrived.notify_one();
        }
        Ok(())
    }

    async fn take_liveness(&self, liveness: Liveness) -> Result<(), ConnectionError> {
        match liveness {
            Liveness::Ping(Ping { nonce }) => {
                self.control(Liveness::Pong(Pong { nonce }).into(), SessionId::CONNECTION).await;
                Ok(())
            }
            // That bytes came is all that a Pong says.
            Liveness::Pong(_) => Ok(()),
            Liveness::Received(received) => {
                let peer = self.link.entity;
                let watermarks = received.watermarks.clone();
                let acknowledge = move |store: &dyn crate::store::SessionStore| {
                    received.watermarks.iter().try_for_each(|watermark| {
                        store.acknowledge(&peer, SessionId(watermark.session), watermark.sequence)
                    })
                };
                self.shared.store(acknowledge).await?;
                watermarks.iter().for_each(|watermark| lock(&self.flight).acknowledged(watermark));
                self.handle.wake.notify_one();
                Ok(())
            }
        }
    }

    /// Answers beside the reader, so many at once.
    async fn answer(&self, session: SessionId, question: Question) -> Result<(), ConnectionError> {
        let permit = self.questions.clone().acquire_owned().await.map_err(|_| ConnectionError::Closed)?;
        let (shared, from, handle) = (self.shared.clone(), self.link.entity, self.handle.clone());
        self.shared.tasks.spawn(async move {
            let answer = async {
                let frame = Message::from(shared.handler.answer(from, question).await).frame(session, 0);
                let frame = match frame.encode(shared.config.frame_bytes_max, &mut Vec::new()) {
                    Ok(()) => frame,
                    Err(error) => {
                        tracing::error!(%from, %error, "an answer does not fit into a frame");
                        let reject =
                            Reject::new(RejectCode::Internal, "the answer does not fit into a frame");
                        Message::from(reject).frame(session, 0)
                    }
                };
                let _ = handle.control.send(frame).await;
                drop(permit);
            };
            tokio::select! {
                () = answer => {}
                () = handle.stop.cancelled() => {}
            }
        });
        Ok(())
    }

    async fn control(&self, message: Message, session: SessionId) {
        // An error means that the writer has ended, which ends the reader too.
        let _ = self.handle.control.send(message.frame(session, 0)).await;
    }

    async fn write<S: AsyncWrite>(
        &self,
        mut writer: WriteHalf<S>,
        mut frames: mpsc::Receiver<Frame>,
    ) -> Result<(), ConnectionError> {
        let timing = &self.shared.config.timing;
        let mut ping = tokio::time::interval_at(Instant::now() + timing.ping_every, timing.ping_every);
        let mut nonce = 0u64;
        // Place of the last message that was written to this connection.
        let mut written = 0;
        loop {
            let mut bytes = Vec::new();
            let mut last = false;
            tokio::select! {
                biased;
                () = self.handle.stop.cancelled() => last = true,
                _ = ping.tick() => {
                    self.recheck(&mut writer).await?;
                    nonce += 1;
                    self.put(&Message::from(Liveness::Ping(Ping { nonce })).frame(SessionId::CONNECTION, 0), &mut bytes)?;
                }
                Some(frame) = frames.recv() => self.put(&frame, &mut bytes)?,
                () = self.handle.recheck.notified() => self.recheck(&mut writer).await?,
                () = self.handle.wake.notified() => {}
            }
            while bytes.len() < WRITE_BYTES
                && let Ok(frame) = frames.try_recv()
            {
                self.put(&frame, &mut bytes)?;
            }
            self.put_received(&mut bytes)?;
            if !last {
                self.put_outbox(&mut written, &mut bytes).await?;
            }
            let done = timeout(timing.frame_max, async {
                writer.write_all(&bytes).await?;
                if last { writer.shutdown().await } else { writer.flush().await }
            });
            done.await.map_err(|_| ConnectionError::FrameSlow)?.map_err(|error| broken(&error))?;
            if last {
                return Ok(());
            }
        }
    }

    fn put(&self, frame: &Frame, bytes: &mut Vec<u8>) -> Result<(), ConnectionError> {
        Ok(frame.encode(self.shared.config.frame_bytes_max, bytes)?)
    }

    /// Acknowledges what was received since the last time.
    fn put_received(&self, bytes: &mut Vec<u8>) -> Result<(), ConnectionError> {
        let received = std::mem::take(&mut *lock(&self.received));
        let watermarks: Vec<Watermark> = received
            .into_iter()
            .map(|(session, sequence)| Watermark { session: session.0, sequence })
            .collect();
        for some in watermarks.chunks(WATERMARKS_MAX) {
            let watermarks = List::new(some).expect("chunks of the bound");
            let message = Message::from(Liveness::Received(Received { watermarks }));
            self.put(&message.frame(SessionId::CONNECTION, 0), bytes)?;
        }
        Ok(())
    }

    /// Messages of sessions, if this is the connection that they go by: from the oldest that is not acknowledged.
    async fn put_outbox(&self, written: &mut u64, bytes: &mut Vec<u8>) -> Result<(), ConnectionError> {
        if self.link.current().is_none_or(|current| current.id != self.handle.id) {
            return Ok(());
        }
        let (peer, after) = (self.link.entity, *written);
        let some = lock(&self.flight).room().min(OUTBOX_READ);
        if some == 0 {
            return Ok(());
        }
        let waiting = self.shared.store(move |store| store.outbox(&peer, after, some)).await?;
        if waiting.len() == some {
            // There may be more, after what others have to say.
            self.handle.wake.notify_one();
        }
        let sent = waiting.iter().map(|stored| (stored.session, stored.sequence));
        lock(&self.flight).outstanding.extend(sent);
        for stored in waiting {
            let (kind, session, sequence, payload) =
                (stored.kind, stored.session, stored.sequence, stored.payload);
            self.put(&Frame { kind, session, sequence, payload }, bytes)?;
            *written = stored.place;
        }
        Ok(())
    }

    /// Whether the peer is still a member's node; tells it if not.
    async fn recheck<S: AsyncWrite>(&self, writer: &mut WriteHalf<S>) -> Result<(), ConnectionError> {
        let Err(error) = member_of(&*self.shared.members, &self.chain) else { return Ok(()) };
        let reject = Reject::new(RejectCode::NotAMember, &error);
        let mut bytes = Vec::new();
        self.put(&Message::from(reject).frame(SessionId::CONNECTION, 0), &mut bytes)?;
        let told = async {
            let _ = writer.write_all(&bytes).await;
            let _ = writer.shutdown().await;
        };
        let _ = timeout(self.shared.config.timing.close_max, told).await;
        Err(error.into())
    }
}
