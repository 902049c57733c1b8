//! Countries, by their codes.

use std::str::FromStr;

use phonenumber::country::Id;

/// The country by whose rules a phone number is read that does not begin with `+` or `00` (ISO 3166-1, two letters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(Id);

impl Country {
    /// The country, as libphonenumber's tables name it.
    #[must_use]
    pub fn id(self) -> Id {
        self.0
    }
}

impl FromStr for Country {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        code.parse().map(Self).map_err(|_| "must be a country code of two capitals (ISO 3166-1), like CN".to_owned())
    }
}
