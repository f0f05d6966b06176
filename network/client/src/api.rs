//! One request to the nodes of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{CallError, FileError, NOT_ITS_OWN};
use crate::files::HostedAt;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

type Answered = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

/// The API of the nodes of one data directory, wherever it is at the time of a call.
pub struct NodeApi {
    agent: ureq::Agent,
    folder: PathBuf,
}

impl NodeApi {
    /// - `folder`: the ledger's, where `node.json` is.
    /// - `timeout`: for a whole answer; `None` where calls wait as long as they ask the node to.
    pub fn of(folder: &Path, timeout: Option<Duration>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(timeout)
            .build();
        Self { agent: config.new_agent(), folder: folder.to_owned() }
    }

    /// The ledger's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// [`CallError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, CallError> {
        let HostedAt { url, token } = self.at()?;
        let request = self.agent.get(format!("{url}{path}")).query_pairs(query.iter().copied());
        read(request.header("authorization", format!("Bearer {token}")).call())
    }

    /// # Errors
    /// [`CallError`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        let HostedAt { url, token } = self.at()?;
        let body = serde_json::to_string(body).map_err(|error| CallError::Unreadable(error.to_string()))?;
        let request = self.agent.post(format!("{url}{path}")).content_type("application/json");
        read(request.header("authorization", format!("Bearer {token}")).send(body))
    }

    fn at(&self) -> Result<HostedAt, CallError> {
        HostedAt::read(&self.folder).map_err(|error| match error {
            FileError::Io { .. } => CallError::Unreachable(error.to_string()),
            bad @ FileError::Bad { .. } => bad.into(),
        })
    }
}

/// The answer, or `{"error": {"code", "message"}}` by its name.
fn read<T: DeserializeOwned>(answered: Answered) -> Result<T, CallError> {
    let unreachable = |error: ureq::Error| CallError::Unreachable(error.to_string());
    let mut response = answered.map_err(unreachable)?;
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let (text, status) = (text.map_err(unreachable)?, response.status().as_u16());
    if (200..300).contains(&status) {
        return serde_json::from_str(&text).map_err(|error| CallError::Unreadable(error.to_string()));
    }
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let code = body["error"]["code"].as_str().map_or_else(|| format!("{NOT_ITS_OWN}{status}"), str::to_owned);
    let message = body["error"]["message"].as_str();
    let message = message.map_or_else(|| format!("the node answers HTTP {status}"), str::to_owned);
    Err(CallError::Refused { status, code, message })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_node_that_is_not_there_may_be_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let api = NodeApi::of(folder.path(), None);
        let error = api.get::<Value>("/orgs", &[]).unwrap_err();
        assert_eq!((error.code(), error.is_unclear()), ("NODE_UNREACHABLE", true), "no file");
        let at = HostedAt { url: "http://127.0.0.1:1".to_owned(), token: "t".to_owned() };
        at.write(folder.path()).unwrap();
        let error = api.get::<Value>("/orgs", &[]).unwrap_err();
        assert_eq!((error.code(), error.is_unclear()), ("NODE_UNREACHABLE", true), "nobody listens");
        std::fs::write(HostedAt::file(folder.path()), "{}").unwrap();
        let error = api.get::<Value>("/orgs", &[]).unwrap_err();
        assert_eq!((error.code(), error.is_unclear()), ("BAD_FILE", true));
    }

    /// What answers once with these bytes, and the error that a call then has.
    fn answered(answer: &'static str) -> CallError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        HostedAt { url, token: "t".to_owned() }.write(folder.path()).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = NodeApi::of(folder.path(), None).get::<Value>("/orgs", &[]).unwrap_err();
        server.join().unwrap();
        error
    }

    /// Another program at the node's place: a payment that was begun was forgotten, and made once more.
    #[test]
    fn only_the_node_s_own_refusal_says_that_nothing_was_done() {
        let refusal = "HTTP/1.1 409 Conflict\r\ncontent-length: 53\r\n\r\n\
                       {\"error\":{\"code\":\"CONFLICT\",\"message\":\"it is spent\"}}";
        let error = answered(refusal);
        assert_eq!((error.code(), error.is_unclear(), error.is_input()), ("CONFLICT", false, true));
        for other in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\n\r\n<html></html>",
            "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>",
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"url\":",
            "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 52\r\n\r\n{\"error\":{\"code\":\"UNAUTHORIZED\",\"message\":\"a token\"}}",
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 55\r\n\r\n{\"error\":{\"code\":\"NODE_NOT_RUNNING\",\"message\":\"later\"}}",
        ] {
            assert!(answered(other).is_unclear(), "{other}");
        }
    }
}
