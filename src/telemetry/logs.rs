//! Logs: one JSON object a line, or text for people.
//!
//! Every line of a request has its `trace_id`, `span_id`, `request_id`, `method` and, once they are known, `tenant_id` and
//! `actor`; the last one (`answered`, of a probe at DEBUG) also the route's template, the status and the duration. No line has a token, a key, a body, a query
//! or a value from one: this crate logs none, and libraries are silenced below WARN whatever the filter says, because they
//! log statements and headers there; the broker's client, which logs whole messages, is silenced altogether.

use std::{
    io::{IsTerminal, stderr},
    str::FromStr,
};

use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::stderr::StandardError;

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

/// Checks that a text is a filter of log events.
///
/// # Errors
/// What a filter looks like.
pub fn check_filter(text: &str) -> Result<(), String> {
    EnvFilter::builder()
        .parse(text)
        .map(drop)
        .map_err(|_| "must be a level (error, warn, info, debug, trace) or module=level, …".to_owned())
}

/// What a filter can at most let through: everything of this crate, warnings and errors of libraries.
fn is_safe(event: &Metadata<'_>) -> bool {
    let level = match event.target() {
        ours if ours == "crm" || ours.starts_with("crm::") => LevelFilter::TRACE,
        "sea_orm_migration::migrator" | "sea_orm_migration::migrator::exec" => LevelFilter::INFO,
        // Logs lines of password files and parameters of addresses as they are.
        sqlx if sqlx.starts_with("sqlx_postgres::options") => LevelFilter::OFF,
        // Logs returned messages in full.
        lapin if lapin.starts_with("lapin") => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    };
    *event.level() <= level
}

/// A subscriber that writes what the filter lets through, in this format.
pub fn subscriber<W>(filter: &str, format: LogFormat, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(filter);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => {
            let json = json_subscriber::fmt::layer::<Registry>().with_writer(writer).flatten_event(true);
            Box::new(json.flatten_current_span_on_top_level(true).with_current_span(false).with_span_list(false))
        }
        LogFormat::Text => {
            let text = tracing_subscriber::fmt::layer().with_writer(writer);
            // In colour on a terminal, unless NO_COLOR is set.
            Box::new(if stderr().is_terminal() { text } else { text.with_ansi(false) })
        }
    };
    Registry::default().with(layer.with_filter(filter).with_filter(filter_fn(is_safe)))
}

/// Writes why the process ends, as the last event and whatever the filter is.
pub fn fatal(cause: &str, stderr: &StandardError) {
    stderr.settle();
    let lines = stderr.lines();
    let last = subscriber("error", LogFormat::Json, move || lines.clone());
    tracing::subscriber::with_default(last, || tracing::error!(target: "crm::cli", cause, "crm cannot go on"));
}

/// Starts logging to standard error.
pub fn start(filter: &str, format: LogFormat, stderr: &StandardError) {
    let lines = stderr.lines();
    // A second start, in a test, changes nothing.
    let _already_started = subscriber(filter, format, move || lines.clone()).try_init();
    // Only the location: a panic's message may hold values.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(location = panic.location().map(ToString::to_string), "a panic");
    }));
}
