//! The feed of each tenant, with positions of its own: `feed_events` numbers a tenant's events from 1, without gaps ·
//! `feed_tenants`: each tenant's last position · `feed_head`: up to which position of the outbox events are in the feed.
//!
//! The outbox itself stays as it was, for the release before, which assigns positions of the outbox and none of these.
//! Adding a column to it would lock it against writing while the table is filled, and would break statements like
//! `SELECT o.*` that a running process has prepared on PostgreSQL.
//!
//! Where a tenant's events were deleted already, the position 1 stands for all of them.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_tables(manager).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            // Other processes go on writing events, but until the end of this they neither assign positions nor delete.
            let locks = "LOCK TABLE outbox_purged IN EXCLUSIVE MODE; SELECT 1 FROM outbox_head WHERE id = 1 FOR UPDATE";
            manager.get_connection().execute_unprepared(locks).await?;
        }
        for fill in [
            "INSERT INTO feed_events (tenant_id, position, outbox_position, seq, event_id, event_type, bytes) \
             SELECT o.tenant_id, \
             row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.position) \
             + CASE WHEN p.tenant_id IS NULL THEN 0 ELSE 1 END, \
             o.position, o.seq, o.event_id, o.event_type, o.bytes \
             FROM (SELECT tenant_id, position, seq, event_id, event_type, octet_length(data) AS bytes FROM outbox \
             WHERE position IS NOT NULL) o LEFT JOIN outbox_purged p ON p.tenant_id = o.tenant_id \
             ORDER BY o.tenant_id, o.position",
            "INSERT INTO feed_tenants (tenant_id, position, outbox_position) \
             SELECT tenant_id, 1, position FROM outbox_purged",
            "INSERT INTO feed_tenants (tenant_id, position, outbox_position) \
             SELECT tenant_id, max(position), max(outbox_position) FROM feed_events GROUP BY tenant_id \
             ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position, \
             outbox_position = excluded.outbox_position",
            "INSERT INTO feed_head (id, position) SELECT 1, position FROM outbox_head WHERE id = 1",
        ] {
            manager.get_connection().execute_unprepared(fill).await?;
        }
        // Last, because filling a table without them is faster.
        let mut outbox = index("feed_events_outbox", "feed_events", ["tenant_id", "outbox_position"]);
        manager.create_index(outbox.unique().to_owned()).await?;
        manager.create_index(index("feed_events_type", "feed_events", ["tenant_id", "event_type", "position"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["feed_head", "feed_tenants", "feed_events"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

async fn create_tables(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("feed_events")
                .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                .col(ColumnDef::new("position").big_integer().not_null())
                // Where the event is in the outbox. No foreign key: it would lock the outbox while the table is filled.
                .col(ColumnDef::new("outbox_position").big_integer().not_null())
                .col(ColumnDef::new("seq").big_integer().not_null())
                .col(ColumnDef::new("event_id").uuid().not_null())
                .col(ColumnDef::new("event_type").string_len(64).not_null())
                // The size of its data, so that a page is measured before it is read.
                .col(ColumnDef::new("bytes").big_integer().not_null())
                .primary_key(Index::create().col("tenant_id").col("position"))
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table("feed_tenants")
                .col(ColumnDef::new("tenant_id").string_len(64).not_null().primary_key())
                .col(ColumnDef::new("position").big_integer().not_null())
                // That of its event in the outbox.
                .col(ColumnDef::new("outbox_position").big_integer().not_null())
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table("feed_head")
                .col(ColumnDef::new("id").integer().not_null().primary_key().check(Expr::col("id").eq(1)))
                .col(ColumnDef::new("position").big_integer().not_null())
                .to_owned(),
        )
        .await
}
