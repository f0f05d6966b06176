//! The texts of the settings: environment over file over default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use zeroize::Zeroizing;

use super::Problem;
use super::nearest::{nearest, resembles};
use super::setting::{Kind, Setting};
use super::table::{OF_GRPC, OF_OTHERS, PREFIXES, setting, settings};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Environment,
    File,
    Default,
}

struct Value {
    text: Zeroizing<String>,
    source: Source,
}

/// What was set, and what looks as if it was meant to be.
#[derive(Default)]
pub struct Gathered {
    values: BTreeMap<&'static str, Value>,
    /// Variables that look like ours and are none.
    pub warnings: Vec<String>,
}

impl Gathered {
    /// Reads the environment, and a file in TOML where one is given. A variable without text counts as not set.
    ///
    /// # Errors
    /// Every key of the file that is unknown or of a wrong form, every known variable that is not UTF-8.
    pub fn read(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        file: Option<(&Path, &str)>,
    ) -> Result<Self, Vec<Problem>> {
        let (mut gathered, mut problems) = (Self::default(), Vec::new());
        if let Some((path, text)) = file {
            gathered.read_file(path, text, &mut problems);
        }
        for (name, text) in environment {
            let Some(name) = name.to_str() else { continue };
            let Some(setting) = setting(name) else {
                gathered.warnings.extend(suspicious(name));
                continue;
            };
            match text.into_string() {
                Ok(text) if text.is_empty() => {}
                Ok(text) => gathered.put(setting, text, Source::Environment),
                Err(_) => problems.push(Problem::new(setting.name, "it is not UTF-8; set it again as text")),
            }
        }
        gathered.warnings.sort();
        if problems.is_empty() { Ok(gathered) } else { Err(problems) }
    }

    fn read_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                // The parser's own words quote the line, which may hold a secret.
                let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
                let message = format!("line {line} is not TOML: {}", error.message());
                return problems.push(Problem::new(&path.display().to_string(), &message));
            }
        };
        for (key, value) in table {
            let known = setting(&key.to_ascii_uppercase()).filter(|_| key == key.to_ascii_lowercase());
            match known {
                None => {
                    let message = match nearest(&key.to_ascii_uppercase(), settings().map(|s| s.name)) {
                        Some(near) => {
                            format!("there is no setting {key}; did you mean {}?", near.to_ascii_lowercase())
                        }
                        None => format!("there is no setting {key}; `config` lists them"),
                    };
                    problems.push(Problem::new(&path.display().to_string(), &message));
                }
                Some(setting) => match plain(setting, value) {
                    Ok(text) if text.is_empty() => {}
                    Ok(text) => self.put(setting, text, Source::File),
                    Err(found) => {
                        let message =
                            format!("it is {found} in {}; expected {}", path.display(), setting.form());
                        problems.push(Problem::new(setting.name, &message));
                    }
                },
            }
        }
    }

    fn put(&mut self, setting: &'static Setting, text: String, source: Source) {
        self.values.insert(setting.name, Value { text: text.into(), source });
    }

    /// What was set; `None` where nothing was.
    pub fn set(&self, name: &str) -> Option<&str> {
        debug_assert!(setting(name).is_some(), "{name} is not in the table");
        self.values.get(name).map(|value| value.text.as_str())
    }

    /// What was set, else the default.
    pub fn text(&self, name: &str) -> &str {
        self.set(name).unwrap_or_else(|| setting(name).map_or("", |setting| setting.default))
    }

    pub fn source(&self, name: &str) -> Source {
        self.values.get(name).map_or(Source::Default, |value| value.source)
    }

    /// `None` where nothing was set and the default is made of something else.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name).trim().parse().ok()
    }

    pub fn is_true(&self, name: &str) -> bool {
        read_bool(self.text(name)) == Some(true)
    }

    /// The parts of a list, without the blanks around them.
    pub fn list(&self, name: &str) -> Vec<String> {
        let parts = self.text(name).split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

/// A value of a file as the text that a variable would have; `Err` names what it is.
fn plain(setting: &Setting, value: toml::Value) -> Result<String, &'static str> {
    let is_list = matches!(setting.kind, Kind::List | Kind::Networks | Kind::Bytes32List);
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(value) => Ok(value.to_string()),
        toml::Value::Array(parts) if is_list => {
            let parts = parts.into_iter().map(|part| match part {
                toml::Value::String(text) if !text.contains(',') => Ok(text),
                _ => Err("a list of something else than texts"),
            });
            Ok(parts.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        toml::Value::Array(_) => Err("a list"),
        toml::Value::Table(_) => Err("a table"),
        toml::Value::Datetime(_) => Err("a time"),
    }
}

/// The common spellings.
pub fn read_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// What to say of an unknown variable that looks like ours.
fn suspicious(name: &str) -> Option<String> {
    if OF_OTHERS.contains(&name) || OF_GRPC.contains(&name) {
        return None;
    }
    let near = nearest(name, settings().map(|setting| setting.name));
    let looks_ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    match near.filter(|near| looks_ours || resembles(name, near)) {
        Some(near) => Some(format!("the variable {name} is not known; did you mean {near}?")),
        None if looks_ours => Some(format!("the variable {name} is not known and does nothing")),
        None => None,
    }
}
