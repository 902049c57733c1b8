//! Sealed personal data: the blind indexes of `customers` and `contacts`, and `pii_keys`, the ids of the keys that stored
//! values need.

use sea_orm_migration::prelude::*;

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The columns with personal data: table, id, column, its index.
const COLUMNS: [(&str, &str, &str, &str); 4] = [
    ("customers", "customer_id", "contact_phone", "contact_phone_index"),
    ("customers", "customer_id", "contact_email", "contact_email_index"),
    ("contacts", "contact_id", "phone", "phone_index"),
    ("contacts", "contact_id", "email", "email_index"),
];

fn by(index: &str, table: &str) -> String {
    format!("{table}_by_{}", index.trim_end_matches("_index"))
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("pii_keys")
                    .col(ColumnDef::new("key_id").string_len(32).not_null().primary_key())
                    .col(ColumnDef::new("proof").text())
                    .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
                    .to_owned(),
            )
            .await?;
        for (table, id, column, index_column) in COLUMNS {
            manager
                .alter_table(Table::alter().table(table).add_column(ColumnDef::new(index_column).text()).to_owned())
                .await?;
            let columns = ["tenant_id", index_column, "created_at", id];
            let mut found_by = index(by(index_column, table), table, columns);
            found_by.and_where(Expr::col(index_column).is_not_null());
            manager.create_index(found_by).await?;
            // Existing values stay in clear until `crm keys rotate` seals them.
            let clear = format!(
                "INSERT INTO pii_keys (key_id, created_at) SELECT '(clear)', CURRENT_TIMESTAMP \
                 WHERE EXISTS (SELECT 1 FROM {table} WHERE {column} IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM pii_keys)"
            );
            manager.get_connection().execute_unprepared(&clear).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, _, _, index_column) in COLUMNS {
            manager.drop_index(Index::drop().name(by(index_column, table)).table(table).to_owned()).await?;
            manager.alter_table(Table::alter().table(table).drop_column(index_column).to_owned()).await?;
        }
        manager.drop_table(Table::drop().table("pii_keys").to_owned()).await
    }
}
