//! Request bodies: bounded, UTF-8, announced as JSON or not at all.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde::de::DeserializeOwned;
use ves::TenantId;
use ves_wire::error::ErrorCode;

use crate::budget::{Gathered, Room};
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::router::App;

/// Most bytes of a body on every route but ingest.
const SMALL_BODY_BYTES_MAX: usize = 64 << 10;

/// The text of a small JSON body, not parsed yet. It holds its room in the budget until the request is answered.
pub(crate) struct JsonText {
    pub text: String,
    _room: Option<Room>,
}

/// The text of a JSON body with one payload in it.
#[cfg(feature = "schema-validation")]
pub(crate) struct PayloadJsonText(pub JsonText);

#[cfg(feature = "schema-validation")]
impl FromRequest<App> for PayloadJsonText {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let bytes_max = SMALL_BODY_BYTES_MAX.saturating_add(app.limits.payload_bytes_max);
        read_text(request, app, bytes_max.min(app.config.body_bytes_max)).await.map(Self)
    }
}

/// The text of a JSON body as large as the configuration allows, for ingest.
pub(crate) struct LargeJsonText(pub JsonText);

impl JsonText {
    /// Reads a small body. An error names the member it stands in.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // Every body is an object; the decoder would take a list of its values too, by position.
        let begin = self.text.bytes().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        if begin != Some(b'{') {
            return Err(ApiError::new(ErrorCode::InvalidRequestBody, "the body is not a JSON object"));
        }
        serde_json::from_str(&self.text).map_err(|error| explain(&self.text, &error))
    }
}

impl JsonText {
    /// [`Self::read`] for an administrator: what stands in it is judged for nobody else.
    pub fn read_for_admin<T: DeserializeOwned>(&self, caller: &Caller) -> Result<T, ApiError> {
        caller.require_right(Permission::Admin)?;
        self.read()
    }
}

impl FromRequest<App> for JsonText {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        read_text(request, app, SMALL_BODY_BYTES_MAX.min(app.config.body_bytes_max)).await
    }
}

impl FromRequest<App> for LargeJsonText {
    type Rejection = ApiError;

    /// Large bodies are for writers alone: others are refused before they send one.
    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if let Some(caller) = request.extensions().get::<Caller>()
            && let Err(error) = caller.require_right(Permission::Write)
        {
            return Err(error);
        }
        read_text(request, app, app.config.body_bytes_max).await.map(Self)
    }
}

async fn read_text(request: Request, app: &App, bytes_max: usize) -> Result<JsonText, ApiError> {
    let (parts, body) = request.into_parts();
    check_content_type(&parts.headers)?;
    // Who has no credential shares the room of the nil tenant.
    let tenant_id =
        parts.extensions.get::<Caller>().map_or(TenantId::from_bytes([0; 16]), |caller| caller.tenant_id);
    let room = app.budget.empty(&tenant_id)?;
    let Gathered { bytes, mut room } =
        read_bounded(&parts.headers, body, bytes_max, app.config.body_pause_max, room).await?;
    // It may have taken its time.
    app.require_log()?;
    room.shrink_to(bytes.len());
    app.metrics.body_read(bytes.len());
    String::from_utf8(bytes)
        .map(|text| JsonText { text, _room: Some(room) })
        .map_err(|_| ApiError::new(ErrorCode::InvalidRequestBody, "the body is not UTF-8"))
}

/// No content type is taken as JSON: the published clients differ.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let is_json = essence.eq_ignore_ascii_case(b"application/json")
        || (essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json"));
    if is_json {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, "content-type: expected application/json"))
}

async fn read_bounded(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
    pause_max: Duration,
    room: Room,
) -> Result<Gathered, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let mut gathered = Gathered::new(room);
    while let Some(data) = piece(&mut body, pause_max).await? {
        if gathered.bytes.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        gathered.push(&data, announced.unwrap_or(bytes_max)).await?;
    }
    Ok(gathered)
}

/// The next bytes of a body, which have to come soon: those that came hold memory.
pub(crate) async fn piece(body: &mut Body, pause_max: Duration) -> Result<Option<Bytes>, ApiError> {
    let next = async {
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => return Ok(Some(data)),
                // Trailers.
                Ok(Err(_)) => {}
                Err(_) => {
                    return Err(ApiError::new(ErrorCode::InvalidRequestBody, "the body broke off"));
                }
            }
        }
        Ok(None)
    };
    match tokio::time::timeout(pause_max, next).await {
        Ok(next) => next,
        Err(_) => Err(ApiError::new(ErrorCode::Timeout, "the body stopped coming; nothing was changed")),
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(ErrorCode::PayloadTooLarge, format!("the body is larger than {bytes_max} bytes"))
}

