//! Key rotation: values stored under old keys, or in clear, are encrypted with the current key while the service runs.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crm::{
    pii::{
        PiiField,
        key_registry::{self, KeyError},
        rotate::{self, Report},
    },
    service::resources::pii_tables,
};
use futures_util::future::join_all;
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};

use crate::harness::{
    CommandOutput, Service, StoredPii, TestDatabase, command, fields, id, on_postgres, run_crm,
    sql::{column, scalar},
    stored_bytes,
};

const A: &str = "a:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
const B: &str = "b:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=";
const A_ONLY: &[(&str, &str)] = &[("CRM_PII_KEYS", A)];
const B_ONLY: &[(&str, &str)] = &[("CRM_PII_KEYS", B)];
const BOTH: &[(&str, &str)] = &[(
    "CRM_PII_KEYS",
    "b:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=,a:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=",
)];
const IN_CLEAR: &[(&str, &str)] = &[("CRM_PII_ENCRYPTION", "off")];

fn phone(number: usize) -> String {
    format!("139{number:08}")
}

fn email(number: usize) -> String {
    format!("mailbox{number}@example.com")
}

/// Creates customers, every tenth with a contact, and returns their ids.
async fn create_customers(service: &Service, customers: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for first in (0..customers).step_by(64) {
        let made = (first..customers.min(first + 64)).map(|number| async move {
            let body = json!({ "name": "x", "contactPhone": phone(number), "contactEmail": email(number) });
            let made = service.post("/customers", body).send_unchecked().await.expect(201).body;
            let customer = id(&made, "customerId");
            if number % 10 == 0 {
                let body =
                    json!({ "customerId": customer, "name": "x", "phone": phone(number), "email": email(number) });
                service.post("/contacts", body).send_unchecked().await.expect(201);
            }
            customer
        });
        ids.extend(join_all(made).await);
    }
    ids
}

/// Starts the service again on its database, a minute later and with other variables.
async fn restarted(service: Service, variables: &[(&str, &str)]) -> Service {
    let service = Service::on(stopped(service).await, variables).await;
    // Ids count from the clock, and must not repeat.
    service.advance(60_000);
    service
}

async fn stopped(service: Service) -> TestDatabase {
    service.app.database().close().await.unwrap();
    service.database
}

/// Rotates in this process, while the service runs.
async fn rotated(service: &Service) -> Report {
    let (config, database) = (service.app.config(), service.app.database());
    let vault = Arc::new(key_registry::open(config, database, service.app.now()).await.unwrap());
    rotate::run(database, &vault, &pii_tables(), false, &|_, _| {}).await.unwrap()
}

/// Rotates with `crm keys rotate`.
fn rotate_by_command(database: &TestDatabase, variables: &[(&str, &str)]) -> CommandOutput {
    let url = database.url();
    let mut all = vec![("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", B)];
    all.retain(|(name, _)| variables.iter().all(|(given, _)| given != name));
    all.extend(variables);
    run_crm(&["keys", "rotate"], &all)
}

/// Why a service with these variables would not start on the database.
async fn refusal(service: &Service, variables: &[(&str, &str)]) -> Option<KeyError> {
    let url = service.database.url();
    let get = |name: &str| {
        let given = variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        given.or_else(|| (name == "CRM_DATABASE_URL").then(|| url.clone()))
    };
    let config = crm::config::Config::read(&get).0.unwrap();
    key_registry::open(&config, service.app.database(), service.app.now()).await.err()
}

/// How many stored values have this prefix, and how many do not.
async fn count_by_prefix(connection: &DatabaseConnection, prefix: &str) -> (i64, i64) {
    let (mut with, mut without) = (0, 0);
    for PiiField { table, name: column, .. } in pii_tables().into_iter().flat_map(|table| table.columns) {
        for (comparison, count) in [("=", &mut with), ("<>", &mut without)] {
            let length = prefix.len();
            let sql =
                format!("SELECT COUNT(*) FROM {table} WHERE substr({column}, 1, {length}) {comparison} '{prefix}'");
            *count += scalar::<i64>(connection, &sql).await;
        }
    }
    (with, without)
}

