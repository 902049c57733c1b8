//! Contract types of timelines.

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef},
};
use serde::Serialize;

use super::{
    entity::Model,
    kind::{TYPES, TimelineType, of_bits},
};
use crate::{
    audit::{field_change::FieldChange, types::AuditChange},
    error::{Error, Result},
    events::changes::types::ChangedType,
    values::{
        Id, Shown, Timestamp, Violation,
        page::NextCursor,
        query::QueryValue,
        shown::{ActorName, Summary},
    },
};

/// Something that happened to a customer, or to what belongs to it.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct TimelineItem {
    /// The id of the entry in the audit trail, for as long as that is kept.
    pub audit_log_id: Id,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What it is to the customer.
    #[oai(validator(min_items = 1, max_items = 13))]
    pub types: Vec<TimelineType>,
    /// The type of the resource that was changed.
    pub resource_type: ChangedType,
    /// The id of the resource that was changed.
    pub resource_id: Id,
    /// Who did it, as in the audit trail.
    pub actor: Shown<ActorName>,
    /// The fields that changed.
    #[oai(validator(max_items = 100))]
    pub changes: Vec<AuditChange>,
    /// The same in words.
    pub summary: Shown<Summary>,
}

impl TimelineItem {
    /// Converts a stored item.
    ///
    /// # Errors
    /// Internal, if it holds what was never written.
    pub(crate) fn from_row(row: Model) -> Result<Self> {
        let Model {
            tenant_id,
            customer_id: _,
            occurred_at,
            audit_log_id,
            types,
            resource_type,
            resource_id,
            actor,
            changes,
            summary,
        } = row;
        let damaged = |column: &str| {
            Error::internal(format!("integrity: timeline.{column} of row {audit_log_id} of tenant {tenant_id}"))
        };
        let changes: Vec<FieldChange> = serde_json::from_str(&changes).map_err(|_| damaged("changes"))?;
        Ok(Self {
            audit_log_id: Id(audit_log_id),
            occurred_at: Timestamp(occurred_at),
            types: of_bits(types),
            resource_type: ChangedType::named(&resource_type).ok_or_else(|| damaged("resource_type"))?,
            resource_id: Id(resource_id),
            actor: actor.into(),
            changes: changes.into_iter().map(AuditChange::from_stored).collect(),
            summary: summary.into(),
        })
    }
}

/// A page of a timeline.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// What happened, newest first; fewer than `limit`, or nothing, also where many items had to be looked at to find those of
    /// `types`: `nextCursor` tells whether there is more.
    #[oai(validator(max_items = 100))]
    pub data: Vec<TimelineItem>,
    /// `after` of the next page, with the same `types`; `null` at the end.
    pub next_cursor: NextCursor,
    /// From when on the timeline is complete. What happened before may be missing in part: what the audit trail no longer held when
    /// timelines began to be kept, and what is still being filled in from it.
    pub since: Timestamp,
}

/// The `types` parameter: types of items, separated by commas.
#[derive(Debug)]
pub struct TypesFilter;

impl QueryValue for TypesFilter {
    type Value = Vec<TimelineType>;

    fn schema() -> MetaSchemaRef {
        let one = format!("({})", TimelineType::ALL.map(TimelineType::name).join("|"));
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(256),
            pattern: Some(format!("^{one}(,{one}){{0,{}}}$", TYPES - 1)),
            example: Some("stageMoved,closed".into()),
            ..MetaSchema::new("string")
        }))
    }

    /// All, if none is named.
    fn read(value: Option<&str>) -> std::result::Result<Vec<TimelineType>, Violation> {
        let Some(text) = value else { return Ok(TimelineType::ALL.to_vec()) };
        let asked: Option<Vec<TimelineType>> = text.split(',').map(TimelineType::named).collect();
        match asked {
            Some(asked) if asked.len() <= TYPES => {
                Ok(TimelineType::ALL.into_iter().filter(|one| asked.contains(one)).collect())
            }
            Some(_) => Err(format!("must be at most {TYPES} types").into()),
            None => {
                let names = TimelineType::ALL.map(TimelineType::name).join(", ");
                Err(format!("must be of {names}, separated by commas").into())
            }
        }
    }
}
