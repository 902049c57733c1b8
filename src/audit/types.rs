//! Contract types of the audit trail.

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef},
    types::Type,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    entity::{AuditAction, chain, logs},
    field_change::FieldChange,
    store::Chained,
};
use crate::{
    error::{Error, Result},
    values::{
        ContractValue, Id, Nullable, Shown, Tenant, Timestamp, Violation, contract_type, number,
        query::QueryValue,
        shown::{
            ActorName, ClientName, FieldName, FieldValue, Hash, RequestIdText, ResourceTypeName, Summary, TraceId,
        },
    },
};

/// An entry of the audit trail.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AuditLog {
    /// The entry's id.
    pub audit_log_id: Id,
    /// The tenant whose data it is about.
    pub tenant_id: Tenant,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Who did it: the token's `sub`, else its client, else `unknown`.
    pub actor: Shown<ActorName>,
    /// The client application: the token's `client_id` or `azp`.
    pub client: Nullable<Shown<ClientName>>,
    /// What was done.
    pub action: AuditAction,
    /// The type of resource. New ones may be added: treat one that you do not know as any other resource.
    pub resource_type: Nullable<Shown<ResourceTypeName>>,
    /// The resource's id.
    pub resource_id: Nullable<Id>,
    /// The request's `X-Request-ID`.
    pub request_id: Shown<RequestIdText>,
    /// The trace that the request belongs to (W3C Trace Context).
    pub trace_id: Shown<TraceId>,
    /// The fields that changed, or that were shown unmasked.
    #[oai(validator(max_items = 100))]
    pub changes: Vec<AuditChange>,
    /// Human-readable summary.
    pub summary: Shown<Summary>,
    /// The entry's number in the tenant's hash chain, assigned shortly after the change is committed.
    pub sequence: Nullable<Sequence>,
    /// The hash that links the entry to all before it: SHA-256 in hexadecimal.
    pub hash: Nullable<Shown<Hash>>,
}

/// A field that changed, or that was shown unmasked.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AuditChange {
    /// The field's name.
    pub field: Shown<FieldName>,
    /// The previous value; `null` if it was empty, and always for personal data and free text.
    pub old: Nullable<Shown<FieldValue>>,
    /// The new value; `null` if it is empty, and always for personal data and free text.
    pub new: Nullable<Shown<FieldValue>>,
}

impl AuditLog {
    /// Converts a stored entry.
    ///
    /// # Errors
    /// Internal, if the stored changes are not a valid list.
    pub(crate) fn from_row(Chained { entry, link }: Chained) -> Result<Self> {
        let logs::Model {
            tenant_id,
            audit_log_id,
            occurred_at,
            actor,
            client,
            action,
            resource_type,
            resource_id,
            request_id,
            trace_id,
            changes,
            summary,
            knows_timeline: _,
        } = entry;
        let changes: Vec<FieldChange> = serde_json::from_str(&changes).map_err(|_| {
            Error::internal(format!("integrity: audit_logs.changes of row {audit_log_id} of tenant {tenant_id}"))
        })?;
        let (sequence, hash) = match link {
            Some(chain::Model { sequence, hash, .. }) => (Some(Sequence(sequence)), Some(hash)),
            None => (None, None),
        };
        Ok(Self {
            audit_log_id: Id(audit_log_id),
            tenant_id: Tenant::stored(tenant_id),
            occurred_at: Timestamp(occurred_at),
            actor: actor.into(),
            client: Nullable(client.map(Into::into)),
            action,
            resource_type: Nullable(resource_type.map(Into::into)),
            resource_id: Nullable(resource_id.map(Id)),
            request_id: request_id.into(),
            trace_id: trace_id.into(),
            changes: changes.into_iter().map(AuditChange::from_stored).collect(),
            summary: summary.into(),
            sequence: Nullable(sequence),
            hash: Nullable(hash.map(Into::into)),
        })
    }
}

impl AuditChange {
    /// Converts a stored change.
    pub(crate) fn from_stored(FieldChange { field, old, new }: FieldChange) -> Self {
        Self { field: field.into(), old: Nullable(old.map(Into::into)), new: Nullable(new.map(Into::into)) }
    }
}

/// A number in the hash chain, starting at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sequence(pub i64);

impl ContractValue for Sequence {
    fn name() -> std::borrow::Cow<'static, str> {
        "Sequence".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(1.0),
            maximum: Some(number::LARGEST as f64),
            example: Some(Value::from(42)),
            ..MetaSchema::new_with_format("integer", "int64")
        }))
    }

    fn from_value(_: Value) -> std::result::Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(Sequence);

/// A filter by action.
#[derive(Debug)]
pub struct ActionFilter;

impl QueryValue for ActionFilter {
    type Value = Option<AuditAction>;

    fn schema() -> MetaSchemaRef {
        AuditAction::schema_ref()
    }

    fn read(value: Option<&str>) -> std::result::Result<Option<AuditAction>, Violation> {
        let known = |text: &str| {
            serde_json::from_value(text.into()).map_err(|_| "must be create, update, delete, read or refuse".into())
        };
        value.map(known).transpose()
    }
}
