//! What an entry of the audit trail is to a customer. The entry alone decides, so that what is filled in afterwards is what would
//! have been written with the change.

use uuid::Uuid;

use super::{
    entity::Model,
    kind::{TimelineType, bits},
};
use crate::{
    audit::{AuditAction, entry, field_change::FieldChange, logs},
    error::{Error, Result},
    events::changes::types::ChangedType,
};

/// The field that names the customer of a resource.
const CUSTOMER: &str = "customerId";

/// What an entry says of the customer of its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nothing: it is the same as before and afterwards.
    Unsaid,
    /// It was the first one, and is the second one now.
    Moved(Option<Uuid>, Option<Uuid>),
}

impl Owner {
    /// What these changes say.
    pub(super) fn of(changes: &[FieldChange]) -> Self {
        let id = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        match changes.iter().find(|change| change.field == CUSTOMER) {
            Some(FieldChange { old, new, .. }) => Self::Moved(id(old), id(new)),
            None => Self::Unsaid,
        }
    }
}

/// The changes of an entry.
///
/// # Errors
/// Internal, if the stored changes are not a valid list.
pub(super) fn changes(entry: &logs::Model) -> Result<Vec<FieldChange>> {
    serde_json::from_str(&entry.changes).map_err(|_| {
        let (id, tenant) = (entry.audit_log_id, &entry.tenant_id);
        Error::internal(format!("integrity: audit_logs.changes of row {id} of tenant {tenant}"))
    })
}

/// The items of an entry: none, one, or one for each of the two customers between which a row moves. `owner` is the customer of the
/// resource where the entry does not say it.
pub(crate) fn items((entry, changes): (&logs::Model, &[FieldChange]), owner: Option<Uuid>) -> Vec<Model> {
    let Some((kind, id)) = about(entry) else { return Vec::new() };
    let item = |customer: Option<Uuid>, types: Vec<TimelineType>| {
        let customer_id = customer.filter(|_| !types.is_empty())?;
        Some(Model {
            tenant_id: entry.tenant_id.clone(),
            customer_id,
            occurred_at: entry.occurred_at,
            audit_log_id: entry.audit_log_id,
            types: bits(&types),
            resource_type: kind.name().to_owned(),
            resource_id: id,
            actor: entry.actor.clone(),
            changes: entry.changes.clone(),
            summary: entry.summary.clone(),
        })
    };
    let with = |first: Option<TimelineType>| {
        first.into_iter().chain(updates(kind, entry, changes)).collect::<Vec<TimelineType>>()
    };
    let items = match (entry.action, Owner::of(changes)) {
        (AuditAction::Create, Owner::Moved(_, customer)) => vec![item(customer, created(kind, changes))],
        (AuditAction::Create, Owner::Unsaid) => vec![item(owner, created(kind, changes))],
        (AuditAction::Delete, Owner::Moved(customer, _)) => vec![item(customer, removed(kind).into_iter().collect())],
        (AuditAction::Delete, Owner::Unsaid) => vec![item(owner, removed(kind).into_iter().collect())],
        (AuditAction::Update, Owner::Moved(from, to)) => {
            vec![item(from, with(removed(kind))), item(to, with(added(kind)))]
        }
        (AuditAction::Update, Owner::Unsaid) => vec![item(owner, with(None))],
        (AuditAction::Read | AuditAction::Refuse, _) => Vec::new(),
    };
    items.into_iter().flatten().collect()
}

/// The resource whose change the entry is about.
pub(super) fn about(entry: &logs::Model) -> Option<(ChangedType, Uuid)> {
    let is_change = matches!(entry.action, AuditAction::Create | AuditAction::Update | AuditAction::Delete);
    let kind = entry.resource_type.as_deref().and_then(ChangedType::named);
    kind.zip(entry.resource_id).filter(|_| is_change)
}

fn added(kind: ChangedType) -> Option<TimelineType> {
    match kind {
        ChangedType::Customer => None,
        ChangedType::Contact => Some(TimelineType::ContactAdded),
        ChangedType::Opportunity => Some(TimelineType::OpportunityAdded),
        ChangedType::FollowUp => Some(TimelineType::FollowUpAdded),
    }
}

/// The deletion of the customer itself is nowhere: its timeline ends with it.
fn removed(kind: ChangedType) -> Option<TimelineType> {
    match kind {
        ChangedType::Customer => None,
        ChangedType::Contact => Some(TimelineType::ContactRemoved),
        ChangedType::Opportunity => Some(TimelineType::OpportunityRemoved),
        ChangedType::FollowUp => Some(TimelineType::FollowUpRemoved),
    }
}

fn created(kind: ChangedType, changes: &[FieldChange]) -> Vec<TimelineType> {
    let is_closed = |change: &FieldChange| change.field == "status" && is_closed(change.new.as_deref());
    let closed = kind == ChangedType::Opportunity && changes.iter().any(is_closed);
    let first = added(kind).unwrap_or(TimelineType::Created);
    [first].into_iter().chain(closed.then_some(TimelineType::Closed)).collect()
}

/// What a change of fields is, besides a move from one customer to another.
fn updates(kind: ChangedType, entry: &logs::Model, changes: &[FieldChange]) -> Vec<TimelineType> {
    if entry.summary.starts_with(entry::ERASED) {
        return vec![TimelineType::Erased];
    }
    let of_field = |FieldChange { field, old, new }: &FieldChange| match (kind, field.as_str()) {
        (_, CUSTOMER) => None,
        (ChangedType::Opportunity, "stage") => Some(TimelineType::StageMoved),
        (ChangedType::Opportunity, "status") => match (is_closed(old.as_deref()), is_closed(new.as_deref())) {
            (false, true) => Some(TimelineType::Closed),
            (true, false) => Some(TimelineType::Reopened),
            // From won to lost: the stage says it.
            _ => None,
        },
        (ChangedType::Customer, "status") if new.as_deref() == Some("Signed") => Some(TimelineType::ContractSigned),
        _ => Some(TimelineType::Changed),
    };
    changes.iter().filter_map(of_field).collect()
}

/// Whether this is the status of an opportunity that is won or lost.
fn is_closed(status: Option<&str>) -> bool {
    status.is_some_and(|status| status != "Open")
}
