//! Messages of gRPC, written by `cargo xtask proto` from `protocol/wire/proto`. The .proto files say what each field
//! means; [`crate::v2`] turns them into values of the protocol.

#[allow(clippy::all)]
pub mod v1;
#[allow(clippy::all)]
pub mod v2;
