//! Upgrades: from every earlier schema with data, and beside the previous release (`make upgrade`).

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use crm::{audit::chain, database::migrate, relay};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use serde_json::{Value, json};

use crate::harness::{
    AMPLE, Client, CommandOutput, Load, PII_KEYS, Process, Service, TestDatabase, WriteHistory, assert_durable,
    assert_totals_right,
    audit::assert_intact,
    broker::{MemoryBroker, drain, relay_to},
    id as id_of, run, run_crm,
    sql::{column, rows, scalar, uuid_literal},
    variable, within,
};

/// Values of columns for which one by its type is not accepted, or would not be read: `table.column`, or the column of any
/// table. The first one counts. Where a new table is refused its row, its column belongs here.
const VALUES: [(&str, &str); 29] = [
    // Two events were assigned positions: the first is kept, the second, of another tenant, is deleted. The relay has tried
    // both and holds the first back.
    ("outbox.event_type", "'crm.customer.created'"),
    ("outbox.trace_id", "'0af7651916cd43dd8448eb211c80319c'"),
    ("outbox.data", "'{\"tenantId\":\"default\",\"version\":1,\"changedFields\":[],\"resource\":{}}'"),
    ("feed_events.event_type", "'crm.customer.created'"),
    ("outbox_purged.tenant_id", "'another'"),
    ("outbox_purged.position", "2"),
    // The entry of the trail is chained; that of another tenant waits in the queue.
    ("audit_logs.action", "'create'"),
    ("audit_queue.tenant_id", "'another'"),
    ("audit_chain.hash", "'5b4bd772177553b8065d12b03a09c8dc2f31b08e1162e85bf4bc8736a462a7c2'"),
    ("audit_heads.hash", "'5b4bd772177553b8065d12b03a09c8dc2f31b08e1162e85bf4bc8736a462a7c2'"),
    ("audit_heads.purged_hash", "''"),
    ("audit_heads.purged_sequence", "0"),
    ("deletions.tenant_id", "'another'"),
    // The event in the feed has written one already.
    ("resource_changes.tenant_id", "'another'"),
    ("resource_changes.resource_type", "'customer'"),
    ("deletions.deleted_at", "'2026-01-31 09:30:00.125+00:00'"),
    ("deleted_at", "NULL"),
    ("tenant_id", "'default'"),
    ("stage", "0"),
    ("last_open_stage", "0"),
    ("status", "0"),
    ("currency", "'CNY'"),
    ("contact_phone", "'13812345678'"),
    ("contact_email", "'a@b.cn'"),
    ("phone", "'13812345678'"),
    ("email", "'a@b.cn'"),
    ("pii_keys.key_id", "'(clear)'"),
    ("pii_keys.proof", "NULL"),
    ("changes", "'[]'"),
];
/// The id of every resource, so that references hold.
const ID: &str = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";

/// The tables, but for the list of migrations, and those that SQLite keeps the index of searches in by itself.
async fn tables(database: &DatabaseConnection) -> Vec<String> {
    let sql = match database.get_database_backend() {
        DbBackend::Postgres => "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
        _ => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    };
    let is_ours = |name: &String| name != "seaql_migrations" && !name.starts_with("search_index");
    column(database, &format!("{sql} ORDER BY 1")).await.into_iter().filter(is_ours).collect()
}

/// The columns of a table with their types; none whose value the database gives, such as that of a sequence.
async fn columns(database: &DatabaseConnection, table: &str) -> Vec<(String, String)> {
    let sql = match database.get_database_backend() {
        DbBackend::Postgres => format!(
            "SELECT column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_name = '{table}' AND is_generated = 'NEVER' AND is_identity = 'NO' \
             AND coalesce(column_default, '') NOT LIKE 'nextval%'"
        ),
        _ => format!("SELECT name, type FROM pragma_table_xinfo('{table}') WHERE hidden = 0"),
    };
    let text = |row: &sea_orm::QueryResult, at| row.try_get_by_index::<String>(at).unwrap();
    rows(database, &sql).await.iter().map(|row| (text(row, 0), text(row, 1).to_lowercase())).collect()
}

fn value(table: &str, column: &str, kind: &str) -> String {
    let qualified = format!("{table}.{column}");
    if let Some((_, value)) = VALUES.iter().find(|(name, _)| [column, &qualified].contains(name)) {
        return (*value).to_owned();
    }
    match kind {
        kind if kind.contains("uuid") => uuid_literal(ID),
        kind if kind.contains("time") => "'2026-01-31 09:30:00.125+00:00'".to_owned(),
        kind if kind.contains("bool") => "FALSE".to_owned(),
        kind if kind.contains("int") => "1".to_owned(),
        kind if kind.contains("char") || kind.contains("text") => "'x'".to_owned(),
        kind if kind.contains("json") => "'{}'".to_owned(),
        kind if kind.contains("blob") => "x'00'".to_owned(),
        kind if kind.contains("bytea") => "'\\x00'".to_owned(),
        kind => panic!("{table}.{column}: no value of type {kind}: add one"),
    }
}

