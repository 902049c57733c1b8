//! How long history is kept, in days.

use super::variables::Variables;

/// As read: `None` after a mistake.
pub(super) struct Retention {
    pub(super) audit: Option<u16>,
    pub(super) idempotency: Option<u16>,
    pub(super) events: Option<u16>,
    pub(super) changes: Option<u16>,
}

impl Retention {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("How long history is kept");
        Self {
            audit: env.value(
                "CRM_AUDIT_RETENTION_DAYS",
                "180",
                "days that audit entries are kept, at least 180",
                |text| days(text, 180),
            ),
            idempotency: env.value(
                "CRM_IDEMPOTENCY_RETENTION_DAYS",
                "30",
                "days that the ids of accepted requests and of consumed events are kept, at least 1",
                |text| days(text, 1),
            ),
            events: env.value(
                "CRM_EVENTS_RETENTION_DAYS",
                "7",
                "days that events are kept, at least 1; with a broker, events not yet published are kept longer",
                |text| days(text, 1),
            ),
            changes: env.value(
                "CRM_CHANGES_RETENTION_DAYS",
                "90",
                "days that `GET /changes` tells of a deletion, at least 1; readers who come later begin anew",
                |text| days(text, 1),
            ),
        }
    }
}

fn days(text: &str, min: u16) -> Result<u16, String> {
    match text.parse() {
        Ok(days) if days >= min => Ok(days),
        _ => Err(format!("must be {min} to {} days", u16::MAX)),
    }
}
