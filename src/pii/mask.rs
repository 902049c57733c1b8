//! What is left visible of a phone number and an e-mail address: `138****5678`, `+86 138****5678`, `a***@b.com`.
//!
//! The number of stars is fixed, so that the length is hidden too. Of a short value never more is shown than hidden.

const STARS: &str = "****";

/// Masks a phone number. Of eleven digits and more the first three and last four are shown, of eight and more the first
/// and last two, of fewer the last quarter; everything that is not a digit is dropped. An international number of usual
/// length keeps its calling code besides, which says no more than the country.
#[must_use]
pub fn phone(clear: &str) -> String {
    let digits: String = clear.chars().filter(char::is_ascii_digit).collect();
    let plus = clear.starts_with('+');
    match digits.split_at_checked(calling_code(&digits)) {
        Some((code, rest)) if plus && rest.len() >= 8 => format!("+{code} {}", ends(rest)),
        _ => format!("{}{}", if plus { "+" } else { "" }, ends(&digits)),
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

/// How many digits of an international number are its calling code: one for the zones 1 and 7, else three but for the codes of
/// two (ITU-T E.164, annex: list of assigned country codes).
fn calling_code(digits: &str) -> usize {
    const TWO: &str = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 \
                       81 82 84 86 90 91 92 93 94 95 98 ";
    match digits.get(..2) {
        Some(zone) if zone.starts_with(['1', '7']) => 1,
        Some(zone) if TWO.contains(&format!(" {zone} ")) => 2,
        _ => 3,
    }
}

/// Masks an e-mail address: the first character of the mailbox is shown where it has more than one, and the domain.
#[must_use]
pub fn email(clear: &str) -> String {
    let (mailbox, domain) = clear.split_once('@').unwrap_or((clear, ""));
    let mut characters = mailbox.chars();
    let first = characters.next().filter(|_| characters.next().is_some());
    format!("{}***@{domain}", first.map(String::from).unwrap_or_default())
}
