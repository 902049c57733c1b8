//! What operators see: logs, one event a line, on standard error.

use std::{io, str::FromStr};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One line of text, for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be json or text".to_owned()),
        }
    }
}

/// Whether a text is a filter of log events.
///
/// # Errors
/// What a filter looks like, if it is none.
pub fn check_filter(text: &str) -> Result<(), String> {
    EnvFilter::builder()
        .parse(text)
        .map(drop)
        .map_err(|_| "must be a level (error, warn, info, debug, trace) or module=level, …".to_owned())
}

/// Starts logging for this process. Statements of the database driver are never logged: they carry personal data.
pub fn start(filter: &str, format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(filter);
    let silence = ["sqlx=warn", "poem=warn", "hyper=info", "h2=info"].iter().filter_map(|text| text.parse().ok());
    let filter = silence.fold(filter, EnvFilter::add_directive);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start, in a test, changes nothing.
    let _already_started = match format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => logs.try_init(),
    };
    // A panic's text may hold anything; where it happened is what a developer needs.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(location = panic.location().map(ToString::to_string), "a panic");
    }));
}
