//! Errors of `serde_json`, in words for whoever sent the JSON.

/// What is wrong, without the position in the text: no use to someone who sent an object.
#[must_use]
pub fn message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned()
}

/// What is wrong, and where: `path` is that of `serde_path_to_error`, `.` for the whole value.
#[must_use]
pub fn describe(path: &str, error: &serde_json::Error) -> String {
    match path {
        "." => message(error),
        path => format!("{path}: {}", message(error)),
    }
}
