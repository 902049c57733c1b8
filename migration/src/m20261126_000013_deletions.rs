//! `deletions`: the resources that are deleted and whose rows are still there, with who deleted them: what belongs to them
//! is removed in steps · `deleted_at` of the resources that others refer to: the same in the row itself, for changes that
//! wait for its lock.

use sea_orm_migration::prelude::*;

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

const REFERENCED: [&str; 3] = ["customers", "contacts", "opportunities"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each statement by itself: none holds a lock while it waits for that of another table, which a request of a process that
    /// still runs may hold. One that was cut off goes on where it was.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in REFERENCED {
            if !manager.has_column(table, "deleted_at").await? {
                let deleted_at = ColumnDef::new("deleted_at").timestamp_with_time_zone().to_owned();
                manager.alter_table(Table::alter().table(table).add_column(deleted_at).to_owned()).await?;
            }
        }
        manager
            .create_table(
                Table::create()
                    .table("deletions")
                    .if_not_exists()
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("resource_id").uuid().not_null())
                    .col(ColumnDef::new("resource_type").string_len(32).not_null())
                    .col(ColumnDef::new("deleted_at").timestamp_with_time_zone().not_null())
                    .col(ColumnDef::new("actor").text().not_null())
                    .col(ColumnDef::new("client").text())
                    .col(ColumnDef::new("request_id").string_len(128).not_null())
                    .col(ColumnDef::new("trace_id").string_len(32).not_null())
                    .primary_key(Index::create().col("tenant_id").col("resource_id"))
                    .to_owned(),
            )
            .await?;
        // They are worked off in the order in which they were accepted.
        let oldest = index("deletions_oldest", "deletions", ["deleted_at", "resource_id"]).if_not_exists().to_owned();
        manager.create_index(oldest).await
    }

    /// Not while anything is still to be removed: it would be back.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let pending = Query::select().expr(Expr::val(1)).from("deletions").limit(1).to_owned();
        if manager.get_connection().query_one(&pending).await?.is_some() {
            return Err(DbErr::Migration("deletions are under way: wait until crm_deletions_pending is 0".to_owned()));
        }
        manager.drop_table(Table::drop().table("deletions").to_owned()).await?;
        for table in REFERENCED {
            manager.alter_table(Table::alter().table(table).drop_column("deleted_at").to_owned()).await?;
        }
        Ok(())
    }
}
