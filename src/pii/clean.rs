//! What somebody typed, in the characters that the rules of phone numbers and e-mail addresses speak of.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::GeneralCategory;

use super::domain;
use crate::values::text::{category, is_ignorable};

/// Characters that stand for hidden ones, after [`compatible`].
const STARS: [char; 4] = ['*', '∗', '•', '●'];
/// Signs of phone numbers that stand for hidden digits where there are so many in a row.
const MASKING_ROWS: [&str; 3] = ["###", "...", "---"];

/// The text with full-width, circled and otherwise styled characters as their plain ones (Unicode's form NFKC). Letters with
/// accents are composed.
pub(super) fn compatible(text: &str) -> Cow<'_, str> {
    const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    NFKC.normalize(text)
}

/// A phone number without what is not seen, and with digits, signs and blanks in ASCII, whatever script they were typed in.
/// What no phone number has stays as it is: a circled or raised digit may be a footnote or the number of an item.
pub(super) fn phone(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !is_ignorable(*c)).map(plain).collect();
    plain.trim().to_owned()
}

/// An e-mail address without blanks at its ends, and with plain dots in its domain.
pub(super) fn email(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match text.split_once('@') {
        Some((mailbox, name)) if name.contains(domain::OTHER_DOTS) => {
            Cow::Owned(format!("{mailbox}@{}", name.replace(domain::OTHER_DOTS, ".")))
        }
        _ => Cow::Borrowed(text),
    }
}

fn plain(c: char) -> char {
    let c = of_usual_width(c);
    match category(c) {
        GeneralCategory::DecimalNumber => ascii_digit(c),
        GeneralCategory::SpaceSeparator => ' ',
        GeneralCategory::DashPunctuation => '-',
        // Neither counts as a dash: the minus sign, and the long-vowel mark, which a Japanese keyboard types in its place.
        _ if matches!(c, '\u{2212}' | '\u{30fc}' | '\u{ff70}') => '-',
        _ if c == '轉' => '转',
        _ => c,
    }
}

/// The ASCII character of which this is the full-width or the small form, and any other as it is.
fn of_usual_width(c: char) -> char {
    let is_other_form = matches!(c, '\u{ff01}'..='\u{ff5e}' | '\u{fe50}'..='\u{fe6b}');
    if is_other_form { compatible(c.encode_utf8(&mut [0; 4])).chars().next().unwrap_or(c) } else { c }
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

/// Whether part of a clean phone number is hidden: by stars, dots, a row of other signs among digits, or by `x`, of which an
/// extension has one.
pub(super) fn is_masked_phone(text: &str) -> bool {
    let has_digits = text.contains(|c: char| c.is_ascii_digit());
    // `…` is three dots.
    let plain = compatible(text).to_ascii_lowercase();
    is_masked(text)
        || has_digits && (plain.matches('x').count() > 1 || MASKING_ROWS.iter().any(|row| plain.contains(row)))
}

/// Whether a clean phone number holds two: long ones with a `/` between them, or two that are each written in one piece.
pub(super) fn is_two_phones(text: &str) -> bool {
    /// The fewest digits of a number without its area code that counts as long.
    const LOCAL: usize = 7;
    /// The same of one with its area code.
    const FULL: usize = 10;
    let digits = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
    let beside_slash = text.split('/').filter(|part| digits(part) >= LOCAL).count();
    let in_one_piece = text.split(|c: char| !c.is_ascii_digit()).filter(|part| digits(part) >= FULL).count();
    beside_slash > 1 || in_one_piece > 1
}
