//! Asking for an erasure: it takes effect in the transaction that accepts it.

#![expect(clippy::disallowed_methods, reason = "an erasure is no resource: the trail has an entry of its own about it")]

use std::time::Duration;

use futures_util::FutureExt;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    entity::{self, Column, Model},
    steps::{self, ERASURES},
    stored_events::{WINDOW, naming, personal},
    types::Erasure,
};
use crate::{
    app::App,
    audit::{AuditAction, AuditedAction, field_change::FieldChange},
    auth::Actor,
    change::{Change, Intent},
    contacts,
    customers::{self, CUSTOMERS},
    database::{Database, tenancy::Tenanted},
    error::Result,
    events::erasure as events,
    follow_ups,
    resource::Erasable,
    values::Tenant,
};

/// How many contacts, and how many follow-ups, are erased with the customer, in one transaction; further ones follow in steps.
const ROWS: u64 = 200;
/// How long the events since the last erasure are looked at; where that is too short to see all, another erasure begins.
const LOOKING: Duration = Duration::from_secs(2);

/// What was found of the last erasure before a further one: whether the stored events since then hold personal data, as far
/// as they were looked at. Looking takes time, so it is done before the transaction begins.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    erasure: Uuid,
    until: i64,
    is_clean: bool,
}

/// Looks at the events since the customer's last erasure, if that covers what is asked for.
///
/// # Errors
/// A database error.
pub(crate) async fn check(
    database: &Database,
    tenant: &Tenant,
    customer: Uuid,
    follow_ups: bool,
) -> Result<Option<Checked>> {
    let db = database.read_for(tenant);
    let last = last(&db, tenant, customer).await?.filter(|last| covers(last, follow_ups));
    let Some((last, until)) = last.and_then(|last| last.events_until.map(|until| (last, until))) else {
        return Ok(None);
    };
    let mut checked = Checked { erasure: last.erasure_id, until, is_clean: true };
    let (end, enough) = (events::last(&db).await?, Instant::now() + LOOKING);
    while checked.is_clean && checked.until < end {
        if Instant::now() >= enough {
            return Ok(None);
        }
        let up_to = (checked.until + WINDOW).min(end);
        checked.is_clean = is_clean(&db, tenant, customer, follow_ups, (checked.until, up_to)).await?;
        checked.until = up_to;
    }
    Ok(Some(checked))
}

/// Erases the customer of the change; where the last erasure still holds, gives back that one, and `false`.
///
/// # Errors
/// Not found, or a database error.
pub(super) async fn request(
    change: &mut Change<'_>,
    follow_ups: bool,
    checked: Option<&Checked>,
) -> Result<(Model, bool)> {
    let customer = change.lock_own::<customers::Entity>().await?;
    let mut erased = customer.clone();
    customers::Entity::erase(&mut erased);
    match last_if_it_holds(change, follow_ups, checked).await? {
        Some(last) if last.completed_at.is_none() || erased == customer => Ok((last, false)),
        _ => begin(change, follow_ups).await.map(|row| (row, true)),
    }
}

/// Erases a customer on behalf of an operator, also one that is deleted; goes on until the erasure is complete. `progress` is
/// called after each step.
///
/// # Errors
/// A database error. What was erased until then stays erased, and the service goes on with it.
pub async fn erase_by_operator(
    app: &App,
    tenant: &Tenant,
    customer: Uuid,
    follow_ups: bool,
    progress: &dyn Fn(&Erasure),
) -> Result<Erasure> {
    let checked = check(app.database(), tenant, customer, follow_ups).await?;
    let (request_id, trace_id) = (app.new_id().to_string(), app.new_id().simple().to_string());
    let actor = Actor { tenant: tenant.clone(), name: "operator".to_owned(), client: None, request_id, trace_id };
    let intent = Intent::on_behalf_of(actor, CUSTOMERS, customer);
    let row = app
        .changes()
        .apply(intent, move |change| {
            let checked = checked.clone();
            async move {
                change.lock_stored::<customers::Entity>(change.id()).await?;
                match last_if_it_holds(change, follow_ups, checked.as_ref()).await? {
                    Some(last) if last.completed_at.is_none() || !change.is_unerased::<customers::Entity>().await? => {
                        Ok(last)
                    }
                    _ => begin(change, follow_ups).await,
                }
            }
            .boxed()
        })
        .await?;
    steps::complete(app.changes(), row, progress).await
}

