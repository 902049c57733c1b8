//! Where the searched words stand in a text, as it is written.

use crate::values::{SearchText, normal_form::normal_form};

/// The most characters of a fragment.
pub(super) const FRAGMENT: usize = 160;
/// How many characters stand before the first word in a fragment, if there are more before it.
const BEFORE: usize = 40;
/// How many characters are brought to their normal form at once where only the first word is looked for.
const BLOCK: usize = 64;
/// The most places that are told.
pub(super) const PLACES: usize = 20;

/// A part of a text, and the places of words in the text. All are counted in characters (Unicode scalar values) of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Highlight {
    /// The part around the first word.
    pub fragment: String,
    /// Where it begins.
    pub start: usize,
    /// Where words begin and end, the end not included, in ascending order. Those that overlap are one.
    pub places: Vec<(usize, usize)>,
}

/// Tells where in `text` the words stand.
pub(super) fn highlight(text: &str, search: &SearchText) -> Highlight {
    let written: Vec<char> = text.chars().collect();
    let start = if written.len() <= FRAGMENT { 0 } else { first_place(&written, search).saturating_sub(BEFORE) };
    let behind = start + FRAGMENT;
    let mut places = places(&written, start, search);
    places.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in places.into_iter().filter(|(start, _)| *start < behind) {
        let end = end.min(behind);
        match joined.last_mut() {
            Some((_, last)) if start < *last => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined.truncate(PLACES);
    Highlight { fragment: written.iter().skip(start).take(FRAGMENT).collect(), start, places: joined }
}

/// Where the first of the words begins; 0 where there is none. A text in blocks has its normal form much sooner than character by
/// character.
fn first_place(written: &[char], search: &SearchText) -> usize {
    let (mut normal, mut blocks, mut index) = (String::new(), Vec::new(), 0);
    let runs = written.chunk_by(|one, next| one.is_whitespace() == next.is_whitespace());
    for block in runs.flat_map(|run| run.chunks(BLOCK)) {
        blocks.push((normal.len(), index, block));
        normal.push_str(&form(block));
        index += block.len();
    }
    let Some(first) = search.words().filter_map(|word| normal.find(word)).min() else { return 0 };
    let at = blocks.partition_point(|(begin, ..)| *begin <= first).saturating_sub(1);
    let Some((begin, index, block)) = blocks.get(at) else { return 0 };
    let mut end = *begin;
    let is_before = |c: &&char| {
        end += form(&[**c]).len();
        end <= first
    };
    index + block.iter().take_while(is_before).count()
}

/// Where words begin and end that begin in the fragment from `start` on, and maybe some behind it.
fn places(written: &[char], start: usize, search: &SearchText) -> Vec<(usize, usize)> {
    // The normal form, and which character of the text each byte of it comes from: of the fragment, and as much as its last word
    // may go on with.
    let (mut normal, mut origins, mut index) = (String::new(), Vec::new(), start);
    let longest = search.words().map(str::len).max().unwrap_or_default();
    let mut enough = usize::MAX;
    for c in written.iter().skip(start) {
        if index == start + FRAGMENT {
            enough = normal.len() + longest;
        }
        if normal.len() > enough {
            break;
        }
        normal.push_str(&form(&[*c]));
        origins.resize(normal.len(), index);
        index += 1;
    }
    let place = |(at, word): (usize, &str)| {
        let (last, next) = (at + word.len() - 1, at + word.len());
        // Marks and what is not seen belong to the letter before; a letter that stands for several is a place as a whole.
        Some((*origins.get(at)?, origins.get(next).map_or(index, |next| *next).max(origins.get(last)? + 1)))
    };
    search.words().flat_map(|word| normal.match_indices(word)).filter_map(place).collect()
}

/// The normal form of a part of a text: of letters, or of white space.
fn form(part: &[char]) -> String {
    match part.first() {
        Some(c) if c.is_whitespace() => " ".to_owned(),
        _ => normal_form(&part.iter().collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAGMENT, Highlight, highlight};
    use crate::values::SearchText;

    fn of(text: &str, search: &str) -> Highlight {
        let Ok(search) = SearchText::parse(search) else { panic!("{search:?} cannot be searched") };
        highlight(text, &search)
    }

    #[test]
    fn places_are_those_of_the_text_as_it_is_written() {
        for (text, search, places) in [
            ("Müller", "mull", vec![(0, 4)]),
            ("Mu\u{308}ller", "mu", vec![(0, 3)]),
            ("Straße 5", "sse", vec![(4, 6)]),
            ("the ﬁne", "fin", vec![(4, 6)]),
            ("ǅep", "dz", vec![(0, 1)]),
            ("中国银行", "国", vec![(1, 2)]),
            ("a 🚀🚀", "🚀", vec![(2, 3), (3, 4)]),
            ("ab  cd ab", "cd ab", vec![(0, 2), (4, 6), (7, 9)]),
            ("abcabc", "abca bcab", vec![(0, 5)]),
            ("nothing", "else", vec![]),
        ] {
            assert_eq!(of(text, search).places, places, "{search:?} in {text:?}");
        }
    }

    #[test]
    fn a_fragment_of_a_long_text_is_around_the_first_word() {
        let text = format!("{}Müller{}", "x".repeat(1000), "y".repeat(1000));
        let found = of(&text, "müller");
        assert_eq!((found.start, found.places), (960, vec![(1000, 1006)]));
        assert_eq!(found.fragment.chars().count(), FRAGMENT);
        assert_eq!(found.fragment.chars().skip(40).take(6).collect::<String>(), "Müller");
    }

    #[test]
    fn a_word_that_is_longer_than_the_fragment_is_told_as_far_as_that_goes() {
        let text = format!("{}{}", "x".repeat(50), "y".repeat(150));
        let found = of(&text, &"y".repeat(150));
        assert_eq!((found.start, found.places), (10, vec![(50, 170)]));
        assert_eq!(of(&"y".repeat(200), &"y".repeat(200)).places, [(0, 160)]);
        let second = of(&format!("ab{}cdef", "x".repeat(156)), "ab cdef");
        assert_eq!((second.start, second.places), (0, vec![(0, 2), (158, 160)]));
    }

    #[test]
    fn a_word_is_found_anywhere_in_the_longest_text_of_any_script() {
        let letters: [fn(u32) -> u32; 4] =
            [|n| 0xac00 + n % 11_172, |n| 0x4e00 + n, |n| u32::from(b'!') + n % 90, |n| 0xc0 + n % 0x180];
        for letter in letters {
            let text: Vec<char> = (0..10_000).filter_map(|n| char::from_u32(letter(n))).collect();
            let written = |part: &[char]| part.iter().collect::<String>();
            for at in [0, 1, 63, 64, 127, 5_000, 9_987, 9_997] {
                let word = "국ß½".chars();
                let mut text = text.clone();
                text.splice(at..at + 3, word);
                let found = of(&written(&text), "국SS1\u{2044}2");
                assert_eq!(found.start, at.saturating_sub(40));
                assert_eq!(found.places, [(at, at + 3)], "at {at}");
            }
        }
    }

    /// The normal form has up to 18 letters for one.
    #[test]
    fn a_word_at_the_end_of_a_fragment_is_told_as_far_as_that_goes() {
        let text = format!("ab{}{}", " ".repeat(157), "ﬁne".repeat(60));
        assert_eq!(of(&text, "ab finefine").places, [(0, 2), (159, 160)]);
        let text = format!("ab{}e{}x", "\u{fdfa}".repeat(157), "\u{301}".repeat(500));
        assert_eq!(of(&text, "ab ex").places, [(0, 2), (159, 160)]);
    }
}
