//! The chain: what nobody can change, remove or slip into the trail unseen.

use std::ops::RangeInclusive;

use crm::audit::chain::{Verdict, verify};
use futures_util::future::join_all;
use proptest::{prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{FAR, Service, on_postgres};

/// The verdicts, which find nothing wrong.
pub async fn sound(service: &Service) -> Vec<Verdict> {
    let verdicts = verify(service.app.database()).await.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
    verdicts
}

/// Fails unless the tenant's numbers are these, without a gap, on the entries in the order of their ids.
pub async fn numbered(service: &Service, tenant: &str, numbers: RangeInclusive<i64>) {
    numbered_by(&service.database.connect().await, tenant, "audit_log_id", numbers).await;
}

async fn numbered_by(database: &DatabaseConnection, tenant: &str, order: &str, numbers: RangeInclusive<i64>) {
    let sql = format!("SELECT sequence FROM audit_chain WHERE tenant_id = '{tenant}' ORDER BY {order}");
    let rows = database.query_all_raw(Statement::from_string(database.get_database_backend(), sql)).await.unwrap();
    let found: Vec<i64> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    assert_eq!(found, numbers.collect::<Vec<_>>(), "{tenant}");
}

/// Makes so many customers in the tenant, whatever the clock says.
pub async fn customers(service: &Service, tenant: &str, count: usize) {
    for _ in 0..count {
        let call = service.post("/customers", json!({ "name": "x" })).tenant(tenant);
        call.claims(json!({ "exp": FAR })).send().await.expect(201);
    }
}

#[tokio::test]
async fn each_tenants_entries_are_numbered_from_1_and_chained_by_hash() {
    let service = Service::start().await;
    for (tenant, count) in [("default", 3), ("other", 2), ("default", 2)] {
        customers(&service, tenant, count).await;
        assert_eq!(service.app.chain_audit_entries().await.unwrap(), count as u64);
        assert_eq!(service.app.chain_audit_entries().await.unwrap(), 0);
    }
    let waiting = |verdicts: &[Verdict]| verdicts.iter().map(|verdict| verdict.waiting).collect::<Vec<_>>();
    customers(&service, "other", 1).await;
    let verdicts = sound(&service).await;
    assert_eq!(waiting(&verdicts), [0, 1]);
    assert_eq!(verdicts.iter().map(|verdict| verdict.verified).collect::<Vec<_>>(), [5, 2]);
    numbered(&service, "default", 1..=5).await;
    numbered(&service, "other", 1..=2).await;

    // The hash as the chain's documentation says it, computed from what the API shows.
    let mut before = String::new();
    for (entry, number) in service.trail("").await.iter().rev().zip(1_i64..) {
        let text = |field: &str| entry[field].clone();
        let instant = chrono::DateTime::parse_from_rfc3339(entry["occurredAt"].as_str().unwrap()).unwrap();
        let changes = json!(entry["changes"].to_string());
        let what = ["actor", "client", "action", "resourceType", "resourceId", "requestId", "traceId"].map(text);
        let what: Vec<Value> = what.into_iter().chain([changes, text("summary")]).collect();
        let (tenant, id) = (text("tenantId"), text("auditLogId"));
        let hashed = json!(["crm audit 1", before, number, tenant, id, instant.timestamp_millis(), what]);
        let hash: String = Sha256::digest(hashed.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&entry["sequence"], &entry["hash"]), (&json!(number), &json!(hash)));
        before = hash;
    }
    assert_eq!(verdicts[0].head, (5, before));
}

/// Puts so many entries of the tenant into the trail and the queue that are like the one it has.
pub async fn many(service: &Service, tenant: &str, count: usize) {
    let database = service.database.connect().await;
    let id =
        |number| if on_postgres() { format!("'{ID}{number:012x}'") } else { format!("x'{}{number:012x}'", bare(ID)) };
    let places: Vec<String> = (0..count).map(|number| format!("('{tenant}', {})", id(number))).collect();
    let places = format!("INSERT INTO audit_queue (tenant_id, audit_log_id) VALUES {}", places.join(", "));
    let others = "actor, client, action, resource_type, resource_id, request_id, trace_id, changes, summary";
    let entries = format!(
        "INSERT INTO audit_logs (tenant_id, audit_log_id, occurred_at, {others}) \
         SELECT q.tenant_id, q.audit_log_id, occurred_at, {others} FROM audit_queue q \
         JOIN (SELECT * FROM audit_logs WHERE tenant_id = '{tenant}') l ON l.audit_log_id <> q.audit_log_id"
    );
    for sql in [places, entries] {
        assert_eq!(database.execute_unprepared(&sql).await.unwrap().rows_affected(), count as u64);
    }
}

