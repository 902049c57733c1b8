//! What differs between two contracts, and what that means for those who use the older one.

use std::fmt;

use serde::Serialize;

/// What a difference means for clients of the older contract. What is worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Only what people read differs: the patch version rises.
    Documentation,
    /// Clients of the older contract go on working: the minor version rises.
    Compatible,
    /// Some client of the older contract stops working, or its code stops compiling against newly generated code.
    Breaking,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Documentation => "documentation",
            Self::Compatible => "compatible",
            Self::Breaking => "breaking",
        })
    }
}

/// The word for all differences together. What is worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The documents say the same, however they are written.
    Identical,
    /// Clients of the older contract go on working.
    Compatible,
    /// Some client of the older contract stops working.
    Breaking,
    /// A running service serves another contract than this program emits.
    Untruthful,
}

impl Verdict {
    /// The verdict on a list of differences.
    #[must_use]
    pub fn on(differences: &[Difference]) -> Self {
        match differences.iter().map(|difference| difference.effect).max() {
            None => Self::Identical,
            Some(Effect::Documentation | Effect::Compatible) => Self::Compatible,
            Some(Effect::Breaking) => Self::Breaking,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identical => "identical",
            Self::Compatible => "compatible",
            Self::Breaking => "breaking",
            Self::Untruthful => "untruthful",
        })
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The operations that it concerns, such as `GET /contacts`; empty where it concerns the document.
    pub operations: Vec<String>,
    /// Where in them it is, such as `200 reply: data[].name`; empty where it concerns all of the operation.
    pub field: String,
    /// What it means for clients.
    pub effect: Effect,
    /// What differs, in a sentence.
    pub reason: String,
    /// JSON pointers to the place in the older and in the newer document.
    #[serde(skip)]
    pub(super) pointers: (String, String),
}

impl Difference {
    /// What is left where documents differ and no rule saw how.
    pub(super) fn unknown() -> Self {
        Self {
            operations: Vec::new(),
            field: String::new(),
            effect: Effect::Breaking,
            reason: "the documents differ where no rule looks".to_owned(),
            pointers: Default::default(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operations.as_slice() {
            [] => f.write_str("the document")?,
            [one] => f.write_str(one)?,
            [first, rest @ ..] => write!(f, "{first} and {} more", rest.len())?,
        }
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {} ({})", self.reason, self.effect)
    }
}

/// Who sends what a schema describes: the rules for what may change are opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Clients send it: whatever they may send today stays accepted.
    Request,
    /// Clients receive it: whatever they rely on today stays there.
    Reply,
}

impl Direction {
    /// The opposite one.
    pub fn turned(self) -> Self {
        match self {
            Self::Request => Self::Reply,
            Self::Reply => Self::Request,
        }
    }
}

/// A place in both documents.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The operation; empty for the document.
    pub operation: String,
    /// The readable place in the operation.
    pub field: String,
    /// JSON pointers, each beginning with `#`.
    pub old: String,
    pub new: String,
}

impl Place {
    /// A place with the same address in both documents.
    pub fn new(operation: &str, pointer: &str) -> Self {
        Self { operation: operation.to_owned(), field: String::new(), old: pointer.to_owned(), new: pointer.to_owned() }
    }

    /// The place below a key.
    pub fn at(&self, key: &str) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        Self { old: format!("{}/{key}", self.old), new: format!("{}/{key}", self.new), ..self.clone() }
    }

    /// The same place at other addresses: where references lead.
    pub fn moved(&self, old: &str, new: &str) -> Self {
        Self { old: old.to_owned(), new: new.to_owned(), ..self.clone() }
    }

    /// The same place under a readable name.
    pub fn titled(&self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self.clone() }
    }

    /// The place of a field of what is here.
    pub fn field(&self, name: &str) -> Self {
        let separator = if self.field.is_empty() || self.field.ends_with(' ') { "" } else { "." };
        self.titled(format!("{}{separator}{name}", self.field))
    }
}
