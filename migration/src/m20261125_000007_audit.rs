//! The audit trail: `audit_logs` the entries · `audit_queue` those not chained yet · `audit_chain` the chain ·
//! `audit_heads` where each tenant's chain ends.
//!
//! Triggers protect it: entries and links are never updated, and deleted only at or below the head's purged sequence, an
//! entry also only when it is old enough; a head never goes back.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The entry is at or below the head's purged sequence.
const PASSED: &str = "EXISTS (SELECT 1 FROM audit_chain c JOIN audit_heads h ON h.tenant_id = c.tenant_id \
     WHERE c.tenant_id = OLD.tenant_id AND c.audit_log_id = OLD.audit_log_id AND c.sequence <= h.purged_sequence)";
/// The link is at or below the head's purged sequence.
const LINK_PASSED: &str = "EXISTS (SELECT 1 FROM audit_heads h \
     WHERE h.tenant_id = OLD.tenant_id AND OLD.sequence <= h.purged_sequence)";
/// A head only moves forward.
const ONWARD: &str = "NEW.tenant_id = OLD.tenant_id AND NEW.sequence >= OLD.sequence \
     AND NEW.purged_sequence >= OLD.purged_sequence AND NEW.purged_sequence <= NEW.sequence";

/// The shortest retention is 180 days; a day less, because the database's clock and the service's may differ.
const OLD_ENOUGH_ON_SQLITE: &str = "coalesce(julianday(OLD.occurred_at) < julianday('now') - 179, 0)";
const OLD_ENOUGH_ON_POSTGRES: &str = "OLD.occurred_at < now() - interval '179 days'";

/// What is refused unless a condition holds: table, event, condition, error message.
fn rules(old_enough: &str) -> [(&'static str, &'static str, String, &'static str); 6] {
    [
        ("audit_logs", "UPDATE", "FALSE".to_owned(), "audit entries are never changed"),
        (
            "audit_logs",
            "DELETE",
            format!("{old_enough} AND {PASSED}"),
            "audit entries are deleted by the retention alone",
        ),
        ("audit_chain", "UPDATE", "FALSE".to_owned(), "the audit chain is never changed"),
        ("audit_chain", "DELETE", LINK_PASSED.to_owned(), "the audit chain is deleted by the retention alone"),
        ("audit_heads", "UPDATE", ONWARD.to_owned(), "the head of an audit chain never goes back"),
        ("audit_heads", "DELETE", "FALSE".to_owned(), "the head of an audit chain stays"),
    ]
}

fn trigger(table: &str, event: &str) -> String {
    format!("{table}_{}", event.to_lowercase())
}

async fn guard(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    if db.get_database_backend() == DbBackend::Sqlite {
        for (table, event, allowed, refusal) in rules(OLD_ENOUGH_ON_SQLITE) {
            let name = trigger(table, event);
            db.execute_unprepared(&format!(
                "CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN NOT ({allowed}) \
                 BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
            ))
            .await?;
        }
        // `INSERT OR REPLACE` would delete without firing the triggers of deletion.
        for (table, key) in [
            ("audit_logs", "audit_log_id"),
            ("audit_chain", "sequence"),
            ("audit_chain", "audit_log_id"),
            ("audit_heads", "tenant_id"),
        ] {
            db.execute_unprepared(&format!(
                "CREATE TRIGGER {table}_insert_{key} BEFORE INSERT ON {table} \
                 WHEN EXISTS (SELECT 1 FROM {table} WHERE tenant_id = NEW.tenant_id AND {key} = NEW.{key}) \
                 BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END"
            ))
            .await?;
        }
        return Ok(());
    }
    for (table, event, allowed, refusal) in rules(OLD_ENOUGH_ON_POSTGRES) {
        let name = trigger(table, event);
        let kept = if event == "UPDATE" { "NEW" } else { "OLD" };
        db.execute_unprepared(&format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {allowed} THEN RETURN {kept}; END IF; RAISE EXCEPTION '{refusal}'; END $$"
        ))
        .await?;
        db.execute_unprepared(&format!(
            "CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
        ))
        .await?;
    }
    db.execute_unprepared(
        "CREATE FUNCTION audit_truncate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'the audit trail is deleted by the retention alone'; END $$",
    )
    .await?;
    for table in ["audit_logs", "audit_chain", "audit_heads"] {
        db.execute_unprepared(&format!(
            "CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION audit_truncate()"
        ))
        .await?;
    }
    Ok(())
}

#[expect(
    clippy::too_many_lines,
    reason = "the four tables of the trail are made together, and a migration is never changed"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("audit_logs")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("audit_log_id").uuid().not_null())
                    .col(ColumnDef::new("occurred_at").timestamp_with_time_zone().not_null())
                    .col(ColumnDef::new("actor").text().not_null())
                    .col(ColumnDef::new("client").text())
                    .col(ColumnDef::new("action").string_len(16).not_null())
                    .col(ColumnDef::new("resource_type").string_len(32))
                    .col(ColumnDef::new("resource_id").uuid())
                    .col(ColumnDef::new("request_id").string_len(128).not_null())
                    .col(ColumnDef::new("trace_id").string_len(32).not_null())
                    .col(ColumnDef::new("changes").text().not_null())
                    .col(ColumnDef::new("summary").text().not_null())
                    .primary_key(Index::create().col("tenant_id").col("audit_log_id"))
                    .to_owned(),
            )
            .await?;
        for (name, first) in [("newest", None), ("of_resource", Some("resource_id")), ("of_actor", Some("actor"))] {
            let columns = ["tenant_id"].into_iter().chain(first).chain(["occurred_at", "audit_log_id"]);
            manager.create_index(index(format!("audit_logs_{name}"), "audit_logs", columns)).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("audit_queue")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("audit_log_id").uuid().not_null())
                    .primary_key(Index::create().col("tenant_id").col("audit_log_id"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("audit_chain")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null())
                    .col(ColumnDef::new("sequence").big_integer().not_null())
                    .col(ColumnDef::new("audit_log_id").uuid().not_null())
                    .col(ColumnDef::new("hash").string_len(64).not_null())
                    .primary_key(Index::create().col("tenant_id").col("sequence"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(index("audit_chain_entry", "audit_chain", ["tenant_id", "audit_log_id"]).unique().to_owned())
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("audit_heads")
                    .col(ColumnDef::new("tenant_id").string_len(64).not_null().primary_key())
                    .col(ColumnDef::new("sequence").big_integer().not_null())
                    .col(ColumnDef::new("hash").string_len(64).not_null())
                    .col(ColumnDef::new("purged_sequence").big_integer().not_null())
                    .col(ColumnDef::new("purged_hash").string_len(64).not_null())
                    .to_owned(),
            )
            .await?;
        guard(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["audit_heads", "audit_chain", "audit_queue", "audit_logs"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        let db = manager.get_connection();
        if db.get_database_backend() == DbBackend::Postgres {
            let functions = rules("").map(|(table, event, ..)| trigger(table, event));
            for name in functions.iter().map(String::as_str).chain(["audit_truncate"]) {
                db.execute_unprepared(&format!("DROP FUNCTION {name}()")).await?;
            }
        }
        Ok(())
    }
}
