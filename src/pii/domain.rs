//! Domains of e-mail addresses, in any script (IDNA 2008, RFC 5890 to 5895).

use icu_properties::props::GeneralCategoryGroup;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::values::text::category;

/// The letters, digits and marks that labels are made of (RFC 5892, section 2.1). Capitals are mapped to small letters before.
const LETTERS_AND_DIGITS: GeneralCategoryGroup = GeneralCategoryGroup::LowercaseLetter
    .union(GeneralCategoryGroup::OtherLetter)
    .union(GeneralCategoryGroup::ModifierLetter)
    .union(GeneralCategoryGroup::NonspacingMark)
    .union(GeneralCategoryGroup::SpacingMark)
    .union(GeneralCategoryGroup::DecimalNumber);
/// What is allowed besides (RFC 5892, section 2.6): the middle dot, the Greek and Hebrew signs, the Japanese middle dot, the
/// signs of Sindhi, the Tibetan mark between syllables, the Chinese zero.
const EXCEPTIONS: [char; 10] =
    ['-', '\u{b7}', '\u{375}', '\u{5f3}', '\u{5f4}', '\u{30fb}', '\u{6fd}', '\u{6fe}', '\u{f0b}', '\u{3007}'];

/// What counts as a dot between labels besides the plain one (RFC 3490, section 3.1): the ideographic, the full-width and the
/// half-width full stop.
pub(super) const OTHER_DOTS: [char; 3] = ['\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// The domain as the DNS knows it, in lower case: `xn--kln-sna.de` for `Köln.de`. None where it cannot be in the DNS.
pub(super) fn to_ascii(domain: &str) -> Option<String> {
    let processor = Uts46::new();
    let ascii = processor.to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify).ok()?;
    // The mapping, which is that of browsers, also takes symbols that IDNA 2008 has no labels of: hearts, smileys.
    let (unicode, valid) = processor.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    let is_allowed = |c: char| c.is_ascii() || LETTERS_AND_DIGITS.contains(category(c)) || EXCEPTIONS.contains(&c);
    (valid.is_ok() && unicode.chars().all(is_allowed)).then(|| ascii.into_owned())
}
