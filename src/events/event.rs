//! Events before they are written.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    audit::field_change::FieldChange,
    auth::Actor,
    error::{Error, Result},
    pii::{PiiCipher, PiiView},
    resource::{Action, Projection, Published},
    values::IdSource,
};

/// The payload of an event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'e, V> {
    tenant_id: &'e str,
    version: i64,
    changed_fields: Vec<&'e str>,
    resource: V,
}

/// An event that is ready to be written.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The tenant it belongs to.
    pub tenant: String,
    /// The event's id.
    pub id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// The id of the resource that it is about.
    pub aggregate: Uuid,
    /// Its sequence number within the resource.
    pub version: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The trace of the request that caused it.
    pub trace_id: String,
    /// The payload as JSON.
    pub data: String,
}

impl NewEvent {
    /// An event about `action` on the resource of `row`, with the number `version`.
    ///
    /// # Errors
    /// None in practice: a resource always serializes to JSON.
    pub fn new<E: Published>(
        (cipher, ids): (&PiiCipher, &IdSource),
        actor: &Actor,
        action: Action,
        row: &E::Model,
        version: i64,
        changes: &[FieldChange],
    ) -> Result<Self> {
        let tenant = actor.tenant.as_str();
        let data = Data {
            tenant_id: tenant,
            version,
            changed_fields: changes.iter().map(|change| change.field.as_str()).collect(),
            resource: E::Projection::project(row.clone(), &PiiView::for_events(cipher))?,
        };
        Ok(Self {
            tenant: tenant.to_owned(),
            id: ids.next(),
            event_type: action.event_type(E::KIND),
            aggregate: E::id(row),
            version,
            at: ids.now().0,
            trace_id: actor.trace_id.clone(),
            data: serde_json::to_string(&data).map_err(Error::internal)?,
        })
    }
}
