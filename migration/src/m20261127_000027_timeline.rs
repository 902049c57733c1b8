//! `timeline`: what happened to a customer and to what belongs to it, as the audit trail says it, for as long as the customer is
//! there · `timeline_queue`: entries of the trail whose place in it is not written yet · `timeline_builds`: how far that is of the
//! entries that were there before · `timeline_starts`: since when the timelines of a tenant are whole, where they began late ·
//! `timeline_removals`: customers that are gone, and whose timelines are still there.
//!
//! Whoever writes an entry of the trail writes its places in timelines, and says so in the column `knows_timeline`. The release
//! before does neither: a trigger queues its entries. Another notes which customers are gone, whoever removes them.
//!
//! The opportunities of a customer get an index by stage, by which its overview reads them.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::{current_schema, drop_index_beside_writers, index, index_beside_writers};

#[derive(DeriveMigrationName)]
pub struct Migration;

const KNOWS: (&str, &str) = ("audit_logs", "knows_timeline");
const TABLES: [&str; 5] = ["timeline", "timeline_queue", "timeline_builds", "timeline_starts", "timeline_removals"];
const BY_STAGE: &str = "opportunities_of_customer_by_stage";

/// An entry `NEW` that has places in timelines, and that was written by whoever knows none.
const IS_UNKNOWN: &str = "NEW.knows_timeline IS NULL AND NEW.resource_id IS NOT NULL \
     AND NEW.action IN ('create', 'update', 'delete') \
     AND NEW.resource_type IN ('customer', 'contact', 'opportunity', 'followUp')";
const QUEUE: &str = "INSERT INTO timeline_queue (tenant_id, occurred_at, audit_log_id) \
     VALUES (NEW.tenant_id, NEW.occurred_at, NEW.audit_log_id) \
     ON CONFLICT (tenant_id, occurred_at, audit_log_id) DO NOTHING";
const REMOVE: &str = "INSERT INTO timeline_removals (tenant_id, customer_id) VALUES (OLD.tenant_id, OLD.customer_id) \
     ON CONFLICT (tenant_id, customer_id) DO NOTHING";

/// What differs between the databases: the types of ids and instants, and what stands behind the definition of a table that is
/// found by its key alone.
struct Dialect {
    uuid: &'static str,
    instant: &'static str,
    clustered: &'static str,
    now: &'static str,
}

const SQLITE: Dialect = Dialect {
    uuid: "uuid_text",
    instant: "timestamp_with_timezone_text",
    clustered: " WITHOUT ROWID",
    now: "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
};
const POSTGRES: Dialect = Dialect { uuid: "uuid", instant: "timestamp with time zone", clustered: "", now: "now()" };

impl Dialect {
    fn tables(&self) -> [String; 5] {
        let Self { uuid, instant, clustered, .. } = self;
        let [timeline, queue, builds, starts, removals] =
            TABLES.map(|table| format!("CREATE TABLE IF NOT EXISTS {table} (tenant_id varchar(64) NOT NULL"));
        [
            format!(
                "{timeline}, customer_id {uuid} NOT NULL, occurred_at {instant} NOT NULL, audit_log_id {uuid} NOT NULL, \
                 types integer NOT NULL, resource_type varchar(32) NOT NULL, resource_id {uuid} NOT NULL, \
                 actor text NOT NULL, changes text NOT NULL, summary text NOT NULL, \
                 PRIMARY KEY (tenant_id, customer_id, occurred_at, audit_log_id)){clustered}"
            ),
            format!(
                "{queue}, occurred_at {instant} NOT NULL, audit_log_id {uuid} NOT NULL, \
                 PRIMARY KEY (tenant_id, occurred_at, audit_log_id)){clustered}"
            ),
            format!(
                "{builds}, id integer NOT NULL PRIMARY KEY CHECK (id = 1), resource_id {uuid}, occurred_at {instant}, \
                 audit_log_id {uuid}, done bigint NOT NULL DEFAULT 0)"
            ),
            format!("{starts} PRIMARY KEY, since {instant} NOT NULL)"),
            format!("{removals}, customer_id {uuid} NOT NULL, PRIMARY KEY (tenant_id, customer_id)){clustered}"),
        ]
    }