/// Puts a row into every table that has none.
async fn fill(database: &DatabaseConnection) {
    let mut empty = Vec::new();
    for table in tables(database).await {
        if scalar::<i64>(database, &format!("SELECT count(*) FROM {table}")).await == 0 {
            empty.push(table);
        }
    }
    // What others refer to comes first; that it is so shows by trying.
    while !empty.is_empty() {
        let (before, mut refused) = (empty.len(), Vec::new());
        for table in empty {
            // A trigger may have put one there.
            if scalar::<i64>(database, &format!("SELECT count(*) FROM {table}")).await > 0 {
                continue;
            }
            let columns = columns(database, &table).await;
            let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
            let values: Vec<_> = columns.iter().map(|(name, kind)| value(&table, name, kind)).collect();
            let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "));
            if let Err(error) = database.execute_unprepared(&insert).await {
                refused.push((table, format!("{insert}: {error}")));
            }
        }
        assert!(refused.len() < before, "add to VALUES what these tables need: {refused:#?}");
        empty = refused.into_iter().map(|(table, _)| table).collect();
    }
}

/// Makes the rows say the same of how far positions go, and gives the queue the entry that waits in it.
async fn make_consistent(database: &DatabaseConnection) {
    let tables = tables(database).await;
    for table in
        ["outbox_head", "outbox_relay", "feed_head"].into_iter().filter(|name| tables.iter().any(|t| t == name))
    {
        let moved = format!("UPDATE {table} SET position = 2 WHERE id = 1");
        assert_eq!(database.execute_unprepared(&moved).await.unwrap().rows_affected(), 1, "{table}");
    }
    let columns = columns(database, "audit_logs").await;
    let others: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "tenant_id").collect();
    if !others.is_empty() {
        let others = others.join(", ");
        let copy = format!("INSERT INTO audit_logs (tenant_id, {others}) SELECT 'another', {others} FROM audit_logs");
        database.execute_unprepared(&copy).await.unwrap();
    }
}

/// Fails unless the feed and the broker get what was there before and what came since, and the trail is whole.
async fn assert_goes_on(service: &Service, from: &str, old_event: bool) {
    let broker = MemoryBroker::default();
    drain(&service.app, &mut relay_to(&service.app, Arc::new(broker.clone()))).await;
    let feed = service.read("/events?limit=100").await;
    assert_eq!(feed["gaps"], json!([]), "from {from}");
    let mut read: Vec<String> = feed["data"].as_array().unwrap().iter().map(|event| id_of(event, "eventId")).collect();
    assert_eq!(read.iter().filter(|id| *id == ID).count(), usize::from(old_event), "from {from}");
    assert!(!old_event || read[0] == ID, "from {from}: {read:?}");
    let mut published: Vec<String> = broker.events().iter().map(|event| id_of(event, "eventId")).collect();
    read.sort_unstable();
    published.sort_unstable();
    assert_eq!(published, read, "from {from}");
    assert!(read.len() >= 5, "from {from}: {read:?}");
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked), (status.head, 0), "from {from}");

    chain::link_entries(service.app.database()).await.unwrap();
    let verdicts = assert_intact(service).await;
    assert!(verdicts.iter().all(|verdict| verdict.waiting == 0 && verdict.verified > 0), "from {from}: {verdicts:?}");
}

