//! Upgrades of the blind indexes: rows that the release before has written are found, and are indexed anew while it runs on.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crm::{
    app::App,
    background::Background,
    pii::reindex::{self, Damage, Pass, Step},
    service::resources::{owned_tables, pii_tables, searched_tables},
};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};
use sha2::Sha256;

use super::spellings::encoded;
use crate::harness::{
    Client, Log, PII_KEYS, Process, Service, TestDatabase, fields, id, on_postgres,
    sql::{column, scalar, uuid_literal},
    within,
};

const IN_CLEAR: &[(&str, &str)] = &[("CRM_PII_ENCRYPTION", "off")];
/// Phone number and e-mail address, with the one form that the release before had of each.
const VALUES: [[&str; 4]; 3] = [
    ["+1-608-271-9000-x11", "+16082719000x11", "mail2@köln.de", "mail2@köln.de"],
    ["010-12345678 ext 801", "+861012345678x801", "ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"],
    ["13812345678", "+8613812345678", "Alice@Example.com", "alice@example.com"],
];
/// What found each of them before, and what finds it only once it is indexed anew.
const BEFORE: [[&str; 2]; 3] = [
    ["contactPhone=%2B16082719000x11", "contactEmail=MAIL2@k%C3%B6ln.de"],
    ["contactPhone=01012345678x801", "contactEmail=%CE%A3%CE%8A%CE%A3%CE%A5%CE%A6%CE%9F%CE%A3@EXAMPLE.com"],
    ["contactPhone=%2B8613812345678", "contactEmail=ALICE@example.COM"],
];
const AFTER: [[&str; 2]; 2] = [
    ["contactPhone=%2B16082719000", "contactEmail=mail2@xn--kln-sna.de"],
    ["contactPhone=01012345678", "contactEmail=%CF%83%CE%AF%CF%83%CF%85%CF%86%CE%BF%CF%83@example.com"],
];

/// The blind index of this form, computed apart from the service.
fn blind_index(column: &str, form: &str) -> String {
    let key: [u8; 32] = {
        let encoded = PII_KEYS.split_once(':').unwrap().1;
        base64::engine::general_purpose::STANDARD.decode(encoded).unwrap().try_into().unwrap()
    };
    let derive = |hkdf: &Hkdf<Sha256>, info: &[u8]| {
        let mut key = [0; 32];
        hkdf.expand(info, &mut key).unwrap();
        key
    };
    let of_indexes = derive(&Hkdf::new(None, &key), b"crm pii index");
    let of_tenant = derive(&Hkdf::from_prk(&of_indexes).unwrap(), b"default");
    let mut mac = Hmac::<Sha256>::new_from_slice(&of_tenant).unwrap();
    mac.update(format!("customers\0{column}\0{form}").as_bytes());
    URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])
}

/// A service with a customer for each of the [`VALUES`], as the release before would have stored it.
async fn service_of_the_release_before(variables: &[(&str, &str)]) -> (Service, DatabaseConnection, Vec<String>) {
    let service = Service::with(variables).await;
    let connection = service.database.connect().await;
    let mut ids = Vec::new();
    for [phone, phone_form, email, email_form] in VALUES {
        let body = json!({ "name": "x", "contactPhone": phone, "contactEmail": email });
        let customer = id(&service.create("/customers", body).await, "customerId");
        let stored = |column: &str, form: &str| match variables {
            [] => blind_index(column, form),
            _ => form.to_owned(),
        };
        let (phone, email) = (stored("contact_phone", phone_form), stored("contact_email", email_form));
        let former = format!(
            "UPDATE customers SET contact_phone_index = '{phone}', contact_email_index = '{email}', \
             contact_phone_indexed = NULL, contact_phone_base_index = NULL, contact_email_indexed = NULL \
             WHERE customer_id = {}",
            uuid_literal(&customer)
        );
        assert_eq!(connection.execute_unprepared(&former).await.unwrap().rows_affected(), 1);
        ids.push(customer);
    }
    (service, connection, ids)
}

