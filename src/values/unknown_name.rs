//! What a client is told of a name that does not exist: of a field, or of a query parameter.

/// The longest name that is repeated to the client.
const LONGEST: usize = 64;

/// An unknown name, where it may be repeated, and what else there is: the name that was probably meant, or all of them.
/// `what` is "a field of this body", "a parameter of this operation".
#[must_use]
pub fn describe(name: &str, what: &str, known: &[&str]) -> String {
    let subject = if looks_like_a_name(name) { format!("{name}:") } else { "a name that was sent".to_owned() };
    match (nearest(name, known), known) {
        (Some(meant), _) => format!("{subject} is not {what}; did you mean {meant}?"),
        (None, []) => format!("{subject} is not {what}, which has none"),
        (None, known) => format!("{subject} is not {what}, which has {}", known.join(", ")),
    }
}

/// Whether a text looks like a name. Anything else may be a misplaced value, which must not be repeated: a phone number, an
/// e-mail address, a sentence.
#[must_use]
pub fn looks_like_a_name(text: &str) -> bool {
    text.len() <= LONGEST
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'-' | b'.'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().filter(u8::is_ascii_digit).count() <= 3
}

/// The known name that was probably meant: written otherwise (`customerID`, `page_size`), mistyped, or only in part
/// (`phone` for `contactPhone`).
#[must_use]
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |name: &str| name.replace(['_', '-', '.'], "").to_ascii_lowercase();
    if !looks_like_a_name(name) {
        return None;
    }
    let name = plain(name);
    let distance = |known: &str| match strsim::osa_distance(&name, known) {
        near if near <= name.len().div_ceil(4).min(2) => Some(near),
        _ if name.len() >= 4 && known.contains(&name) => Some(usize::MAX),
        _ => None,
    };
    let candidates = known.iter().filter_map(|known| Some((distance(&plain(known))?, *known)));
    candidates.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}
