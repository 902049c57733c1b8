//! `idempotent` says what an accepted request did, and when: so a claim is a receipt. Rows of the release before say neither.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One column at a time: SQLite cannot add two.
        for column in [
            ColumnDef::new("action").string_len(16).take(),
            ColumnDef::new("committed_at").timestamp_with_time_zone().take(),
        ] {
            manager.alter_table(Table::alter().table("idempotent").add_column(column).take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["committed_at", "action"] {
            manager.alter_table(Table::alter().table("idempotent").drop_column(column).take()).await?;
        }
        Ok(())
    }
}
