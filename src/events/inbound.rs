//! Events of the platform that this service acts on, each applied once.
//!
//! An event is executed as a request is: its id is claimed in `inbox` in the transaction of what it leads
//! to, so that it may be delivered any number of times. It is acknowledged after the commit. What cannot be applied
//! (malformed, or about something the tenant does not have) is set apart with the reason, and never tried again by itself;
//! while the database is down it is tried until it works. Fields that are not known here are ignored.
//!
//! - `erp.contract.signed`: the customer is signed; the opportunity, if one is named, is won.
//! - `oa.task.completed`: the follow-up gains a last line; where none is named, one is recorded.

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use poem_openapi::registry::MetaSchemaRef;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::broker::{Broker, DEAD, Down, INBOUND, Settlement, Subscriber};
use crate::{
    app::App,
    audit::Agent,
    background::Stop,
    change::Intent,
    customers,
    error::{ApiError, ErrorCode, Result},
    follow_ups::{self, FollowUpCreate, types::Content},
    http::request_id,
    kind::{CUSTOMERS, FOLLOW_UPS, Kind},
    opportunities,
    telemetry::{
        metrics::{Ended, Inbound},
        trace,
    },
    values::{
        Clearable, ContractValue, Field, Flaw, Id, Tenant, Text, TextRule, Timestamp, contract_type,
        text::{self, LINE},
    },
};

/// A contract was signed, says the ERP.
pub const CONTRACT_SIGNED: &str = "erp.contract.signed";
/// A task was completed, says the OA.
pub const TASK_COMPLETED: &str = "oa.task.completed";
/// The types of events that are taken.
pub const TYPES: [&str; 2] = [CONTRACT_SIGNED, TASK_COMPLETED];

/// The most bytes of an event.
const LIMIT: usize = 262_144;
/// How often an event is tried that the service fails to apply, for no fault of the database.
const TRIES: u32 = 5;
/// The pause before an event is tried again, and before a broker that is down is.
const PAUSE: Duration = Duration::from_millis(500);

/// What all events have: who is told what, when.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    event_id: EventId,
    event_type: String,
    timestamp: Happened,
    #[serde(default)]
    trace_id: Option<String>,
}

/// An event with what it is about.
#[derive(Debug, Deserialize)]
struct About<D> {
    data: D,
}

/// What `erp.contract.signed` is about.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContractSigned {
    tenant_id: Tenant,
    customer_id: Id,
    #[serde(default)]
    opportunity_id: Clearable<Id>,
}

/// What `oa.task.completed` is about.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskCompleted {
    tenant_id: Tenant,
    title: TaskTitle,
    #[serde(default)]
    follow_up_id: Clearable<Id>,
    #[serde(default)]
    customer_id: Clearable<Id>,
    #[serde(default)]
    opportunity_id: Clearable<Id>,
    #[serde(default)]
    contact_id: Clearable<Id>,
}

/// The rule of [`EventId`]: as for the id of a request, in whose place it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIdRule;

impl TextRule for EventIdRule {
    const NAME: &'static str = "EventId";
    const MIN: usize = 1;
    const MAX: usize = request_id::MAX_LENGTH;
    const PATTERN: &'static str = "^[\u{21}-\u{7e}]+$";
    const EXPECTED: &'static str = "must be 1 to 128 visible ASCII characters";
    const EXAMPLE: &'static str = Id::EXAMPLE;

    fn accepts(text: &str) -> bool {
        request_id::is_valid(text)
    }
}

/// The id of an event of the platform.
pub type EventId = Text<EventIdRule>;

/// The rule of [`TaskTitle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTitleRule;

impl TextRule for TaskTitleRule {
    const NAME: &'static str = "TaskTitle";
    const MIN: usize = 1;
    const MAX: usize = 1_000;
    const PATTERN: &'static str = LINE;
    const EXPECTED: &'static str = "must be 1 to 1000 characters without control characters";
    const EXAMPLE: &'static str = "Send the offer";

    fn accepts(text: &str) -> bool {
        text::is_line(text)
    }
}

/// The title of a task, on one line.
pub type TaskTitle = Text<TaskTitleRule>;

/// When an event of the platform happened, as its sender wrote it: it is quoted so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Happened(String);

impl ContractValue for Happened {
    fn name() -> Cow<'static, str> {
        "Happened".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Timestamp::schema_ref()
    }

    fn from_value(value: Value) -> std::result::Result<Self, Flaw> {
        Timestamp::from_value(value.clone())?;
        value.as_str().map(|text| Self(text.to_owned())).ok_or(Flaw::Borrowed("must be an RFC 3339 timestamp"))
    }
}

contract_type!(Happened);

/// What an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was applied.
    Applied,
    /// It had been applied before; nothing was done.
    Before,
}

impl App {
    /// Applies an event of the platform, unless it was applied before.
    ///
    /// # Errors
    /// 400 where it cannot be applied, with what is wrong; 503 where it can be tried again; 500 for other faults.
    pub async fn take_in(&self, event: &[u8]) -> Result<Taken> {
        if event.len() > LIMIT {
            return Err(ApiError::bad_request(format!("the event is larger than {LIMIT} bytes")));
        }
        let envelope: Envelope = read(event)?;
        let applied = match envelope.event_type.as_str() {
            CONTRACT_SIGNED => self.contract_signed(envelope, read::<About<_>>(event)?.data).await,
            TASK_COMPLETED => self.task_completed(envelope, read::<About<_>>(event)?.data).await,
            _ => return Err(ApiError::bad_request("eventType: is not one that this service takes")),
        };
        match applied {
            Ok(()) => Ok(Taken::Applied),
            Err(error) if error.code() == ErrorCode::IdempotentConflict => Ok(Taken::Before),
            Err(error) => Err(error),
        }
    }

