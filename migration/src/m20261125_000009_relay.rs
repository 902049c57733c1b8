//! `outbox_relay`: which process publishes events at present, and up to which position everything is published or in
//! `outbox_held` · `outbox_held`: the events up to that position that are not published yet, because the broker refused them
//! or did not answer, or because they are blocked by an earlier one of the same resource.

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
                    .table("outbox_relay")
                    .col(ColumnDef::new("id").integer().not_null().primary_key().check(Expr::col("id").eq(1)))
                    .col(ColumnDef::new("position").big_integer().not_null())
                    .col(ColumnDef::new("owner").uuid())
                    // Milliseconds since 1970, by the database's clock.
                    .col(ColumnDef::new("until").big_integer().not_null())
                    .to_owned(),
            )
            .await?;
        let relay = "INSERT INTO outbox_relay (id, position, owner, until) VALUES (1, 0, NULL, 0)";
        manager.get_connection().execute_unprepared(relay).await?;
        let mut event = ForeignKey::create();
        event.from("outbox_held", "seq").to("outbox", "seq").on_delete(ForeignKeyAction::Cascade);
        manager
            .create_table(
                Table::create()
                    .table("outbox_held")
                    .col(ColumnDef::new("seq").big_integer().not_null().primary_key())
                    .col(ColumnDef::new("position").big_integer().not_null())
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("aggregate_id").uuid().not_null())
                    .col(ColumnDef::new("attempts").integer().not_null())
                    // When it is tried again, in milliseconds since 1970; null while it is blocked or parked (`aside`).
                    .col(ColumnDef::new("due").big_integer())
                    .col(ColumnDef::new("aside").boolean().not_null())
                    .col(ColumnDef::new("reason").text())
                    .foreign_key(&mut event)
                    .to_owned(),
            )
            .await?;
        let aggregate = index("outbox_held_aggregate", "outbox_held", ["tenant_id", "aggregate_id", "position"]);
        manager.create_index(aggregate).await?;
        manager.create_index(index("outbox_held_due", "outbox_held", ["due"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("outbox_held").to_owned()).await?;
        manager.drop_table(Table::drop().table("outbox_relay").to_owned()).await
    }
}
