//! Totals that are counted: for who asks again, they are remembered as long as they are true.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::{
    bound::fill_sample,
    model::{LISTS, lasting},
};
use crate::harness::{
    DAY, Reply, Service, id, on_postgres,
    random::Random,
    sql::{new_id, numbers, uuid_literal},
};

/// Lists of all kinds whose totals are counted.
const COUNTED: [&str; 9] = [
    "/customers?status=0",
    "/customers?hasOpenOpportunities=true",
    "/customers?hasOpenOpportunities=false&createdFrom=2020-01-01T00:00:00Z",
    "/contacts?isPrimary=false",
    "/contacts?isPrimary=true&sort=name",
    "/opportunities?amountFrom=100&amountTo=200",
    "/opportunities?amountTo=300&stage=0,1,2&sort=title,-stage",
    "/follow-ups?followUpType=call",
    "/follow-ups?q=about",
];

/// What the list says of its total, where a page does not tell it by itself.
async fn total(service: &Service, tenant: &str, list: &str) -> Value {
    let page =
        lasting(service.get(&format!("{list}&pageSize=1"))).tenant(tenant).send_unchecked().await.expect(200).body;
    json!([page["total"], page["totalExact"]])
}

/// How many there are.
async fn number(service: &Service, tenant: &str, list: &str) -> usize {
    let all = lasting(service.get(&format!("{list}&pageSize=100&total=false"))).tenant(tenant);
    let page = all.send_unchecked().await.expect(200).body;
    assert!(page["nextCursor"].is_null(), "{list}: more than a page");
    page["data"].as_array().unwrap().len()
}

/// Changes something that is in one of the lists, of one of the tenants.
async fn change(service: &Service, random: &mut Random, tenant: &str, ids: &mut [Vec<String>; 4]) {
    let any = |random: &mut Random, of: &[String]| of[random.below(of.len())].clone();
    let create = async |path: &str, id_field: &str, body: Value| {
        id(&lasting(service.post(path, body)).tenant(tenant).send_unchecked().await.expect(201).body, id_field)
    };
    let kind = random.below(7);
    if kind == 0 || ids[0].len() < 3 {
        return ids[0].push(create("/customers", "customerId", json!({ "name": "Acme" })).await);
    }
    let customer = any(random, &ids[0]);
    match kind {
        1 => {
            let contact = json!({ "customerId": customer, "name": "Li", "isPrimary": random.below(2) == 0 });
            ids[1].push(create("/contacts", "contactId", contact).await);
        }
        2 => {
            let amount = random.below(4) * 100;
            let opportunity = json!({ "customerId": customer, "title": "x", "amountCents": amount });
            ids[2].push(create("/opportunities", "opportunityId", opportunity).await);
        }
        3 => {
            let follow_up = json!({ "customerId": customer, "content": "about", "followUpType": "call" });
            ids[3].push(create("/follow-ups", "followUpId", follow_up).await);
        }
        4 if !ids[2].is_empty() => {
            let path = format!("/opportunities/{}", any(random, &ids[2]));
            let moved = service.patch(&path, json!({ "stage": random.below(7), "amountCents": random.below(4) * 100 }));
            gone_or(200, lasting(moved).tenant(tenant).send_unchecked().await);
        }
        5 => service.remove_deleted().await,
        _ => {
            let list = random.below(4);
            if ids[list].len() < 2 {
                return;
            }
            let path = format!("{}/{}", LISTS[list], ids[list].swap_remove(random.below(ids[list].len())));
            gone_or(204, lasting(service.delete(&path)).tenant(tenant).send_unchecked().await);
        }
    }
}

/// What went with a customer may still be named.
fn gone_or(status: u16, reply: Reply) {
    assert!([status, 404].contains(&reply.status.as_u16()), "{}: {}", reply.status, reply.body);
}

#[tokio::test]
async fn totals_through_random_histories_are_those_of_counting() {
    let service = Service::start().await;
    let mut random = Random(31);
    let mut ids: [[Vec<String>; 4]; 2] = Default::default();
    let mut changed = 0;
    let mut before = Value::Null;
    for round in 0..150 {
        let which = random.below(2);
        let tenant = ["one", "two"][which];
        change(&service, &mut random, tenant, &mut ids[which]).await;
        let asked = [COUNTED[random.below(COUNTED.len())], COUNTED[random.below(COUNTED.len())]];
        for list in asked {
            for tenant in ["one", "two", "one"] {
                let expected = json!([number(&service, tenant, list).await, true]);
                let total = total(&service, tenant, list).await;
                assert_eq!(total, expected, "round {round}, {tenant}: {list}");
                changed += usize::from(total != before);
                before = total;
            }
        }
    }
    assert!(changed > 100, "{changed} totals were others than the one before");
}

/// Follow-ups of a type, and no entries about them.
async fn fill(service: &Service, tenant: &str, rows: usize) {
    let at = if on_postgres() { "timestamptz '2026-01-01'" } else { "'2026-01-01T00:00:00+00:00'" };
    let insert = format!(
        "INSERT INTO follow_ups (tenant_id, follow_up_id, content, follow_up_type, created_at, updated_at, version) \
         SELECT '{tenant}', {}, 'x', 'many', {at}, {at}, 1 FROM ({}) AS numbers",
        new_id(),
        numbers(rows)
    );
    service.database.connect().await.execute_unprepared(&insert).await.unwrap();
}