    async fn contract_signed(&self, envelope: Envelope, data: ContractSigned) -> Result<()> {
        let intent = self.told(&envelope, data.tenant_id).about(CUSTOMERS, data.customer_id.0);
        let opportunity = data.opportunity_id.into_option().map(|id| id.0);
        self.change(intent, move |change| {
            async move {
                customers::store::sign(change).await?;
                match opportunity {
                    Some(id) => opportunities::store::win(change, id).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await
    }

    async fn task_completed(&self, envelope: Envelope, data: TaskCompleted) -> Result<()> {
        let TaskCompleted { tenant_id, title, follow_up_id, customer_id, opportunity_id, contact_id } = data;
        let told = self.told(&envelope, tenant_id);
        if let Some(Id(id)) = follow_up_id.into_option() {
            let line = format!("[completed {}] {}", envelope.timestamp.0, title.as_str());
            let intent = told.about(FOLLOW_UPS, id);
            return self
                .change(intent, move |change| {
                    let line = line.clone();
                    async move { follow_ups::store::add_line(change, &line).await }.boxed()
                })
                .await;
        }
        if [&customer_id, &opportunity_id, &contact_id].iter().all(|id| !matches!(id, Clearable::Value(_))) {
            let missing = "data: one of followUpId, customerId, opportunityId, contactId is required";
            return Err(ApiError::bad_request(missing));
        }
        let follow_up = FollowUpCreate {
            content: Content::stored(title.into_string()),
            customer_id,
            opportunity_id,
            contact_id,
            follow_up_type: Field::Value(Text::stored("oa.task".to_owned())),
        };
        let intent = told.about(FOLLOW_UPS, self.new_id());
        self.change(intent, move |change| {
            let follow_up = follow_up.clone();
            async move { follow_ups::store::insert(change, follow_up).await.map(drop) }.boxed()
        })
        .await
    }

    /// Who acts where an event is applied: the system that sent it.
    fn told(&self, envelope: &Envelope, tenant: Tenant) -> Told {
        let sender = envelope.event_type.split('.').next().unwrap_or_default();
        let trace_id = envelope.trace_id.clone().filter(|id| trace::is_id(id));
        Told {
            agent: Agent {
                tenant,
                actor: sender.to_owned(),
                client: None,
                request_id: envelope.event_id.as_str().to_owned(),
                trace_id: trace_id.unwrap_or_else(|| self.new_id().simple().to_string()),
            },
            event_type: envelope.event_type.clone(),
        }
    }

    /// Takes the platform's events and applies them, until `stop`.
    pub async fn keep_taking_in(&self, broker: Arc<dyn Broker>, mut stop: Stop) {
        let mut works = true;
        loop {
            let outcome = tokio::select! {
                outcome = self.take_from(&*broker) => outcome,
                () = stop.asked() => return,
            };
            if let (true, Err(Down(reason))) = (works, &outcome) {
                tracing::warn!(reason, "the broker is down: the platform's events wait");
            }
            works = outcome.is_ok();
            tokio::select! {
                () = stop.asked() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Takes events until the connection ends. `Ok` where it worked for a time.
    async fn take_from(&self, broker: &dyn Broker) -> std::result::Result<(), Down> {
        let mut subscriber = broker.subscriber().await?;
        tracing::info!("the platform's events are taken");
        while self.take_batch(&mut *subscriber).await.is_ok() {}
        Ok(())
    }

    /// Takes the events that are there, at least one, and settles them.
    ///
    /// # Errors
    /// The connection is lost: what was not settled comes again.
    pub async fn take_batch(&self, subscriber: &mut dyn Subscriber) -> std::result::Result<(), Down> {
        let events = subscriber.next().await?;
        let settlements = join_all(events.iter().map(|event| self.settle(event))).await;
        subscriber.settle(settlements).await
    }

    /// Applies an event, as often as it takes.
    async fn settle(&self, event: &[u8]) -> Settlement {
        let ended = |outcome| self.metrics().inbound.get_or_create(&Ended { outcome }).inc();
        let mut tries = 0;
        loop {
            let error = match self.take_in(event).await {
                Ok(Taken::Applied) => {
                    ended(Inbound::applied);
                    return Settlement::Done;
                }
                Ok(Taken::Before) => {
                    ended(Inbound::duplicate);
                    return Settlement::Done;
                }
                Err(error) => error,
            };
            tries += 1;
            let cause = error.cause().unwrap_or_default();
            let reason = match error.code() {
                ErrorCode::ServiceUnavailable => None,
                ErrorCode::InternalError if tries < TRIES => None,
                ErrorCode::InternalError => Some("the service failed to apply it; its log says why"),
                _ => Some(error.details().unwrap_or("it cannot be applied")),
            };
            match reason {
                Some(reason) => {
                    tracing::warn!(reason, cause, queue = DEAD, "an event of the platform is set apart");
                    ended(Inbound::dead);
                    return Settlement::Dead(reason.to_owned());
                }
                None => {
                    if tries == 1 {
                        tracing::error!(cause, "an event of the platform cannot be applied yet");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Who told it, before it is known what about.
struct Told {
    agent: Agent,
    event_type: String,
}

impl Told {
    fn about(self, kind: Kind, id: Uuid) -> Intent {
        Intent::told(self.agent, INBOUND, self.event_type, kind, id)
    }
}

fn read<T: DeserializeOwned>(event: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(event);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, error) = (error.path().to_string(), error.into_inner());
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        match error.classify() {
            serde_json::error::Category::Data if path != "." => ApiError::bad_request(format!("{path}: {message}")),
            serde_json::error::Category::Data => ApiError::bad_request(message),
            _ => ApiError::bad_request("the event is not valid JSON"),
        }
    })
}
