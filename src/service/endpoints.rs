//! The service as endpoints: the operations, wrapped in the service stack.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, endpoint::make_sync, get, web::Html};

use super::{contract, refusals};
use crate::{
    app::App,
    http::{
        body::BodyLimit,
        caller::Authenticator,
        contract::Contract,
        probes::Probed,
        stack::{Refusal, ServiceStack},
    },
    telemetry::metrics,
};

/// The whole service as one endpoint.
#[must_use]
pub fn service(app: &App) -> impl Endpoint<Output = Response> + 'static {
    service_with(app, contract::operations().into_endpoint())
}

/// The service stack with `operations` in place of its own.
pub fn service_with(app: &App, operations: impl Endpoint + 'static) -> impl Endpoint<Output = Response> + 'static {
    let contract = contract::contract();
    let (json, yaml, docs) = (contract.json(), contract.yaml(), contract::swagger_ui(&contract));
    let documents = Route::new()
        .at("/openapi.json", get(make_sync(move |_| document("application/json", &json))))
        .at("/openapi.yaml", get(make_sync(move |_| document("application/yaml", &yaml))))
        .at("/docs", get(make_sync(move |_| Html(docs.clone()))));
    stack(app, contract, documents, operations)
}

/// The endpoint of the private listener: probes and metrics.
#[must_use]
pub fn private_service(app: &App) -> impl Endpoint<Output = Response> + 'static {
    let metrics = Arc::clone(app.metrics());
    let text = move |_| document(metrics::MEDIA_TYPE, &metrics.text());
    let documents = Route::new().at("/metrics", get(make_sync(text)));
    stack(app, contract::private_contract(), documents, contract::probes().into_endpoint())
}

/// Attaches the data that the operations extract, and wraps them in the service stack.
fn stack(
    app: &App,
    contract: Contract,
    documents: Route,
    operations: impl Endpoint + 'static,
) -> impl Endpoint<Output = Response> + 'static {
    let probed = Probed { database: Arc::clone(app.database().health()), stopping: app.stopping().clone() };
    let operations = operations
        .data(BodyLimit(app.config().body_limit))
        .data(authenticator(app))
        .data(probed)
        .data(Arc::clone(app.database()))
        .data(Arc::clone(app.events()))
        .data(app.clone());
    let (queue, ids) = (Arc::clone(app.audit_queue()), Arc::clone(app.ids()));
    ServiceStack {
        contract,
        documents,
        operations,
        ids: Arc::clone(app.ids()),
        on_refusal: Box::new(move |refusal: &Refusal<'_>| queue.record(refusals::entry(&ids, refusal))),
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

fn document(media_type: &'static str, text: &str) -> Response {
    Response::builder().content_type(media_type).body(text.to_owned())
}
