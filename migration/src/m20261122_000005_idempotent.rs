//! `idempotent`: the request ids of accepted POST and PATCH requests and what they made or changed.

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
                    .table("idempotent")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("request_id").string_len(128).not_null())
                    .col(ColumnDef::new("resource_type").string_len(32).not_null())
                    .col(ColumnDef::new("resource_id").uuid().not_null())
                    .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col("tenant_id").col("request_id"))
                    .to_owned(),
            )
            .await?;
        // Keys are purged by age.
        manager.create_index(index("idempotent_age", "idempotent", ["created_at"]).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("idempotent").to_owned()).await
    }
}
