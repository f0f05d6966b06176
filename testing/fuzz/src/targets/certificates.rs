//! Certificates of the shared ledger: both forms, and what they prove.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::Value;
use stateset_light::{Certificate, Terms, Trust, TrustedState};

const VECTORS: &str = include_str!("../../../vectors/light/certificates.json");

struct Known {
    trusted: TrustedState,
    now_ms: u64,
    /// Bytes of those that prove something.
    good: BTreeSet<Vec<u8>>,
    all: Vec<(Vec<u8>, String)>,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let vectors: Value = serde_json::from_str(VECTORS).expect("vectors are JSON");
        let trusted = TrustedState::from_json(vectors["trusted_block"].to_string().as_bytes());
        let cases = vectors["cases"].as_array().expect("cases");
        let all = cases.iter().map(|case| {
            let bytes = ves::hex::decode_vec(case["bytes"].as_str().expect("hex")).expect("hex");
            (bytes, case["certificate"].to_string())
        });
        let mut known = Known {
            trusted: trusted.expect("a trusted block"),
            now_ms: vectors["now_ms"].as_u64().expect("a time"),
            good: BTreeSet::new(),
            all: all.collect(),
        };
        for (bytes, _) in &known.all {
            let certificate = Certificate::from_bytes(bytes).expect("a certificate");
            if proves(&certificate, &known) {
                known.good.insert(bytes.clone());
            }
        }
        assert!(known.good.len() >= 3, "some vectors prove something");
        known
    })
}

fn proves(certificate: &Certificate, known: &Known) -> bool {
    let trust = Trust::Block(&known.trusted, Terms::default());
    certificate.verify_at(&certificate.key, &trust, known.now_ms).is_ok()
}

/// The first byte says in which form the others are read.
pub fn certificate(data: &[u8]) -> bool {
    let Some((form, data)) = data.split_first() else { return false };
    let read = if form % 2 == 0 { Certificate::from_bytes(data) } else { Certificate::from_json(data) };
    let Ok(certificate) = read else { return false };
    let bytes = certificate.to_bytes().expect("what was read has bytes");
    assert!(form % 2 == 1 || bytes == data, "one encoding of a certificate");
    assert_eq!(Certificate::from_bytes(&bytes).as_ref(), Ok(&certificate));
    assert_eq!(Certificate::from_json(certificate.to_json().as_bytes()).as_ref(), Ok(&certificate));
    let known = known();
    assert!(!proves(&certificate, known) || known.good.contains(&bytes), "only what was proven is proven");
    true
}

pub fn seeds() -> Vec<Vec<u8>> {
    let forms = known().all.iter().flat_map(|(bytes, json)| {
        [[&[0][..], bytes.as_slice()].concat(), [&[1][..], json.as_bytes()].concat()]
    });
    forms.collect()
}
