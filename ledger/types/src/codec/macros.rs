//! Declares types together with their encoding, so that neither can drift from the other. Crates that use the macros name
//! `serde` among their dependencies, and `ves` for [`fixed_bytes`].

/// A struct whose encoding is that of its fields in the order written.
#[macro_export]
macro_rules! record {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $kind:ty),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $kind),* }

        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::codec::Encode::encode(&self.$field, out);)*
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = 0 $(+ <$kind as $crate::codec::Decode>::BYTES_MIN)*;
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: $crate::codec::Decode::decode(reader)?),* })
            }
        }
    )+};
}

/// An enum of one value per variant: a u16 tag and the value.
#[macro_export]
macro_rules! choice {
    ($($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident($body:ty) = $tag:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant($body)),+ }

        impl $name {
            /// Every tag, in ascending order.
            pub const TAGS: &'static [u16] = &[$($tag),+];

            /// The tag in front of the value.
            pub const fn tag(&self) -> u16 {
                match self { $(Self::$variant(_) => $tag),+ }
            }
            /// The variant's name.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant)),+ }
            }
        }
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::codec::Encode::encode(&self.tag(), out);
                match self { $(Self::$variant(body) => $crate::codec::Encode::encode(body, out)),+ }
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = 2;
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                let at = reader.position();
                match <u16 as $crate::codec::Decode>::decode(reader)? {
                    $($tag => $crate::codec::Decode::decode(reader).map(Self::$variant),)+
                    tag => Err($crate::codec::DecodeError {
                        at,
                        problem: $crate::codec::Problem::UnknownTag { of: stringify!($name), tag: tag.into() },
                    }),
                }
            }
        }
    )+};
}

/// An enum without bodies, encoded as the given integer.
#[macro_export]
macro_rules! codes {
    ($($(#[$doc:meta])* pub enum $name:ident: $int:ty { $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($(#[$vdoc])* $variant = $code),+ }

        impl $name {
            /// Every value, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn code(self) -> $int {
                match self { $(Self::$variant => $code),+ }
            }
            pub fn from_code(code: $int) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::codec::Encode::encode(&self.code(), out);
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = size_of::<$int>();
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                let at = reader.position();
                let code = <$int as $crate::codec::Decode>::decode(reader)?;
                Self::from_code(code).ok_or($crate::codec::DecodeError {
                    at,
                    problem: $crate::codec::Problem::UnknownTag { of: stringify!($name), tag: code.into() },
                })
            }
        }
    )+};
}

/// A value of so many bytes with a type of its own. Text form: lowercase hex.
#[macro_export]
macro_rules! fixed_bytes {
    ($($(#[$doc:meta])* $name:ident[$len:literal]),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&ves::hex::encode(&self.0))
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl std::str::FromStr for $name {
            type Err = ves::hex::HexError;
            /// Reads hex of either case, with or without `0x`.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                ves::hex::decode_lenient(text).map(Self)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }
        impl $crate::codec::Decode for $name {
            const BYTES_MIN: usize = $len;
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                reader.array().map(Self)
            }
        }
    )+};
}

pub use crate::{choice, codes, fixed_bytes, record};
