//! Writing the documents of rows that have none, or anew, in steps: of the rows that were there before the index, of those that
//! a process of the release before has written, and of all where that is asked for.
//!
//! A row is locked while its document is written, so that it is that of its text. What is left to do is in the tables
//! `search_queue` and `search_builds`: a step that is cut off is taken again, by whichever process comes to it.

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use super::document;
use crate::{
    database::{Database, Transaction},
    error::Result,
    values::{Tenant, normal_form::sort_key},
};

/// The rows of a transaction: so few that nobody who waits for one of them waits for long.
const ROWS: usize = 50;
/// In place of a tenant: the build of all tenants.
const ALL: &str = "";

/// A table whose rows are searched by a text.
#[derive(Debug, Clone, Copy)]
pub struct SearchedTable {
    /// The resource type.
    pub resource_type: &'static str,
    /// The table.
    pub name: &'static str,
    /// The column with the row's id.
    pub id: &'static str,
    /// The column with the text.
    pub text: &'static str,
    /// The column for what the text is sorted by, if it is.
    pub sort: Option<&'static str>,
}

/// A row that waits for its document: tenant, id and type.
type Queued = (String, Uuid, String);

/// How far a pass through the queue is.
#[derive(Debug, Default)]
pub struct Pass(Option<(String, Uuid)>);

/// Writes the documents of the next rows in the queue; how many. None is left for now where the pass is at its end.
///
/// # Errors
/// A fault of the database: then nothing is changed.
pub async fn work_off(database: &Database, tables: &[SearchedTable], pass: &mut Pass) -> Result<Option<u64>> {
    let queued = queued(database, pass.0.as_ref()).await?;
    let Some((tenant, id, _)) = queued.last() else {
        pass.0 = None;
        return Ok(None);
    };
    pass.0 = Some((tenant.clone(), *id));
    let tables = tables.to_vec();
    let written = database
        .transact(move |transaction| {
            let (queued, tables) = (queued.clone(), tables.clone());
            Box::pin(async move {
                let mut written = 0;
                for (tenant, id, resource_type) in queued {
                    // A release that comes after this one may have further types.
                    let Some(table) = tables.iter().find(|table| table.resource_type == resource_type) else {
                        continue;
                    };
                    written += u64::from(write_queued(transaction, table, tenant, id).await?);
                }
                Ok(written)
            })
        })
        .await?;
    Ok(Some(written))
}

/// Looked at without a transaction that writes: mostly there are none.
async fn queued(database: &Database, after: Option<&(String, Uuid)>) -> Result<Vec<Queued>> {
    let db = database.read();
    let (tenant, id) = after.cloned().unwrap_or_default();
    let sql = format!(
        "SELECT tenant_id, resource_id, resource_type FROM search_queue WHERE (tenant_id, resource_id) > ($1, $2) \
         ORDER BY tenant_id, resource_id LIMIT {ROWS}"
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.into(), id.into()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?))).collect()
}

/// Writes the document of a row, unless somebody is changing it, who writes it or leaves it in the queue.
async fn write_queued(transaction: &Transaction, table: &SearchedTable, tenant: String, id: Uuid) -> Result<bool> {
    let backend = transaction.get_database_backend();
    let SearchedTable { name, id: id_column, text, .. } = table;
    let key = format!("FROM {name} WHERE tenant_id = $1 AND {id_column} = $2");
    let values = || -> [Value; 2] { [tenant.as_str().into(), id.into()] };
    let lock = if backend == DbBackend::Postgres { " FOR NO KEY UPDATE SKIP LOCKED" } else { "" };
    let row = Statement::from_sql_and_values(backend, format!("SELECT {text} {key}{lock}"), values());
    match transaction.query_one_raw(row).await? {
        Some(row) => {
            let text: String = row.try_get_by_index(0)?;
            write(transaction, table, (&Tenant::stored(tenant.clone()), id), &text).await?;
            Ok(true)
        }
        None => {
            let gone = format!(
                "DELETE FROM search_queue WHERE tenant_id = $1 AND resource_id = $2 AND NOT EXISTS (SELECT 1 {key})"
            );
            transaction.execute_raw(Statement::from_sql_and_values(backend, gone, values())).await?;
            Ok(false)
        }
    }
}

