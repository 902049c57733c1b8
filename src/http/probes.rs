//! What the gateway, the orchestrator and the governance centre look at, without a token: `GET /health`, `GET /livez`,
//! `GET /readyz`.
//!
//! They are answered at once from what the service knows of itself ([`App::is_stopping`], [`crate::database::Health`]);
//! nothing is asked of the database, so that its faults delay no probe.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;

use super::{
    contract::{REQUEST_ID, Tag},
    reply::Found,
};
use crate::{
    app::App,
    error::{ApiError, Cell, ErrorCode, HealthDown},
};

/// Whether the service works.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It does.
    Up,
}

/// The state of the service.
#[derive(Debug, Object, Serialize)]
pub struct Health {
    /// Whether the service works.
    pub status: HealthStatus,
    /// The name of this cell.
    pub cell: Cell,
}

impl Example for HealthDown {
    fn example() -> Self {
        ApiError::down("writes fail: the disk is full").body(REQUEST_ID).into()
    }
}

/// 503 of a probe. The membrane writes it, as it does every error.
pub struct Down(ApiError);

impl From<Down> for poem::Error {
    fn from(down: Down) -> Self {
        down.0.into()
    }
}

impl ApiResponse for Down {
    fn meta() -> MetaResponses {
        let schema = HealthDown::schema_ref();
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The service does not work, or not for long; `details` says why.",
                status: Some(ErrorCode::ServiceUnavailable.status().as_u16()),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        HealthDown::register(registry);
    }
}

type Probed = Result<Found<Health>, Down>;

/// The probes.
pub struct ProbesApi;

#[OpenApi(tag = "Tag::Health")]
impl ProbesApi {
    /// Check the service's health
    ///
    /// Answers 200 while the service can read and write and was not told to stop, 503 otherwise. Needs no token.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, app: Data<&App>) -> Probed {
        stays(&app)?;
        reads(&app)?;
        writes(&app)?;
        Ok(up())
    }

    /// Check that the service is alive
    ///
    /// Answers 200 as long as the process answers at all, whatever else works: what it does not answer to is mended by
    /// starting it anew. Needs no token.
    #[oai(path = "/livez", method = "get", operation_id = "getLiveness")]
    async fn liveness(&self) -> Found<Health> {
        up()
    }

    /// Check that the service is ready for requests
    ///
    /// Answers 200 while the service can read and was not told to stop, 503 otherwise. Needs no token.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness")]
    async fn readiness(&self, app: Data<&App>) -> Probed {
        stays(&app)?;
        reads(&app)?;
        Ok(up())
    }
}

fn up() -> Found<Health> {
    Found(Health { status: HealthStatus::Up, cell: Cell::Crm })
}

fn stays(app: &App) -> Result<(), Down> {
    if app.is_stopping() { Err(Down(ApiError::down("the service is stopping"))) } else { Ok(()) }
}

fn reads(app: &App) -> Result<(), Down> {
    app.database().health().reads().map_err(|cause| Down(ApiError::down(format!("reads fail: {cause}"))))
}

fn writes(app: &App) -> Result<(), Down> {
    app.database().health().writes().map_err(|cause| Down(ApiError::down(format!("writes fail: {cause}"))))
}