async fn found(service: &Service, query: &str) -> Vec<String> {
    let list = service.read(&format!("/customers?pageSize=100&{query}")).await;
    fields(&list, "customerId").into_iter().map(str::to_owned).collect()
}

/// Indexes anew until nothing is left; how many rows.
async fn reindexed(app: &App) -> u64 {
    let (mut pass, mut rows) = (Pass::default(), 0);
    while let Step::Indexed(more) = step(app, &mut pass).await {
        rows += more;
    }
    rows
}

async fn step(app: &App, pass: &mut Pass) -> Step {
    reindex::step(app.database(), app.cipher(), &pii_tables(), pass).await.unwrap()
}

const LEFT: &str = "SELECT COUNT(*) FROM customers WHERE contact_phone_indexed IS DISTINCT FROM contact_phone_index \
                    OR contact_email_indexed IS DISTINCT FROM contact_email_index";

#[tokio::test]
async fn rows_of_the_release_before_are_found_before_and_after() {
    for variables in [&[][..], IN_CLEAR] {
        let (service, connection, ids) = service_of_the_release_before(variables).await;
        let before = service.read("/customers").await;
        for (customer, queries) in ids.iter().zip(BEFORE) {
            for query in queries {
                assert_eq!(found(&service, query).await, std::slice::from_ref(customer), "before: {query}");
            }
        }
        let sealed = "SELECT contact_phone || contact_email || version FROM customers ORDER BY customer_id";
        let sealed_before: Vec<String> = column(&connection, sealed).await;
        let entries: i64 = scalar(&connection, "SELECT COUNT(*) FROM audit_logs").await;
        let events: i64 = scalar(&connection, "SELECT COUNT(*) FROM outbox").await;
        assert_eq!(reindexed(&service.app).await, 3);
        assert_eq!(reindexed(&service.app).await, 0);
        assert_eq!(scalar::<i64>(&connection, LEFT).await, 0);
        for (customer, queries) in ids.iter().zip(BEFORE).chain(ids.iter().zip(AFTER)) {
            for query in queries {
                assert_eq!(found(&service, query).await, std::slice::from_ref(customer), "after: {query}");
            }
        }
        // Only the indexes are others: no value is sealed anew, no row changed, nothing told.
        assert_eq!(service.read("/customers").await, before);
        assert_eq!(column::<String>(&connection, sealed).await, sealed_before);
        assert_eq!(scalar::<i64>(&connection, "SELECT COUNT(*) FROM outbox").await, events);
        service.app.audit_queue().flush(service.app.database()).await.unwrap();
        let changes = "SELECT COUNT(*) FROM audit_logs WHERE action <> 'read'";
        assert_eq!(scalar::<i64>(&connection, changes).await, entries);
    }
}

#[tokio::test]
async fn the_release_before_still_finds_values_in_usual_spellings() {
    let (service, connection, ids) = service_of_the_release_before(&[]).await;
    reindexed(&service.app).await;
    // It looks for its own form in the column that it knows.
    let of_usual = format!(
        "SELECT COUNT(*) FROM customers WHERE contact_phone_index = '{}' AND contact_email_index = '{}' AND customer_id = {}",
        blind_index("contact_phone", VALUES[2][1]),
        blind_index("contact_email", VALUES[2][3]),
        uuid_literal(&ids[2])
    );
    assert_eq!(scalar::<i64>(&connection, &of_usual).await, 1);
}

