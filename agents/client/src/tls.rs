//! TLS to a server: certificates are believed by the machine's own list, which `SSL_CERT_FILE` and `SSL_CERT_DIR` replace.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// For requests over REST.
pub(crate) fn of_requests() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots: RootCerts =
        found.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect::<Vec<_>>().into();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build()
}

/// For a connection of HTTP/2 alone.
#[cfg(feature = "grpc")]
pub(crate) fn of_http2() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    // What the list holds that is no certificate proves nothing.
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
