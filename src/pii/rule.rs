//! The kinds of personal data.

use super::{mask, normalize};
use crate::{config::Country, values::TextRule};

/// A kind of personal data.
pub trait PiiRule: TextRule {
    /// The value with most of it replaced by stars.
    fn mask(clear: &str) -> String;

    /// The one form of the value, however it is written.
    fn normalize(clear: &str, country: Country) -> String;
}

/// The rule of [`Phone`](super::Phone).
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneRule;

impl TextRule for PhoneRule {
    const NAME: &'static str = "Phone";
    const MIN: usize = 3;
    const MAX: usize = 32;
    const PATTERN: &'static str = "^[0-9+().#ext-][0-9 +().#ext-]*[0-9+().#ext-]$";
    const EXPECTED: &'static str = "must be a phone number: 3 to 32 of digits, space, + - ( ) . # ext x";
    const EXAMPLE: &'static str = "13812345678";

    fn accepts(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_digit() || b" +-().#ext".contains(&byte))
    }
}

impl PiiRule for PhoneRule {
    fn mask(clear: &str) -> String {
        mask::phone(clear)
    }

    fn normalize(clear: &str, country: Country) -> String {
        normalize::phone(clear, country)
    }
}

/// The rule of [`Email`](super::Email).
#[derive(Clone, PartialEq, Eq)]
pub struct EmailRule;

impl TextRule for EmailRule {
    const NAME: &'static str = "Email";
    const MIN: usize = 5;
    const MAX: usize = 254;
    const PATTERN: &'static str = concat!(
        r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*]+",
        r"@[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*.]+",
        r"(\.[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*.]+)+$"
    );
    const EXPECTED: &'static str = "must be an e-mail address of at most 254 characters";
    const EXAMPLE: &'static str = "li.lei@example.com";

    fn accepts(text: &str) -> bool {
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '*' && c != '@';
        text.split_once('@').is_some_and(|(mailbox, domain)| {
            !mailbox.is_empty()
                && mailbox.chars().all(plain)
                && domain.chars().all(plain)
                && domain.contains('.')
                && domain.split('.').all(|label| !label.is_empty())
        })
    }
}

impl PiiRule for EmailRule {
    fn mask(clear: &str) -> String {
        mask::email(clear)
    }

    fn normalize(clear: &str, _country: Country) -> String {
        normalize::email(clear)
    }
}
