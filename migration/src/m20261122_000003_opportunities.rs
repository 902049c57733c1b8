//! `opportunities`: possible sales to a customer.

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
                    .table("opportunities")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("opportunity_id").uuid().not_null())
                    .col(ColumnDef::new("customer_id").uuid().not_null())
                    .col(ColumnDef::new("title").string_len(200).not_null())
                    .col(
                        // The largest integer every JSON reader keeps exact (RFC 8259, section 6).
                        ColumnDef::new("amount_cents")
                            .big_integer()
                            .not_null()
                            .check(Expr::col("amount_cents").between(0, 9_007_199_254_740_991_i64)),
                    )
                    .col(ColumnDef::new("currency").string_len(3).not_null())
                    .col(ColumnDef::new("stage").integer().not_null().check(Expr::col("stage").between(0, 6)))
                    .col(ColumnDef::new("status").integer().not_null())
                    // Where an opportunity returns to when it is reopened.
                    .col(
                        ColumnDef::new("last_open_stage")
                            .integer()
                            .not_null()
                            .check(Expr::col("last_open_stage").between(0, 4)),
                    )
                    .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
                    .col(ColumnDef::new("updated_at").timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col("tenant_id").col("opportunity_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("opportunities_customer")
                            .from("opportunities", ("tenant_id", "customer_id"))
                            .to("customers", ("tenant_id", "customer_id")),
                    )
                    .check(Expr::cust("status = CASE stage WHEN 5 THEN 1 WHEN 6 THEN 2 ELSE 0 END"))
                    .check(Expr::cust("stage > 4 OR last_open_stage = stage"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                index("opportunities_newest", "opportunities", ["tenant_id", "created_at", "opportunity_id"])
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                index(
                    "opportunities_of_customer",
                    "opportunities",
                    ["tenant_id", "customer_id", "created_at", "opportunity_id"],
                )
                .to_owned(),
            )
            .await?;
        // Lets a follow-up's foreign key say "an opportunity of this very customer".
        manager
            .create_index(
                index("opportunities_within_customer", "opportunities", ["tenant_id", "customer_id", "opportunity_id"])
                    .unique()
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("opportunities").to_owned()).await
    }
}
