//! Plain requests: to the server of the data directory, for routes whose answers prove nothing (feeds and webhooks), and to
//! the nodes of companies of this machine.

use serde_json::Value;
use std::time::Duration;

use crate::context::Context;
use crate::error::{CliError, printable};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// One server and what opens it.
pub struct Rest {
    agent: ureq::Agent,
    url: String,
    /// Header and value.
    key: Option<(&'static str, String)>,
}

impl Rest {
    /// The server of `--server`, else of the data directory.
    pub fn of(context: &Context) -> Result<Self, CliError> {
        let url = context.client()?.url().to_owned();
        let is_ours = context.data.profile()?.is_some_and(|profile| profile.url == url);
        let api_key = match context.global.api_key.clone() {
            None if is_ours => context.data.api_key()?,
            given => given,
        };
        Ok(Self::at(url, api_key.map(|key| ("x-api-key", key))))
    }

    /// A server that is opened by the value of a header.
    pub fn at(url: String, key: Option<(&'static str, String)>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Self { agent: config.new_agent(), url, key }
    }

    /// A `GET` whose answer is read by the caller, as it comes.
    pub fn open(&self, path: &str, last: Option<u64>) -> Result<ureq::Body, CliError> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = self.with_key(request).call().map_err(|error| self.unreachable(&error))?;
        let (parts, mut body) = response.into_parts();
        match parts.status.as_u16() {
            200 => Ok(body),
            status => {
                let text = body.with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
                Err(refused(status, &text))
            }
        }
    }

    pub fn get(&self, path: &str) -> Result<Value, CliError> {
        self.get_by(path, &[])
    }

    /// A `GET` with parameters.
    pub fn get_by(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, CliError> {
        let request = self.agent.get(format!("{}{path}", self.url)).query_pairs(query.iter().copied());
        self.answer(self.with_key(request).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        self.answer(self.with_key(request).send(body.to_string()))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let request = self.agent.patch(format!("{}{path}", self.url)).content_type("application/json");
        self.answer(self.with_key(request).send(body.to_string()))
    }

    pub fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.answer(self.with_key(self.agent.delete(format!("{}{path}", self.url))).call())
    }

    fn with_key<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.key {
            Some((header, key)) => request.header(*header, key),
            None => request,
        }
    }

    fn answer(
        &self,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, CliError> {
        let mut response = answered.map_err(|error| self.unreachable(&error))?;
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        match response.status().as_u16() {
            200..=299 => serde_json::from_str(&text)
                .map_err(|error| CliError::failure("UNREADABLE_ANSWER", error.to_string())),
            status => Err(refused(status, &text)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> CliError {
        let message = format!("{} can't be reached: {error}", self.url);
        CliError::failure("SERVER_UNREACHABLE", message)
            .hint("start one with `stateset up`, or name one with --server")
    }
}

/// `{"error": {"code": …, "message": …}}`, with more around it or without.
fn refused(status: u16, text: &str) -> CliError {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let (code, message) = (body["error"]["code"].as_str(), body["error"]["message"].as_str());
    let (Some(code), Some(message)) = (code, message) else {
        return CliError::failure(&format!("HTTP_{status}"), format!("the server answers HTTP {status}"));
    };
    let message = printable(message);
    match status {
        400 | 404 | 409 => CliError::input(code, message),
        _ => CliError::failure(code, message),
    }
}
