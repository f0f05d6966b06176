//! REST without manners: one request, one answer, no retry, no verification.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Largest answer read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// An answer with what it says about another try.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    pub text: String,
}

/// One caller of one server.
#[derive(Clone)]
pub struct Rest {
    agent: ureq::Agent,
    url: String,
    api_key: String,
}

impl Rest {
    pub fn new(url: &str, api_key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        Self { agent: config.into(), url: url.trim_end_matches('/').to_owned(), api_key: api_key.to_owned() }
    }

    /// Status and body of a `GET`.
    ///
    /// # Errors
    /// When there is no whole answer: then nobody knows what the server did.
    pub fn get(&self, path_and_query: &str) -> Result<(u16, String)> {
        let url = format!("{}{path_and_query}", self.url);
        read(self.agent.get(url).header("x-api-key", &self.api_key).call()?)
    }

    /// Status and body of a `POST` of JSON; errors as [`Self::get`].
    pub fn post(&self, path: &str, body: &str) -> Result<(u16, String)> {
        let url = format!("{}{path}", self.url);
        let request = self.agent.post(url).header("x-api-key", &self.api_key);
        read(request.header("content-type", "application/json").send(body)?)
    }

    /// A `POST` of JSON with all of its answer; errors as [`Self::get`].
    pub fn send(&self, path: &str, body: &str) -> Result<Answer> {
        let url = format!("{}{path}", self.url);
        let request = self.agent.post(url).header("x-api-key", &self.api_key);
        let response = request.header("content-type", "application/json").send(body)?;
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let (status, text) = read(response)?;
        Ok(Answer { status, retry_after, text })
    }

    /// The answer of a `GET` that has to succeed.
    pub fn get_json<T: DeserializeOwned>(&self, path_and_query: &str) -> Result<T> {
        let (status, text) = self.get(path_and_query)?;
        ensure!(status == 200, "GET {path_and_query}: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("GET {path_and_query}: {text}"))
    }

    /// The answer of a `POST` that has to succeed.
    pub fn post_json(&self, path: &str, body: &str) -> Result<Value> {
        let (status, text) = self.post(path, body)?;
        ensure!(status == 200 || status == 201, "POST {path}: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("POST {path}: {text}"))
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<(u16, String)> {
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    Ok((status, text))
}
