//! What the gateway and the governance centre look at: `GET /health`, without a token.

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;

use super::{contract::Tag, reply::Found};
use crate::{
    app::App,
    error::{ApiError, Result},
};

/// Whether the service works.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It does.
    Up,
}

/// The name of this cell.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Customer relationship management.
    Crm,
}

/// The state of the service.
#[derive(Debug, Object, Serialize)]
pub struct Health {
    /// Whether the service works.
    pub status: HealthStatus,
    /// The name of this cell.
    pub cell: Cell,
}

/// The probes.
pub struct ProbesApi;

#[OpenApi(tag = "Tag::Health")]
impl ProbesApi {
    /// Check the service's health
    ///
    /// Answers 200 while the service and its database work, 503 otherwise. Needs no token.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, app: Data<&App>) -> Result<Found<Health>> {
        let health = app.database().health();
        health.reads().and_then(|()| health.writes()).map_err(ApiError::unavailable)?;
        Ok(Found(Health { status: HealthStatus::Up, cell: Cell::Crm }))
    }
}
