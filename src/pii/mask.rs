//! What is left visible of a phone number and an e-mail address: `138****5678`, `a***@b.com`.
//!
//! The number of stars is fixed, so that the length is hidden too. Of a short value never more is shown than hidden.

const STARS: &str = "****";

/// Masks a phone number. Of eleven digits and more the first three and last four are shown, of eight and more the first
/// and last two, of fewer the last quarter; other characters are dropped but for a leading `+`.
#[must_use]
pub fn phone(clear: &str) -> String {
    let plus = if clear.starts_with('+') { "+" } else { "" };
    let digits: String = clear.chars().filter(char::is_ascii_digit).collect();
    let (head, tail) = match digits.len() {
        11.. => (3, 4),
        8..=10 => (2, 2),
        count => (0, count / 4),
    };
    let shown = |range| digits.get(range).unwrap_or_default();
    format!("{plus}{}{STARS}{}", shown(0..head), shown(digits.len() - tail..digits.len()))
}

/// Masks an e-mail address: the first character of the mailbox is shown where it has more than one, and the domain.
#[must_use]
pub fn email(clear: &str) -> String {
    let (mailbox, domain) = clear.split_once('@').unwrap_or((clear, ""));
    let mut characters = mailbox.chars();
    let first = characters.next().filter(|_| characters.next().is_some());
    format!("{}***@{domain}", first.map(String::from).unwrap_or_default())
}
