//! PostgreSQL: connections, their settings, and errors of the server.

use futures_util::future::join_all;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::json;

use crate::harness::{
    Service, on_postgres, on_server,
    sql::{column, scalar},
};

#[tokio::test]
async fn a_temporary_server_error_is_503_and_can_be_retried() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let database = service.database.connect().await;
    for code in ["08006", "25006", "26000", "53100", "53200", "53300", "57014", "57P01", "57P03", "58030", "XX001"] {
        fail_with(&database, code).await;
        let create = || service.post("/customers", json!({ "name": "x" })).request_id(code);
        let reply = create().send().await.expect(503);
        assert_eq!((&reply.body["code"], reply.header("Retry-After")), (&json!("SERVICE_UNAVAILABLE"), "1"), "{code}");
        database.execute_unprepared("DROP TRIGGER fails ON customers").await.unwrap();
        create().send().await.expect(201);
    }
    // A bug is not unavailability: division by zero.
    fail_with(&database, "22012").await;
    service.post("/customers", json!({ "name": "x" })).send().await.expect(500);
}

/// Makes every insertion of a customer fail with this SQLSTATE.
async fn fail_with(database: &DatabaseConnection, code: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '{code}'; END $$; \
         CREATE TRIGGER fails BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    database.execute_unprepared(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_never_exceed_the_configured_number() {
    if !on_postgres() {
        return;
    }
    let service = Service::with(&[("CRM_DATABASE_CONNECTIONS", "4")]).await;
    let mut options = ConnectOptions::new(service.database.url());
    options.max_connections(1);
    let database = Database::connect(options).await.unwrap();
    let mut most = 0;
    for _ in 0..10 {
        let requests = (0..48).map(|number| match number % 2 {
            0 => service.post("/customers", json!({ "name": "x" })).send(),
            _ => service.get("/customers").send(),
        });
        let looks = async {
            for _ in 0..5 {
                let others = "SELECT count(*) FROM pg_stat_activity \
                              WHERE datname = current_database() AND pid <> pg_backend_pid()";
                most = most.max(scalar::<i64>(&database, others).await);
            }
        };
        let (replies, ()) = futures_util::join!(join_all(requests), looks);
        assert!(replies.iter().all(|reply| reply.status.is_success()));
    }
    assert!((2..=4).contains(&most), "{most} connections");
}

#[tokio::test]
async fn every_reading_session_has_timeouts_and_is_read_only() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let reader = service.app.database().read();
    for (setting, value) in [
        ("statement_timeout", "9s"),
        ("idle_in_transaction_session_timeout", "9s"),
        ("tcp_user_timeout", "9000"),
        ("tcp_keepalives_idle", "9"),
        ("default_transaction_read_only", "on"),
        ("max_parallel_workers_per_gather", "0"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
        ("random_page_cost", "1.1"),
    ] {
        assert_eq!(scalar::<String>(&reader, &format!("SHOW {setting}")).await, value, "{setting}");
    }
}

#[tokio::test]
async fn a_commit_waits_for_the_disk_whatever_the_server_default() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let database = service.database.connect().await;
    // Deferred triggers run during COMMIT.
    let trigger = "CREATE TABLE settings (value TEXT); \
                 CREATE FUNCTION record_setting() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN INSERT INTO settings SELECT current_setting('synchronous_commit'); RETURN NULL; END $$; \
                 CREATE CONSTRAINT TRIGGER records AFTER INSERT ON customers DEFERRABLE INITIALLY DEFERRED \
                 FOR EACH ROW EXECUTE FUNCTION record_setting()";
    database.execute_unprepared(trigger).await.unwrap();
    for setting in ["off", "remote_apply"] {
        // Set for new sessions of this database; present ones are terminated.
        let name = service.database.name().to_owned();
        let sql = format!(
            "ALTER DATABASE {name} SET synchronous_commit = {setting}; SELECT pg_terminate_backend(pid) \
             FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        );
        database.execute_unprepared(&sql).await.unwrap();
        service.customer().await;
    }
    let recorded: Vec<String> = column(&database, "SELECT value FROM settings").await;
    assert_eq!(recorded, ["on", "remote_apply"]);
}

#[tokio::test]
async fn a_revoked_permission_is_503_until_it_is_granted_again() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let database = service.database.connect().await;
    let name = service.database.name().to_owned();
    on_server(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute_unprepared(others).await.unwrap();
    let create = || service.post("/customers", json!({ "name": "x" })).request_id("refused");
    create().send().await.expect(503);
    service.get("/customers").send().await.expect(503);
    on_server(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    create().send().await.expect(201);
    fail_with(&database, "42501").await;
    service.post("/customers", json!({ "name": "x" })).send().await.expect(503);
}

/// What the operators' document names of each kind, between two texts.
fn named(document: &str, from: &str, to: &str, quote: char) -> Vec<String> {
    let part = document.split_once(from).unwrap().1.split_once(to).unwrap().0;
    part.split(quote).skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn tables_that_can_be_distributed_begin_with_the_tenant() {
    if !on_postgres() {
        return;
    }
    let document = include_str!("../../../delivery/README.md");
    let mut distributed = named(document, "unnest(ARRAY[", "]) AS name", '\'');
    let others = named(document, "These do not distribute:", "They stay on the coordinator", '`');
    let service = Service::start().await;
    let database = service.database.connect().await;
    let begins = "SELECT c.relname::text FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid \
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
                  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND i.indisunique \
                  GROUP BY c.oid HAVING bool_and(a.attname = 'tenant_id') ORDER BY 1";
    let single = ["search_builds".to_owned(), "timeline_builds".to_owned()];
    let begin = column::<String>(&database, begins).await;
    distributed.sort();
    assert_eq!(distributed, begin.into_iter().filter(|name| !single.contains(name)).collect::<Vec<_>>());
    let all = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    for table in column::<String>(&database, all).await {
        assert!(distributed.contains(&table) || others.contains(&table), "{table} is not named");
    }
}
