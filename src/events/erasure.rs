//! Erasing personal data from stored events, in place: order, ids, positions and versions stay, and so do the schemas that
//! events conform to. An event that is published later is published as it is then.

use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use super::list;
use crate::{database::Transaction, error::Result, resource::PersonalData, values::Tenant};

/// What is left of the data of an event that cannot be read: it was a gap in the feed before, and stays one.
const NOTHING: &str = "{}";

/// The `seq` of the last stored event, of whichever tenant.
///
/// # Errors
/// A database error.
pub(crate) async fn last(db: &impl ConnectionTrait) -> Result<i64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM outbox";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}

/// Erases this personal data from these events, those alone that are about the customer, if one is given. Returns how many
/// held some.
///
/// # Errors
/// A database error.
pub(crate) async fn erase(
    transaction: &Transaction,
    tenant: &Tenant,
    customer: Option<Uuid>,
    personal: &[PersonalData],
    seqs: &[i64],
) -> Result<i64> {
    let backend = transaction.get_database_backend();
    let these = list::contains(backend, "seq", "$2", "bigint");
    let values = [tenant.as_str().into(), list::of_numbers(backend, seqs.iter().copied())];
    let rows = stored(transaction, &these, values).await?;
    erase_from(transaction, tenant, customer, personal, &rows).await
}

/// Erases this personal data from all events about a resource, if the event `seq` says that it was this customer's. Returns
/// how many held some.
///
/// # Errors
/// A database error.
pub(crate) async fn erase_about(
    transaction: &Transaction,
    tenant: &Tenant,
    personal: PersonalData,
    (resource, seq, customer): (Uuid, i64, Uuid),
) -> Result<i64> {
    let rows = stored(transaction, "aggregate_id = $2", [tenant.as_str().into(), resource.into()]).await?;
    let says_so = |row: &QueryResult| {
        let is_it = row.try_get::<i64>("", "seq").is_ok_and(|found| found == seq);
        is_it && scrubbed(row, Some(customer), &[personal]).is_some()
    };
    match rows.iter().any(says_so) {
        true => erase_from(transaction, tenant, None, &[personal], &rows).await,
        false => Ok(0),
    }
}

/// Whether any of these events, as far as they are about the customer, holds such personal data.
///
/// # Errors
/// A database error.
pub(crate) async fn holds_any(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    customer: Uuid,
    personal: &[PersonalData],
    seqs: &[i64],
) -> Result<bool> {
    let backend = db.get_database_backend();
    let these = list::contains(backend, "seq", "$2", "bigint");
    let values = [tenant.as_str().into(), list::of_numbers(backend, seqs.iter().copied())];
    let rows = stored(db, &these, values).await?;
    Ok(rows.iter().any(|row| matches!(scrubbed(row, Some(customer), personal), Some(Some(_)))))
}

async fn stored(db: &impl ConnectionTrait, which: &str, values: [Value; 2]) -> Result<Vec<QueryResult>> {
    let sql =
        format!("SELECT seq, position, event_type, data FROM outbox WHERE tenant_id = $1 AND {which} ORDER BY seq");
    Ok(db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?)
}

async fn erase_from(
    transaction: &Transaction,
    tenant: &Tenant,
    customer: Option<Uuid>,
    personal: &[PersonalData],
    rows: &[QueryResult],
) -> Result<i64> {
    let backend = transaction.get_database_backend();
    let mut erased = 0;
    for row in rows {
        let Some(Some(data)) = scrubbed(row, customer, personal) else { continue };
        let (seq, bytes): (i64, _) = (row.try_get("", "seq")?, i64::try_from(data.len()).unwrap_or(i64::MAX));
        let update = "UPDATE outbox SET data = $2 WHERE seq = $1";
        transaction.execute_raw(Statement::from_sql_and_values(backend, update, [seq.into(), data.into()])).await?;
        if let Ok(Some(position)) = row.try_get::<Option<i64>>("", "position") {
            let update = "UPDATE feed_events SET bytes = $3 WHERE tenant_id = $1 AND outbox_position = $2";
            let values: [Value; 3] = [tenant.as_str().into(), position.into(), bytes.into()];
            transaction.execute_raw(Statement::from_sql_and_values(backend, update, values)).await?;
        }
        erased += 1;
    }
    Ok(erased)
}

/// What an event's data are without personal data, or none if they hold none; nothing at all if the event is not about the
/// customer, or not about a resource with such data.
fn scrubbed(row: &QueryResult, customer: Option<Uuid>, personal: &[PersonalData]) -> Option<Option<String>> {
    let data: String = row.try_get("", "data").ok()?;
    let Ok(Json::Object(mut whole)) = serde_json::from_str::<Json>(&data) else {
        // What such a text holds, nobody can tell.
        return Some((data != NOTHING).then(|| NOTHING.to_owned()));
    };
    let event_type: String = row.try_get("", "event_type").ok()?;
    let kind = event_type.split('.').nth(1)?;
    let personal = personal.iter().find(|one| one.kind.name.eq_ignore_ascii_case(kind))?;
    let resource = whole.get_mut("resource")?.as_object_mut()?;
    let owner = resource.get("customerId").and_then(Json::as_str);
    if customer.is_some_and(|customer| owner != Some(customer.to_string().as_str())) {
        return None;
    }
    Some(if personal.erase(resource) { serde_json::to_string(&whole).ok() } else { None })
}
