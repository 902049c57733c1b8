//! What a caller intends to change.

use uuid::Uuid;

use crate::{
    auth::Actor,
    http::caller::{Caller, CanWrite, Changing},
    pii::PiiVisibility,
    resource::Kind,
    values::RequestId,
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
}

/// What keeps a change from being applied twice.
#[derive(Debug, Clone)]
pub(super) enum Idempotency {
    /// Nothing: a resource cannot be deleted twice.
    Inherent,
    /// The request id.
    Request(RequestId),
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
    /// A change that is applied once per request id: POST and PATCH.
    #[must_use]
    pub fn once(caller: Caller<impl Changing>, request_id: RequestId, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Request(request_id))
    }

    /// A change that needs no request id, because it cannot be applied twice: DELETE.
    #[must_use]
    pub fn inherent(caller: Caller<CanWrite>, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Inherent)
    }

    /// A change caused by a platform event. It is applied once per consumer, sender, tenant and event id, which is the
    /// actor's request id.
    #[must_use]
    pub fn for_event(actor: Actor, claim: EventClaim, kind: Kind, id: Uuid) -> Self {
        let idempotency = Idempotency::Event(claim);
        Self { actor, visibility: PiiVisibility::Masked, resource: (kind, id), idempotency }
    }

    /// A change that is the rest of one that this actor made, or that an operator makes.
    #[must_use]
    pub fn on_behalf_of(actor: Actor, kind: Kind, id: Uuid) -> Self {
        let idempotency = Idempotency::Inherent;
        Self { actor, visibility: PiiVisibility::Masked, resource: (kind, id), idempotency }
    }

    fn of(caller: Caller<impl Changing>, kind: Kind, id: Uuid, idempotency: Idempotency) -> Self {
        let Caller { actor, visibility, .. } = caller;
        Self { actor, visibility, resource: (kind, id), idempotency }
    }
}
