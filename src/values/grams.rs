//! The parts of words that text is found by: what the index of a search holds, and what a searched word is looked up by.

use std::collections::BTreeSet;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{Emoji, GeneralCategory, Script},
};

use super::text::category;

/// The lengths of parts: words of two and three letters are looked up by the first, longer ones by the second. In a tenant with
/// a million names `Customer 000123`, two digits are in each of them, four in some hundreds.
const SHORT: usize = 2;
const LONG: usize = 4;
/// The longest token, in bytes: all those of the longest text fit into a `tsvector`, which holds 1 MiB.
const TOKEN: usize = 16;

/// The parts of a text in its [normal form](super::normal_form::normal_form), by which each part of it is found: all that are
/// two and four letters long, and the letters that are searched by themselves. Words end at spaces alone.
#[must_use]
pub fn grams(normal: &str) -> BTreeSet<String> {
    let mut grams = BTreeSet::new();
    for word in normal.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        grams.extend(letters.iter().filter(|c| is_searched_alone(**c)).map(|c| token([*c])));
        for length in [SHORT, LONG] {
            grams.extend(letters.windows(length).map(|part| token(part.iter().copied())));
        }
    }
    grams
}

/// The parts that a searched word is looked up by: a text that holds the word holds all of them. None, if the word is a single
/// letter that is not searched by itself.
#[must_use]
pub fn parts_of_word(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    match letters.as_slice() {
        [] => Vec::new(),
        [c] if is_searched_alone(*c) => vec![token([*c])],
        [_] => Vec::new(),
        _ => {
            let length = if letters.len() < LONG { SHORT } else { LONG };
            letters.windows(length).map(|part| token(part.iter().copied())).collect()
        }
    }
}

/// Whether a single letter says enough: Chinese, Japanese and Korean, emoji and other symbols.
fn is_searched_alone(c: char) -> bool {
    let is_symbol = || {
        matches!(category(c), GeneralCategory::OtherSymbol | GeneralCategory::CurrencySymbol)
            || CodePointSetData::new::<Emoji>().contains(c)
    };
    let script = || CodePointMapData::<Script>::new().get(c);
    !c.is_ascii()
        && (is_symbol()
            || matches!(
                script(),
                Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul | Script::Bopomofo
            ))
}

/// Letters as a token of which every tokenizer keeps all: small ASCII letters and digits stand for themselves, but for `z`, between
/// which stands the number of any other. A token that gets too long is that of a hash: what else has it is found to be another by
/// the text itself.
fn token(letters: impl IntoIterator<Item = char>) -> String {
    let token = letters.into_iter().fold(String::new(), |mut token, c| {
        match c {
            '0'..='9' | 'a'..='y' => token.push(c),
            c => token.push_str(&format!("z{:x}z", u32::from(c))),
        }
        token
    });
    if token.len() > TOKEN { format!("zz{:010x}", hash(&token) >> 24) } else { token }
}

/// FNV-1a: the same in every release, as what is stored must be.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::{grams, parts_of_word};

    fn of(text: &str) -> Vec<String> {
        grams(text).into_iter().collect()
    }

    #[test]
    fn words_are_cut_into_parts_of_two_and_four() {
        assert_eq!(of("acme ltd."), ["ac", "acme", "cm", "dz2ez", "lt", "ltdz2ez", "me", "td"]);
        assert_eq!(of("a"), Vec::<String>::new());
        assert_eq!(of("z1"), ["z7az1"]);
        assert_eq!(parts_of_word("acme-"), ["acme", "cmez2dz"]);
        assert_eq!(parts_of_word("acm"), ["ac", "cm"]);
    }

    #[test]
    fn letters_that_say_enough_are_searched_alone() {
        assert_eq!(of("中国"), ["z4e2dz", "z4e2dzz56fdz", "z56fdz"]);
        for alone in ["中", "か", "カ", "\u{1100}", "ㄅ", "🚀", "◾", "🏽", "€"] {
            assert_eq!(parts_of_word(alone), of(alone), "{alone}");
            assert_eq!(of(alone).len(), 1, "{alone}");
        }
        for letter in ["a", "1", "я", "ω", ".", "$"] {
            assert!(parts_of_word(letter).is_empty() && of(letter).is_empty(), "{letter}");
        }
    }
}
