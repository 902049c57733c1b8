//! `outbox`: the domain events, written in the transactions of their changes · `outbox_head`: the last assigned position ·
//! `outbox_purged`: up to which position each tenant's events are deleted · `version` of every resource: how many events it
//! has had.
//!
//! The database assigns `seq` when the row is written. On PostgreSQL a slower transaction may commit a lower number later, so
//! readers follow `position`, which is assigned afterwards, to committed rows only and in the order of `seq`.

use sea_orm_migration::prelude::*;

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

const RESOURCES: [&str; 4] = ["customers", "contacts", "opportunities", "follow_ups"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in RESOURCES {
            // Existing rows have had no event: their next one is the second, after a creation that was not published.
            let version = ColumnDef::new("version").big_integer().not_null().default(1).to_owned();
            manager.alter_table(Table::alter().table(table).add_column(version).to_owned()).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("outbox")
                    .col(ColumnDef::new("seq").big_integer().not_null().auto_increment().primary_key())
                    .col(ColumnDef::new("position").big_integer())
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("event_id").uuid().not_null())
                    .col(ColumnDef::new("event_type").string_len(64).not_null())
                    .col(ColumnDef::new("aggregate_id").uuid().not_null())
                    .col(ColumnDef::new("version").big_integer().not_null())
                    .col(ColumnDef::new("occurred_at").timestamp_with_time_zone().not_null())
                    .col(ColumnDef::new("trace_id").string_len(32).not_null())
                    .col(ColumnDef::new("data").text().not_null())
                    .to_owned(),
            )
            .await?;
        for (name, columns, unique) in [
            ("outbox_event", &["tenant_id", "event_id"][..], true),
            ("outbox_aggregate", &["tenant_id", "aggregate_id", "version"], true),
            ("outbox_position", &["position"], true),
            ("outbox_feed", &["tenant_id", "position"], false),
        ] {
            let mut wanted = index(name, "outbox", columns.iter().copied());
            if unique {
                wanted.unique();
            }
            manager.create_index(wanted).await?;
        }
        let mut without_position = index("outbox_without_position", "outbox", ["seq"]);
        manager.create_index(without_position.and_where(Expr::col("position").is_null()).to_owned()).await?;
        manager
            .create_table(
                Table::create()
                    .table("outbox_head")
                    .col(ColumnDef::new("id").integer().not_null().primary_key().check(Expr::col("id").eq(1)))
                    .col(ColumnDef::new("position").big_integer().not_null())
                    .to_owned(),
            )
            .await?;
        let head = "INSERT INTO outbox_head (id, position) VALUES (1, 0)";
        manager.get_connection().execute_unprepared(head).await?;
        manager
            .create_table(
                Table::create()
                    .table("outbox_purged")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null().primary_key())
                    .col(ColumnDef::new("position").big_integer().not_null())
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["outbox_purged", "outbox_head", "outbox"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        for table in RESOURCES {
            manager.alter_table(Table::alter().table(table).drop_column("version").to_owned()).await?;
        }
        Ok(())
    }
}
