//! Validated strings: [`Text<R>`] is a trimmed string that satisfies the rule `R`.

use std::{borrow::Cow, fmt, marker::PhantomData};

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup},
};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// Nothing, or the rule that a text violates, as a message.
pub type Verdict = Result<(), &'static str>;

/// What a string field accepts. Lengths are in Unicode scalar values, of the [clean](Self::clean) text.
pub trait TextRule: Send + Sync + 'static {
    /// The type's name.
    const NAME: &'static str;
    /// Minimum length.
    const MIN: usize;
    /// Maximum length.
    const MAX: usize;
    /// A regular expression for the contract that every accepted text matches. It may match more: what no expression of all
    /// common engines can say, the contract says in words. Code points are written as `\xHH` below 0x80 and not at all from
    /// there on, because no other notation is common to PCRE, RE2, Java, Python, ECMA-262 and Rust.
    const PATTERN: &'static str;
    /// The rule as a message: "must be …".
    const EXPECTED: &'static str;
    /// A valid value.
    const EXAMPLE: &'static str;

    /// The text as it is judged and stored: trimmed, unless the rule says more.
    #[must_use]
    fn clean(text: &str) -> Cow<'_, str> {
        Cow::Borrowed(text.trim())
    }

    /// Judges clean text of valid length.
    ///
    /// # Errors
    /// The rule that it violates, as a message.
    fn check(text: &str) -> Verdict;
}

/// A single line without spaces at its ends. Wider than [`check_line`].
pub const LINE: &str = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$";

/// One or more lines: like [`LINE`], with line feed, carriage return and tab allowed inside.
pub const LINES: &str = r"^[^\x00-\x20\x7f]([^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*[^\x00-\x20\x7f])?$";

/// What is said of a text in which nothing can be seen.
pub const BLANK: &str = "must contain a visible character";

/// Code points that Unicode counts among letters and symbols, and whose glyph is empty: the blank of Braille, the null note
/// head, the blanks of Egyptian hieroglyphs.
const EMPTY_GLYPHS: [char; 4] = ['\u{2800}', '\u{1d159}', '\u{13441}', '\u{13442}'];
/// The categories of characters that nothing can be seen of by themselves.
const BLANK_CATEGORIES: GeneralCategoryGroup =
    GeneralCategoryGroup::Separator.union(GeneralCategoryGroup::Mark).union(GeneralCategoryGroup::Control);

/// Judges trimmed, non-empty text that is to be a single line: no control characters, and something to be seen.
///
/// # Errors
/// `expected`, or [`BLANK`].
pub fn check_line(text: &str, expected: &'static str) -> Verdict {
    if text.chars().any(char::is_control) { Err(expected) } else { check_visible(text) }
}

/// Judges trimmed, non-empty text as [`check_line`] does, with line feed, carriage return and tab allowed.
///
/// # Errors
/// `expected`, or [`BLANK`].
pub fn check_lines(text: &str, expected: &'static str) -> Verdict {
    let is_refused = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(is_refused) { Err(expected) } else { check_visible(text) }
}

fn check_visible(text: &str) -> Verdict {
    if text.chars().any(is_visible) { Ok(()) } else { Err(BLANK) }
}

/// The general category of a character.
#[must_use]
pub fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Whether a character is there to be ignored where it is not supported: format characters, fillers, variation selectors,
/// tags.
#[must_use]
pub fn is_ignorable(c: char) -> bool {
    category(c) == GeneralCategory::Format || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether nothing is there to be seen where a letter or a sign is expected: the character is there to be ignored, its glyph is
/// empty, or Unicode has no character of this number.
#[must_use]
pub fn is_blank(c: char) -> bool {
    is_ignorable(c) || EMPTY_GLYPHS.contains(&c) || category(c) == GeneralCategory::Unassigned
}

/// Whether something can be seen of the character by itself. Nothing can of a mark, which needs a letter to stand on.
fn is_visible(c: char) -> bool {
    !BLANK_CATEGORIES.contains(category(c)) && !is_blank(c)
}

/// A trimmed string that satisfies the rule `R`.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<R>(String, PhantomData<R>);

impl<R: TextRule> Text<R> {
    /// A value from the database, which was validated when it was written.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text, PhantomData)
    }

    /// The string, borrowed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The string.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<R: TextRule> ContractValue for Text<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(R::MIN),
            max_length: Some(R::MAX),
            pattern: Some(R::PATTERN.to_owned()),
            example: Some(Value::from(R::EXAMPLE)),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        let Value::String(text) = value else {
            return Err("must be a string".into());
        };
        let clean = match R::clean(&text) {
            Cow::Borrowed(same) if same.len() == text.len() => None,
            clean => Some(clean.into_owned()),
        };
        let text = clean.unwrap_or(text);
        let length = text.chars().count();
        if length < R::MIN || length > R::MAX {
            return Err(R::EXPECTED.into());
        }
        R::check(&text)?;
        Ok(Self::stored(text))
    }
}

impl<R: TextRule> Serialize for Text<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<R: TextRule> fmt::Debug for Text<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and notes are personal data: keep them out of logs.
        write!(f, "{}({} characters)", R::NAME, self.0.chars().count())
    }
}

contract_type!(Text<R>, R: TextRule);

/// The rule for [`Name`].
#[derive(Clone, PartialEq, Eq)]
pub struct NameRule;

impl TextRule for NameRule {
    const NAME: &'static str = "Name";
    const MIN: usize = 1;
    const MAX: usize = 200;
    const PATTERN: &'static str = LINE;
    const EXPECTED: &'static str = "must be 1 to 200 characters without control characters";
    const EXAMPLE: &'static str = "Acme Trading Ltd";

    fn check(text: &str) -> Verdict {
        check_line(text, Self::EXPECTED)
    }
}

/// The name of a customer or a person.
pub type Name = Text<NameRule>;
