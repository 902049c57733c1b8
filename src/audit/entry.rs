//! An entry of the trail, before it is written.

use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::{
    entity::{AuditAction, logs, queue},
    fact::{self, Audited, FieldChange},
};
use crate::{
    app::App,
    error::{ApiError, Result},
    kind::Kind,
    values::Tenant,
};

/// The most rows that one statement inserts: databases bound the number of parameters.
const ROWS: usize = 500;

/// Who acts, for which tenant, in which request.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The tenant whose data it is about.
    pub tenant: Tenant,
    /// The token's subject, or its client, or `unknown`.
    pub actor: String,
    /// Through which program.
    pub client: Option<String>,
    /// The request's `X-Request-ID`.
    pub request_id: String,
    /// The trace that the request belongs to (W3C Trace Context).
    pub trace_id: String,
}

/// What is known of what was done.
#[derive(Debug, Clone)]
pub struct Deed {
    /// What was done.
    pub action: AuditAction,
    /// To what kind of resource.
    pub kind: Option<Kind>,
    /// To which one.
    pub id: Option<Uuid>,
    /// What changed in it, or what was seen of it.
    pub changes: Vec<FieldChange>,
    /// The deed in words.
    pub summary: String,
}

impl Deed {
    /// A resource was made.
    #[must_use]
    pub fn created<E: Audited>(row: &E::Model) -> Self {
        let summary = format!("created the {}", E::KIND.name);
        Self::to::<E>(AuditAction::Create, row, fact::changes::<E>(None, Some(row)), summary)
    }

    /// A resource was changed.
    #[must_use]
    pub fn updated<E: Audited>(before: &E::Model, after: &E::Model) -> Self {
        let changes = fact::changes::<E>(Some(before), Some(after));
        Self::to::<E>(AuditAction::Update, after, changes, fact::sentence::<E>(before, after))
    }

    /// A resource was deleted.
    #[must_use]
    pub fn deleted<E: Audited>(row: &E::Model) -> Self {
        let summary = format!("deleted the {}", E::KIND.name);
        Self::to::<E>(AuditAction::Delete, row, fact::changes::<E>(Some(row), None), summary)
    }

    fn to<E: Audited>(action: AuditAction, row: &E::Model, changes: Vec<FieldChange>, summary: String) -> Self {
        Self { action, kind: Some(E::KIND), id: Some(E::id(row)), changes, summary }
    }
}

/// An entry, ready to be written.
#[derive(Debug, Clone)]
pub struct Entry(logs::Model);

impl Entry {
    /// The entry that says that `agent` did `deed` now.
    ///
    /// # Errors
    /// None in practice: names and texts can always be written as JSON.
    pub fn new(app: &App, agent: &Agent, deed: Deed) -> Result<Self> {
        let Agent { tenant, actor, client, request_id, trace_id } = agent.clone();
        let Deed { action, kind, id, changes, summary } = deed;
        Ok(Self(logs::Model {
            tenant_id: tenant.as_str().to_owned(),
            audit_log_id: app.new_id(),
            occurred_at: app.now().0,
            actor,
            client,
            action,
            resource_type: kind.map(|kind| kind.name.to_owned()),
            resource_id: id,
            request_id,
            trace_id,
            changes: serde_json::to_string(&changes).map_err(ApiError::internal)?,
            summary,
        }))
    }
}

/// Writes entries, and puts them in the queue of those that are to be chained.
///
/// # Errors
/// A fault of the database.
#[expect(clippy::disallowed_methods, reason = "entries are written here and nowhere else")]
pub async fn write(db: &impl ConnectionTrait, entries: &[Entry]) -> Result<()> {
    for entries in entries.chunks(ROWS) {
        let rows = entries.iter().map(|Entry(row)| row.clone().into_active_model());
        logs::Entity::insert_many(rows).exec_without_returning(db).await?;
        let places = entries.iter().map(|Entry(row)| {
            queue::Model { tenant_id: row.tenant_id.clone(), audit_log_id: row.audit_log_id }.into_active_model()
        });
        queue::Entity::insert_many(places).exec_without_returning(db).await?;
    }
    Ok(())
}
