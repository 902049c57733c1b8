//! An event, before it is written.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{Agent, Audited, fact::FieldChange},
    error::{ApiError, Result},
    http::show::Show,
    kind::Kind,
    pii::Lens,
};

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was made.
    Created,
    /// It was changed, other than as below.
    Updated,
    /// Of an opportunity: it was won or lost.
    Closed,
    /// Of an opportunity: it is open again.
    Reopened,
    /// It was deleted.
    Deleted,
}

impl Action {
    /// The last part of an event's type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Deleted => "deleted",
        }
    }

    /// The type of an event: `crm.customer.created`.
    #[must_use]
    pub fn event_type(self, kind: Kind) -> String {
        format!("crm.{}.{}", kind.name.to_lowercase(), self.name())
    }
}

/// An entity whose changes are told to others.
pub trait Evented: Audited {
    /// The resource of the contract that is made from a row.
    type Shown: Show<Entity = Self> + Serialize;

    /// What can happen to it.
    const ACTIONS: &'static [Action] = &[Action::Created, Action::Updated, Action::Deleted];

    /// What happened, given the row before and after; none stands for a row that is not there.
    fn actions(before: Option<&Self::Model>, _after: Option<&Self::Model>) -> Vec<Action> {
        vec![if before.is_none() { Action::Created } else { Action::Updated }]
    }
}

/// What an event says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'e, V> {
    tenant_id: &'e str,
    version: i64,
    changed_fields: Vec<&'e str>,
    resource: V,
}

/// An event, ready to be written.
#[derive(Debug, Clone)]
pub struct Event {
    /// The tenant it belongs to.
    pub tenant: String,
    /// Its id.
    pub id: Uuid,
    /// Its type.
    pub event_type: String,
    /// The resource that it tells of.
    pub aggregate: Uuid,
    /// Its number among the events of this resource.
    pub version: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The trace of the request that caused it.
    pub trace_id: String,
    /// What it says, as JSON.
    pub data: String,
}

impl Event {
    /// The event that `action` happened to the resource of `row`, as number `version`.
    ///
    /// # Errors
    /// None in practice: a resource can always be written as JSON.
    pub fn new<E: Evented>(
        app: &App,
        agent: &Agent,
        action: Action,
        row: &E::Model,
        version: i64,
        changes: &[FieldChange],
    ) -> Result<Self> {
        let tenant = agent.tenant.as_str();
        let data = Data {
            tenant_id: tenant,
            version,
            changed_fields: changes.iter().map(|change| change.field.as_str()).collect(),
            resource: E::Shown::shown(row.clone(), &Lens::for_events(app))?,
        };
        Ok(Self {
            tenant: tenant.to_owned(),
            id: app.new_id(),
            event_type: action.event_type(E::KIND),
            aggregate: E::id(row),
            version,
            at: app.now().0,
            trace_id: agent.trace_id.clone(),
            data: serde_json::to_string(&data).map_err(ApiError::internal)?,
        })
    }
}
