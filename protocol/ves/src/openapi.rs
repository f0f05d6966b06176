//! How the identifiers and hashes look in an OpenAPI document. Behind a feature: rules need none of this.

use utoipa::openapi::schema::{KnownFormat, Object, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{
    AgentId, BatchId, CommandId, Digest, EventId, KeyId, RecipientKeyId, SequenceNumber, SequencerId,
    StoreId, TenantId,
};

fn text(format: Option<KnownFormat>, description: &str) -> Object {
    let mut object = Object::with_type(Type::String);
    object.format = format.map(SchemaFormat::KnownFormat);
    object.description = Some(description.to_owned());
    object
}

macro_rules! uuids {
    ($($name:ident: $description:literal),+ $(,)?) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> { text(Some(KnownFormat::Uuid), $description).into() }
        }
        impl ToSchema for $name {}
    )+};
}

uuids! {
    TenantId: "A company.",
    StoreId: "One of a company's stores; with the tenant it names a stream.",
    EventId: "An event: unique in its stream.",
    AgentId: "A writer of events.",
    BatchId: "A committed batch.",
    CommandId: "An intent: at most one event of a stream carries it.",
    SequencerId: "The sequencer that signed a receipt.",
}

macro_rules! numbers {
    ($($name:ident: $format:ident, $maximum:expr, $description:literal);+ $(;)?) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let mut object = Object::with_type(Type::Integer);
                object.format = Some(SchemaFormat::KnownFormat(KnownFormat::$format));
                object.minimum = Some(0usize.into());
                object.maximum = $maximum.map(|maximum: usize| maximum.into());
                object.description = Some($description.to_owned());
                object.into()
            }
        }
        impl ToSchema for $name {}
    )+};
}

numbers! {
    KeyId: Int64, Some(u32::MAX as usize), "Number of a signing key of one agent.";
    RecipientKeyId: Int64, Some(u32::MAX as usize), "Number of an encryption key, unique in its tenant.";
    SequenceNumber: Int64, Some(i64::MAX as usize), "Place of an event in its stream, from 1; 0 is before the first.";
}

impl PartialSchema for Digest {
    fn schema() -> RefOr<Schema> {
        let mut object =
            text(None, "A SHA-256 value: answers write 64 lowercase digits; 0x and capitals are read too.");
        object.pattern = Some("^(0x)?[0-9a-fA-F]{64}$".to_owned());
        object.into()
    }
}
impl ToSchema for Digest {}
