//! `resource_changes`: for each resource of a tenant its last change, so that a copy of the data can be kept up to date: where
//! it is in the tenant's feed, which version that made, and since when the resource is deleted ·
//! `resource_changes_purged`: up to which position deletions are no longer kept.
//!
//! A trigger writes it, in the transaction that gives events their places in the feed, whichever release does. The position of
//! a resource only goes forward, and what is deleted stays deleted, in whatever order the events come. What had no event in the
//! feed when the table was made is at position 0.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::current_schema;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The tables of resources: the name of the type, the column of the id, and the time of the deletion.
const RESOURCES: [(&str, &str, &str, &str); 4] = [
    ("customers", "customer", "customer_id", "deleted_at"),
    ("contacts", "contact", "contact_id", "deleted_at"),
    ("opportunities", "opportunity", "opportunity_id", "deleted_at"),
    ("follow_ups", "followUp", "follow_up_id", "NULL"),
];

const COLUMNS: &str = "(tenant_id, resource_id, resource_type, version, position, deleted_at)";

/// What differs between the databases.
struct Dialect {
    uuid: &'static str,
    timestamp: &'static str,
    /// What stands behind the definition of a table that is found by its key alone.
    clustered: &'static str,
    /// The larger of two values.
    greatest: &'static str,
    /// The type of the resource of an event, as other tables name it.
    resource_type: &'static str,
    /// Where the event `o` was damaged, nothing is to be refused.
    is_sound: &'static str,
    version: &'static str,
}

const SQLITE: Dialect = Dialect {
    uuid: "uuid_text",
    timestamp: "timestamp_with_timezone_text",
    clustered: " WITHOUT ROWID",
    greatest: "max",
    resource_type: "coalesce(substr(o.event_type, 5, instr(substr(o.event_type, 5), '.') - 1), '')",
    is_sound: "length(o.aggregate_id) = 16",
    version: "max(CAST(o.version AS INTEGER), 1)",
};

const POSTGRES: Dialect = Dialect {
    uuid: "uuid",
    timestamp: "timestamp with time zone",
    clustered: "",
    greatest: "GREATEST",
    resource_type: "split_part(o.event_type, '.', 2)",
    is_sound: "true",
    version: "o.version",
};

impl Dialect {
    fn tables(&self) -> Vec<String> {
        let Self { uuid, timestamp, clustered, .. } = self;
        vec![
            format!(
                "CREATE TABLE resource_changes (tenant_id varchar(64) NOT NULL, resource_id {uuid} NOT NULL, \
                 resource_type varchar(64) NOT NULL, version bigint NOT NULL, position bigint NOT NULL, \
                 deleted_at {timestamp}, PRIMARY KEY (tenant_id, resource_id)){clustered}"
            ),
            format!(
                "CREATE TABLE resource_changes_purged (tenant_id varchar(64) NOT NULL PRIMARY KEY, \
                 position bigint NOT NULL){clustered}"
            ),
        ]
    }

    /// Writes the table by the events `o` that `from` finds, whose places in the feed are in `place`; with `many` there are
    /// several of a resource.
    fn write(&self, place: &str, from: &str, many: bool) -> String {
        let Self { greatest, resource_type, is_sound, version, .. } = self;
        let resource_type = format!("CASE {resource_type} WHEN 'followup' THEN 'followUp' ELSE {resource_type} END");
        // While the clock is behind the horizon of the retention, that counts: else the deletion would seem old later.
        let deleted_at = format!(
            "CASE WHEN o.event_type LIKE 'crm.%.deleted' THEN {greatest}(o.occurred_at, \
             coalesce((SELECT horizon FROM retention_horizon WHERE id = 1), o.occurred_at)) END"
        );
        let (found, grouped) = match many {
            true => (
                format!("min({resource_type}), max({version}), max({place}.position), max({deleted_at})"),
                format!(" GROUP BY {place}.tenant_id, o.aggregate_id"),
            ),
            false => (format!("{resource_type}, {version}, {place}.position, {deleted_at}"), String::new()),
        };
        format!(
            "INSERT INTO resource_changes {COLUMNS} SELECT {place}.tenant_id, o.aggregate_id, {found} \
             FROM {from} AND {is_sound}{grouped} \
             ON CONFLICT (tenant_id, resource_id) DO UPDATE SET \
             version = {greatest}(resource_changes.version, excluded.version), \
             position = {greatest}(resource_changes.position, excluded.position), \
             deleted_at = coalesce(resource_changes.deleted_at, excluded.deleted_at)"
        )
    }

