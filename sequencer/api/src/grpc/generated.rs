//! Services, written by `cargo xtask proto` from `protocol/wire/proto`.

#[allow(clippy::all)]
pub mod v1;
#[allow(clippy::all)]
pub mod v2;

/// The .proto files as the reflection service tells of them.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
