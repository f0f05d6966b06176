//! The few routes of a running service through which an operator writes.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stateset_sequencer_app::failure::Failure;
use ves_wire::error::ErrorBody;

const ANSWER_BYTES_MAX: u64 = 1 << 20;
const TIME_MAX: Duration = Duration::from_secs(30);

/// One service, and the key that admits to it.
pub struct Rest {
    agent: ureq::Agent,
    url: String,
    api_key: String,
}

impl Rest {
    pub fn new(url: &str, api_key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIME_MAX));
        Self {
            agent: config.build().new_agent(),
            url: url.trim_end_matches('/').to_owned(),
            api_key: api_key.to_owned(),
        }
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.send(self.agent.post(format!("{}{path}", self.url)), body)
    }

    /// Only commands of schemas change what is there.
    #[cfg(feature = "schema-validation")]
    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.send(self.agent.put(format!("{}{path}", self.url)), body)
    }

    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(self.agent.delete(format!("{}{path}", self.url)).header("x-api-key", &self.api_key).call())
    }

    fn send<T: DeserializeOwned>(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let text = serde_json::to_string(body).expect("requests serialise to JSON");
        let request = request.header("x-api-key", &self.api_key);
        self.read(request.header("content-type", "application/json").send(text))
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let gone = |error: ureq::Error| {
            Failure::failed("SERVER_UNREACHABLE", format!("no answer from {}: {error}", self.url))
        };
        let mut answer = answer.map_err(gone)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(gone)?;
        if !(200..300).contains(&status) {
            return Err(match serde_json::from_str::<ErrorBody>(&text) {
                Ok(ErrorBody { error }) => {
                    let message = error.message.escape_debug().to_string();
                    let failure = Failure::failed(
                        "REFUSED",
                        format!("the service refused ({status} {}): {message}", error.code.escape_debug()),
                    );
                    if matches!(status, 400 | 404 | 409) { Failure { exit: 2, ..failure } } else { failure }
                }
                Err(_) => Failure::failed("REFUSED", format!("{} answered {status}", self.url)),
            });
        }
        serde_json::from_str(&text).map_err(|error| {
            Failure::failed("UNREADABLE_ANSWER", format!("{} answered something else: {error}", self.url))
        })
    }
}
