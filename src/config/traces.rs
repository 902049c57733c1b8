//! Traces: the standard variables of OpenTelemetry, which platforms set for all their services at once. So a value that is not
//! understood is a warning, and the default holds.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::{
    secret::Masked,
    variables::{SecretName, Variables, text},
};
use crate::telemetry::span_export::TraceExport;

/// The address for traces at a collector, where only the collector's is set.
const PATH: &str = "v1/traces";

/// Headers, as `name=value,…`.
struct Headers(Vec<(String, SecretString)>);

impl Masked for Headers {
    fn masked(&self) -> String {
        self.0.iter().map(|(name, _)| format!("{name}=***")).collect::<Vec<_>>().join(",")
    }
}

/// Where spans go; `None` where traces are off, which is as long as no collector is named.
pub(super) fn read(env: &mut Variables<'_>) -> Option<TraceExport> {
    env.about("Traces");
    let disabled = env.lenient("OTEL_SDK_DISABLED", "false", "`true`: there are no traces, whatever else is set", flag);
    let exporter = env.lenient(
        "OTEL_TRACES_EXPORTER",
        "",
        "`otlp`, `none`; where it is not set, spans are exported if an endpoint is",
        exporter,
    );
    let endpoint = endpoint(env);
    let headers = headers(env);
    protocol(env);
    let timeout = timeout(env);
    let service_name = env.lenient("OTEL_SERVICE_NAME", "crm", "the name of this service in traces", text);
    let attributes = env.lenient(
        "OTEL_RESOURCE_ATTRIBUTES",
        "",
        "what else is said of this service: `deployment.environment.name=production,…`",
        pairs,
    );
    let sampler = sampler(env);
    let delay =
        env.lenient("OTEL_BSP_SCHEDULE_DELAY", "5000", "milliseconds that spans wait to be sent together", millis);
    let queue =
        env.lenient("OTEL_BSP_MAX_QUEUE_SIZE", "2048", "spans that wait at most; further ones are dropped", count);
    let batch = env.lenient("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512", "spans that are sent at once, at most", count);

    let wanted = exporter.unwrap_or(endpoint.is_some());
    if disabled == Some(true) || !wanted {
        return None;
    }
    Some(TraceExport {
        endpoint: endpoint.unwrap_or_else(|| format!("http://localhost:4318/{PATH}")),
        headers,
        timeout: timeout?,
        service_name: service_name?,
        attributes: attributes.unwrap_or_default(),
        sampler: sampler?,
        queue: queue?,
        batch: batch?,
        delay: delay?,
    })
}

fn endpoint(env: &mut Variables<'_>) -> Option<String> {
    let base = env.lenient("OTEL_EXPORTER_OTLP_ENDPOINT", "", "the collector: `http://collector:4318`", address);
    let meaning = "the same for traces alone, with the path: `http://collector:4318/v1/traces`";
    let traces = env.lenient("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", meaning, address);
    traces.or_else(|| base.map(|base| format!("{}/{PATH}", base.trim_end_matches('/'))))
}

fn headers(env: &mut Variables<'_>) -> Vec<(String, SecretString)> {
    let all = SecretName { name: "OTEL_EXPORTER_OTLP_HEADERS", file: "OTEL_EXPORTER_OTLP_HEADERS_FILE" };
    let of_traces =
        SecretName { name: "OTEL_EXPORTER_OTLP_TRACES_HEADERS", file: "OTEL_EXPORTER_OTLP_TRACES_HEADERS_FILE" };
    let meaning = "headers for the collector, such as a key: `name=value,…`, percent-encoded";
    let all = env.secret(all, (meaning, "file with them"), secret_pairs);
    let of_traces = env.secret(of_traces, ("the same for traces alone", "file with them"), secret_pairs);
    of_traces.or(all).map(|Headers(headers)| headers).unwrap_or_default()
}

/// There is one: any other is a warning.
fn protocol(env: &mut Variables<'_>) {
    let only = |text: &str| match text {
        "http/protobuf" => Ok(()),
        _ => Err("is not spoken here: http/protobuf is used, as a rule at port 4318".to_owned()),
    };
    let _only_one = env.lenient("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "`http/protobuf`", only);
    let _only_one = env.lenient("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "", "the same for traces alone", only);
}

fn timeout(env: &mut Variables<'_>) -> Option<Duration> {
    let meaning = "milliseconds that the collector may take for a batch, with repetitions";
    let all = env.lenient("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", meaning, millis);
    env.lenient("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "", "the same for traces alone", millis).or(all)
}

/// `parentbased_…` follows what the caller decided.
fn sampler(env: &mut Variables<'_>) -> Option<Sampler> {
    let meaning = "which traces are recorded: `always_on`, `always_off`, `traceidratio`, or `parentbased_` and one of them, which \
                   follows the caller's decision";
    let named = |text: &str| match text {
        "always_on"
        | "always_off"
        | "traceidratio"
        | "parentbased_always_on"
        | "parentbased_always_off"
        | "parentbased_traceidratio" => Ok(text.to_owned()),
        _ => Err("is not a sampler of this service".to_owned()),
    };
    let name = env.lenient("OTEL_TRACES_SAMPLER", "parentbased_always_on", meaning, named)?;
    let ratio = env.lenient("OTEL_TRACES_SAMPLER_ARG", "", "the share of traces for `traceidratio`: 0 to 1", ratio);
    let root = match name.trim_start_matches("parentbased_") {
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0)),
        _ => Sampler::AlwaysOn,
    };
    Some(if name.starts_with("parentbased_") { Sampler::ParentBased(Box::new(root)) } else { root })
}

/// `otlp` (`true`) or `none`.
fn exporter(text: &str) -> Result<bool, String> {
    match text {
        "otlp" => Ok(true),
        "none" => Ok(false),
        _ => Err("must be otlp or none".to_owned()),
    }
}

fn flag(text: &str) -> Result<bool, String> {
    Ok(text.eq_ignore_ascii_case("true"))
}

fn address(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(text.to_owned()),
        Some(_) => Err("must be an address without a password: that is for OTEL_EXPORTER_OTLP_HEADERS".to_owned()),
        None => Err("must be an address like http://collector:4318".to_owned()),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    let millis = text.parse::<u32>().ok().filter(|millis| *millis > 0);
    millis
        .map(|millis| Duration::from_millis(millis.into()))
        .ok_or_else(|| "must be a number of milliseconds".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse::<usize>().ok().filter(|count| (1..=1 << 20).contains(count));
    count.ok_or_else(|| "must be a number from 1 to 1048576".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

/// `name=value,…`, percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((name.trim().to_owned(), value.into_owned())).filter(|(name, _)| !name.is_empty())
    };
    let pairs = text.split(',').filter(|text| !text.trim().is_empty()).map(pair).collect::<Option<_>>();
    pairs.ok_or_else(|| "must be name=value,…".to_owned())
}

fn secret_pairs(text: &str) -> Result<Headers, String> {
    Ok(Headers(pairs(text)?.into_iter().map(|(name, value)| (name, value.into())).collect()))
}
