//! Public inputs in a file: as they are, or as a service answers them, with their hash beside them.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use ves::hash::Hasher;
use ves::{Digest, json};

use crate::failure::Failure;
use crate::files;

/// What an answer has beside the inputs: an id, a hash, names, blanks.
const ANSWER_BYTES_MAX: usize = 512;

/// The answer of `…/compliance/{event_id}/inputs` and `…/validity/{batch_id}/inputs`; other members are passed over.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    public_inputs: Option<&'a RawValue>,
    public_inputs_hash: Option<Digest>,
}

/// The text of the inputs, of which `bytes_max` bytes are read.
///
/// # Errors
/// Where the file cannot be read, and where an answer's inputs do not have the hash beside them.
pub fn read(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let text = files::read(path, bytes_max.saturating_add(ANSWER_BYTES_MAX))?;
    inner(text.trim_end())
        .map(str::to_owned)
        .map_err(|problem| Failure::input("BAD_INPUTS", format!("{}: {problem}", path.display())))
}

fn inner(text: &str) -> Result<&str, String> {
    // What is no answer is for its own reader to refuse.
    let Ok(Answer { public_inputs: Some(inputs), public_inputs_hash }) = serde_json::from_str(text) else {
        return Ok(text);
    };
    let hash = public_inputs_hash.ok_or("a service's answer has public_inputs_hash beside public_inputs")?;
    let canonical = json::canonicalize(inputs.get()).map_err(|error| format!("public_inputs: {error}"))?;
    match Hasher::bare().bytes(canonical.as_bytes()).finish() == hash {
        true => Ok(inputs.get()),
        false => Err("public_inputs do not have the hash that stands beside them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_unwrapped_under_its_hash_alone() {
        let inputs = r#"{ "b": 1, "a": 2 }"#;
        let hash = Hasher::bare().bytes(br#"{"a":2,"b":1}"#).finish();
        let answer = format!(r#"{{"event_id":"x","public_inputs":{inputs},"public_inputs_hash":"{hash}"}}"#);
        assert_eq!(inner(&answer), Ok(inputs));
        assert!(inner(&answer.replace("\"a\": 2", "\"a\": 3")).unwrap_err().contains("hash"));
        let bare = format!(r#"{{"public_inputs":{inputs}}}"#);
        assert!(inner(&bare).unwrap_err().contains("public_inputs_hash"));
        for other in [inputs, "", "[", "[]"] {
            assert_eq!(inner(other), Ok(other));
        }
    }
}
