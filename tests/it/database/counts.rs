//! The counters of lists: beside each other, after an upgrade, at any size, and when somebody has changed them.

use std::time::{Duration, Instant};

use crm::database::{
    Database,
    counts::{check::mend, fold},
    migrate,
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{
    AMPLE, CommandOutput, PII_KEYS, Service, TestDatabase,
    counts::{assert_right, wrong},
    id as id_of, median, on_postgres, run_crm,
    sql::{new_id, numbers, rows, scalar, uuid_literal},
};

fn doctor(database: &TestDatabase, arguments: &[&str]) -> CommandOutput {
    let variables = [("CRM_DATABASE_URL", &*database.service_url()), ("CRM_PII_KEYS", PII_KEYS)];
    run_crm(&[&["doctor", "counts"], arguments].concat(), &variables)
}

/// Two customers with contacts, an opportunity and follow-ups.
async fn populate(service: &Service) -> [String; 2] {
    let customers = [service.customer().await, service.customer().await];
    for customer in &customers {
        service.contact(customer).await;
        service.contact(customer).await;
        let opportunity = service.opportunity(customer).await;
        service.follow_up(json!({ "content": "x", "opportunityId": opportunity })).await;
        service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    }
    customers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_customer_and_two_that_fold_leave_exact_totals() {
    if !on_postgres() {
        return;
    }
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let service = Service::start().await;
    let other = service.another_instance(2).await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let write = async |writer: usize| {
        for number in 0..EACH {
            let body = json!({ "content": "x", "opportunityId": opportunity });
            let follow_up = service.post("/follow-ups", body).send_unchecked().await.expect(201).body;
            let path = format!("/follow-ups/{}", follow_up["followUpId"].as_str().unwrap());
            match (writer + number) % 4 {
                0 => drop(service.delete(&path).send_unchecked().await.expect(204)),
                1 => drop(service.patch(&path, json!({ "opportunityId": null })).send_unchecked().await.expect(200)),
                _ => {}
            }
        }
    };
    let writing = join_all((0..WRITERS).map(write));
    let folding = async {
        loop {
            let folds = [fold::fold(service.app.database(), None), fold::fold(other.database(), None)];
            for folded in join_all(folds).await {
                folded.unwrap();
            }
        }
    };
    tokio::select! {
        _ = writing => {}
        () = folding => {}
    }
    assert_right(service.app.database()).await;
    let total = async |filter: &str| service.read(&format!("/follow-ups?page=99{filter}")).await["total"].clone();
    let all = WRITERS * EACH;
    assert_eq!(total("").await, all - all / 4);
    assert_eq!(total(&format!("&customerId={customer}")).await, all - all / 4);
    assert_eq!(total(&format!("&opportunityId={opportunity}")).await, all / 2);
    fold::fold(service.app.database(), None).await.unwrap();
    assert_eq!(fold::changes(service.app.database(), None).await.unwrap(), 0);
    assert_right(service.app.database()).await;
    assert_eq!(total("").await, all - all / 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_waits_for_no_other_of_its_tenant_nor_for_folding() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let customer = service.customer().await;
    let connections = [service.database.connect().await, service.database.connect().await];
    let insert = |table: &str, id: &str, columns: &str, values: String| {
        format!(
            "SET LOCAL lock_timeout = '5s'; INSERT INTO {table} (tenant_id, {id}, created_at, updated_at, {columns}) \
             VALUES ('default', gen_random_uuid(), now(), now(), {values})"
        )
    };
    let mut open = Vec::new();
    for connection in &connections {
        let transaction = connection.begin().await.unwrap();
        let more = insert("customers", "customer_id", "name, status", "'x', 0".to_owned());
        transaction.execute_unprepared(&more).await.unwrap();
        let of = format!("'{customer}', 'x', false");
        let more = insert("contacts", "contact_id", "customer_id, name, is_primary", of);
        transaction.execute_unprepared(&more).await.unwrap();
        let began = Instant::now();
        fold::fold(service.app.database(), None).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        open.push(transaction);
    }
    // Nobody sees what is not committed; the first to begin is the last to end.
    assert_eq!(service.read("/contacts?page=2").await["total"], 0);
    service.contact(&customer).await;
    while let Some(transaction) = open.pop() {
        transaction.commit().await.unwrap();
        assert_right(service.app.database()).await;
        fold::fold(service.app.database(), None).await.unwrap();
        assert_right(service.app.database()).await;
    }
    assert_eq!(service.read("/customers?page=2").await["total"], 3);
    assert_eq!(service.read(&format!("/contacts?page=2&customerId={customer}")).await["total"], 3);
}

#[tokio::test]
async fn the_migration_counts_what_is_there() {
    let service = Service::start().await;
    populate(&service).await;
    let gone = service.customer().await;
    service.contact(&gone).await;
    service.delete(&format!("/customers/{gone}")).send().await.expect(204);
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    fold::fold(service.app.database(), None).await.unwrap();
    let connection = service.database.connect().await;
    let kept = async || -> Vec<(String, String, Uuid, i64)> {
        let all = "SELECT tenant_id, list, owner_id, count FROM list_counts ORDER BY tenant_id, list, owner_id";
        let row = |row: &sea_orm::QueryResult| {
            let text = |at| row.try_get_by_index(at).unwrap();
            (text(0), text(1), row.try_get_by_index(2).unwrap(), row.try_get_by_index(3).unwrap())
        };
        rows(&connection, all).await.iter().map(row).collect()
    };
    let before = kept().await;
    assert_eq!(before.len(), 14, "{before:#?}");
    // Back to the schema before the counters, and forward again.
    let url = service.database.parsed_url();
    let migrations = migrate::status(&url).await.unwrap();
    let behind = migrations.iter().rev().position(|step| step.name.ends_with("_list_counts")).unwrap();
    migrate::down(&url, u32::try_from(behind + 1).unwrap(), AMPLE).await.unwrap();
    migrate::up(&url, None, AMPLE).await.unwrap();
    assert_eq!(kept().await, before);
    assert_right(service.app.database()).await;
}

#[tokio::test]
async fn the_doctor_finds_and_mends_what_somebody_has_changed() {
    let service = Service::start().await;
    let [customer, _] = populate(&service).await;
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let right = doctor(&service.database, &[]);
    assert_eq!(right.code, Some(0), "{right:?}");
    assert_eq!(right.stdout, "the totals of the lists of 2 tenants are right\n");
    fold::fold(service.app.database(), None).await.unwrap();
    let connection = service.database.connect().await;
    for change in [
        "UPDATE list_counts SET count = 70 WHERE list = 'customers' AND tenant_id = 'default'".to_owned(),
        "UPDATE list_counts SET count = 1 WHERE list = 'contacts'".to_owned(),
        "DELETE FROM list_counts WHERE list = 'follow_ups_of_customer'".to_owned(),
        format!(
            "INSERT INTO list_counts SELECT 'gone', list, {}, 9 FROM list_counts WHERE list LIKE '%_of_opportunity'",
            new_id()
        ),
    ] {
        assert!(connection.execute_unprepared(&change).await.unwrap().rows_affected() > 0, "{change}");
    }
    assert_eq!(service.read("/customers?page=2").await["total"], 70);
    // Changes go on.
    service.contact(&customer).await;

    for _ in 0..2 {
        let found = doctor(&service.database, &[]);
        assert_eq!(found.code, Some(1), "{found:?}");
        assert_eq!(found.stdout.lines().count(), 6, "{found:?}");
        let line = "tenant default, customers: the total is kept as 70, and counting says 2\n";
        assert!(found.stdout.contains(line), "{found:?}");
        assert!(found.stderr.contains("6 totals of the lists of 3 tenants are wrong"), "{found:?}");
    }
    let mended = doctor(&service.database, &["--mend"]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    assert!(mended.stdout.ends_with("6 totals of the lists of 3 tenants were wrong and are mended\n"), "{mended:?}");
    assert_eq!(doctor(&service.database, &[]).code, Some(0));
    assert_eq!(service.read("/customers?page=2").await["total"], 2);
    let total = service.read(&format!("/contacts?page=2&customerId={customer}")).await["total"].clone();
    assert_eq!(total, 3);
    fold::fold(service.app.database(), None).await.unwrap();
    assert_right(service.app.database()).await;
    let of_nobody = "SELECT count(*) FROM list_counts WHERE tenant_id = 'gone'";
    assert_eq!(scalar::<i64>(&connection, of_nobody).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_is_mended_exactly_while_others_write_and_mend() {
    let service = Service::start().await;
    let other = service.another_instance(2).await;
    let customer = service.customer().await;
    let connection = service.database.connect().await;
    for _round in 0..5 {
        fold::fold(service.app.database(), None).await.unwrap();
        let change = "UPDATE list_counts SET count = count + 5";
        assert!(connection.execute_unprepared(change).await.unwrap().rows_affected() > 0);
        let differences = wrong(service.app.database()).await;
        assert!(!differences.is_empty());
        let write = async || {
            for _ in 0..5 {
                service.contact(&customer).await;
            }
        };
        let mending = async |database: &Database| {
            for difference in &differences {
                mend(database, difference).await.unwrap();
            }
        };
        let (one, two) = (mending(service.app.database()), mending(other.database()));
        tokio::join!(write(), one, two, write());
        assert_right(service.app.database()).await;
    }
    assert_eq!(service.read("/contacts?page=9").await["total"], 50);
}

/// A list of 100 times as many rows costs the same, but for the noise of a busy machine; also while something is deleted and
/// its rows are not removed yet.
#[tokio::test]
async fn a_page_of_a_large_list_costs_what_one_of_a_small_one_does() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let (id, at) = (new_id(), "'2026-01-01 00:00:00.000+00:00'");
    for (tenant, count) in [("small", 1_000), ("large", 100_000)] {
        let customer = service.post("/customers", json!({ "name": "x" })).tenant(tenant).send().await.expect(201);
        let customer = uuid_literal(&id_of(&customer.body, "customerId"));
        let n = numbers(count);
        for fill in [
            format!(
                "INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at, version) \
                 SELECT '{tenant}', {id}, 'x', 0, {at}, {at}, 1 FROM ({n}) AS n"
            ),
            format!(
                "INSERT INTO contacts (tenant_id, contact_id, customer_id, name, is_primary, created_at, updated_at, version) \
                 SELECT '{tenant}', {id}, {customer}, 'x', FALSE, {at}, {at}, 1 FROM ({n}) AS n"
            ),
            format!(
                "INSERT INTO deletions (tenant_id, resource_id, resource_type, deleted_at, actor, request_id, trace_id) \
                 SELECT tenant_id, contact_id, 'contact', created_at, 'x', 'x', 'x' FROM contacts \
                 WHERE tenant_id = '{tenant}' LIMIT 10"
            ),
        ] {
            connection.execute_unprepared(&fill).await.unwrap();
            // As autovacuum would within a minute: without statistics, PostgreSQL checks a reference by any index that begins with
            // the tenant.
            connection.execute_unprepared("ANALYZE").await.unwrap();
        }
    }
    fold::fold(service.app.database(), None).await.unwrap();
    let read = async |tenant: &str, path: &str, total: i64| {
        let page = service.get(path).tenant(tenant).send_unchecked().await.expect(200).body;
        assert_eq!(page["total"], total, "{path}");
    };
    let first = async |tenant: &str| {
        let page = service.get("/customers?pageSize=1").tenant(tenant).send().await.expect(200).body;
        id_of(&page["data"][0], "customerId")
    };
    let filters = [first("small").await, first("large").await].map(|id| format!("/contacts?customerId={id}"));
    for [small, large, hidden] in [["/customers"; 3], ["/contacts"; 3], [&*filters[0], &*filters[1], "/contacts"]] {
        let hidden = if hidden == "/contacts" { 10 } else { -1 };
        let mut ratios = Vec::new();
        for _ in 0..5 {
            let one = median(async || read("small", small, 1_000 - hidden).await).await;
            let other = median(async || read("large", large, 100_000 - hidden).await).await;
            ratios.push(other.as_secs_f64() / one.as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        assert!(ratios[2] < 5.0, "{small}: {ratios:?}");
    }
}
