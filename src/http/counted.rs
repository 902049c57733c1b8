//! What requests are counted by: the route of the contract, the method and the status.

use poem::http::Method;

use super::contract::Contract;
use crate::telemetry::{
    metrics::Metrics,
    request_metrics::{NO_ROUTE, RequestUnderWay, RouteMetrics},
};

/// The metrics of each route of a contract.
pub struct CountedRoutes {
    /// In the order of the contract's templates.
    routes: Vec<RouteMetrics>,
    unknown: RouteMetrics,
}

impl CountedRoutes {
    /// The routes of this contract, whose operations are shown from the start on.
    #[must_use]
    pub fn of(contract: &Contract, metrics: &Metrics) -> Self {
        let shown = |template: &str| {
            let route = metrics.http.requests.route(template);
            for (method, statuses) in contract.statuses(template) {
                route.declare(&method, statuses);
            }
            route
        };
        Self {
            routes: contract.paths().templates().map(shown).collect(),
            unknown: metrics.http.requests.route(NO_ROUTE),
        }
    }

    /// A request to the contract's template at this place begins, or to none.
    #[must_use]
    pub fn begin(&self, place: Option<usize>, method: &Method) -> RequestUnderWay<'_> {
        place.and_then(|place| self.routes.get(place)).unwrap_or(&self.unknown).begin(method.as_str())
    }
}
