//! The stored events about a customer: finding them, and erasing what they hold. They are looked at in order, so many at a
//! time, because what they are about stands in their data.

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use uuid::Uuid;

use super::entity::Model;
use crate::{
    change::Change, contacts, customers, error::Result, events::erasure as events, follow_ups, resource::PersonalData,
    values::Tenant,
};

/// How many stored events, of all tenants, are looked at per step.
pub(super) const WINDOW: i64 = 10_000;
/// Maximum number of events per step that are erased.
const EVENTS: usize = 500;

const OF_ROWS: [PersonalData; 2] = [PersonalData::of::<customers::Entity>(), PersonalData::of::<contacts::Entity>()];
const FOLLOW_UPS: PersonalData = PersonalData::of::<follow_ups::Entity>();
const ALL: [PersonalData; 3] =
    [PersonalData::of::<customers::Entity>(), PersonalData::of::<contacts::Entity>(), FOLLOW_UPS];

/// The personal data that is erased from events.
pub(super) fn personal(with_follow_ups: bool) -> &'static [PersonalData] {
    if with_follow_ups { &ALL } else { &OF_ROWS }
}

/// Some stored events, and which of them are about the customer.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) after: i64,
    pub(super) up_to: i64,
    found: Vec<Found>,
}

/// An event that may be about the customer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) seq: i64,
    /// Whether it is about a follow-up that belongs to the customer now.
    is_own: bool,
    /// Whether it is about the end of a follow-up.
    is_last: bool,
    aggregate: Option<Uuid>,
}

impl Window {
    /// Those that are next for an erasure, of the ones up to `until`.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn find(db: &impl ConnectionTrait, tenant: &Tenant, row: &Model, until: i64) -> Result<Self> {
        let after = row.events_done;
        let mut up_to = Ord::min(after + WINDOW, until);
        let mut found = naming(db, tenant, row.customer_id, row.with_follow_ups, (after, up_to)).await?;
        if found.len() > EVENTS {
            found.truncate(EVENTS);
            up_to = found.last().map_or(up_to, |last| last.seq);
        }
        Ok(Self { after, up_to, found })
    }
}

/// The tenant's events after the first `seq` and up to the second whose data name the customer, in order; with follow-ups,
/// also those about a follow-up that belongs to it now, whichever customer that had belonged to.
///
/// # Errors
/// A database error.
pub(super) async fn naming(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    customer: Uuid,
    with_follow_ups: bool,
    (after, up_to): (i64, i64),
) -> Result<Vec<Found>> {
    let backend = db.get_database_backend();
    let find = match backend {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    let own = match with_follow_ups {
        true => {
            "(event_type LIKE 'crm.followup.%' AND aggregate_id IN \
             (SELECT follow_up_id FROM follow_ups WHERE tenant_id = $3 AND customer_id = $5))"
        }
        // So that the parameter is used.
        false => "(aggregate_id = $5 AND 1 = 0)",
    };
    let sql = format!(
        "SELECT seq, aggregate_id, {own} AS is_own, event_type = 'crm.followup.deleted' AS is_last FROM outbox \
         WHERE seq > $1 AND seq <= $2 AND tenant_id = $3 AND ({find}(data, $4) > 0 OR {own}) ORDER BY seq"
    );
    let values = [after.into(), up_to.into(), tenant.as_str().into(), customer.to_string().into(), customer.into()];
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let found = |row: &sea_orm::QueryResult| {
        Ok(Found {
            seq: row.try_get("", "seq")?,
            is_own: row.try_get("", "is_own")?,
            is_last: with_follow_ups && row.try_get("", "is_last")?,
            aggregate: row.try_get("", "aggregate_id").ok(),
        })
    };
    rows.iter().map(found).collect()
}

/// Erases what the found events hold, and returns how many held something.
///
/// # Errors
/// A database error.
pub(super) async fn erase_events(change: &Change<'_>, row: &Model, window: &Window) -> Result<i64> {
    let (transaction, tenant, customer) = (change.db(), change.tenant(), row.customer_id);
    let seqs = |is_own: bool| window.found.iter().filter(move |one| one.is_own == is_own).map(|one| one.seq);
    let (own, named): (Vec<i64>, Vec<i64>) = (seqs(true).collect(), seqs(false).collect());
    let mut erased = 0;
    if !named.is_empty() {
        let personal = personal(row.with_follow_ups);
        erased += events::erase(transaction, tenant, Some(customer), personal, &named).await?;
    }
    if !own.is_empty() {
        erased += events::erase(transaction, tenant, None, &[FOLLOW_UPS], &own).await?;
    }
    // A follow-up that was deleted as this customer's may have been another's before.
    for last in window.found.iter().filter(|one| one.is_last) {
        let Some(aggregate) = last.aggregate else { continue };
        erased += events::erase_about(transaction, tenant, FOLLOW_UPS, (aggregate, last.seq, customer)).await?;
    }
    Ok(erased)
}
