//! Metrics of requests by method, route and status.
//!
//! A label has no more values than the contract: the route is a template or [`NO_ROUTE`], and a method that the contract does
//! not use is `other`. What a request is counted by is looked up once for each operation and status, and then kept with the
//! route: counting allocates nothing.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

use super::registrar::{Histograms, Registrar};

/// The route of a path that the contract does not know.
pub const NO_ROUTE: &str = "none";

/// The methods that are told apart, and what stands for all others.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const OTHER: &str = "other";

/// The statuses that are found without a look-up: those that the service answers with.
const STATUSES: [u16; 19] =
    [200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 429, 431, 500, 503];

/// The upper bounds of durations, in seconds.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Metrics of requests. Clones are the same.
#[derive(Clone)]
pub struct RequestMetrics {
    replies: Family<ReplyLabels, Counter<u64, AtomicU64>>,
    seconds: Histograms<ReplyLabels>,
    under_way: Family<OperationLabels, Gauge>,
    abandoned: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    method: &'static str,
    route: Arc<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplyLabels {
    method: &'static str,
    route: Arc<String>,
    status: u16,
}

/// The metrics of the requests of one route.
pub struct RouteMetrics {
    route: Arc<String>,
    metrics: RequestMetrics,
    methods: [OnceLock<Box<OperationMetrics>>; METHODS.len()],
    other: OnceLock<Box<OperationMetrics>>,
}

struct OperationMetrics {
    method: &'static str,
    under_way: Gauge,
    replies: [OnceLock<Reply>; STATUSES.len()],
}

struct Reply {
    count: Counter<u64, AtomicU64>,
    seconds: Histogram,
}

/// A request that is counted as under way until it is dropped.
pub struct RequestUnderWay<'r> {
    route: &'r RouteMetrics,
    operation: &'r OperationMetrics,
    is_answered: bool,
}

impl RequestMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        Self {
            replies: new.metric("http_requests", "Requests that were answered, by method, route and status"),
            seconds: new.histograms(
                "http_request_duration_seconds",
                "Time from the head of a request to its reply, by method, route and status",
                || Histogram::new(SECONDS),
            ),
            under_way: new.metric(
                "http_requests_under_way",
                "Requests that are not answered yet, those that wait for something included, by method and route",
            ),
            abandoned: new.metric("http_requests_abandoned", "Requests whose clients were gone before the reply"),
        }
    }

    /// The metrics of a route, none of which is shown yet.
    #[must_use]
    pub fn route(&self, template: &str) -> RouteMetrics {
        RouteMetrics {
            route: Arc::new(template.to_owned()),
            metrics: self.clone(),
            methods: [const { OnceLock::new() }; METHODS.len()],
            other: OnceLock::new(),
        }
    }

    fn reply(&self, operation: OperationLabels, status: u16) -> Reply {
        let OperationLabels { method, route } = operation;
        let labels = ReplyLabels { method, route, status };
        Reply { count: self.replies.get_or_create_owned(&labels), seconds: self.seconds.get_or_create_owned(&labels) }
    }
}

impl RouteMetrics {
    /// Shows an operation before its first request: replies with these statuses are counted from zero on, and durations of those
    /// that succeed.
    pub fn declare(&self, method: &str, statuses: impl IntoIterator<Item = u16>) {
        let operation = self.operation(method);
        for status in statuses {
            if (200..300).contains(&status) {
                operation.find(self, status, |_| {});
            } else {
                let labels = ReplyLabels { method: operation.method, route: Arc::clone(&self.route), status };
                drop(self.metrics.replies.get_or_create(&labels));
            }
        }
    }

    /// A request begins.
    #[must_use]
    pub fn begin(&self, method: &str) -> RequestUnderWay<'_> {
        let operation = self.operation(method);
        operation.under_way.inc();
        RequestUnderWay { route: self, operation, is_answered: false }
    }

    fn operation(&self, method: &str) -> &OperationMetrics {
        let mut known = METHODS.iter().zip(&self.methods);
        let (&method, operation) = known.find(|(known, _)| **known == method).unwrap_or((&OTHER, &self.other));
        operation.get_or_init(|| {
            let labels = OperationLabels { method, route: Arc::clone(&self.route) };
            Box::new(OperationMetrics {
                method,
                under_way: self.metrics.under_way.get_or_create_owned(&labels),
                replies: [const { OnceLock::new() }; STATUSES.len()],
            })
        })
    }
}

impl OperationMetrics {
    /// Does something with what replies of this status are counted by.
    fn find(&self, route: &RouteMetrics, status: u16, then: impl FnOnce(&Reply)) {
        let make = || {
            let operation = OperationLabels { method: self.method, route: Arc::clone(&route.route) };
            route.metrics.reply(operation, status)
        };
        match STATUSES.binary_search(&status).ok().and_then(|index| self.replies.get(index)) {
            Some(reply) => then(reply.get_or_init(make)),
            None => then(&make()),
        }
    }
}

impl RequestUnderWay<'_> {
    /// The request was answered with this status, after so long.
    pub fn answered(mut self, status: u16, after: Duration) {
        self.is_answered = true;
        self.operation.find(self.route, status, |reply| {
            reply.count.inc();
            reply.seconds.observe(after.as_secs_f64());
        });
    }
}

impl Drop for RequestUnderWay<'_> {
    fn drop(&mut self) {
        self.operation.under_way.dec();
        if !self.is_answered {
            self.route.metrics.abandoned.inc();
        }
    }
}
