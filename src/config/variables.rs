//! How variables are read: each is listed with its default and its meaning, and every mistake is kept.

use std::{fmt, path::PathBuf, time::Duration};

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
}

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, list: Vec::new(), mistakes: Vec::new() }
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
