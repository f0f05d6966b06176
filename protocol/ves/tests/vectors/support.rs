//! Reading vector entries: members by name, panicking with the member's name when one is missing or malformed.
//! The harness catches the panic and adds section and entry.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use ves::{Digest, StreamKey, TenantId};

/// The sections of a file.
pub type File<'a> = BTreeMap<String, &'a RawValue>;

/// One object of a section. A section that is itself an object is one entry.
pub struct Entry<'a> {
    file: &'a File<'a>,
    label: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl<'a> Entry<'a> {
    /// The entries of a section; one without a `name` is called by its index.
    pub fn all(file: &'a File<'a>, section: &str, content: &'a str) -> Vec<Self> {
        if !content.starts_with('[') {
            let members = serde_json::from_str(content).expect("an object");
            return vec![Self { file, label: section.to_owned(), members }];
        }
        let items: Vec<BTreeMap<String, &RawValue>> =
            serde_json::from_str(content).expect("a list of objects");
        let named = |(index, members): (usize, BTreeMap<String, &'a RawValue>)| {
            let name = members.get("name").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
            let label = format!("{section}/{}", name.unwrap_or_else(|| index.to_string()));
            Self { file, label, members }
        };
        items.into_iter().enumerate().map(named).collect()
    }

    /// Another section of the file, which must be one object.
    pub fn section(&self, name: &str) -> Self {
        let content = self.file.get(name).unwrap_or_else(|| panic!("section {name} is missing")).get();
        Self::all(self.file, name, content).remove(0)
    }

    pub fn name(&self) -> &str {
        self.label.rsplit('/').next().unwrap_or_default()
    }

    pub fn has(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    /// The exact JSON text of a member.
    pub fn json(&self, member: &str) -> &'a str {
        self.members.get(member).unwrap_or_else(|| panic!("{member} is missing")).get()
    }

    pub fn get<T: DeserializeOwned>(&self, member: &str) -> T {
        serde_json::from_str(self.json(member)).unwrap_or_else(|error| panic!("{member}: {error}"))
    }

    /// The entries of a nested list.
    pub fn list(&self, member: &str) -> Vec<Entry<'a>> {
        Self::all(self.file, &format!("{}/{member}", self.label), self.json(member))
    }

    pub fn text(&self, member: &str) -> String {
        self.get(member)
    }

    /// A member whose text form is a string.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, member: &str) -> T {
        self.text(member).parse().unwrap_or_else(|error| panic!("{member}: {error}"))
    }

    pub fn digest(&self, member: &str) -> Digest {
        self.parsed(member)
    }

    pub fn bytes<const N: usize>(&self, member: &str) -> [u8; N] {
        ves::hex::decode_lenient(&self.text(member)).unwrap_or_else(|error| panic!("{member}: {error}"))
    }

    pub fn hex(&self, member: &str) -> Vec<u8> {
        ves::hex::decode_vec(&self.text(member)).unwrap_or_else(|error| panic!("{member}: {error}"))
    }

    /// A u64 written as a number or, beyond 2^53, as a string.
    pub fn u64(&self, member: &str) -> u64 {
        self.json(member).trim_matches('"').parse().unwrap_or_else(|error| panic!("{member}: {error}"))
    }

    pub fn stream(&self) -> StreamKey {
        StreamKey { tenant_id: TenantId(self.get("tenant_id")), store_id: self.get("store_id") }
    }
}