    /// What is there already gets its places afterwards, once the triggers see whatever comes: all tenants, from the first on.
    fn begin(&self) -> [String; 2] {
        let now = self.now;
        [
            format!(
                "INSERT INTO timeline_starts (tenant_id, since) SELECT '', {now} \
                 WHERE EXISTS (SELECT 1 FROM customers) ON CONFLICT (tenant_id) DO NOTHING"
            ),
            "INSERT INTO timeline_builds (id, tenant_id) SELECT 1, '' WHERE EXISTS (SELECT 1 FROM audit_logs) \
             ON CONFLICT (id) DO NOTHING"
                .to_owned(),
        ]
    }
}

fn on_sqlite() -> Vec<String> {
    vec![
        format!(
            "CREATE TRIGGER IF NOT EXISTS timeline_queue_insert AFTER INSERT ON audit_logs WHEN {IS_UNKNOWN} \
             BEGIN {QUEUE}; END"
        ),
        format!("CREATE TRIGGER IF NOT EXISTS timeline_removals_insert AFTER DELETE ON customers BEGIN {REMOVE}; END"),
    ]
}

/// The functions have the rights of their owner, so that a role that has none on the new tables goes on writing.
fn on_postgres(schema: &str) -> Vec<String> {
    let function = |name: &str, body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN {body}; RETURN NULL; END $$"
        )
    };
    let trigger = |name: &str, table: &str, event: &str| {
        [
            format!("DROP TRIGGER IF EXISTS {name} ON {table}"),
            format!("CREATE TRIGGER {name} AFTER {event} EXECUTE FUNCTION {name}()"),
        ]
    };
    let queue =
        trigger("timeline_queue", "audit_logs", &format!("INSERT ON audit_logs FOR EACH ROW WHEN ({IS_UNKNOWN})"));
    let remove = trigger("timeline_remove", "customers", "DELETE ON customers FOR EACH ROW");
    let functions = [function("timeline_queue", QUEUE), function("timeline_remove", REMOVE)];
    functions.into_iter().chain(queue).chain(remove).collect()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each statement by itself: none holds a lock while it waits for that of another table, which a request of a process that
    /// still runs may hold. One that was cut off goes on where it was.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = db.get_database_backend() == DbBackend::Postgres;
        let (dialect, triggers) = match is_postgres {
            true => (POSTGRES, on_postgres(&current_schema(db).await?)),
            false => (SQLITE, on_sqlite()),
        };
        let (table, column) = KNOWS;
        if !manager.has_column(table, column).await? {
            db.execute_unprepared(&format!("ALTER TABLE {table} ADD COLUMN {column} boolean")).await?;
        }
        for statement in dialect.tables().into_iter().chain(triggers).chain(dialect.begin()) {
            db.execute_unprepared(&statement).await?;
        }
        let by_stage = ["tenant_id", "customer_id", "stage", "created_at", "opportunity_id"];
        index_beside_writers(manager, BY_STAGE, index(BY_STAGE, "opportunities", by_stage)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        drop_index_beside_writers(manager, BY_STAGE).await?;
        let triggers = match db.get_database_backend() {
            DbBackend::Postgres => {
                ["DROP FUNCTION timeline_queue() CASCADE", "DROP FUNCTION timeline_remove() CASCADE"]
            }
            _ => ["DROP TRIGGER timeline_queue_insert", "DROP TRIGGER timeline_removals_insert"],
        };
        for trigger in triggers {
            db.execute_unprepared(trigger).await?;
        }
        for table in TABLES.iter().rev() {
            manager.drop_table(Table::drop().table(*table).to_owned()).await?;
        }
        let (table, column) = KNOWS;
        manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await
    }
}
