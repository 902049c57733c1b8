//! What the gateway, the orchestrator and the governance centre look at, without a token: `GET /health`, `GET /livez`,
//! `GET /readyz`.
//!
//! They are answered at once from what the service knows of itself ([`Probed`]); nothing is asked of the database, so that
//! its faults delay no probe.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    error::{Cell, ErrorCode, ErrorResponse, HealthDown},
    reply::Found,
    request_id,
    tag::Tag,
};
use crate::database;

/// The state of the service, for gateways and operators.
const HEALTH: Tag = Tag { name: "Health", description: "The state of the service, for gateways and operators." };

/// What the probes look at; the service stack gives it to every request.
#[derive(Clone)]
pub struct Probed {
    /// What is known of the database.
    pub database: Arc<database::Health>,
    /// Cancelled once the service was told to stop.
    pub stopping: CancellationToken,
}

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
        ErrorResponse::down("writes fail: the disk is full").body(request_id::EXAMPLE).into()
    }
}

/// 503 of a probe. The service stack renders it, as every error.
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

type Answer = Result<Found<Health>, Down>;

/// The probes.
pub struct ProbesApi;

#[OpenApi(tag = "HEALTH")]
impl ProbesApi {
    /// Check the service's health
    ///
    /// Answers 200 while the service can read and write and was not told to stop, 503 otherwise. Needs no token.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, probed: Data<&Probed>) -> Answer {
        probed.keeps_running()?;
        probed.reads()?;
        probed.writes()?;
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
