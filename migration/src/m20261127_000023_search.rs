//! What lists are sorted by, and what they are searched by.
//!
//! The columns `…_sort` hold the normal form of a text, which sorts byte by byte. `search_documents` holds the normal form of
//! the text of each resource, with the parts of its words, which an index finds: FTS5 on SQLite, GIN on PostgreSQL. Each token
//! of that index begins with the tag of a tenant and a type, so that no search reads what others have.
//!
//! The release before knows nothing of this. Where a text changes, triggers delete its document and put the row into
//! `search_queue`; whoever writes the document takes it out again. So nothing is ever found by a text that is gone, and what is
//! left in the queue is what that release has written. `search_builds` says how far the documents of the rows are that were
//! there before.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::{current_schema, drop_index_beside_writers, index, index_beside_writers};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// A table whose rows are searched by a text.
struct Searched {
    table: &'static str,
    resource_type: &'static str,
    id: &'static str,
    text: &'static str,
    /// The column for what the text is sorted by, if it is.
    sort: Option<&'static str>,
}

const TABLES: [Searched; 4] = [
    Searched {
        table: "customers",
        resource_type: "customer",
        id: "customer_id",
        text: "name",
        sort: Some("name_sort"),
    },
    Searched { table: "contacts", resource_type: "contact", id: "contact_id", text: "name", sort: Some("name_sort") },
    Searched {
        table: "opportunities",
        resource_type: "opportunity",
        id: "opportunity_id",
        text: "title",
        sort: Some("title_sort"),
    },
    Searched { table: "follow_ups", resource_type: "followUp", id: "follow_up_id", text: "content", sort: None },
];

/// The tokens of a row of `search_documents`: its parts, each behind the tag and a digit. All documents have tokens with 0, one
/// in 64 also with 1, one in 4,096 also with 2: by these it is estimated how many documents have a part.
fn tokens(row: &str) -> String {
    let level = |level: u8| format!("replace({row}grams, ' ', ' ' || {row}tag || '{level}')");
    let sampled = |n: u8| format!("CASE WHEN {row}sample >= {n} THEN {} ELSE '' END", level(n));
    format!("{} || {} || {}", level(0), sampled(1), sampled(2))
}

impl Searched {
    /// The column that it is sorted by, with the index of that.
    fn sorted(&self) -> Option<(&'static str, String)> {
        self.sort.map(|column| (column, format!("{}_by_{column}", self.table)))
    }

    fn on_sqlite(&self) -> Vec<String> {
        let Self { table, resource_type, id, text, .. } = self;
        let document =
            |row: &str| format!("search_documents WHERE tenant_id = {row}.tenant_id AND resource_id = {row}.{id}");
        let queue = format!(
            "INSERT INTO search_queue (tenant_id, resource_id, resource_type) \
             VALUES (NEW.tenant_id, NEW.{id}, '{resource_type}') ON CONFLICT (tenant_id, resource_id) DO NOTHING"
        );
        vec![
            format!(
                "CREATE TRIGGER IF NOT EXISTS search_{table}_insert AFTER INSERT ON {table} \
                 WHEN NOT EXISTS (SELECT 1 FROM {}) BEGIN {queue}; END",
                document("NEW")
            ),
            format!(
                "CREATE TRIGGER IF NOT EXISTS search_{table}_update AFTER UPDATE OF {text} ON {table} \
                 WHEN OLD.{text} IS NOT NEW.{text} BEGIN DELETE FROM {}; {queue}; END",
                document("OLD")
            ),
            format!(
                "CREATE TRIGGER IF NOT EXISTS search_{table}_delete AFTER DELETE ON {table} BEGIN DELETE FROM {}; \
                 DELETE FROM search_queue WHERE tenant_id = OLD.tenant_id AND resource_id = OLD.{id}; END",
                document("OLD")
            ),
        ]
    }

