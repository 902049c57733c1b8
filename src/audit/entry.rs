//! Audit entries before they are written.

use sea_orm::IntoActiveModel;
use uuid::Uuid;

use super::{
    entity::{AuditAction, logs, queue},
    field_change::{FieldChange, changes, sentence},
};
use crate::{
    auth::Actor,
    database::{Rows, Transaction},
    error::{Error, Result},
    resource::{Kind, Resource},
    values::IdSource,
};

/// Maximum number of rows per INSERT: databases limit the number of parameters.
const ROWS: usize = 500;
/// How the summary of an erasure begins, and no other: in the trail it is a change like others.
pub(crate) const ERASED: &str = "erased the personal data of the ";

/// What was done, to what.
#[derive(Debug, Clone)]
pub struct AuditedAction {
    /// What was done.
    pub action: AuditAction,
    /// The type of the resource.
    pub kind: Option<Kind>,
    /// The id of the resource.
    pub id: Option<Uuid>,
    /// The fields that changed, or were seen unmasked.
    pub changes: Vec<FieldChange>,
    /// The same as a sentence.
    pub summary: String,
}

impl AuditedAction {
    /// A resource was created.
    #[must_use]
    pub fn created<E: Resource>(row: &E::Model) -> Self {
        let summary = format!("created the {}", E::KIND.name);
        Self::to::<E>(AuditAction::Create, row, changes::<E>(None, Some(row)), summary)
    }

    /// A resource was changed.
    #[must_use]
    pub fn updated<E: Resource>(before: &E::Model, after: &E::Model) -> Self {
        let changes = changes::<E>(Some(before), Some(after));
        Self::to::<E>(AuditAction::Update, after, changes, sentence::<E>(before, after))
    }

    /// Personal data of a resource was erased. It is a change for the trail: the release before this one cannot read
    /// entries of an action that it does not know, and would chain nothing any more.
    #[must_use]
    pub fn erased<E: Resource>(before: &E::Model, after: &E::Model) -> Self {
        let summary = format!("{ERASED}{}", E::KIND.name);
        Self::to::<E>(AuditAction::Update, after, changes::<E>(Some(before), Some(after)), summary)
    }

    /// A resource was deleted.
    #[must_use]
    pub fn deleted<E: Resource>(row: &E::Model) -> Self {
        let summary = format!("deleted the {}", E::KIND.name);
        Self::to::<E>(AuditAction::Delete, row, changes::<E>(Some(row), None), summary)
    }

    fn to<E: Resource>(action: AuditAction, row: &E::Model, changes: Vec<FieldChange>, summary: String) -> Self {
        Self { action, kind: Some(E::KIND), id: Some(E::id(row)), changes, summary }
    }
}

/// An entry that is ready to be written.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    row: logs::Model,
    changes: Vec<FieldChange>,
}

impl AuditEntry {
    /// An entry that records that `actor` did this now.
    ///
    /// # Errors
    /// None in practice: strings always serialize to JSON.
    pub fn new(ids: &IdSource, actor: &Actor, action: AuditedAction) -> Result<Self> {
        let Actor { tenant, name, client, request_id, trace_id } = actor.clone();
        let AuditedAction { action, kind, id, changes, summary } = action;
        let row = logs::Model {
            tenant_id: tenant.as_str().to_owned(),
            audit_log_id: ids.next(),
            occurred_at: ids.now().0,
            actor: name,
            client,
            action,
            resource_type: kind.map(|kind| kind.name.to_owned()),
            resource_id: id,
            request_id,
            trace_id,
            changes: serde_json::to_string(&changes).map_err(Error::internal)?,
            summary,
            knows_timeline: Some(true),
        };
        Ok(Self { row, changes })
    }

    /// The entry as it is written, and its changes.
    pub(crate) fn parts(&self) -> (&logs::Model, &[FieldChange]) {
        (&self.row, &self.changes)
    }
}

/// Writes entries at the end of the transaction, and queues them for chaining.
#[expect(clippy::disallowed_methods, reason = "entries are written here and nowhere else")]
pub fn write(transaction: &Transaction, entries: &[AuditEntry]) {
    for entries in entries.chunks(ROWS) {
        let rows = entries.iter().map(|AuditEntry { row, .. }| row.clone().into_active_model());
        transaction.insert_at_end(Rows::of(rows));
        let places = entries.iter().map(|AuditEntry { row, .. }| {
            queue::Model { tenant_id: row.tenant_id.clone(), audit_log_id: row.audit_log_id }.into_active_model()
        });
        transaction.insert_at_end(Rows::of(places));
    }
}