#[tokio::test]
async fn that_there_are_more_than_are_counted_is_said_while_there_are() {
    const LIST: &str = "/follow-ups?followUpType=many";
    let service = Service::start().await;
    fill(&service, "many", 10_003).await;
    fill(&service, "few", 7).await;
    let all = service.get("/follow-ups?pageSize=100").tenant("many").send().await.expect(200).body;
    let mut ids = all["data"].as_array().unwrap().iter().map(|item| id(item, "followUpId"));
    for rows in (9_998..=10_003).rev() {
        let expected = json!([Ord::min(rows, 10_000), rows <= 10_000]);
        for _again in 0..2 {
            assert_eq!(total(&service, "many", LIST).await, expected);
            assert_eq!(total(&service, "few", LIST).await, json!([7, true]));
        }
        let path = format!("/follow-ups/{}", ids.next().unwrap());
        service.delete(&path).tenant("many").send().await.expect(204);
    }
}

#[tokio::test]
async fn who_asks_again_has_nothing_counted_until_something_changes() {
    let service = Service::start().await;
    fill(&service, "many", 1_500).await;
    fill(&service, "other", 1_500).await;
    service.post("/customers", json!({ "name": "x" })).tenant("many").send().await.expect(201);
    let statements = Arc::new(AtomicUsize::new(0));
    let observed = Arc::clone(&statements);
    service.app.database().statements().observe(move |statement| {
        // The background has others.
        observed.fetch_add(usize::from(statement.sql.contains("\"follow_ups\"")), Ordering::Relaxed);
    });
    let ask = async |tenant: &str, list: &str, page: u32| {
        statements.store(0, Ordering::Relaxed);
        assert_eq!(total(&service, tenant, &format!("{list}&page={page}")).await, json!([1_500, true]), "{list}");
        statements.load(Ordering::Relaxed)
    };
    for list in ["/follow-ups?followUpType=many", "/follow-ups?followUpType=many&sort=updatedAt"] {
        let first = ask("many", list, 1).await;
        assert!(first > 1, "{first}");
        for page in 2..5 {
            assert_eq!(ask("many", list, page).await, 1, "{list}");
        }
        assert_eq!(ask("other", list, 1).await, first, "what is known of one tenant says nothing of another");
        service.post("/customers", json!({ "name": "x" })).tenant("many").send().await.expect(201);
        assert!(ask("many", list, 1).await > 1, "{list}");
        assert_eq!(ask("other", list, 2).await, 1, "what changes in one tenant says nothing of another");
    }
}

#[tokio::test]
async fn far_more_are_believed_until_as_many_may_be_gone() {
    const LIST: &str = "/customers?status=0";
    let service = Service::start().await;
    let connection = service.database.connect().await;
    // As in a sample of twenty thousand rows and more.
    fill_sample(&connection, "many", 156).await;
    let more = json!([10_000, false]);
    assert_eq!(total(&service, "many", LIST).await, more);
    connection.execute_unprepared("DELETE FROM customers WHERE tenant_id = 'many'").await.unwrap();
    fill_sample(&connection, "many", 2).await;
    // Rows that went without an entry each: so what is answered is what is remembered.
    for (entries, expected) in [(0, &more), (9_999, &more), (1, &json!([2, true]))] {
        let queue = format!(
            "INSERT INTO audit_queue (tenant_id, audit_log_id) SELECT 'many', {} FROM ({}) AS numbers WHERE n <= {entries}",
            new_id(),
            numbers(Ord::max(entries, 1))
        );
        connection.execute_unprepared(&queue).await.unwrap();
        assert_eq!(total(&service, "many", LIST).await, *expected, "after {entries} more");
    }
}

#[tokio::test]
async fn while_a_deletion_is_under_way_nothing_is_remembered() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for _ in 0..3 {
        service.contact(&customer).await;
    }
    let other = service.customer().await;
    service.contact(&other).await;
    service.contact(&other).await;
    const LIST: &str = "/contacts?isPrimary=false";
    for _again in 0..2 {
        assert_eq!(total(&service, "default", LIST).await, json!([5, true]));
    }
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    for _again in 0..2 {
        assert_eq!(total(&service, "default", LIST).await, json!([2, true]));
    }
    // A row that goes without an entry: what was counted meanwhile is not answered again.
    let connection = service.database.connect().await;
    let gone = format!(
        "DELETE FROM contacts WHERE customer_id = {} AND contact_id = (SELECT c.contact_id FROM contacts c \
         WHERE c.customer_id = {} LIMIT 1)",
        uuid_literal(&other),
        uuid_literal(&other)
    );
    assert_eq!(connection.execute_unprepared(&gone).await.unwrap().rows_affected(), 1);
    assert_eq!(total(&service, "default", LIST).await, json!([1, true]));
}

#[tokio::test]
async fn what_is_stalled_is_asked_by_the_second_and_remembered_so() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for _ in 0..3 {
        service.opportunity(&customer).await;
    }
    service.advance(2 * DAY);
    let statements = Arc::new(AtomicUsize::new(0));
    let observed = Arc::clone(&statements);
    service.app.database().statements().observe(move |statement| {
        observed.fetch_add(usize::from(statement.sql.contains("\"opportunities\"")), Ordering::Relaxed);
    });
    let ask = async || {
        statements.store(0, Ordering::Relaxed);
        assert_eq!(total(&service, "default", "/opportunities?stalledDays=1").await, json!([3, true]));
        statements.load(Ordering::Relaxed)
    };
    let first = ask().await;
    service.advance(100);
    assert!(ask().await < first, "a moment later");
    service.advance(1000);
    assert_eq!(ask().await, first, "in another second");
}
