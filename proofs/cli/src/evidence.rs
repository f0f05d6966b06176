//! Binding levels on the command line, and the payload that level `circuit` proves about.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ves::{PayloadSalt, json};
use ves_stark_client::PlainPayload;
use ves_stark_primitives::payload::minor_units_at_key;
use ves_stark_primitives::{BindingLevel, FieldDescription};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;

/// Longest payload that is read: canonical ones of level `circuit` are far shorter, with room for blanks.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Longest text of a salt.
const SALT_TEXT_BYTES_MAX: usize = 64;

/// How a commitment is tied to its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Binding {
    /// The agent signs its commitment
    Signed,
    /// The proof reads the payload that the event hashes
    Circuit,
}

impl Binding {
    pub const fn is_of(self, level: BindingLevel) -> bool {
        matches!(
            (self, level),
            (Self::Signed, BindingLevel::Signed) | (Self::Circuit, BindingLevel::Circuit { .. })
        )
    }
}

#[derive(Debug, Args)]
pub struct BindingArgs {
    /// How the commitment is tied to the event
    #[arg(long, value_enum, default_value = "signed")]
    binding: Binding,
    /// File with the payload in clear, for --binding circuit; it stays on this machine
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// File with the salt of a sealed payload, 32 hex digits
    #[arg(long, value_name = "FILE", requires = "payload")]
    payload_salt: Option<PathBuf>,
    /// Top-level member of the payload that holds the amount in minor units [default: that of --opening]
    #[arg(long, value_name = "KEY", requires = "payload")]
    field: Option<String>,
}

/// What level `circuit` proves about. Secret; wiped when dropped.
pub struct Evidence {
    canonical: Zeroizing<String>,
    salt: Option<PayloadSalt>,
    field: Option<String>,
}

impl BindingArgs {
    pub fn is_circuit(&self) -> bool {
        self.binding == Binding::Circuit
    }

    /// The payload, at level `circuit`.
    pub fn read(&self) -> Result<Option<Evidence>, Failure> {
        let file = match (self.binding, &self.payload) {
            (Binding::Signed, None) => return Ok(None),
            (Binding::Circuit, Some(file)) => file,
            (Binding::Signed, Some(_)) => {
                return Err(Failure::input("USAGE", "--payload is for --binding circuit"));
            }
            (Binding::Circuit, None) => {
                return Err(Failure::input("USAGE", "--binding circuit needs --payload FILE"));
            }
        };
        let text = files::read(file, PAYLOAD_BYTES_MAX)?;
        let canonical = json::canonicalize(&text)
            .map_err(|error| Failure::input("BAD_PAYLOAD", format!("{}: {error}", file.display())))?;
        Ok(Some(Evidence {
            canonical: Zeroizing::new(canonical.into_owned()),
            salt: self.payload_salt.as_deref().map(salt).transpose()?,
            field: self.field.clone(),
        }))
    }
}

fn salt(file: &Path) -> Result<PayloadSalt, Failure> {
    let text = files::read(file, SALT_TEXT_BYTES_MAX)?;
    PayloadSalt::from_hex(text.trim()).map_err(|error| {
        Failure::input("BAD_SALT", format!("{}: {error}", file.display())).hint(
            "32 hex digits, as `stateset event sign --keep-salt` and `event show --keep-salt` write them",
        )
    })
}

impl Evidence {
    pub fn payload(&self) -> PlainPayload<'_> {
        PlainPayload { canonical: &self.canonical, salt: self.salt.as_ref() }
    }

    /// The field of an amount that stands in the payload.
    pub fn field(&self) -> Result<FieldDescription, Failure> {
        let key = self.field.as_deref().ok_or_else(|| {
            Failure::input(
                "USAGE",
                "--binding circuit needs --field KEY, the payload's member with the amount",
            )
        })?;
        Ok(FieldDescription::new("amount", key, "amount", "", 0)?)
    }

    /// The amount as the payload holds it.
    pub fn amount(&self, field: &FieldDescription) -> Result<u64, Failure> {
        Ok(minor_units_at_key(&self.canonical, field.path())?)
    }

    /// Whether another member was named than the one of a kept opening.
    pub fn names_another(&self, field: &FieldDescription) -> bool {
        self.field.as_deref().is_some_and(|key| key != field.path())
    }
}
