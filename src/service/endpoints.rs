//! The service as endpoints: the operations, wrapped in the service stack.

use std::{future::ready, sync::Arc};

use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route, endpoint::make_sync, get, http::header::ACCEPT,
};

use super::{
    asyncapi, contract,
    pages::{self, Versions},
    refusals,
};
use crate::{
    app::App,
    http::{
        body::BodyLimit,
        caller::Authenticator,
        contract::Contract,
        counted::CountedRoutes,
        document::Document,
        in_flight::InFlightLimit,
        limits::RequestLimits,
        probes::{self, Probed},
        rate::RateLimits,
        stack::{Refusal, ServiceStack},
    },
    telemetry::metrics::Exposition,
};

/// The whole service as one endpoint.
#[must_use]
pub fn service(app: &App) -> impl Endpoint<Output = Response> + 'static {
    service_with(app, contract::operations().into_endpoint())
}

/// The service stack with `operations` in place of its own.
pub fn service_with(app: &App, operations: impl Endpoint + 'static) -> impl Endpoint<Output = Response> + 'static {
    let contract = contract::contract();
    let documents = Route::new()
        .at("/openapi.json", get(Document::new("application/json", || contract::contract().json())))
        .at("/openapi.yaml", get(Document::new("application/yaml", || contract::contract().yaml())))
        .at("/asyncapi.json", get(Document::new("application/json", || format!("{:#}", asyncapi::document()))))
        .at("/asyncapi.yaml", get(Document::new("application/yaml", asyncapi::yaml)));
    let documents = pages::add(documents, Versions { api: contract::VERSION, events: asyncapi::VERSION });
    stack(app, contract, documents, operations)
}

/// The endpoint of the private listener: probes and metrics.
#[must_use]
pub fn private_service(app: &App) -> impl Endpoint<Output = Response> + 'static {
    let shown = app.clone();
    let text = move |request: Request| {
        let exposition = Exposition::accepted(request.header(ACCEPT).unwrap_or_default());
        Response::builder().content_type(exposition.media_type()).body(shown.metrics_now().written_as(exposition))
    };
    let documents = Route::new().at(probes::METRICS, get(make_sync(text)));
    stack(app, contract::private_contract(), documents, contract::probes().into_endpoint())
}

/// Attaches the data that the operations extract, and wraps them in the service stack.
fn stack(
    app: &App,
    contract: Contract,
    documents: Route,
    operations: impl Endpoint + 'static,
) -> impl Endpoint<Output = Response> + 'static {
    let config = app.config();
    let probed = Probed { database: Arc::clone(app.database().health()), stopping: app.stopping().clone() };
    let parameters = Arc::new(contract.query_parameters());
    let rates = Arc::new(RateLimits::new(config.tenant_rate, config.caller_rate, Arc::clone(app.metrics())));
    let (body_limit, authenticator, attached) = (BodyLimit(config.body_limit), authenticator(app), app.clone());
    // In one step: each middleware would hold, and move, the request once more.
    let operations = operations.before(move |mut request| {
        let data = request.extensions_mut();
        data.insert(body_limit);
        data.insert(Arc::clone(&parameters));
        data.insert(authenticator.clone());
        data.insert(probed.clone());
        data.insert(Arc::clone(attached.database()));
        data.insert(Arc::clone(attached.cipher()));
        data.insert(Arc::clone(attached.events()));
        data.insert(Arc::clone(attached.metrics()));
        data.insert(Arc::clone(&rates));
        data.insert(attached.clone());
        ready(Ok(request))
    });
    let (trail, metrics) = (Arc::clone(app.refusals()), Arc::clone(app.metrics()));
    ServiceStack {
        routes: CountedRoutes::of(&contract, app.metrics()),
        paths: contract.into_paths(),
        documents,
        operations,
        cors_origins: config.cors_origins.clone(),
        ids: Arc::clone(app.ids()),
        on_refusal: Box::new(move |refusal: &Refusal<'_>| {
            if let Some(refused) = refusals::refused(refusal) {
                metrics.audit.refusal(trail.record(refused));
            }
        }),
        in_flight: InFlightLimit::new(
            app.config().requests_in_flight,
            RequestLimits::default(),
            Arc::clone(app.metrics()),
        ),
        metrics: Arc::clone(app.metrics()),
        spans: app.spans().clone(),
    }
}

/// The authenticator for this configuration.
#[must_use]
pub fn authenticator(app: &App) -> Authenticator {
    let config = app.config();
    Authenticator {
        tokens: Arc::clone(app.tokens()),
        metrics: Arc::clone(app.metrics()),
        tenancy: config.auth.tenancy,
        scopes: config.auth.scopes,
        default_tenant: config.default_tenant.clone(),
        pii_display: config.pii_display,
    }
}
