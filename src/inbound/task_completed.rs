//! `oa.task.completed`: the follow-up gains a last line; without a follow-up, one is recorded.

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    consumed_event::{ConsumedEvent, DataField},
    envelope::Envelope,
};
use crate::{
    change::Changes,
    error::{Error, Result},
    follow_ups::{self, FOLLOW_UPS, FollowUpCreate, types::Content},
    values::{
        Clearable, Field, Id, IdSource, Tenant, Text, TextRule,
        text::{self, LINE},
    },
};

pub(super) const EVENT: ConsumedEvent = ConsumedEvent {
    event_type: "oa.task.completed",
    summary: "A task was completed: the follow-up's content gains the last line `[completed <timestamp>] <title>`. Without \
              `followUpId` a follow-up of type `oa.task` is recorded, about at least one of the other three.",
    required: &["tenantId", "title"],
    data: fields,
    apply,
};

/// The event's `data`.
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

fn fields() -> Vec<DataField> {
    vec![
        DataField::of::<Tenant>("tenantId", "The tenant."),
        DataField::of::<TaskTitle>("title", "What was done."),
        DataField::nullable::<Id>("followUpId", "The follow-up that it completes."),
        DataField::nullable::<Id>("customerId", "The customer it is about."),
        DataField::nullable::<Id>("opportunityId", "The opportunity it is about; one of the customer's."),
        DataField::nullable::<Id>("contactId", "The contact it is about; one of the customer's."),
    ]
}

fn apply<'a>(changes: &'a Changes, ids: &'a IdSource, envelope: &'a Envelope) -> BoxFuture<'a, Result<()>> {
    async move {
        let task: TaskCompleted = envelope.data()?;
        match task.follow_up_id {
            Clearable::Value(Id(id)) => add_line(changes, ids, envelope, task, id).await,
            Clearable::Absent | Clearable::Null => record(changes, ids, envelope, task).await,
        }
    }
    .boxed()
}

async fn add_line(
    changes: &Changes,
    ids: &IdSource,
    envelope: &Envelope,
    task: TaskCompleted,
    follow_up: Uuid,
) -> Result<()> {
    let line = format!("[completed {}] {}", envelope.timestamp.as_str(), task.title.as_str());
    let intent = envelope.context(task.tenant_id, ids).intent(FOLLOW_UPS, follow_up);
    changes
        .apply(intent, move |change| {
            let line = line.clone();
            async move { follow_ups::store::add_line(change, &line).await }.boxed()
        })
        .await
}

async fn record(changes: &Changes, ids: &IdSource, envelope: &Envelope, task: TaskCompleted) -> Result<()> {
    let TaskCompleted { tenant_id, title, follow_up_id: _, customer_id, opportunity_id, contact_id } = task;
    if [&customer_id, &opportunity_id, &contact_id].iter().all(|id| !matches!(id, Clearable::Value(_))) {
        let missing = "data: one of followUpId, customerId, opportunityId, contactId is required";
        return Err(Error::invalid(missing));
    }
    let follow_up = FollowUpCreate {
        content: Content::stored(title.into_string()),
        customer_id,
        opportunity_id,
        contact_id,
        follow_up_type: Field::Value(Text::stored("oa.task".to_owned())),
    };
    let intent = envelope.context(tenant_id, ids).intent(FOLLOW_UPS, ids.next());
    changes
        .apply(intent, move |change| {
            let follow_up = follow_up.clone();
            async move { follow_ups::store::insert(change, follow_up).await.map(drop) }.boxed()
        })
        .await
}

/// The rule of [`TaskTitle`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct TaskTitleRule;

impl TextRule for TaskTitleRule {
    const NAME: &'static str = "TaskTitle";
    const MIN: usize = 1;
    const MAX: usize = 1_000;
    const PATTERN: &'static str = LINE;
    const EXPECTED: &'static str = "must be 1 to 1000 characters without control characters";
    const EXAMPLE: &'static str = "Send the offer";

    fn check(text: &str) -> text::Verdict {
        text::check_line(text, Self::EXPECTED)
    }
}

/// The title of a task, on one line.
type TaskTitle = Text<TaskTitleRule>;