/// The customer must be locked.
async fn begin(change: &mut Change<'_>, with_follow_ups: bool) -> Result<Model> {
    let customer = change.id();
    let customers = i64::from(change.is_unerased::<customers::Entity>().await?);
    change.erase_one::<customers::Entity>(customer).await?;
    let count = |ids: Vec<Uuid>| i64::try_from(ids.len()).unwrap_or_default();
    let contacts = count(change.erase_of_customer::<contacts::Entity>(customer, ROWS).await?);
    let follow_ups = match with_follow_ups {
        true => count(change.erase_of_customer::<follow_ups::Entity>(customer, ROWS).await?),
        false => 0,
    };
    let Actor { tenant, name, client, request_id, trace_id } = change.actor().clone();
    let row = Model {
        tenant_id: tenant.as_str().to_owned(),
        erasure_id: change.new_id(),
        customer_id: customer,
        requested_at: change.now().0,
        actor: name,
        client,
        request_id,
        trace_id,
        with_follow_ups,
        customers,
        contacts,
        follow_ups,
        events: 0,
        events_done: 0,
        events_until: None,
        completed_at: None,
    };
    entity::Entity::insert(row.clone().into_active_model()).exec_without_returning(change.db()).await?;
    let field = |name: &str, new: String| FieldChange { field: name.to_owned(), old: None, new: Some(new) };
    change.note(AuditedAction {
        action: AuditAction::Create,
        kind: Some(ERASURES),
        id: Some(row.erasure_id),
        changes: vec![
            field("customerId", customer.to_string()),
            field("followUps", if with_follow_ups { "erase" } else { "keep" }.to_owned()),
        ],
        summary: format!("began to erase the personal data of customer {customer}"),
    })?;
    Ok(row)
}

/// The customer's last erasure, if it is under way, or nothing about the customer's contacts, follow-ups and events was
/// written since.
async fn last_if_it_holds(change: &Change<'_>, follow_ups: bool, checked: Option<&Checked>) -> Result<Option<Model>> {
    let (tenant, customer) = (change.tenant(), change.id());
    let Some(last) = last(change.db(), tenant, customer).await?.filter(|last| covers(last, follow_ups)) else {
        return Ok(None);
    };
    if last.completed_at.is_none() {
        return Ok(Some(last));
    }
    let Some(checked) = checked.filter(|checked| checked.erasure == last.erasure_id && checked.is_clean) else {
        return Ok(None);
    };
    let is_new = change.has_unerased::<contacts::Entity>(customer).await?
        || (follow_ups && change.has_unerased::<follow_ups::Entity>(customer).await?);
    let since = (checked.until, events::last(change.db()).await?);
    if is_new || !is_clean(change.db(), tenant, customer, follow_ups, since).await? {
        return Ok(None);
    }
    // What was not asked for was not looked at either.
    match last.with_follow_ups == follow_ups {
        true => steps::remember_clean(change, &last, since.1).await.map(Some),
        false => Ok(Some(last)),
    }
}

async fn is_clean(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    customer: Uuid,
    follow_ups: bool,
    window: (i64, i64),
) -> Result<bool> {
    let found = naming(db, tenant, customer, follow_ups, window).await?;
    let named: Vec<i64> = found.iter().map(|found| found.seq).collect();
    if named.is_empty() {
        return Ok(true);
    }
    Ok(!events::holds_any(db, tenant, customer, personal(follow_ups), &named).await?)
}

fn covers(last: &Model, follow_ups: bool) -> bool {
    last.with_follow_ups || !follow_ups
}

/// The customer's last erasure.
///
/// # Errors
/// A database error.
pub(super) async fn last(db: &impl ConnectionTrait, tenant: &Tenant, customer: Uuid) -> Result<Option<Model>> {
    let rows = entity::Entity::of(tenant).filter(Column::CustomerId.eq(customer));
    let rows = rows.order_by_desc(Column::RequestedAt).order_by_desc(Column::ErasureId).limit(1);
    Ok(rows.all(db).await?.pop())
}
