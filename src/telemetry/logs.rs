//! Logs: one JSON object a line, or text for people.
//!
//! Every line of a request carries its `trace_id`, `request_id`, `method`, and, once they are known, `tenant_id` and `actor`;
//! the one line at its end (`answered`) also the route's template, the status and the duration. No line ever has a token,
//! a key, a body, a query or a value from one: what this crate logs is chosen with care, and what the libraries log below
//! WARN is left out at every level, because statements and headers are in it, and of the clients of brokers everything.

use std::str::FromStr;

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

/// What may be logged whatever the filter says: everything of ours, and of the libraries what is wrong.
fn is_safe(event: &Metadata<'_>) -> bool {
    let level = match event.target() {
        ours if ours == "crm" || ours.starts_with("crm::") => LevelFilter::TRACE,
        "sea_orm_migration::migrator" | "sea_orm_migration::migrator::exec" => LevelFilter::INFO,
        // They log lines of password files and parameters of addresses as they stand.
        sqlx if sqlx.starts_with("sqlx_postgres::options") => LevelFilter::OFF,
        // It logs whole messages that were returned to it.
        lapin if lapin.starts_with("lapin") => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    };
    *event.level() <= level
}

/// What writes log events of this filter in this format.
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
        LogFormat::Text => Box::new(tracing_subscriber::fmt::layer().with_writer(writer)),
    };
    Registry::default().with(layer.with_filter(filter).with_filter(filter_fn(is_safe)))
}

/// Starts logging for this process, to its standard error.
pub fn start(filter: &str, format: LogFormat, stderr: &StandardError) {
    let lines = stderr.lines();
    // A second start, in a test, changes nothing.
    let _already_started = subscriber(filter, format, move || lines.clone()).try_init();
    // A panic's text may hold anything; where it happened is what a developer needs.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(location = panic.location().map(ToString::to_string), "a panic");
    }));
}
