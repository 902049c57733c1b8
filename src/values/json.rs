//! `serde_json` errors as messages for clients.

/// The message without line and column, which mean nothing to a client that sent an object.
#[must_use]
pub fn message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned()
}

/// The message, prefixed with the path that `serde_path_to_error` reports; `.` is the whole value.
#[must_use]
pub fn describe(path: &str, error: &serde_json::Error) -> String {
    match path {
        "." => message(error),
        path => format!("{path}: {}", message(error)),
    }
}

/// The text without its byte order mark, which parsers may ignore (RFC 8259, section 8.1).
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}
