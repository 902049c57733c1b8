//! One form for every way of writing the same value, so that each way finds it. This is the one place that says what a stored
//! value is found by ([`Forms`]), and under what a searched one is looked up.
//!
//! Rows have the forms as blind indexes. Those that the release before wrote have its one form ([`former`]), until they are
//! indexed anew ([`super::reindex`]): a search looks for that too.

use phonenumber::{Mode, PhoneNumber};

use super::{clean, domain};
use crate::config::Country;

/// The characters that an extension may begin with.
const EXTENSION: [char; 8] = ['e', 'E', 'x', 'X', 't', 'T', '#', '转'];
/// The fewest digits of a phone number.
const DIGITS: usize = 3;

/// The forms that a stored value is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forms {
    /// The form of the whole value.
    pub full: String,
    /// The form of a phone number without its extension, where it has one.
    pub base: Option<String>,
}

/// A phone number in the form of E.164, by the rules of libphonenumber, with the extension behind an `x`. What they cannot read
/// is reduced to its digits.
pub(super) fn phone(clear: &str, country: Country) -> Forms {
    let dialled = Dialled::read(clear);
    let number = match dialled.parse(country) {
        Some(number) => e164(&number),
        None => dialled.digits.clone(),
    };
    match dialled.extension.as_str() {
        "" => Forms { full: number, base: None },
        extension => Forms { full: format!("{number}x{extension}"), base: Some(number) },
    }
}

/// The forms under which a phone number may be stored that is searched in this spelling. Without an extension it finds also
/// those with one.
pub(super) fn phone_lookups(searched: &str, country: Country) -> Vec<String> {
    let dialled = Dialled::read(searched);
    let mut numbers = vec![dialled.digits.clone()];
    numbers.extend(dialled.parse(country).as_ref().map(e164));
    numbers.extend(dialled.other_readings(country).iter().map(e164));
    let suffix = if dialled.extension.is_empty() { String::new() } else { format!("x{}", dialled.extension) };
    let mut forms: Vec<String> = numbers.into_iter().map(|number| number + &suffix).collect();
    forms.push(former::phone(searched, country));
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// An e-mail address in small letters, with its domain as the DNS knows it.
pub(super) fn email(clear: &str) -> Forms {
    let (mailbox, name) = clear.split_once('@').unwrap_or((clear, ""));
    let name = domain::to_ascii(name).unwrap_or_else(|| without_case(name));
    Forms { full: format!("{}@{name}", without_case(mailbox)), base: None }
}

/// The forms under which an e-mail address may be stored that is searched in this spelling.
pub(super) fn email_lookups(searched: &str) -> Vec<String> {
    let (form, former) = (email(searched).full, former::email(searched));
    if form == former { vec![form] } else { vec![form, former] }
}

/// A text without the difference between capitals and small letters, in Unicode's form NFKC. The letters whose small form
/// depends on where they stand (`ς`), or which have no capital of their own (`ß`), are taken by way of their capitals.
fn without_case(text: &str) -> String {
    let small = clean::compatible(text).to_lowercase();
    let folded: String = small.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    clean::compatible(&folded).into_owned()
}

fn e164(number: &PhoneNumber) -> String {
    number.format().mode(Mode::E164).to_string()
}

/// A phone number as it is dialled.
struct Dialled {
    /// Whether it begins with a `+`.
    is_international: bool,
    digits: String,
    /// The digits of the extension; none mostly.
    extension: String,
}

impl Dialled {
    fn read(text: &str) -> Self {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let begin = text.find(|c: char| c == '+' || c.is_ascii_digit());
        let is_international = begin.is_some_and(|begin| text.get(begin..).is_some_and(|rest| rest.starts_with('+')));
        let (main, rest) = text.split_at_checked(text.find(EXTENSION).unwrap_or(text.len())).unwrap_or((text, ""));
        let (number, extension) = (digits(main), digits(rest));
        if number.len() < DIGITS || extension.is_empty() {
            return Self { is_international, digits: digits(text), extension: String::new() };
        }
        Self { is_international, digits: number, extension }
    }

    /// The number by the rules of libphonenumber, if they can read it.
    fn parse(&self, country: Country) -> Option<PhoneNumber> {
        let plus = if self.is_international { "+" } else { "" };
        parse(&format!("{plus}{}", self.digits), country)
    }

    /// What else the digits may mean, where whoever stored or searches the number left out the `+`, or wrote `00` for it where
    /// that is not dialled: as far as the country has no such number of its own.
    fn other_readings(&self, country: Country) -> Vec<PhoneNumber> {
        let digits = &self.digits;
        let is_own = parse(digits, country).is_some_and(|number| number.is_valid());
        let spellings = match self.is_international {
            true => [digits.clone(), format!("00{digits}")],
            false if is_own => return Vec::new(),
            false => [format!("+{digits}"), format!("+{}", digits.strip_prefix("00").unwrap_or(digits))],
        };
        let readings = spellings.iter().filter_map(|spelling| parse(spelling, country));
        readings.filter(|number| number.is_valid() != self.is_international).collect()
    }
}

fn parse(text: &str, country: Country) -> Option<PhoneNumber> {
    phonenumber::parse(Some(country.id()), text).ok()
}

/// The forms of the release before, which its rows have until they are indexed anew.
mod former {
    use phonenumber::Mode;

    use crate::config::Country;

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

    pub(super) fn email(clear: &str) -> String {
        clear.to_lowercase()
    }
}
