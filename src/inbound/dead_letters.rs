//! What operators may see of a dead letter: never what the event says.

use serde::Deserialize;
use serde_json::Value;

use super::{envelope::EventId, reason};
use crate::{broker::DeadLetter, values::ContractValue};

/// Maximum length of a type that is shown, in bytes.
const TYPE: usize = 64;

/// A dead letter, without its values. What cannot be read, or is not of the right form, is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// The event's id.
    pub event_id: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The system that sent it.
    pub sender: Option<String>,
    /// Why it could not be applied.
    pub reason: String,
    /// Since when it is a dead letter.
    pub since: Option<String>,
    /// The event's size, in bytes.
    pub size: usize,
}

/// What of an event can be read, however wrong the rest is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    event_id: Value,
    event_type: Value,
}

impl DeadLetterSummary {
    /// The summary of a dead letter.
    #[must_use]
    pub fn of(letter: &DeadLetter) -> Self {
        // serde would also read the two from an array of any texts.
        let is_object = letter.payload.trim_ascii_start().starts_with(b"{");
        let head = is_object.then(|| serde_json::from_slice(&letter.payload).ok()).flatten();
        let Head { event_id, event_type } = head.unwrap_or_default();
        let event_type = event_type.as_str().filter(|text| is_type(text));
        let since = letter.since.as_deref().filter(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok());
        Self {
            event_id: EventId::from_value(event_id).ok().map(EventId::into_string),
            event_type: event_type.map(str::to_owned),
            sender: event_type.and_then(|text| text.split('.').next()).map(str::to_owned),
            reason: reason::without_values(letter.reason.as_deref().unwrap_or_default()),
            since: since.map(str::to_owned),
            size: letter.payload.len(),
        }
    }
}

/// Whether a text is a type of event, of whatever system: `erp.contract.signed`.
fn is_type(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.len() <= TYPE && text.contains('.') && text.split('.').all(is_word)
}
