//! Rows and pages that are kept in memory: what is answered from there is what the database would answer.

use std::{
    cmp::Reverse,
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::DateTime;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crm::{
    audit::chain,
    database::{counts::fold, horizon},
    events::outbox,
    privacy,
    values::Tenant,
};

use crate::harness::{
    Service, on_postgres,
    random::Random,
    sql::{rows, table, uuid_literal},
};

/// The resources that a history creates, with the field of their ids.
const RESOURCES: [(&str, &str); 4] = [
    ("/customers", "customerId"),
    ("/contacts", "contactId"),
    ("/opportunities", "opportunityId"),
    ("/follow-ups", "followUpId"),
];

/// How often what of this kind, `row` or `page`, was looked for in memory and was there.
fn hits(service: &Service, kind: &str) -> usize {
    let (text, name) = (service.app.metrics().text(), format!("crm_{kind}_cache_lookups_total{{outcome=\"hit\"}} "));
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// The rows of a list, newest first, and their number.
async fn listed(service: &Service, list: &str, query: &str) -> (Vec<Value>, Value) {
    let path = format!("{list}?pageSize=100{query}");
    let mut page = service.read(&path).await;
    assert_eq!(page["nextCursor"], Value::Null, "more than a page");
    // There is no personal data in it.
    let masked = service.get(&path).claims(json!({ "scope": "crm:read" })).send().await.expect(200);
    assert_eq!(masked.body, page);
    let Value::Array(mut rows) = page["data"].take() else { panic!("{page}") };
    rows.sort_by_key(|row| Reverse(row.to_string()));
    (rows, page["total"].take())
}

/// The same, read from the database: nobody has asked for those created since this moment before.
async fn stored(service: &Service, list: &str) -> (Vec<Value>, Value) {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let moment = DateTime::from_timestamp_millis(ASKED.fetch_add(1, Ordering::Relaxed).cast_signed()).unwrap();
    listed(service, list, &format!("&createdFrom={}", moment.format("%FT%T%.3fZ"))).await
}

/// What the service does by itself.
async fn by_itself(service: &Service, what: usize) {
    let database = service.app.database();
    match what {
        0 => drop(outbox::assign_positions(database).await.unwrap()),
        1 => drop(chain::link_entries(database).await.unwrap()),
        2 => drop(fold::fold(database, None).await.unwrap()),
        _ => service.remove_deleted().await,
    }
}

/// A random change, by the service or by another process.
async fn change(service: &Service, random: &mut Random, known: &mut [Vec<String>; 4]) {
    let kind = random.below(4);
    let (list, field) = RESOURCES[kind];
    let pick = |random: &mut Random, of: &[String]| of.get(random.below(of.len().max(1))).cloned();
    let (customer, opportunity) = (pick(random, &known[0]), pick(random, &known[2]));
    let own = pick(random, &known[kind]);
    let number = random.below(1000);
    let named = match kind {
        2 => json!({ "title": format!("T{number}") }),
        3 => json!({ "content": format!("C{number}") }),
        _ => json!({ "name": format!("N{number}") }),
    };
    match (random.below(10), own) {
        (0..4, _) | (_, None) => {
            let mut body = named;
            if kind > 0 {
                body["customerId"] = json!(customer);
            }
            if kind == 3 {
                body["opportunityId"] = json!(opportunity);
            }
            let made = service.post(list, body).send().await;
            if made.status == 201 {
                known[kind].push(made.body[field].as_str().unwrap().to_owned());
            }
        }
        (4..7, Some(own)) => {
            let mut body = named;
            match (kind, number % 3) {
                (1, 0) => body["isPrimary"] = json!(true),
                (2, 0) => body["stage"] = json!(1 + number % 5),
                (3, 0) => body["opportunityId"] = json!(opportunity),
                _ => {}
            }
            service.patch(&format!("{list}/{own}"), body).send().await;
        }
        (7, Some(own)) => drop(service.delete(&format!("{list}/{own}")).send().await),
        (8, Some(_)) => by_itself(service, number % 4).await,
        (_, Some(own)) => {
            let column = ["name", "name", "title", "content"][kind];
            let sql = format!(
                "UPDATE {} SET {column} = 'by another process {number}' WHERE {field} = {}",
                table(list),
                uuid_literal(&own),
                field = ["customer_id", "contact_id", "opportunity_id", "follow_up_id"][kind]
            );
            service.database.connect().await.execute_unprepared(&sql).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_in_memory_is_always_that_of_the_database() {
    for seed in 0..4 {
        let (service, mut random) = (Service::start().await, Random(seed));
        let mut known: [Vec<String>; 4] = Default::default();
        for step in 0..60 {
            change(&service, &mut random, &mut known).await;
            for ((list, field), ids) in RESOURCES.into_iter().zip(&known) {
                let stored = stored(&service, list).await;
                for query in ["", "", "&sort=updatedAt", "&total=false"] {
                    let (rows, total) = listed(&service, list, query).await;
                    assert_eq!(rows, stored.0, "seed {seed}, step {step}, {list}?{query}");
                    assert!(total.is_null() || total == stored.1, "seed {seed}, step {step}, {list}?{query}: {total}");
                }
                for id in ids {
                    let here = stored.0.iter().find(|row| row[field] == json!(id));
                    let read = service.get(&format!("{list}/{id}")).send().await;
                    let expected = if here.is_some() { 200 } else { 404 };
                    assert_eq!(read.status, expected, "seed {seed}, step {step}, {list}/{id}: {}", read.body);
                    assert!(here.is_none_or(|here| *here == read.body), "seed {seed}, step {step}: {}", read.body);
                }
            }
        }
        // Those that are deleted are never there, and most changes of the last kinds forget all that were.
        assert_eq!(hits(&service, "row") > 50, !on_postgres(), "{} rows were in memory", hits(&service, "row"));
        assert_eq!(hits(&service, "page") > 200, !on_postgres(), "{} pages were in memory", hits(&service, "page"));
    }
}

/// Reads these lists, each of its tenant; how many of them were in memory.
async fn pages_kept(service: &Service, lists: &[(&str, &str)]) -> usize {
    let before = hits(service, "page");
    for (tenant, list) in lists {
        service.get(list).tenant(tenant).send().await.expect(200);
    }
    hits(service, "page") - before
}

#[tokio::test]
async fn a_page_is_shown_to_each_as_they_may_see_it_and_goes_on_as_they_asked() {
    let service = Service::start().await;
    for _ in 0..3 {
        service.post("/customers", json!({ "name": "Acme", "contactPhone": "13812345678" })).send().await.expect(201);
    }
    let read = async |scope: &str, query: &str| {
        let page = service.get(&format!("/customers?{query}pageSize=2")).claims(json!({ "scope": scope }));
        page.send().await.expect(200).body
    };
    // Each is read twice: what is kept of the first time is that of the second.
    for _ in 0..2 {
        for (scope, shown) in [("crm:read", "138****5678"), ("crm:read crm:pii:read", "13812345678")] {
            assert_eq!(read(scope, "").await["data"][0]["contactPhone"], shown);
        }
        // The same rows are asked for in other words, and each page is gone on with in its own.
        for query in ["status=0&", "status=0,0&", "sort=-createdAt&", ""] {
            let page = read("crm:read", query).await;
            let next = page["nextCursor"].as_str().unwrap();
            let rest = read("crm:read", &format!("{query}after={next}&")).await;
            assert_eq!(rest["data"].as_array().unwrap().len(), 1, "{query}");
        }
    }
    // What is shown in clear is recorded each time.
    while service.app.audit_queue().flush(service.app.database()).await.unwrap() > 0 {}
    assert_eq!(service.trail("action=read").await.len(), 2);
}

#[tokio::test]
async fn a_change_forgets_the_pages_of_its_tenant_and_no_others() {
    let service = Service::start().await;
    let lists = [
        ("one", "/customers"),
        ("one", "/customers?page=2"),
        ("one", "/contacts"),
        ("two", "/customers"),
        ("two", "/customers?status=1"),
    ];
    let kept = |pages: usize| if on_postgres() { 0 } else { pages };
    assert_eq!(pages_kept(&service, &lists).await, 0);
    assert_eq!(pages_kept(&service, &lists).await, kept(5));
    service.post("/customers", json!({ "name": "x" })).tenant("one").send().await.expect(201);
    assert_eq!(pages_kept(&service, &lists).await, kept(2));
    service.post("/customers", json!({})).tenant("one").send().await.expect(400);
    service.patch("/customers/00000000-0000-0000-0000-000000000001", json!({})).tenant("one").send().await.expect(404);
    assert_eq!(pages_kept(&service, &lists).await, kept(5));
    let database = service.app.database();
    outbox::assign_positions(database).await.unwrap();
    chain::link_entries(database).await.unwrap();
    assert_eq!(pages_kept(&service, &lists).await, kept(5));
    // What the service does by itself is of any tenant.
    horizon::confirm(database, DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(pages_kept(&service, &lists).await, 0);
}

#[tokio::test]
async fn a_change_keeps_its_row_as_it_is_then_and_forgets_no_other() {
    let service = Service::start().await;
    let [changed, other] = [service.customer().await, service.customer().await].map(|id| format!("/customers/{id}"));
    let contact = format!("/contacts/{}", service.contact(&service.customer().await).await);
    let paths = [&changed, &other, &contact];
    for path in paths {
        service.read(path).await;
    }
    let after = service.patch(&changed, json!({ "name": "changed" })).send().await.expect(200).body;
    service.customer().await;
    let before = hits(&service, "row");
    for path in paths {
        service.read(path).await;
    }
    assert_eq!(hits(&service, "row") - before, if on_postgres() { 0 } else { 3 });
    assert_eq!(service.read(&changed).await, after);
}

#[tokio::test]
async fn what_was_written_and_never_read_is_gone_with_its_tenant() {
    let service = Service::start().await;
    let tenant = Tenant::parse("acme").unwrap();
    let mut paths = Vec::new();
    for number in 0..3 {
        let made = service.post("/customers", json!({ "name": format!("N{number}") })).tenant(tenant.as_str());
        let made = made.send().await.expect(201);
        paths.push(format!("/customers/{}", made.body["customerId"].as_str().unwrap()));
    }
    privacy::tenant::erase(&service.app, &tenant, &|_| {}).await.unwrap();
    for path in paths {
        service.get(&path).tenant(tenant.as_str()).send().await.expect(404);
    }
}

#[tokio::test]
async fn triggers_change_only_rows_that_the_changed_one_refers_to() {
    if on_postgres() {
        return;
    }
    let service = Service::start().await;
    let sql = "SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let mut changing = Vec::new();
    for trigger in rows(&service.database.connect().await, sql).await {
        let (on, sql): (String, String) =
            (trigger.try_get("", "tbl_name").unwrap(), trigger.try_get("", "sql").unwrap());
        for changed in RESOURCES.map(|(list, _)| table(list)) {
            if [format!("UPDATE {changed} "), format!("DELETE FROM {changed} ")].iter().any(|verb| sql.contains(verb)) {
                changing.push((on.clone(), changed));
            }
        }
    }
    changing.sort();
    changing.dedup();
    // What refers to a row is changed through `Change`, which says so of both; and an opportunity is not kept as it was written
    // (`Published::IS_STORED_AS_WRITTEN`).
    let expected = [("follow_ups", "opportunities"), ("opportunities", "opportunities")];
    assert_eq!(changing, expected.map(|(on, changed)| (on.to_owned(), changed.to_owned())));
}

#[tokio::test]
async fn what_is_read_while_a_change_commits_is_not_kept_beyond_it() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    for number in 0..100 {
        let name = format!("N{number}");
        let reads = async {
            for _ in 0..5 {
                service.read(&path).await;
                service.read("/customers").await;
            }
        };
        let (changed, ()) =
            tokio::join!(async { service.patch(&path, json!({ "name": name })).send().await.expect(200) }, reads);
        assert_eq!(service.read(&path).await, changed.body);
        assert_eq!(service.read("/customers").await["data"][0], changed.body);
    }
}
