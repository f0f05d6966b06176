//! JSON-RPC over HTTP: one request, one answer, and an error that says whether the request may have been carried out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Bytes, hex};
use rustls::crypto::aws_lc_rs;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// Larger than the receipts of the largest block.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Of an answer that is no JSON-RPC, for the message.
const SHOWN_CHARS_MAX: usize = 160;
/// Of a node's refusal, which logs and records keep.
const REFUSAL_CHARS_MAX: usize = 400;
/// What a reverted call returns: larger is no reason that anybody reads.
const REVERT_BYTES_MAX: usize = 4 * 1024;

/// How long an endpoint may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcSettings {
    pub connect_timeout: Duration,
    /// Of a whole call.
    pub timeout: Duration,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), timeout: Duration::from_secs(20) }
    }
}

/// Why a call has no result. The endpoint is named by scheme and host only: its path may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    #[error("{0} is no endpoint: give http://HOST:PORT or https://HOST/PATH")]
    Address(String),
    /// The request did not leave.
    #[error("{endpoint} can't be reached: {problem}")]
    Unreachable { endpoint: String, problem: String },
    /// The request may have been carried out, or not.
    #[error("{endpoint} gave no answer to {method}: {problem}")]
    Unanswered { endpoint: String, method: String, problem: String },
    /// The endpoint is overloaded, or something before it is.
    #[error("{endpoint} answers {method} with HTTP {status}")]
    Busy { endpoint: String, method: String, status: u16 },
    /// The node has read the request and says no; `data` is what a reverted call returned.
    #[error("the node refuses {method}: {message} ({code})")]
    Refused { method: String, code: i64, message: String, data: Option<Bytes> },
    #[error("the answer of {endpoint} to {method} can't be read: {problem}")]
    Unreadable { endpoint: String, method: String, problem: String },
}

impl RpcError {
    /// Whether the endpoint failed, as opposed to the request.
    pub fn is_of_endpoint(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Address(_))
    }
}

/// A JSON-RPC endpoint over kept-alive connections. Calls may be made from many threads.
#[derive(Clone)]
pub(crate) struct Rpc {
    agent: ureq::Agent,
    url: Arc<str>,
    /// Scheme and host, to be shown.
    endpoint: Arc<str>,
    ids: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl Rpc {
    pub fn new(url: &str, settings: RpcSettings) -> Result<Self, RpcError> {
        let endpoint = shown(url).ok_or_else(|| RpcError::Address("this address".to_owned()))?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_global(Some(settings.timeout))
            .user_agent(concat!("stateset/", env!("CARGO_PKG_VERSION")));
        if url.starts_with("https://") {
            config = config.tls_config(tls_config());
        }
        Ok(Self {
            agent: config.build().new_agent(),
            url: url.into(),
            endpoint: endpoint.into(),
            ids: Arc::default(),
        })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn call<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<T, RpcError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let sent = self.agent.post(&*self.url).content_type("application/json").send(body);
        let mut response = sent.map_err(|problem| self.broken(method, &problem))?;
        let status = response.status().as_u16();
        let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = read.map_err(|problem| self.broken(method, &problem))?;
        self.read(method, status, &text)
    }

    fn read<T: DeserializeOwned>(&self, method: &str, status: u16, text: &str) -> Result<T, RpcError> {
        let answer: Answer = match serde_json::from_str(text) {
            Ok(answer) => answer,
            // A page of a proxy, and not of a node.
            Err(_) if !(200..300).contains(&status) => return Err(self.busy(method, status)),
            Err(problem) => return Err(self.unreadable(method, &problem, text)),
        };
        if let Some(failure) = answer.error {
            if status == 429 || status >= 500 && failure.message.is_empty() {
                return Err(self.busy(method, status));
            }
            let data = bytes_of(&failure.data).filter(|data| data.len() <= REVERT_BYTES_MAX);
            let (code, message) = (failure.code, beginning(failure.message, REFUSAL_CHARS_MAX));
            return Err(RpcError::Refused { method: method.to_owned(), code, message, data });
        }
        // `"result": null` is an answer too: of a block or a receipt that is not there.
        let result = answer.result.map_or("null", RawValue::get);
        serde_json::from_str(result).map_err(|problem| self.unreadable(method, &problem, text))
    }

    fn broken(&self, method: &str, error: &ureq::Error) -> RpcError {
        let (endpoint, problem) = (self.endpoint.to_string(), error.to_string());
        let is_unsent = match error {
            ureq::Error::Io(io) => io.kind() == std::io::ErrorKind::ConnectionRefused,
            ureq::Error::Timeout(when) => matches!(when, ureq::Timeout::Resolve | ureq::Timeout::Connect),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Tls(_) => true,
            _ => false,
        };
        match is_unsent {
            true => RpcError::Unreachable { endpoint, problem },
            false => RpcError::Unanswered { endpoint, method: method.to_owned(), problem },
        }
    }

    fn busy(&self, method: &str, status: u16) -> RpcError {
        RpcError::Busy { endpoint: self.endpoint.to_string(), method: method.to_owned(), status }
    }

    fn unreadable(&self, method: &str, problem: &dyn fmt::Display, text: &str) -> RpcError {
        let text: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        RpcError::Unreadable {
            endpoint: self.endpoint.to_string(),
            method: method.to_owned(),
            problem: format!("{problem}; it begins with {text:?}"),
        }
    }
}

/// The first characters of a text, and how long it is where that is more.
fn beginning(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text,
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

/// Scheme, host and port; `None` where the address is none.
fn shown(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let is_host = !host.is_empty() && !host.contains(char::is_whitespace);
    is_host.then(|| format!("{scheme}://{host}"))
}

/// TLS for an agent of ureq: the roots of this machine, and the one cryptography of the workspace.
pub fn tls_config() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots: RootCerts =
        found.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect::<Vec<_>>().into();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build()
}

/// Nodes put what a reverted call returned into `data` as hex, or as a member of it.
fn bytes_of(data: &Value) -> Option<Bytes> {
    let text = match data {
        Value::String(text) => text.as_str(),
        Value::Object(members) => members.get("data").or_else(|| members.get("result"))?.as_str()?,
        _ => return None,
    };
    // Some write words in front of it: `Reverted 0x…`.
    let digits = text.rsplit(' ').next()?;
    digits.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok()).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc() -> Rpc {
        Rpc::new("https://user:secret@example.org:8443/v3/key?token=1", RpcSettings::default()).unwrap()
    }

