//! The settings as a person, a program and the documentation read them. No secret is in any of these.

use serde::Serialize;

use super::database::without_secrets;
use super::gather::{Gathered, Source};
use super::setting::{Acts, Kind, Setting};
use super::table::{GROUPS, settings};

/// One setting as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub name: &'static str,
    /// `(set)` in place of a secret; `null` where there is neither value nor default.
    pub value: Option<String>,
    pub source: Source,
    pub default: Option<&'static str>,
    pub secret: bool,
    /// Whether this build acts on it; else why not.
    pub acts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<&'static str>,
    pub form: String,
    pub meaning: &'static str,
}

/// Every setting, in the order of the documentation.
pub fn shown(gathered: &Gathered) -> Vec<Shown> {
    settings().map(|setting| one(gathered, setting)).collect()
}

fn one(gathered: &Gathered, setting: &'static Setting) -> Shown {
    let default = Some(setting.default).filter(|default| !default.is_empty());
    let value = gathered.set(setting.name).map(|text| masked(setting, text));
    let (acts, why_not) = match setting.acts {
        Acts::Yes => (true, None),
        Acts::NotYet(why) | Acts::NotNeeded(why) => (false, Some(why)),
    };
    Shown {
        name: setting.name,
        value: value.or_else(|| default.map(str::to_owned)),
        source: gathered.source(setting.name),
        default,
        secret: setting.is_secret,
        acts,
        why_not,
        form: setting.form(),
        meaning: setting.meaning,
    }
}

fn masked(setting: &Setting, text: &str) -> String {
    match setting.is_secret {
        // The place of a database is worth seeing; a path of another URL may be the key itself.
        true if setting.kind == Kind::DatabaseUrl => without_secrets(text),
        true => "(set)".to_owned(),
        false if setting.kind == Kind::Url && text.contains(['@', '?']) => without_secrets(text),
        false => text.to_owned(),
    }
}

/// The same for a person: name, value, source.
pub fn shown_text(gathered: &Gathered) -> String {
    let mut text = String::new();
    for group in GROUPS {
        text.push_str(&format!("{}\n", group.title));
        for setting in group.settings {
            let shown = one(gathered, setting);
            let source = match shown.source {
                Source::Environment => "environment",
                Source::File => "file",
                Source::Default => "default",
            };
            let value = shown.value.as_deref().unwrap_or("-");
            let remark = if shown.acts { "" } else { "  (does nothing in this build)" };
            text.push_str(&format!("  {:<50} {source:<12} {value}{remark}\n", shown.name));
        }
    }
    text
}

/// The table of the operator's book, in Markdown.
pub fn documentation() -> String {
    let mut text = String::new();
    for group in GROUPS {
        text.push_str(&format!(
            "## {}\n\n| Variable | Default | Form | Meaning |\n| --- | --- | --- | --- |\n",
            group.title
        ));
        for setting in group.settings {
            let default = match setting.default {
                "" => "–".to_owned(),
                default => format!("`{default}`"),
            };
            let mut meaning = setting.meaning.to_owned();
            if setting.is_secret {
                meaning.push_str(". Secret");
            }
            match setting.acts {
                Acts::Yes => {}
                Acts::NotYet(what) => meaning.push_str(&format!(". *Does nothing yet: {what}*")),
                Acts::NotNeeded(why) => meaning.push_str(&format!(". *Does nothing: {why}*")),
            }
            text.push_str(&format!("| `{}` | {default} | {} | {meaning} |\n", setting.name, setting.form()));
        }
        text.push('\n');
    }
    text
}
