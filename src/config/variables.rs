//! How variables are read: each is listed with its default, its meaning and what holds, and every mistake is kept.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{secret::Masked, secret_file};

/// A variable, for the lists of them.
#[derive(Debug, Clone)]
pub struct Variable {
    /// What it is about, with others of the same task: a heading.
    pub task: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value where none is set; empty where there is none.
    pub default: String,
    /// What it does, in Markdown.
    pub meaning: &'static str,
    /// What holds, as far as it may be shown; `None` where nothing does, and after a mistake.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: Source,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It is not set, and there is no default.
    NotSet,
    /// It is not set.
    Default,
    /// It is not set, and its default comes from this variable.
    Variable(&'static str),
    /// The environment.
    Environment,
    /// The file that another variable names.
    File(PathBuf),
    /// It is not set; then the service makes this file at its first start.
    Made(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet => f.write_str("not set"),
            Self::Default => f.write_str("default"),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Made(path) => write!(f, "file {}, made at the first start", path.display()),
        }
    }
}

/// Everything that is wrong with the environment, a line each.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// Adds what is no mistake by itself, but may be why there is one: a name that nobody knows.
    pub(super) fn add(&mut self, warnings: Vec<String>) {
        self.0.extend(warnings);
    }
}

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
    task: &'static str,
    list: Vec<Variable>,
    mistakes: Vec<String>,
    warnings: Vec<String>,
    /// Set, but counted as not set.
    ignored: Vec<&'static str>,
}

/// A variable that holds a secret, and the one that names a file with it: `NAME` and `NAME_FILE`.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecretName {
    pub(super) name: &'static str,
    pub(super) file: &'static str,
}

