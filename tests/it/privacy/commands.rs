//! `crm privacy`, beside the running service and without it.

use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use super::erasure::events;
use crate::harness::{
    CommandOutput, PII_KEYS, SECRET, Service, TestDatabase,
    audit::assert_intact,
    id, run_crm,
    sql::{column, scalar},
};

fn crm(database: &TestDatabase, arguments: &[&str]) -> CommandOutput {
    let url = database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_JWT_SECRET", SECRET)];
    run_crm(arguments, &variables)
}

async fn filled_customer(service: &Service, tenant: &str) -> String {
    let body = json!({ "name": "Li Lei", "contactPhone": "13812345678", "contactEmail": "li@lei.example" });
    let made = service.post("/customers", body).tenant(tenant).send().await.expect(201).body;
    let customer = id(&made, "customerId");
    for (list, body) in [
        ("/contacts", json!({ "customerId": customer, "name": "Li Lei", "phone": "13812345678" })),
        ("/opportunities", json!({ "customerId": customer, "title": "Licence" })),
        ("/follow-ups", json!({ "customerId": customer, "content": "Li Lei called" })),
    ] {
        service.post(list, body).tenant(tenant).send().await.expect(201);
    }
    customer
}

#[tokio::test]
async fn a_deleted_customer_is_erased_from_what_is_left_of_it() {
    let service = Service::start().await;
    // Of one the rows are still there, of the other they are gone.
    for is_removed in [false, true] {
        let customer = filled_customer(&service, "default").await;
        service.delete(&format!("/customers/{customer}")).send().await.expect(204);
        if is_removed {
            service.remove_deleted().await;
        }
        let arguments = ["privacy", "erase", "--tenant", "default", "--customer", &customer, "--follow-ups"];
        let output = crm(&service.database, &arguments);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let counts =
            if is_removed { "0 customers, 0 contacts, 0 follow-ups" } else { "1 customers, 1 contacts, 1 follow-ups" };
        assert!(output.stdout.contains(counts), "{}", output.stdout);
        service.remove_deleted().await;
        let events = events(&service).await;
        assert!(!json!(events).to_string().contains("Li Lei"), "{events:?}");
        let deleted = events.iter().filter(|event| event["eventType"].as_str().unwrap().ends_with(".deleted"));
        assert_eq!(deleted.count(), if is_removed { 8 } else { 4 });
        let path = format!("/customers/{customer}/erasure");
        assert_eq!(service.read(&path).await["actor"], "operator");
        let again = crm(&service.database, &arguments);
        assert_eq!(again.stdout, output.stdout, "{}", again.stderr);
    }
    let nobody = crm(&service.database, &["privacy", "erase", "--tenant", "default", "--customer", "x"]);
    assert_ne!(nobody.code, Some(0));
}

/// How many rows of the tenant each table has that names tenants.
async fn rows_of(connection: &DatabaseConnection, tenant: &str) -> Vec<(String, i64)> {
    let tables = match crate::harness::on_postgres() {
        true => "SELECT table_name::text FROM information_schema.columns WHERE column_name = 'tenant_id' ORDER BY 1",
        false => {
            "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ON c.name = 'tenant_id' \
             WHERE m.type = 'table' ORDER BY 1"
        }
    };
    let mut rows = Vec::new();
    for table in column::<String>(connection, tables).await {
        let count = format!("SELECT count(*) FROM {table} WHERE tenant_id = '{tenant}'");
        rows.push((table, scalar(connection, &count).await));
    }
    rows
}

#[tokio::test]
async fn of_a_tenant_that_leaves_only_the_trail_stays() {
    let service = Service::start().await;
    let (leaving, staying) = (filled_customer(&service, "leaving").await, filled_customer(&service, "staying").await);
    let erasure = format!("/customers/{leaving}/erasure");
    service.post(&erasure, json!({})).tenant("leaving").send().await.expect(201);
    let gone = filled_customer(&service, "leaving").await;
    service.delete(&format!("/customers/{gone}")).tenant("leaving").send().await.expect(204);
    events(&service).await;
    // Events without a position yet.
    filled_customer(&service, "leaving").await;
    let connection = service.database.connect().await;
    let before = rows_of(&connection, "staying").await;

    let output = crm(&service.database, &["privacy", "erase", "--tenant", "leaving", "--all"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.starts_with("all that is kept of the tenant leaving is going to be deleted: "),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("the audit trail stays"), "{}", output.stdout);

    for (table, count) in rows_of(&connection, "leaving").await {
        assert!(count == 0 || table.starts_with("audit_"), "{table} has {count} rows");
    }
    assert_eq!(rows_of(&connection, "staying").await, before);
    service.get(&format!("/customers/{staying}")).tenant("staying").send().await.expect(200);
    service.get(&format!("/customers/{leaving}")).tenant("leaving").send().await.expect(404);
    let trail = service.get("/audit-logs?action=delete&pageSize=1").tenant("leaving").send().await.expect(200).body;
    assert!(trail["data"][0]["summary"].as_str().unwrap().starts_with("erased the tenant: "), "{trail}");
    assert_intact(&service).await;
    // It may come back, as a new one.
    let feed = async || -> Value {
        crm::events::outbox::assign_positions(service.app.database()).await.unwrap();
        service.get("/events").tenant("leaving").send().await.expect(200).body
    };
    assert_eq!(feed().await["data"], json!([]));
    filled_customer(&service, "leaving").await;
    let feed = feed().await;
    assert_eq!((feed["data"].as_array().unwrap().len(), &feed["gaps"]), (4, &json!([])));
}

#[tokio::test]
async fn a_tenant_that_still_writes_is_erased_as_far_as_it_goes() {
    let service = Service::start().await;
    let customer = filled_customer(&service, "leaving").await;
    // After the contacts are gone, one is made again: the customer cannot go in this pass.
    let connection = service.database.connect().await;
    let trigger = match crate::harness::on_postgres() {
        true => {
            "CREATE FUNCTION write_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO contacts SELECT * FROM kept; RETURN NULL; END $$; \
             CREATE TRIGGER write_on AFTER DELETE ON opportunities FOR EACH ROW EXECUTE FUNCTION write_on()"
        }
        false => {
            "CREATE TRIGGER write_on AFTER DELETE ON opportunities BEGIN INSERT INTO contacts SELECT * FROM kept; END"
        }
    };
    connection.execute_unprepared("CREATE TABLE kept AS SELECT * FROM contacts").await.unwrap();
    connection.execute_unprepared(trigger).await.unwrap();
    let output = crm(&service.database, &["privacy", "erase", "--tenant", "leaving", "--all", "--yes"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    service.get(&format!("/customers/{customer}")).tenant("leaving").send().await.expect(404);
    for (table, count) in rows_of(&connection, "leaving").await {
        assert!(count == 0 || table.starts_with("audit_") || table == "kept", "{table} has {count} rows");
    }
    let trail = service.get("/audit-logs?action=delete&pageSize=1").tenant("leaving").send().await.expect(200).body;
    assert!(trail["data"][0]["summary"].as_str().unwrap().starts_with("erased the tenant: "), "{trail}");
}
