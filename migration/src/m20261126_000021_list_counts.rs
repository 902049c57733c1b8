//! `list_counts`: how many rows each list of a tenant has, and each list of what belongs to a customer or an opportunity, so
//! that a total need not be counted. Triggers keep it in the transaction of whatever changes the rows, the release before and
//! the removal in steps included. It counts the rows that are stored; those that a deletion hides are subtracted by whoever
//! reads.
//!
//! On PostgreSQL, writers only add to `list_count_deltas`, so that none waits for another; these are folded into
//! `list_counts` in the background, and a counter is the sum of both. SQLite has one writer, and no deltas.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::current_schema;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The owner of the lists that belong to the tenant as a whole.
const NOBODY: [&str; 2] = ["x'00000000000000000000000000000000'", "'00000000-0000-0000-0000-000000000000'::uuid"];

/// A table, and the columns by which its rows are counted besides the tenant.
struct Counted {
    table: &'static str,
    owners: &'static [(&'static str, &'static str)],
}

/// A list: its name, and the column of its owner; none if it is the tenant's.
type List = (String, Option<&'static str>);

const TABLES: [Counted; 4] = [
    Counted { table: "customers", owners: &[] },
    Counted { table: "contacts", owners: &[("contacts_of_customer", "customer_id")] },
    Counted { table: "opportunities", owners: &[("opportunities_of_customer", "customer_id")] },
    Counted {
        table: "follow_ups",
        owners: &[("follow_ups_of_customer", "customer_id"), ("follow_ups_of_opportunity", "opportunity_id")],
    },
];

impl Counted {
    fn lists(&self) -> Vec<List> {
        let owned = self.owners.iter().map(|(list, column)| ((*list).to_owned(), Some(*column)));
        std::iter::once((self.table.to_owned(), None)).chain(owned).collect()
    }

    /// The columns that tell in which lists a row is.
    fn keys(&self) -> Vec<&'static str> {
        std::iter::once("tenant_id").chain(self.owners.iter().map(|(_, column)| *column)).collect()
    }

    /// Whether a row goes from one list to another.
    fn moved(&self) -> String {
        let moved: Vec<_> = self.keys().iter().map(|key| format!("OLD.{key} IS DISTINCT FROM NEW.{key}")).collect();
        moved.join(" OR ")
    }

    /// The rows that are there.
    fn fill(&self, nobody: &str) -> Vec<String> {
        let counted = |(list, owner): List| {
            let (column, only) = match owner {
                None => (nobody, String::new()),
                Some(column) => (column, format!("WHERE {column} IS NOT NULL ")),
            };
            let by = owner.map(|column| format!(", {column}")).unwrap_or_default();
            format!(
                "INSERT INTO list_counts (tenant_id, list, owner_id, count) \
                 SELECT tenant_id, '{list}', {column}, count(*) FROM {} {only}GROUP BY tenant_id{by}",
                self.table
            )
        };
        self.lists().into_iter().map(counted).collect()
    }

    fn on_sqlite(&self) -> Vec<String> {
        let Self { table, .. } = self;
        let owner = |row: &str, owner: Option<&str>| match owner {
            None => NOBODY[0].to_owned(),
            Some(column) => format!("{row}.{column}"),
        };
        let more = |(list, column): List| {
            let owner = owner("NEW", column);
            format!(
                "INSERT INTO list_counts (tenant_id, list, owner_id, count) \
                 SELECT NEW.tenant_id, '{list}', {owner}, 1 WHERE {owner} IS NOT NULL \
                 ON CONFLICT (tenant_id, list, owner_id) DO UPDATE SET count = count + 1; "
            )
        };
        // A list without rows has no counter.
        let less = |(list, column): List| {
            let owner = owner("OLD", column);
            let one = format!("tenant_id = OLD.tenant_id AND list = '{list}' AND owner_id = {owner}");
            format!(
                "DELETE FROM list_counts WHERE {one} AND count = 1; \
                 UPDATE list_counts SET count = count - 1 WHERE {one} AND count > 1; "
            )
        };
        let more: String = self.lists().into_iter().map(more).collect();
        let less: String = self.lists().into_iter().map(less).collect();
        let (keys, moved) = (self.keys().join(", "), self.moved());
        vec![
            format!("CREATE TRIGGER list_counts_{table}_insert AFTER INSERT ON {table} BEGIN {more}END"),
            format!("CREATE TRIGGER list_counts_{table}_delete AFTER DELETE ON {table} BEGIN {less}END"),
            format!(
                "CREATE TRIGGER list_counts_{table}_update AFTER UPDATE OF {keys} ON {table} WHEN {moved} \
                 BEGIN {less}{more}END"
            ),
        ]
    }

    /// The functions have the rights of their owner, so that a role that has none on the new tables goes on writing. Rows
    /// that a statement inserts or deletes together are one change of their lists.
    fn on_postgres(&self, schema: &str) -> Vec<String> {
        let Self { table, .. } = self;
        let changed = |(list, owner): List| {
            let sign = "count(*) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END";
            match owner {
                None => format!("SELECT tenant_id, '{list}', {}, {sign} FROM changed GROUP BY tenant_id", NOBODY[1]),
                Some(column) => format!(
                    "SELECT tenant_id, '{list}', {column}, {sign} FROM changed WHERE {column} IS NOT NULL \
                     GROUP BY tenant_id, {column}"
                ),
            }
        };
        let moved = |(list, owner): List| {
            let side = |row: &str, count: i32| {
                let owner = owner.map_or_else(|| NOBODY[1].to_owned(), |column| format!("{row}.{column}"));
                format!(
                    "SELECT {row}.tenant_id, '{list}', {owner}, {count} WHERE {owner} IS NOT NULL AND ({})",
                    match owner.split_once('.') {
                        Some((_, column)) => {
                            format!("(OLD.tenant_id, OLD.{column}) IS DISTINCT FROM (NEW.tenant_id, NEW.{column})")
                        }
                        None => "OLD.tenant_id IS DISTINCT FROM NEW.tenant_id".to_owned(),
                    }
                )
            };
            format!("{} UNION ALL {}", side("OLD", -1), side("NEW", 1))
        };
        let function = |name: &str, deltas: Vec<String>| {
            format!(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
                 SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN \
                 INSERT INTO list_count_deltas (tenant_id, list, owner_id, count) {}; RETURN NULL; END $$",
                deltas.join(" UNION ALL ")
            )
        };
        let (count, count_moved) = (format!("list_counts_of_{table}"), format!("list_counts_of_moved_{table}"));
        let trigger = |event: &str, rows: &str, run: &str| {
            format!("CREATE TRIGGER list_counts_{event} AFTER {rows} EXECUTE FUNCTION {run}()")
        };
        let (keys, is_moved) = (self.keys().join(", "), self.moved());
        vec![
            function(&count, self.lists().into_iter().map(changed).collect()),
            function(&count_moved, self.lists().into_iter().map(moved).collect()),
            trigger(
                "insert",
                &format!("INSERT ON {table} REFERENCING NEW TABLE AS changed FOR EACH STATEMENT"),
                &count,
            ),
            trigger(
                "delete",
                &format!("DELETE ON {table} REFERENCING OLD TABLE AS changed FOR EACH STATEMENT"),
                &count,
            ),
            trigger("update", &format!("UPDATE OF {keys} ON {table} FOR EACH ROW WHEN ({is_moved})"), &count_moved),
        ]
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let mut statements = match db.get_database_backend() {
            DbBackend::Postgres => create_postgres(&current_schema(db).await?),
            _ => create_sqlite(),
        };
        let nobody = if db.get_database_backend() == DbBackend::Postgres { NOBODY[1] } else { NOBODY[0] };
        statements.extend(TABLES.iter().flat_map(|table| table.fill(nobody)));
        for statement in statements {
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = db.get_database_backend() == DbBackend::Postgres;
        for Counted { table, .. } in &TABLES {
            if is_postgres {
                // With their triggers.
                for function in [format!("list_counts_of_{table}"), format!("list_counts_of_moved_{table}")] {
                    db.execute_unprepared(&format!("DROP FUNCTION {function}() CASCADE")).await?;
                }
                continue;
            }
            for event in ["insert", "delete", "update"] {
                db.execute_unprepared(&format!("DROP TRIGGER list_counts_{table}_{event}")).await?;
            }
        }
        if is_postgres {
            manager.drop_table(Table::drop().table("list_count_deltas").to_owned()).await?;
        }
        manager.drop_table(Table::drop().table("list_counts").to_owned()).await
    }
}

fn create_sqlite() -> Vec<String> {
    let table = "CREATE TABLE list_counts (tenant_id varchar(64) NOT NULL, list varchar(32) NOT NULL, \
                 owner_id uuid_text NOT NULL, count bigint NOT NULL CHECK (count > 0), \
                 PRIMARY KEY (tenant_id, list, owner_id)) WITHOUT ROWID";
    std::iter::once(table.to_owned()).chain(TABLES.iter().flat_map(Counted::on_sqlite)).collect()
}

/// Who writes waits while rows are counted: afterwards they are counted by the triggers, and none in between is missed. Locks
/// are taken from the customer down, as changes take them.
fn create_postgres(schema: &str) -> Vec<String> {
    let tables = [
        "CREATE TABLE list_counts (tenant_id varchar(64) NOT NULL, list varchar(32) NOT NULL, owner_id uuid NOT NULL, \
         count bigint NOT NULL CHECK (count > 0), PRIMARY KEY (tenant_id, list, owner_id))",
        // Rows come and go: without this, vacuum would wait for a share of a table that is nearly empty.
        "CREATE TABLE list_count_deltas (tenant_id varchar(64) NOT NULL, list varchar(32) NOT NULL, \
         owner_id uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, count bigint NOT NULL CHECK (count <> 0), \
         PRIMARY KEY (tenant_id, list, owner_id, id)) \
         WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)",
        "LOCK TABLE customers, contacts, opportunities, follow_ups IN SHARE ROW EXCLUSIVE MODE",
    ];
    let triggers = TABLES.iter().flat_map(|table| table.on_postgres(schema));
    tables.into_iter().map(str::to_owned).chain(triggers).collect()
}
