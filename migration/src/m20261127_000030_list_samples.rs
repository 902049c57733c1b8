//! A sample of each list: an index of the rows whose id, which is random there, ends in a zero byte, with all columns that the list
//! is filtered by. Whether far more rows meet some filters than are counted is seen by it.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::{drop_index_beside_writers, index, index_beside_writers};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The tables, and the columns of their lists, the id first.
const TABLES: [(&str, &[&str]); 5] = [
    (
        "customers",
        &[
            "customer_id",
            "created_at",
            "updated_at",
            "status",
            "contact_phone_index",
            "contact_phone_indexed",
            "contact_phone_base_index",
            "contact_email_index",
        ],
    ),
    (
        "contacts",
        &[
            "contact_id",
            "created_at",
            "updated_at",
            "customer_id",
            "is_primary",
            "phone_index",
            "phone_indexed",
            "phone_base_index",
            "email_index",
        ],
    ),
    (
        "opportunities",
        &[
            "opportunity_id",
            "created_at",
            "updated_at",
            "customer_id",
            "stage",
            "status",
            "currency",
            "amount_cents",
            "deleted_at",
        ],
    ),
    ("follow_ups", &["follow_up_id", "created_at", "updated_at", "customer_id", "opportunity_id", "follow_up_type"]),
    ("audit_logs", &["audit_log_id", "occurred_at", "resource_id", "actor", "action", "resource_type"]),
];

fn sample(table: &str, id: &str) -> String {
    format!("{table}_sample_by_{id}")
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each index by itself: one that was cut off goes on with the next.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, columns) in TABLES {
            let [id, ..] = columns else { continue };
            let name = sample(table, id);
            let mut index = index(&name, table, ["tenant_id"].iter().chain(columns).copied());
            index.and_where(Expr::cust(match manager.get_database_backend() {
                DbBackend::Postgres => format!("get_byte(uuid_send({id}), 15) = 0"),
                _ => format!("substr({id}, 16, 1) = x'00'"),
            }));
            index_beside_writers(manager, &name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, columns) in TABLES {
            let [id, ..] = columns else { continue };
            drop_index_beside_writers(manager, &sample(table, id)).await?;
        }
        Ok(())
    }
}
