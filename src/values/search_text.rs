//! What is searched for: the words that a text is to hold.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use super::{Violation, grams::parts_of_word, normal_form::normal_form, query::QueryValue};

/// The longest searched text, in characters.
pub const LONGEST: usize = 200;
/// The most words of it.
const WORDS: usize = 10;

/// Words to be found, each as a part of a text's [normal form](normal_form).
#[derive(Clone, PartialEq, Eq)]
pub struct SearchText {
    phrase: String,
}

impl SearchText {
    /// The words of a text, without regard to case, accents, width and style.
    ///
    /// # Errors
    /// A text that is too long, or that no index can find: as a message.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        if text.chars().count() > LONGEST || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return Err("must be 1 to 200 characters without control characters".into());
        }
        let search = Self { phrase: normal_form(text) };
        if search.words().count() > WORDS {
            return Err("must have at most 10 words".into());
        }
        if search.words().all(|word| parts_of_word(word).is_empty()) {
            return Err(
                "must have a word of two characters; one is enough of Chinese, Japanese, Korean, emoji and symbols"
                    .into(),
            );
        }
        Ok(search)
    }

    /// The words together, as a text that begins with them would.
    #[must_use]
    pub fn phrase(&self) -> &str {
        &self.phrase
    }

    /// The words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.phrase.split(' ').filter(|word| !word.is_empty())
    }

    /// The parts of words that a text is looked up by which holds them all, at most so many, from each word.
    #[must_use]
    pub fn parts(&self, most: usize) -> Vec<String> {
        let parts_of: Vec<Vec<String>> = self.words().map(parts_of_word).filter(|parts| !parts.is_empty()).collect();
        let share = (most / parts_of.len().max(1)).max(1);
        let some = |parts: Vec<String>| {
            let step = parts.len().div_ceil(share);
            parts.into_iter().step_by(step)
        };
        let mut parts: Vec<String> = parts_of.into_iter().flat_map(some).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }
}

impl QueryValue for SearchText {
    type Value = Option<Self>;

    fn schema() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(LONGEST),
            example: Some("acme".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn read(value: Option<&str>) -> Result<Option<Self>, Violation> {
        value.map(Self::parse).transpose()
    }
}

/// It may be a name.
impl std::fmt::Debug for SearchText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SearchText({} characters)", self.phrase.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::SearchText;

    #[test]
    fn words_are_cut_at_spaces_and_looked_up_by_some_parts_of_each() {
        let Ok(search) = SearchText::parse(" MÜLLER\u{3000}a 中 ") else { panic!("it can be searched") };
        assert_eq!(search.words().collect::<Vec<_>>(), ["muller", "a", "中"]);
        assert_eq!(search.phrase(), "muller a 中");
        assert_eq!(search.parts(12), ["ller", "mull", "ulle", "z4e2dz"]);
        assert_eq!(search.parts(4), ["ller", "mull", "z4e2dz"]);
        assert_eq!(search.parts(1), ["mull", "z4e2dz"]);
    }

    #[test]
    fn what_no_index_finds_is_refused() {
        for refused in ["", " ", "a", "a b", "\u{301}", "я", "\u{0}ab"] {
            assert!(SearchText::parse(refused).is_err(), "{refused:?}");
        }
        assert!(SearchText::parse(&"a ".repeat(10)).is_err());
        assert!(SearchText::parse(&"ab ".repeat(10)).is_ok());
        assert!(SearchText::parse(&"ab ".repeat(11)).is_err());
        assert!(SearchText::parse(&"a".repeat(200)).is_ok());
        assert!(SearchText::parse(&"a".repeat(201)).is_err());
    }
}
