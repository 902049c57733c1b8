//! All operations, as one poem-openapi API.

use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
};

use super::resources::{Routes, resources};
use crate::{
    audit::AuditLogsApi,
    events::{ChangesApi, EventsApi},
    http::probes::ProbesApi,
    overview::OverviewApi,
    pipeline::PipelineApi,
    privacy::PrivacyApi,
    receipts::ReceiptsApi,
    search::SearchApi,
};

/// The operations of the probes, the resources, overviews, the pipeline, searches, privacy, receipts, the feed, the changes and the
/// audit trail.
pub struct Operations;

impl OpenApi for Operations {
    fn meta() -> Vec<MetaApi> {
        let mut meta = ProbesApi::meta();
        meta.extend(resources().iter().flat_map(|resource| (resource.meta)()));
        meta.extend(<(
            OverviewApi,
            PipelineApi,
            SearchApi,
            PrivacyApi,
            ReceiptsApi,
            EventsApi,
            ChangesApi,
            AuditLogsApi,
        )>::meta());
        meta
    }

    fn register(registry: &mut Registry) {
        ProbesApi::register(registry);
        resources().iter().for_each(|resource| (resource.register)(registry));
        <(OverviewApi, PipelineApi, SearchApi, PrivacyApi, ReceiptsApi, EventsApi, ChangesApi, AuditLogsApi)>::register(
            registry,
        );
    }

    fn add_routes(self, routes: &mut Routes) {
        ProbesApi.add_routes(routes);
        resources().iter().for_each(|resource| (resource.add_routes)(routes));
        (OverviewApi, PipelineApi, SearchApi, PrivacyApi, ReceiptsApi, EventsApi, ChangesApi, AuditLogsApi)
            .add_routes(routes);
    }
}
