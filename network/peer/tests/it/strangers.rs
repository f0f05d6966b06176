//! Bytes that no honest node sends, over real TLS and without it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};
use stateset_ledger_types::codec::Set;
use stateset_ledger_types::ids::ChainId;
use stateset_peer::frame::{Decoder, FRAME_BYTES_MAX, Frame};
use stateset_peer::message::{Hello, Liveness, Ping, Pong, RejectCode};
use stateset_peer::{Config, Members as _, MemoryStore, Message, SessionId, Timing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{
    CHAIN, Company, Ledger, Node, config, number, numbered, quick, session, start, start_with,
};

/// Believes any server: these tests are about what the server believes.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// PKCS #8 of an Ed25519 seed (RFC 8410).
fn pkcs8(seed: &[u8; 32]) -> PrivateKeyDer<'static> {
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    PrivatePkcs8KeyDer::from([prefix.as_slice(), seed].concat()).into()
}

async fn tls(
    address: &str,
    version: &'static SupportedProtocolVersion,
    company: Option<&Company>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut client = match company {
        Some(company) => {
            let chain = company.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            builder.with_client_auth_cert(chain, pkcs8(&company.node.seed)).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = vec![b"stateset-peer/1".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("member.invalid").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await
}

/// A member's key in the hands of somebody who writes frames by hand.
struct Raw {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
}

impl Raw {
    async fn connect(node: &Node, company: &Company) -> Self {
        let stream = tls(&node.address(), &rustls::version::TLS13, Some(company)).await.unwrap();
        Self { stream, decoder: Decoder::new(FRAME_BYTES_MAX) }
    }
    async fn greeted(node: &Node, company: &Company, hello: Hello) -> Self {
        let mut raw = Self::connect(node, company).await;
        raw.send(&hello.into(), SessionId::CONNECTION, 0).await;
        raw.send(&Liveness::Ping(Ping { nonce: 0 }).into(), SessionId::CONNECTION, 0).await;
        assert!(matches!(raw.read().await, Some(Message::Hello(_))));
        assert!(matches!(raw.read().await, Some(Message::Liveness(Liveness::Ping(_)))));
        raw
    }
    async fn write(&mut self, bytes: &[u8]) {
        // A refusal of the other side may come first.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }
    async fn send(&mut self, message: &Message, session: SessionId, sequence: u32) {
        let mut bytes = Vec::new();
        message.frame(session, sequence).encode(FRAME_BYTES_MAX, &mut bytes).unwrap();
        self.write(&bytes).await;
    }
    /// The next message; nothing when the other side has ended.
    async fn read(&mut self) -> Option<Message> {
        let mut piece = [0; 4096];
        loop {
            if let Some(Frame { kind, payload, .. }) = self.decoder.next_frame().unwrap() {
                return Some(Message::decode(kind, &payload).unwrap());
            }
            let read = tokio::time::timeout(Duration::from_secs(10), self.stream.read(&mut piece));
            match read.await.expect("in time") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.push(&piece[..count]),
            }
        }
    }
    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.read().await {
            messages.push(message);
        }
        messages
    }
}

fn hello(company: &Company, ledger: &Ledger) -> Hello {
    let head = ledger.head();
    Hello {
        versions: Set::new([1]).unwrap(),
        entity_id: company.id,
        chain_id: ChainId::new(CHAIN).unwrap(),
        height: head.height,
        contract_set_hash: head.contract_set_hash,
    }
}

struct World {
    a: Company,
    ledger: Arc<Ledger>,
    node: Node,
}

async fn world(timing: Timing) -> World {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let config = Config { timing, ..config(&b) };
    let node = start_with(&b, &ledger, Arc::new(MemoryStore::default()), config).await.unwrap();
    World { a, ledger, node }
}

#[tokio::test]
async fn tls_1_2_and_clients_without_a_certificate_are_refused() {
    let World { a, node, .. } = world(quick()).await;
    let refused = tls(&node.address(), &rustls::version::TLS12, Some(&a)).await;
    assert!(refused.is_err(), "TLS 1.2");
    assert!(tls(&node.address(), &rustls::version::TLS13, Some(&a)).await.is_ok());
    // In TLS 1.3 the client learns of it by the first read.
    let mut raw = Raw {
        stream: tls(&node.address(), &rustls::version::TLS13, None).await.unwrap(),
        decoder: Decoder::new(FRAME_BYTES_MAX),
    };
    assert_eq!(raw.read().await, None);
}

#[tokio::test]
async fn a_greeting_that_is_none_or_of_another_is_refused_by_name() {
    let World { a, ledger, node } = world(quick()).await;
    let good = hello(&a, &ledger);
    let other_version = Hello { versions: Set::new([2, 3]).unwrap(), ..good.clone() };
    let other_entity = Hello { entity_id: node.id, ..good.clone() };
    for (hello, code) in [(other_version, RejectCode::Version), (other_entity, RejectCode::OtherEntity)] {
        let mut raw = Raw::connect(&node, &a).await;
        raw.send(&hello.into(), SessionId::CONNECTION, 0).await;
        let said = raw.rest().await;
        assert!(matches!(said.last(), Some(Message::Reject(reject)) if reject.code == code), "{said:?}");
    }
    let mut raw = Raw::connect(&node, &a).await;
    raw.send(&numbered(1), session(1), 1).await;
    assert_eq!(raw.rest().await.len(), 1, "the node's own greeting, and the end");
}

#[tokio::test]
async fn a_replayed_frame_is_acknowledged_and_dropped() {
    let World { a, ledger, mut node } = world(quick()).await;
    let acknowledged = |message: Option<Message>| match message {
        Some(Message::Liveness(Liveness::Received(received))) => received.watermarks[0].sequence,
        other => panic!("{other:?}"),
    };
    for round in 0..2 {
        let mut raw = Raw::greeted(&node, &a, hello(&a, &ledger)).await;
        for (sequence, last) in [(1, 1), (2, 2), (1, 2), (2, 2)] {
            raw.send(&numbered(sequence), session(4), sequence).await;
            assert_eq!(acknowledged(raw.read().await), if round == 0 { last } else { 2 });
        }
    }
    assert_eq!([number(&node.next().await), number(&node.next().await)], [1, 2]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(node.arrived.try_recv().is_err(), "a replay is not delivered");
}

#[tokio::test]
async fn frames_that_are_too_large_or_no_frames_end_the_connection() {
    let World { a, ledger, node } = world(quick()).await;
    let too_large = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    let too_short = 13u32.to_be_bytes();
    let unknown_type = [0, 0, 0, 14, 0, 99, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    // A Hello after the greeting, and a question in a place of a session.
    let second_hello = bytes(&hello(&a, &ledger).into(), SessionId::CONNECTION, 0);
    let misplaced = bytes(&Liveness::Pong(Pong { nonce: 1 }).into(), session(1), 1);
    let garbage = [&[0, 0, 0, 15, 0, 2][..], &[0; 13]].concat();
    let all: [&[u8]; 6] = [&too_large, &too_short, &unknown_type, &second_hello, &misplaced, &garbage];
    for bytes in all {
        let mut raw = Raw::greeted(&node, &a, hello(&a, &ledger)).await;
        raw.write(bytes).await;
        assert_eq!(raw.rest().await, [], "{bytes:?}");
    }
    // Before the greeting, the bound is that of a greeting.
    let mut raw = Raw::connect(&node, &a).await;
    raw.write(&5000u32.to_be_bytes()).await;
    assert_eq!(raw.rest().await.len(), 1);
}

fn bytes(message: &Message, session: SessionId, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.frame(session, sequence).encode(FRAME_BYTES_MAX, &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn slow_and_silent_peers_are_given_up() {
    let short = Duration::from_millis(300);
    let slow = world(Timing { frame_max: short, ..quick() }).await;
    let mut raw = Raw::greeted(&slow.node, &slow.a, hello(&slow.a, &slow.ledger)).await;
    let began = Instant::now();
    let dribble = async {
        // A byte at a time, for ever: each one is on time, the frame is not.
        for byte in [0, 0, 1, 0, 0, 2].into_iter().cycle() {
            if raw.stream.write_all(&[byte]).await.is_err() || raw.stream.flush().await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), dribble).await.expect("the connection ends");
    assert!(began.elapsed() >= short);

    let silent = world(Timing { silence_max: short, ping_every: Duration::from_secs(60), ..quick() }).await;
    let mut raw = Raw::greeted(&silent.node, &silent.a, hello(&silent.a, &silent.ledger)).await;
    assert_eq!(raw.rest().await, []);

    // Who answers pings stays.
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let timing = Timing { silence_max: short, ping_every: short / 3, ..quick() };
    let store = || Arc::new(MemoryStore::default());
    let left = start_with(&a, &ledger, store(), Config { timing, ..config(&a) }).await.unwrap();
    let right = start_with(&b, &ledger, store(), Config { timing, ..config(&b) }).await.unwrap();
    left.knows(&right);
    left.peers.connect(b.id).await.unwrap();
    tokio::time::sleep(3 * short).await;
    assert_eq!(left.peers.status()[0].connections, 1);
    assert_eq!(left.peers.status()[0].last_error, None);
}

#[tokio::test]
async fn strangers_who_say_nothing_keep_nobody_out_for_long() {
    let short = Duration::from_millis(500);
    let World { a, ledger, node } = world(Timing { handshake_max: short, ..quick() }).await;
    let mut idle = Vec::new();
    for _ in 0..stateset_peer::config::HANDSHAKES_OF_ADDRESS_MAX {
        idle.push(TcpStream::connect(node.address()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut surplus = TcpStream::connect(node.address()).await.unwrap();
    let began = Instant::now();
    assert!(matches!(surplus.read(&mut [0; 8]).await, Ok(0) | Err(_)), "turned away");
    assert!(began.elapsed() < short, "at once");
    let left = start(&a, &ledger).await;
    left.knows(&node);
    left.peers.send(node.id, session(1), &numbered(1)).await.unwrap();
    let mut node = node;
    assert_eq!(number(&node.next().await), 1, "a member gets in");
    for mut stream in idle {
        assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)), "the silent ones are gone");
    }
}

#[tokio::test]
async fn pings_are_answered_however_many() {
    let World { a, ledger, node } = world(quick()).await;
    let mut raw = Raw::greeted(&node, &a, hello(&a, &ledger)).await;
    let mut flood = Vec::new();
    for nonce in 1..=1000 {
        flood.extend(bytes(&Liveness::Ping(Ping { nonce }).into(), SessionId::CONNECTION, 0));
    }
    raw.write(&flood).await;
    for nonce in 1..=1000 {
        assert_eq!(raw.read().await, Some(Liveness::Pong(Pong { nonce }).into()));
    }
}
