//! How the chain is written. On SQLite by plain statements, which triggers check; on PostgreSQL by functions of the schema's
//! owner, which check too, because the role of the service may only add entries there.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, QueryFilter, Statement,
    Value,
    sea_query::{ArrayType, OnConflict},
};
use uuid::Uuid;

use super::entity::{
    chain::{self, Model as Link},
    heads::{self, Model as Head},
    logs, queue,
};
use crate::{
    database::{
        Transaction,
        horizon::Due,
        tenancy::{Listed, Tenanted},
    },
    error::{Error, Result},
    values::Tenant,
};

/// The hash that a tenant's first entry is chained to.
const NOTHING_BEFORE: &str = "";

/// A tenant's head, which is made where there is none. Other processes wait until the transaction ends.
#[expect(clippy::disallowed_methods, reason = "the chain is written here and nowhere else")]
pub(super) async fn lock_head(transaction: &Transaction, tenant: &Tenant) -> Result<Head> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let sql = "SELECT sequence, hash, purged_sequence, purged_hash FROM audit_lock_head($1)";
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [tenant.as_str().into()]);
        let row = transaction.query_one_raw(statement).await?.ok_or_else(no_head)?;
        return Ok(Head {
            tenant_id: tenant.as_str().to_owned(),
            sequence: row.try_get_by_index(0)?,
            hash: row.try_get_by_index(1)?,
            purged_sequence: row.try_get_by_index(2)?,
            purged_hash: row.try_get_by_index(3)?,
        });
    }
    let first = Head {
        tenant_id: tenant.as_str().to_owned(),
        sequence: 0,
        hash: NOTHING_BEFORE.to_owned(),
        purged_sequence: 0,
        purged_hash: NOTHING_BEFORE.to_owned(),
    };
    if let Some(head) = heads::Entity::of(tenant).all(transaction).await?.pop() {
        return Ok(head);
    }
    let unless_there = OnConflict::column(heads::Column::TenantId).do_nothing().to_owned();
    let insert = heads::Entity::insert(first.clone().into_active_model()).on_conflict(unless_there);
    insert.exec_without_returning(transaction).await?;
    Ok(first)
}

/// Puts links of queued entries behind the head, which is locked.
#[expect(clippy::disallowed_methods, reason = "the chain is written here and nowhere else")]
pub(super) async fn append(transaction: &Transaction, tenant: &Tenant, head: Head, links: Vec<Link>) -> Result<()> {
    let Some(last) = links.last().cloned() else { return Ok(()) };
    let ids: Vec<Uuid> = links.iter().map(|link| link.audit_log_id).collect();
    if transaction.get_database_backend() == DbBackend::Postgres {
        let hashes = links.into_iter().map(|link| link.hash);
        let values = [
            tenant.as_str().into(),
            head.sequence.into(),
            array(ArrayType::Uuid, ids.into_iter()),
            array(ArrayType::String, hashes),
        ];
        let sql = "SELECT audit_chain_entries($1, $2, $3, $4)";
        transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
        return Ok(());
    }
    let rows = links.into_iter().map(IntoActiveModel::into_active_model);
    chain::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    queue::Entity::delete_of(tenant).filter(queue::Column::AuditLogId.is_in(ids)).exec(transaction).await?;
    let head = Head { sequence: last.sequence, hash: last.hash, ..head };
    head.into_active_model().reset_all().update(transaction).await?;
    Ok(())
}

/// Deletes the oldest entries of a chain, which are due, with their links. The head is locked.
#[expect(clippy::disallowed_methods, reason = "retention deletes entries here and nowhere else")]
pub(super) async fn remove_oldest(
    transaction: &Transaction,
    tenant: &Tenant,
    head: Head,
    oldest: &[Link],
    due: Due,
) -> Result<()> {
    let Some(last) = oldest.last() else { return Ok(()) };
    if transaction.get_database_backend() == DbBackend::Postgres {
        let sql = "SELECT audit_purge_entries($1, $2, $3)";
        let values = [tenant.as_str().into(), last.sequence.into(), due.instant().into()];
        transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
        return Ok(());
    }
    // The head first: only entries at or below its purged number may be deleted.
    let head = Head { purged_sequence: last.sequence, purged_hash: last.hash.clone(), ..head };
    head.into_active_model().reset_all().update(transaction).await?;
    let ids = oldest.iter().map(|link| link.audit_log_id);
    logs::Entity::delete_of(tenant).filter(<logs::Entity as Listed>::ID.is_in(ids)).exec(transaction).await?;
    let links = chain::Entity::delete_of(tenant).filter(chain::Column::Sequence.lte(last.sequence));
    links.exec(transaction).await?;
    Ok(())
}

fn array<T: Into<Value>>(of: ArrayType, items: impl Iterator<Item = T>) -> Value {
    Value::Array(of, Some(Box::new(items.map(Into::into).collect())))
}

fn no_head() -> Error {
    Error::internal("a tenant's chain has no head")
}
