//! Indexes of what is to be filled in about the stages of opportunities, both empty once that is done, and of the open
//! opportunities by how long nothing has happened to them.

use sea_orm_migration::prelude::*;

use super::{drop_index_beside_writers, index, index_beside_writers};

#[derive(DeriveMigrationName)]
pub struct Migration;

fn all() -> [(&'static str, IndexCreateStatement); 3] {
    let mut unfilled = index("opportunities_unfilled", "opportunities", ["tenant_id", "opportunity_id"]);
    unfilled.and_where(Expr::cust("stage_entered_at IS NULL"));
    let idle = ["tenant_id", "idle_since", "created_at", "opportunity_id"];
    let mut idle = index("opportunities_by_idle_since", "opportunities", idle);
    idle.and_where(Expr::cust("idle_since IS NOT NULL"));
    let unattributed = ["tenant_id", "opportunity_id", "entered_at"];
    let mut unattributed = index("opportunity_stages_unattributed", "opportunity_stages", unattributed);
    unattributed.and_where(Expr::cust("needs_actor"));
    [
        ("opportunities_unfilled", unfilled),
        ("opportunities_by_idle_since", idle),
        ("opportunity_stages_unattributed", unattributed),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each index by itself: one that was cut off goes on with the next.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, index) in all() {
            index_beside_writers(manager, name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in all() {
            drop_index_beside_writers(manager, name).await?;
        }
        Ok(())
    }
}
