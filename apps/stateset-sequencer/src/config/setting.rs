//! What one setting is: its name, its default, how its text is read, and whether this build acts on it.

/// How the text of a setting is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bool,
    /// A whole number between two bounds, both included.
    Number(u64, u64),
    /// A number between 0 and 1.
    Ratio,
    /// One of these words.
    Word(&'static [&'static str]),
    Uuid,
    /// 32 bytes in hexadecimal or base64.
    Bytes32,
    /// Several of [`Kind::Bytes32`], separated by commas.
    Bytes32List,
    /// Addresses and networks, separated by commas.
    Networks,
    /// Values separated by commas.
    List,
    Url,
    /// The URL of a database.
    DatabaseUrl,
}

/// What this build does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    Yes,
    /// Known and checked; its feature is not in this build. What it would do.
    NotYet(&'static str),
    /// Known and checked; nothing here needs it. Why not.
    NotNeeded(&'static str),
}

/// One setting. Its name is that of the environment variable; in a file it is written in lower case.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    /// In the words of the documentation; empty where there is none.
    pub default: &'static str,
    pub kind: Kind,
    pub is_secret: bool,
    pub acts: Acts,
    pub meaning: &'static str,
}

impl Setting {
    pub(super) const fn new(
        name: &'static str,
        default: &'static str,
        kind: Kind,
        meaning: &'static str,
    ) -> Self {
        Self { name, default, kind, is_secret: false, acts: Acts::Yes, meaning }
    }

    /// Its value is never shown.
    pub(super) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    pub(super) const fn not_yet(mut self, what: &'static str) -> Self {
        self.acts = Acts::NotYet(what);
        self
    }

    pub(super) const fn not_needed(mut self, why: &'static str) -> Self {
        self.acts = Acts::NotNeeded(why);
        self
    }

    /// What its values look like, for a person.
    pub fn form(&self) -> String {
        match self.kind {
            Kind::Text => "text".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Number(min, u64::MAX) => format!("a whole number from {min}"),
            Kind::Number(min, max) => format!("a whole number from {min} to {max}"),
            Kind::Ratio => "a number from 0 to 1".to_owned(),
            Kind::Word(words) => words.join(", "),
            Kind::Uuid => "a UUID".to_owned(),
            Kind::Bytes32 => "32 bytes in hexadecimal or base64".to_owned(),
            Kind::Bytes32List => "32 bytes in hexadecimal or base64, several separated by commas".to_owned(),
            Kind::Networks => "addresses and networks separated by commas, such as 10.0.0.0/8".to_owned(),
            Kind::List => "values separated by commas".to_owned(),
            Kind::Url => "a URL".to_owned(),
            Kind::DatabaseUrl => "sqlite://PATH or postgres://USER@HOST/DATABASE".to_owned(),
        }
    }
}

/// Settings about one thing.
pub struct Group {
    pub title: &'static str,
    pub settings: &'static [Setting],
}
