//! Health probes for the gateway, the orchestrator and the platform's monitoring, without a token: `GET /health`,
//! `GET /livez`, `GET /readyz`.
//!
//! They report what the service already knows about itself ([`Probed`]) and never query the database, so database
//! failures cannot delay a probe.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    error::{Cell, ErrorCode, ErrorResponse, HealthDown, HealthStatus},
    reply::Found,
    request_id,
    tag::Tag,
};
use crate::database;

/// Where they are.
pub const PATHS: [&str; 3] = ["/health", "/livez", "/readyz"];

/// Where the metrics are, on the private listener alone.
pub const METRICS: &str = "/metrics";

/// Whether whoever watches the service asks for this all day long.
#[must_use]
pub fn is_watched(path: &str) -> bool {
    path == METRICS || PATHS.contains(&path)
}

const HEALTH: Tag = Tag { name: "Health", description: "The state of the service, for gateways and operators." };

/// The state that the probes report. Attached to every request.
#[derive(Clone)]
pub struct Probed {
    /// The last known health of the database.
    pub database: Arc<database::Health>,
    /// Cancelled when shutdown begins.
    pub stopping: CancellationToken,
}

/// The health of the service.
#[derive(Debug, Object, Serialize)]
pub struct Health {
    /// The status of the service.
    pub status: HealthStatus,
    /// The name of this service.
    pub cell: Cell,
}

impl Example for HealthDown {
    fn example() -> Self {
        ErrorResponse::down("writes fail: the disk is full").body(request_id::EXAMPLE).into()
    }
}

/// 503 of a probe, rendered by the service stack like every error.
pub struct Down(ErrorResponse);

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
                description: "The service is down or shutting down; `details` says why.",
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

type Answer = Result<Found<Health>, Down>;

/// The probes.
pub struct ProbesApi;

#[OpenApi(tag = "HEALTH")]
impl ProbesApi {
    /// Check the service's health
    ///
    /// Returns 200 while the service can read and write and is not shutting down, 503 otherwise. Needs no token.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, probed: Data<&Probed>) -> Answer {
        probed.keeps_running()?;
        probed.reads()?;
        probed.writes()?;
        Ok(up())
    }

    /// Check that the service is alive
    ///
    /// Returns 200 as long as the process responds at all, whatever else is failing: if it does not respond, restart
    /// it. Needs no token.
    #[oai(path = "/livez", method = "get", operation_id = "getLiveness")]
    async fn liveness(&self) -> Found<Health> {
        up()
    }

    /// Check that the service is ready for requests
    ///
    /// Returns 200 while the service can read and is not shutting down, 503 otherwise. Needs no token.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness")]
    async fn readiness(&self, probed: Data<&Probed>) -> Answer {
        probed.keeps_running()?;
        probed.reads()?;
        Ok(up())
    }
}

fn up() -> Found<Health> {
    Found(Health { status: HealthStatus::Up, cell: Cell::Crm })
}

impl Probed {
    fn keeps_running(&self) -> Result<(), Down> {
        if self.stopping.is_cancelled() { Err(down("the service is stopping".to_owned())) } else { Ok(()) }
    }

    fn reads(&self) -> Result<(), Down> {
        self.database.reads().map_err(|cause| down(format!("reads fail: {cause}")))
    }

    fn writes(&self) -> Result<(), Down> {
        self.database.writes().map_err(|cause| down(format!("writes fail: {cause}")))
    }
}

fn down(details: String) -> Down {
    Down(ErrorResponse::down(details))
}
