//! One form for every way of writing the same value, so that each way finds it.

use phonenumber::Mode;

use crate::config::Country;

/// A phone number in the form of E.164, by the rules of libphonenumber, with the extension behind an `x`. What they
/// cannot read (`12345`) is reduced to its digits.
#[must_use]
pub(super) fn phone(clear: &str, country: Country) -> String {
    let Ok(number) = phonenumber::parse(Some(country.id()), clear) else {
        return clear.chars().filter(char::is_ascii_digit).collect();
    };
    let e164 = number.format().mode(Mode::E164).to_string();
    match number.extension().map(ToString::to_string) {
        Some(extension) if !extension.is_empty() => format!("{e164}x{extension}"),
        _ => e164,
    }
}

/// An e-mail address in lower case.
#[must_use]
pub(super) fn email(clear: &str) -> String {
    clear.to_lowercase()
}
