//! The kinds of personal data.

use std::borrow::Cow;

use super::{
    clean, domain, mask,
    normalize::{self, Forms},
};
use crate::{
    config::Country,
    values::{
        TextRule,
        text::{Verdict, is_blank},
    },
};

/// A kind of personal data.
pub trait PiiRule: TextRule {
    /// What is said of a masked value.
    const MASKED: &'static str;

    /// Whether part of a clean value is hidden.
    fn is_masked(clean: &str) -> bool;

    /// The value with most of it replaced by stars.
    fn mask(clear: &str) -> String;

    /// The forms that a stored value is found by.
    fn forms(clear: &str, country: Country) -> Forms;

    /// The forms under which a value may be stored that is searched in this spelling.
    fn lookups(searched: &str, country: Country) -> Vec<String>;
}

/// The rule of [`Phone`](super::Phone).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneRule;

impl PhoneRule {
    /// The fewest digits of a phone number.
    const DIGITS: usize = 3;
}

impl TextRule for PhoneRule {
    const NAME: &'static str = "Phone";
    const MIN: usize = 3;
    const MAX: usize = 32;
    const PATTERN: &'static str = r"^([ #()+./0-9ETXetx-]|[^\x00-\x7f])+$";
    const EXPECTED: &'static str =
        "must be a phone number: 3 to 32 of digits, space, + - ( ) . / # ext x 转, among them at least 3 digits";
    const EXAMPLE: &'static str = "13812345678";

    fn clean(text: &str) -> Cow<'_, str> {
        Cow::Owned(clean::phone(text))
    }

    fn check(text: &str) -> Verdict {
        if Self::is_masked(text) {
            return Err(Self::MASKED);
        }
        if clean::is_two_phones(text) {
            return Err("holds two numbers; send one");
        }
        let is_known = |c: char| c.is_ascii_digit() || " +-()./#extEXT转".contains(c);
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if digits >= Self::DIGITS && text.chars().all(is_known) { Ok(()) } else { Err(Self::EXPECTED) }
    }
}

impl PiiRule for PhoneRule {
    const MASKED: &'static str = "is masked; send the number or leave the field out";

    fn is_masked(clean: &str) -> bool {
        clean::is_masked_phone(clean)
    }

    fn mask(clear: &str) -> String {
        mask::phone(clear)
    }

    fn forms(clear: &str, country: Country) -> Forms {
        normalize::phone(clear, country)
    }

    fn lookups(searched: &str, country: Country) -> Vec<String> {
        normalize::phone_lookups(searched, country)
    }
}

/// The rule of [`Email`](super::Email).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailRule;

impl TextRule for EmailRule {
    const NAME: &'static str = "Email";
    const MIN: usize = 5;
    const MAX: usize = 254;
    const PATTERN: &'static str = r"^[^\x00-\x20\x7f*@]+@([0-9A-Za-z.-]|[^\x00-\x7f])+$";
    const EXPECTED: &'static str = "must be an e-mail address: one @, a dot in the domain, at most 254 characters";
    const EXAMPLE: &'static str = "li.lei@example.com";

    fn clean(text: &str) -> Cow<'_, str> {
        clean::email(text)
    }

    fn check(text: &str) -> Verdict {
        if Self::is_masked(text) {
            return Err(Self::MASKED);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || is_blank(c)) {
            return Err("must be an e-mail address without spaces and invisible characters");
        }
        // A full-width `＠` looks like the real one.
        let has_one_at = clean::compatible(text).matches('@').count() == 1;
        match text.split_once('@') {
            Some((mailbox, domain)) if has_one_at && !mailbox.is_empty() && domain.contains('.') => {
                let message = "must be an e-mail address whose domain the DNS can have (IDNA 2008)";
                domain::to_ascii(domain).map(drop).ok_or(message)
            }
            _ => Err(Self::EXPECTED),
        }
    }
}

impl PiiRule for EmailRule {
    const MASKED: &'static str = "is masked; send the address or leave the field out";

    fn is_masked(clean: &str) -> bool {
        clean::is_masked(clean)
    }

    fn mask(clear: &str) -> String {
        mask::email(clear)
    }

    fn forms(clear: &str, _country: Country) -> Forms {
        normalize::email(clear)
    }

    fn lookups(searched: &str, _country: Country) -> Vec<String> {
        normalize::email_lookups(searched)
    }
}
