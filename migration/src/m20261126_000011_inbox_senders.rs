//! `inbox_events`: the platform's events that were applied, by sender and tenant, each with the hash of what it said. It takes
//! the place of `inbox`, whose key knows neither: the release before this one still claims there, so that table stays, and
//! both are written. The next release stops writing it, and the one after that may drop it.

use sea_orm_migration::prelude::*;

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("inbox_events")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("consumer").string_len(64).not_null())
                    .col(ColumnDef::new("sender").string_len(64).not_null())
                    .col(ColumnDef::new("event_id").string_len(128).not_null())
                    .col(ColumnDef::new("event_type").string_len(64).not_null())
                    .col(ColumnDef::new("payload_hash").string_len(64).not_null())
                    .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col("tenant_id").col("consumer").col("sender").col("event_id"))
                    .to_owned(),
            )
            .await?;
        // Claims are purged by age.
        manager.create_index(index("inbox_events_created", "inbox_events", ["created_at"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("inbox_events").to_owned()).await
    }
}