    /// The functions have the rights of their owner, so that a role that has none on the new tables goes on writing.
    fn on_postgres(&self, schema: &str) -> Vec<String> {
        let Self { table, resource_type, id, text, .. } = self;
        let document =
            |row: &str| format!("search_documents WHERE tenant_id = {row}.tenant_id AND resource_id = {row}.{id}");
        let queue = format!(
            "INSERT INTO search_queue (tenant_id, resource_id, resource_type) \
             VALUES (NEW.tenant_id, NEW.{id}, '{resource_type}') ON CONFLICT (tenant_id, resource_id) DO NOTHING;"
        );
        let function = |name: &str, body: &str| {
            format!(
                "CREATE OR REPLACE FUNCTION search_{name}_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
                 SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN {body} RETURN NULL; END $$"
            )
        };
        let trigger = |name: &str, event: &str| {
            [
                format!("DROP TRIGGER IF EXISTS search_{name} ON {table}"),
                format!("CREATE TRIGGER search_{name} AFTER {event} EXECUTE FUNCTION search_{name}_{table}()"),
            ]
        };
        let inserted = format!("IF NOT EXISTS (SELECT 1 FROM {}) THEN {queue} END IF;", document("NEW"));
        let updated = format!("DELETE FROM {}; {queue}", document("OLD"));
        let deleted = format!(
            "DELETE FROM {}; DELETE FROM search_queue WHERE tenant_id = OLD.tenant_id AND resource_id = OLD.{id};",
            document("OLD")
        );
        let changed = format!("UPDATE OF {text} ON {table} FOR EACH ROW WHEN (OLD.{text} IS DISTINCT FROM NEW.{text})");
        [function("insert", &inserted), function("update", &updated), function("delete", &deleted)]
            .into_iter()
            .chain(trigger("insert", &format!("INSERT ON {table} FOR EACH ROW")))
            .chain(trigger("update", &changed))
            .chain(trigger("delete", &format!("DELETE ON {table} FOR EACH ROW")))
            .collect()
    }
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
        for searched in &TABLES {
            let Some((sort, name)) = searched.sorted() else { continue };
            if !manager.has_column(searched.table, sort).await? {
                let bytewise = if is_postgres { "COLLATE \"C\" " } else { "" };
                let column = format!("{sort} text {bytewise}NOT NULL DEFAULT ''");
                db.execute_unprepared(&format!("ALTER TABLE {} ADD COLUMN {column}", searched.table)).await?;
            }
            let by_sort = index(&name, searched.table, ["tenant_id", sort, "created_at", searched.id]);
            index_beside_writers(manager, &name, by_sort).await?;
        }
        let statements = if is_postgres { create_postgres(&current_schema(db).await?) } else { create_sqlite() };
        for statement in statements {
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = db.get_database_backend() == DbBackend::Postgres;
        for searched in &TABLES {
            let table = searched.table;
            for event in ["insert", "update", "delete"] {
                // On PostgreSQL a function goes with its trigger.
                let statement = match is_postgres {
                    true => format!("DROP FUNCTION search_{event}_{table}() CASCADE"),
                    false => format!("DROP TRIGGER search_{table}_{event}"),
                };
                db.execute_unprepared(&statement).await?;
            }
            if let Some((sort, name)) = searched.sorted() {
                drop_index_beside_writers(manager, &name).await?;
                manager.alter_table(Table::alter().table(table).drop_column(sort).to_owned()).await?;
            }
        }
        if !is_postgres {
            db.execute_unprepared("DROP TABLE search_index").await?;
            db.execute_unprepared("DROP VIEW search_tokens").await?;
        }
        for table in ["search_documents", "search_queue", "search_builds"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        if is_postgres {
            db.execute_unprepared("DROP FUNCTION search_dequeue()").await?;
            db.execute_unprepared("DROP FUNCTION search_tokens(text, text, smallint)").await?;
        }
        Ok(())
    }
}

/// The tables that are alike on both databases; `uuid` is the type of ids, `key` what comes before the columns of the
/// documents, which are the primary key or not.
fn tables(uuid: &str, (key, own): (&str, &str)) -> Vec<String> {
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS search_documents ({key}tenant_id varchar(64) NOT NULL, \
             resource_id {uuid} NOT NULL, tag varchar(16) NOT NULL, sample smallint NOT NULL, text text NOT NULL, \
             grams text NOT NULL, {own} (tenant_id, resource_id))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS search_queue (tenant_id varchar(64) NOT NULL, resource_id {uuid} NOT NULL, \
             resource_type varchar(32) NOT NULL, PRIMARY KEY (tenant_id, resource_id))"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS search_builds (tenant_id varchar(64) NOT NULL PRIMARY KEY, \
             is_first boolean NOT NULL, resource_type varchar(32), after_tenant varchar(64), after_id {uuid}, \
             done bigint NOT NULL DEFAULT 0)"
        ),
    ]
}

