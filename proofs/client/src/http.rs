//! One request and its answer.

use std::time::Duration;

use serde::de::DeserializeOwned;
use ves_wire::ErrorBody;

use crate::ClientError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A submission is verified before it is answered.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A hundred records, or one proof of the largest size in base64.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Http {
    agent: ureq::Agent,
    /// Without a slash at its end.
    base: String,
    api_key: Option<String>,
}

impl Http {
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ClientError> {
        let wrong = |problem| ClientError::Address { url: url.to_owned(), problem };
        let host = match (url.strip_prefix("http://"), url.starts_with("https://")) {
            (Some(host), _) => host,
            (None, true) => {
                return Err(wrong(
                    "this build leaves TLS out: use http on loopback, or a tunnel that ends TLS",
                ));
            }
            (None, false) => return Err(wrong("it does not begin with http://")),
        };
        if host.trim_end_matches('/').is_empty() || host.contains(['?', '#', ' ']) {
            return Err(wrong("it should look like http://127.0.0.1:8080"));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent(concat!("ves-stark-client/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), base: url.trim_end_matches('/').to_owned(), api_key })
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decoded(path, &self.get_text(path)?)
    }

    /// The text of an answer, for readers that borrow from it.
    pub fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key);
        }
        self.text(request.call())
    }

    pub fn post<B: serde::Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key);
        }
        let body = serde_json::to_string(body).expect("wire types serialise to JSON");
        decoded(path, &self.text(request.send(body))?)
    }

    fn text(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<String, ClientError> {
        let unreachable = |error: ureq::Error| ClientError::Unreachable {
            url: self.base.clone(),
            problem: error.to_string(),
        };
        let mut answer = answer.map_err(unreachable)?;
        let text =
            answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
        let status = answer.status().as_u16();
        match (200..300).contains(&status) {
            true => Ok(text),
            false => Err(refusal(status, &text)),
        }
    }
}

fn decoded<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|error| ClientError::unreadable(path, error.to_string()))
}

fn refusal(status: u16, text: &str) -> ClientError {
    match serde_json::from_str::<ErrorBody>(text) {
        Ok(ErrorBody { error }) => ClientError::Refused { status, code: error.code, message: error.message },
        Err(_) => ClientError::Refused {
            status,
            code: format!("HTTP_{status}"),
            message: text.chars().take(200).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        assert!(Http::new("http://127.0.0.1:8080/", None).is_ok());
        for bad in ["127.0.0.1:8080", "https://example.org", "ftp://x", "http://", "http:///", "http://a b"] {
            assert!(matches!(Http::new(bad, None), Err(ClientError::Address { .. })), "{bad}");
        }
    }

    #[test]
    fn a_refusal_without_a_body_of_ours_is_cut() {
        let error = refusal(502, &"x".repeat(1000));
        let ClientError::Refused { status: 502, code, message } = error else { panic!("{error}") };
        assert_eq!((code.as_str(), message.len()), ("HTTP_502", 200));
    }
}
