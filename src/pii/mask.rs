//! What stays visible of a phone number and an e-mail address: `138****5678`, `+86 138****5678`, `a***@b.com`.
//!
//! The number of stars is fixed, so that the length is hidden too. Of a short value, no more is shown than is hidden.

use phonenumber::metadata::DATABASE;

use super::normalize::Dialled;

const STARS: &str = "****";

/// Masks a phone number. Of eleven digits and more the first three and last four are shown, of eight and more the first
/// and last two, of fewer the last quarter; everything that is not a digit is dropped, and so is an
/// extension. An international number of usual
/// length also keeps its calling code, which tells no more than the country.
#[must_use]
pub fn phone(clear: &str) -> String {
    let Dialled { is_international, digits, .. } = Dialled::read(clear);
    if !is_international {
        return ends(&digits);
    }
    match digits.split_at_checked(calling_code(&digits)) {
        Some((code, rest)) if rest.len() >= 8 => format!("+{code} {}", ends(rest)),
        _ => format!("+{}", ends(&digits)),
    }
}

/// The first and last digits, with stars between them.
fn ends(digits: &str) -> String {
    let (head, tail) = match digits.len() {
        11.. => (3, 4),
        8..=10 => (2, 2),
        count => (0, count / 4),
    };
    let shown = |range| digits.get(range).unwrap_or_default();
    format!("{}{STARS}{}", shown(0..head), shown(digits.len() - tail..digits.len()))
}

/// How many digits of an international number are its calling code: one to three, and no code is the beginning of another
/// (ITU-T E.164). An unknown code counts as three.
fn calling_code(digits: &str) -> usize {
    let is_code = |length: &usize| {
        let code = digits.get(..*length).filter(|code| !code.starts_with('0'));
        code.and_then(|code| code.parse::<u16>().ok()).is_some_and(|code| DATABASE.by_code(&code).is_some())
    };
    [1, 2].into_iter().find(is_code).unwrap_or(3)
}

/// Masks an e-mail address: the domain is shown, and the first character of a mailbox that has more than one.
#[must_use]
pub fn email(clear: &str) -> String {
    let (mailbox, domain) = clear.split_once('@').unwrap_or((clear, ""));
    let mut characters = mailbox.chars();
    let first = characters.next().filter(|_| characters.next().is_some());
    format!("{}***@{domain}", first.map(String::from).unwrap_or_default())
}