/// How an id begins that no test makes.
const ID: &str = "019aa5c8-7d40-7c1e-b3a2-";

/// An id as SQLite stores it.
fn bare(id: &str) -> String {
    id.replace('-', "")
}

#[tokio::test]
async fn more_entries_than_a_batch_are_chained_and_verified_in_one_go() {
    let service = Service::start().await;
    customers(&service, "default", 1).await;
    service.app.chain_audit_entries().await.unwrap();
    many(&service, "default", 1100).await;
    assert_eq!(service.app.chain_audit_entries().await.unwrap(), 1100);
    assert_eq!(sound(&service).await[0].verified, 1101);
    let database = service.database.connect().await;
    numbered_by(&database, "default", "sequence", 1..=1101).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_chain_at_once_while_a_tenant_writes_leave_one_unbroken_chain() {
    let service = Service::start().await;
    let mut apps = vec![service.app.clone()];
    for number in 1..4 {
        apps.push(service.beside(number).await);
    }
    let writing = async {
        for _ in 0..10 {
            let tenants = ["default", "default", "default", "other"];
            let calls = tenants.map(|tenant| service.post("/customers", json!({ "name": "x" })).tenant(tenant).send());
            join_all(calls).await.into_iter().for_each(|reply| drop(reply.expect(201)));
        }
    };
    let chaining = join_all(apps.iter().map(|app| async {
        let mut linked = 0;
        for _ in 0..15 {
            linked += app.chain_audit_entries().await.unwrap();
        }
        linked
    }));
    let ((), linked) = futures_util::join!(writing, chaining);
    let rest = service.app.chain_audit_entries().await.unwrap();
    assert_eq!(linked.iter().sum::<u64>() + rest, 40);
    let verdicts = sound(&service).await;
    assert_eq!(
        verdicts.iter().map(|verdict| (verdict.verified, verdict.waiting)).collect::<Vec<_>>(),
        [(30, 0), (10, 0)]
    );
    let database = service.database.connect().await;
    for (tenant, count) in [("default", 30), ("other", 10)] {
        numbered_by(&database, tenant, "sequence", 1..=count).await;
    }
    for app in &apps[1..] {
        app.database().close().await.unwrap();
    }
}

/// What somebody who owns the database does to a sealed trail.
#[derive(Debug, Clone)]
enum Edit {
    /// One column of an entry or of its link: the table, the column, its new value.
    Column(Index, (&'static str, &'static str, &'static str)),
    /// An entry goes, its link, or both.
    Removed(Place, &'static [&'static str]),
    /// A copy of an entry, under an id of its own, in the entries alone.
    Copied(Index),
    /// A copy of an entry with a link: its number beyond the last one, its hash.
    Appended(Index, i64, bool),
    /// Two entries change places: in the entries, or in the chain.
    Swapped(Index, Index, &'static str),
}

/// Which entry.
#[derive(Debug, Clone)]
enum Place {
    First,
    Last,
    Any(Index),
}

/// Every column that is sealed, and another value for it.
const COLUMNS: [(&str, &str, &str); 15] = [
    ("audit_logs", "tenant_id", "'elsewhere'"),
    ("audit_logs", "audit_log_id", "{new}"),
    ("audit_logs", "occurred_at", "{later}"),
    ("audit_logs", "actor", "actor || 'x'"),
    ("audit_logs", "client", "CASE WHEN client IS NULL THEN '' END"),
    ("audit_logs", "action", "CASE action WHEN 'create' THEN 'update' ELSE 'create' END"),
    ("audit_logs", "resource_type", "CASE WHEN resource_type IS NULL THEN 'contact' END"),
    ("audit_logs", "resource_id", "CASE WHEN resource_id IS NULL THEN {new} END"),
    ("audit_logs", "request_id", "request_id || ' '"),
    ("audit_logs", "trace_id", "'x' || substr(trace_id, 2)"),
    ("audit_logs", "changes", "changes || ' '"),
    ("audit_logs", "summary", "summary || '.'"),
    ("audit_chain", "hash", "'x' || substr(hash, 2)"),
    ("audit_chain", "sequence", "sequence + 1000"),
    ("audit_chain", "audit_log_id", "{new}"),
];

/// Where an entry may be removed from.
const TABLES: [&[&str]; 3] = [&["audit_logs"], &["audit_chain"], &["audit_logs", "audit_chain"]];

fn edits() -> impl Strategy<Value = Edit> {
    let place = prop_oneof![Just(Place::First), Just(Place::Last), any::<Index>().prop_map(Place::Any)];
    let column = (any::<Index>(), prop::sample::select(&COLUMNS[..]));
    let removed = (place, prop::sample::select(&TABLES[..]));
    let appended = (any::<Index>(), prop::sample::select(&[1_i64, 2, -100][..]), any::<bool>());
    let swapped = (any::<Index>(), any::<Index>(), prop::sample::select(&["audit_logs", "audit_chain"][..]));
    prop_oneof![
        4 => column.prop_map(|(entry, what)| Edit::Column(entry, what)),
        3 => removed.prop_map(|(which, from)| Edit::Removed(which, from)),
        1 => any::<Index>().prop_map(Edit::Copied),
        1 => appended.prop_map(|(entry, number, copied)| Edit::Appended(entry, number, copied)),
        2 => swapped.prop_map(|(one, other, table)| Edit::Swapped(one, other, table)),
    ]
}

/// How many entries the trail has that is edited.
const SEALED: usize = 24;

impl Edit {
    /// The statements that make it.
    fn statements(&self) -> Vec<String> {
        let new = format!("{ID}5f0e6d1c2b3a");
        let new = if on_postgres() { format!("CAST('{new}' AS uuid)") } else { format!("x'{}'", bare(&new)) };
        let later = if on_postgres() {
            "occurred_at + interval '1 millisecond'"
        } else {
            "replace(occurred_at, '.125', '.126')"
        };
        let number = |index: &Index| index.index(SEALED) + 1;
        let id = |number: usize| {
            format!("(SELECT audit_log_id FROM saved_chain WHERE tenant_id = 'default' AND sequence = {number})")
        };
        let of = |number: usize| format!("tenant_id = 'default' AND audit_log_id = {}", id(number));
        let copy = |number: usize| {
            let others = "actor, client, action, resource_type, resource_id, request_id, trace_id, changes, summary";
            format!(
                "INSERT INTO audit_logs (tenant_id, audit_log_id, occurred_at, {others}) \
                 SELECT tenant_id, {new}, occurred_at, {others} FROM saved_logs WHERE {}",
                of(number)
            )
        };
        match self {
            Self::Column(entry, (table, column, value)) => {
                let value = value.replace("{new}", &new).replace("{later}", later);
                vec![format!("UPDATE {table} SET {column} = {value} WHERE {}", of(number(entry)))]
            }
            Self::Removed(which, tables) => {
                let number = match which {
                    Place::First => 1,
                    Place::Last => SEALED,
                    Place::Any(index) => number(index),
                };
                tables.iter().map(|table| format!("DELETE FROM {table} WHERE {}", of(number))).collect()
            }
            Self::Copied(entry) => vec![copy(number(entry))],
            Self::Appended(entry, beyond, copied) => {
                let number = number(entry);
                let hash = if *copied { "hash".to_owned() } else { format!("'{}'", "0".repeat(64)) };
                let link = format!(
                    "INSERT INTO audit_chain (tenant_id, sequence, audit_log_id, hash) \
                     SELECT tenant_id, {SEALED} + {beyond}, {new}, {hash} FROM saved_chain WHERE {}",
                    of(number)
                );
                vec![copy(number), link]
            }
            Self::Swapped(one, other, table) => {
                let one = number(one);
                let other = if number(other) == one { one % SEALED + 1 } else { number(other) };
                let set = |from: &str, to: &str| {
                    format!(
                        "UPDATE {table} SET audit_log_id = {to} WHERE tenant_id = 'default' AND audit_log_id = {from}"
                    )
                };
                vec![set(&id(one), &new), set(&id(other), &id(one)), set(&new, &id(other))]
            }
        }
    }
}

/// Takes the triggers out of the way, as an owner of the database can.
pub async fn unguard(database: &DatabaseConnection) {
    for table in ["audit_logs", "audit_chain", "audit_heads"] {
        let events: &[&str] = if table == "audit_heads" { &["delete", "update"] } else { &["update", "delete"] };
        if on_postgres() {
            database.execute_unprepared(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await.unwrap();
            continue;
        }
        for event in events {
            database.execute_unprepared(&format!("DROP TRIGGER {table}_{event}")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn of_100_random_edits_of_a_sealed_trail_every_one_is_found() {
    let service = Service::start().await;
    for number in 0..SEALED / 2 {
        let claims = if number % 2 == 0 { json!({ "client_id": "erp" }) } else { json!({}) };
        let made = service.post("/customers", json!({ "name": "x" })).claims(claims).send().await.expect(201);
        let path = format!("/customers/{}", made.body["customerId"].as_str().unwrap());
        service.patch(&path, json!({ "name": "y" })).send().await.expect(200);
    }
    customers(&service, "other", 2).await;
    service.app.chain_audit_entries().await.unwrap();
    let database = service.database.connect().await;
    unguard(&database).await;
    let tables = ["logs", "chain"];
    for table in tables {
        database
            .execute_unprepared(&format!("CREATE TABLE saved_{table} AS SELECT * FROM audit_{table}"))
            .await
            .unwrap();
    }
    let clean = sound(&service).await;

    let (mut runner, edits) = (TestRunner::deterministic(), edits());
    let mut kinds = std::collections::HashSet::new();
    for round in 0..100 {
        let edit = edits.new_tree(&mut runner).unwrap().current();
        kinds.insert(std::mem::discriminant(&edit));
        for sql in edit.statements() {
            let done = database.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(done.rows_affected(), 1, "{round}: {edit:?} did nothing: {sql}");
        }
        let verdicts = verify(service.app.database()).await.unwrap();
        let found: usize = verdicts.iter().map(|verdict| verdict.faults.len()).sum();
        assert!(found > 0, "{round}: {edit:?} was not found");
        for table in tables {
            let restore = format!("DELETE FROM audit_{table}; INSERT INTO audit_{table} SELECT * FROM saved_{table}");
            database.execute_unprepared(&restore).await.unwrap();
        }
        assert_eq!(sound(&service).await, clean, "{round}");
    }
    assert_eq!(kinds.len(), 5, "an edit of each kind");
}

#[tokio::test]
async fn a_head_that_is_moved_back_or_gone_and_a_queue_that_lost_a_place_are_found() {
    let service = Service::start().await;
    customers(&service, "default", 3).await;
    service.app.chain_audit_entries().await.unwrap();
    customers(&service, "default", 1).await;
    let database = service.database.connect().await;
    unguard(&database).await;
    for (edit, undo) in [
        ("UPDATE audit_heads SET sequence = 2", "UPDATE audit_heads SET sequence = 3"),
        (
            "CREATE TABLE saved AS SELECT * FROM audit_heads; UPDATE audit_heads SET hash = 'x'",
            "UPDATE audit_heads SET hash = (SELECT hash FROM saved); DROP TABLE saved",
        ),
        ("UPDATE audit_heads SET purged_sequence = 1", "UPDATE audit_heads SET purged_sequence = 0"),
        ("UPDATE audit_heads SET purged_hash = 'x'", "UPDATE audit_heads SET purged_hash = ''"),
        (
            "CREATE TABLE saved AS SELECT * FROM audit_heads; DELETE FROM audit_heads",
            "INSERT INTO audit_heads SELECT * FROM saved; DROP TABLE saved",
        ),
        (
            "CREATE TABLE saved AS SELECT * FROM audit_queue; DELETE FROM audit_queue",
            "INSERT INTO audit_queue SELECT * FROM saved; DROP TABLE saved",
        ),
        (
            "INSERT INTO audit_queue SELECT tenant_id, audit_log_id FROM audit_chain WHERE sequence = 2",
            "DELETE FROM audit_queue WHERE audit_log_id IN (SELECT audit_log_id FROM audit_chain)",
        ),
    ] {
        database.execute_unprepared(edit).await.unwrap();
        let verdicts = verify(service.app.database()).await.unwrap();
        assert!(verdicts.iter().any(|verdict| !verdict.faults.is_empty()), "{edit}");
        database.execute_unprepared(undo).await.unwrap();
        sound(&service).await;
    }
    database
        .execute_unprepared("DELETE FROM audit_logs WHERE audit_log_id IN (SELECT audit_log_id FROM audit_queue)")
        .await
        .unwrap();
    let verdicts = verify(service.app.database()).await.unwrap();
    assert!(verdicts[0].faults[0].contains("was removed before it was chained"), "{verdicts:?}");
}
