//! What is found of one thing.

use std::fmt;

/// How wide the column of what is looked at is.
const WIDTH: usize = 12;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Well,
    /// To be looked at; the service works.
    Noticed,
    /// The service does not work, or will not for long.
    Failed,
}

/// What is found of one thing, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub state: State,
    /// What was looked at.
    pub what: &'static str,
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    pub fn well(what: &'static str, found: impl Into<String>) -> Self {
        Self { state: State::Well, what, found: found.into(), advice: String::new() }
    }

    pub fn noticed(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Noticed, what, found: found.into(), advice: advice.into() }
    }

    pub fn failed(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Failed, what, found: found.into(), advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Well => "ok  ",
            State::Noticed => "look",
            State::Failed => "FAIL",
        };
        write!(f, "{state}  {:WIDTH$}  {}", self.what, self.found)?;
        if !self.advice.is_empty() {
            write!(f, "\n      {:WIDTH$}  -> {}", "", self.advice)?;
        }
        Ok(())
    }
}
