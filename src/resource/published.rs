//! What other services learn of a change.

use poem_openapi::types::Type;
use serde::Serialize;

use super::{Kind, Projection, Resource};

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was created.
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

/// A resource whose changes are published as events.
pub trait Published: Resource {
    /// What the events hold: the resource of the contract.
    type Projection: Projection<Entity = Self> + Serialize + Type;

    /// What can happen to it.
    const ACTIONS: &'static [Action] = &[Action::Created, Action::Updated, Action::Deleted];

    /// What happened, given the row before and after; none stands for a row that is not there.
    fn actions(before: Option<&Self::Model>, _after: Option<&Self::Model>) -> Vec<Action> {
        vec![if before.is_none() { Action::Created } else { Action::Updated }]
    }
}
