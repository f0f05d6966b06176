//! Field commitments, suite `kb-p2-1` (section 4.1): a private 64-bit value behind eight field elements.
//!
//! C = first eight elements of Poseidon2(limbs of v, r, capacity), where the capacity stands for the field's name,
//! type, unit and exponent, and r is four random elements. Without r an amount would be found by trying all of them.

use hkdf::Hkdf;
use sha2::Sha256;
use ves::hash::{Domain, Hasher};
use ves::{Digest, EventId};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::decimal::EXPONENT_MAX;
use crate::poseidon2::{self, P, RATE, WIDTH};
use crate::statement::limbs;

/// Longest name, path, type or unit of a field, in bytes.
pub const FIELD_TEXT_BYTES_MAX: usize = 256;
/// Elements of randomness in a commitment.
pub const BLINDING_ELEMENTS: usize = 4;

/// Why a field or a commitment is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    #[error("{member} must be at most {FIELD_TEXT_BYTES_MAX} bytes without control characters")]
    FieldText { member: &'static str },
    #[error("name must not be empty")]
    FieldName,
    #[error(
        "type {0} begins with {RESERVED}, which is kept for the proof system's own hashes; name it otherwise"
    )]
    ReservedType(String),
    #[error("exponent must be at most {EXPONENT_MAX}")]
    Exponent,
    /// Two byte strings must not stand for one commitment.
    #[error("element {place} of the commitment is not below the field's modulus")]
    NotCanonical { place: usize },
    #[error("the randomness of an opening must be {BLINDING_ELEMENTS} elements below the field's modulus")]
    Blinding,
    #[error("the opening does not open the commitment")]
    DoesNotOpen,
}

/// `type` of a field whose text in the payload is a whole number of minor units. Level `circuit` reads no other.
pub const MINOR_UNITS: &str = "amount";
/// `type` of a field whose text in the payload is a decimal amount: the value is that times 10^exponent. Without it
/// 59 could be 59.00 or 0.59, and no dispute could be decided.
pub const DECIMAL: &str = "decimal";

/// How types begin that no field has: hashes of the proof system that are no commitments are told apart from these by them.
pub const RESERVED: &str = "ves.";

/// Which field of a payload is committed, and in which unit. All of it but the path enters the commitment, so
/// 100 JPY and 100.00 USD never share one; the path enters the statement and the agent's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDescription {
    name: String,
    path: String,
    kind: String,
    unit: String,
    exponent: u8,
}

impl FieldDescription {
    /// - `name`: what policies call the value, such as `amount`;
    /// - `path`: where it stands in the payload, such as `total`; may be empty;
    /// - `kind`: the member `type`, which says how the payload's text is read: [`MINOR_UNITS`], [`DECIMAL`], or another
    ///   that agent and readers know, which does not begin with [`RESERVED`];
    /// - `unit`: a currency code such as `USD`; may be empty;
    /// - `exponent`: digits after the point in that unit.
    ///
    /// # Errors
    /// [`CommitmentError::FieldText`], [`CommitmentError::FieldName`], [`CommitmentError::ReservedType`],
    /// [`CommitmentError::Exponent`].
    pub fn new(
        name: &str,
        path: &str,
        kind: &str,
        unit: &str,
        exponent: u8,
    ) -> Result<Self, CommitmentError> {
        for (member, text) in [("name", name), ("path", path), ("type", kind), ("unit", unit)] {
            if text.len() > FIELD_TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(CommitmentError::FieldText { member });
            }
        }
        if name.is_empty() {
            return Err(CommitmentError::FieldName);
        }
        if kind.starts_with(RESERVED) {
            return Err(CommitmentError::ReservedType(kind.to_owned()));
        }
        if exponent > EXPONENT_MAX {
            return Err(CommitmentError::Exponent);
        }
        let [name, path, kind, unit] = [name, path, kind, unit].map(str::to_owned);
        Ok(Self { name, path, kind, unit, exponent })
    }

    /// What stands in a hash of the proof system where a field's description stands in a commitment.
    pub(crate) fn of_the_system(name: &str, kind: &str) -> Self {
        assert!(kind.starts_with(RESERVED), "{kind} could be the type of a field");
        Self {
            name: name.to_owned(),
            path: String::new(),
            kind: kind.to_owned(),
            unit: String::new(),
            exponent: 0,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn path(&self) -> &str {
        &self.path
    }
    /// The member `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }
    pub fn unit(&self) -> &str {
        &self.unit
    }
    pub fn exponent(&self) -> u8 {
        self.exponent
    }

    /// Whether the number counts something: a currency is named, or digits after a point.
    pub fn has_unit(&self) -> bool {
        !self.unit.is_empty() || self.exponent != 0
    }

    /// The capacity part of the first sponge state: eight elements from a hash of the description, by rejection.
    pub fn capacity(&self) -> [u32; WIDTH - RATE] {
        let mut capacity = [0; WIDTH - RATE];
        let mut found = 0;
        for counter in 0u32.. {
            for word in self.capacity_digest(counter).0.chunks_exact(4) {
                let word = u32::from_be_bytes([word[0], word[1], word[2], word[3]]) & 0x7fff_ffff;
                if word < P && found < capacity.len() {
                    capacity[found] = word;
                    found += 1;
                }
            }
            if found == capacity.len() {
                break;
            }
        }
        capacity
    }

    fn capacity_digest(&self, counter: u32) -> Digest {
        Hasher::new(Domain::FieldCommitment)
            .str(&self.name)
            .str(&self.kind)
            .str(&self.unit)
            .u8(self.exponent)
            .u32(counter)
            .finish()
    }
}

/// A commitment: eight canonical field elements, each as four little-endian bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldCommitment([u8; 32]);

impl FieldCommitment {
    /// # Errors
    /// [`CommitmentError::NotCanonical`] for an element that is not below the modulus.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, CommitmentError> {
        let commitment = Self(bytes);
        match commitment.elements().iter().position(|element| *element >= P) {
            Some(place) => Err(CommitmentError::NotCanonical { place }),
            None => Ok(commitment),
        }
    }

    /// The commitment of these elements.
    ///
    /// # Errors
    /// [`CommitmentError::NotCanonical`].
    pub fn from_elements(elements: [u32; RATE]) -> Result<Self, CommitmentError> {
        Self::from_bytes(bytes_of(&elements))
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn elements(&self) -> [u32; RATE] {
        elements_of(&self.0)
    }
}

fn bytes_of<const E: usize, const B: usize>(elements: &[u32; E]) -> [u8; B] {
    const { assert!(B == E * 4) };
    std::array::from_fn(|byte| elements[byte / 4].to_le_bytes()[byte % 4])
}

fn elements_of<const E: usize, const B: usize>(bytes: &[u8; B]) -> [u32; E] {
    const { assert!(B == E * 4) };
    std::array::from_fn(|place| u32::from_le_bytes(std::array::from_fn(|byte| bytes[place * 4 + byte])))
}

/// A committed field as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedField {
    pub field: FieldDescription,
    pub commitment: FieldCommitment,
}

