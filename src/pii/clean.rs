//! What somebody typed, in the characters that the rules of phone numbers and e-mail addresses speak of.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::GeneralCategory;

use crate::values::text::{category, is_ignorable};

/// Characters that stand for hidden ones, after [`compatible`].
const STARS: [char; 4] = ['*', '∗', '•', '●'];

/// The text with full-width, circled and otherwise styled characters as their plain ones (Unicode's form NFKC). Letters with
/// accents are composed.
pub(super) fn compatible(text: &str) -> Cow<'_, str> {
    const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    NFKC.normalize(text)
}

/// A phone number without what is not seen, and with digits, signs and blanks in ASCII, whatever script they were typed in.
/// What no phone number has stays as it is.
pub(super) fn phone(text: &str) -> String {
    let plain: String = compatible(text).chars().filter(|c| !is_ignorable(*c)).map(plain).collect();
    plain.trim().to_owned()
}

fn plain(c: char) -> char {
    match category(c) {
        GeneralCategory::DecimalNumber => ascii_digit(c),
        GeneralCategory::SpaceSeparator => ' ',
        GeneralCategory::DashPunctuation => '-',
        // Neither counts as a dash: the minus sign, and the long-vowel mark, which a Japanese keyboard types in its place.
        _ if matches!(c, '\u{2212}' | '\u{30fc}') => '-',
        _ if c == '轉' => '转',
        _ => c,
    }
}

/// The ASCII digit of the same value: Unicode has the digits of each script in a row, from zero to nine.
fn ascii_digit(digit: char) -> char {
    let is_digit = |c: &char| category(*c) == GeneralCategory::DecimalNumber;
    let before = ('\0'..digit).rev().take_while(is_digit).count();
    u32::try_from(before % 10).ok().and_then(|value| char::from_digit(value, 10)).unwrap_or(digit)
}

/// Whether part of the text is hidden by stars or dots.
pub(super) fn is_masked(text: &str) -> bool {
    compatible(text).contains(STARS)
}

/// Whether part of a clean phone number is hidden: by stars, dots, or a row of `x`, of which an extension has one.
pub(super) fn is_masked_phone(text: &str) -> bool {
    is_masked(text) || text.to_ascii_lowercase().contains("xx")
}
