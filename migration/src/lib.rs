//! The schema of the CRM cell's database, for SQLite and PostgreSQL from the same code: one migration a file, applied in the
//! order of [`Migrator::migrations`]. Most create one table; the audit trail, the outbox, the relay and the feed create
//! several that belong together, and some add columns to the tables before them.
//!
//! Rules:
//! - the primary and foreign keys of a tenant's data begin with `tenant_id`, so a row can never belong to, or point into,
//!   another tenant. Tables that serve all tenants at once have keys of their own: `pii_keys`, `outbox`, `outbox_head`,
//!   `outbox_relay`, `outbox_held`, `feed_head`, `inbox`, `retention_horizon` and `timeline_builds`;
//! - what the service promises about a row (a stage's status, one primary contact, references) is a constraint here too;
//! - a list has an index for its order, for each filter and for each other order: `(tenant_id, [column,] created_at, id)`;
//! - an index on a table that has rows is created beside those who write it ([`index_beside_writers`]);
//! - expand, then contract: the release before must be able to run on the new schema, beside the new release and after it.
//!   So a migration only adds what its statements can do without: tables, indexes, columns that are nullable or have a
//!   default. What nothing needs any more is taken away a release later, by a migration whose name says so
//!   ([`is_contraction`]): older programs refuse to start on it, and start on any other that they do not know.
//!
//! A migration never imports the service's entities: it describes the schema at its own time.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

mod m20261122_000001_customers;
mod m20261122_000002_contacts;
mod m20261122_000003_opportunities;
mod m20261122_000004_follow_ups;
mod m20261122_000005_idempotent;
mod m20261125_000006_pii;
mod m20261125_000007_audit;
mod m20261125_000008_outbox;
mod m20261125_000009_relay;
mod m20261125_000010_inbox;
mod m20261126_000011_inbox_senders;
mod m20261126_000012_feed_positions;
mod m20261126_000013_deletions;
mod m20261126_000014_retention_horizon;
mod m20261126_000015_erasures;
mod m20261126_000017_audit_functions;
mod m20261126_000019_pii_forms;
mod m20261126_000020_receipts;
mod m20261126_000021_list_counts;
mod m20261127_000022_list_indexes;
mod m20261127_000023_search;
mod m20261127_000024_resource_changes;
mod m20261127_000026_audit_indexes;
mod m20261127_000027_timeline;
mod m20261127_000028_pipeline;
mod m20261127_000029_pipeline_indexes;
mod m20261127_000030_list_samples;
mod m20261127_000031_open_opportunities;
mod m20261127_000032_revised_documents;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_customers::Migration),
            Box::new(m20261122_000002_contacts::Migration),
            Box::new(m20261122_000003_opportunities::Migration),
            Box::new(m20261122_000004_follow_ups::Migration),
            Box::new(m20261122_000005_idempotent::Migration),
            Box::new(m20261125_000006_pii::Migration),
            Box::new(m20261125_000007_audit::Migration),
            Box::new(m20261125_000008_outbox::Migration),
            Box::new(m20261125_000009_relay::Migration),
            Box::new(m20261125_000010_inbox::Migration),
            Box::new(m20261126_000011_inbox_senders::Migration),
            Box::new(m20261126_000012_feed_positions::Migration),
            Box::new(m20261126_000013_deletions::Migration),
            Box::new(m20261126_000014_retention_horizon::Migration),
            Box::new(m20261126_000015_erasures::Migration),
            Box::new(m20261126_000017_audit_functions::Migration),
            Box::new(m20261126_000019_pii_forms::Migration),
            Box::new(m20261126_000020_receipts::Migration),
            Box::new(m20261126_000021_list_counts::Migration),
            Box::new(m20261127_000022_list_indexes::Migration),
            Box::new(m20261127_000023_search::Migration),
            Box::new(m20261127_000024_resource_changes::Migration),
            Box::new(m20261127_000026_audit_indexes::Migration),
            Box::new(m20261127_000027_timeline::Migration),
            Box::new(m20261127_000028_pipeline::Migration),
            Box::new(m20261127_000029_pipeline_indexes::Migration),
            Box::new(m20261127_000030_list_samples::Migration),
            Box::new(m20261127_000031_open_opportunities::Migration),
            Box::new(m20261127_000032_revised_documents::Migration),
        ]
    }
}

/// Whether programs that do not know the migration of this name cannot work on it: `m20270131_000042_contract_outbox`.
#[must_use]
pub fn is_contraction(name: &str) -> bool {
    name.splitn(3, '_').nth(2).is_some_and(|what| what.starts_with("contract_"))
}

/// An index over these columns.
fn index(
    name: impl Into<String>,
    table: &'static str,
    columns: impl IntoIterator<Item = &'static str>,
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(column);
    }
    index
}

/// Creates an index without keeping anybody from writing meanwhile, in a migration without a transaction. On PostgreSQL it waits
/// for the transactions that run. What a creation that was cut off has left is made anew.
async fn index_beside_writers(
    manager: &SchemaManager<'_>,
    name: &str,
    mut index: IndexCreateStatement,
) -> Result<(), DbErr> {
    let db = manager.get_connection();
    if db.get_database_backend() == DbBackend::Postgres {
        let unfinished =
            format!("SELECT 1 FROM pg_catalog.pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid");
        if db.query_one_raw(Statement::from_string(DbBackend::Postgres, unfinished)).await?.is_some() {
            drop_index_beside_writers(manager, name).await?;
        }
        index.concurrently();
    }
    manager.create_index(index.if_not_exists().to_owned()).await
}

/// Drops an index that [`index_beside_writers`] has created.
async fn drop_index_beside_writers(manager: &SchemaManager<'_>, name: &str) -> Result<(), DbErr> {
    let mut index = Index::drop();
    index.name(name).if_exists();
    if manager.get_database_backend() == DbBackend::Postgres {
        index.concurrently();
    }
    manager.drop_index(index).await
}

/// The schema of PostgreSQL that tables are made in, as SQL takes its name: functions are to look nowhere else.
async fn current_schema(db: &SchemaManagerConnection<'_>) -> Result<String, DbErr> {
    let schema = Statement::from_string(DbBackend::Postgres, "SELECT quote_ident(current_schema())");
    match db.query_one_raw(schema).await? {
        Some(row) => row.try_get_by_index(0),
        None => Err(DbErr::Migration("there is no current schema".to_owned())),
    }
}
