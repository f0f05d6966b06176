//! Certificates of this network before a judge that knows nothing of it: the path validation of WebPKI.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use stateset_ledger_types::x509::{Kind, self_issue};

use crate::world::{Company, DAY, NOW, Party, ROOT};

#[test]
fn what_is_issued_here_is_a_chain_to_others() {
    let root = Party::new(ROOT, 200);
    let root_der = self_issue(&root.template(Kind::Root), |tbs| root.sign(tbs)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root_der)).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let (middle, company) = (Party::new("CN=Middle", 201), Company::new(1));
    let judged = |chain: &[Vec<u8>], now_ms: u64| {
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms));
        judge.verify_client_cert(&chain[0], &chain[1..], now).map(drop)
    };
    assert_eq!(judged(&company.chain, NOW), Ok(()));
    let long = [
        company.chain[0].clone(),
        middle.issue(&company.entity.template(Kind::Entity)),
        root.issue(&middle.template(Kind::Intermediate)),
    ];
    assert_eq!(judged(&long, NOW), Ok(()));
    let late = judged(&company.chain, NOW + 2 * DAY);
    assert!(
        matches!(late, Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))),
        "{late:?}"
    );
    let alone = judged(&company.chain[..1], NOW);
    assert!(matches!(alone, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))), "{alone:?}");
}