    /// The rows and the feed that are there.
    fn fill(&self) -> Vec<String> {
        let Self { timestamp, .. } = self;
        let existing = |(table, kind, id, deleted_at): &(&str, &str, &str, &str)| {
            format!(
                "INSERT INTO resource_changes {COLUMNS} \
                 SELECT tenant_id, {id}, '{kind}', version, 0, CAST({deleted_at} AS {timestamp}) FROM {table} \
                 WHERE true ON CONFLICT DO NOTHING"
            )
        };
        let in_feed = "feed_events p JOIN outbox o ON o.seq = p.seq WHERE o.tenant_id = p.tenant_id";
        RESOURCES.iter().map(existing).chain([self.write("p", in_feed, true)]).collect()
    }
}

fn triggers(backend: DbBackend, schema: &str) -> Vec<String> {
    if backend != DbBackend::Postgres {
        let placed = "outbox o WHERE o.seq = NEW.seq AND o.tenant_id = NEW.tenant_id";
        let write = SQLITE.write("NEW", placed, false);
        return vec![format!("CREATE TRIGGER resource_changes_write AFTER INSERT ON feed_events BEGIN {write}; END")];
    }
    // Each event is looked up by itself: so a plan that was made while there were few stays good when there are many.
    let placed = "placed p CROSS JOIN LATERAL \
                  (SELECT * FROM outbox e WHERE e.seq = p.seq AND e.tenant_id = p.tenant_id LIMIT 1) o WHERE true";
    vec![
        // With the rights of its owner, so that a role that has none on the new table goes on.
        format!(
            "CREATE FUNCTION resource_changes_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN {}; RETURN NULL; END $$",
            POSTGRES.write("p", placed, true)
        ),
        "CREATE TRIGGER resource_changes_write AFTER INSERT ON feed_events REFERENCING NEW TABLE AS placed \
         FOR EACH STATEMENT EXECUTE FUNCTION resource_changes_write()"
            .to_owned(),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let backend = db.get_database_backend();
        let (dialect, schema) = match backend {
            DbBackend::Postgres => (POSTGRES, current_schema(db).await?),
            _ => (SQLITE, String::new()),
        };
        let mut statements = Vec::new();
        if backend == DbBackend::Postgres {
            // Others go on writing, but until the end of this no event gets a place. Taken in the order in which they do that.
            statements.push("SELECT 1 FROM outbox_head WHERE id = 1 FOR UPDATE".to_owned());
        }
        statements.extend(dialect.tables());
        statements.extend(triggers(backend, &schema));
        statements.extend(dialect.fill());
        // Last, because filling a table without them is faster.
        statements.extend([
            "CREATE INDEX resource_changes_next ON resource_changes \
             (tenant_id, resource_type, position, resource_id)"
                .to_owned(),
            "CREATE INDEX resource_changes_deleted ON resource_changes (deleted_at) WHERE deleted_at IS NOT NULL"
                .to_owned(),
        ]);
        for statement in statements {
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let trigger = match db.get_database_backend() {
            DbBackend::Postgres => "DROP FUNCTION resource_changes_write() CASCADE",
            _ => "DROP TRIGGER resource_changes_write",
        };
        db.execute_unprepared(trigger).await?;
        for table in ["resource_changes_purged", "resource_changes"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
