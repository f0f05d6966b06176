//! What is a message of JSON-RPC, and what is answered to what is none (JSON-RPC 2.0, section 5.1).

use rmcp::model::{ClientJsonRpcMessage, ErrorCode};
use serde_json::{Value, json};

/// Bytes that are no message.
#[derive(Debug)]
pub struct NoMessage {
    /// The error response.
    pub answer: Value,
    /// A notification or a response, which nobody answers whatever is wrong with it. So two programs that send one another's
    /// words back come to an end.
    pub is_unanswered: bool,
}

/// Reads one message. `what` is the name of what holds it, such as `body`.
///
/// # Errors
/// [`NoMessage`].
pub fn read(bytes: &[u8], what: &str) -> Result<ClientJsonRpcMessage, NoMessage> {
    let value = serde_json::from_slice::<Value>(bytes).map_err(|problem| {
        refusal(ErrorCode::PARSE_ERROR, &Value::Null, format!("the {what} is no JSON: {problem}"))
    })?;
    if value.is_array() {
        let problem = format!("a {what} is one message; batches are not served");
        return Err(refusal(ErrorCode::INVALID_REQUEST, &value, problem));
    }
    serde_json::from_value(value.clone()).map_err(|problem| {
        let problem = format!("the {what} is no message of JSON-RPC 2.0: {problem}");
        refusal(ErrorCode::INVALID_REQUEST, &value, problem)
    })
}

/// The answer to `value`, by its id where it has one.
pub fn refusal(code: ErrorCode, value: &Value, message: String) -> NoMessage {
    let has = |member| value.get(member).is_some();
    let id = value.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or_default();
    NoMessage {
        answer: json!({"jsonrpc": "2.0", "id": id, "error": {"code": code.0, "message": message}}),
        is_unanswered: if has("method") { !has("id") } else { has("result") || has("error") },
    }
}