/// Writes the document of a locked row anew, and what the row is sorted by.
async fn write(
    transaction: &Transaction,
    table: &SearchedTable,
    (tenant, id): (&Tenant, Uuid),
    text: &str,
) -> Result<()> {
    document::delete(transaction, tenant, id).await?;
    document::insert(transaction, tenant, (table.resource_type, id), text).await?;
    let Some(sort) = table.sort else { return Ok(()) };
    let sql =
        format!("UPDATE {} SET {sort} = $3 WHERE tenant_id = $1 AND {} = $2 AND {sort} <> $3", table.name, table.id);
    let values = [tenant.as_str().into(), id.into(), sort_key(text).into()];
    let update = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    transaction.execute_raw(update).await?;
    Ok(())
}

/// What a step of a build did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It wrote documents; so many are written since the build was begun.
    Written(u64),
    /// Nothing: another process is at it.
    Elsewhere,
    /// There is nothing to build, or no more.
    Done,
}

/// A build that is under way.
struct Build {
    tenant: String,
    resource_type: Option<String>,
    after: (String, Uuid),
    done: u64,
}

/// Begins to build the index anew, of all tenants or of one, unless that is under way; how many documents are written already.
///
/// # Errors
/// A fault of the database.
pub async fn begin(database: &Database, only: Option<&Tenant>) -> Result<u64> {
    let scope = only.map_or(ALL, Tenant::as_str).to_owned();
    database
        .transact(move |transaction| {
            let scope = scope.clone();
            Box::pin(async move {
                let backend = transaction.get_database_backend();
                let begin = "INSERT INTO search_builds (tenant_id, is_first) VALUES ($1, false) \
                             ON CONFLICT (tenant_id) DO NOTHING";
                transaction
                    .execute_raw(Statement::from_sql_and_values(backend, begin, [scope.as_str().into()]))
                    .await?;
                let build = lock_build(transaction, Some(&scope)).await?;
                Ok(build.map_or(0, |build| build.done))
            })
        })
        .await
}

/// Takes the next step of a build: of this one, or of any.
///
/// # Errors
/// A fault of the database: then nothing is changed.
pub async fn step(database: &Database, tables: &[SearchedTable], scope: Option<Option<&Tenant>>) -> Result<Step> {
    let scope = scope.map(|only| only.map_or(ALL, Tenant::as_str).to_owned());
    let db = database.read();
    let (only, values) = of_scope(scope.as_deref());
    let sql = format!("SELECT 1 FROM search_builds{only} LIMIT 1");
    let there = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    if db.query_one_raw(there).await?.is_none() {
        return Ok(Step::Done);
    }
    let tables = tables.to_vec();
    database
        .transact(move |transaction| {
            let (tables, scope) = (tables.clone(), scope.clone());
            Box::pin(async move {
                match lock_build(transaction, scope.as_deref()).await? {
                    Some(build) => build.step(transaction, &tables).await,
                    None => Ok(Step::Elsewhere),
                }
            })
        })
        .await
}

/// The condition on a build, with its values.
fn of_scope(scope: Option<&str>) -> (&'static str, Vec<Value>) {
    scope.map_or(("", Vec::new()), |scope| (" WHERE tenant_id = $1", vec![scope.into()]))
}

async fn lock_build(transaction: &Transaction, scope: Option<&str>) -> Result<Option<Build>> {
    let backend = transaction.get_database_backend();
    let (only, values) = of_scope(scope);
    let mut sql = format!(
        "SELECT tenant_id, resource_type, after_tenant, after_id, done FROM search_builds{only} ORDER BY tenant_id LIMIT 1"
    );
    if backend == DbBackend::Postgres {
        sql.push_str(" FOR UPDATE SKIP LOCKED");
    }
    let row = transaction.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    row.map(|row| Build::of(&row)).transpose()
}

