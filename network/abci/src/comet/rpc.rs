//! The JSON-RPC of a node (network.md 7.2), which both engines speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longer than CometBFT waits for a transaction to be committed (10 s).
const TIME_MAX: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a node gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    #[error("the node {url} can't be reached: {problem}")]
    Unreachable { url: String, problem: String },
    #[error("the node refuses: {message}{}", if .data.is_empty() { String::new() } else { format!(" ({})", .data) })]
    Refused { code: i64, message: String, data: String },
    #[error("the node's answer can't be read: {0}")]
    Unreadable(String),
}

/// The RPC of a node, or of several of one chain: who answered last is asked first, and the next where one can't be reached.
#[derive(Debug, Clone)]
pub struct Rpc {
    agent: ureq::Agent,
    first: String,
    others: Arc<[String]>,
    /// Who is asked first: 0, or one more than a place in `others`.
    current: Arc<AtomicUsize>,
}

impl Rpc {
    /// `url` such as `http://127.0.0.1:26657`.
    pub fn new(url: &str) -> Self {
        Self::of(url, &[])
    }

    /// Asks `first`, until another has to be asked.
    pub fn of(first: &str, others: &[String]) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_global(Some(TIME_MAX))
            .build();
        let plain = |url: &str| url.trim_end_matches('/').to_owned();
        Self {
            agent: config.new_agent(),
            first: plain(first),
            others: others.iter().map(|url| plain(url)).collect(),
            current: Arc::default(),
        }
    }

    /// Of the node that is asked first.
    pub fn url(&self) -> &str {
        self.url_at(self.current.load(Ordering::Relaxed))
    }

    fn url_at(&self, place: usize) -> &str {
        place.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    /// Calls `method` with named `params`, and returns its `result`. A call may come to several nodes: what a chain has
    /// taken once it takes no second time.
    ///
    /// # Errors
    /// [`RpcError`]; where no node can be reached, of the one that was asked first.
    pub fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let (first, count) = (self.current.load(Ordering::Relaxed), self.others.len() + 1);
        let mut unreachable = None;
        for place in (first..first + count).map(|place| place % count) {
            match self.call_at(self.url_at(place), method, params) {
                Err(error @ RpcError::Unreachable { .. }) => drop(unreachable.get_or_insert(error)),
                answer => {
                    self.current.store(place, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(unreachable.expect("at least one node was asked"))
    }

    fn call_at(&self, url: &str, method: &str, params: &Value) -> Result<Value, RpcError> {
        let unreachable = |problem: ureq::Error| RpcError::Unreachable {
            url: url.to_owned(),
            problem: problem.to_string(),
        };
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut response = self.agent.post(url).send_json(&request).map_err(unreachable)?;
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(unreachable)?;
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|problem| RpcError::Unreadable(problem.to_string()))?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let words = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            let code = error["code"].as_i64().unwrap_or_default();
            return Err(RpcError::Refused { code, message: words("message"), data: words("data") });
        }
        match answer.get_mut("result").map(Value::take) {
            Some(result) => Ok(result),
            None => Err(RpcError::Unreadable("it has neither result nor error".to_owned())),
        }
    }
}
