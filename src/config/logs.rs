//! What is logged, and how.

use super::variables::Variables;
use crate::telemetry::{LogFormat, check_filter};

/// As read: `None` after a mistake.
pub(super) struct Logs {
    pub(super) filter: Option<String>,
    pub(super) format: Option<LogFormat>,
}

impl Logs {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("Logs");
        Self {
            filter: env.value(
                "CRM_LOG",
                "info",
                "`error`, `warn`, `info`, `debug`, `trace`, or a filter by module",
                |text| check_filter(text).map(|()| text.to_owned()),
            ),
            format: env.value("CRM_LOG_FORMAT", "json", "`json`, or `text` for people", str::parse),
        }
    }
}
