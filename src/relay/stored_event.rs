//! An event of the outbox, whatever became of its row: one that is damaged must not keep the others.

use sea_orm::QueryResult;
use uuid::Uuid;

use crate::{
    broker::Message,
    error::{Error, Result},
    events::{Model, types::Event},
    telemetry::trace::Trace,
};

/// An event, as it is in the outbox.
pub(super) struct StoredEvent {
    pub seq: i64,
    /// None if it cannot be read.
    pub position: Option<i64>,
    /// The tenant and the id of the resource that it is about; none if they cannot be read, so that it is no resource's.
    pub resource: Option<(String, Uuid)>,
    /// The event, or what is wrong with the row.
    pub row: std::result::Result<Model, String>,
}

impl StoredEvent {
    /// Reads a row of the outbox, with all its columns.
    ///
    /// # Errors
    /// A result that is no row of the outbox. A damaged row is none.
    pub fn read(row: &QueryResult) -> Result<Self> {
        let resource = || Some((row.try_get("", "tenant_id").ok()?, row.try_get("", "aggregate_id").ok()?));
        Ok(Self {
            seq: row.try_get("", "seq")?,
            position: row.try_get("", "position").ok(),
            resource: resource(),
            row: Model::read(row),
        })
    }

    /// What is published, or what is wrong with the event.
    pub fn message(&self) -> std::result::Result<Message, String> {
        let row = self.row.clone()?;
        let (id, event_type, at) = (row.event_id, row.event_type.clone(), row.occurred_at);
        let (tenant, aggregate) = (row.tenant_id.clone(), row.aggregate_id);
        let traceparent = Trace::parent_of(&row.trace_id, id);
        let event = Event::from_row(row);
        let payload = event.and_then(|event| serde_json::to_vec(&event).map_err(Error::internal));
        let payload = payload.map_err(|error| error.cause().unwrap_or_default().to_owned())?;
        Ok(Message { id, event_type, tenant, aggregate, at, traceparent, payload })
    }
}
