//! The hash chain: whatever is changed, removed or inserted is detected.

use crm::audit::chain::{self, Verdict, verify};
use futures_util::future::join_all;
use proptest::{prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{
    Service,
    audit::{
        FOREIGN_ID, assert_intact, assert_numbered, assert_numbered_by, copy_entry, create_customers, drop_triggers,
    },
    on_postgres,
    sql::uuid_literal,
};

#[tokio::test]
async fn each_tenants_entries_are_numbered_from_1_and_chained_by_hash() {
    let service = Service::start().await;
    for (tenant, count) in [("default", 3), ("other", 2), ("default", 2)] {
        create_customers(&service, tenant, count).await;
        assert_eq!(chain::link_entries(service.app.database()).await.unwrap(), count as u64);
        assert_eq!(chain::link_entries(service.app.database()).await.unwrap(), 0);
    }
    let waiting = |verdicts: &[Verdict]| verdicts.iter().map(|verdict| verdict.waiting).collect::<Vec<_>>();
    create_customers(&service, "other", 1).await;
    let verdicts = assert_intact(&service).await;
    assert_eq!(waiting(&verdicts), [0, 1]);
    assert_eq!(verdicts.iter().map(|verdict| verdict.verified).collect::<Vec<_>>(), [5, 2]);
    assert_numbered(&service, "default", 1..=5).await;
    assert_numbered(&service, "other", 1..=2).await;

    // The documented hash, computed from what the API shows.
    let mut before = String::new();
    for (entry, number) in service.trail("").await.iter().rev().zip(1_i64..) {
        let text = |field: &str| entry[field].clone();
        let instant = chrono::DateTime::parse_from_rfc3339(entry["occurredAt"].as_str().unwrap()).unwrap();
        let changes = json!(entry["changes"].to_string());
        let fields = ["actor", "client", "action", "resourceType", "resourceId", "requestId", "traceId"].map(text);
        let fields: Vec<Value> = fields.into_iter().chain([changes, text("summary")]).collect();
        let (tenant, id) = (text("tenantId"), text("auditLogId"));
        let hashed = json!(["crm audit 1", before, number, tenant, id, instant.timestamp_millis(), fields]);
        let hash: String = Sha256::digest(hashed.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&entry["sequence"], &entry["hash"]), (&json!(number), &json!(hash)));
        before = hash;
    }
    assert_eq!(verdicts[0].head, (5, before));
}

