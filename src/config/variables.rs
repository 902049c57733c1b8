//! How variables are read: each is listed with its default and its meaning, and every mistake is kept.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use super::secret_file;

/// A variable, for the list in `crm serve --help`.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value where none is set; empty where there is none.
    pub default: String,
    /// What it does.
    pub meaning: &'static str,
}

/// Everything that is wrong with the environment, a line each.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment is not valid:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// Reads variables, and collects the list of them and the mistakes.
pub(super) struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    list: Vec<Variable>,
    mistakes: Vec<String>,
    warnings: Vec<String>,
}

/// A variable that holds a secret, and the one that names a file with it: `NAME` and `NAME_FILE`.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecretName {
    pub(super) name: &'static str,
    pub(super) file: &'static str,
}

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, list: Vec::new(), mistakes: Vec::new(), warnings: Vec::new() }
    }

    /// The value of a variable, or of its default. `None` after a mistake, which is kept.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.list.push(Variable { name, default: default.to_owned(), meaning });
        let text = self.set(name).unwrap_or_else(|| default.to_owned());
        self.parsed(name, &text, parse)
    }

    /// The value of a variable without a default. `None` where it is not set, and after a mistake.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.list.push(Variable { name, default: String::new(), meaning });
        self.set(name).and_then(|text| self.parsed(name, &text, parse))
    }

    /// The value of a secret without a default, from its variable or from the file that the other one names. `None` where
    /// neither is set, and after a mistake.
    pub(super) fn secret<T>(
        &mut self,
        of: SecretName,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.list_secret(of, String::new(), meaning);
        let (name, text) = self.secret_text(of)?;
        self.parsed(name, &text, parse)
    }

    /// The value of a secret, or of its default. `None` after a mistake.
    pub(super) fn secret_or<T>(
        &mut self,
        of: SecretName,
        default: &str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.list_secret(of, default.to_owned(), meaning);
        if !self.is_secret_set(of) {
            return self.parsed(of.name, default, parse);
        }
        let (name, text) = self.secret_text(of)?;
        self.parsed(name, &text, parse)
    }

    /// Whether a secret is set, in one way or the other.
    pub(super) fn is_secret_set(&self, of: SecretName) -> bool {
        self.is_set(of.name) || self.is_set(of.file)
    }

    fn list_secret(&mut self, of: SecretName, default: String, meaning: &'static str) {
        self.list.push(Variable { name: of.name, default, meaning });
        let meaning = "file with it, which nobody else may read or write (chmod 600)";
        self.list.push(Variable { name: of.file, default: String::new(), meaning });
    }

    /// What a secret's variable or file holds, and which of the two it was. A line feed at the end belongs to the editor or
    /// the shell, never to the secret.
    fn secret_text(&mut self, SecretName { name, file }: SecretName) -> Option<(&'static str, Zeroizing<String>)> {
        let text = match (self.set(name).map(Zeroizing::new), self.set(file)) {
            (Some(_), Some(_)) => {
                self.mistakes.push(format!("{name}, {file}: set one of the two, not both"));
                return None;
            }
            (None, None) => return None,
            (Some(text), None) => {
                if text.ends_with('\n') {
                    self.warnings.push(format!("{name}: the line feed at its end was left out"));
                }
                (name, text)
            }
            (None, Some(path)) => match secret_file::read(Path::new(&path)) {
                Ok(text) => (file, text),
                Err(error) => {
                    self.mistakes.push(format!("{file}: {error}"));
                    return None;
                }
            },
        };
        let (name, text) = text;
        let text = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        match text.is_empty() {
            true => {
                self.mistakes.push(format!("{name}: holds nothing"));
                None
            }
            false => Some((name, text)),
        }
    }

    /// What does not keep the service from starting, but should be looked at.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Whether a variable is set. An empty one counts as not set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.set(name).is_some()
    }

    /// Keeps a mistake that lies in several variables together.
    pub(super) fn mistake(&mut self, mistake: &str) {
        self.mistakes.push(mistake.to_owned());
    }

    /// What was read, unless there were mistakes; and the list of the variables.
    pub(super) fn finish<T>(self, read: Option<T>) -> (Result<T, Mistakes>, Vec<Variable>) {
        match read {
            Some(read) if self.mistakes.is_empty() => (Ok(read), self.list),
            _ => (Err(Mistakes(self.mistakes)), self.list),
        }
    }

    fn set(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.is_empty())
    }

    fn parsed<T>(&mut self, name: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(text).map_err(|mistake| self.mistakes.push(format!("{name}: {mistake}"))).ok()
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

pub(super) fn duration(text: &str, max: Duration) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= max => Ok(duration),
        _ => Err(format!("must be a time like 5s, at most {}", humantime::format_duration(max))),
    }
}