/// What is there already gets its documents afterwards: searches say so until then. All but follow-ups belong to customers.
const FIRST_BUILD: &str = "INSERT INTO search_builds (tenant_id, is_first) SELECT '', true \
     WHERE EXISTS (SELECT 1 FROM customers) OR EXISTS (SELECT 1 FROM follow_ups) ON CONFLICT (tenant_id) DO NOTHING";

/// The index keeps nothing of what is deleted from it (`secure-delete`), neither where words stand (`detail`) nor how many
/// there are (`columnsize`).
fn create_sqlite() -> Vec<String> {
    let mut statements = tables("uuid_text", ("document integer NOT NULL PRIMARY KEY, ", "UNIQUE"));
    statements.extend([
        format!(
            "CREATE VIEW IF NOT EXISTS search_tokens AS SELECT document, {} AS tokens FROM search_documents",
            tokens("")
        ),
        "CREATE VIRTUAL TABLE IF NOT EXISTS search_index USING fts5(tokens, content = 'search_tokens', \
         content_rowid = 'document', tokenize = 'unicode61', detail = 'none', columnsize = 0)"
            .to_owned(),
        "INSERT INTO search_index (search_index, rank) VALUES ('secure-delete', 1)".to_owned(),
        format!(
            "CREATE TRIGGER IF NOT EXISTS search_documents_insert AFTER INSERT ON search_documents BEGIN \
             INSERT INTO search_index (rowid, tokens) VALUES (NEW.document, {}); \
             DELETE FROM search_queue WHERE tenant_id = NEW.tenant_id AND resource_id = NEW.resource_id; END",
            tokens("NEW.")
        ),
        format!(
            "CREATE TRIGGER IF NOT EXISTS search_documents_delete AFTER DELETE ON search_documents BEGIN \
             INSERT INTO search_index (search_index, rowid, tokens) VALUES ('delete', OLD.document, {}); END",
            tokens("OLD.")
        ),
    ]);
    statements.extend(TABLES.iter().flat_map(Searched::on_sqlite));
    statements.push(FIRST_BUILD.to_owned());
    statements
}

/// Without `fastupdate` a writer puts its tokens where they belong: what waited in a list would be read by each search.
fn create_postgres(schema: &str) -> Vec<String> {
    let mut statements = tables("uuid", ("", "PRIMARY KEY"));
    statements.extend([
        format!(
            "CREATE OR REPLACE FUNCTION search_tokens(tag text, grams text, sample smallint) RETURNS tsvector \
             LANGUAGE sql IMMUTABLE PARALLEL SAFE \
             RETURN array_to_tsvector(string_to_array(ltrim({}), ' '))",
            tokens("")
        ),
        "CREATE INDEX IF NOT EXISTS search_documents_tokens ON search_documents \
         USING gin (search_tokens(tag, grams, sample)) WITH (fastupdate = off)"
            .to_owned(),
        format!(
            "CREATE OR REPLACE FUNCTION search_dequeue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN DELETE FROM search_queue \
             WHERE tenant_id = NEW.tenant_id AND resource_id = NEW.resource_id; RETURN NULL; END $$"
        ),
        "DROP TRIGGER IF EXISTS search_dequeue ON search_documents".to_owned(),
        "CREATE TRIGGER search_dequeue AFTER INSERT ON search_documents FOR EACH ROW EXECUTE FUNCTION search_dequeue()"
            .to_owned(),
    ]);
    statements.extend(TABLES.iter().flat_map(|table| table.on_postgres(schema)));
    statements.push(FIRST_BUILD.to_owned());
    statements
}
