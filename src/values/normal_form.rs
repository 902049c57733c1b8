//! The form in which text is sorted and searched: the same for every way of writing what readers take for the same letters.

use icu_casemap::CaseMapper;
use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::props::GeneralCategory;

use super::text::{category, is_ignorable};

/// The most bytes of a [`sort_key`]: what an index of PostgreSQL takes, and more than any name of 200 letters needs.
const SORT_KEY: usize = 1024;

/// The text without regard to case, accents, width and style: decomposed (NFKD, UAX #15), case folded (Unicode, section 3.13),
/// without marks and without what is not seen, and with single spaces. `Ångström`, `ＡＮＧＳＴＲＯＭ` and `angstrom` become the same.
#[must_use]
pub fn normal_form(text: &str) -> String {
    const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();
    if text.is_ascii() {
        return single_spaced(text.to_ascii_lowercase().chars());
    }
    let decomposed = NFKD.normalize(text);
    let folded = CaseMapper::new().fold_string(&decomposed);
    single_spaced(NFKD.normalize(&folded).chars().filter(|c| c.is_ascii() || !(is_mark(*c) || is_ignorable(*c))))
}

/// What text is sorted by, byte by byte: the beginning of its [`normal_form`].
#[must_use]
pub fn sort_key(text: &str) -> String {
    let mut key = normal_form(text);
    key.truncate(key.floor_char_boundary(SORT_KEY));
    key
}

/// Marks that take no room of their own. Those that do are vowels, in the scripts of India.
fn is_mark(c: char) -> bool {
    matches!(category(c), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

fn single_spaced(text: impl Iterator<Item = char>) -> String {
    let mut single = String::new();
    for c in text {
        if !c.is_whitespace() {
            single.push(c);
        } else if !single.is_empty() && !single.ends_with(' ') {
            single.push(' ');
        }
    }
    single.truncate(single.trim_end().len());
    single
}

#[cfg(test)]
mod tests {
    use super::{SORT_KEY, normal_form, sort_key};

    #[test]
    fn ways_of_writing_the_same_have_one_form() {
        for (written, form) in [
            ("Ångström", "angstrom"),
            ("ＡＮＧＳＴＲＯＭ", "angstrom"),
            ("MÜLLER", "muller"),
            ("Mu\u{308}ller", "muller"),
            ("Straße", "strasse"),
            ("ǅ", "dz"),
            ("ﬁn", "fin"),
            ("İstanbul", "istanbul"),
            ("Ωμέγα Σ", "ωμεγα σ"),
            ("Ａｃｍｅ\u{3000}\u{a0}Ltd.\n\t", "acme ltd."),
            ("中国", "中国"),
            ("ﾊﾟﾅ", "ハナ"),
            ("👩\u{200d}🚀", "👩🚀"),
            ("½", "1\u{2044}2"),
            (" ", ""),
        ] {
            assert_eq!(normal_form(written), form, "{written:?}");
            assert_eq!(normal_form(form), form, "the form of {form:?} is itself");
        }
    }

    #[test]
    fn a_sort_key_is_cut_between_letters() {
        let longest = "\u{fdfa}".repeat(200);
        assert!(normal_form(&longest).len() > SORT_KEY);
        let key = sort_key(&longest);
        assert!(key.len() <= SORT_KEY && key.len() > SORT_KEY - 4, "{}", key.len());
        assert_eq!(sort_key(&"𠮷".repeat(200)).len(), 800);
    }
}
