//! `erasures`: the erasures of personal data that were asked for, each with its certificate, and how far one is that is still
//! under way.
//!
//! No foreign key leads to the customer: the certificate stays when the customer is deleted.

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
        let mut table = Table::create();
        table
            .table("erasures")
            .col(ColumnDef::new("tenant_id").string_len(64).not_null())
            .col(ColumnDef::new("erasure_id").uuid().not_null())
            .col(ColumnDef::new("customer_id").uuid().not_null())
            .col(ColumnDef::new("requested_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("actor").text().not_null())
            .col(ColumnDef::new("client").text())
            .col(ColumnDef::new("request_id").string_len(128).not_null())
            .col(ColumnDef::new("trace_id").string_len(32).not_null())
            // Whether follow-ups are erased too.
            .col(ColumnDef::new("with_follow_ups").boolean().not_null());
        for count in ["customers", "contacts", "follow_ups", "events"] {
            table.col(ColumnDef::new(count).big_integer().not_null().default(0));
        }
        table
            // Up to which `seq` the stored events are done, and up to which they are to be; none while there are rows to do.
            .col(ColumnDef::new("events_done").big_integer().not_null().default(0))
            .col(ColumnDef::new("events_until").big_integer())
            .col(ColumnDef::new("completed_at").timestamp_with_time_zone())
            .primary_key(Index::create().col("tenant_id").col("erasure_id"));
        manager.create_table(table).await?;
        let of_customer = ["tenant_id", "customer_id", "requested_at", "erasure_id"];
        manager.create_index(index("erasures_of_customer", "erasures", of_customer)).await?;
        let mut pending = index("erasures_pending", "erasures", ["requested_at", "erasure_id"]);
        manager.create_index(pending.and_where(Expr::col("completed_at").is_null()).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("erasures").to_owned()).await
    }
}