async fn counts(database: &DatabaseConnection) -> Vec<(String, i64)> {
    let mut counts = Vec::new();
    for table in tables(database).await {
        let count = scalar(database, &format!("SELECT count(*) FROM {table}")).await;
        counts.push((table, count));
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_every_earlier_schema_upgrades_with_its_data() {
    let empty = TestDatabase::new().await;
    let migrations = migrate::status(&empty.parsed_url()).await.unwrap();
    for (applied, last) in migrations.iter().enumerate().map(|(index, migration)| (index + 1, &migration.name)) {
        let database = TestDatabase::new().await;
        let url = database.parsed_url();
        migrate::up(&url, u32::try_from(applied).ok(), AMPLE).await.unwrap();
        let connection = database.connect().await;
        fill(&connection).await;
        make_consistent(&connection).await;
        let before = counts(&connection).await;
        assert!(before.iter().all(|(_, count)| *count > 0), "{last}: {before:?}");

        let upgraded = migrate::up(&url, None, AMPLE).await;
        upgraded.unwrap_or_else(|error| panic!("from {last}: {error}"));
        migrate::check(&url).await.unwrap();
        let after = counts(&connection).await;
        for (table, count) in before {
            let now = after.iter().find(|(name, _)| *name == table).map(|(_, count)| *count);
            assert!(now.is_none_or(|now| now >= count), "from {last}: {table} had {count} rows and has {now:?}");
        }
        let old_event = scalar::<i64>(&connection, "SELECT count(*) FROM outbox").await == 1;
        connection.close().await.unwrap();

        // What was there is read, and new rows come beside it.
        let service = Service::on(database, &[]).await;
        let resources = ["customers", "contacts", "opportunities", "follow_ups"];
        for table in resources.into_iter().take(applied) {
            let path = format!("/{}", table.replace('_', "-"));
            assert_eq!(service.read(&path).await["total"], 1, "from {last}: {path}");
        }
        let customer = service.customer().await;
        service.contact(&customer).await;
        let opportunity = service.opportunity(&customer).await;
        service.follow_up(serde_json::json!({ "content": "x", "opportunityId": opportunity })).await;
        service.delete(&format!("/customers/{customer}")).send().await.expect(204);
        assert_goes_on(&service, last, old_event).await;
        service.app.database().close().await.unwrap();
    }
}

/// The previous release, built by `.ci/build-previous`.
pub(super) fn previous_release() -> String {
    variable("TEST_PREVIOUS").expect("TEST_PREVIOUS is not set: run `make upgrade`")
}

/// Follows the feed of the default tenant at one process, and keeps what it tells.
#[derive(Default)]
struct Reader {
    cursor: Option<String>,
    /// Event id → type, trace and version.
    events: BTreeMap<String, (String, String, i64)>,
    /// Resource → the last version.
    versions: BTreeMap<String, i64>,
}

impl Reader {
    /// Reads to the end; fails where an event comes twice, or not in the order of its resource.
    async fn read(&mut self, process: &Process) {
        let mut client = process.client().await;
        loop {
            let after = self.cursor.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
            let answer = client.get(&format!("/events?limit=100{after}")).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let data = answer.body["data"].as_array().unwrap();
            for event in data {
                let text = |field: &str| event[field].as_str().unwrap().to_owned();
                let (kind, version) = (text("eventType"), event["data"]["version"].as_i64().unwrap());
                let twice = self.events.insert(text("eventId"), (kind.clone(), text("traceId"), version));
                assert_eq!(twice, None, "{event} comes twice");
                let id = match kind.split('.').nth(1).unwrap() {
                    "customer" => "customerId",
                    "contact" => "contactId",
                    "opportunity" => "opportunityId",
                    _ => "followUpId",
                };
                let last = self.versions.entry(id_of(&event["data"]["resource"], id)).or_default();
                *last += 1;
                assert_eq!(version, *last, "{event}");
            }
            let cursor = &answer.body["cursor"];
            self.cursor = Some(cursor.as_str().map_or_else(|| cursor.to_string(), ToOwned::to_owned));
            if data.is_empty() {
                return;
            }
        }
    }

    /// Reads until nothing is missing that the outbox has.
    async fn read_all(&mut self, process: &Process, outbox: &DatabaseConnection) {
        within(30, "all events are read", async || {
            self.read(process).await;
            scalar::<i64>(outbox, "SELECT count(*) FROM outbox").await == self.events.len() as i64
        })
        .await;
    }
}

fn assert_trail(url: &str, program: &str) {
    let variables = [("CRM_DATABASE_URL", url), ("CRM_PII_KEYS", PII_KEYS)];
    let verified: CommandOutput = run(program, &["audit", "verify"], &variables);
    assert!(verified.code == Some(0) && verified.stdout.contains("entries verified"), "{program}: {verified:?}");
}

/// Creates a customer with a contact and an opportunity at one process and deletes it at the other; then neither shows it.
async fn delete_across(creator: &Process, deleter: &Process, label: &str) {
    let (mut creating, mut deleting) = (creator.client().await, deleter.client().await);
    let create = async |client: &mut Client, path: &str, body: Value, field: &str| {
        let answer = client.ask("POST", path, &format!("{label}{path}"), &body).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
        format!("{path}/{}", answer.body[field].as_str().unwrap())
    };
    let customer = create(&mut creating, "/customers", json!({ "name": label }), "customerId").await;
    let id = customer.rsplit('/').next().unwrap();
    let contact = json!({ "customerId": id, "name": "x", "phone": "13812345678" });
    let contact = create(&mut creating, "/contacts", contact, "contactId").await;
    let opportunity = json!({ "customerId": id, "title": "x" });
    let opportunity = create(&mut creating, "/opportunities", opportunity, "opportunityId").await;
    assert_eq!(deleting.get(&contact).await.status, 200, "{label}");
    let deleted = deleting.ask("DELETE", &customer, &format!("{label}-delete"), &Value::Null).await.unwrap();
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    for client in [&mut creating, &mut deleting] {
        for path in [&customer, &contact, &opportunity] {
            within(30, "deleted", async || client.get(path).await.status == 404).await;
        }
    }
}

/// Lets both take writes at once.
async fn write_at(processes: &[&Process], history: &WriteHistory) {
    let loads: Vec<_> = processes.iter().map(|process| Load::start(process, history, 3)).collect();
    for load in &loads {
        load.until_acknowledged(100).await;
    }
    for load in loads {
        load.stop().await;
    }
}

/// Takes the migrations that `known` lacks off the list, so that a program which refuses to start on a newer schema starts.
/// Returns what puts them back.
async fn hide_newer(connection: &DatabaseConnection, known: &str) -> Vec<String> {
    let applied: Vec<String> = column(connection, "SELECT version FROM seaql_migrations").await;
    let newer: Vec<_> = applied.into_iter().filter(|name| !known.contains(name.as_str())).collect();
    for name in &newer {
        let hide = format!("DELETE FROM seaql_migrations WHERE version = '{name}'");
        connection.execute_unprepared(&hide).await.unwrap();
    }
    let show = |name| format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)");
    newer.into_iter().map(show).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the previous release: run `make upgrade`"]
async fn the_previous_release_works_beside_this_one_and_after_it() {
    let previous = previous_release();
    assert!(Path::new(&previous).is_file(), "{previous} is missing");
    let (database, history) = (TestDatabase::new().await, WriteHistory::default());
    let url = database.url();
    let (mut old_reader, mut new_reader) = (Reader::default(), Reader::default());

    // The old release makes its schema, and is written to.
    let old = Process::of_release(&previous, &url);
    let known = run(&previous, &["migrate", "status"], &[("CRM_DATABASE_URL", &url)]).stdout;
    write_at(&[&old], &history).await;
    let outbox = database.connect().await;
    old_reader.read_all(&old, &outbox).await;

    // The new one migrates the schema under it; then both are written to at once.
    let new = Process::start(&database);
    write_at(&[&old, &new], &history).await;
    new_reader.read_all(&new, &outbox).await;
    old_reader.read_all(&old, &outbox).await;
    assert_eq!(old_reader.events, new_reader.events);

    // The upgrade is taken back: the old one alone.
    assert_eq!(new.stop().await, Some(0));
    write_at(&[&old], &history).await;
    old_reader.read_all(&old, &outbox).await;

    // Restarted on the newer schema, it runs, if it is allowed to: a release that refuses needs the list of migrations changed.
    assert_eq!(old.stop().await, Some(0));
    let restarted = Process::try_of_release(&previous, &url);
    let (old, hidden) = match restarted {
        Ok(old) => (old, Vec::new()),
        Err(log) => {
            assert!(log.contains("the database is newer than this program"), "{log}");
            let hidden = hide_newer(&outbox, &known).await;
            (Process::of_release(&previous, &url), hidden)
        }
    };
    write_at(&[&old], &history).await;
    old_reader.read_all(&old, &outbox).await;

    // Forward again, both at once and then the new one alone.
    for show in hidden {
        outbox.execute_unprepared(&show).await.unwrap();
    }
    let new = Process::start(&database);
    write_at(&[&new, &old], &history).await;
    new_reader.read_all(&new, &outbox).await;
    old_reader.read_all(&old, &outbox).await;
    assert_eq!(old_reader.events, new_reader.events);
    // Nothing lost and nothing doubled, told by the tables and by sending all again.
    assert_durable(&history, &new, &url).await;
    delete_across(&old, &new, "old-to-new").await;
    delete_across(&new, &old, "new-to-old").await;
    assert_totals_right(&url);
    assert_eq!(old.stop().await, Some(0));
    new_reader.read_all(&new, &outbox).await;
    tokio::time::timeout(Duration::from_secs(60), outbox.close()).await.unwrap().unwrap();
    assert_eq!(new.stop().await, Some(0));
    assert_trail(&url, env!("CARGO_BIN_EXE_crm"));
    let schema = run_crm(&["migrate", "status"], &[("CRM_DATABASE_URL", &url)]);
    assert!(schema.code == Some(0) && !schema.stdout.contains("pending"), "{schema:?}");
}
