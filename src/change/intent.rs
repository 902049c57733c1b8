//! What a caller intends to change.

use uuid::Uuid;

use crate::{
    auth::Actor,
    database::Recency,
    http::{
        caller::{Caller, CanErase, CanWrite, Changing},
        precondition::IfMatch,
    },
    pii::PiiVisibility,
    resource::{Action, Kind},
    values::IdempotencyKey,
};

/// What a caller intends to change.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who makes the change.
    pub(super) actor: Actor,
    /// Whether the actor sees personal data unmasked.
    pub(super) visibility: PiiVisibility,
    /// The resource that is created, changed or deleted.
    pub(super) resource: (Kind, Uuid),
    pub(super) idempotency: Idempotency,
    /// In which versions the resource may be changed.
    pub(super) only_if: IfMatch,
    /// Where the caller is told how far the database had come.
    pub(super) recency: Recency,
}

/// What keeps a change from being applied twice.
#[derive(Debug, Clone)]
pub(super) enum Idempotency {
    /// Nothing: a resource cannot be deleted twice.
    Inherent,
    /// The key of the request, claimed with what the request does.
    Request(IdempotencyKey, Action),
    /// The id of the event that caused it, which is the actor's request id, for each consumer and sender.
    Event(EventClaim),
}

/// What is claimed for a platform event, besides its tenant and its id.
#[derive(Debug, Clone)]
pub struct EventClaim {
    /// Who consumes it.
    pub consumer: &'static str,
    /// The system that sent it, and what part of it, if it says so.
    pub sender: String,
    /// Its type.
    pub event_type: String,
    /// The hash of what it says: another event under the same id is not the same event.
    pub payload_hash: String,
}

impl Intent {
    /// The creation of a resource with a new id, once per key: POST.
    #[must_use]
    pub fn create(caller: Caller<CanWrite>, key: IdempotencyKey, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Request(key, Action::Created))
    }

    /// A change of a resource, once per key: PATCH.
    #[must_use]
    pub fn update(caller: Caller<CanWrite>, key: IdempotencyKey, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Request(key, Action::Updated))
    }

    /// The erasure of a resource's personal data, once per key.
    #[must_use]
    pub fn erase(caller: Caller<CanErase>, key: IdempotencyKey, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Request(key, Action::Erased))
    }

    /// A change that needs no key, because it cannot be applied twice: DELETE.
    #[must_use]
    pub fn inherent(caller: Caller<CanWrite>, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Inherent)
    }

    /// A change caused by a platform event. It is applied once per consumer, sender, tenant and event id, which is the
    /// actor's request id.
    #[must_use]
    pub fn for_event(actor: Actor, claim: EventClaim, kind: Kind, id: Uuid) -> Self {
        Self { idempotency: Idempotency::Event(claim), ..Self::on_behalf_of(actor, kind, id) }
    }

    /// A change that is the rest of one that this actor made, or that an operator makes.
    #[must_use]
    pub fn on_behalf_of(actor: Actor, kind: Kind, id: Uuid) -> Self {
        Self {
            actor,
            visibility: PiiVisibility::Masked,
            resource: (kind, id),
            idempotency: Idempotency::Inherent,
            only_if: IfMatch::default(),
            recency: Recency::default(),
        }
    }

    /// The same change, of a resource in one of these versions only. Judged where the change locks the resource.
    #[must_use]
    pub fn only_if(self, only_if: IfMatch) -> Self {
        Self { only_if, ..self }
    }

    fn of(caller: Caller<impl Changing>, kind: Kind, id: Uuid, idempotency: Idempotency) -> Self {
        let Caller { actor, visibility, recency, .. } = caller;
        Self { visibility, idempotency, recency, ..Self::on_behalf_of(actor, kind, id) }
    }
}
