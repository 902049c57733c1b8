//! What is published about a change.

use poem_openapi::types::Type;
use serde::Serialize;

use super::{Kind, Projection, Resource};

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Created.
    Created,
    /// Changed in any way that has no action of its own.
    Updated,
    /// An opportunity was won or lost.
    Closed,
    /// A won or lost opportunity is open again.
    Reopened,
    /// Its personal data was erased: whoever holds a copy erases that too.
    Erased,
    /// Deleted.
    Deleted,
}

impl Action {
    /// The last segment of the event type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Erased => "erased",
            Self::Deleted => "deleted",
        }
    }

    /// The event type, such as `crm.customer.created`.
    #[must_use]
    pub fn event_type(self, kind: Kind) -> String {
        format!("crm.{}.{}", kind.name.to_lowercase(), self.name())
    }
}

/// A resource whose changes are published as events.
pub trait Published: Resource {
    /// The contract type that the events contain.
    type Projection: Projection<Entity = Self> + Serialize + Type;

    /// The actions that can occur.
    const ACTIONS: &'static [Action] = &[Action::Created, Action::Updated, Action::Deleted];

    /// Whether a row is stored as it is written: no trigger changes it.
    const IS_STORED_AS_WRITTEN: bool = true;

    /// The actions between two versions of a row, where `None` stands for a missing row.
    fn actions(before: Option<&Self::Model>, _after: Option<&Self::Model>) -> Vec<Action> {
        vec![if before.is_none() { Action::Created } else { Action::Updated }]
    }
}