#[tokio::test]
async fn more_than_one_batch_is_chained_and_verified_in_one_run() {
    let service = Service::start().await;
    create_customers(&service, "default", 1).await;
    chain::link_entries(service.app.database()).await.unwrap();
    copy_entry(&service, "default", 1100).await;
    assert_eq!(chain::link_entries(service.app.database()).await.unwrap(), 1100);
    assert_eq!(assert_intact(&service).await[0].verified, 1101);
    let database = service.database.connect().await;
    assert_numbered_by(&database, "default", "sequence", 1..=1101).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_chaining_leaves_one_unbroken_chain_per_tenant() {
    let service = Service::start().await;
    let mut apps = vec![service.app.clone()];
    for number in 1..4 {
        apps.push(service.another_instance(number).await);
    }
    let writing = async {
        for _ in 0..10 {
            let tenants = ["default", "default", "default", "other"];
            let calls = tenants.map(|tenant| service.post("/customers", json!({ "name": "x" })).tenant(tenant).send());
            join_all(calls).await.into_iter().for_each(|reply| drop(reply.expect(201)));
        }
    };
    let chaining = join_all(apps.iter().map(|app| async {
        let mut chained = 0;
        for _ in 0..15 {
            chained += chain::link_entries(app.database()).await.unwrap();
        }
        chained
    }));
    let ((), chained) = futures_util::join!(writing, chaining);
    let rest = chain::link_entries(service.app.database()).await.unwrap();
    assert_eq!(chained.iter().sum::<u64>() + rest, 40);
    let verdicts = assert_intact(&service).await;
    assert_eq!(
        verdicts.iter().map(|verdict| (verdict.verified, verdict.waiting)).collect::<Vec<_>>(),
        [(30, 0), (10, 0)]
    );
    let database = service.database.connect().await;
    for (tenant, count) in [("default", 30), ("other", 10)] {
        assert_numbered_by(&database, tenant, "sequence", 1..=count).await;
    }
    for app in &apps[1..] {
        app.database().close().await.unwrap();
    }
}

/// What an owner of the database can do to a chained trail.
#[derive(Debug, Clone)]
enum Edit {
    /// Sets a column of an entry or of its chain link: the table, the column, the value.
    Set(Index, (&'static str, &'static str, &'static str)),
    /// Removes an entry, its chain link, or both.
    Remove(Position, &'static [&'static str]),
    /// Inserts a copy of an entry without a chain link.
    Copy(Index),
    /// Inserts a copy of an entry with a chain link: its number after the last one, and whether its hash is copied too.
    Append(Index, i64, bool),
    /// Swaps two entries, or their chain links.
    Swap(Index, Index, &'static str),
}

#[derive(Debug, Clone)]
enum Position {
    First,
    Last,
    Any(Index),
}

/// Every column that the chain covers, and another value for it.
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
    let place = prop_oneof![Just(Position::First), Just(Position::Last), any::<Index>().prop_map(Position::Any)];
    let column = (any::<Index>(), prop::sample::select(&COLUMNS[..]));
    let removed = (place, prop::sample::select(&TABLES[..]));
    let appended = (any::<Index>(), prop::sample::select(&[1_i64, 2, -100][..]), any::<bool>());
    let swapped = (any::<Index>(), any::<Index>(), prop::sample::select(&["audit_logs", "audit_chain"][..]));
    prop_oneof![
        4 => column.prop_map(|(entry, what)| Edit::Set(entry, what)),
        3 => removed.prop_map(|(which, from)| Edit::Remove(which, from)),
        1 => any::<Index>().prop_map(Edit::Copy),
        1 => appended.prop_map(|(entry, number, copied)| Edit::Append(entry, number, copied)),
        2 => swapped.prop_map(|(one, other, table)| Edit::Swap(one, other, table)),
    ]
}

/// The number of entries in the edited trail.
const ENTRIES: usize = 24;

impl Edit {
    fn statements(&self) -> Vec<String> {
        let new = uuid_literal(&format!("{FOREIGN_ID}5f0e6d1c2b3a"));
        let later = if on_postgres() {
            "occurred_at + interval '1 millisecond'"
        } else {
            "replace(occurred_at, '.125', '.126')"
        };
        let number = |index: &Index| index.index(ENTRIES) + 1;
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
            Self::Set(entry, (table, column, value)) => {
                let value = value.replace("{new}", &new).replace("{later}", later);
                vec![format!("UPDATE {table} SET {column} = {value} WHERE {}", of(number(entry)))]
            }
            Self::Remove(which, tables) => {
                let number = match which {
                    Position::First => 1,
                    Position::Last => ENTRIES,
                    Position::Any(index) => number(index),
                };
                tables.iter().map(|table| format!("DELETE FROM {table} WHERE {}", of(number))).collect()
            }
            Self::Copy(entry) => vec![copy(number(entry))],
            Self::Append(entry, beyond, copied) => {
                let number = number(entry);
                let hash = if *copied { "hash".to_owned() } else { format!("'{}'", "0".repeat(64)) };
                let link = format!(
                    "INSERT INTO audit_chain (tenant_id, sequence, audit_log_id, hash) \
                     SELECT tenant_id, {ENTRIES} + {beyond}, {new}, {hash} FROM saved_chain WHERE {}",
                    of(number)
                );
                vec![copy(number), link]
            }
            Self::Swap(one, other, table) => {
                let one = number(one);
                let other = if number(other) == one { one % ENTRIES + 1 } else { number(other) };
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

#[tokio::test]
async fn each_of_100_random_edits_of_the_trail_is_detected() {
    let service = Service::start().await;
    for number in 0..ENTRIES / 2 {
        let claims = if number % 2 == 0 { json!({ "client_id": "erp" }) } else { json!({}) };
        let made = service.post("/customers", json!({ "name": "x" })).claims(claims).send().await.expect(201);
        let path = format!("/customers/{}", made.body["customerId"].as_str().unwrap());
        service.patch(&path, json!({ "name": "y" })).send().await.expect(200);
    }
    create_customers(&service, "other", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();
    let database = service.database.connect().await;
    drop_triggers(&database).await;
    let tables = ["logs", "chain"];
    for table in tables {
        database
            .execute_unprepared(&format!("CREATE TABLE saved_{table} AS SELECT * FROM audit_{table}"))
            .await
            .unwrap();
    }
    let clean = assert_intact(&service).await;

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
        assert!(found > 0, "{round}: {edit:?} was not detected");
        for table in tables {
            let restore = format!("DELETE FROM audit_{table}; INSERT INTO audit_{table} SELECT * FROM saved_{table}");
            database.execute_unprepared(&restore).await.unwrap();
        }
        assert_eq!(assert_intact(&service).await, clean, "{round}");
    }
    assert_eq!(kinds.len(), 5, "not every kind of edit was tried");
}

#[tokio::test]
async fn edits_of_chain_heads_and_of_the_queue_are_detected() {
    let service = Service::start().await;
    create_customers(&service, "default", 3).await;
    chain::link_entries(service.app.database()).await.unwrap();
    create_customers(&service, "default", 1).await;
    let database = service.database.connect().await;
    drop_triggers(&database).await;
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
        assert_intact(&service).await;
    }
    database
        .execute_unprepared("DELETE FROM audit_logs WHERE audit_log_id IN (SELECT audit_log_id FROM audit_queue)")
        .await
        .unwrap();
    let verdicts = verify(service.app.database()).await.unwrap();
    assert!(verdicts[0].faults[0].contains("was removed before it was chained"), "{verdicts:?}");
}
