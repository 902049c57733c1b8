//! `contacts`: people at a customer.

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
                    .table("contacts")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("contact_id").uuid().not_null())
                    .col(ColumnDef::new("customer_id").uuid().not_null())
                    .col(ColumnDef::new("name").string_len(200).not_null())
                    .col(ColumnDef::new("phone").string())
                    .col(ColumnDef::new("email").string())
                    .col(ColumnDef::new("is_primary").boolean().not_null())
                    .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
                    .col(ColumnDef::new("updated_at").timestamp_with_time_zone().not_null())
                    .primary_key(Index::create().col("tenant_id").col("contact_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("contacts_customer")
                            .from("contacts", ("tenant_id", "customer_id"))
                            .to("customers", ("tenant_id", "customer_id")),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("contacts_newest", "contacts", ["tenant_id", "created_at", "contact_id"]).to_owned())
            .await?;
        manager
            .create_index(
                index("contacts_of_customer", "contacts", ["tenant_id", "customer_id", "created_at", "contact_id"])
                    .to_owned(),
            )
            .await?;
        // Lets a follow-up's foreign key say "a contact of this very customer".
        manager
            .create_index(
                index("contacts_within_customer", "contacts", ["tenant_id", "customer_id", "contact_id"])
                    .unique()
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                index("contacts_one_primary", "contacts", ["tenant_id", "customer_id"])
                    .unique()
                    .and_where(Expr::col("is_primary").eq(true))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("contacts").to_owned()).await
    }
}