/// A secret as it was read: the variable it stands in or that names its file, itself, and where it comes from.
struct SecretText {
    name: &'static str,
    text: Zeroizing<String>,
    source: Source,
}

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let (list, mistakes, warnings, ignored) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { lookup, task: "", list, mistakes, warnings, ignored }
    }

    /// What the variables that are read from here on are about.
    pub(super) fn about(&mut self, task: &'static str) {
        self.task = task;
    }

    /// The value of a variable, or of its default. `None` after a mistake, which is kept.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let set = self.set(name);
        let source = if set.is_some() { Source::Environment } else { Source::Default };
        let text = set.unwrap_or_else(|| default.to_owned());
        let parsed = self.parsed(name, &text, parse);
        let value = parsed.is_some().then_some(text);
        self.list.push(Variable { task: self.task, name, default: default.to_owned(), meaning, value, source });
        parsed
    }

    /// The value of a variable that is not this service's own: one that is not understood is a warning, and the default holds,
    /// where that is not empty.
    pub(super) fn lenient<T>(
        &mut self,
        name: &'static str,
        default: &str,
        meaning: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let set = self.set(name);
        let understood = set.as_deref().map(&parse).transpose().unwrap_or_else(|mistake| {
            self.warnings.push(format!("{name}: {mistake}"));
            None
        });
        let (value, source) = match (&understood, set, default) {
            (Some(_), set, _) => (set, Source::Environment),
            (None, _, "") => (None, Source::NotSet),
            (None, _, default) => (Some(default.to_owned()), Source::Default),
        };
        self.list.push(Variable { task: self.task, name, default: default.to_owned(), meaning, value, source });
        understood.or_else(|| if default.is_empty() { None } else { parse(default).ok() })
    }

    /// Says that the default of the variable read last comes from this one.
    pub(super) fn default_from(&mut self, name: &'static str) {
        if let Some(variable) = self.list.last_mut().filter(|variable| variable.source == Source::Default) {
            variable.source = Source::Variable(name);
        }
    }

    /// Says that this secret, where it is not set, is in a file that the service makes.
    pub(super) fn made_in(&mut self, name: &str, file: PathBuf) {
        for variable in self.list.iter_mut().filter(|variable| variable.name == name) {
            (variable.value, variable.source) = (Some("***".to_owned()), Source::Made(file.clone()));
        }
    }

    /// The value of a variable without a default. `None` where it is not set, and after a mistake.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let set = self.set(name);
        let source = if set.is_some() { Source::Environment } else { Source::NotSet };
        let parsed = set.as_ref().and_then(|text| self.parsed(name, text, parse));
        let value = set.filter(|_| parsed.is_some());
        self.list.push(Variable { task: self.task, name, default: String::new(), meaning, value, source });
        parsed
    }

    /// The value of a secret without a default, from its variable or from the file that the other one names. `None` where
    /// neither is set, and after a mistake.
    pub(super) fn secret<T: Masked>(
        &mut self,
        of: SecretName,
        (meaning, meaning_of_file): (&'static str, &'static str),
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.secret_or(of, "", (meaning, meaning_of_file), parse)
    }

    /// The value of a secret, or of its default, where that is not empty. `None` after a mistake.
    pub(super) fn secret_or<T: Masked>(
        &mut self,
        of: SecretName,
        default: &str,
        (meaning, meaning_of_file): (&'static str, &'static str),
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (parsed, source) = match self.is_secret_set(of) {
            false if default.is_empty() => (None, Source::NotSet),
            false => (self.parsed(of.name, default, parse), Source::Default),
            true => match self.secret_text(of) {
                Some(SecretText { name, text, source }) => (self.parsed(name, &text, parse), source),
                None => (None, Source::Environment),
            },
        };
        let (task, value, file) = (self.task, parsed.as_ref().map(Masked::masked), self.set(of.file));
        self.list.push(Variable { task, name: of.name, default: default.to_owned(), meaning, value, source });
        let source = if file.is_some() { Source::Environment } else { Source::NotSet };
        let (default, meaning) = (String::new(), meaning_of_file);
        self.list.push(Variable { task, name: of.file, default, meaning, value: file, source });
        parsed
    }

    /// Whether a secret is set, in one way or the other.
    pub(super) fn is_secret_set(&self, of: SecretName) -> bool {
        self.is_set(of.name) || self.is_set(of.file)
    }

    /// What a secret's variable or file holds. A line feed at the end belongs to the editor or the shell, never to the secret.
    fn secret_text(&mut self, SecretName { name, file }: SecretName) -> Option<SecretText> {
        let (name, text, source) = match (self.set(name).map(Zeroizing::new), self.set(file)) {
            (Some(_), Some(_)) => {
                self.mistakes.push(format!("{name}, {file}: set one of the two, not both"));
                return None;
            }
            (None, None) => return None,
            (Some(text), None) => {
                if text.ends_with('\n') {
                    self.warnings.push(format!("{name}: the line feed at its end was left out"));
                }
                (name, text, Source::Environment)
            }
            (None, Some(path)) => match secret_file::read(Path::new(&path)) {
                Ok(text) => (file, text, Source::File(PathBuf::from(path))),
                Err(error) => {
                    self.mistakes.push(format!("{file}: {error}"));
                    return None;
                }
            },
        };
        let text = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        match text.is_empty() {
            true => {
                self.mistakes.push(format!("{name}: holds nothing"));
                None
            }
            false => Some(SecretText { name, text, source }),
        }
    }

    /// Counts a variable as not set where its value is none that anybody meant for this service, and warns of that.
    pub(super) fn ignore_if(&mut self, name: &'static str, is_foreign: impl FnOnce(&str) -> bool, why: &str) {
        if self.set(name).is_some_and(|text| is_foreign(&text)) {
            self.ignored.push(name);
            self.warnings.push(format!("{name}: {why}"));
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
        (self.lookup)(name).filter(|text| !text.is_empty() && !self.ignored.contains(&name))
    }

    fn parsed<T>(&mut self, name: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(text).map_err(|mistake| self.mistakes.push(format!("{name}: {mistake}"))).ok()
    }
}

/// What every variable is for that names the file of a secret.
pub(super) const FILE: &str = "file with it";

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
