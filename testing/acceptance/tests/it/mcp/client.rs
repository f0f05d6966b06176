//! Clients that speak the protocol with their hands.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::mcp;

pub const OLDER: [&str; 2] = ["2025-06-18", "2025-11-25"];
pub const STATELESS: &str = "2026-07-28";

/// What a client of the stateless revision says with every request.
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientInfo": {"name": "acceptance", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// `stateset mcp stdio`, and one client of it.
pub struct Model {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    number: u64,
    /// Of the stateless revision, said with every request.
    meta: Option<Value>,
}

impl Model {
    /// Starts the program on a data folder; nothing is said yet.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_in(data, more, &[])
    }

    /// The same, with variables.
    fn start_in(data: &Path, more: &[&str], variables: &[(String, PathBuf)]) -> Self {
        let mut command = mcp(&["stdio"]);
        command.arg("--data").arg(data).args(more).env("RUST_LOG", "off");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a piped output")).lines();
        Self { child, input, output, number: 0, meta: None }
    }

    /// The same, with a handshake of an older revision.
    pub fn shaken(data: &Path, more: &[&str], version: &str) -> (Self, Value) {
        let mut client = Self::start(data, more);
        let hello = json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "acceptance", "version": "1"},
        });
        let answer = client.ask("initialize", hello);
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        (client, answer)
    }

    /// The same, without a handshake.
    pub fn stateless(data: &Path, more: &[&str]) -> Self {
        let mut client = Self::start(data, more);
        client.meta = Some(meta());
        client
    }

    /// The same, with variables.
    pub fn stateless_in(data: &Path, more: &[&str], variables: &[(String, PathBuf)]) -> Self {
        let mut client = Self::start_in(data, more, variables);
        client.meta = Some(meta());
        client
    }

    fn say(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("an open input");
        writeln!(input, "{message}").and_then(|()| input.flush()).expect("it reads");
    }

    /// The whole answer to a request. Whatever else stands on stdout fails here.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut params = params;
        if let Some(meta) = &self.meta {
            params["_meta"] = meta.clone();
        }
        let number = self.number;
        self.say(&json!({"jsonrpc": "2.0", "id": number, "method": method, "params": params}));
        let line = self.output.next().expect("an answer").expect("a line");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(answer["id"], number, "{method}: {answer}");
        answer
    }

    /// The result of a tool, which is no error.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        assert!(result["isError"] != true && result["structuredContent"].is_object(), "{tool}: {answer}");
        // What older clients read is the same.
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        result["structuredContent"].clone()
    }

    /// The code of a refusal for a reason of business.
    pub fn refused(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], true, "{tool}: {answer}");
        let error = &answer["result"]["structuredContent"]["error"];
        assert!(error["message"].is_string() && error["retryable"].is_boolean(), "{answer}");
        error["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The field of a bad argument, which is an error of the protocol.
    pub fn bad_field(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(answer["error"]["code"], -32602, "{tool}: {answer}");
        answer["error"]["data"]["field"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Closes its input, which ends it well.
    pub fn close(mut self) {
        self.input = None;
        let status = self.child.wait().expect("our own child can be waited for");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Model {
    /// After a failed test the process must not stay behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// `stateset mcp http` on a free port.
pub struct Http {
    child: Child,
    pub url: String,
    pub token: Option<String>,
    agent: ureq::Agent,
}

impl Http {
    pub fn start(data: &Path, more: &[&str]) -> Self {
        let mut command = mcp(&["http", "--listen", "127.0.0.1:0", "--json"]);
        command.arg("--data").arg(data).args(more).env("RUST_LOG", "off");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a piped output")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let token =
            said["token_file"].as_str().map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned());
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(30))).build().into();
        Self { child, url: said["url"].as_str().expect("a url").to_owned(), token, agent }
    }

    /// Status and body of a POST with exactly these headers besides those that every request has.
    pub fn post(&self, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        request = request.header("accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).expect("an answer");
        let text = response.body_mut().read_to_string().expect("a text");
        (response.status().as_u16(), text)
    }

    /// A request of a revision, with the token.
    pub fn ask(&self, version: &str, method: &str, name: Option<&str>, params: Value) -> (u16, Value) {
        let mut params = params;
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("mcp-protocol-version", version)];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        if version == STATELESS {
            params["_meta"] = meta();
            headers.push(("mcp-method", method));
            headers.extend(name.map(|name| ("mcp-name", name)));
        }
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
        let (status, text) = self.post(&headers, &body);
        let answer = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {error}: {text}"));
        (status, answer)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