    #[test]
    fn an_endpoint_is_shown_without_its_secrets() {
        assert_eq!(rpc().endpoint(), "https://example.org:8443");
        for bad in ["", "example.org", "ftp://example.org", "http://", "https:///path", "http://a b"] {
            assert!(Rpc::new(bad, RpcSettings::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_of_the_node_is_told_from_a_page_of_a_proxy() {
        let refused = r#"{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted","data":"0xdeadbeef"}}"#;
        let Err(RpcError::Refused { code: 3, data, .. }) = rpc().read::<Value>("eth_call", 200, refused)
        else {
            panic!("not refused");
        };
        assert_eq!(data, Some(Bytes::from(vec![0xde, 0xad, 0xbe, 0xef])));
        let busy = rpc().read::<Value>("eth_call", 502, "<html>Bad gateway</html>").unwrap_err();
        assert_eq!(busy.to_string(), "https://example.org:8443 answers eth_call with HTTP 502");
        assert!(busy.is_of_endpoint());
        let limited = r#"{"error":{"code":-32005,"message":"too many"}}"#;
        assert!(matches!(rpc().read::<Value>("eth_call", 429, limited), Err(RpcError::Busy { .. })));
        assert!(matches!(rpc().read::<Value>("eth_call", 200, "<html>"), Err(RpcError::Unreadable { .. })));
    }

    /// Each was kept whole in logs and records, up to 64 MiB.
    #[test]
    fn a_refusal_is_kept_to_a_few_lines() {
        let (message, data) = ("é".repeat(1_000_000), "00".repeat(REVERT_BYTES_MAX + 1));
        let text = json!({"id": 1, "error": {"code": -32000, "message": message, "data": data}}).to_string();
        let refused = rpc().read::<Value>("eth_call", 200, &text).unwrap_err();
        assert!(refused.to_string().len() < 1_000, "{} bytes", refused.to_string().len());
        assert!(refused.to_string().contains("... (2000000 bytes)"));
        assert!(matches!(refused, RpcError::Refused { data: None, .. }));
    }

    #[test]
    fn no_result_is_an_answer() {
        let none = rpc().read::<Option<u8>>("eth_getTransactionReceipt", 200, r#"{"id":1,"result":null}"#);
        assert_eq!(none, Ok(None));
        assert!(rpc().read::<u8>("eth_blockNumber", 200, r#"{"id":1,"result":null}"#).is_err());
    }

    #[test]
    fn a_port_where_nobody_listens_means_that_nothing_was_sent() {
        // Port 1 is in nobody's use, and bound to nothing here.
        let rpc = Rpc::new("http://127.0.0.1:1", RpcSettings::default()).unwrap();
        assert!(matches!(rpc.call::<Value>("eth_chainId", &json!([])), Err(RpcError::Unreachable { .. })));
    }
}
