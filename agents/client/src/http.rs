//! Requests, their repetition and the reading of refusals.

use std::time::Duration;

use serde::de::DeserializeOwned;
use ves_wire::ErrorBody;

use crate::repeat::{Failed, repeat};
use crate::{ClientError, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Larger than any page: 1,000 events whose payloads share the server's limits.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One server, spoken to over kept-alive connections.
pub(crate) struct Http {
    agent: ureq::Agent,
    /// Without a slash at its end.
    base: String,
    api_key: Option<String>,
}

/// What the server answered, whatever it was.
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    text: String,
}

impl Http {
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ClientError> {
        let wrong = |problem| ClientError::Address { url: url.to_owned(), problem };
        let of_tls = url.strip_prefix("https://");
        let host = of_tls.or_else(|| url.strip_prefix("http://"));
        let host = host.ok_or_else(|| wrong("it does not begin with http:// or https://"))?;
        if host.trim_end_matches('/').is_empty() || host.contains(['?', '#', ' ']) {
            return Err(wrong("it should look like http://127.0.0.1:8080"));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent(concat!("stateset-client/", env!("CARGO_PKG_VERSION")));
        if of_tls.is_some() {
            config = config.tls_config(tls::of_requests());
        }
        Ok(Self { agent: config.build().new_agent(), base: url.trim_end_matches('/').to_owned(), api_key })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(path, &self.get_text(path)?)
    }

    pub fn get_text(&self, path: &str) -> Result<String, ClientError> {
        repeat(|| {
            let mut request = self.agent.get(format!("{}{path}", self.base));
            if let Some(key) = &self.api_key {
                request = request.header("x-api-key", key);
            }
            self.judged(answer_of(request.call()))
        })
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &str) -> Result<String, ClientError> {
        repeat(|| self.post_once(path, body))
    }

    /// Posts JSON that the caller can send in parts: after a cut it is not sent again as it was.
    pub fn post_part(&self, path: &str, body: &str) -> Result<String, ClientError> {
        repeat(|| self.post_once(path, body).map_err(Failed::of_parts))
    }

    fn post_once(&self, path: &str, body: &str) -> Result<String, Failed> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key);
        }
        self.judged(answer_of(request.send(body)))
    }

    pub fn post_json<B: serde::Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).expect("wire types serialise to JSON");
        read(path, &self.post(path, &body)?)
    }

    fn judged(&self, answer: Result<Answer, ureq::Error>) -> Result<String, Failed> {
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(answer.text),
            Ok(answer) => Err(Failed::refused(refusal(&answer), answer.retry_after)),
            Err(error) => {
                let (url, problem) = (self.base.clone(), error.to_string());
                Err(Failed {
                    // A refused connection means nobody listens: waiting for a server that is not there helps nobody.
                    is_passing: !is_refused(&error) && is_passing(&error),
                    error: ClientError::Unreachable { url, problem, was_cut: was_cut(&error) },
                    retry_after: None,
                })
            }
        }
    }
}

fn answer_of(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = result?;
    let retry_after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    Ok(Answer { status: response.status().as_u16(), retry_after: retry_after.map(Duration::from_secs), text })
}

fn is_refused(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Whether it failed on an open connection.
fn was_cut(error: &ureq::Error) -> bool {
    use ureq::Timeout;
    match error {
        ureq::Error::Io(io) => !is_refused(error) && io.kind() != std::io::ErrorKind::InvalidData,
        ureq::Error::Timeout(when) => !matches!(when, Timeout::Resolve | Timeout::Connect),
        _ => false,
    }
}

/// Whether the same request may succeed in a moment. A certificate that is not believed will not be then.
fn is_passing(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(io) => io.kind() != std::io::ErrorKind::InvalidData,
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

fn refusal(answer: &Answer) -> ClientError {
    match serde_json::from_str::<ErrorBody>(&answer.text) {
        Ok(ErrorBody { error }) => ClientError::Refused {
            status: answer.status,
            code: error.code,
            message: error.message,
            request_id: error.request_id,
        },
        Err(_) => ClientError::Refused {
            status: answer.status,
            code: format!("HTTP_{}", answer.status),
            message: answer.text.chars().take(200).collect(),
            request_id: None,
        },
    }
}

pub(crate) fn read<'a, T: serde::Deserialize<'a>>(path: &str, text: &'a str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|error| ClientError::Unreadable {
        path: path.split('?').next().unwrap_or(path).to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        assert!(Http::new("http://127.0.0.1:8080/", None).is_ok());
        assert!(Http::new("https://example.org", None).is_ok());
        for bad in ["127.0.0.1:8080", "ftp://x", "http://", "https://", "http:///", "http://a b"] {
            assert!(matches!(Http::new(bad, None), Err(ClientError::Address { .. })), "{bad}");
        }
    }
}