#[tokio::test]
async fn what_the_release_before_changes_is_noticed() {
    let (service, connection, ids) = service_of_the_release_before(IN_CLEAR).await;
    reindexed(&service.app).await;
    let base = "contactPhone=%2B16082719000";
    assert_eq!(found(&service, base).await, std::slice::from_ref(&ids[0]));
    let changed = async |set: &str| {
        let update = format!("UPDATE customers SET {set} WHERE customer_id = {}", uuid_literal(&ids[0]));
        assert_eq!(connection.execute_unprepared(&update).await.unwrap().rows_affected(), 1);
    };
    // It changes the number, and does not know the other columns.
    changed("contact_phone = '+1 212 555 0100 x7', contact_phone_index = '+12125550100x7'").await;
    assert_eq!(found(&service, base).await, Vec::<String>::new(), "a former number finds nothing");
    assert_eq!(found(&service, "contactPhone=%2B12125550100x7").await, std::slice::from_ref(&ids[0]));
    assert_eq!(reindexed(&service.app).await, 1);
    assert_eq!(found(&service, "contactPhone=%2B12125550100").await, std::slice::from_ref(&ids[0]));
    assert_eq!(found(&service, base).await, Vec::<String>::new());

    // It erases the row, or takes the number out of it.
    changed("contact_phone = NULL, contact_phone_index = NULL").await;
    assert_eq!(found(&service, "contactPhone=%2B12125550100").await, Vec::<String>::new());
    assert_eq!(reindexed(&service.app).await, 1);
    let left = "SELECT COUNT(*) FROM customers WHERE contact_phone IS NULL \
                AND (contact_phone_indexed IS NOT NULL OR contact_phone_base_index IS NOT NULL)";
    assert_eq!(scalar::<i64>(&connection, left).await, 0);
    assert_eq!(scalar::<i64>(&connection, LEFT).await, 0);
}

