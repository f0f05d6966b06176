//! Canonical JSON (RFC 8785, section 3), stricter than the reference where nothing compatible is lost:
//! a repeated member is refused, never resolved.
//!
//! [`canonicalize`] first runs a conservative scanner that only answers "these bytes are already canonical" and
//! then borrows them; everything else is parsed and printed again by one pass over the text. Both are bounded:
//! [`DEPTH_MAX`] levels, memory linear in the text.

mod number;
mod rewrite;
mod scan;
mod text;

use std::borrow::Cow;

use serde::Serialize;

pub use text::write_string;
pub(crate) use text::{quoted, string_value};

/// Most arrays and objects open at once in an accepted text.
pub const DEPTH_MAX: usize = 128;

/// Longest part of a member name that a path repeats, in characters.
const PATH_NAME_CHARS_MAX: usize = 64;

/// Why a text is refused as JSON. Paths look like `items[0].sku`; the root's path is empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("{path}: the member is repeated")]
    Duplicate { path: String },
    /// Its magnitude overflows a double.
    #[error("{path}: the number is beyond the range of a double")]
    Number { path: String },
    /// Only from [`canonicalize_strict`]: an integer that no double holds (section 22).
    #[error("{path}: the integer has no exact double; write it as a string")]
    Inexact { path: String },
    /// `at` is an offset in bytes.
    #[error("at byte {at}: {problem}")]
    Syntax { at: usize, problem: &'static str },
    /// The Rust value has no JSON form (such as a map whose keys are no strings).
    #[error("the value has no JSON form: {0}")]
    Unserializable(String),
}

impl JsonError {
    /// The place as a path under `root`: `payload` and `items[0]` make `payload.items[0]`.
    pub fn path_under(&self, root: &str) -> String {
        match self {
            Self::Duplicate { path } | Self::Number { path } | Self::Inexact { path } => {
                match path.as_str() {
                    "" => root.to_owned(),
                    path if path.starts_with('[') => format!("{root}{path}"),
                    path => format!("{root}.{path}"),
                }
            }
            _ => root.to_owned(),
        }
    }

    /// What is wrong, without the place where the place is a path.
    pub fn problem(&self) -> String {
        match self {
            Self::Duplicate { .. } => "the member is repeated".to_owned(),
            Self::Number { .. } => "the number is beyond the range of a double".to_owned(),
            Self::Inexact { .. } => "the integer has no exact double; write it as a string".to_owned(),
            other => other.to_string(),
        }
    }

    fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Duplicate { path } | Self::Number { path } | Self::Inexact { path } => Some(path),
            _ => None,
        }
    }

    /// The same error seen from one level further out.
    fn under_member(mut self, name: &str) -> Self {
        if let Some(path) = self.path_mut() {
            *path = join(&member_segment(name), path);
        }
        self
    }

    fn under_index(mut self, index: usize) -> Self {
        if let Some(path) = self.path_mut() {
            *path = join(&format!("[{index}]"), path);
        }
        self
    }
}

/// `sku` for a plain name, `["a b"]` for any other; long names are cut.
fn member_segment(name: &str) -> String {
    let plain = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
    let shown: String = name.chars().take(PATH_NAME_CHARS_MAX).collect();
    let cut = if shown.len() < name.len() { "…" } else { "" };
    if plain {
        return format!("{shown}{cut}");
    }
    let mut quoted = String::from("[");
    write_string(&mut quoted, &format!("{shown}{cut}"));
    quoted.push(']');
    quoted
}

fn join(outer: &str, inner: &str) -> String {
    let dot = if inner.is_empty() || inner.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

/// The canonical form of one JSON text: borrowed when the text already is canonical.
///
/// The whole text must be exactly one JSON value; white space around it is allowed.
///
/// # Errors
/// [`JsonError`]: a syntax error (lone surrogates, raw control characters, `NaN`, leading zeros, trailing text
/// among them), a repeated member at any depth, a number beyond a double, or more than [`DEPTH_MAX`] levels.
///
/// # Source
/// RFC 8785; VES section 3, vectors `canonicalisation` and `canonicalisation_rejects`.
pub fn canonicalize(text: &str) -> Result<Cow<'_, str>, JsonError> {
    if scan::is_canonical(text) {
        Ok(Cow::Borrowed(text))
    } else {
        rewrite::rewrite(text, false).map(Cow::Owned)
    }
}

/// As [`canonicalize`], and refuses every integer whose double differs from it (section 22): two texts of such
/// integers would share one hash.
///
/// # Errors
/// Those of [`canonicalize`], and [`JsonError::Inexact`].
pub fn canonicalize_strict(text: &str) -> Result<Cow<'_, str>, JsonError> {
    // The scanner accepts at most 15 digits, and those are exact.
    if scan::is_canonical(text) {
        Ok(Cow::Borrowed(text))
    } else {
        rewrite::rewrite(text, true).map(Cow::Owned)
    }
}

/// The canonical form of a Rust value. Floats that are not finite become `null`, as everywhere in serde_json.
///
/// # Errors
/// Those of [`canonicalize`] and [`JsonError::Unserializable`].
pub fn to_canonical<T: Serialize + ?Sized>(value: &T) -> Result<String, JsonError> {
    let text = serde_json::to_string(value).map_err(|error| JsonError::Unserializable(error.to_string()))?;
    if scan::is_canonical(&text) { Ok(text) } else { rewrite::rewrite(&text, false) }
}

/// Whether more than [`DEPTH_MAX`] arrays and objects are open at once anywhere in `text`, whatever else it is.
///
/// For refusing a whole request whose parts are never parsed.
pub fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' if depth == DEPTH_MAX => return true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
