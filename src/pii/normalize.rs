//! One form for every way of writing the same value, so that each way finds it. This is the one place that says what a stored
//! value is found by ([`Forms`]), and under what a searched one is looked up.
//!
//! Rows have the forms as blind indexes. Those that the release before wrote have its one form ([`former`]), until they are
//! indexed anew ([`super::reindex`]): a search looks for that too.

use icu_casemap::CaseMapper;
use phonenumber::{Mode, PhoneNumber};

use super::{clean, domain};
use crate::{config::Country, values::text::is_ignorable};

/// The characters that an extension may begin with.
const EXTENSION: [char; 8] = ['e', 'E', 'x', 'X', 't', 'T', '#', '转'];
/// The fewest digits of a phone number.
const DIGITS: usize = 3;

/// The most digits of an extension that nothing but a hyphen tells from the number.
const LONGEST_HYPHENATED: usize = 5;

/// The forms that a stored value is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forms {
    /// The form of the whole value.
    pub full: String,
    /// The form of a phone number without its extension, where it has one.
    pub base: Option<String>,
}

/// A phone number in the form of E.164, by the rules of libphonenumber, with the extension behind an `x`. What they cannot read
/// is reduced to its digits; the release before also stored some without any.
pub(super) fn phone(clear: &str, country: Country) -> Forms {
    let dialled = Dialled::read(clear).with_hyphenated(clear, country);
    let number = match dialled.parse(country) {
        Some(number) => e164(&number),
        None => dialled.unread(clear),
    };
    match dialled.extension.as_str() {
        "" => Forms { full: number, base: None },
        extension => Forms { full: format!("{number}x{extension}"), base: Some(number) },
    }
}

/// The forms under which a phone number may be stored that is searched in this spelling. Without an extension it finds also
/// those with one.
pub(super) fn phone_lookups(searched: &str, country: Country) -> Vec<String> {
    let dialled = Dialled::read(searched).with_hyphenated(searched, country);
    let mut numbers = vec![dialled.unread(searched)];
    numbers.extend(dialled.parse(country).as_ref().map(e164));
    numbers.extend(dialled.other_readings(country).iter().map(e164));
    let suffix = if dialled.extension.is_empty() { String::new() } else { format!("x{}", dialled.extension) };
    let mut forms: Vec<String> = numbers.into_iter().map(|number| number + &suffix).collect();
    forms.push(former::phone(searched, country));
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// An e-mail address in small letters, with its domain as the DNS knows it. Characters that are there to be ignored may be in
/// what the release before stored.
pub(super) fn email(clear: &str) -> Forms {
    let seen: String = clean::email(clear).chars().filter(|c| !is_ignorable(*c)).collect();
    let (mailbox, name) = seen.split_once('@').unwrap_or((&seen, ""));
    let name = domain::to_ascii(name).unwrap_or_else(|| without_case(name));
    Forms { full: format!("{}@{name}", without_case(mailbox)), base: None }
}

/// The forms under which an e-mail address may be stored that is searched in this spelling.
pub(super) fn email_lookups(searched: &str) -> Vec<String> {
    let (form, former) = (email(searched).full, former::email(searched));
    if form == former { vec![form] } else { vec![form, former] }
}

/// A text without the difference between capitals and small letters (Unicode's full case folding), in the form NFKC.
fn without_case(text: &str) -> String {
    let folded = CaseMapper::new().fold_string(&clean::compatible(text)).into_owned();
    clean::compatible(&folded).into_owned()
}

fn e164(number: &PhoneNumber) -> String {
    number.format().mode(Mode::E164).to_string()
}

/// A phone number as it is dialled.
pub(super) struct Dialled {
    /// Whether it begins with a `+`.
    pub is_international: bool,
    /// The digits of the number, without the extension's.
    pub digits: String,
    /// The digits of the extension; none mostly.
    extension: String,
}

impl Dialled {
    /// Takes a phone number apart, as far as its signs tell.
    pub(super) fn read(text: &str) -> Self {
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

    /// The same with what is behind the last hyphen as the extension, as in `021-6666-8888-12`: where that is short, what is
    /// before it is a number of its own, and all together are none.
    fn with_hyphenated(self, text: &str, country: Country) -> Self {
        let is_valid = |dialled: &Self| dialled.parse(country).is_some_and(|number| number.is_valid());
        let Some((before, behind)) = text.rsplit_once('-') else { return self };
        let extension = behind.trim();
        let is_short = (1..=LONGEST_HYPHENATED).contains(&extension.len());
        if !is_short || !extension.bytes().all(|c| c.is_ascii_digit()) || !self.extension.is_empty() || is_valid(&self)
        {
            return self;
        }
        let number = Self::read(before);
        if !is_valid(&number) || !number.extension.is_empty() {
            self
        } else {
            Self { extension: extension.to_owned(), ..number }
        }
    }

    /// The form of a number that libphonenumber cannot read.
    fn unread(&self, text: &str) -> String {
        if self.digits.is_empty() { text.to_owned() } else { self.digits.clone() }
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
