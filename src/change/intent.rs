//! What somebody intends to change.

use uuid::Uuid;

use crate::{
    auth::Actor,
    http::caller::{Caller, CanWrite},
    pii::PiiVisibility,
    resource::Kind,
    values::RequestId,
};

/// What somebody intends to change.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who.
    pub(super) actor: Actor,
    /// How the actor sees personal data.
    pub(super) visibility: PiiVisibility,
    /// The resource that is changed or made.
    pub(super) resource: (Kind, Uuid),
    pub(super) idempotency: Idempotency,
}

/// What keeps a change from being done twice.
#[derive(Debug, Clone)]
pub(super) enum Idempotency {
    /// Its nature: a resource cannot be deleted twice.
    Inherent,
    /// The id of the request.
    Request(RequestId),
    /// The id of the event that led to it, which is the actor's request id, and who consumed the event.
    Event { consumer: &'static str, event_type: String },
}

impl Intent {
    /// A change that takes effect once for its request id: POST and PATCH.
    #[must_use]
    pub fn once(caller: Caller<CanWrite>, request_id: RequestId, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Request(request_id))
    }

    /// A change that needs no request id, because it cannot be done twice: DELETE.
    #[must_use]
    pub fn inherent(caller: Caller<CanWrite>, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Idempotency::Inherent)
    }

    /// A change that an event of the platform leads to. It takes effect once for the event's id, which is the actor's request
    /// id. `consumer` consumed the event.
    #[must_use]
    pub fn for_event(actor: Actor, consumer: &'static str, event_type: String, kind: Kind, id: Uuid) -> Self {
        let idempotency = Idempotency::Event { consumer, event_type };
        Self { actor, visibility: PiiVisibility::Masked, resource: (kind, id), idempotency }
    }

    fn of(caller: Caller<CanWrite>, kind: Kind, id: Uuid, idempotency: Idempotency) -> Self {
        let Caller { actor, visibility, .. } = caller;
        Self { actor, visibility, resource: (kind, id), idempotency }
    }
}
