//! One form for every way of writing the same value, so that each way finds it.

use phonenumber::{Mode, country};

/// The country whose rules a phone number is read by when it does not begin with `+` or `00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(country::Id);

impl std::str::FromStr for Country {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        code.parse().map(Self).map_err(|_| "must be a country code of two capitals (ISO 3166-1), like CN".to_owned())
    }
}

/// A phone number in the form of E.164, by the rules of libphonenumber, with the extension behind an `x`. What they
/// cannot read (`12345`) is reduced to its digits.
#[must_use]
pub fn phone(clear: &str, country: Country) -> String {
    let Ok(number) = phonenumber::parse(Some(country.0), clear) else {
        return clear.chars().filter(char::is_ascii_digit).collect();
    };
    let e164 = number.format().mode(Mode::E164).to_string();
    match number.extension().map(ToString::to_string) {
        Some(extension) if !extension.is_empty() => format!("{e164}x{extension}"),
        _ => e164,
    }
}

/// An e-mail address in small letters.
#[must_use]
pub fn email(clear: &str, _country: Country) -> String {
    clear.to_lowercase()
}