#[tokio::test]
async fn an_erasure_leaves_nothing_that_a_value_is_found_by() {
    let service = Service::start().await;
    let body = json!({ "name": "x", "contactPhone": VALUES[0][0], "contactEmail": VALUES[0][2] });
    let customer = id(&service.create("/customers", body).await, "customerId");
    let body = json!({ "customerId": customer, "name": "x", "phone": VALUES[0][0], "email": VALUES[0][2] });
    service.create("/contacts", body).await;
    let connection = service.database.connect().await;
    let columns =
        ["phone", "phone_index", "phone_indexed", "phone_base_index", "email", "email_index", "email_indexed"];
    let held = async |table: &str, prefix: &str| {
        let conditions = columns.map(|column| format!("{prefix}{column} IS NOT NULL"));
        let mut held = Vec::new();
        for condition in conditions {
            held.push(scalar::<i64>(&connection, &format!("SELECT COUNT(*) FROM {table} WHERE {condition}")).await);
        }
        held
    };
    assert_eq!(held("customers", "contact_").await, [1; 7]);
    assert_eq!(held("contacts", "").await, [1; 7]);
    service.post(&format!("/customers/{customer}/erasure"), json!({})).send().await.expect(201);
    assert_eq!(held("customers", "contact_").await, [0; 7]);
    assert_eq!(held("contacts", "").await, [0; 7]);
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_no_other_from_being_indexed() {
    let (service, connection, ids) = service_of_the_release_before(&[]).await;
    let damage =
        format!("UPDATE customers SET contact_phone = '*1:test:x' WHERE customer_id = {}", uuid_literal(&ids[0]));
    connection.execute_unprepared(&damage).await.unwrap();
    assert_eq!(reindexed(&service.app).await, 3, "its address is indexed");
    assert_eq!(scalar::<i64>(&connection, LEFT).await, 1);
    assert_eq!(found(&service, AFTER[1][0]).await, std::slice::from_ref(&ids[1]));
    let mut pass = Pass::default();
    assert_eq!(step(&service.app, &mut pass).await, Step::Indexed(0));
    let first = format!("customers.contact_phone of row {} of tenant default", ids[0]);
    assert_eq!(step(&service.app, &mut pass).await, Step::Done(Damage { rows: 1, first: Some(first) }));
    assert_eq!(reindex::left(service.app.database(), &pii_tables(), 10).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_open_is_told_once_and_holds_up_nothing() {
    let (service, connection, ids) = service_of_the_release_before(&[]).await;
    let log = Log::of_this_process("warn");
    let damage =
        format!("UPDATE customers SET contact_phone = '*1:test:x' WHERE customer_id = {}", uuid_literal(&ids[0]));
    connection.execute_unprepared(&damage).await.unwrap();
    let background = Background::start(&service.app, pii_tables(), searched_tables(), owned_tables());
    let message = "phone numbers or e-mail addresses do not open and are not indexed anew";
    within(30, "the damage is told", async || !log.saying(message).is_empty()).await;
    // By now it rests. A row of the release before is picked up all the same.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let former =
        format!("UPDATE customers SET contact_phone_indexed = NULL WHERE customer_id = {}", uuid_literal(&ids[2]));
    connection.execute_unprepared(&former).await.unwrap();
    assert_eq!(scalar::<i64>(&connection, LEFT).await, 2);
    within(15, "a later row is indexed", async || scalar::<i64>(&connection, LEFT).await == 1).await;
    let told = log.saying(message);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["rows"], &told[0]["level"]), (&json!(1), &json!("WARN")));
    let first = told[0]["first"].as_str().unwrap();
    assert_eq!(first, format!("customers.contact_phone of row {} of tenant default", ids[0]));
    background.finish().await.unwrap();
}

/// What releases before accepted, as they stored it with the form that it was found by, and what finds it now.
const ONCE_ACCEPTED: [[&str; 4]; 9] = [
    ["contact_email", "a\u{200b}b@c.de", "a\u{200b}b@c.de", "ab@c.de"],
    ["contact_email", "b@c\u{ad}d.de", "b@c\u{ad}d.de", "B@cd.de"],
    ["contact_email", "X@my_host.com", "x@my_host.com", "x@MY_host.com"],
    ["contact_email", "w@ab--cd.com", "w@ab--cd.com", "W@ab--cd.com"],
    ["contact_email", "n\u{fdd0}@c.de", "n\u{fdd0}@c.de", "N\u{fdd0}@c.de"],
    ["contact_phone", "---", "", "---"],
    ["contact_phone", "13800000000/13900000000", "1380000000013900000000", "13800000000 / 13900000000"],
    ["contact_phone", "021-6666-8888-12", "+862166668888", "02166668888"],
    ["contact_phone", "010-12345678-801", "+8601012345678801", "+861012345678x801"],
];

#[tokio::test]
async fn what_may_be_stored_no_more_is_found_once_indexed() {
    let service = Service::with(IN_CLEAR).await;
    let connection = service.database.connect().await;
    for [field, stored, form, _] in ONCE_ACCEPTED {
        let customer = service.customer().await;
        let update = format!(
            "UPDATE customers SET {field} = '{stored}', {field}_index = '{form}' WHERE customer_id = {}",
            uuid_literal(&customer)
        );
        assert_eq!(connection.execute_unprepared(&update).await.unwrap().rows_affected(), 1);
    }
    assert_eq!(reindexed(&service.app).await, ONCE_ACCEPTED.len() as u64);
    for [field, stored, _, searched] in ONCE_ACCEPTED {
        let parameter = if field == "contact_phone" { "contactPhone" } else { "contactEmail" };
        for spelling in [stored, searched] {
            let total = total(&service, &format!("{parameter}={}", encoded(spelling))).await;
            assert_eq!(total, 1, "stored {stored:?}, searched {spelling:?}");
        }
    }
    assert_eq!(total(&service, "contactPhone=phone").await, 0);
}

/// Multiplies the customers of [`service_of_the_release_before`], whose values are in clear.
async fn multiply(connection: &DatabaseConnection, times: u32) {
    let (new_id, numbers) = if on_postgres() {
        ("gen_random_uuid()", format!("SELECT number FROM generate_series(1, {times}) AS number"))
    } else {
        let numbers = "WITH RECURSIVE n(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < ";
        ("randomblob(16)", format!("{numbers}{times}) SELECT number FROM n"))
    };
    let columns = "contact_phone, contact_phone_index, contact_email, contact_email_index, name, status, created_at, \
                   updated_at, version, tenant_id";
    let copy = format!(
        "INSERT INTO customers (customer_id, {columns}) SELECT {new_id}, {columns} FROM customers, ({numbers}) AS numbers"
    );
    connection.execute_unprepared(&copy).await.unwrap();
}

async fn total(service: &Service, query: &str) -> Value {
    service.read(&format!("/customers?pageSize=1&{query}")).await["total"].clone()
}

#[tokio::test]
async fn a_pass_that_is_cut_off_is_taken_up_by_whoever_comes() {
    let (service, connection, _) = service_of_the_release_before(IN_CLEAR).await;
    multiply(&connection, 200).await;
    assert_eq!(scalar::<i64>(&connection, LEFT).await, 603);
    let assert_found = async || {
        for query in BEFORE.concat() {
            assert_eq!(total(&service, query).await, 201, "{query}");
        }
    };
    assert_found().await;
    let mut pass = Pass::default();
    for _ in 0..2 {
        assert_eq!(step(&service.app, &mut pass).await, Step::Indexed(100));
        assert_found().await;
    }
    assert_eq!(scalar::<i64>(&connection, LEFT).await, 403);
    let (one, two) = (reindexed(&service.app), reindexed(&service.app));
    let (one, two) = tokio::join!(one, two);
    assert_eq!(one + two, 403, "{one} and {two}");
    assert_found().await;
    for query in AFTER.concat() {
        assert_eq!(total(&service, query).await, 201, "{query}");
    }
    assert_eq!(scalar::<i64>(&connection, LEFT).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_goes_on_when_it_is_started_again() {
    let (service, connection, _) = service_of_the_release_before(IN_CLEAR).await;
    service.app.database().close().await.unwrap();
    let database: TestDatabase = service.database;
    multiply(&connection, 1_500).await;
    let all: i64 = 3 * 1_501;
    assert_eq!(scalar::<i64>(&connection, LEFT).await, all);
    let variables = [("CRM_PII_ENCRYPTION", "off"), ("CRM_PII_DISPLAY", "clear")];
    let start = || Process::with("serve", "serving", &database, &variables);
    let assert_found = async |client: &mut Client, queries: &[&str]| {
        for query in queries {
            let list = client.get(&format!("/customers?pageSize=1&{query}")).await;
            assert_eq!(list.body["total"], 1_501, "{query}: {}", list.body);
        }
    };
    let mut killed = start();
    within(30, "some rows are indexed", async || scalar::<i64>(&connection, LEFT).await < all).await;
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let left: i64 = scalar(&connection, LEFT).await;
    assert!(left > 0 && left < all, "{left} of {all} rows are left");

    let (one, another) = (start(), start());
    let (mut client, mut other) = (one.client().await, another.client().await);
    let mut looks = 0;
    within(60, "all rows are indexed", async || {
        assert_found(&mut client, &BEFORE.concat()).await;
        assert_found(&mut other, &BEFORE.concat()).await;
        looks += 1;
        scalar::<i64>(&connection, LEFT).await == 0
    })
    .await;
    assert!(looks > 0);
    assert_found(&mut client, &AFTER.concat()).await;
    // A row that the release before writes now is noticed too.
    let former = "UPDATE customers SET contact_phone_index = '+1608', contact_phone = '+1 608'";
    let one_row = if on_postgres() {
        "ctid = (SELECT MIN(ctid) FROM customers)"
    } else {
        "rowid = (SELECT MIN(rowid) FROM customers)"
    };
    connection.execute_unprepared(&format!("{former} WHERE {one_row}")).await.unwrap();
    within(30, "a later row is indexed", async || scalar::<i64>(&connection, LEFT).await == 0).await;
    assert_eq!((one.stop().await, another.stop().await), (Some(0), Some(0)));
}

#[tokio::test]
async fn what_is_to_be_indexed_is_found_by_an_index() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    for table in pii_tables() {
        let fields: Vec<String> =
            table.columns.iter().map(|field| format!("({} IS DISTINCT FROM {})", field.indexed, field.index)).collect();
        let query = format!(
            "SELECT * FROM {table} WHERE ({any}) AND (tenant_id, {id}) > ('a', {value}) ORDER BY tenant_id, {id} LIMIT 100",
            table = table.name,
            any = fields.join(" OR "),
            id = table.id,
            value = uuid_literal("019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a"),
        );
        let plan = crate::harness::sql::plan(&connection, &query).await;
        assert!(plan.contains(&format!("{}_unindexed", table.name)), "{plan}");
    }
}
