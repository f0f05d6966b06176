//! What lies on disk encrypted (section 19).

use ves::at_rest::{AtRestError, Keyring, Mode, open, seal};
use ves::hash::Digest;

use crate::Input;

/// The input is stored data for the reader, and a plan for changing a genuine blob.
pub fn at_rest(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (newest, older, aad) = (input.bytes(), input.bytes(), Digest(input.bytes()));
    let (nonce, at, mask) = (input.bytes(), input.below(4096), input.byte());
    let keys = Keyring::new(newest, &[older]);
    let content = input.rest();

    let mut blob = seal(&keys, nonce, &aad, content).expect("short data");
    for mode in [Mode::Optional, Mode::Required] {
        assert_eq!(open(&keys, mode, &aad, &blob).as_deref(), Ok(content));
    }
    let rotated = Keyring::new(older, &[newest]);
    assert_eq!(open(&rotated, Mode::Required, &aad, &blob).as_deref(), Ok(content), "older keys still read");
    let place = at % blob.len();
    blob[place] ^= mask;
    if mask != 0 {
        assert!(open(&keys, Mode::Required, &aad, &blob).is_err(), "byte {place} changed by {mask}");
    }
    match open(&keys, Mode::Required, &aad, data) {
        Ok(opened) => assert!(seal(&keys, nonce, &aad, &opened).is_ok()),
        Err(problem) => {
            let clear = !data.starts_with(&ves::at_rest::MAGIC);
            assert_eq!(problem == AtRestError::InClear, clear, "{problem}");
        }
    }
    mask == 0
}

pub fn seeds() -> Vec<Vec<u8>> {
    let plan = |mask: u8| {
        [&[1; 32][..], &[2; 32], &[3; 32], &[4; 12], &[0, 20, mask], b"some data that lies on disk"].concat()
    };
    vec![plan(0), plan(1), b"SSE1 and too short".to_vec(), b"in clear".to_vec()]
}