/// The first page of each list.
async fn shown(service: &Service) -> [Value; 2] {
    let mut lists = [service.read("/customers?pageSize=100").await, service.read("/contacts?pageSize=100").await];
    for list in &mut lists {
        // Sealed with the key of the day.
        list["nextCursor"].take();
    }
    lists
}

async fn finds(service: &Service, number: usize) -> Vec<String> {
    let by_phone = service.read(&format!("/customers?contactPhone=%2B86{}", phone(number))).await;
    let by_email = service.read(&format!("/customers?contactEmail={}", email(number).to_uppercase())).await;
    assert_eq!(by_phone, by_email);
    fields(&by_phone, "customerId").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn after_rotation_the_old_key_is_no_longer_needed() {
    let service = Service::with(A_ONLY).await;
    let ids = create_customers(&service, 30).await;
    let before = shown(&service).await;
    let connection = service.database.connect().await;
    let entries = || scalar::<i64>(&connection, "SELECT COUNT(*) FROM audit_logs");
    let entries_before = entries().await;
    assert!(matches!(refusal(&service, B_ONLY).await, Some(KeyError::Missing(key)) if key == "a"));

    let service = restarted(service, BOTH).await;
    assert_eq!(shown(&service).await, before);
    assert_eq!(finds(&service, 7).await, [ids[7].clone()]);
    let body = json!({ "name": "x", "contactPhone": "110" });
    let created =
        id(&service.post("/customers", body).request_id("under-b").send().await.expect(201).body, "customerId");
    let value = StoredPii::new("customers", "contact_phone", &created);
    assert!(value.read(&connection).await.unwrap().starts_with("*1:b:"));
    service.delete(&value.path()).send().await.expect(204);
    service.remove_deleted().await;
    let entries_between = entries().await;

    let (report, ()) = tokio::join!(rotated(&service), async {
        for _ in 0..10 {
            assert_eq!(shown(&service).await, before);
        }
    });
    assert_eq!(report, Report { rows: 33, left: vec![("a".to_owned(), 0)], ..Report::default() });
    assert_eq!(count_by_prefix(&connection, "*1:b:").await, (66, 0));
    assert_eq!(shown(&service).await, before);
    assert_eq!(finds(&service, 7).await, [ids[7].clone()]);
    assert_eq!(entries().await, entries_between, "the rotation left entries");
    assert_ne!(entries_between, entries_before);
    assert_eq!(rotated(&service).await, Report::default());

    let service = restarted(service, B_ONLY).await;
    assert_eq!(shown(&service).await, before);
    assert_eq!(finds(&service, 7).await, [ids[7].clone()]);
    assert!(matches!(refusal(&service, A_ONLY).await, Some(KeyError::Missing(key)) if key == "b"));
}

#[tokio::test]
async fn a_clear_database_is_encrypted_and_no_clear_text_remains() {
    let service = Service::with(IN_CLEAR).await;
    create_customers(&service, 300).await;
    let before = shown(&service).await;
    let connection = service.database.connect().await;
    assert_eq!(count_by_prefix(&connection, "*").await.0, 0);
    let in_clear = |bytes: &[u8]| {
        let holds = |part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
        (0..300).step_by(37).filter(|number| holds(&phone(*number)) || holds(&email(*number))).count()
    };
    assert_eq!(in_clear(&stored_bytes(&service.database).await), 9);

    connection.close().await.unwrap();
    let database = stopped(service).await;
    let output = rotate_by_command(&database, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("330 rows are stored anew (b)"), "{output:?}");
    assert!(output.stdout.contains("(clear): nothing is left"), "{output:?}");
    let bytes = stored_bytes(&database).await;
    assert_eq!(in_clear(&bytes), 0);
    for clear in [b"+8613900000".as_slice(), b"13900000", b"mailbox", b"MAILBOX"] {
        assert!(!bytes.windows(clear.len()).any(|window| window == clear), "{}", String::from_utf8_lossy(clear));
    }

    let service = Service::on(database, B_ONLY).await;
    assert_eq!(shown(&service).await, before);
    let connection = service.database.connect().await;
    let value = StoredPii::new("customers", "contact_phone", before[0]["data"][0]["customerId"].as_str().unwrap());
    value.write(&connection, "13900001111").await;
    service.get(&value.path()).send().await.expect(500);
}

#[tokio::test]
async fn encryption_can_be_reverted() {
    let service = Service::with(B_ONLY).await;
    let ids = create_customers(&service, 20).await;
    let before = shown(&service).await;
    let connection = service.database.connect().await;
    let database = stopped(service).await;
    let output = rotate_by_command(&database, IN_CLEAR);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("in clear") && output.stdout.contains("b: nothing is left"), "{output:?}");
    assert_eq!(StoredPii::new("customers", "contact_phone", &ids[3]).read(&connection).await, Some(phone(3)));
    assert_eq!(count_by_prefix(&connection, "*").await.0, 0);
    let service = Service::on(database, &[("CRM_PII_ENCRYPTION", "off"), ("CRM_PII_KEYS", "")]).await;
    assert_eq!(shown(&service).await, before);
    assert_eq!(finds(&service, 3).await, [ids[3].clone()]);
}

