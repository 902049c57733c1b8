//! What a `Content-Type` says (RFC 9110, section 8.3).

/// Whether a `Content-Type` is JSON in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// It is.
    Utf8,
    /// JSON in another charset.
    OtherCharset,
    /// Another media type, or none.
    Other,
}

impl JsonType {
    /// Reads a `Content-Type`. JSON is in UTF-8 where it does not say otherwise (RFC 8259, section 8.1); parameters without
    /// a meaning for it are ignored.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !media_type.trim_matches(BLANK).eq_ignore_ascii_case("application/json") {
            return Self::Other;
        }
        let is_utf8 = |value: &str| ["utf-8", "utf8"].iter().any(|name| name.eq_ignore_ascii_case(value));
        let mut charsets = match parse_parameters(parameters) {
            Some(parameters) => parameters.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("charset")),
            None => return Self::Other,
        };
        if charsets.all(|(_, value)| is_utf8(&value)) { Self::Utf8 } else { Self::OtherCharset }
    }
}

/// What may stand around a semicolon.
const BLANK: [char; 2] = [' ', '\t'];

/// The parameters, which are separated by semicolons; `None` if they are malformed.
fn parse_parameters(text: &str) -> Option<Vec<(&str, String)>> {
    let mut parameters = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(BLANK);
        if let Some(next) = rest.strip_prefix(';') {
            rest = next;
            continue;
        }
        if rest.is_empty() {
            return Some(parameters);
        }
        let (name, value) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = value.split_at(value.find([';', ' ', '\t']).unwrap_or(value.len()));
                (Some(value).filter(|value| is_token(value))?.to_owned(), after)
            }
        };
        parameters.push((name, value));
        rest = after.trim_start_matches(BLANK);
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
    }
}

/// The rest of a quoted string, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

/// Whether a text is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
