//! `follow_ups`: records of what was said and done, about a customer, an opportunity, a contact, or none of them.

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
                    .table("follow_ups")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("follow_up_id").uuid().not_null())
                    .col(ColumnDef::new("customer_id").uuid())
                    .col(ColumnDef::new("opportunity_id").uuid())
                    .col(ColumnDef::new("contact_id").uuid())
                    .col(ColumnDef::new("content").text().not_null())
                    .col(ColumnDef::new("follow_up_type").string_len(50).not_null())
                    .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
                    .col(ColumnDef::new("updated_at").timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col("tenant_id").col("follow_up_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("follow_ups_customer")
                            .from("follow_ups", ("tenant_id", "customer_id"))
                            .to("customers", ("tenant_id", "customer_id")),
                    )
                    // With three columns: the opportunity and the contact belong to the follow-up's own customer.
                    .foreign_key(
                        ForeignKey::create()
                            .name("follow_ups_opportunity")
                            .from("follow_ups", ("tenant_id", "customer_id", "opportunity_id"))
                            .to("opportunities", ("tenant_id", "customer_id", "opportunity_id")),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("follow_ups_contact")
                            .from("follow_ups", ("tenant_id", "customer_id", "contact_id"))
                            .to("contacts", ("tenant_id", "customer_id", "contact_id")),
                    )
                    // A foreign key with a NULL in it is not checked: the customer may be missing only with the rest.
                    .check(Expr::cust("customer_id IS NOT NULL OR (opportunity_id IS NULL AND contact_id IS NULL)"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                index("follow_ups_newest", "follow_ups", ["tenant_id", "created_at", "follow_up_id"]).to_owned(),
            )
            .await?;
        for (name, reference) in [
            ("follow_ups_of_customer", "customer_id"),
            ("follow_ups_of_opportunity", "opportunity_id"),
            ("follow_ups_of_contact", "contact_id"),
        ] {
            manager
                .create_index(
                    index(name, "follow_ups", ["tenant_id", reference, "created_at", "follow_up_id"]).to_owned(),
                )
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("follow_ups").to_owned()).await
    }
}