#[tokio::test]
async fn damaged_values_are_named_and_the_rest_is_rotated() {
    let service = Service::with(A_ONLY).await;
    let ids = create_customers(&service, 10).await;
    let connection = service.database.connect().await;
    let value = StoredPii::new("customers", "contact_phone", &ids[4]);
    let other = StoredPii::new("customers", "contact_phone", &ids[5]).read(&connection).await.unwrap();
    value.write(&connection, &other).await;
    let database = stopped(service).await;
    let output = rotate_by_command(&database, BOTH);
    assert_eq!(output.code, Some(1), "{output:?}");
    let named = format!("customers.contact_phone of row {} of tenant default", ids[4]);
    assert_eq!(output.stderr.matches(" of row ").count(), 1, "{output:?}");
    assert!(output.stderr.contains(&named) && output.stdout.contains("a: 1 values are left"), "{output:?}");
    assert_eq!(value.read(&connection).await.unwrap(), other);
    assert_eq!(count_by_prefix(&connection, "*1:b:").await, (21, 1));

    // The old key is needed until the damaged value is cleared.
    let service = Service::on(database, BOTH).await;
    service.advance(60_000);
    assert!(matches!(refusal(&service, B_ONLY).await, Some(KeyError::Missing(key)) if key == "a"));
    let call = service.patch(&value.path(), json!({ "contactPhone": null })).request_id("clear");
    call.send().await.expect(200);
    let report = rotated(&service).await;
    assert_eq!(report, Report { left: vec![("a".to_owned(), 0)], ..Report::default() });
    assert!(refusal(&service, B_ONLY).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_2000_rows_are_rotated() {
    const ROWS: usize = 2_000;
    let service = Service::with(A_ONLY).await;
    let ids = create_customers(&service, ROWS).await;
    let service = restarted(service, BOTH).await;
    let (stopped, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let worker = |worker: usize| {
        let (service, ids, stopped, requests) = (&service, &ids, &stopped, &requests);
        async move {
            let mut round = 0;
            while !stopped.load(Ordering::SeqCst) {
                // No other worker changes this row, so that its expected content is known.
                let number = (worker + round * 8 * 7) % (ROWS / 8 * 8);
                let number = number - number % 8 + worker;
                let (path, unique) = (format!("/customers/{}", ids[number]), format!("load-{worker}-{round}"));
                let changed = json!({ "contactPhone": format!("+86 {}", phone(number)), "name": unique });
                let changed = service.patch(&path, changed).request_id(&format!("{unique}-p")).send_unchecked().await;
                assert_eq!(changed.expect(200).body["name"], unique);
                let read = service.get(&path).send_unchecked().await.expect(200).body;
                assert_eq!((&read["name"], &read["contactEmail"]), (&json!(unique), &json!(email(number))));
                let by_phone = service.get(&format!("/customers?contactPhone={}", phone(number)));
                let by_phone = by_phone.send_unchecked().await.expect(200).body;
                assert_eq!(fields(&by_phone, "customerId"), [&ids[number]]);
                let made = json!({ "name": "x", "contactEmail": format!("{unique}@example.com") });
                let made = service.post("/customers", made).request_id(&unique).send_unchecked().await.expect(201);
                let by_email = service.get(&format!("/customers?contactEmail={unique}@example.com"));
                let by_email = by_email.send_unchecked().await.expect(200).body;
                assert_eq!(by_email["data"], json!([made.body]));
                service.get("/customers?pageSize=5").send_unchecked().await.expect(200);
                requests.fetch_add(6, Ordering::SeqCst);
                round += 1;
            }
        }
    };
    let rotation = async {
        let report = rotated(&service).await;
        stopped.store(true, Ordering::SeqCst);
        report
    };
    let (report, _) = tokio::join!(rotation, join_all((0..8).map(worker)));
    assert_eq!((report.left, report.damaged), (vec![("a".to_owned(), 0)], Vec::new()));
    assert!(requests.load(Ordering::SeqCst) > 100, "too few requests during the rotation");
    let connection = service.database.connect().await;
    assert_eq!(count_by_prefix(&connection, "*1:b:").await.1, 0);
}

#[tokio::test]
async fn a_killed_rotation_completes_when_run_again() {
    let service = Service::with(A_ONLY).await;
    create_customers(&service, 1_000).await;
    let before = shown(&service).await;
    let connection = service.database.connect().await;
    let database = stopped(service).await;
    let mut child = command(&["keys", "rotate"], BOTH)
        .env("CRM_DATABASE_URL", database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Waits for the first rotated value.
    for _ in 0..6_000 {
        if count_by_prefix(&connection, "*1:b:").await.0 > 0 || child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended before it could be killed");
    let (new, old) = count_by_prefix(&connection, "*1:b:").await;
    assert!(new > 0 && old > 0, "{new} of {} values were rotated", new + old);

    let service = Service::on(database, BOTH).await;
    assert_eq!(shown(&service).await, before);
    let database = stopped(service).await;
    let output = rotate_by_command(&database, BOTH);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("a: nothing is left"), "{output:?}");
    assert_eq!(count_by_prefix(&connection, "*1:b:").await, (2_200, 0));
    let service = Service::on(database, B_ONLY).await;
    assert_eq!(shown(&service).await, before);
}

#[tokio::test]
async fn every_column_with_a_blind_index_is_rotated() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    let sql = if on_postgres() {
        "SELECT table_name || '.' || column_name FROM information_schema.columns \
         WHERE table_schema = 'public' AND column_name LIKE '%\\_index'"
    } else {
        "SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND c.name LIKE '%\\_index' ESCAPE '\\'"
    };
    let mut stored: Vec<String> = column(&database, sql).await;
    let columns = pii_tables().into_iter().flat_map(|table| table.columns);
    let indexes = |field: &PiiField| [Some(field.index), field.base].into_iter().flatten().collect::<Vec<_>>();
    let names = |field: &PiiField| indexes(field).into_iter().map(|index| format!("{}.{index}", field.table)).collect();
    let mut rotated: Vec<String> = columns.flat_map::<Vec<String>, _>(names).collect();
    stored.sort_unstable();
    rotated.sort_unstable();
    assert_eq!(stored, rotated);
}
