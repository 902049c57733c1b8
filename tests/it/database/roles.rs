//! The role that the service runs as on PostgreSQL: what it may not do to the audit trail, whatever it tries.

use crm::audit::chain;
use sea_orm::{ConnectionTrait, Database};
use serde_json::Value;

use crate::harness::{
    DAY, PII_KEYS, Process, Service, TestDatabase,
    audit::{assert_intact, create_customers},
    command, on_postgres, run_crm,
    sql::scalar,
};

const DELIVERY: &str = include_str!("../../../delivery/README.md");

/// What a role without rights cannot do to the tables of the trail.
fn of_each_table() -> Vec<String> {
    let mut tried = Vec::new();
    for table in ["audit_logs", "audit_queue", "audit_chain", "audit_heads", "seaql_migrations"] {
        let column = if table == "seaql_migrations" { "version" } else { "tenant_id" };
        tried.extend([
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("DELETE FROM {table} WHERE false"),
            format!("TRUNCATE {table}"),
            format!("SELECT * FROM {table} FOR UPDATE"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("ALTER TABLE {table} RENAME TO away"),
            format!("DROP TABLE {table} CASCADE"),
            format!("CREATE INDEX ON {table} ({column})"),
            format!("ALTER TABLE {table} OWNER TO crm_test_service"),
        ]);
    }
    tried
}

/// What it cannot do around them, and what the function that purges refuses.
fn around_them() -> Vec<String> {
    [
        "INSERT INTO audit_heads VALUES ('x', 1, '', 0, '')",
        "INSERT INTO audit_chain SELECT tenant_id, 9, audit_log_id, '' FROM audit_queue",
        "INSERT INTO audit_logs SELECT * FROM audit_logs ON CONFLICT (tenant_id, audit_log_id) DO UPDATE SET actor = 'x'",
        "INSERT INTO seaql_migrations VALUES ('m20270101_000001_x', 0)",
        "DROP TRIGGER audit_logs_delete ON audit_logs",
        "CREATE OR REPLACE FUNCTION audit_truncate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP FUNCTION audit_purge_entries",
        "ALTER FUNCTION audit_purge_entries SECURITY INVOKER",
        "CREATE TABLE another (id INT)",
        "CREATE SCHEMA another",
        "DROP SCHEMA public CASCADE",
        "SET session_replication_role = replica",
        "SET ROLE postgres",
        "COPY audit_logs FROM '/etc/hosts'",
        // Too early, beyond the chain, and back.
        "SELECT audit_purge_entries('default', 1, now())",
        "SELECT audit_purge_entries('default', 3, 'infinity')",
        "SELECT audit_purge_entries('default', 9, 'infinity')",
        "SELECT audit_purge_entries('default', 0, 'infinity')",
        "SELECT audit_purge_entries('nobody', 1, 'infinity')",
        "SELECT audit_purge_entries(NULL, NULL, NULL)",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What the function that chains refuses.
fn of_the_chain() -> Vec<String> {
    let no_hash = "repeat('a', 64)";
    let entry = "(SELECT array_agg(audit_log_id) FROM audit_queue)";
    let chained = "(SELECT array_agg(audit_log_id) FROM audit_chain WHERE sequence = 1)";
    vec![
        // Behind another head, without a hash, an entry that is chained, one that is not there, none.
        format!("SELECT audit_chain_entries('default', 2, {entry}, ARRAY[{no_hash}])"),
        format!("SELECT audit_chain_entries('default', 3, {entry}, ARRAY['x'])"),
        format!("SELECT audit_chain_entries('default', 3, {entry}, ARRAY[NULL])"),
        format!("SELECT audit_chain_entries('default', 3, {entry}, ARRAY[{no_hash}, {no_hash}])"),
        format!("SELECT audit_chain_entries('default', 3, {chained}, ARRAY[{no_hash}])"),
        format!("SELECT audit_chain_entries('default', 3, ARRAY[gen_random_uuid()], ARRAY[{no_hash}])"),
        "SELECT audit_chain_entries('default', 3, ARRAY[]::uuid[], ARRAY[]::text[])".to_owned(),
    ]
}

#[tokio::test]
async fn the_services_role_can_change_nothing_of_the_audit_trail() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    create_customers(&service, "default", 3).await;
    chain::link_entries(service.app.database()).await.unwrap();
    create_customers(&service, "default", 1).await;
    let role = Database::connect(service.database.service_url()).await.unwrap();
    for sql in [of_each_table(), around_them(), of_the_chain()].concat() {
        let tampered = role.execute_unprepared(&sql).await;
        assert!(tampered.is_err(), "{sql}");
    }
    chain::link_entries(service.app.database()).await.unwrap();
    assert_eq!(assert_intact(&service).await[0].verified, 4);
}

#[tokio::test]
async fn the_purge_function_leaves_no_gap_and_spares_young_entries() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    create_customers(&service, "default", 4).await;
    chain::link_entries(service.app.database()).await.unwrap();
    let (owner, role) =
        (service.database.connect().await, Database::connect(service.database.service_url()).await.unwrap());
    let purge = |through: i32| format!("SELECT audit_purge_entries('default', {through}, 'infinity')");
    // The clock of the database says that they are old, but nothing was purged yet: there is no horizon.
    role.execute_unprepared(&purge(2)).await.unwrap_err();
    let horizon = "INSERT INTO retention_horizon VALUES (1, now(), NULL)";
    role.execute_unprepared(horizon).await.unwrap();
    // One in the middle is young.
    owner.execute_unprepared("ALTER TABLE audit_logs DISABLE TRIGGER ALL").await.unwrap();
    let young = "UPDATE audit_logs SET occurred_at = now() WHERE audit_log_id = \
                 (SELECT audit_log_id FROM audit_chain WHERE sequence = 3)";
    owner.execute_unprepared(young).await.unwrap();
    for through in [3, 4] {
        role.execute_unprepared(&purge(through)).await.unwrap_err();
    }
    // A horizon that is behind keeps what the clock would let go.
    role.execute_unprepared("UPDATE retention_horizon SET horizon = '2026-03-01'").await.unwrap();
    role.execute_unprepared(&purge(2)).await.unwrap_err();
    role.execute_unprepared("UPDATE retention_horizon SET horizon = now()").await.unwrap();
    assert_eq!(scalar::<i64>(&role, &purge(2)).await, 2);
    assert_eq!(scalar::<i64>(&role, "SELECT count(*) FROM audit_logs").await, 2);
    role.execute_unprepared(&purge(2)).await.unwrap_err();
    // One in the middle is missing.
    let missing = "DELETE FROM audit_chain WHERE sequence = 3";
    owner.execute_unprepared("ALTER TABLE audit_chain DISABLE TRIGGER ALL").await.unwrap();
    owner.execute_unprepared(missing).await.unwrap();
    role.execute_unprepared(&purge(4)).await.unwrap_err();
    assert_eq!(scalar::<i64>(&role, "SELECT purged_sequence FROM audit_heads").await, 2);
}

#[tokio::test]
async fn the_recipe_for_two_roles_works_as_it_is_written() {
    if !on_postgres() || std::process::Command::new("psql").arg("--version").output().is_err() {
        return;
    }
    let database = TestDatabase::new().await;
    let (_, recipe) = DELIVERY.split_once("<!-- two roles -->").unwrap();
    let (recipe, _) = recipe.split_once("<!-- end of two roles -->").unwrap();
    let lines: Vec<_> = recipe.lines().filter(|line| line.starts_with("crm migrate ")).collect();
    assert_eq!(lines.len(), 2, "{recipe}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_crm"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display());
    // Twice: what is there already does not hurt.
    for line in lines.iter().chain(&lines) {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-euc", line]).env_clear().envs([("PATH", path.as_str()), ("CRM_MIGRATE_URL", &database.url())]);
        let output = shell.env("CRM_DATABASE_URL", database.service_url()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // The recipe's role has no password here: this one has the same rights.
    database.migrate().await;
    let process = Process::at(&database.service_url(), &[("CRM_MIGRATE", "check")]);
    let mut client = process.client().await;
    let made = client.call("POST", "/customers", "1", &serde_json::json!({ "name": "x" })).await;
    assert_eq!(made.status, 201);
    assert_eq!(process.stop().await, Some(0));
    // What is written at the shutdown is chained.
    let owner = database.connect().await;
    let chained = "SELECT count(*) FROM audit_chain JOIN audit_heads USING (tenant_id) WHERE audit_heads.sequence = 1";
    assert_eq!(scalar::<i64>(&owner, chained).await, 1);
    let verified = run_crm(
        &["audit", "verify"],
        &[("CRM_DATABASE_URL", &database.service_url()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_MIGRATE", "check")],
    );
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
}

#[tokio::test]
async fn checking_the_schema_writes_nothing_as_a_role_that_may_only_read() {
    if !on_postgres() {
        return;
    }
    let database = TestDatabase::new().await;
    // Nothing is there yet, and the role may make nothing.
    let check = [("CRM_DATABASE_URL", &*database.service_url()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_MIGRATE", "check")];
    let output = command(&["serve"], &check).env("CRM_JWT_SECRET", crate::harness::SECRET).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("it lacks the migrations"), "{text}");
    let owner = database.connect().await;
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(scalar::<i64>(&owner, tables).await, 0);
}

#[tokio::test]
async fn entries_are_purged_by_the_services_role_once_they_are_old() {
    let service = Service::start().await;
    create_customers(&service, "default", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();
    crm::background::purge(&service.app).await.unwrap();
    for _ in 0..181 {
        service.advance(DAY);
    }
    assert_eq!(crm::background::purge(&service.app).await.unwrap().entries, 2);
    assert_eq!(service.trail("").await, [] as [Value; 0]);
    assert_intact(&service).await;
}
