//! A service behind a proxy that ends TLS.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use stateset_acceptance::Service;
use stateset_postgres::make_certificate;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::agent::{Agent, Doors};

/// Ends TLS as `localhost` by the certificate of `folder`, and hands on to `target`; for as long as the process lives.
/// Returns its port.
fn terminator(folder: &Path, target: &str, protocol: &[u8]) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join("server.crt")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key))
        .expect("a configuration");
    config.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let target = target.split_once("://").expect("a URL").1.to_owned();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
            tell.send(listener.local_addr().expect("an address").port()).expect("someone waits");
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    // Who does not believe the certificate ends here.
                    let Ok(mut inward) = acceptor.accept(stream).await else { return };
                    let mut outward = TcpStream::connect(target).await.expect("the service listens");
                    let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                });
            }
        });
    });
    told.recv().expect("it listens")
}

#[test]
fn a_certificate_is_believed_by_the_machines_list_alone() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    make_certificate(data.path());
    let plain = Doors::of(&service);
    let secured = Doors {
        rest: format!("https://localhost:{}", terminator(data.path(), &plain.rest, b"http/1.1")),
        grpc: format!("grpcs://localhost:{}", terminator(data.path(), &plain.grpc, b"h2")),
    };
    let believes = vec![("SSL_CERT_FILE".to_owned(), data.path().join("root.crt"))];
    for transport in ["rest", "grpc"] {
        let agent = Agent::with(&service, data.path().join(transport), transport, believes.clone());
        agent.talks_to(&secured);
        agent.append(0..3);
        assert_eq!(agent.good(&["push"])["receipted"], 3, "over {transport}");
        agent.good(&["pull"]);
        let checks = agent.good(&["doctor"]);
        assert!(checks.as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == true)), "{checks}");
        assert_eq!(agent.good(&["status"])["server"], json!(secured.rest));

        let stranger = Agent::bare(agent.folder.clone(), Vec::new());
        stranger.append(3..4);
        let (code, _, error) = stranger.run(&["push"]);
        assert_eq!((code, &error["error"]["code"]), (Some(1), &json!("SERVER_UNREACHABLE")), "{error}");
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.contains("ertificate"), "it says what is wrong: {message}");
        assert_eq!(agent.good(&["push"])["receipted"], 1);
    }
}
