//! The first frames of a connection (8.1): each side says Hello, judges the other's, and confirms with a Ping, so that
//! both know of a refusal, and of its reason, before anything else is said.

use stateset_ledger_types::codec::Set;
use stateset_ledger_types::ids::EntityId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::config::{Config, GREETING_BYTES_MAX};
use crate::error::ConnectionError;
use crate::frame::{Decoder, Frame, SessionId};
use crate::members::Members;
use crate::message::{Hello, Liveness, Message, PROTOCOL_VERSION, Ping, Reject, RejectCode};

/// What this side says.
pub(crate) fn hello(config: &Config, members: &dyn Members) -> Hello {
    let head = members.head();
    Hello {
        versions: Set::new([PROTOCOL_VERSION]).expect("one"),
        entity_id: config.entity,
        chain_id: config.chain_id.clone(),
        height: head.height,
        contract_set_hash: head.contract_set_hash,
    }
}

/// Whether `hello` may be followed by anything. `entity`: the one of the sender's certificate.
///
/// Contracts are compared at the sender's height, if this side knows it; where the sender is ahead, the sender is the
/// one who can tell.
pub(crate) fn judge(
    hello: &Hello,
    entity: EntityId,
    config: &Config,
    members: &dyn Members,
) -> Result<(), Reject> {
    if !hello.versions.contains(&PROTOCOL_VERSION) {
        let text = format!("this node speaks version {PROTOCOL_VERSION} of the peer protocol");
        return Err(Reject::new(RejectCode::Version, text));
    }
    if hello.entity_id != entity {
        let text = format!("the greeting is of {}, the certificate of {entity}", hello.entity_id);
        return Err(Reject::new(RejectCode::OtherEntity, text));
    }
    if hello.chain_id != config.chain_id {
        let text = format!("this node is of chain {}, the greeting of {}", config.chain_id, hello.chain_id);
        return Err(Reject::new(RejectCode::OtherChain, text));
    }
    match members.contract_set_hash(hello.height) {
        Some(own) if own != hello.contract_set_hash => {
            let text = format!(
                "at height {} the contract set is {own}, not {}",
                hello.height, hello.contract_set_hash
            );
            Err(Reject::new(RejectCode::OtherContracts, text))
        }
        _ => Ok(()),
    }
}

/// Greets the peer behind `stream`, whose certificate is of `entity`. The decoder has what came behind the greeting.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    entity: EntityId,
    config: &Config,
    members: &dyn Members,
) -> Result<Decoder, ConnectionError> {
    let mut decoder = Decoder::new(GREETING_BYTES_MAX);
    write(stream, &hello(config, members).into()).await?;
    let theirs = match read(stream, &mut decoder).await? {
        Message::Hello(hello) => hello,
        Message::Reject(reject) => return Err(ConnectionError::RefusedByPeer(reject)),
        other => return Err(ConnectionError::Unexpected(other.kind())),
    };
    if let Err(reject) = judge(&theirs, entity, config, members) {
        write(stream, &reject.clone().into()).await?;
        let _ = stream.shutdown().await;
        return Err(ConnectionError::Refused(reject));
    }
    write(stream, &Liveness::Ping(Ping { nonce: 0 }).into()).await?;
    match read(stream, &mut decoder).await? {
        Message::Liveness(Liveness::Ping(_)) => {}
        Message::Reject(reject) => return Err(ConnectionError::RefusedByPeer(reject)),
        other => return Err(ConnectionError::Unexpected(other.kind())),
    }
    decoder.allow(config.frame_bytes_max);
    Ok(decoder)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, message: &Message) -> Result<(), ConnectionError> {
    let mut bytes = Vec::new();
    message.frame(SessionId::CONNECTION, 0).encode(GREETING_BYTES_MAX, &mut bytes)?;
    stream.write_all(&bytes).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))
}

async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
) -> Result<Message, ConnectionError> {
    let mut piece = [0; GREETING_BYTES_MAX];
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return message(&frame);
        }
        match stream.read(&mut piece).await.map_err(|error| broken(&error))? {
            0 => return Err(ConnectionError::Ended),
            count => decoder.push(&piece[..count]),
        }
    }
}

/// The message of a frame.
pub(crate) fn message(frame: &Frame) -> Result<Message, ConnectionError> {
    let kind = frame.kind;
    Message::decode(kind, &frame.payload).map_err(|error| ConnectionError::Message { kind, error })
}

/// What an error of the connection means: TLS alerts and refused certificates come this way too.
pub(crate) fn broken(error: &std::io::Error) -> ConnectionError {
    if let Some(refusal) = crate::tls::refusal(error) {
        return ConnectionError::Certificate(refusal);
    }
    let tls = error.get_ref().is_some_and(|source| source.is::<rustls::Error>());
    if tls { ConnectionError::Tls(error.to_string()) } else { ConnectionError::Broken(error.to_string()) }
}
