//! What JavaScript calls: numbers only, and text through one buffer.
//!
//! The attribute is that of `wasm-bindgen`, since a plain export takes an unsafe attribute. Its generator of glue is not
//! used: functions of numbers are exported as they are, and the few lines that pass text are written by hand.

use std::sync::{Mutex, MutexGuard, PoisonError};

use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroize as _;

/// The request, then the answer in its place. Either may hold a secret, so what is replaced is wiped.
static TEXT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn text() -> MutexGuard<'static, Vec<u8>> {
    // A panic ends the instance here, so nobody sees a half-written text.
    TEXT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room for a request of so many bytes and tells where it is to be written: the address stays good until the next
/// call. A request of none wipes the last answer.
#[wasm_bindgen]
pub fn request(bytes: u32) -> u32 {
    let mut text = text();
    text.zeroize();
    *text = vec![0; bytes as usize];
    text.as_mut_ptr().expose_provenance() as u32
}

/// Answers the request that was written. How many bytes the answer has.
#[wasm_bindgen]
pub fn call() -> u32 {
    let mut text = text();
    let answer = crate::answer(&text).into_bytes();
    text.zeroize();
    *text = answer;
    text.len() as u32
}

/// Where the answer lies, until the next call.
#[wasm_bindgen]
pub fn answer() -> u32 {
    text().as_ptr().expose_provenance() as u32
}
