//! `crm seed`: invented customers in a database that stays.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use crate::harness::{AMPLE, PII_KEYS, TestDatabase, collector::Collector, command, run_crm, signal};

async fn number(connection: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// A database that is up to date, and what `crm seed` needs to find it.
async fn prepared(database: &TestDatabase) -> Vec<(&'static str, String)> {
    crm::database::migrate::up(&database.parsed_url(), None, AMPLE).await.unwrap();
    vec![("CRM_DATABASE_URL", database.url()), ("CRM_PII_KEYS", PII_KEYS.to_owned())]
}

#[tokio::test]
async fn seed_writes_customers_like_anybodys_and_only_what_is_missing() {
    let database = TestDatabase::new().await;
    let owned = prepared(&database).await;
    // Limits and verifiers that are meant for others are not in its way.
    let mut variables: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend([("CRM_CALLER_RATE", "1/m"), ("CRM_OIDC_ISSUER", "https://id.example"), ("CRM_TENANCY", "token")]);
    let seed = |customers: &str| run_crm(&["seed", "--customers", customers, "--tenant", "acme"], &variables);
    let connection = database.connect().await;
    for (asked, there) in [("40", 40), ("40", 40), ("70", 70), ("10", 70)] {
        let output = seed(asked);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
        assert!(output.stdout.contains(&format!("{asked} customers of the tenant acme are there")), "{output:?}");
        let count = number(&connection, "SELECT count(*) FROM customers WHERE tenant_id = 'acme'").await;
        assert_eq!(count, there, "after {asked}");
    }
    // Each has its entry in the trail, its event and sealed values; and nothing was refused.
    for (sql, expected) in [
        ("SELECT count(*) FROM audit_logs WHERE resource_type = 'customer' AND action = 'create'", 70),
        ("SELECT count(*) FROM outbox WHERE event_type = 'crm.customer.created'", 70),
        ("SELECT count(*) FROM customers WHERE contact_phone LIKE '*1:%'", 70),
        ("SELECT count(*) FROM audit_logs WHERE action = 'refuse'", 0),
        ("SELECT count(*) FROM customers WHERE tenant_id <> 'acme'", 0),
    ] {
        assert_eq!(number(&connection, sql).await, expected, "{sql}");
    }
    for table in ["contacts", "opportunities", "follow_ups"] {
        assert!(number(&connection, &format!("SELECT count(*) FROM {table}")).await > 70, "{table}");
    }
    let wrong = run_crm(&["seed", "--customers", "1", "--tenant", "a b"], &variables);
    assert!(wrong.code == Some(1) && wrong.error().starts_with("--tenant must be"), "{wrong:?}");
}

#[tokio::test]
async fn the_spans_of_seed_arrive_up_to_its_end() {
    let (database, collector) = (TestDatabase::new().await, Collector::start().await);
    let mut owned = prepared(&database).await;
    owned.push(("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()));
    // Later than it ends.
    owned.push(("OTEL_BSP_SCHEDULE_DELAY", "600000".to_owned()));
    let arguments = ["seed", "--customers", "3"];
    let seeding = tokio::task::spawn_blocking(move || {
        let variables: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run_crm(&arguments, &variables)
    });
    let output = seeding.await.unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(collector.named("POST /customers").len(), 3);
}

#[tokio::test]
async fn seed_that_is_interrupted_or_killed_goes_on_where_it_was() {
    let database = TestDatabase::sqlite();
    let owned = prepared(&database).await;
    let variables: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let connection = database.connect().await;
    for name in ["-INT", "-KILL", "-TERM"] {
        let before = number(&connection, "SELECT count(*) FROM customers").await;
        let arguments = ["seed", "--customers", "3000"];
        let mut child = command(&arguments, &variables).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while number(&connection, "SELECT count(*) FROM customers").await < before + 40 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        signal(name, child.id());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said: Vec<String> = stderr.lines().map(Result::unwrap).collect();
        let code = child.wait().unwrap().code();
        match name {
            "-KILL" => assert_eq!(code, None),
            _ => {
                assert_eq!((code, said.len()), (Some(1), 1), "{said:?}");
                assert!(said[0].starts_with("crm: interrupted; "), "{said:?}");
            }
        }
    }
    let there = number(&connection, "SELECT count(*) FROM customers").await;
    let output = run_crm(&["seed", "--customers", &there.to_string()], &variables);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    // No customer stands twice, and none was left with a part of its history.
    assert_eq!(number(&connection, "SELECT count(*) FROM customers").await, there);
    let names = number(&connection, "SELECT count(DISTINCT name) FROM customers").await;
    assert_eq!(names, there);
    let anew = TestDatabase::sqlite();
    let owned = prepared(&anew).await;
    let variables: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(run_crm(&["seed", "--customers", &there.to_string()], &variables).code, Some(0));
    let at_once = anew.connect().await;
    for table in ["contacts", "opportunities", "follow_ups", "audit_logs", "outbox"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(number(&connection, &count).await, number(&at_once, &count).await, "{table}");
    }
}
