//! Opaque cursors of pages: callers hand them back as they got them.

use base64ct::{Base64UrlUnpadded, Encoding as _};

/// Longer than any id in a cursor.
const CURSOR_BYTES_MAX: usize = 2048;
/// Changes when the meaning does: an older cursor is refused, not misread.
const VERSION: &str = "1";

/// Writes the cursor of a list: where its next page begins.
///
/// - `list`: which list it belongs to; another one refuses it;
/// - `place`: what [`read`] gives back.
pub fn write(list: &str, place: &str) -> String {
    Base64UrlUnpadded::encode_string(format!("{VERSION}\0{list}\0{place}").as_bytes())
}

/// The place in a cursor of this list.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn read(list: &str, cursor: &str) -> Result<String, String> {
    let wrong = || "is no cursor of this list: begin without one".to_owned();
    if cursor.len() > CURSOR_BYTES_MAX {
        return Err(wrong());
    }
    let bytes = Base64UrlUnpadded::decode_vec(cursor).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let mut parts = text.splitn(3, '\0');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(VERSION), Some(of), Some(place)) if of == list => Ok(place.to_owned()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_gives_its_place_back_to_its_own_list_alone(place in ".{0,64}") {
            let cursor = write("order", &place);
            prop_assert_eq!(read("order", &cursor), Ok(place));
            prop_assert!(read("product", &cursor).is_err());
        }

        #[test]
        fn no_text_panics_or_is_a_cursor(text in ".{0,64}") {
            prop_assert!(read("order", &text).is_err());
        }
    }
}
