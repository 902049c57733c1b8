//! An index for each further column that the audit trail is filtered by, followed by the order of the list: entries that have the
//! same value in it are read newest first without being sorted.

use sea_orm_migration::prelude::*;

use super::{drop_index_beside_writers, index, index_beside_writers};

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [(&str, &str); 2] = [("audit_logs_of_action", "action"), ("audit_logs_of_type", "resource_type")];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each index by itself: one that was cut off goes on with the next.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, column) in INDEXES {
            let columns = ["tenant_id", column, "occurred_at", "audit_log_id"];
            index_beside_writers(manager, name, index(name, "audit_logs", columns)).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            drop_index_beside_writers(manager, name).await?;
        }
        Ok(())
    }
}
