//! Where the searched words stand in a text, as it is written.

use crate::values::{SearchText, normal_form::normal_form};

/// The most characters of a fragment.
pub(super) const FRAGMENT: usize = 160;
/// How many characters stand before the first word in a fragment, if there are more before it.
const BEFORE: usize = 40;
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
    // The normal form, and which character of the text each of its characters comes from.
    let mut normal = String::new();
    let mut origins = Vec::new();
    for (index, c) in written.iter().enumerate() {
        let form = if c.is_whitespace() { " ".to_owned() } else { normal_form(c.encode_utf8(&mut [0; 4])) };
        origins.extend(std::iter::repeat_n(index, form.len()));
        normal.push_str(&form);
    }
    let mut places = Vec::new();
    for word in search.words() {
        for (at, found) in normal.match_indices(word) {
            let (Some(first), Some(last)) = (origins.get(at), origins.get(at + found.len() - 1)) else { continue };
            // Marks and what is not seen belong to the letter before.
            let is_silent = |c: &&char| !c.is_whitespace() && normal_form(c.encode_utf8(&mut [0; 4])).is_empty();
            let silent = written.iter().skip(last + 1).take_while(is_silent).count();
            places.push((*first, last + 1 + silent));
        }
    }
    places.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in places {
        match joined.last_mut() {
            Some((_, last)) if start < *last => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    let first = joined.first().map_or(0, |(start, _)| *start);
    let start = if written.len() <= FRAGMENT { 0 } else { first.saturating_sub(BEFORE) };
    let behind = start + FRAGMENT;
    joined.retain(|(start, _)| *start < behind);
    joined.iter_mut().for_each(|(_, end)| *end = behind.min(*end));
    joined.truncate(PLACES);
    Highlight { fragment: written.iter().skip(start).take(FRAGMENT).collect(), start, places: joined }
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
}
