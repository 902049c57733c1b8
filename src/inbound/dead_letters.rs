//! What operators may see of a dead letter: never what the event says.

use super::{names::EventNames, reason};
use crate::broker::DeadLetter;

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

impl DeadLetterSummary {
    /// The summary of a dead letter.
    #[must_use]
    pub fn of(letter: &DeadLetter) -> Self {
        let names = EventNames::of(&letter.payload);
        let since = letter.since.as_deref().filter(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok());
        Self {
            sender: names.sender(),
            event_id: names.event_id,
            event_type: names.event_type,
            reason: reason::without_values(letter.reason.as_deref().unwrap_or_default()),
            since: since.map(str::to_owned),
            size: letter.payload.len(),
        }
    }
}
