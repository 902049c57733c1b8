//! What is found of a line of the list.

use std::fmt;

use serde::Serialize;

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The standard is met.
    Holds,
    /// It is not.
    Broken,
    /// It cannot be told here; the evidence says why.
    NotChecked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Broken => "BROKEN",
            Self::NotChecked => "not checked",
        })
    }
}

/// A line: what is checked, by which standard, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Its number in the platform's list.
    pub number: &'static str,
    /// What is checked.
    pub check: &'static str,
    /// What must hold.
    pub standard: &'static str,
    /// Whether it does.
    pub result: Verdict,
    /// By what that was seen.
    pub evidence: String,
}

/// Why a line is not said to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Broken(String),
    NotChecked(String),
}

impl From<String> for Trouble {
    fn from(seen: String) -> Self {
        Self::Broken(seen)
    }
}

impl From<&str> for Trouble {
    fn from(seen: &str) -> Self {
        Self::Broken(seen.to_owned())
    }
}

/// The evidence that a line holds, or what is wrong.
pub(super) type Found = Result<String, Trouble>;

/// A line of the list, before it is judged: its number, what is checked, and the standard.
pub(super) type Entry = (&'static str, &'static str, &'static str);

impl Line {
    pub(super) fn of((number, check, standard): Entry, found: Found) -> Self {
        let (result, evidence) = match found {
            Ok(evidence) => (Verdict::Holds, evidence),
            Err(Trouble::Broken(evidence)) => (Verdict::Broken, evidence),
            Err(Trouble::NotChecked(evidence)) => (Verdict::NotChecked, evidence),
        };
        Self { number, check, standard, result, evidence }
    }
}

/// Fails with what is said, unless it is so.
pub(super) fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise()) }
}
