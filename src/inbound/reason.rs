//! Why an event cannot be applied, in words that quote nothing of it: they go into a header, into the log and to operators.

/// Maximum length of a reason, in characters.
const MAX: usize = 500;

/// How serde begins messages that go on with what was given: values, and names of fields.
const QUOTING: [&str; 5] =
    ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];

/// The message, without what serde quotes, on one line, and not longer than 500 characters.
#[must_use]
pub fn without_values(message: &str) -> String {
    let quoting = QUOTING.iter().filter_map(|quoting| message.find(quoting)).min();
    let text = match quoting.and_then(|at| message.split_at_checked(at)) {
        None => message.to_owned(),
        // What is expected stands last, and is this program's.
        Some((field, quoted)) => match quoted.rsplit_once(", expected ") {
            Some((_, expected)) => format!("{field}must be {expected}"),
            None => format!("{field}is not what it must be"),
        },
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX).collect()
}