/// Says which member of `text` an error stands in, as far as its position tells.
fn explain(text: &str, error: &serde_json::Error) -> ApiError {
    let full = error.to_string();
    let problem = full.rsplit_once(" at line ").map_or(full.as_str(), |(problem, _)| problem);
    if !error.is_data() {
        return ApiError::new(ErrorCode::InvalidRequestBody, format!("the body is not JSON: {full}"));
    }
    let way = way_to(text, error.line(), error.column());
    if let Some(rest) = problem.strip_prefix("missing field `") {
        let (field, dot) = (rest.trim_end_matches('`'), if way.inside.is_empty() { "" } else { "." });
        let message = format!("{}{dot}{field} is missing", way.inside);
        return ApiError::new(ErrorCode::MissingRequiredField, message);
    }
    match way.member() {
        Some(field) => ApiError::invalid(field, problem),
        None => ApiError::new(ErrorCode::InvalidFieldValue, problem),
    }
}

/// Where a position lies in the object of a body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Way<'t> {
    /// Members on the way to the position, with points between them; empty after the end of the body.
    inside: String,
    /// The last member of the body itself that begins before it.
    outermost: Option<&'t str>,
}

impl Way<'_> {
    fn member(&self) -> Option<&str> {
        if self.inside.is_empty() { self.outermost } else { Some(&self.inside) }
    }
}

/// The way to a position (1-based line, column in bytes). What lies before it was read as JSON.
fn way_to(text: &str, line: usize, column: usize) -> Way<'_> {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let Some(before) = text.get(..(line_start + column).min(text.len())) else { return Way::default() };
    // Of each object and list that is open, the member that began last.
    let (mut open, mut outermost): (Vec<Option<&str>>, _) = (Vec::new(), None);
    let mut rest = before;
    while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
        let mark = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match mark {
            b'{' | b'[' => open.push(None),
            b'}' | b']' => drop(open.pop()),
            _ => {
                let Some(end) = string_end(rest) else { break };
                let quoted = &rest[..end];
                rest = &rest[end + 1..];
                if rest.trim_start().starts_with(':') {
                    if open.len() == 1 {
                        outermost = Some(quoted);
                    }
                    if let Some(last) = open.last_mut() {
                        *last = Some(quoted);
                    }
                }
            }
        }
    }
    let inside: Vec<&str> = open.into_iter().flatten().collect();
    Way { inside: inside.join("."), outermost }
}

/// Where the text of a string ends that begins here.
fn string_end(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use ves_wire::keys::RegisterKeyRequest;

    fn message<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> (ErrorCode, String) {
        let error = JsonText { text: text.to_owned(), _room: None }.read::<T>().unwrap_err();
        (error.code(), format!("{error:?}"))
    }

    #[test]
    fn an_error_names_its_member() {
        let id = "00000000-0000-0000-0000-000000000001";
        let text = format!("{{\n \"tenantId\":\"{id}\", \"agentId\":\"{id}\",\n \"publicKey\" : \"abc:d\"}}");
        let (code, said) = message::<RegisterKeyRequest>(&text);
        assert_eq!(code, ErrorCode::InvalidFieldValue);
        assert!(said.contains("publicKey: "), "{said}");
        let (code, said) = message::<RegisterKeyRequest>("{}");
        assert_eq!(code, ErrorCode::MissingRequiredField);
        assert!(said.contains("tenantId is missing"), "{said}");
        assert_eq!(message::<RegisterKeyRequest>("{").0, ErrorCode::InvalidRequestBody);
        #[derive(Debug, Deserialize)]
        struct Never {}
        assert_eq!(message::<Never>("{\"a\":}").0, ErrorCode::InvalidRequestBody);
    }

    /// A signature of 64 bytes inside `authorization` was named as if it were the intent's own.
    #[test]
    fn a_member_of_a_member_is_named_with_the_way_to_it() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only read")]
        struct Outer {
            note: String,
            inner: Inner,
            after: u8,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only read")]
        struct Inner {
            list: Vec<u8>,
            last: u8,
        }
        for (text, named) in [
            (r#"{"note": "a \"{ b", "inner": {"list": [], "last": "x"}, "after": 1}"#, "inner.last: "),
            (r#"{"note": "", "inner": {"list": [1, {}]}}"#, "inner.list: "),
            (r#"{"note": "", "inner": {"list": [1]}}"#, "inner.last is missing"),
            (r#"{"inner": {"list": [1], "last": 2}, "note": "", "after": 300}"#, "\"after: "),
            (r#"{"inner": {"list": [1], "last": 2}, "note": ""}"#, "\"after is missing"),
        ] {
            let (_, said) = message::<Outer>(text);
            assert!(said.contains(named), "{text}: {said}");
        }
    }

    #[test]
    fn values_by_position_are_no_object() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only read")]
        struct Pair {
            first: u8,
            second: u8,
        }
        for text in ["[1,2]", " \n[1,2]", "7", "null", "", "\u{a0}{}"] {
            assert_eq!(
                message::<Pair>(text),
                (ErrorCode::InvalidRequestBody, message::<Pair>("[]").1),
                "{text}"
            );
        }
        let text = " \r\n\t{\"first\":1,\"second\":2}".to_owned();
        assert_eq!(JsonText { text, _room: None }.read::<Pair>().unwrap().second, 2);
    }
}