impl Build {
    fn of(row: &QueryResult) -> Result<Self> {
        let after_tenant: Option<String> = row.try_get_by_index(2)?;
        let after_id: Option<Uuid> = row.try_get_by_index(3)?;
        Ok(Self {
            tenant: row.try_get_by_index(0)?,
            resource_type: row.try_get_by_index(1)?,
            after: (after_tenant.unwrap_or_default(), after_id.unwrap_or_default()),
            done: row.try_get_by_index::<i64>(4)?.unsigned_abs(),
        })
    }

    async fn step(mut self, transaction: &Transaction, tables: &[SearchedTable]) -> Result<Step> {
        let of_type = |resource_type: &String| tables.iter().position(|table| table.resource_type == resource_type);
        let begin = self.resource_type.as_ref().and_then(of_type).unwrap_or_default();
        for table in tables.iter().skip(begin) {
            if self.resource_type.as_deref() != Some(table.resource_type) {
                self.resource_type = Some(table.resource_type.to_owned());
                self.after = (self.tenant.clone(), Uuid::nil());
            }
            let rows = self.next_rows(transaction, table).await?;
            if let Some((tenant, id, _)) = rows.last() {
                self.after = (tenant.clone(), *id);
                self.done += rows.len() as u64;
                for (tenant, id, text) in rows {
                    write(transaction, table, (&Tenant::stored(tenant), id), &text).await?;
                }
                let done = self.done;
                return self.put(transaction).await.map(|()| Step::Written(done));
            }
        }
        let sql = "DELETE FROM search_builds WHERE tenant_id = $1";
        let backend = transaction.get_database_backend();
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, [self.tenant.into()])).await?;
        Ok(Step::Done)
    }

    /// The next rows of a table, locked, with their texts.
    async fn next_rows(&self, transaction: &Transaction, table: &SearchedTable) -> Result<Vec<(String, Uuid, String)>> {
        let backend = transaction.get_database_backend();
        let SearchedTable { name, id, text, .. } = table;
        let (tenant, after) = self.after.clone();
        let values: [Value; 2] = [tenant.into(), after.into()];
        // Of one tenant, a pair would not be looked for in the index, but compared row by row.
        let behind = match self.tenant == ALL {
            true => format!("(tenant_id, {id}) > ($1, $2)"),
            false => format!("tenant_id = $1 AND {id} > $2"),
        };
        let mut sql = format!("SELECT tenant_id, {id}, {text} FROM {name} WHERE {behind}");
        let lock = if backend == DbBackend::Postgres { " FOR NO KEY UPDATE" } else { "" };
        sql.push_str(&format!(" ORDER BY tenant_id, {id} LIMIT {ROWS}{lock}"));
        let rows = transaction.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        rows.iter()
            .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?)))
            .collect()
    }

    async fn put(self, transaction: &Transaction) -> Result<()> {
        let sql = "UPDATE search_builds SET resource_type = $2, after_tenant = $3, after_id = $4, done = $5 \
                   WHERE tenant_id = $1";
        let (tenant, id) = self.after;
        let done = i64::try_from(self.done).unwrap_or(i64::MAX);
        let values = [self.tenant.into(), self.resource_type.into(), tenant.into(), id.into(), done.into()];
        transaction
            .execute_raw(Statement::from_sql_and_values(transaction.get_database_backend(), sql, values))
            .await?;
        Ok(())
    }
}

/// How many rows a build goes through: of all tenants, or of one.
///
/// # Errors
/// A fault of the database.
pub async fn count(database: &Database, tables: &[SearchedTable], only: Option<&Tenant>) -> Result<u64> {
    let mut rows = 0;
    for table in tables {
        let (of_tenant, values) = of_scope(only.map(Tenant::as_str));
        let db = database.read();
        let sql = format!("SELECT count(*) FROM {}{of_tenant}", table.name);
        let count = db.query_one_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
        rows += count.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default().unsigned_abs();
    }
    Ok(rows)
}