/// What opens a commitment: the value and its randomness. Both are secret; erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Opening {
    value: u64,
    blinding: [u32; BLINDING_ELEMENTS],
}

impl Opening {
    /// Draws the randomness of one commitment from `fill`, which must fill its buffer from the operating system's
    /// generator. Never to be used for two events.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn draw<E>(value: u64, mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut blinding = [0; BLINDING_ELEMENTS];
        for element in &mut blinding {
            let mut bytes = Zeroizing::new([0; 4]);
            *element = loop {
                fill(&mut *bytes)?;
                let word = u32::from_le_bytes(*bytes) & 0x7fff_ffff;
                if word < P {
                    break word;
                }
            };
        }
        Ok(Self { value, blinding })
    }

    /// The randomness that an agent can find again from its secret: HKDF-SHA-256 over the secret, the event's id and
    /// the field's name. One event and name must not get two values.
    pub fn derive(value: u64, agent_secret: &[u8; 32], event: &EventId, name: &str) -> Self {
        // Of 64 words four are below the modulus but for a chance of less than 2^-400.
        let mut stream = Zeroizing::new([0; 256]);
        Hkdf::<Sha256>::new(Some(event.as_bytes()), agent_secret)
            .expand_multi_info(&[b"VES_FIELD_OPENING_V1", name.as_bytes()], &mut *stream)
            .expect("256 bytes are within the bound of HKDF");
        let words =
            stream.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let mut elements = words.map(|word| word & 0x7fff_ffff).filter(|word| *word < P);
        let blinding = std::array::from_fn(|_| elements.next().expect("64 words hold four elements"));
        Self { value, blinding }
    }

    /// The opening of a known value and randomness.
    ///
    /// # Errors
    /// [`CommitmentError::Blinding`] for an element that is not below the modulus.
    pub fn new(value: u64, blinding: [u32; BLINDING_ELEMENTS]) -> Result<Self, CommitmentError> {
        match blinding.iter().all(|element| *element < P) {
            true => Ok(Self { value, blinding }),
            false => Err(CommitmentError::Blinding),
        }
    }

    /// The randomness from its 16 bytes, each element little endian, as an opening file holds it.
    ///
    /// # Errors
    /// [`CommitmentError::Blinding`].
    pub fn from_bytes(value: u64, blinding: &[u8; 16]) -> Result<Self, CommitmentError> {
        Self::new(value, elements_of(blinding))
    }

    /// Secret.
    pub const fn value(&self) -> u64 {
        self.value
    }
    /// Secret.
    pub const fn blinding(&self) -> &[u32; BLINDING_ELEMENTS] {
        &self.blinding
    }
    /// Secret.
    pub fn blinding_bytes(&self) -> Zeroizing<[u8; 16]> {
        Zeroizing::new(bytes_of(&self.blinding))
    }

    /// The first sponge state: limbs of the value, randomness, capacity. Secret.
    pub fn first_state(&self, field: &FieldDescription) -> Zeroizing<[u32; WIDTH]> {
        let (limbs, capacity) = (limbs(self.value), field.capacity());
        Zeroizing::new(std::array::from_fn(|place| match place {
            0..4 => limbs[place],
            4..8 => self.blinding[place - 4],
            _ => capacity[place - RATE],
        }))
    }

    /// The commitment that this opens.
    pub fn commit(&self, field: &FieldDescription) -> FieldCommitment {
        let mut state = self.first_state(field);
        poseidon2::permute(&mut state);
        FieldCommitment(bytes_of::<RATE, 32>(&std::array::from_fn(|place| state[place])))
    }

    /// # Errors
    /// [`CommitmentError::DoesNotOpen`].
    pub fn check(&self, committed: &CommittedField) -> Result<(), CommitmentError> {
        match self.commit(&committed.field) == committed.commitment {
            true => Ok(()),
            false => Err(CommitmentError::DoesNotOpen),
        }
    }
}

#[cfg(test)]
mod tests;
